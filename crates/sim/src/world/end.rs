//! The end of a world: faults stop, time passes, and everything that was accepted comes to an end.

use std::sync::Arc;

use ark_os_core::event::{Intake, Standing};
use ark_os_core::ids::{AgentIx, RunId};
use ark_os_core::{Command, Event, State};
use ark_os_runtime::kernel::record::decode;
use ark_os_runtime::opening::open_journal;
use ark_os_store::verify::{Trust, verify};
use ark_os_store::{Files, Journal, Settings};

use super::node::Node;
use super::start::key;
use super::{Counts, Due, World};
use crate::violation::{Check, Violation, ensure};

/// How long faults go on, in microseconds.
const STORM: u64 = 60_000_000;
/// Time for what runs to come to its end by itself: longer than every lease, timeout, deadline and
/// jump of the wall clock together.
const PATIENCE: u64 = 3_600_000_000;
/// The same for somebody's workflow, which may wait for days: a month.
const LONG_PATIENCE: u64 = 30 * 24 * 3_600_000_000;
/// How often somebody looks after what is parked or paused at the end, in microseconds.
const CARE_EVERY: u64 = 10_000_000;
/// How often at most: every look ends at least one wait.
const CARES_MAX: u32 = 500;

impl World {
    /// The whole life of a world.
    pub(crate) fn live(&mut self) -> Check {
        self.after(0, Due::Start);
        self.after(1_000, Due::Client);
        if self.has_waits {
            self.after(1_500, Due::Signal);
        }
        if self.schedules.is_some() {
            self.after(1_200, Due::Schedule);
        }
        if self.forks.is_some() {
            self.after(1_300, Due::Fork);
        }
        let first = self.rng.range(1, self.profile.fault_ms * 2_000);
        self.after(first, Due::Fault);
        self.run_until(STORM)?;
        self.calm_down();
        self.end_schedules()?;
        self.submit_the_rest()?;
        self.wait_for_quiet()?;
        self.check_excuses()?;
        self.bring_to_an_end()?;
        self.close()
    }

    /// Time passes until nothing happens by itself any more.
    fn wait_for_quiet(&mut self) -> Check {
        let until = self.now + if self.subject.is_some() { LONG_PATIENCE } else { PATIENCE };
        while self.now < until {
            self.run_until(self.now + CARE_EVERY)?;
            if self.is_quiet() {
                return Ok(());
            }
            self.look_after_subject();
            self.hush_schedules();
        }
        Ok(())
    }

    /// Whether only somebody's word can make anything happen.
    fn is_quiet(&self) -> bool {
        let Some(node) = &self.node else { return false };
        node.lp.next_timer().is_none()
            && node.inbox.is_empty()
            && node.left.is_empty()
            && node.fetches == 0
            && node.lp.state().interrupted().is_none()
            && !node.lp.has_unsynced()
            && self.clients.waiting() == 0
            && self.attempts.values().all(|it| it.is_stopped)
    }

    /// Liveness: every run that was acknowledged is over, or waits for somebody's word.
    fn check_excuses(&self) -> Check {
        let Some(node) = &self.node else {
            return Err(Violation::new("liveness", "the instance does not come up again"));
        };
        ensure(self.clients.waiting() == 0, "I18", || {
            "an operation was never answered".to_owned()
        })?;
        let state = node.lp.state();
        let may_wait = state.intake() == Intake::Draining || offline(state) > 0;
        for run in self.checker.acknowledged().chain(state.run_ids()) {
            if self.checker.is_over(run) {
                continue;
            }
            let excuse = self.checker.excuse(state, run);
            let holds = excuse.is_some_and(|it| may_wait || !it.starts_with("waits for"));
            ensure(holds, "liveness", || {
                format!("`{run}` does not come to an end ({excuse:?}): {}", told(state, run))
            })?;
        }
        Ok(())
    }

