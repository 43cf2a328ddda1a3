//! An anchor: a checkpoint with its place in the segments, from which reading and hashing can go on without
//! anything that stands before it.
//!
//! Layout (little endian): 0 segment (its first sequence), 8 and 16 start and end of the checkpoint's frame (both
//! at the end of the header if the header holds it), 24 number of peaks, 28 length of the note (u32 each), then
//! the peaks and the note.

use std::ops::Range;

use crate::ledger::{Checkpoint, NOTE_BYTES_MAX, PublicKey};
use crate::merkle::{HASH_BYTES, Hash, Tree};

use super::frame::{u32_at, u64_at};

const FIXED: usize = 32;
/// A tree of 2^64 leaves has no more.
const PEAKS_MAX: usize = 64;

/// A checkpoint that is durable, the tree that it signs, and where its frame stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    pub(crate) tree: Tree,
    pub(crate) checkpoint: Checkpoint,
    /// First sequence of the segment.
    pub(crate) segment: u64,
    /// The frame's bytes; empty at the end of the header if the header holds the checkpoint.
    pub(crate) frame: Range<u64>,
}

impl Anchor {
    /// How many records stand before it.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.checkpoint.size()
    }

    /// The checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The first record of the segment that it stands in: no older segment is needed to go on from it.
    #[must_use]
    pub fn segment(&self) -> u64 {
        self.segment
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.segment, self.frame.start, self.frame.end] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let (peaks, note) = (self.tree.peaks(), self.checkpoint.note().as_bytes());
        for length in [peaks.len(), note.len()] {
            // Both are far below their limits, which are checked when they are read.
            out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        }
        for peak in peaks {
            out.extend_from_slice(&peak.0);
        }
        out.extend_from_slice(note);
    }

    /// Reads it and checks that the key signed its tree; gives also how many bytes it took.
    pub(crate) fn decode(bytes: &[u8], key: &PublicKey) -> Result<(Self, usize), &'static str> {
        let short = "it is cut short";
        let number = |at| u64_at(bytes, at).ok_or(short);
        let (segment, start, end) = (number(0)?, number(8)?, number(16)?);
        let length = |at| u32_at(bytes, at).map(|length| length as usize).ok_or(short);
        let (peaks, note) = (length(24)?, length(28)?);
        if peaks > PEAKS_MAX || note > NOTE_BYTES_MAX || start > end || segment == 0 {
            return Err("it is over its limits");
        }
        let note_at = FIXED + peaks * HASH_BYTES;
        let total = note_at + note;
        let hashes = bytes.get(FIXED..note_at).ok_or(short)?.as_chunks::<HASH_BYTES>().0;
        let hashes: Vec<Hash> = hashes.iter().map(|hash| Hash(*hash)).collect();
        let note = bytes.get(note_at..total).ok_or(short)?;
        let checkpoint =
            key.check(std::str::from_utf8(note).map_err(|_| "its note is no text")?)?;
        let tree = Tree::from_peaks(checkpoint.size(), &hashes)
            .filter(|tree| tree.root() == checkpoint.root())
            .ok_or("its tree is not the signed one")?;
        if segment > checkpoint.size() + 1 {
            return Err("it stands in a later segment than its records");
        }
        Ok((Self { tree, checkpoint, segment, frame: start..end }, total))
    }
}
