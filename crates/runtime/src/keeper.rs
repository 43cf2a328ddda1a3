//! The keeper: sees to it that a start is quick and the journal's directory does not grow for ever, beside the
//! loop and without it.
//!
//! A snapshot is made of the one before it and the records since, read back from the journal; so nothing can be in
//! one that is not durable, and the loop does not stop for it. Whatever fails here fails alone: the journal is
//! whole without snapshots, and nothing has to be archived.
//!
//! The simulator calls the same functions; the thread around them is in `keeper/thread.rs`.

use std::sync::Arc;
use std::time::Duration;

use ark_os_core::time::Time;
use ark_os_core::{Kind, State};
use ark_os_store::merkle::{Hash, Leaves};
use ark_os_store::{Anchor, ErrorKind, LedgerKey, Reader, Snapshots, StoreError, Tiles};

use crate::RuntimeError;
use crate::kernel::record::decode;
use crate::opening::state_of;

mod thread;

pub(crate) use thread::KeeperThread;

/// Snapshots that are kept: the newest, and one in case it is damaged.
const SNAPSHOTS_KEPT: usize = 2;
/// Records between two looks at whether to stop: a few milliseconds.
const STOP_LOOK_RECORDS: u64 = 4_096;

/// When to archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// When the newest record of a segment is older than this.
    pub age: Duration,
    /// When the segments that are not archived have more bytes together.
    pub live_bytes_max: u64,
}

/// Makes snapshots and archives segments of one journal.
#[derive(Debug)]
pub struct Keeper {
    snapshots: Snapshots,
    key: LedgerKey,
    reader: Reader,
    retention: Retention,
    /// The snapshots that are known to be good, newest first.
    good: Vec<Good>,
    /// Whether the older snapshots that were there at the start are among them.
    older_seen: bool,
    /// When the oldest run was accepted that lives.
    needed_since: Time,
    /// Segments before it are archived.
    archived: u64,
    /// The tree's hashes, once they were looked at.
    tiles: Option<Tiles>,
}

#[derive(Clone, Copy, Debug)]
struct Good {
    size: u64,
    /// The segment that a start from it begins with.
    segment: u64,
}

/// A snapshot that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// How many records it covers.
    pub size: u64,
    /// Bytes of its file.
    pub bytes: u64,
}

impl Keeper {
    /// A keeper of a journal that was opened from this anchor, if from any, and came to this state.
    pub fn new(
        snapshots: Snapshots,
        key: LedgerKey,
        reader: Reader,
        retention: Retention,
        (from, state): (Option<&Anchor>, &State),
    ) -> Self {
        let good = from.map(|anchor| Good { size: anchor.size(), segment: anchor.segment() });
        let needed_since = oldest(state);
        let good = good.into_iter().collect();
        Keeper {
            snapshots,
            key,
            reader,
            retention,
            good,
            older_seen: false,
            needed_since,
            archived: 1,
            tiles: None,
        }
    }

    /// How many records the newest snapshot covers.
    pub fn size(&self) -> u64 {
        self.good.first().map_or(0, |good| good.size)
    }

    /// The first record of the oldest segment that a start could need; none without a snapshot.
    pub fn floor(&self) -> Option<u64> {
        self.good.iter().map(|good| good.segment).min()
    }

    /// The journal that it keeps.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// How many records that are signed it does not cover.
    pub fn lag(&self) -> u64 {
        self.reader.anchor().map_or(0, |anchor| anchor.size().saturating_sub(self.size()))
    }

    /// Makes a snapshot up to the newest checkpoint, unless there is one or `go_on` says no.
    ///
    /// # Errors
    /// The journal cannot be read, or the snapshot not written.
    pub fn snapshot(&mut self, go_on: &dyn Fn() -> bool) -> Result<Option<Made>, RuntimeError> {
        let Some(anchor) = self.reader.anchor().filter(|anchor| anchor.size() > self.size()) else {
            return Ok(None);
        };
        let mut state = self.base();
        let mut effects = Vec::new();
        let mut cursor = self.reader.cursor(state.changes() + 1);
        while cursor.seq() <= anchor.size() {
            if cursor.seq().is_multiple_of(STOP_LOOK_RECORDS) && !go_on() {
                return Ok(None);
            }
            let Some(record) = cursor.next()? else { break };
            state.apply(&decode(&record)?, &mut effects);
            effects.clear();
        }
        self.write(&state, &anchor).map(Some)
    }

