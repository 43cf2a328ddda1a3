//! Starts and deaths of the process.

use std::sync::Arc;

use ark_os_core::event::InstanceStarted;
use ark_os_core::rules::{BuiltinRules, Rules};
use ark_os_core::text::Text;
use ark_os_core::{Change, Command, State};
use ark_os_runtime::data::{BlobSource, Payloads};
use ark_os_runtime::kernel::record::decode;
use ark_os_runtime::kernel::{Input, Loop};
use ark_os_runtime::opening::open_journal;
use ark_os_store::{Blobs, ErrorKind, Files, LedgerKey, Recovered, Settings, StoreError};

use super::node::Node;
use super::{Due, Profile, World};
use crate::bug::Bug;
use crate::fault_kinds::FaultKind;
use crate::violation::{Check, Violation};

/// The name and the seed of the key that signs the simulated journals.
const ORIGIN: &str = "ark-os/sim";
const KEY_SEED: [u8; 32] = [7; 32];
/// Time of one attempt where its task does not say, in milliseconds.
const TASK_TIMEOUT_MS: u64 = 30_000;
/// A start that failed is tried again after so many microseconds.
const START_AGAIN: u64 = 500_000;

/// The key of every simulated journal.
pub(super) fn key() -> Result<LedgerKey, Violation> {
    LedgerKey::from_seed(ORIGIN, &KEY_SEED)
        .map_err(|error| Violation::new("simulator", error.to_string()))
}

impl World {
    /// The process starts, as the real one does: journal, replay, blobs, loop.
    pub(super) fn start(&mut self) -> Check {
        if self.node.is_some() {
            return Ok(());
        }
        self.note(|| "start".to_owned());
        self.counts.starts += 1;
        let files: Arc<dyn Files> = Arc::new(self.files.clone());
        let settings = Settings { segment_bytes: self.profile.segment_bytes };
        let (snapshots, segments) = (self.snapshots()?, self.segments());
        let opened = match open_journal(&snapshots, &segments, settings, &key()?) {
            Ok(opened) => opened,
            Err(error) => return self.start_failed(&error),
        };
        self.check_refused(&opened.refused)?;
        let (anchor, snapshot) = opened.from.unzip();
        let journal = opened.journal;
        let state = match self.replay(opened.recovered, snapshot)? {
            Ok(state) => state,
            Err(error) => return self.start_failed(&error),
        };
        let blobs: Arc<dyn BlobSource> = match Blobs::open(files) {
            Ok(blobs) => Arc::new(blobs),
            Err(error) => return self.start_failed(&error),
        };
        let newest = journal.next_seq() - 1;
        if !self.is_calm && self.rng.per_mille(100) {
            self.profile.agents = Profile::draw_agents(&mut self.rng);
        }
        let started = self.instance_started();
        let keeper = self.keeper(&journal, anchor.as_ref(), &state)?;
        self.node = Some(Node {
            keeper,
            lp: Loop::new(state, Arc::new(BuiltinRules), newest),
            journal,
            payloads: Payloads::new(blobs),
            inbox: Default::default(),
            left: Vec::new(),
            fetches: 0,
            forming: Vec::new(),
            since: None,
            committing: None,
            turn_at: None,
            is_dirty: false,
            signed_at: self.now,
        });
        if self.has(Bug::TimersBeforeStart) {
            self.settle(vec![Input::Tick])?;
        }
        self.send(Command::StartInstance(Box::new(started)), 0, None);
        self.workers_started();
        Ok(())
    }

    /// INVARIANT I8: what is read back is what was written, and gives the same state, with a
    /// snapshot or without.
    pub(super) fn replay(
        &mut self,
        mut recovered: Recovered,
        snapshot: Option<State>,
    ) -> Result<Result<State, StoreError>, Violation> {
        self.counts.from_snapshots += u64::from(snapshot.is_some());
        let mut changes: Vec<Change> = Vec::new();
        recovered.seek(1);
        loop {
            match recovered.next() {
                Ok(Some(record)) => match decode(&record) {
                    Ok(change) => changes.push(change),
                    Err(error) => return Err(Violation::new("I8", error.to_string())),
                },
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            }
        }
        let skipped = usize::from(self.has(Bug::LastRecordSkipped));
        let read = changes.len().saturating_sub(skipped);
        let mut state = snapshot.unwrap_or_default();
        let mut effects = Vec::new();
        let covered = usize::try_from(state.changes()).unwrap_or(usize::MAX);
        self.note(|| format!("replay from record {covered} to {read}"));
        for change in changes.iter().take(read).skip(covered) {
            state.apply(change, &mut effects);
            effects.clear();
        }
        self.trace(changes.len() as u64);
        self.checker.recovered(&changes, &state)?;
        Ok(Ok(state))
    }

    /// A disk that fails or is full excuses a start that fails; nothing else does.
    fn start_failed(&mut self, error: &StoreError) -> Check {
        self.note(|| format!("start failed: {error}"));
        let is_fault = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Exhausted);
        if self.files.is_dead() {
            return self.die_of_power();
        }
        if !is_fault || self.is_calm {
            return Err(Violation::new("I1", format!("the instance does not start: {error}")));
        }
        self.life += 1;
        self.files.kill();
        self.after(START_AGAIN, Due::Start);
        Ok(())
    }

    fn instance_started(&self) -> InstanceStarted {
        InstanceStarted {
            version: Text::from("sim"),
            mode: self.profile.mode,
            agents: self.profile.agents,
            skills: self.skill_infos(),
            agent_concurrency: self.profile.concurrency,
            concurrent_tasks_max: self.profile.concurrent_tasks_max,
            runs_resident_max: self.profile.runs_resident_max,
            task_timeout_ms: TASK_TIMEOUT_MS,
            rules: BuiltinRules.hash(),
            namespace_budget: self.profile.namespace_budget,
            lease_ms: Some(ark_os_core::limits::LEASE_MS),
            agents_max: None,
            broken: None,
        }
    }

    /// The journal failed: nothing is acknowledged any more, and the process ends.
    pub(super) fn journal_failed(&mut self) -> Check {
        if self.files.is_dead() { self.die_of_power() } else { self.fail_stop() }
    }

    pub(super) fn fail_stop(&mut self) -> Check {
        self.note(|| "the journal failed: stop".to_owned());
        self.counts.fail_stops += 1;
        // Sometimes the power goes too before it is up again: then the page cache is of no help.
        if self.rng.per_mille(300) && self.faults.has(FaultKind::Power) {
            self.files.lose_power();
        } else {
            self.files.kill();
        }
        self.die();
        Ok(())
    }

    pub(super) fn die_of_power(&mut self) -> Check {
        self.note(|| "power lost".to_owned());
        self.files.lose_power();
        self.die();
        Ok(())
    }

    /// The process is killed; the machine goes on.
    pub(super) fn killed(&mut self) {
        self.note(|| "killed".to_owned());
        self.counts.kills += 1;
        self.files.kill();
        self.die();
    }

    /// Everything in memory is gone.
    fn die(&mut self) {
        self.trace(0xdead);
        self.counts.strikes +=
            self.node.as_ref().map_or(0, |node| node.lp.kernel().refused().strikes);
        self.node = None;
        self.life += 1;
        self.leave_ghosts();
        self.clients_lost();
        let pause = self.rng.range(10_000, 3_000_000);
        // Some stay down for longer than a lease.
        let pause = if self.rng.per_mille(100) { pause + 15_000_000 } else { pause };
        self.after(pause, Due::Start);
    }
}
