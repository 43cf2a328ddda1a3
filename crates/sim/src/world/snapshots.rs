//! Snapshots: now and then the state is written down as it was at some synced record, from the
//! snapshot before and the journal between; most starts begin with the newest.
//!
//! What is checked is the state: the file that would hold it is another matter.

use ark_os_core::{Change, State};
use ark_os_runtime::kernel::record::decode;
use minicbor::Decoder;

use super::World;
use crate::bug::Bug;
use crate::rng::Rng;
use crate::violation::{Check, Violation, ensure};

/// Commits of a thousand after which a snapshot is made.
const MADE_OF_1000: u64 = 60;
/// Starts of a thousand that begin with the newest snapshot, if there is one.
const USED_OF_1000: u64 = 700;
/// Where a snapshot keeps its single values, and among them the newest fence.
const HEAD: u32 = 1;
const FENCES: u32 = 3;

/// The state after a record.
struct Snapshot {
    through: u64,
    bytes: Vec<u8>,
}

/// Keeps the newest snapshot; a crash does not take it away.
pub(crate) struct Keeper {
    rng: Rng,
    newest: Option<Snapshot>,
}

impl Keeper {
    pub(super) fn new(rng: Rng) -> Self {
        Keeper { rng, newest: None }
    }
}

impl World {
    /// After a commit: now and then the newest snapshot is brought forward.
    pub(super) fn keep_snapshot(&mut self) -> Check {
        let Some(node) = &self.node else { return Ok(()) };
        let synced = node.journal.next_seq() - 1;
        let before = self.keeper.newest.as_ref().map_or(0, |newest| newest.through);
        if synced <= before || !self.keeper.rng.per_mille(MADE_OF_1000) {
            return Ok(());
        }
        if self.has(Bug::SnapshotOfUnsynced) {
            let bytes = written(node.lp.state())?;
            self.keeper.newest = Some(Snapshot { through: synced, bytes });
            return Ok(());
        }
        let through = self.keeper.rng.range(before + 1, synced);
        let mut state = self.snapshot_state()?;
        let mut cursor = node.journal.reader().cursor(before + 1);
        for _ in before..through {
            // A disk that cannot be read now is read again the next time.
            let Ok(Some(record)) = cursor.next() else { return Ok(()) };
            let change = decode(&record).map_err(|error| broken(&error))?;
            state.apply(&change, &mut Vec::new());
        }
        let mut bytes = written(&state)?;
        if self.has(Bug::SnapshotForgetsFences) {
            bytes = without_fences(bytes, &state)?;
        }
        self.note(|| format!("snapshot through {through}: {} bytes", bytes.len()));
        self.keeper.newest = Some(Snapshot { through, bytes });
        Ok(())
    }

    /// The state of the newest snapshot; without one, that of an empty journal.
    fn snapshot_state(&self) -> Result<State, Violation> {
        match &self.keeper.newest {
            Some(newest) => State::decode(&newest.bytes).map_err(|error| broken(&error)),
            None => Ok(State::default()),
        }
    }

    /// The state after these changes, from the newest snapshot on, if it is the turn of that.
    pub(super) fn rebuilt(&mut self, changes: &[Change]) -> Result<State, Violation> {
        let found = changes.len() as u64;
        let through = match &self.keeper.newest {
            Some(newest) if self.keeper.rng.per_mille(USED_OF_1000) => newest.through,
            _ => 0,
        };
        ensure(through <= found, "I8", || {
            format!("the snapshot is of record {through}, the journal ends with {found}")
        })?;
        let mut state = match through {
            0 => State::default(),
            _ => self.snapshot_state()?,
        };
        self.counts.from_snapshots += u64::from(through > 0);
        self.note(|| format!("replay from record {through} to {found}"));
        for change in changes.iter().skip(usize::try_from(through).unwrap_or(usize::MAX)) {
            state.apply(change, &mut Vec::new());
        }
        Ok(state)
    }
}

fn broken(error: &dyn std::fmt::Display) -> Violation {
    Violation::new("I8", format!("the snapshot is not a state: {error}"))
}

fn written(state: &State) -> Result<Vec<u8>, Violation> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes).map_err(|error| broken(&error))?;
    Ok(bytes)
}

/// The planted bug: fences are counted from the attempts under way, and those of attempts that are
/// over are drawn again.
fn without_fences(mut bytes: Vec<u8>, state: &State) -> Result<Vec<u8>, Violation> {
    let runs = state.run_ids().into_iter().filter_map(|id| state.run(id));
    let tasks = runs.flat_map(|run| run.active_tasks().into_iter().map(|task| run.task(task)));
    let held = tasks.filter_map(|task| Some(task?.active.as_ref()?.fence.0)).max().unwrap_or(0);
    let (start, end) = fences_in(&bytes).map_err(|error| broken(&error))?;
    bytes.splice(start..end, minicbor::to_vec(held).map_err(|error| broken(&error))?);
    Ok(bytes)
}

/// Where the newest fence stands in a snapshot.
fn fences_in(bytes: &[u8]) -> Result<(usize, usize), minicbor::decode::Error> {
    let mut d = Decoder::new(bytes);
    d.map()?;
    while d.u32()? != HEAD {
        d.skip()?;
    }
    d.map()?;
    while d.u32()? != FENCES {
        d.skip()?;
    }
    let start = d.position();
    d.skip()?;
    Ok((start, d.position()))
}
