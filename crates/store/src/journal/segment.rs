//! Segment files: their names and their headers.
//!
//! A header is: 8 bytes magic, version, length of the whole header, number of peaks, length of the note (u32
//! each, little endian), the peaks (32 bytes each), the note, CRC32C of all before. The note is a checkpoint of
//! the tree before the segment's first record: it gives origin and first sequence, and signs the peaks by their
//! root. So the tree can be continued from any segment, and nothing after a header ever needs an older segment.

use crate::ledger::{Checkpoint, NOTE_BYTES_MAX, PublicKey};
use crate::merkle::{HASH_BYTES, Hash, Tree};

use super::frame::{put, u32_at};

/// Where the segments stand in the data directory.
pub const JOURNAL_DIR: &str = "journal";

/// The segment format that is written. Every one up to this stays readable for ever.
const SEGMENT_VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"ark-seg\n";
const FIXED: usize = 24;
const CRC_BYTES: usize = 4;

/// No header is longer: it is read before anything in it is checked.
pub(crate) const HEADER_MAX: usize = FIXED + 64 * HASH_BYTES + NOTE_BYTES_MAX + CRC_BYTES;

/// What `SegmentHeader::decode` says of a format that it does not know.
pub(crate) const NEWER: &str = "the segment is of a newer version of ark-os";

const DAMAGED: &str = "the checksum of the segment header is wrong";

/// A checked segment header.
#[derive(Debug, Clone)]
pub(crate) struct SegmentHeader {
    /// The tree before the first record of the segment.
    pub(crate) tree: Tree,
    /// The checkpoint over that tree.
    pub(crate) checkpoint: Checkpoint,
    /// Length in bytes; the first frame follows.
    pub(crate) length: u64,
    /// What frames of this segment carry.
    pub(crate) salt: u64,
}

impl SegmentHeader {
    pub(crate) fn first(&self) -> u64 {
        self.tree.size() + 1
    }

    pub(crate) fn encode(tree: &Tree, checkpoint: &Checkpoint) -> Option<Vec<u8>> {
        let peaks = tree.peaks().len();
        let note = checkpoint.note().as_bytes();
        let length = FIXED + peaks * HASH_BYTES + note.len() + CRC_BYTES;
        let mut bytes = vec![0; FIXED];
        put(&mut bytes, 0, &MAGIC)?;
        for (at, value) in
            [(8, SEGMENT_VERSION as usize), (12, length), (16, peaks), (20, note.len())]
        {
            put(&mut bytes, at, &u32::try_from(value).ok()?.to_le_bytes())?;
        }
        for peak in tree.peaks() {
            bytes.extend_from_slice(&peak.0);
        }
        bytes.extend_from_slice(note);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        Some(bytes)
    }

    /// Reads the header at the start of `bytes`; says what is wrong with it otherwise.
    pub(crate) fn decode(bytes: &[u8], key: &PublicKey) -> Result<Self, &'static str> {
        let short = "the segment header is cut short";
        if bytes.get(..8).ok_or(short)? != MAGIC {
            return Err("this is no segment");
        }
        let field = |at| u32_at(bytes, at).map(|value| value as usize).ok_or(short);
        if field(8)? != SEGMENT_VERSION as usize {
            return Err(if is_whole(bytes) { NEWER } else { DAMAGED });
        }
        let (length, peaks, note) = (field(12)?, field(16)?, field(20)?);
        if peaks > 64 || note > NOTE_BYTES_MAX {
            return Err("the segment header is over its limits");
        }
        let note_at = FIXED + peaks * HASH_BYTES;
        let crc_at = note_at + note;
        if length != crc_at + CRC_BYTES {
            return Err("the segment header contradicts itself");
        }
        let checked = bytes.get(..crc_at).ok_or(short)?;
        if u32_at(bytes, crc_at).ok_or(short)? != crc32c::crc32c(checked) {
            return Err(DAMAGED);
        }
        let note = std::str::from_utf8(checked.get(note_at..).ok_or(short)?)
            .map_err(|_| "the note in the segment header is not text")?;
        let checkpoint = key.check(note)?;
        let peaks: Vec<Hash> = checked
            .get(FIXED..note_at)
            .ok_or(short)?
            .as_chunks::<HASH_BYTES>()
            .0
            .iter()
            .map(|peak| Hash(*peak))
            .collect();
        let tree = Tree::from_peaks(checkpoint.size(), &peaks)
            .filter(|tree| tree.root() == checkpoint.root())
            .ok_or("the tree in the segment header is not the signed one")?;
        let salt = salt(&checkpoint);
        Ok(Self { tree, checkpoint, length: length as u64, salt })
    }
}

/// Whether the checksum at the end of a header is right, whatever is in it: every format keeps magic, version, length
/// and that, so that a later one is told from a damaged one.
fn is_whole(bytes: &[u8]) -> bool {
    let found = || {
        let crc_at = (u32_at(bytes, 12)? as usize).checked_sub(CRC_BYTES)?;
        Some(u32_at(bytes, crc_at)? == crc32c::crc32c(bytes.get(..crc_at)?))
    };
    found().unwrap_or(false)
}

/// Derived from the note, and so from its signature: nobody who cannot read the file can know it.
pub(crate) fn salt(checkpoint: &Checkpoint) -> u64 {
    let Hash(hash) = Hash::of(&[b"ark-os segment salt\n", checkpoint.note().as_bytes()].concat());
    hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The path of the segment that begins with this sequence.
pub(crate) fn path(first: u64) -> String {
    format!("{JOURNAL_DIR}/{}", file_name(first))
}

/// Its name, in whatever directory.
pub(crate) fn file_name(first: u64) -> String {
    format!("segment-{first:020}.ark")
}

/// The first sequence that a file name promises, if it is a segment's.
pub(crate) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("segment-")?.strip_suffix(".ark")?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}
