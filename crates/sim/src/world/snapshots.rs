//! The keeper at work on the simulated disk: now and then, after a commit, it makes a snapshot and archives
//! segments, and every start begins with the newest snapshot.
//!
//! It is the keeper of the product, so whatever breaks on the disk breaks under it too.

use std::sync::Arc;
use std::time::Duration;

use ark_os_core::{Kind, State};
use ark_os_runtime::RuntimeError;
use ark_os_runtime::keeper::{Keeper, Retention};
use ark_os_store::snapshots::Refused;
use ark_os_store::{Anchor, ErrorKind, Files, Journal, Segments, Snapshot, Snapshots, StoreError};
use minicbor::Decoder;

use super::World;
use super::node::Node;
use super::start::key;
use crate::bug::Bug;
use crate::fault_kinds::FaultKind;
use crate::violation::{Check, Violation, ensure};

/// Commits of a thousand after which the keeper has a turn.
const TURNS_OF_1000: u64 = 200;
/// Turns of a thousand in which the power goes.
const CUT_OF_1000: u64 = 80;
/// Changes to the disk in which that may be.
const CUT_WITHIN: u64 = 24;
/// Where a snapshot keeps its single values, and among them the number of records and the newest fence.
const HEAD: u32 = 1;
const CHANGES: u32 = 1;
const FENCES: u32 = 3;

impl World {
    pub(super) fn snapshots(&self) -> Result<Snapshots, Violation> {
        let files: Arc<dyn Files> = Arc::new(self.files.clone());
        Ok(Snapshots::new(files, key()?.public().clone()))
    }

    pub(super) fn segments(&self) -> Segments {
        Segments::new(Arc::new(self.files.clone()))
    }

    /// The keeper of a process that starts; what it archives differs from start to start.
    pub(super) fn keeper(
        &mut self,
        journal: &Journal,
        from: Option<&Anchor>,
        state: &State,
    ) -> Result<Keeper, Violation> {
        let ages = [Duration::ZERO, Duration::from_secs(5)];
        let age = self.keeper_rng.pick(&ages).copied().unwrap_or_default();
        let live_bytes_max = *self.keeper_rng.pick(&[0, 64 << 10, u64::MAX]).unwrap_or(&0);
        let retention = Retention { age, live_bytes_max };
        let (snapshots, reader) = (self.snapshots()?, journal.reader());
        Ok(Keeper::new(snapshots, key()?, reader, retention, (from, state)))
    }

    /// After a commit: now and then the keeper has its turn, and now and then the power goes in the middle of it.
    pub(super) fn let_keeper_work(&mut self) -> Check {
        if self.node.is_none() || !self.keeper_rng.per_mille(TURNS_OF_1000) {
            return Ok(());
        }
        let is_cut = !self.is_calm
            && self.keeper_rng.per_mille(CUT_OF_1000)
            && self.faults.has(FaultKind::Power);
        if is_cut {
            let after = self.keeper_rng.below(CUT_WITHIN);
            self.files.set_faults(|faults| faults.crash_after = Some(after));
        }
        let kept = self.turn_of_keeper();
        if self.files.is_dead() {
            return self.die_of_power();
        }
        if is_cut {
            self.files.set_faults(|faults| faults.crash_after = None);
        }
        kept
    }

    fn turn_of_keeper(&mut self) -> Check {
        let lies = self.has(Bug::SnapshotSyncLies);
        self.files.set_faults(|faults| faults.lying_syncs |= lies);
        let Some(node) = &mut self.node else { return Ok(()) };
        let made = node.keeper.snapshot(&|| true);
        let now = node.lp.state().now();
        self.files.set_faults(|faults| faults.lying_syncs &= !lies);
        match made {
            Ok(Some(made)) => {
                self.counts.snapshots += 1;
                self.note(|| format!("snapshot of {} records: {} bytes", made.size, made.bytes));
                self.doctor(made.size)?;
            }
            Ok(None) => {}
            Err(error) => self.is_excused(&error)?,
        }
        let Some(node) = &mut self.node else { return Ok(()) };
        let archived = match self.bug {
            Some(Bug::NeededArchived) => archive_oldest(node),
            _ => node.keeper.archive(now, &|| true),
        };
        let archived = archived.map_err(RuntimeError::from);
        match archived {
            Ok(moved) => {
                self.counts.archived += moved;
                self.note(|| format!("{moved} segments archived"));
            }
            Err(error) => self.is_excused(&error)?,
        }
        self.check_archived()
    }

    /// A disk that fails or is full excuses the keeper; nothing else does.
    fn is_excused(&self, error: &RuntimeError) -> Check {
        let is_fault = matches!(error.kind(), Kind::Unavailable | Kind::Exhausted);
        ensure(self.files.is_dead() || is_fault && !self.is_calm, "keeper", || {
            format!("the keeper fails: {error}")
        })
    }

