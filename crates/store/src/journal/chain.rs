//! What must hold from frame to frame: sequences without gaps, the tree, checkpoints that sign it and each
//! other. Shared by recovery and by the offline verification.

use crate::ledger::{Checkpoint, PublicKey};
use crate::merkle::{Hash, Tree, leaf_hash};

use super::frame::{FrameHeader, RecordWalk};
use super::segment::SegmentHeader;

/// Called with the tree after each record; an error stops.
pub(crate) type AfterRecord<'a> = dyn FnMut(&Tree) -> Result<(), &'static str> + 'a;

/// The state of the log at one point.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) tree: Tree,
    /// The newest checkpoint so far.
    pub(crate) last: Checkpoint,
}

impl Chain {
    /// Trusts a segment header and goes on from there.
    pub(crate) fn from_header(header: &SegmentHeader) -> Self {
        Self { tree: header.tree.clone(), last: header.checkpoint.clone() }
    }

    /// The sequence that comes next.
    pub(crate) fn next(&self) -> u64 {
        self.tree.size() + 1
    }

    /// Takes a batch; shows the tree after each record to `visit`. An error says what does not verify.
    pub(crate) fn batch(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        visit: &mut AfterRecord<'_>,
    ) -> Result<(), &'static str> {
        if header.first != self.next() {
            return Err("the sequence does not follow");
        }
        let mut walk = RecordWalk::new(payload);
        while let Some(record) = walk.next() {
            let record = record?;
            self.tree.push(leaf_hash(record));
            visit(&self.tree)?;
        }
        if self.next() != header.seqs().end {
            return Err("the number of records is not what the frame says");
        }
        Ok(())
    }

    /// Takes the checkpoint of a frame.
    pub(crate) fn checkpoint(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        key: &PublicKey,
    ) -> Result<(), &'static str> {
        let note = std::str::from_utf8(payload).map_err(|_| "a checkpoint is not text")?;
        let checkpoint = key.check(note)?;
        if header.first != self.next() || checkpoint.statement().sealed_at.is_some() {
            return Err("a checkpoint is out of place");
        }
        self.follow(checkpoint)
    }

    /// Takes the header of the segment after one that ended at `sealed_at`.
    pub(crate) fn segment(
        &mut self,
        header: &SegmentHeader,
        sealed_at: u64,
    ) -> Result<(), &'static str> {
        if header.checkpoint.statement().sealed_at != Some(sealed_at) {
            return Err("the segment before ends elsewhere than this one says");
        }
        if header.tree != self.tree {
            return Err("the tree in the segment header is not that of the records before");
        }
        self.follow(header.checkpoint.clone())
    }

    fn follow(&mut self, checkpoint: Checkpoint) -> Result<(), &'static str> {
        if checkpoint.size() != self.tree.size() {
            return Err("a checkpoint is of another size than the records before it");
        }
        if checkpoint.root() != self.tree.root() {
            return Err("the records are not those that the checkpoint signs");
        }
        if checkpoint.statement().previous != Some(self.last_hash()) {
            return Err("a checkpoint does not follow the one before it");
        }
        self.last = checkpoint;
        Ok(())
    }

    fn last_hash(&self) -> Hash {
        self.last.hash()
    }
}