    /// Everybody is back, and somebody looks after everything that waits: all runs end.
    fn bring_to_an_end(&mut self) -> Check {
        for _ in 0..CARES_MAX {
            let Some(node) = &self.node else { break };
            let state = node.lp.state();
            if state.live() == 0 {
                break;
            }
            let paused: Vec<RunId> = state
                .run_ids()
                .into_iter()
                .filter(|id| state.run(*id).is_some_and(|run| run.paused))
                .collect();
            let agents = state.fleet().len();
            self.send(Command::SetIntake { intake: Intake::Open, reason: "end".into() }, 0, None);
            for agent in 0..agents {
                let agent = AgentIx(agent);
                self.send(Command::SetAgent { agent, online: true, reason: "end".into() }, 0, None);
            }
            for run in paused {
                self.send(Command::ResumeRun { run, reason: "end".into() }, 0, None);
            }
            self.resolve();
            self.unpark();
            self.signal_all();
            self.workers_stay();
            self.run_until(self.now + CARE_EVERY)?;
        }
        self.wait_for_quiet()?;
        let Some(node) = &self.node else { return Ok(()) };
        let state = node.lp.state();
        let left =
            state.run_ids().into_iter().find(|id| state.run(*id).is_some_and(|run| !run.is_over()));
        ensure(state.live() == 0 && left.is_none(), "liveness", || {
            let what = left.map(|run| told(state, run)).unwrap_or_default();
            format!("{} runs are left at the end: {left:?} {what}", state.live())
        })
    }

    /// A clean stop; then the journal is read once more and verified from end to end.
    fn close(&mut self) -> Check {
        let Some(node) = self.node.take() else {
            return Err(Violation::new("liveness", "the instance is not there at the end"));
        };
        self.counts.strikes += node.lp.kernel().refused().strikes;
        let live = node.lp.state().digest();
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Violation::new("I8", format!("{what} at the end: {error}"))
        };
        let Node { lp, journal, mut keeper, .. } = node;
        journal.close().map_err(|error| failed("close", &error))?;
        keeper.finish(lp.state()).map_err(|error| failed("snapshot", &error))?;
        self.files.kill();
        let report =
            verify(&self.files, &Trust { key: Some(key()?.public().clone()), kept: Vec::new() })
                .map_err(|error| failed("verify", &error))?;
        ensure(report.is_ok() && report.unsigned() == 0, "I9", || format!("{:?}", report.fault))?;
        ensure(report.absent.is_empty(), "I9", || format!("absent: {:?}", report.absent))?;
        let settings = Settings { segment_bytes: self.profile.segment_bytes };
        let opened = open_journal(&self.snapshots()?, &self.segments(), settings, &key()?)
            .map_err(|error| failed("open", &error))?;
        self.check_refused(&opened.refused)?;
        let from = opened.from.as_ref().map(|(anchor, _)| anchor.size());
        ensure(from == Some(opened.recovered.records()), "I8", || {
            format!("a start after a clean stop begins with a snapshot of {from:?} records")
        })?;
        let snapshot = opened.from.map(|(_, state)| state);
        let state = self.replay(opened.recovered, snapshot)?;
        let state = state.map_err(|error| failed("read", &error))?;
        ensure(state.digest() == live, "I8", || "the replay is not the live state".to_owned())?;
        let files: Arc<dyn Files> = Arc::new(self.files.clone());
        let (_, mut recovered) =
            Journal::open(files, settings, key()?).map_err(|error| failed("open", &error))?;
        let mut changes = Vec::new();
        while let Some(record) = recovered.next().map_err(|error| failed("read", &error))? {
            changes.push(decode(&record).map_err(|error| failed("decode", &error))?);
        }
        let runs = changes.iter().flat_map(|change| &change.events);
        self.counts.runs = runs.filter(|it| matches!(it, Event::RunAccepted(_))).count() as u64;
        Ok(())
    }

    /// What happened, in numbers.
    pub(crate) fn sum_up(&self) -> Counts {
        Counts {
            records: self.checker.records(),
            power_losses: self.files.counts().power_losses,
            effects: self.sink.performed(),
            ..self.counts
        }
    }
}

/// Agents that somebody took out.
fn offline(state: &State) -> usize {
    let fleet = state.fleet();
    let is_out = |agent: &u32| {
        let row = fleet.agent(AgentIx(*agent));
        row.is_some_and(|row| row.standing != Standing::Ready && !row.standing.is_passing())
    };
    (0..fleet.len()).filter(is_out).count()
}

/// How a run stands, for a message.
fn told(state: &State, run: RunId) -> String {
    let Some(run) = state.run(run) else { return "not in the state".to_owned() };
    let tasks: Vec<String> = (0u32..)
        .zip(&run.tasks)
        .map(|(node, task)| {
            let fan = task
                .fan
                .as_ref()
                .map(|fan| (fan.total(), fan.next, fan.running, fan.succeeded, fan.failed));
            format!(
                "{node}:{:?} waits on {} line {} fan {fan:?}",
                task.state,
                task.waits_on,
                task.turn.is_some()
            )
        })
        .collect();
    format!("{:?} paused {} parked {} [{}]", run.phase, run.paused, run.parked, tasks.join(", "))
}
