//! Reading synced records while the writer appends: single records, ranges, and cursors that follow.

use std::sync::Arc;

use crate::error::{ErrorKind, Place, StoreError};
use crate::ledger::LedgerKey;
use crate::merkle::{Hash, Leaves, leaf_hash};
use crate::record::{OwnedRecord, Record, decode};

use super::anchor::Anchor;
use super::frame::{FRAME_HEADER, FrameHeader, FrameKind, RECORD_PREFIX, RecordWalk};
use super::index::Index;
use super::scan::{READ_AHEAD, SegmentScan, Step};
use super::segment;
use super::segments::{Segments, Span};

/// Read at a time for single records.
const READ_ONE: usize = 64 << 10;

/// A range answers with at most this many bytes of records (and at least one record).
pub const RANGE_BYTES_MAX: usize = 16 << 20;

/// Reads synced records from any thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {
    index: Arc<Index>,
}

/// The name of the segment's file, which may lie in the archive, and the byte: `file:byte`.
impl std::fmt::Display for RecordPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = segment::path(self.segment);
        let name = path.rsplit('/').next().unwrap_or_default();
        write!(f, "{name}:{}", self.offset)
    }
}

impl Reader {
    pub(super) fn new(index: Arc<Index>) -> Self {
        Self { index }
    }

    /// The first sequence that cannot be read yet.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.index.next()
    }

    /// The newest durable checkpoint, with its place; none before the first over any record.
    #[must_use]
    pub fn anchor(&self) -> Option<Anchor> {
        self.index.anchor().filter(|anchor| anchor.size() > 0)
    }

    /// First sequences of the segments but the newest, oldest first; those in the archive are among them if it
    /// was there when the journal was opened.
    #[must_use]
    pub fn sealed_segments(&self) -> Vec<u64> {
        self.index.sealed()
    }

    /// The first record from which on every segment is there.
    pub fn whole_from(&self) -> Result<u64, StoreError> {
        let (mut from, mut sealed) = (None, self.index.sealed());
        let newest = self.index.newest();
        while let Some(first) = sealed.pop() {
            match self.index.open(first) {
                Ok(_) => from = Some(first),
                Err(error) if error.kind() == ErrorKind::Archived => break,
                Err(error) => return Err(error),
            }
        }
        Ok(from.unwrap_or(newest))
    }

    /// A segment that has a successor, from end to end; none: it has none.
    pub fn span(&self, segment: u64) -> Result<Option<Span>, StoreError> {
        self.index.span(segment)
    }

    /// The directories that the segments are in.
    #[must_use]
    pub fn segments(&self) -> &Segments {
        self.index.segments()
    }

    /// Moves a segment into the archive, where it can be read as before.
    pub fn archive(&self, key: &LedgerKey, span: &Span) -> Result<(), StoreError> {
        self.archive_while(key, span, &|| true)
    }

    /// The same for as long as `go_on` says yes, which is asked for every piece that is copied; else `Closed`, and
    /// the segment is where it was.
    pub fn archive_while(
        &self,
        key: &LedgerKey,
        span: &Span,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), StoreError> {
        self.index.segments().archive(key, span, go_on)?;
        self.index.forget(span.first);
        Ok(())
    }

    /// Reads one record; `NotFound` if it is not there or not synced.
    pub fn read(&self, seq: u64) -> Result<OwnedRecord, StoreError> {
        let mut cursor = self.lookup(seq);
        let found = cursor.next()?.map(OwnedRecord::new);
        found
            .filter(|record| record.seq() == seq)
            .ok_or_else(|| StoreError::new(ErrorKind::NotFound, format!("find record {seq}")))
    }

    /// Reads up to `limit` records from `from` on; fewer at the end or at `RANGE_BYTES_MAX`.
    pub fn read_range(&self, from: u64, limit: usize) -> Result<Vec<OwnedRecord>, StoreError> {
        let mut cursor = self.lookup(from);
        let (mut records, mut bytes) = (Vec::new(), 0);
        while records.len() < limit && bytes < RANGE_BYTES_MAX {
            let Some(record) = cursor.next()? else { break };
            bytes += record.bytes.len();
            records.push(OwnedRecord::new(record));
        }
        Ok(records)
    }

    /// A cursor that begins with record `from`. Its memory is one read-ahead or one frame.
    #[must_use]
    pub fn cursor(&self, from: u64) -> Cursor {
        self.cursor_reading(from, READ_AHEAD)
    }

    /// A cursor for reading single records from `from` on: it reads little ahead.
    #[must_use]
    pub fn lookup(&self, from: u64) -> Cursor {
        self.cursor_reading(from, READ_ONE)
    }

    fn cursor_reading(&self, from: u64, read_ahead: usize) -> Cursor {
        Cursor {
            index: Arc::clone(&self.index),
            seq: from.max(1),
            read_ahead,
            segment: 0,
            scan: None,
            frame: None,
            position: 0,
            last: RecordPlace::default(),
        }
    }
}

impl Leaves for Reader {
    fn leaves(&self, from: u64, to: u64, visit: &mut dyn FnMut(Hash)) -> Result<(), StoreError> {
        let mut cursor = self.cursor(from.saturating_add(1));
        for leaf in from..to {
            let record = cursor.next()?.ok_or_else(|| {
                StoreError::new(
                    ErrorKind::NotFound,
                    format!("find record {}", leaf.saturating_add(1)),
                )
            })?;
            visit(leaf_hash(record.bytes));
        }
        Ok(())
    }
}

