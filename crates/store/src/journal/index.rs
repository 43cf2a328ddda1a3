//! Where records stand: a sparse index in memory, shared by the writer and all readers.
//!
//! A mark is 16 bytes. A frame gets one if it begins 64 records or 64 KiB after the last marked one, so a
//! million records cost at most 250 000 bytes, or 16 bytes per 64 KiB of journal if records are larger. What
//! stands before the place from which the journal was opened gets its marks when somebody first reads there.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::error::StoreError;
use crate::files::File;
use crate::ledger::PublicKey;

use super::anchor::Anchor;
use super::frame::FrameKind;
use super::recovery::read_header;
use super::scan::{SegmentScan, Step};
use super::segments::{Segments, Span};

const MARK_RECORDS: u64 = 64;
const MARK_BYTES: u64 = 64 << 10;

/// Open segment files kept by readers; more would only hold descriptors.
const HANDLES_MAX: usize = 32;

#[derive(Debug, Clone, Copy)]
struct Mark {
    seq: u64,
    offset: u64,
}

/// Records that follow each other in one segment.
#[derive(Debug)]
struct Stretch {
    /// First sequence of the segment.
    segment: u64,
    first: u64,
    /// The first sequence behind it; where the next stretch begins, if that is not known yet.
    next: u64,
    salt: u64,
    /// End of the synced bytes.
    end: u64,
    /// None: nobody has read it yet.
    marks: Vec<Mark>,
}

impl Stretch {
    fn add_frame(&mut self, first: u64, offset: u64) {
        if self.marks.last().is_none_or(|last| {
            first - last.seq >= MARK_RECORDS || offset - last.offset >= MARK_BYTES
        }) {
            self.marks.push(Mark { seq: first, offset });
        }
    }
}

#[derive(Debug, Default)]
struct State {
    stretches: Vec<Stretch>,
    /// The first sequence that is not synced yet.
    next: u64,
    /// The newest checkpoint.
    anchor: Option<Anchor>,
}

/// Where to begin to read.
#[derive(Debug)]
pub(crate) struct Location {
    pub(crate) segment: u64,
    pub(crate) salt: u64,
    pub(crate) offset: u64,
    pub(crate) end: u64,
}

/// What is known about a record's place.
enum Found {
    At(Location),
    /// In the stretch that begins with this record.
    Unread(u64),
    /// In a segment that is not here.
    Absent,
    NotSynced,
}

/// A segment that readers hold open.
#[derive(Debug, Clone)]
struct Held {
    segment: u64,
    file: Arc<dyn File>,
    /// For messages.
    name: String,
}

/// The index of all synced records.
#[derive(Debug)]
pub(crate) struct Index {
    segments: Segments,
    key: PublicKey,
    state: RwLock<State>,
    handles: Mutex<VecDeque<Held>>,
    /// Held while a stretch is read, so that nobody reads it at the same time for nothing.
    reading: Mutex<()>,
}

impl Index {
    pub(crate) fn new(segments: Segments, key: PublicKey) -> Self {
        let (state, handles) = (RwLock::default(), Mutex::default());
        Self { segments, key, state, handles, reading: Mutex::default() }
    }

    /// Notes the records of a segment up to `next`, to be looked at when somebody reads them. Older ones first.
    pub(crate) fn add_unread(&self, segment: u64, next: u64) {
        let (first, marks) = (segment, Vec::new());
        let stretch = Stretch { segment, first, next, salt: 0, end: 0, marks };
        self.write(|state| {
            state.stretches.push(stretch);
            state.next = next;
        });
    }

    /// Begins a stretch of a segment whose first frame, of record `first`, will be at `offset`.
    pub(crate) fn add_stretch(&self, segment: u64, first: u64, salt: u64, offset: u64) {
        let marks = vec![Mark { seq: first, offset }];
        self.write(|state| {
            state.stretches.push(Stretch { segment, first, next: first, salt, end: offset, marks });
            state.next = first;
        });
    }

    /// Publishes a synced frame of the newest segment: records `first..next` in bytes `offset..end`.
    pub(crate) fn add_frame(&self, first: u64, next: u64, offset: u64, end: u64) {
        self.write(|state| {
            state.next = next;
            let Some(stretch) = state.stretches.last_mut() else { return };
            stretch.end = end;
            stretch.next = next;
            stretch.add_frame(first, offset);
        });
    }

    /// Publishes a durable checkpoint.
    pub(crate) fn set_anchor(&self, anchor: Anchor) {
        self.write(|state| state.anchor = Some(anchor));
    }

    /// The newest durable checkpoint.
    pub(crate) fn anchor(&self) -> Option<Anchor> {
        self.read(|state| state.anchor.clone())
    }

    /// Forgets all from byte `end` of the newest segment on, whose records begin with `next`.
    pub(crate) fn cut(&self, next: u64, end: u64) {
        self.write(|state| {
            state.next = next;
            let Some(stretch) = state.stretches.last_mut() else { return };
            stretch.end = end;
            stretch.next = next;
            stretch.marks.retain(|mark| mark.offset < end || mark.seq == stretch.first);
            if next == stretch.first {
                state.stretches.pop();
            }
        });
    }

    /// The first sequence that is not synced yet.
    pub(crate) fn next(&self) -> u64 {
        self.read(|state| state.next)
    }

