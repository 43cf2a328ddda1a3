//! Offline verification of a journal: every frame, checksum, leaf and tree, and every checkpoint's signature.
//!
//! It trusts a public key and, if one is given, a checkpoint that was kept outside; nothing else. It changes
//! nothing, and needs neither the private key nor a stopped process's memory.
//!
//! What it finds: every edit, drop, addition, swap, duplicate and truncation of records that a checkpoint
//! covers. What nobody can find from the directory alone: that its end is missing, back to any point. Give it
//! the newest checkpoint that is kept elsewhere; then only a loss behind that one stays unseen.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{ErrorKind, Place, StoreError};
use crate::files::{File, Files};
use crate::journal::chain::Chain;
use crate::journal::frame::{FrameHeader, FrameKind};
use crate::journal::recovery::{ENDS_ELSEWHERE, read_header};
use crate::journal::scan::{Rest, SegmentScan, Step};
use crate::journal::segment::{JOURNAL_DIR, SegmentHeader, first_of, path};
use crate::journal::segments::ArchiveNote;
use crate::journal::{ARCHIVE_NOTE, Lookup};
use crate::ledger::{Checkpoint, PublicKey, stated};
use crate::merkle::{Hash, Tree};

/// What to show with every report.
pub const UNSEEN: &str =
    "loss of the end behind the newest checkpoint that is kept outside cannot be seen";

const FORKED: &str = "the log is not that of a checkpoint that was kept outside: it forked";

/// What the verification trusts.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The public key; without one it is read from the data directory, which an intruder could change too.
    pub key: Option<PublicKey>,
    /// Notes of checkpoints that were kept outside the data directory.
    pub kept: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Report {
    /// Segments, batches, records and checkpoints that verified, up to the first fault.
    pub segments: u64,
    /// Batches that verified.
    pub batches: u64,
    /// Records that verified.
    pub records: u64,
    /// Checkpoints that verified, those in segment headers included.
    pub checkpoints: u64,
    /// Root of the tree over those records.
    pub root: Hash,
    /// The newest checkpoint that verified.
    pub newest: Option<Checkpoint>,
    /// The key that signed.
    pub key: PublicKey,
    /// Whether the key was given, and not taken from the data directory itself.
    pub key_was_given: bool,
    /// The first thing that does not verify.
    pub fault: Option<Fault>,
    /// Records of archived segments that are not there: neither they nor what only they prove was looked at.
    pub absent: Vec<Range<u64>>,
    /// What a crash can leave behind and the next opening removes; no valid record is concerned.
    pub oddities: Vec<Oddity>,
}

impl Report {
    /// Whether everything verified.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.fault.is_none()
    }

    /// Records behind the newest checkpoint: they have checksums, but no signature yet.
    #[must_use]
    pub fn unsigned(&self) -> u64 {
        self.records.saturating_sub(self.newest.as_ref().map_or(0, Checkpoint::size))
    }
}

/// The first thing that does not verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Segment, bytes and sequences concerned.
    pub place: Place,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

/// Something unusual that is no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// The last write did not finish.
    TornTail(Place),
    /// Bytes behind the signed end of a segment: a recovery or rotation did not finish.
    VoidBytes(Place),
    /// A file in the journal's directory that is no segment.
    UnknownFile(String),
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornTail(place) => write!(f, "the last write did not finish: {place}"),
            Self::VoidBytes(place) => write!(f, "void bytes behind the end of a segment: {place}"),
            Self::UnknownFile(name) => write!(f, "not a segment: `{JOURNAL_DIR}/{name}`"),
        }
    }
}

/// Where a segment ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its successor signed this byte.
    Sealed(u64),
    /// Its successor is absent, and what stood behind its end was cut before it was archived.
    OfFile,
    /// It is the newest, and perhaps a write did not finish.
    Open,
}

/// Why the walk stops.
enum Stop {
    Fault(Fault),
    Error(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        // Who says that it is of a later version hides what is in it all the same.
        let is_fault = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Newer);
        match error.place().filter(|_| is_fault) {
            Some(place) => Self::Fault(Fault { place: place.clone(), why: error.to_string() }),
            None => Self::Error(error),
        }
    }
}

