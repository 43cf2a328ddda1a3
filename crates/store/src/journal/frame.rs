//! Frames: what one write puts into a segment. A fixed header, then the payload, both under CRC32C.
//!
//! Header (little endian): 0 magic, 4 kind, 8 payload length, 12 record count, 16 first sequence, 24 salt of
//! the segment, 32 CRC of the payload, 36 CRC of the header up to here.
//! The salt comes from a signature, so bytes that somebody sends as payload cannot pose as a frame.

use std::ops::Range;

use crate::error::StoreError;
use crate::record::RECORD_BYTES_MAX;

pub(crate) const FRAME_HEADER: usize = 40;
const MAGIC: [u8; 4] = *b"arkF";
const HEADER_CRC_AT: usize = 36;

/// In front of each record: its length and its CRC.
pub(crate) const RECORD_PREFIX: usize = 8;

/// Largest payload: one commit is at most this large, and recovery holds one frame in memory.
pub(crate) const PAYLOAD_MAX: usize = 32 << 20;

/// Most records in one frame, so that a damaged count cannot cost memory or time.
pub(crate) const RECORDS_MAX: u32 = 1 << 16;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// Records.
    Batch,
    /// The text of a signed note.
    Checkpoint,
}

/// A decoded frame header whose CRC and salt were right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: FrameKind,
    pub(crate) payload: u32,
    pub(crate) count: u32,
    pub(crate) first: u64,
    pub(crate) payload_crc: u32,
}

impl FrameHeader {
    /// Writes the header of `frame`, whose payload is complete, into its first bytes.
    pub(crate) fn seal(
        kind: FrameKind,
        first: u64,
        count: u32,
        salt: u64,
        frame: &mut [u8],
    ) -> Option<()> {
        let (header, payload) = frame.split_at_mut_checked(FRAME_HEADER)?;
        let kind: u32 = match kind {
            FrameKind::Batch => 1,
            FrameKind::Checkpoint => 2,
        };
        let length = u32::try_from(payload.len()).ok()?;
        put(header, 0, &MAGIC)?;
        put(header, 4, &kind.to_le_bytes())?;
        put(header, 8, &length.to_le_bytes())?;
        put(header, 12, &count.to_le_bytes())?;
        put(header, 16, &first.to_le_bytes())?;
        put(header, 24, &salt.to_le_bytes())?;
        put(header, 32, &crc32c::crc32c(payload).to_le_bytes())?;
        let crc = crc32c::crc32c(header.get(..HEADER_CRC_AT)?);
        put(header, HEADER_CRC_AT, &crc.to_le_bytes())
    }

    /// Reads a header; `None` unless everything in it is right for a segment with this salt.
    pub(crate) fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let header = bytes.get(..FRAME_HEADER)?;
        if header.get(..4)? != MAGIC || u64_at(header, 24)? != salt {
            return None;
        }
        if u32_at(header, HEADER_CRC_AT)? != crc32c::crc32c(header.get(..HEADER_CRC_AT)?) {
            return None;
        }
        let kind = match u32_at(header, 4)? {
            1 => FrameKind::Batch,
            2 => FrameKind::Checkpoint,
            _ => return None,
        };
        let frame = Self {
            kind,
            payload: u32_at(header, 8)?,
            count: u32_at(header, 12)?,
            first: u64_at(header, 16)?,
            payload_crc: u32_at(header, 32)?,
        };
        let fits = frame.payload as usize <= PAYLOAD_MAX
            && frame.count <= RECORDS_MAX
            && (frame.count > 0) == (kind == FrameKind::Batch)
            && frame.first.checked_add(u64::from(frame.count)).is_some();
        fits.then_some(frame)
    }

    /// Bytes of header and payload.
    pub(crate) fn total(&self) -> u64 {
        FRAME_HEADER as u64 + u64::from(self.payload)
    }

    /// The sequences of its records; empty for a checkpoint.
    pub(crate) fn seqs(&self) -> Range<u64> {
        self.first..self.first.saturating_add(u64::from(self.count))
    }
}

/// Walks the records of a batch payload; checks each one's length and CRC.
pub(crate) struct RecordWalk<'a> {
    rest: &'a [u8],
}

impl<'a> RecordWalk<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// The next record's bytes; an error says what is wrong with it.
    pub(crate) fn next(&mut self) -> Option<Result<&'a [u8], &'static str>> {
        if self.rest.is_empty() {
            return None;
        }
        Some(self.take())
    }

    fn take(&mut self) -> Result<&'a [u8], &'static str> {
        let short = "a record is longer than its frame";
        let length = u32_at(self.rest, 0).ok_or(short)? as usize;
        let crc = u32_at(self.rest, 4).ok_or(short)?;
        if length > RECORD_BYTES_MAX {
            return Err("a record is over the limit");
        }
        let bytes = self.rest.get(RECORD_PREFIX..RECORD_PREFIX + length).ok_or(short)?;
        if crc32c::crc32c(bytes) != crc {
            return Err("the checksum of a record is wrong");
        }
        self.rest = self.rest.get(RECORD_PREFIX + length..).unwrap_or_default();
        Ok(bytes)
    }
}

/// Fills in the CRC of every record of `payload` and shows each to `visit`.
pub(crate) fn seal_records(
    payload: &mut [u8],
    mut visit: impl FnMut(&[u8]),
) -> Result<(), StoreError> {
    let broken = || StoreError::invalid("append a batch whose bytes were changed from outside");
    let mut rest = payload;
    while !rest.is_empty() {
        let length = u32_at(rest, 0).ok_or_else(broken)? as usize;
        let (record, after) =
            rest.split_at_mut_checked(RECORD_PREFIX + length).ok_or_else(broken)?;
        let (prefix, bytes) = record.split_at_mut_checked(RECORD_PREFIX).ok_or_else(broken)?;
        put(prefix, 4, &crc32c::crc32c(bytes).to_le_bytes()).ok_or_else(broken)?;
        visit(bytes);
        rest = after;
    }
    Ok(())
}

pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> Option<()> {
    bytes.get_mut(at..at + value.len())?.copy_from_slice(value);
    Some(())
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
