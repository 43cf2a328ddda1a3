//! The journal: one append-only log of records in segment files, synced per batch, hashed into a Merkle tree.
//!
//! One writer. A batch is one frame, one write and one fdatasync; records are visible to readers after that.
//! The device must not damage bytes beside those it writes when power fails (SQLite calls it power-safe
//! overwrite). Any failed write or sync closes the journal for good: open it again to go on from what is known.

mod anchor;
mod batch;
pub(crate) mod chain;
pub(crate) mod frame;
mod index;
mod moving;
mod reader;
pub(crate) mod recovery;
pub(crate) mod scan;
pub(crate) mod segment;
pub(crate) mod segments;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{ErrorKind, Place, StoreError};
use crate::files::{File, Files};
use crate::ledger::{Checkpoint, LedgerKey, Statement};
use crate::merkle::{Hash, Tree, leaf_hash};
use crate::record::Record;

pub use anchor::Anchor;
pub use batch::Batch;
pub use reader::{Cursor, RANGE_BYTES_MAX, Reader, RecordPlace};
pub use segment::JOURNAL_DIR;
pub use segments::{ARCHIVE_DIR, ARCHIVE_NOTE, Lookup, Segments, Span};

use chain::Chain;
use frame::{FRAME_HEADER, FrameHeader, FrameKind, PAYLOAD_MAX, RECORDS_MAX};
use index::Index;
use recovery::{NewSegment, Opening};
use segment::SegmentHeader;

/// Most records in one batch.
pub const BATCH_RECORDS_MAX: u32 = RECORDS_MAX;
/// Most bytes in one batch, the records' prefixes included.
pub const BATCH_BYTES_MAX: usize = PAYLOAD_MAX;

/// Segments smaller than this would be little but headers.
const SEGMENT_BYTES_MIN: u64 = 16 << 10;
/// Larger ones would take long to check when the journal is opened.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// How a journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Space reserved for a segment, in bytes; 16 KiB to 1 GiB. A batch never spans segments, and one that is
    /// larger than this gets a segment of its own size.
    pub segment_bytes: u64,
}

impl Default for Settings {
    /// 64 MiB: a few hundred thousand records, and a rotation costs three syncs.
    fn default() -> Self {
        Self { segment_bytes: 64 << 20 }
    }
}

/// A batch that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Sequence of its first record.
    pub first: u64,
    /// How many records it has.
    pub count: u32,
    /// Leaves of the tree after it.
    pub size: u64,
    /// Root of the tree after it.
    pub root: Hash,
}

/// Counters since the journal was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Bytes written.
    pub bytes: u64,
    /// Records appended.
    pub records: u64,
    /// Batches appended.
    pub batches: u64,
    /// Checkpoints signed.
    pub checkpoints: u64,
    /// Segments begun.
    pub segments: u64,
    /// Syncs of batches and checkpoints.
    pub syncs: u64,
    /// How long the last of them took.
    pub last_sync: Duration,
}

/// Where the writer stands.
#[derive(Debug)]
struct Position {
    file: Arc<dyn File>,
    first: u64,
    salt: u64,
    capacity: u64,
    end: u64,
    chain: Chain,
}

impl Position {
    /// At the start of a new segment whose header, of `end` bytes, holds `chain.last`.
    fn new(file: Arc<dyn File>, chain: Chain, end: u64, settings: &Settings) -> Self {
        let salt = segment::salt(&chain.last);
        let (first, capacity) = (chain.next(), settings.segment_bytes.max(end));
        Self { file, first, salt, capacity, end, chain }
    }

    /// The newest checkpoint, over everything so far, whose frame is here.
    fn anchor(&self, frame: Range<u64>) -> Anchor {
        let Chain { tree, last } = &self.chain;
        Anchor { tree: tree.clone(), checkpoint: last.clone(), segment: self.first, frame }
    }
}

/// The writer of the log. There is one per data directory (see `DataLock`).
#[derive(Debug)]
pub struct Journal {
    segments: Segments,
    settings: Settings,
    key: LedgerKey,
    position: Position,
    index: Arc<Index>,
    stats: Stats,
    closed: bool,
}

impl Journal {
    /// Opens the journal of a data directory, making an empty one if there is none.
    ///
    /// Fails with `Corrupt` and a place if anything but a torn last write does not verify. Records that no
    /// checkpoint covers are written anew and synced before this returns.
    pub fn open(
        files: Arc<dyn Files>,
        settings: Settings,
        key: LedgerKey,
    ) -> Result<(Self, Recovered), StoreError> {
        Self::open_from(Segments::new(files), settings, key, None)
    }