fn fault(place: Place, why: &str) -> Stop {
    Stop::Fault(Fault { place, why: why.to_owned() })
}

/// Verifies the journal of a data directory, with the archive beside it. An error means that it could not be
/// read, or that the trusted checkpoint is not of this key; what does not verify is in the report.
pub fn verify(files: &dyn Files, trust: &Trust) -> Result<Report, StoreError> {
    verify_in(Lookup::new(files), trust)
}

/// The same with the archive wherever it is. Archived segments that were taken away are no fault: the report
/// says which records are absent. What follows them is bound by the trees that later headers sign.
pub fn verify_in(lookup: Lookup<'_>, trust: &Trust) -> Result<Report, StoreError> {
    let key = match &trust.key {
        Some(key) => key.clone(),
        None => PublicKey::load(lookup.files())?,
    };
    let (kept, foreign) = kept(trust, &key)?;
    let mut report = Report {
        segments: 0,
        batches: 0,
        records: 0,
        checkpoints: 0,
        root: Tree::default().root(),
        newest: None,
        key,
        key_was_given: trust.key.is_some(),
        fault: None,
        absent: Vec::new(),
        oddities: Vec::new(),
    };
    if let Some(why) = foreign {
        let place = Place { file: JOURNAL_DIR.to_owned(), bytes: 0..0, seqs: 0..0 };
        report.fault = Some(Fault { place, why });
        return Ok(report);
    }
    let archived = match lookup.note(&report.key) {
        Ok(note) => note,
        Err(error) => {
            let place = Place { file: ARCHIVE_NOTE.to_owned(), bytes: 0..0, seqs: 0..0 };
            report.fault = Some(Fault { place, why: error.to_string() });
            return Ok(report);
        }
    };
    let newest_kept = kept.back().map(Checkpoint::size);
    let mut walk = Walk { lookup, archived, kept, newest_kept, report, chain: None };
    match walk.segments() {
        Ok(()) => {}
        Err(Stop::Fault(fault)) => walk.report.fault = Some(fault),
        Err(Stop::Error(error)) => return Err(error),
    }
    let Walk { mut report, chain, .. } = walk;
    if let Some(chain) = chain {
        report.records = chain.tree.size();
        report.root = chain.tree.root();
        report.newest = Some(chain.last);
    }
    Ok(report)
}

/// The checkpoints that were kept, smallest first; or why one of them is not this log's. An error is a note that
/// is none.
fn kept(
    trust: &Trust,
    key: &PublicKey,
) -> Result<(VecDeque<Checkpoint>, Option<String>), StoreError> {
    let mut kept = Vec::new();
    for note in &trust.kept {
        match key.open(note) {
            Ok(checkpoint) => kept.push(checkpoint),
            Err(error) => match stated(note) {
                Some(checkpoint) => {
                    let why = format!(
                        "a checkpoint that was kept outside, of {} records of `{}`, is not signed by \
                         this log's key: {error}",
                        checkpoint.0, checkpoint.1
                    );
                    return Ok((VecDeque::new(), Some(why)));
                }
                None => return Err(error),
            },
        }
    }
    kept.sort_by_key(Checkpoint::size);
    Ok((kept.into(), None))
}

struct Walk<'a> {
    lookup: Lookup<'a>,
    archived: ArchiveNote,
    /// Those that the walk has not come to yet, smallest first.
    kept: VecDeque<Checkpoint>,
    newest_kept: Option<u64>,
    report: Report,
    chain: Option<Chain>,
}