    /// INVARIANT: no record of a run that lives is archived, nor one that a start needs.
    fn check_archived(&self) -> Check {
        let Some(node) = &self.node else { return Ok(()) };
        let reader = node.journal.reader();
        let sealed = reader.sealed_segments();
        let is_gone = |first: &u64| {
            let bytes = reader.segments().bytes(*first);
            bytes.is_err_and(|error| error.kind() == ErrorKind::NotFound)
        };
        let Some(at) = sealed.iter().rposition(is_gone) else { return Ok(()) };
        // The newest segment is none of the sealed ones, and never archived.
        let Some(here) = sealed.get(at + 1).copied().or(node.keeper.floor()) else { return Ok(()) };
        let floor = node.keeper.floor().unwrap_or(0);
        ensure(here <= floor, "archive", || {
            format!("everything before {here} is archived, a start needs {floor}")
        })?;
        let waiting = node.lp.state().backlog().oldest().map(|it| it.seq);
        ensure(waiting.is_none_or(|seq| seq >= here), "archive", || {
            format!("record {waiting:?} waits to be read, and all before {here} is archived")
        })?;
        let state = node.lp.state();
        // One that is retried lives again: what was archived of it is not missed by it.
        let lives = |run| state.run(run).is_some_and(|it| !it.is_over() && it.generation == 0);
        for run in state.run_ids().into_iter().filter(|run| lives(*run)) {
            let accepted = self.checker.accepted_seq(run);
            ensure(accepted.is_none_or(|seq| seq >= here), "archive", || {
                format!(
                    "`{run}` of record {accepted:?} is in the state, and all before {here} is archived"
                )
            })?;
        }
        Ok(())
    }

    /// INVARIANT: a snapshot that has its name is whole, whatever happened when it was made.
    pub(super) fn check_refused(&self, refused: &[Refused]) -> Check {
        ensure(refused.is_empty() || self.files.is_dead(), "I8", || {
            format!("snapshots are not what was written: {refused:?}")
        })
    }

    /// The planted bugs that change what a snapshot says.
    fn doctor(&self, size: u64) -> Check {
        let Some(node) = &self.node else { return Ok(()) };
        let change: &dyn Fn(&State) -> Result<Vec<u8>, Violation> = match self.bug {
            Some(Bug::SnapshotOfUnsynced) => &|_| with_head(node.lp.state(), CHANGES, size),
            Some(Bug::SnapshotForgetsFences) => &|state| with_head(state, FENCES, held(state)),
            _ => return Ok(()),
        };
        let snapshots = self.snapshots()?;
        // A disk that cannot be used now leaves the snapshot as it is.
        let Ok(snapshot) = snapshots.load(size) else { return Ok(()) };
        let bytes = change(&state_of(&snapshot)?)?;
        let write = |out: &mut dyn std::io::Write| out.write_all(&bytes);
        let _: Result<u64, StoreError> = snapshots.write(&key()?, snapshot.anchor(), write);
        Ok(())
    }
}

fn state_of(snapshot: &Snapshot) -> Result<State, Violation> {
    State::decode(snapshot.payload()).map_err(|error| broken(&error))
}

fn broken(error: &dyn std::fmt::Display) -> Violation {
    Violation::new("I8", format!("the snapshot is not a state: {error}"))
}

/// The planted bug: the oldest segment goes, whoever needs it.
fn archive_oldest(node: &Node) -> Result<u64, StoreError> {
    let reader = node.journal.reader();
    for first in reader.sealed_segments() {
        if reader.segments().bytes(first).is_ok()
            && let Some(span) = reader.span(first)?
            && let Ok(key) = key()
        {
            return reader.archive(&key, &span).map(|()| 1);
        }
    }
    Ok(0)
}

/// The planted bug: fences are counted from the attempts under way, and those of attempts that are
/// over are drawn again.
fn held(state: &State) -> u64 {
    let runs = state.run_ids().into_iter().filter_map(|id| state.run(id));
    let tasks = runs.flat_map(|run| run.active_tasks().into_iter().map(|task| run.task(task)));
    tasks.filter_map(|task| Some(task?.active.as_ref()?.fence.0)).max().unwrap_or(0)
}

/// A state written down with another number among its single values.
fn with_head(state: &State, field: u32, value: u64) -> Result<Vec<u8>, Violation> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes).map_err(|error| broken(&error))?;
    let (start, end) = head_field(&bytes, field).map_err(|error| broken(&error))?;
    bytes.splice(start..end, minicbor::to_vec(value).map_err(|error| broken(&error))?);
    Ok(bytes)
}

/// Where a single value stands in a snapshot.
fn head_field(bytes: &[u8], field: u32) -> Result<(usize, usize), minicbor::decode::Error> {
    let mut d = Decoder::new(bytes);
    for key in [HEAD, field] {
        d.map()?;
        while d.u32()? != key {
            d.skip()?;
        }
    }
    let start = d.position();
    d.skip()?;
    Ok((start, d.position()))
}
