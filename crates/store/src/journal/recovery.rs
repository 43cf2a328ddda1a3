//! Opening a journal: checks what is there, cuts a torn tail, and writes what no checkpoint covers anew.
//!
//! After a failed sync the page cache may show bytes as clean that never reached the disk. So nothing after
//! the last checkpoint is believed to be durable: those records are written into a new segment, synced there,
//! and only then served. The new segment's header signs where the old one ends, so whatever the old one holds
//! behind that byte is void, whether or not it is cut off yet. A crash at any point leaves either the old state
//! (plus an unfinished file that is removed) or the new one (plus bytes that are cut at the next opening).

use std::ops::Range;
use std::sync::Arc;

use crate::error::{ErrorKind, Place, StoreError};
use crate::files::{File, Files, UNFINISHED};
use crate::ledger::{LedgerKey, NOTE_BYTES_MAX, PublicKey, Statement};
use crate::merkle::Tree;

use super::anchor::Anchor;
use super::chain::Chain;
use super::frame::{FRAME_HEADER, FrameHeader, FrameKind};
use super::index::Index;
use super::scan::{Rest, SegmentScan, Step};
use super::segment::{HEADER_MAX, JOURNAL_DIR, NEWER, SegmentHeader, first_of, path};
use super::segments::{ARCHIVE_NOTE, ArchiveNote, Lookup, Segments};
use super::{Position, Settings};

/// A segment's end is signed by its successor, so one between them cannot be left out.
pub(crate) const ENDS_ELSEWHERE: &str =
    "its end is not where its successor says: it is cut short, or another segment follows it";

/// What opening found and did.
pub(super) struct Opened {
    pub(super) position: Position,
    pub(super) index: Arc<Index>,
    pub(super) torn: Option<Place>,
    pub(super) rewritten: u64,
}

/// The newest segment after its scan.
struct Tail {
    file: Arc<dyn File>,
    header: SegmentHeader,
    /// At the end of the records.
    chain: Chain,
    /// The tree at the last checkpoint.
    checkpointed: Tree,
    /// Where the last checkpoint's frame is; empty at the end of the header if that is the last checkpoint.
    checkpoint: Range<u64>,
    /// Where the last valid frame ends.
    end: u64,
    torn: Option<Place>,
}

impl Tail {
    /// The last checkpoint, if it covers everything.
    fn anchor(&self) -> Anchor {
        let Chain { tree, last } = &self.chain;
        let (segment, frame) = (self.header.first(), self.checkpoint.clone());
        Anchor { tree: tree.clone(), checkpoint: last.clone(), segment, frame }
    }
}

/// What a journal is opened with.
pub(super) struct Opening<'a> {
    pub(super) segments: &'a Segments,
    pub(super) settings: &'a Settings,
    pub(super) key: &'a LedgerKey,
    /// Where to begin; none: with the first record.
    pub(super) from: Option<&'a Anchor>,
}