impl Walk<'_> {
    fn segments(&mut self) -> Result<(), Stop> {
        let names = self.lookup.files().list(JOURNAL_DIR);
        let names =
            names.map_err(|error| StoreError::io(format!("read `{JOURNAL_DIR}`"), error))?;
        let mut firsts = self.lookup.archived()?;
        for name in names {
            match first_of(&name) {
                Some(first) => firsts.push(first),
                None => self.report.oddities.push(Oddity::UnknownFile(name)),
            }
        }
        firsts.sort_unstable();
        firsts.dedup();
        let mut waiting = None;
        // The end at which the segment before was found to end.
        let mut ended = None;
        for (index, first) in firsts.iter().enumerate() {
            let (file, header) = match waiting.take() {
                Some(read) => read,
                None => self.header(*first)?,
            };
            self.enter(&header, ended)?;
            let end = match (firsts.get(index + 1), self.archived.successor(*first)) {
                // The next one that is there signed the end of another that is not.
                (Some(after), Some(successor)) if *after != successor => End::OfFile,
                (None, Some(_)) => End::OfFile,
                (Some(after), _) => {
                    let next = self.header(*after)?;
                    let sealed_at = next.1.checkpoint.statement().sealed_at;
                    waiting = Some(next);
                    sealed_at.map_or(End::Open, End::Sealed)
                }
                (None, None) => End::Open,
            };
            ended = Some(self.segment(&file, &header, end)?);
            self.report.segments += 1;
        }
        self.reaches_kept()
    }

    fn header(&self, first: u64) -> Result<(Arc<dyn File>, SegmentHeader), Stop> {
        let (file, header, _) = read_header(self.lookup, first, &self.report.key)?;
        Ok((file, header))
    }

    /// Goes from the end of one segment into the next.
    fn enter(&mut self, header: &SegmentHeader, ended: Option<u64>) -> Result<(), Stop> {
        let first = header.first();
        let missing = self.chain.as_ref().map_or(1, Chain::next)..first;
        let entered = if self.archived.is_whole(&missing) {
            self.chain = Some(Chain::from_header(header));
            self.report.absent.push(missing.clone());
            self.kept_is_in(&missing, &header.tree)
        } else if let (Some(chain), Some(ended)) = (&mut self.chain, ended) {
            chain.segment(header, ended)
        } else {
            let statement = header.checkpoint.statement();
            let begins =
                first == 1 && statement.previous.is_none() && statement.sealed_at.is_none();
            self.chain = Some(Chain::from_header(header));
            if begins { Ok(()) } else { Err("the segments before this one are missing") }
        };
        self.report.checkpoints += 1;
        let place = || Place { file: path(first), bytes: 0..header.length, seqs: first..first + 1 };
        entered.map_err(|why| fault(place(), why))?;
        self.equals_kept(&place())
    }

    /// Goes through a segment and gives its end.
    fn segment(
        &mut self,
        file: &Arc<dyn File>,
        header: &SegmentHeader,
        sealed: End,
    ) -> Result<u64, Stop> {
        let name = path(header.first());
        let length = file.len().map_err(|error| StoreError::io(format!("read `{name}`"), error))?;
        let end = if let End::Sealed(end) = sealed { end } else { length };
        let range = header.length..length;
        let mut scan = SegmentScan::new(Arc::clone(file), name, header.salt, range);
        while scan.offset() < end {
            match scan.step()? {
                Step::End => break,
                Step::Frame(at, frame) => self.frame(&scan, at, &frame)?,
                Step::Bad(frame) if sealed == End::Open => {
                    self.judge(&mut scan, frame)?;
                    return Ok(scan.offset());
                }
                Step::Bad(frame) => {
                    let bad_end = frame.map_or(end, |frame| scan.offset() + frame.total());
                    return Err(fault(scan.place(bad_end, self.seqs(frame)), "a frame is damaged"));
                }
            }
        }
        if scan.offset() != end {
            return Err(fault(scan.place(end, self.seqs(None)), ENDS_ELSEWHERE));
        }
        if length > end {
            self.report.oddities.push(Oddity::VoidBytes(scan.place(length, 0..0)));
        }
        Ok(end)
    }

    fn frame(&mut self, scan: &SegmentScan, at: u64, frame: &FrameHeader) -> Result<(), Stop> {
        let Some(chain) = &mut self.chain else { return Ok(()) };
        let next = chain.next();
        let kept = &mut self.kept;
        let taken = match frame.kind {
            FrameKind::Batch => {
                self.report.batches += 1;
                chain.batch(frame, scan.payload(), &mut |tree| equals(kept, tree))
            }
            FrameKind::Checkpoint => {
                self.report.checkpoints += 1;
                chain.checkpoint(frame, scan.payload(), &self.report.key)
            }
        };
        taken.map_err(|why| {
            let seqs = next.min(frame.first)..frame.seqs().end.max(next);
            fault(Place { file: scan.path().to_owned(), bytes: at..scan.offset(), seqs }, why)
        })
    }

    /// Judges the end of the newest segment.
    fn judge(&mut self, scan: &mut SegmentScan, frame: Option<FrameHeader>) -> Result<(), Stop> {
        let seqs = self.seqs(frame);
        match scan.rest(frame)? {
            Rest::Zeros => Ok(()),
            Rest::Torn(end) => {
                self.report.oddities.push(Oddity::TornTail(scan.place(end, seqs)));
                Ok(())
            }
            Rest::Foreign { why, end, seq } => {
                Err(fault(scan.place(end, seqs.start..seq.max(seqs.end)), why))
            }
        }
    }

    fn seqs(&self, frame: Option<FrameHeader>) -> Range<u64> {
        let next = self.chain.as_ref().map_or(1, Chain::next);
        next..frame.map_or(next + 1, |frame| frame.seqs().end.max(next))
    }

    /// A kept checkpoint between records that are absent is compared with the tiles, whose tree must then be that
    /// of the header behind them.
    fn kept_is_in(&mut self, missing: &Range<u64>, behind: &Tree) -> Result<(), &'static str> {
        while let Some(kept) = self
            .kept
            .pop_front_if(|kept| missing.start <= kept.size() && kept.size() + 1 < missing.end)
        {
            let unknown =
                "a checkpoint that was kept outside is in the middle of records that are absent";
            let tiles = self.lookup.tiles().ok_or(unknown)?;
            let at = |size| tiles.tree_at(size).map_err(|_| unknown);
            if at(behind.size())? != *behind {
                return Err("the tiles are not those of the records behind the absent ones");
            }
            if at(kept.size())?.root() != kept.root() {
                return Err(FORKED);
            }
        }
        Ok(())
    }

    /// A kept checkpoint of no records, or of the log's start, is compared where no batch would do it.
    fn equals_kept(&mut self, place: &Place) -> Result<(), Stop> {
        let Some(chain) = &self.chain else { return Ok(()) };
        equals(&mut self.kept, &chain.tree).map_err(|why| fault(place.clone(), why))
    }

    fn reaches_kept(&self) -> Result<(), Stop> {
        let newest = self.chain.as_ref().map_or(0, |chain| chain.last.size());
        let size = self.chain.as_ref().map_or(0, |chain| chain.tree.size());
        let place = |from: u64, to: u64| Place {
            file: JOURNAL_DIR.to_owned(),
            bytes: 0..0,
            seqs: from + 1..to + 1,
        };
        match self.newest_kept {
            Some(kept) if kept > size => {
                let why = "records of the checkpoint that was kept outside are missing";
                Err(fault(place(size, kept), why))
            }
            Some(kept) if kept > newest => {
                let why = "the checkpoint that was kept outside is missing here";
                Err(fault(place(newest, kept), why))
            }
            _ => Ok(()),
        }
    }
}

/// Compares the kept checkpoints of this size with the tree.
fn equals(kept: &mut VecDeque<Checkpoint>, tree: &Tree) -> Result<(), &'static str> {
    // Those before the walk's start: the segments before it are missing, which is a fault already.
    while kept.front().is_some_and(|kept| kept.size() <= tree.size()) {
        let Some(kept) = kept.pop_front() else { break };
        if kept.size() == tree.size() && kept.root() != tree.root() {
            return Err(FORKED);
        }
    }
    Ok(())
}