    /// The segments that are not the newest, oldest first.
    pub(crate) fn sealed(&self) -> Vec<u64> {
        let mut firsts: Vec<u64> =
            self.read(|state| state.stretches.iter().map(|it| it.segment).collect());
        firsts.dedup();
        firsts.pop();
        firsts
    }

    /// First sequence of the newest segment.
    pub(crate) fn newest(&self) -> u64 {
        self.read(|state| state.stretches.last().map_or(1, |it| it.segment))
    }

    /// A segment that is not the newest, from end to end; its successor has signed where it ends.
    pub(crate) fn span(&self, segment: u64) -> Result<Option<Span>, StoreError> {
        let next = self.read(|state| {
            let at = state.stretches.partition_point(|it| it.segment <= segment);
            state.stretches.get(at).map(|it| it.segment)
        });
        let Some(next) = next else { return Ok(None) };
        let header = read_header(self.segments.lookup(), next, &self.key)?.1;
        let end = header.checkpoint.statement().sealed_at;
        Ok(end.map(|end| Span { first: segment, next, end }))
    }

    /// The place at or before which the frame of `seq` begins; `None` if it is not synced.
    pub(crate) fn locate(&self, seq: u64) -> Result<Option<Location>, StoreError> {
        loop {
            match self.read(|state| state.find(seq)) {
                Found::At(location) => return Ok(Some(location)),
                Found::Unread(first) => self.read_stretch(first)?,
                Found::Absent => return Err(StoreError::archived(format!("record {seq}"))),
                Found::NotSynced => return Ok(None),
            }
        }
    }

    /// The synced end of a segment.
    pub(crate) fn end_of(&self, segment: u64) -> Option<u64> {
        self.read(|state| {
            let at = state.stretches.partition_point(|it| it.segment <= segment);
            let stretch = state.stretches.get(at.checked_sub(1)?)?;
            (stretch.segment == segment).then_some(stretch.end)
        })
    }

    /// An open handle of a segment, and its name for messages.
    pub(crate) fn open(&self, segment: u64) -> Result<(Arc<dyn File>, String), StoreError> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = handles.iter().find(|held| held.segment == segment) {
            return Ok((Arc::clone(&held.file), held.name.clone()));
        }
        let (file, name) = self.segments.lookup().open(segment)?;
        if handles.len() >= HANDLES_MAX {
            handles.pop_front();
        }
        handles.push_back(Held { segment, file: Arc::clone(&file), name: name.clone() });
        Ok((file, name))
    }

    /// Forgets the handle of a segment that was moved.
    pub(crate) fn forget(&self, segment: u64) {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.retain(|held| held.segment != segment);
    }

    pub(crate) fn segments(&self) -> &Segments {
        &self.segments
    }

    /// Makes the marks of a stretch that nobody has read yet.
    fn read_stretch(&self, first: u64) -> Result<(), StoreError> {
        let _one = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let unread = |it: &&Stretch| it.marks.is_empty();
        let limit = self.read(|state| state.stretch(first).filter(unread).map(|it| it.next));
        let Some(limit) = limit else { return Ok(()) };
        let (file, header, name) = read_header(self.segments.lookup(), first, &self.key)?;
        let length = file.len().map_err(|error| StoreError::io(format!("read `{name}`"), error))?;
        let marks = vec![Mark { seq: first, offset: header.length }];
        let (segment, next, end) = (first, first, header.length);
        let mut read = Stretch { segment, first, next, salt: header.salt, end, marks };
        let mut scan = SegmentScan::new(file, name, header.salt, header.length..length);
        while read.next < limit {
            match scan.step()? {
                Step::End => break,
                Step::Frame(_, frame) if frame.kind == FrameKind::Checkpoint => {}
                Step::Frame(at, frame) if frame.first == read.next => {
                    read.next = frame.seqs().end;
                    read.end = scan.offset();
                    read.add_frame(frame.first, at);
                }
                Step::Frame(..) | Step::Bad(_) => {
                    let place = scan.place(length, read.next..limit);
                    return Err(StoreError::corrupt(place, "a frame is damaged"));
                }
            }
        }
        self.write(|state| {
            if let Some(stretch) = state.stretch_mut(first) {
                *stretch = read;
            }
        });
        Ok(())
    }

    // Every change below is complete or not begun when a panic could come, so poison means nothing here.
    fn write(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn find(&self, seq: u64) -> Found {
        if seq >= self.next {
            return Found::NotSynced;
        }
        let at = self.stretches.partition_point(|stretch| stretch.first <= seq);
        let found = at.checked_sub(1).and_then(|at| self.stretches.get(at));
        let Some(stretch) = found.filter(|stretch| seq < stretch.next) else {
            return Found::Absent;
        };
        let at = stretch.marks.partition_point(|mark| mark.seq <= seq);
        match at.checked_sub(1).and_then(|at| stretch.marks.get(at)) {
            None => Found::Unread(stretch.first),
            Some(mark) => {
                let Stretch { segment, salt, end, .. } = *stretch;
                Found::At(Location { segment, salt, offset: mark.offset, end })
            }
        }
    }

    fn stretch(&self, first: u64) -> Option<&Stretch> {
        let at = self.stretches.binary_search_by_key(&first, |stretch| stretch.first).ok()?;
        self.stretches.get(at)
    }

    fn stretch_mut(&mut self, first: u64) -> Option<&mut Stretch> {
        let at = self.stretches.binary_search_by_key(&first, |stretch| stretch.first).ok()?;
        self.stretches.get_mut(at)
    }
}
