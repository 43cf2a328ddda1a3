//! Where records stand: a sparse index in memory, shared by the writer and all readers.
//!
//! A mark is 16 bytes. A frame gets one if it begins 64 records or 64 KiB after the last marked one, so a
//! million records cost at most 250 000 bytes, or 16 bytes per 64 KiB of journal if records are larger.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::error::StoreError;
use crate::files::{File, Files};

use super::segment;

const MARK_RECORDS: u64 = 64;
const MARK_BYTES: u64 = 64 << 10;

/// Open segment files kept by readers; more would only hold descriptors.
const HANDLES_MAX: usize = 32;

#[derive(Debug, Clone, Copy)]
struct Mark {
    seq: u64,
    offset: u64,
}

#[derive(Debug)]
struct SegmentIndex {
    first: u64,
    salt: u64,
    /// End of the synced bytes.
    end: u64,
    marks: Vec<Mark>,
}

#[derive(Debug, Default)]
struct State {
    segments: Vec<SegmentIndex>,
    /// The first sequence that is not synced yet.
    next: u64,
}

/// Where to begin to read.
#[derive(Debug)]
pub(crate) struct Location {
    pub(crate) segment: u64,
    pub(crate) salt: u64,
    pub(crate) offset: u64,
    pub(crate) end: u64,
}

/// The index of all synced records.
#[derive(Debug)]
pub(crate) struct Index {
    files: Arc<dyn Files>,
    state: RwLock<State>,
    handles: Mutex<VecDeque<(u64, Arc<dyn File>)>>,
}

impl Index {
    pub(crate) fn new(files: Arc<dyn Files>) -> Self {
        Self { files, state: RwLock::default(), handles: Mutex::default() }
    }

    /// Begins a segment whose first frame will be at `offset`.
    pub(crate) fn add_segment(&self, first: u64, salt: u64, offset: u64) {
        let marks = vec![Mark { seq: first, offset }];
        self.write(|state| {
            state.segments.push(SegmentIndex { first, salt, end: offset, marks });
            state.next = first;
        });
    }

    /// Publishes a synced frame of the newest segment: records `first..next` in bytes `offset..end`.
    pub(crate) fn add_frame(&self, first: u64, next: u64, offset: u64, end: u64) {
        self.write(|state| {
            state.next = next;
            let Some(segment) = state.segments.last_mut() else { return };
            segment.end = end;
            if let Some(last) = segment.marks.last()
                && (first - last.seq >= MARK_RECORDS || offset - last.offset >= MARK_BYTES)
            {
                segment.marks.push(Mark { seq: first, offset });
            }
        });
    }

    /// Forgets all from byte `end` of the newest segment on, whose records begin with `next`.
    pub(crate) fn cut(&self, next: u64, end: u64) {
        self.write(|state| {
            state.next = next;
            let Some(segment) = state.segments.last_mut() else { return };
            segment.end = end;
            segment.marks.retain(|mark| mark.offset < end || mark.seq == segment.first);
            if next == segment.first {
                state.segments.pop();
            }
        });
    }

    /// The first sequence that is not synced yet.
    pub(crate) fn next(&self) -> u64 {
        self.read(|state| state.next)
    }

    /// The place at or before which the frame of `seq` begins; `None` if it is not synced.
    pub(crate) fn locate(&self, seq: u64) -> Option<Location> {
        self.read(|state| {
            if seq >= state.next {
                return None;
            }
            let at = state.segments.partition_point(|segment| segment.first <= seq);
            let segment = state.segments.get(at.checked_sub(1)?)?;
            let at = segment.marks.partition_point(|mark| mark.seq <= seq);
            let mark = segment.marks.get(at.checked_sub(1)?)?;
            let SegmentIndex { first, salt, end, .. } = *segment;
            Some(Location { segment: first, salt, offset: mark.offset, end })
        })
    }

    /// The synced end of a segment.
    pub(crate) fn end_of(&self, first: u64) -> Option<u64> {
        self.read(|state| {
            let at = state.segments.binary_search_by_key(&first, |segment| segment.first).ok()?;
            Some(state.segments.get(at)?.end)
        })
    }

    /// An open handle of a segment.
    pub(crate) fn open(&self, first: u64) -> Result<Arc<dyn File>, StoreError> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = handles.iter().find(|(segment, _)| *segment == first) {
            return Ok(Arc::clone(file));
        }
        let path = segment::path(first);
        let file = self
            .files
            .open(&path)
            .map_err(|error| StoreError::io(format!("open `{path}`"), error))?;
        if handles.len() >= HANDLES_MAX {
            handles.pop_front();
        }
        handles.push_back((first, Arc::clone(&file)));
        Ok(file)
    }

    // Every change below is complete or not begun when a panic could come, so poison means nothing here.
    fn write(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}