/// Goes over synced records in order. At the end it gives `None`, and more once more is synced.
#[derive(Debug)]
pub struct Cursor {
    index: Arc<Index>,
    /// The record that comes next.
    seq: u64,
    read_ahead: usize,
    segment: u64,
    scan: Option<SegmentScan>,
    frame: Option<(u64, FrameHeader)>,
    /// Of the next record within the frame's payload.
    position: usize,
    last: RecordPlace,
}

/// Where a record stands on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordPlace {
    /// The first record of its segment, which names the segment's file.
    pub segment: u64,
    /// The byte of the segment at which the record begins.
    pub offset: u64,
}

impl Cursor {
    /// Another one, that begins with record `from`.
    pub(super) fn again(&self, from: u64) -> Self {
        Reader::new(Arc::clone(&self.index)).cursor_reading(from, self.read_ahead)
    }

    /// The sequence of the record that comes next.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Where the record stands that `next` gave last.
    #[must_use]
    pub fn place(&self) -> RecordPlace {
        self.last
    }

    /// Makes `seq` the record that comes next. What is in the frame at hand is not read again, so going
    /// through scattered records in their order costs little.
    pub fn seek(&mut self, seq: u64) -> Result<(), StoreError> {
        let before = std::mem::replace(&mut self.seq, seq.max(1));
        match self.frame {
            Some((_, header)) if header.seqs().contains(&self.seq) => {
                let from = if before <= self.seq { before } else { header.first };
                self.position = if from == before { self.position } else { 0 };
                self.skip(from)
            }
            _ => {
                // A scan only goes on; from a mark there is less to go through.
                (self.frame, self.scan) = (None, None);
                Ok(())
            }
        }
    }

    /// The next record, borrowed until the next call.
    #[expect(
        clippy::should_implement_trait,
        reason = "it lends from its buffer, which an Iterator cannot"
    )]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, StoreError> {
        if self.frame.is_none_or(|(_, header)| self.seq >= header.seqs().end)
            && !self.next_frame()?
        {
            return Ok(None);
        }
        let seq = self.seq;
        let (Some(scan), Some((at, header))) = (&self.scan, self.frame) else { return Ok(None) };
        let bad = |why: &'static str| {
            let file = scan.path().to_owned();
            StoreError::corrupt(
                Place { file, bytes: at..at + header.total(), seqs: seq..seq + 1 },
                why,
            )
        };
        let rest = scan.payload().get(self.position..).unwrap_or_default();
        let bytes = RecordWalk::new(rest)
            .next()
            .ok_or("the frame has too few records")
            .flatten()
            .map_err(bad)?;
        let offset = at + (FRAME_HEADER + self.position + RECORD_PREFIX) as u64;
        self.last = RecordPlace { segment: self.segment, offset };
        self.position += RECORD_PREFIX + bytes.len();
        self.seq += 1;
        decode(seq, bytes).map(Some)
    }

    /// Goes to the frame that holds `seq`.
    fn next_frame(&mut self) -> Result<bool, StoreError> {
        self.frame = None;
        let Some(place) = self.index.locate(self.seq)? else { return Ok(false) };
        let mut scan = match self.scan.take() {
            // Still the segment that it was in: it may have grown.
            Some(mut scan) if self.segment == place.segment => {
                scan.extend(self.index.end_of(place.segment).unwrap_or(place.end));
                scan
            }
            _ => {
                let (file, path) = self.index.open(place.segment)?;
                self.segment = place.segment;
                SegmentScan::new(file, path, place.salt, place.offset..place.end)
                    .with_read_ahead(self.read_ahead)
            }
        };
        loop {
            let why = match scan.step()? {
                Step::Frame(_, header) if header.kind == FrameKind::Checkpoint => continue,
                Step::Frame(_, header) if header.seqs().end <= self.seq => continue,
                Step::Frame(at, header) if header.seqs().contains(&self.seq) => {
                    self.frame = Some((at, header));
                    break;
                }
                Step::Frame(..) => "a record is missing",
                Step::End => "the segment ends too early",
                Step::Bad(_) => "a frame is damaged",
            };
            return Err(StoreError::corrupt(scan.place(place.end, self.seq..self.seq + 1), why));
        }
        self.position = 0;
        self.scan = Some(scan);
        self.skip(self.frame.map_or(self.seq, |(_, header)| header.first))?;
        Ok(true)
    }

    /// Goes from record `from`, where the position is, to the one that comes next.
    fn skip(&mut self, from: u64) -> Result<(), StoreError> {
        let (Some(scan), Some((at, header))) = (&self.scan, self.frame) else { return Ok(()) };
        let mut walk = RecordWalk::new(scan.payload().get(self.position..).unwrap_or_default());
        for seq in from..self.seq {
            let bytes =
                walk.next().ok_or("the frame has too few records").flatten().map_err(|why| {
                    let bytes = at..at + header.total();
                    StoreError::corrupt(
                        Place { file: scan.path().to_owned(), bytes, seqs: seq..seq + 1 },
                        why,
                    )
                })?;
            self.position += RECORD_PREFIX + bytes.len();
        }
        Ok(())
    }
}
