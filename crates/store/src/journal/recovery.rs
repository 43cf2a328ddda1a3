//! Opening a journal: checks what is there, cuts a torn tail, and writes what no checkpoint covers anew.
//!
//! After a failed sync the page cache may show bytes as clean that never reached the disk. So nothing after
//! the last checkpoint is believed to be durable: those records are written into a new segment, synced there,
//! and only then served. The new segment's header signs where the old one ends, so whatever the old one holds
//! behind that byte is void, whether or not it is cut off yet. A crash at any point leaves either the old state
//! (plus an unfinished file that is removed) or the new one (plus bytes that are cut at the next opening).

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Place, StoreError};
use crate::files::{File, Files, UNFINISHED};
use crate::ledger::{LedgerKey, PublicKey, Statement};
use crate::merkle::Tree;

use super::chain::Chain;
use super::frame::{FRAME_HEADER, FrameHeader, FrameKind};
use super::index::Index;
use super::scan::{Rest, SegmentScan, Step};
use super::segment::{HEADER_MAX, JOURNAL_DIR, SegmentHeader, first_of, path};
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

/// Opens the segments in `JOURNAL_DIR`, or makes the first.
pub(super) fn open(
    files: &Arc<dyn Files>,
    settings: &Settings,
    key: &LedgerKey,
) -> Result<Opened, StoreError> {
    let io = |error| StoreError::io(format!("open `{JOURNAL_DIR}`"), error);
    files.make_dir(JOURNAL_DIR).map_err(io)?;
    let mut segments = Vec::new();
    for name in files.list(JOURNAL_DIR).map_err(io)? {
        if name.ends_with(UNFINISHED) {
            files.remove(&format!("{JOURNAL_DIR}/{name}")).map_err(io)?;
        } else {
            segments.extend(first_of(&name));
        }
    }
    // What the last process made or renamed may not be durable yet.
    files.sync_dir(JOURNAL_DIR).map_err(io)?;
    files.sync_dir("").map_err(io)?;
    segments.sort_unstable();
    let index = Arc::new(Index::new(Arc::clone(files)));
    let Some((&newest, older)) = segments.split_last() else {
        return first_segment(files, settings, key, index);
    };
    let mut next = 1;
    for (&first, &after) in older.iter().zip(segments.iter().skip(1)) {
        check_next(next, first)?;
        let sealed_at =
            read_header(files.as_ref(), after, key.public())?.1.checkpoint.statement().sealed_at;
        next = sealed_segment(files.as_ref(), key.public(), &index, first, sealed_at)?;
    }
    check_next(next, newest)?;
    let tail = newest_segment(files.as_ref(), key.public(), &index, newest)?;
    let torn = tail.torn.clone();
    let records = tail.chain.tree.size() - tail.checkpointed.size();
    let position = if records == 0 && torn.is_none() {
        resume(files.as_ref(), settings, tail)?
    } else {
        rewrite(files, settings, key, &index, &tail)?
    };
    Ok(Opened { position, index, torn, rewritten: records })
}