    /// Writes what the loop has come to when everything is durable and signed; nothing if there is a snapshot of
    /// it.
    ///
    /// # Errors
    /// The snapshot cannot be written.
    pub fn finish(&mut self, state: &State) -> Result<Option<Made>, RuntimeError> {
        match self.reader.anchor() {
            Some(anchor) if anchor.size() > self.size() => self.write(state, &anchor).map(Some),
            _ => Ok(None),
        }
    }

    /// Extends the tiles to the newest checkpoint, unless `go_on` says no; how many leaves there were. Tiles that
    /// do not fit the journal are made anew, which reads all of it.
    ///
    /// # Errors
    /// The journal cannot be read, or the tiles not written.
    pub fn tiles(&mut self, go_on: &dyn Fn() -> bool) -> Result<u64, StoreError> {
        let Some(anchor) = self.reader.anchor() else { return Ok(0) };
        let mut tiles = match self.tiles.take() {
            Some(tiles) => tiles,
            None => {
                let files = Arc::clone(self.reader.segments().files());
                let tiles = Tiles::open(files, self.key.public())?;
                warn_of_damage(&tiles);
                tiles
            }
        };
        let leaves = Stoppable { reader: &self.reader, go_on };
        let added = match tiles.extend(&leaves, anchor.checkpoint()) {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%error, "the tiles are not those of the journal and are made anew");
                tiles.rebuild();
                tiles.extend(&leaves, anchor.checkpoint())
            }
            other => other,
        };
        match added {
            Err(error) if error.kind() == ErrorKind::Closed => Ok(0),
            Err(error) if error.kind() == ErrorKind::Archived => {
                // What is to be archived now changes nothing about that.
                tracing::warn!(%error, "the tiles cannot be made anew before the archive is back");
                Ok(0)
            }
            Err(error) => Err(error),
            Ok(added) => {
                self.tiles = Some(tiles);
                Ok(added)
            }
        }
    }

    /// What the newest good snapshot holds; the state before the first record if there is none.
    fn base(&mut self) -> State {
        while let Some(good) = self.good.first() {
            let loaded = self.snapshots.load(good.size).map_err(|error| error.to_string());
            match loaded.and_then(|snapshot| state_of(&snapshot)) {
                Ok(state) => return state,
                Err(why) => {
                    tracing::warn!(records = good.size, why, "a snapshot is damaged and not used");
                    self.good.remove(0);
                }
            }
        }
        State::default()
    }

    /// INVARIANT: a snapshot holds what the records up to a durable checkpoint come to, and nothing else.
    fn write(&mut self, state: &State, anchor: &Anchor) -> Result<Made, RuntimeError> {
        let size = anchor.size();
        if state.changes() != size {
            let message = format!("snapshot {} records as {size}", state.changes());
            return Err(RuntimeError::new(Kind::Internal, "internal", message));
        }
        let bytes = self.snapshots.write(&self.key, anchor, |out| {
            let out = minicbor::encode::write::Writer::new(out);
            state.encode(out).map_err(std::io::Error::other)
        })?;
        self.good.insert(0, Good { size, segment: anchor.segment() });
        self.good.truncate(SNAPSHOTS_KEPT);
        self.needed_since = oldest(state);
        let sizes: Vec<u64> = self.good.iter().map(|good| good.size).collect();
        self.snapshots.keep(&sizes)?;
        Ok(Made { size, bytes })
    }

    /// Archives the segments that neither a start nor a run needs and that are old enough, or too many, for as
    /// long as `go_on` says yes; how many.
    ///
    /// # Errors
    /// A segment cannot be read or moved.
    pub fn archive(&mut self, now: Time, go_on: &dyn Fn() -> bool) -> Result<u64, StoreError> {
        self.archive_while(now, go_on, &|| true)
    }

    /// The same, and gives up a copy that it is in the middle of once `may_copy` says no. What was copied of it is
    /// lost then, so that says no only when nothing is to go on.
    ///
    /// # Errors
    /// A segment cannot be read or moved.
    pub fn archive_while(
        &mut self,
        now: Time,
        go_on: &dyn Fn() -> bool,
        may_copy: &dyn Fn() -> bool,
    ) -> Result<u64, StoreError> {
        self.look_for_older();
        let Some(floor) = self.floor() else { return Ok(0) };
        let here = self.segments_here()?;
        let mut live: u64 = here.iter().map(|(_, bytes)| bytes).sum();
        let mut moved = 0;
        for (first, bytes) in here {
            let Some(span) = self.reader.span(first)?.filter(|span| span.next <= floor) else {
                break;
            };
            if !go_on() || span.next >= self.reader.next_seq() {
                break;
            }
            // No record of the segment is younger than the one behind it.
            let next = Time(self.reader.read(span.next)?.record()?.header.time_ms);
            let is_needed = next >= self.needed_since;
            let is_due =
                now.since(next) >= self.retention.age || live > self.retention.live_bytes_max;
            if is_needed || !is_due {
                break;
            }
            match self.reader.archive_while(&self.key, &span, may_copy) {
                Err(error) if error.kind() == ErrorKind::Closed => break,
                done => done?,
            }
            self.archived = span.next;
            live -= bytes;
            moved += 1;
        }
        Ok(moved)
    }

    /// The sealed segments that are not archived, with their bytes.
    fn segments_here(&self) -> Result<Vec<(u64, u64)>, StoreError> {
        let mut here = Vec::new();
        for first in self.reader.sealed_segments() {
            if first >= self.archived {
                match self.reader.segments().bytes(first) {
                    Ok(bytes) => here.push((first, bytes)),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(here)
    }

    /// The snapshot before the one that the journal was opened from is kept in case that one is damaged, and then
    /// a start needs segments that are older. What cannot be read now is none that a start could use.
    fn look_for_older(&mut self) {
        if std::mem::replace(&mut self.older_seen, true) {
            return;
        }
        let newest = self.size();
        let sizes = self.snapshots.list().unwrap_or_default();
        for size in sizes.into_iter().filter(|size| *size < newest) {
            if self.good.len() >= SNAPSHOTS_KEPT {
                break;
            }
            if let Ok(snapshot) = self.snapshots.load(size) {
                self.good.push(Good { size, segment: snapshot.anchor().segment() });
            }
        }
    }
}

/// Tiles that were there and are not used are made anew, which reads all records: somebody should know why.
pub(crate) fn warn_of_damage(tiles: &Tiles) {
    if let Some(why) = tiles.damage() {
        tracing::warn!(why, "the tiles are damaged and are made anew");
    }
}

/// The journal's leaves, for as long as nobody says stop.
struct Stoppable<'a> {
    reader: &'a Reader,
    go_on: &'a dyn Fn() -> bool,
}

impl Leaves for Stoppable<'_> {
    fn leaves(&self, from: u64, to: u64, visit: &mut dyn FnMut(Hash)) -> Result<(), StoreError> {
        let mut at = from;
        while at < to {
            if !(self.go_on)() {
                return Err(StoreError::new(ErrorKind::Closed, "extend the tiles: it is stopped"));
            }
            let next = to.min(at + STOP_LOOK_RECORDS);
            self.reader.leaves(at, next, visit)?;
            at = next;
        }
        Ok(())
    }
}

/// When the oldest run was accepted that is not over: its records are read when it waits on disk and there is room
/// for it, and whoever looks after it asks for its history. A retry of one that is over needs none of them.
fn oldest(state: &State) -> Time {
    let runs = state.run_ids();
    let runs = runs.iter().filter_map(|id| state.run(*id)).filter(|run| !run.is_over());
    let accepted = runs.map(|run| run.accepted);
    let waiting = state.backlog().oldest().map(|it| it.accepted);
    accepted.chain(waiting).min().unwrap_or(Time::NEVER)
}
