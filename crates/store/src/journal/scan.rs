//! Reads the frames of one segment in order, with one bounded buffer, and judges what is not a frame.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Place, StoreError};
use crate::files::File;

use super::frame::{FRAME_HEADER, FrameHeader, PAYLOAD_MAX};

/// Read at a time when a segment is read from end to end.
pub(crate) const READ_AHEAD: usize = 1 << 20;

/// One step through a segment.
#[derive(Debug)]
pub(crate) enum Step {
    /// A whole frame at this offset; its payload is what `SegmentScan::payload` gives until the next step.
    Frame(u64, FrameHeader),
    /// The end of what was to be read.
    End,
    /// No valid frame begins here; the header is there if it alone is valid.
    Bad(Option<FrameHeader>),
}

/// What stands behind the last valid frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Only zeros.
    Zeros,
    /// One write that did not finish; it reaches at most to this byte.
    Torn(u64),
    /// Something that one unfinished write cannot have left.
    Foreign { why: &'static str, end: u64, seq: u64 },
}

/// A position in a segment.
#[derive(Debug)]
pub(crate) struct SegmentScan {
    file: Arc<dyn File>,
    path: String,
    salt: u64,
    offset: u64,
    end: u64,
    read_ahead: usize,
    buffer: Vec<u8>,
    buffer_at: u64,
    payload: Range<usize>,
}

impl SegmentScan {
    pub(crate) fn new(file: Arc<dyn File>, path: String, salt: u64, range: Range<u64>) -> Self {
        Self {
            file,
            path,
            salt,
            offset: range.start,
            end: range.end,
            read_ahead: READ_AHEAD,
            buffer: Vec::new(),
            buffer_at: 0,
            payload: 0..0,
        }
    }

    /// For reads of single records.
    pub(crate) fn with_read_ahead(mut self, bytes: usize) -> Self {
        self.read_ahead = bytes;
        self
    }

    /// Where the next frame begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Lets it read on to a later end.
    pub(crate) fn extend(&mut self, end: u64) {
        self.end = end;
    }

    /// The payload of the frame of the last step.
    pub(crate) fn payload(&self) -> &[u8] {
        self.buffer.get(self.payload.clone()).unwrap_or_default()
    }

    /// Goes over the next frame, or says that there is none.
    pub(crate) fn step(&mut self) -> Result<Step, StoreError> {
        if self.offset >= self.end {
            return Ok(Step::End);
        }
        let (at, salt) = (self.offset, self.salt);
        let head = self.window(at, FRAME_HEADER)?;
        let Some(header) = FrameHeader::decode(self.buffer.get(head).unwrap_or_default(), salt)
        else {
            return Ok(Step::Bad(None));
        };
        let length = header.payload as usize;
        let whole = self.window(at, FRAME_HEADER + length)?;
        let payload = whole.start + FRAME_HEADER..whole.end;
        let bytes = self.buffer.get(payload.clone()).unwrap_or_default();
        if bytes.len() != length || crc32c::crc32c(bytes) != header.payload_crc {
            return Ok(Step::Bad(Some(header)));
        }
        self.payload = payload;
        self.offset = at + header.total();
        Ok(Step::Frame(at, header))
    }

    /// Judges the bytes from here to the end, after a step that was `Bad` with this header.
    pub(crate) fn rest(&mut self, header: Option<FrameHeader>) -> Result<Rest, StoreError> {
        let torn_max = header.map_or((FRAME_HEADER + PAYLOAD_MAX) as u64, |header| header.total());
        let torn_end = self.offset.saturating_add(torn_max).min(self.end);
        let (mut at, mut last) = (self.offset, None);
        while at < self.end {
            let range = self.window(at, self.read_ahead)?;
            let bytes = self.buffer.get(range).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            let found = if is_zero(bytes) { None } else { find_frame(bytes, self.salt) };
            if let Some((index, found)) = found
                && at + index as u64 != self.offset
            {
                let end = at + index as u64;
                let why = "a frame is damaged, and others follow it";
                return Ok(Rest::Foreign { why, end, seq: found.first });
            }
            if !is_zero(bytes)
                && let Some(index) = bytes.iter().rposition(|byte| *byte != 0)
            {
                last = Some(at + index as u64 + 1);
            }
            // A frame header may lie across two windows.
            let step = bytes.len().saturating_sub(FRAME_HEADER - 1).max(1) as u64;
            at = if at + bytes.len() as u64 >= self.end { self.end } else { at + step };
        }
        let next = header.map_or(0, |header| header.seqs().end);
        Ok(match last {
            None => Rest::Zeros,
            Some(last) if last <= torn_end => Rest::Torn(last),
            Some(end) => {
                Rest::Foreign { why: "bytes follow that belong to no frame", end, seq: next }
            }
        })
    }

    /// The place of a fault that begins here.
    pub(crate) fn place(&self, end: u64, seqs: Range<u64>) -> Place {
        Place { file: self.path.clone(), bytes: self.offset..end.max(self.offset), seqs }
    }

    /// Makes `length` bytes from `at` available, fewer at the end; gives their range in the buffer.
    fn window(&mut self, at: u64, length: usize) -> Result<Range<usize>, StoreError> {
        let available = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let length = length.min(available);
        let start = at.checked_sub(self.buffer_at).and_then(|start| usize::try_from(start).ok());
        if let Some(start) = start.filter(|start| start + length <= self.buffer.len()) {
            return Ok(start..start + length);
        }
        let wanted = length.max(self.read_ahead).min(available);
        self.buffer.resize(wanted, 0);
        let read = self
            .file
            .read_at(&mut self.buffer, at)
            .map_err(|error| StoreError::io(format!("read `{}` at {at}", self.path), error))?;
        self.buffer.truncate(read);
        self.buffer_at = at;
        Ok(0..length.min(read))
    }
}

/// Most of what is looked through is reserved space, so this must be fast.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(256).all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}

/// The first valid frame header in `bytes`.
fn find_frame(bytes: &[u8], salt: u64) -> Option<(usize, FrameHeader)> {
    let salt_bytes = salt.to_le_bytes();
    bytes.windows(FRAME_HEADER).enumerate().find_map(|(index, window)| {
        // Cheap first: nearly all windows are zeros.
        if window.first() != Some(&b'a') || window.get(24..32) != Some(&salt_bytes[..]) {
            return None;
        }
        FrameHeader::decode(window, salt).map(|header| (index, header))
    })
}