impl Opening<'_> {
    /// Opens the segments in `JOURNAL_DIR`, or makes the first.
    pub(super) fn open(&self) -> Result<Opened, StoreError> {
        let (files, lookup) = (self.files(), self.segments.lookup());
        let here = list(files)?;
        let index = Arc::new(Index::new(self.segments.clone(), self.key.public().clone()));
        // Without the note an archive that is not there has no names; nothing else depends on it.
        let archived = lookup.note(self.key.public()).unwrap_or_default();
        let Some(&newest) = here.last() else {
            if archived.next > 1 {
                let why = format!("there is none, and `{ARCHIVE_NOTE}` names older ones");
                return Err(StoreError::no_segments(1..archived.next, why));
            }
            return self.first_segment(index);
        };
        let mut all = lookup.archived()?;
        all.extend(here.iter().copied());
        if self.from.is_some() {
            // What is not there is missed when somebody reads it.
            all.extend(archived.firsts.iter().copied());
        }
        all.sort_unstable();
        all.dedup();
        let mut next = self.pass_over(&here, &mut all, &index)?;
        for (&first, &after) in all.iter().zip(all.iter().skip(1)) {
            check_next(&archived, next, first)?;
            let header = read_header(lookup, after, self.key.public())?.1;
            next = self.sealed_segment(&index, first, header.checkpoint.statement().sealed_at)?;
        }
        check_next(&archived, next, newest)?;
        let tail = self.newest_segment(&index, newest)?;
        let torn = tail.torn.clone();
        let records = tail.chain.tree.size() - tail.checkpointed.size();
        let position = if records == 0 && torn.is_none() {
            index.set_anchor(tail.anchor());
            resume(files, self.settings, tail)?
        } else {
            rewrite(files, self.settings, self.key, &index, &tail)?
        };
        Ok(Opened { position, index, torn, rewritten: records })
    }

    fn files(&self) -> &dyn Files {
        self.segments.files().as_ref()
    }

    /// Leaves out the segments that are older than where to begin; the first sequence of those left.
    fn pass_over(
        &self,
        here: &[u64],
        all: &mut Vec<u64>,
        index: &Index,
    ) -> Result<u64, StoreError> {
        let Some(from) = self.from else { return Ok(1) };
        if !here.contains(&from.segment) {
            return Err(elsewhere("its segment is not there"));
        }
        let older: Vec<u64> = all.extract_if(.., |first| *first < from.segment).collect();
        let ends = older.iter().skip(1).chain([&from.segment]);
        for (&first, &next) in older.iter().zip(ends) {
            index.add_unread(first, next);
        }
        if from.size() >= from.segment {
            index.add_unread(from.segment, from.size() + 1);
        }
        Ok(from.segment)
    }

    fn first_segment(&self, index: Arc<Index>) -> Result<Opened, StoreError> {
        if self.from.is_some() {
            return Err(elsewhere("there are no records"));
        }
        let tree = Tree::default();
        let statement = Statement { size: 0, root: tree.root(), previous: None, sealed_at: None };
        let checkpoint = self.key.sign(&statement);
        let header = super::header_bytes(&tree, &checkpoint)?;
        let new = NewSegment::create(self.files(), 1, &header, self.settings.segment_bytes)?;
        let file = new.publish(self.files())?;
        let chain = Chain { tree, last: checkpoint };
        let position = Position::new(file, chain, header.len() as u64, self.settings);
        index.add_stretch(1, 1, position.salt, position.end);
        Ok(Opened { position, index, torn: None, rewritten: 0 })
    }

    /// Where to begin, if it is in this segment.
    fn begins_in(
        &self,
        file: &Arc<dyn File>,
        header: &SegmentHeader,
    ) -> Result<Option<&Anchor>, StoreError> {
        let Some(from) = self.from.filter(|from| from.segment == header.first()) else {
            return Ok(None);
        };
        check_anchor(file, header, from)?;
        Ok(Some(from))
    }

    /// Checks and indexes a segment that has a successor; cuts what stands behind its signed end.
    fn sealed_segment(
        &self,
        index: &Index,
        first: u64,
        sealed_at: Option<u64>,
    ) -> Result<u64, StoreError> {
        let (file, header, name) = read_header(self.segments.lookup(), first, self.key.public())?;
        let io = |error| StoreError::io(format!("read `{name}`"), error);
        let length = file.len().map_err(io)?;
        let (mut next, start) = match self.begins_in(&file, &header)? {
            Some(from) => (from.size() + 1, from.frame.end),
            None => (first, header.length),
        };
        index.add_stretch(first, next, header.salt, start);
        let end = sealed_at.unwrap_or(length);
        let mut scan =
            SegmentScan::new(Arc::clone(&file), name.clone(), header.salt, start..length);
        while scan.offset() < end {
            match scan.step()? {
                Step::End => break,
                Step::Frame(at, frame) if frame.first == next => {
                    next = frame.seqs().end;
                    index.add_frame(frame.first, next, at, scan.offset());
                }
                Step::Frame(at, frame) => {
                    let (bytes, seqs) = (at..scan.offset(), next..frame.first.max(next));
                    let place = Place { file: name, bytes, seqs };
                    return Err(StoreError::corrupt(place, "the sequence does not follow"));
                }
                Step::Bad(frame) => {
                    let frame_end =
                        frame.map_or(end, |frame| (scan.offset() + frame.total()).min(length));
                    let seqs = next..frame.map_or(next + 1, |frame| frame.seqs().end);
                    let place = scan.place(frame_end, seqs);
                    return Err(StoreError::corrupt(place, "a frame is damaged"));
                }
            }
        }
        if scan.offset() != end {
            return Err(StoreError::corrupt(scan.place(end, next..next), ENDS_ELSEWHERE));
        }
        if length > end {
            file.truncate(end).map_err(|error| StoreError::io("cut a sealed segment", error))?;
        }
        Ok(next)
    }

    /// Scans the newest segment with the tree, and judges what stands behind its last frame.
    fn newest_segment(&self, index: &Index, first: u64) -> Result<Tail, StoreError> {
        let key = self.key.public();
        let (file, header, name) = read_header(self.segments.lookup(), first, key)?;
        let length = file.len().map_err(|error| StoreError::io(format!("read `{name}`"), error))?;
        let (mut chain, mut checkpoint) = match self.begins_in(&file, &header)? {
            Some(Anchor { tree, checkpoint, frame, .. }) => {
                (Chain { tree: tree.clone(), last: checkpoint.clone() }, frame.clone())
            }
            None => (Chain::from_header(&header), header.length..header.length),
        };
        let mut checkpointed = chain.tree.clone();
        let (mut torn, start) = (None, checkpoint.end);
        index.add_stretch(first, chain.next(), header.salt, start);
        let mut scan = SegmentScan::new(Arc::clone(&file), name, header.salt, start..length);
        loop {
            let next = chain.next();
            match scan.step()? {
                Step::End => break,
                Step::Frame(at, frame) => {
                    let taken = match frame.kind {
                        FrameKind::Batch => chain.batch(&frame, scan.payload(), &mut |_| Ok(())),
                        FrameKind::Checkpoint => chain.checkpoint(&frame, scan.payload(), key),
                    };
                    let (file, bytes) = (path(first), at..scan.offset());
                    taken.map_err(|why| {
                        let seqs = next..frame.seqs().end.max(next);
                        StoreError::corrupt(Place { file, bytes, seqs }, why)
                    })?;
                    if frame.kind == FrameKind::Checkpoint {
                        checkpointed = chain.tree.clone();
                        checkpoint = at..scan.offset();
                    }
                    index.add_frame(frame.first, chain.next(), at, scan.offset());
                }
                Step::Bad(frame) => {
                    torn = judge(&mut scan, frame, next)?;
                    break;
                }
            }
        }
        Ok(Tail { file, header, end: scan.offset(), chain, checkpointed, checkpoint, torn })
    }
}