    /// Opens the journal from a checkpoint on: nothing before it is read, and the records that are given back
    /// begin behind it. `Conflict` if the checkpoint is not of this journal; nothing is changed then.
    pub fn open_from(
        segments: Segments,
        settings: Settings,
        key: LedgerKey,
        from: Option<&Anchor>,
    ) -> Result<(Self, Recovered), StoreError> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&settings.segment_bytes) {
            return Err(StoreError::invalid(format!(
                "use segments of {} bytes",
                settings.segment_bytes
            ))
            .with_hint("segments are of 16 KiB to 1 GiB"));
        }
        let opened =
            Opening { segments: &segments, settings: &settings, key: &key, from }.open()?;
        let recovery::Opened { position, index, torn, rewritten } = opened;
        let first = from.map_or(1, |anchor| anchor.size() + 1);
        let cursor = Reader::new(Arc::clone(&index)).cursor(first);
        let recovered = Recovered { cursor, end: position.chain.next(), torn, rewritten };
        let stats = Stats::default();
        Ok((Self { segments, settings, key, position, index, stats, closed: false }, recovered))
    }

    /// Appends a batch and syncs it. The batch must begin with `next_seq` (else `Conflict`) and not be empty
    /// (else `Invalid`); after any other error the journal is closed.
    pub fn append(&mut self, batch: &mut Batch) -> Result<Committed, StoreError> {
        self.check_open()?;
        if batch.is_empty() {
            return Err(StoreError::invalid("append an empty batch"));
        }
        if batch.first() != self.next_seq() {
            let message =
                format!("append records from {}: {} is next", batch.first(), self.next_seq());
            return Err(StoreError::new(ErrorKind::Conflict, message));
        }
        self.closed = true;
        let committed = self.commit(batch)?;
        self.closed = false;
        Ok(committed)
    }

    /// Signs the tree over all appended records and appends the note durably. Without new records since the
    /// last checkpoint it gives that one again. Any error closes the journal.
    pub fn checkpoint(&mut self) -> Result<Checkpoint, StoreError> {
        self.check_open()?;
        let chain = &self.position.chain;
        if chain.last.size() == chain.tree.size() {
            return Ok(chain.last.clone());
        }
        let checkpoint = self.key.sign(&self.statement(None));
        let mut frame = vec![0; FRAME_HEADER];
        frame.extend_from_slice(checkpoint.note().as_bytes());
        self.closed = true;
        self.make_room(frame.len())?;
        // A new segment begins with a checkpoint of its own, and then this one is not needed.
        if self.position.chain.last.size() != self.position.chain.tree.size() {
            let next = self.next_seq();
            FrameHeader::seal(FrameKind::Checkpoint, next, 0, self.position.salt, &mut frame)
                .ok_or_else(|| StoreError::new(ErrorKind::Internal, "seal a checkpoint"))?;
            self.write(&frame)?;
            self.position.chain.last = checkpoint;
            self.stats.checkpoints += 1;
            let start = self.position.end;
            self.publish(next, frame.len());
            self.index.set_anchor(self.position.anchor(start..self.position.end));
        }
        self.closed = false;
        Ok(self.position.chain.last.clone())
    }

    /// Ends cleanly: a checkpoint over everything, and the unused space given back, which spares the next
    /// opening to look through it.
    pub fn close(mut self) -> Result<Checkpoint, StoreError> {
        let checkpoint = self.checkpoint()?;
        let Position { file, end, .. } = &self.position;
        let trim = || file.truncate(*end).and_then(|()| file.sync());
        trim().map_err(|error| StoreError::io("close the journal", error))?;
        Ok(checkpoint)
    }

    /// The sequence that the next record gets.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.position.chain.next()
    }

    /// The newest checkpoint.
    #[must_use]
    pub fn last_checkpoint(&self) -> &Checkpoint {
        &self.position.chain.last
    }

    /// The Merkle tree over all appended records.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.position.chain.tree
    }

    /// A reader of the synced records, for any thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.index))
    }

    /// Counters since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed {
            return Err(StoreError::new(ErrorKind::Closed, "use the journal: it failed before")
                .with_hint("start again; recovery goes on from what is durable"));
        }
        Ok(())
    }

    fn commit(&mut self, batch: &mut Batch) -> Result<Committed, StoreError> {
        self.make_room(batch.bytes())?;
        let tree = &mut self.position.chain.tree;
        let frame = batch.seal(self.position.salt, |record| tree.push(leaf_hash(record)))?;
        self.write(frame)?;
        let (first, count, bytes) = (batch.first(), batch.count(), batch.bytes());
        self.stats.batches += 1;
        self.stats.records += u64::from(count);
        self.publish(first, bytes);
        let tree = &self.position.chain.tree;
        Ok(Committed { first, count, size: tree.size(), root: tree.root() })
    }

    fn write(&mut self, frame: &[u8]) -> Result<(), StoreError> {
        let Position { file, end, first, .. } = &self.position;
        let written = file.write_at(frame, *end).and_then(|()| file.sync());
        self.stats.last_sync = written.map_err(|error| {
            StoreError::io(format!("append to `{}`", segment::path(*first)), error)
        })?;
        self.stats.syncs += 1;
        self.stats.bytes += frame.len() as u64;
        Ok(())
    }

    /// Moves the end over a synced frame and lets readers see it.
    fn publish(&mut self, first: u64, bytes: usize) {
        let start = self.position.end;
        self.position.end += bytes as u64;
        self.index.add_frame(first, self.position.chain.next(), start, self.position.end);
    }

    fn statement(&self, sealed_at: Option<u64>) -> Statement {
        let Chain { tree, last } = &self.position.chain;
        Statement { size: tree.size(), root: tree.root(), previous: Some(last.hash()), sealed_at }
    }

    /// Begins a new segment if a frame of this length does not fit into the present one.
    fn make_room(&mut self, frame: usize) -> Result<(), StoreError> {
        let frame = frame as u64;
        let Position { end, capacity, first, .. } = self.position;
        // A segment without records is never left: two would have one name.
        if end + frame <= capacity || first == self.next_seq() {
            return Ok(());
        }
        let checkpoint = self.key.sign(&self.statement(Some(end)));
        let tree = &self.position.chain.tree;
        let header = header_bytes(tree, &checkpoint)?;
        let bytes = self.settings.segment_bytes.max(header.len() as u64 + frame);
        let files = self.segments.files().as_ref();
        let file = NewSegment::create(files, self.next_seq(), &header, bytes)?.publish(files)?;
        self.position
            .file
            .truncate(end)
            .map_err(|error| StoreError::io("give back the end of a segment", error))?;
        let chain = Chain { tree: tree.clone(), last: checkpoint };
        self.position = Position::new(file, chain, header.len() as u64, &self.settings);
        self.position.capacity = bytes;
        let Position { first, salt, end, .. } = self.position;
        self.index.add_stretch(first, first, salt, end);
        self.index.set_anchor(self.position.anchor(end..end));
        self.stats.segments += 1;
        self.stats.checkpoints += 1;
        self.stats.bytes += header.len() as u64;
        Ok(())
    }
}