fn first_segment(
    files: &Arc<dyn Files>,
    settings: &Settings,
    key: &LedgerKey,
    index: Arc<Index>,
) -> Result<Opened, StoreError> {
    let tree = Tree::default();
    let statement = Statement { size: 0, root: tree.root(), previous: None, sealed_at: None };
    let checkpoint = key.sign(&statement);
    let header = super::header_bytes(&tree, &checkpoint)?;
    let new = NewSegment::create(files.as_ref(), 1, &header, settings.segment_bytes)?;
    let file = new.publish(files.as_ref())?;
    let position =
        Position::new(file, Chain { tree, last: checkpoint }, header.len() as u64, settings);
    index.add_segment(1, position.salt, position.end);
    Ok(Opened { position, index, torn: None, rewritten: 0 })
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

fn check_next(next: u64, first: u64) -> Result<(), StoreError> {
    if next == first {
        return Ok(());
    }
    let (file, seqs) = (path(first), next.min(first)..next.max(first));
    let why =
        if next < first { "records before this segment are missing" } else { "segments overlap" };
    Err(StoreError::corrupt(Place { file, bytes: 0..0, seqs }, why))
}

pub(crate) fn read_header(
    files: &dyn Files,
    first: u64,
    key: &PublicKey,
) -> Result<(Arc<dyn File>, SegmentHeader), StoreError> {
    let name = path(first);
    let mut bytes = vec![0; HEADER_MAX];
    let read = files.open(&name).and_then(|file| Ok((file.read_at(&mut bytes, 0)?, file)));
    let (read, file) = read.map_err(|error| StoreError::io(format!("read `{name}`"), error))?;
    bytes.truncate(read);
    let header = SegmentHeader::decode(&bytes, key).and_then(|header| {
        if header.first() == first { Ok(header) } else { Err("the segment's name is not its own") }
    });
    let header = header.map_err(|why| {
        StoreError::corrupt(
            Place { file: name, bytes: 0..read as u64, seqs: first..first + 1 },
            why,
        )
    })?;
    Ok((file, header))
}

/// Checks and indexes a segment that has a successor; cuts what stands behind its signed end.
fn sealed_segment(
    files: &dyn Files,
    key: &PublicKey,
    index: &Index,
    first: u64,
    sealed_at: Option<u64>,
) -> Result<u64, StoreError> {
    let (file, header) = read_header(files, first, key)?;
    let name = path(first);
    let io = |error| StoreError::io(format!("read `{name}`"), error);
    let length = file.len().map_err(io)?;
    let mut next = first;
    index.add_segment(first, header.salt, header.length);
    let end = sealed_at.unwrap_or(length);
    let mut scan =
        SegmentScan::new(Arc::clone(&file), name.clone(), header.salt, header.length..length);
    while scan.offset() < end {
        match scan.step()? {
            Step::End => break,
            Step::Frame(at, frame) if frame.first == next => {
                next = frame.seqs().end;
                index.add_frame(frame.first, next, at, scan.offset());
            }
            Step::Frame(at, frame) => {
                let place = Place {
                    file: name,
                    bytes: at..scan.offset(),
                    seqs: next..frame.first.max(next),
                };
                return Err(StoreError::corrupt(place, "the sequence does not follow"));
            }
            Step::Bad(frame) => {
                let frame_end =
                    frame.map_or(end, |frame| (scan.offset() + frame.total()).min(length));
                let seqs = next..frame.map_or(next + 1, |frame| frame.seqs().end);
                return Err(StoreError::corrupt(scan.place(frame_end, seqs), "a frame is damaged"));
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
fn newest_segment(
    files: &dyn Files,
    key: &PublicKey,
    index: &Index,
    first: u64,
) -> Result<Tail, StoreError> {
    let (file, header) = read_header(files, first, key)?;
    let length =
        file.len().map_err(|error| StoreError::io(format!("read `{}`", path(first)), error))?;
    let mut chain = Chain::from_header(&header);
    let mut checkpointed = chain.tree.clone();
    let mut checkpoint = header.length..header.length;
    let mut torn = None;
    index.add_segment(first, header.salt, header.length);
    let mut scan =
        SegmentScan::new(Arc::clone(&file), path(first), header.salt, header.length..length);
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
                    StoreError::corrupt(
                        Place { file, bytes, seqs: next..frame.seqs().end.max(next) },
                        why,
                    )
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
    files: &Arc<dyn Files>,
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
    let new = NewSegment::create(files.as_ref(), first, &header, bytes)?;
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
    let file = new.publish(files.as_ref())?;
    index.cut(first, cut);
    index.add_segment(first, salt, header.len() as u64);
    for (seqs, bytes) in moved {
        index.add_frame(seqs.start, seqs.end, bytes.start, bytes.end);
    }
    if !whole {
        tail.file.truncate(cut).map_err(|error| StoreError::io("cut a sealed segment", error))?;
    }
    let chain = Chain { tree: tail.chain.tree.clone(), last: checkpoint };
    let capacity = file.len().map_err(|error| StoreError::io("open the new segment", error))?;
    Ok(Position { file, first, salt, capacity, end: at, chain })
}