/// First sequences of the segments in the journal's directory. What an earlier process left unfinished goes.
fn list(files: &dyn Files) -> Result<Vec<u64>, StoreError> {
    let io = |error| StoreError::io(format!("open `{JOURNAL_DIR}`"), error);
    files.make_dir(JOURNAL_DIR).map_err(io)?;
    let mut firsts = Vec::new();
    for name in files.list(JOURNAL_DIR).map_err(io)? {
        if name.ends_with(UNFINISHED) {
            files.remove(&format!("{JOURNAL_DIR}/{name}")).map_err(io)?;
        } else {
            firsts.extend(first_of(&name));
        }
    }
    // What the last process made or renamed may not be durable yet.
    files.sync_dir(JOURNAL_DIR).map_err(io)?;
    files.sync_dir("").map_err(io)?;
    firsts.sort_unstable();
    Ok(firsts)
}

/// The place to begin is none of this journal.
fn elsewhere(why: &str) -> StoreError {
    StoreError::new(ErrorKind::Conflict, format!("go on from a checkpoint: {why}"))
}

/// INVARIANT: nothing is taken from an anchor whose checkpoint is not where it says, byte for byte.
fn check_anchor(
    file: &Arc<dyn File>,
    header: &SegmentHeader,
    anchor: &Anchor,
) -> Result<(), StoreError> {
    let holds = if anchor.frame.is_empty() {
        anchor.frame.start == header.length && anchor.checkpoint == header.checkpoint
    } else {
        let (range, name) = (anchor.frame.clone(), path(anchor.segment));
        let mut scan = SegmentScan::new(Arc::clone(file), name, header.salt, range)
            .with_read_ahead(FRAME_HEADER + NOTE_BYTES_MAX);
        let is_checkpoint = matches!(
            scan.step()?,
            Step::Frame(_, frame)
                if frame.kind == FrameKind::Checkpoint && frame.first == anchor.size() + 1
        );
        is_checkpoint
            && scan.payload() == anchor.checkpoint.note().as_bytes()
            && scan.offset() == anchor.frame.end
    };
    if holds { Ok(()) } else { Err(elsewhere("it is not in its place")) }
}