fn header_bytes(tree: &Tree, checkpoint: &Checkpoint) -> Result<Vec<u8>, StoreError> {
    SegmentHeader::encode(tree, checkpoint)
        .ok_or_else(|| StoreError::new(ErrorKind::Internal, "encode a segment header"))
}

/// The records that were found when the journal was opened, in order, one at a time.
#[derive(Debug)]
pub struct Recovered {
    cursor: Cursor,
    end: u64,
    torn: Option<Place>,
    rewritten: u64,
}

impl Recovered {
    /// The next record, borrowed until the next call; memory is bounded by one frame.
    #[expect(
        clippy::should_implement_trait,
        reason = "it lends from its buffer, which an Iterator cannot"
    )]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, StoreError> {
        if self.cursor.seq() >= self.end {
            return Ok(None);
        }
        self.cursor.next()
    }

    /// Goes to a record: to one before the checkpoint that the journal was opened from, if need be.
    pub fn seek(&mut self, seq: u64) {
        self.cursor = self.cursor.again(seq);
    }

    /// How many records there are in all.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.end - 1
    }

    /// The unfinished write that was cut off, if there was one. Nothing in it was ever acknowledged.
    #[must_use]
    pub fn torn(&self) -> Option<&Place> {
        self.torn.as_ref()
    }

    /// How many records no checkpoint covered, and so were written anew.
    #[must_use]
    pub fn rewritten(&self) -> u64 {
        self.rewritten
    }
}