/// A segment file under an unfinished name.
pub(super) struct NewSegment {
    file: Arc<dyn File>,
    first: u64,
}

impl NewSegment {
    /// Makes a file of at least `bytes` that begins with `header`.
    pub(super) fn create(
        files: &dyn Files,
        first: u64,
        header: &[u8],
        bytes: u64,
    ) -> Result<Self, StoreError> {
        let unfinished = path(first) + UNFINISHED;
        let create = || {
            let file = files.create(&unfinished, bytes.max(header.len() as u64))?;
            file.write_at(header, 0)?;
            Ok(file)
        };
        let file =
            create().map_err(|error| StoreError::io(format!("create `{unfinished}`"), error))?;
        Ok(Self { file, first })
    }

    /// Makes its bytes durable and gives it its name, replacing a segment of that name.
    pub(super) fn publish(self, files: &dyn Files) -> Result<Arc<dyn File>, StoreError> {
        let name = path(self.first);
        let publish = || {
            self.file.sync()?;
            files.rename(&(name.clone() + UNFINISHED), &name)?;
            files.sync_dir(JOURNAL_DIR)
        };
        publish().map_err(|error| StoreError::io(format!("create `{name}`"), error))?;
        Ok(self.file)
    }
}

fn check_next(archived: &ArchiveNote, next: u64, first: u64) -> Result<(), StoreError> {
    if next == first {
        return Ok(());
    }
    if archived.is_whole(&(next..first)) {
        return Err(StoreError::archived(format!("records {next} to {}", first - 1)));
    }
    let (file, seqs) = (path(first), next.min(first)..next.max(first));
    let why =
        if next < first { "records before this segment are missing" } else { "segments overlap" };
    Err(StoreError::corrupt(Place { file, bytes: 0..0, seqs }, why))
}

/// Opens a segment and reads its header; gives also its name for messages.
pub(crate) fn read_header(
    lookup: Lookup<'_>,
    first: u64,
    key: &PublicKey,
) -> Result<(Arc<dyn File>, SegmentHeader, String), StoreError> {
    let (file, name) = lookup.open(first)?;
    let mut bytes = vec![0; HEADER_MAX];
    let read = file.read_at(&mut bytes, 0);
    let read = read.map_err(|error| StoreError::io(format!("read `{name}`"), error))?;
    bytes.truncate(read);
    let header = SegmentHeader::decode(&bytes, key).and_then(|header| {
        if header.first() == first { Ok(header) } else { Err("the segment's name is not its own") }
    });
    let header = header.map_err(|why| {
        let (bytes, seqs) = (0..read as u64, first..first + 1);
        let place = Place { file: name.clone(), bytes, seqs };
        match why {
            NEWER => StoreError::newer(format!("read `{name}`")).at(place),
            _ => StoreError::corrupt(place, why),
        }
    })?;
    Ok((file, header, name))
}

/// The torn tail, if there is one; anything but zeros and a torn tail is an error.
fn judge(
    scan: &mut SegmentScan,
    frame: Option<FrameHeader>,
    next: u64,
) -> Result<Option<Place>, StoreError> {
    if let Some(frame) = frame.filter(|frame| frame.first != next) {
        let place = scan.place(scan.offset() + frame.total(), next..frame.first.max(next));
        return Err(StoreError::corrupt(place, "the sequence does not follow"));
    }
    let seqs = next..frame.map_or(next + 1, |frame| frame.seqs().end);
    match scan.rest(frame)? {
        Rest::Zeros => Ok(None),
        Rest::Torn(end) => Ok(Some(scan.place(end, seqs))),
        Rest::Foreign { why, end, seq } => {
            Err(StoreError::corrupt(scan.place(end, next..seq.max(next)), why))
        }
    }
}

/// Goes on in the newest segment: a checkpoint covers all its records, so only that checkpoint's own frame may
/// not be durable. The same bytes are written over it, which no crash can tear, and synced.
fn resume(files: &dyn Files, settings: &Settings, tail: Tail) -> Result<Position, StoreError> {
    let name = path(tail.header.first());
    let restore = || {
        let Range { start, end } = tail.checkpoint;
        let mut frame = vec![0; usize::try_from(end - start).map_err(std::io::Error::other)?];
        tail.file.read_at(&mut frame, start)?;
        tail.file.write_at(&frame, start)?;
        tail.file.reserve(settings.segment_bytes)?;
        tail.file.sync()?;
        files.sync_dir(JOURNAL_DIR)?;
        tail.file.len()
    };
    let capacity = restore().map_err(|error| StoreError::io(format!("resume `{name}`"), error))?;
    let Tail { file, header, chain, end, .. } = tail;
    Ok(Position { file, first: header.first(), salt: header.salt, capacity, end, chain })
}

/// Moves all behind the last checkpoint into a new segment.
fn rewrite(
    files: &dyn Files,
    settings: &Settings,
    key: &LedgerKey,
    index: &Index,
    tail: &Tail,
) -> Result<Position, StoreError> {
    let cut = tail.checkpoint.end;
    let whole = cut == tail.header.length;
    let checkpoint = if whole {
        // The last checkpoint is the header itself: the new file replaces this one under its name.
        tail.header.checkpoint.clone()
    } else {
        key.sign(&Statement {
            size: tail.checkpointed.size(),
            root: tail.checkpointed.root(),
            previous: Some(tail.chain.last.hash()),
            sealed_at: Some(cut),
        })
    };
    let first = tail.checkpointed.size() + 1;
    let header = super::header_bytes(&tail.checkpointed, &checkpoint)?;
    let mut at = header.len() as u64;
    let bytes = settings.segment_bytes.max(at + tail.end - cut);
    let new = NewSegment::create(files, first, &header, bytes)?;
    let salt = super::segment::salt(&checkpoint);
    let name = path(tail.header.first());
    let mut scan = SegmentScan::new(Arc::clone(&tail.file), name, tail.header.salt, cut..tail.end);
    let mut moved = Vec::new();
    let mut buffer = Vec::new();
    while let Step::Frame(_, frame) = scan.step()? {
        buffer.clear();
        buffer.resize(FRAME_HEADER, 0);
        buffer.extend_from_slice(scan.payload());
        FrameHeader::seal(frame.kind, frame.first, frame.count, salt, &mut buffer)
            .ok_or_else(|| StoreError::invalid("seal a frame again"))?;
        new.file
            .write_at(&buffer, at)
            .map_err(|error| StoreError::io("write recovered records", error))?;
        moved.push((frame.seqs(), at..at + buffer.len() as u64));
        at += buffer.len() as u64;
    }
    let file = new.publish(files)?;
    index.cut(first, cut);
    index.add_stretch(first, first, salt, header.len() as u64);
    for (seqs, bytes) in moved {
        index.add_frame(seqs.start, seqs.end, bytes.start, bytes.end);
    }
    if !whole {
        tail.file.truncate(cut).map_err(|error| StoreError::io("cut a sealed segment", error))?;
    }
    let frame = header.len() as u64..header.len() as u64;
    let (tree, segment) = (tail.checkpointed.clone(), first);
    index.set_anchor(Anchor { tree, checkpoint: checkpoint.clone(), segment, frame });
    let chain = Chain { tree: tail.chain.tree.clone(), last: checkpoint };
    let capacity = file.len().map_err(|error| StoreError::io("open the new segment", error))?;
    Ok(Position { file, first, salt, capacity, end: at, chain })
}
