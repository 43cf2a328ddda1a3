//! The checker: a naive reference of what the journal may say, held against everything that
//! leaves the loop.
//!
//! It learns from events alone and knows nothing of how the core decides. What it knows is cut
//! back with the journal after a crash; what clients were told is not.

use std::collections::{BTreeMap, BTreeSet};

use ark_os_core::effect::Effect;
use ark_os_core::event::RunEnd;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{PtId, RunId};
use ark_os_core::layer::Layer;
use ark_os_core::run::{RunState, RunSummary};
use ark_os_core::step::StepKey;
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_core::{Change, Event, State};
use ark_os_runtime::kernel::record::Appended;

use crate::violation::{Check, Violation, ensure};

mod forks;
mod limits;
mod model;
mod rules;
mod schedules;
mod settings;
mod state;

pub(crate) use forks::{Asked, Changed};
use model::Model;

/// What clients, agents and the sink were told or did; no crash takes it back.
#[derive(Debug, Default)]
struct Told {
    accepted: BTreeSet<RunId>,
    /// The run that each idempotency key was acknowledged for.
    keys: BTreeMap<Text, RunId>,
    /// How a run was said to have ended, and which of its ends that was.
    over: BTreeMap<RunId, (RunEnd, usize)>,
    cancelled: BTreeSet<RunId>,
    /// Digest of the output that was presented under each token.
    outputs: BTreeMap<PtId, Hash>,
    /// Signals, by run and the digest of what they say.
    signals: BTreeSet<(RunId, Hash)>,
    /// Forks that were asked for.
    forks: BTreeMap<RunId, Asked>,
    /// Schedules, by the digest of their input, which is like no other's.
    schedules: BTreeSet<Hash>,
    /// Runs with an agent that reported more than was reserved.
    liars: BTreeSet<RunId>,
    /// Layers of deployments whose agents were found healthy.
    healthy: BTreeSet<(u64, Option<Layer>)>,
}

/// The checker.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    model: Model,
    told: Told,
    /// Every record, and the wall clock when it was decided.
    log: Vec<(Appended, Time)>,
    /// Records that a good sync covers.
    durable: u64,
    /// Whether the instance has started since the journal was read.
    is_started: bool,
    /// Runs changed since the state was last looked at.
    touched: BTreeSet<RunId>,
}

impl Checker {
    /// Looks at a record as the loop decided it.
    pub(crate) fn observe(&mut self, appended: &Appended, wall: Time) -> Check {
        let next = self.log.len() as u64 + 1;
        ensure(appended.seq == next, "I8", || format!("record {} follows {next}", appended.seq))?;
        let first = appended.change.events.first();
        self.is_started |= matches!(first, Some(Event::InstanceStarted(_)));
        // Runs that the start before this one did not come to may be recovered first; where a measure has
        // put another mode in force meanwhile, the layers decide again about their workflows.
        let is_recovery = appended.change.events.contains(&Event::RunRecovered);
        ensure(self.is_started || is_recovery, "I5", || {
            format!("{:?} happened before the instance started", appended.change.events)
        })?;
        self.log.push((appended.clone(), wall));
        self.touched.extend(appended.change.run);
        self.model.observe(appended, wall)?;
        self.check_presented(&appended.change)?;
        for event in &appended.change.events {
            if let (Event::RunRetried { .. }, Some(run)) = (event, appended.change.run) {
                self.told.cancelled.remove(&run);
            }
        }
        Ok(())
    }

    /// INVARIANT I4: what is recorded as a token's result was presented under that very token.
    fn check_presented(&self, change: &Change) -> Check {
        let Some(run) = change.run else { return Ok(()) };
        for event in &change.events {
            let Event::TaskSucceeded(done) = event else { continue };
            let pt = PtId { run, task: done.task, fence: done.fence };
            let presented = self.told.outputs.get(&pt);
            ensure(presented == Some(&done.output.hash()), "I4", || {
                format!("`{pt}` succeeded with an output that was not presented under it")
            })?;
        }
        Ok(())
    }

    /// A batch is on the platter.
    pub(crate) fn synced(&mut self, through: u64) {
        self.durable = self.durable.max(through);
    }

    /// Records seen in all, those lost in crashes not counted.
    pub(crate) fn records(&self) -> u64 {
        self.log.len() as u64
    }

    /// The new agents of a layer were looked at, and are healthy.
    pub(crate) fn healthy(&mut self, version: u64, layer: Option<Layer>) {
        self.told.healthy.insert((version, layer));
        self.model.fleet.healthy.insert((version, layer));
    }

    /// An agent presents an output under its token.
    pub(crate) fn presents(&mut self, pt: PtId, output: Hash) {
        self.told.outputs.insert(pt, output);
    }

    /// An agent reports more than was reserved for it.
    pub(crate) fn lies(&mut self, run: RunId) {
        self.told.liars.extend(self.model.line_of(run));
    }

    /// A submission is acknowledged.
    ///
    /// INVARIANT I6: its record is durable by then; the same key always means the same run.
    pub(crate) fn accepted(&mut self, run: RunId, key: Option<&Text>) -> Check {
        let seq = self.model.run(run).map(|it| it.accepted_seq);
        self.is_durable(seq, || format!("acceptance of `{run}`"))?;
        self.told.accepted.insert(run);
        let Some(key) = key else { return Ok(()) };
        let known = *self.told.keys.entry(key.clone()).or_insert(run);
        ensure(known == run, "I1", || format!("key `{key}` means `{known}` and `{run}`"))
    }

    /// A submission is refused: nothing of it may be in the journal.
    pub(crate) fn refused(&self, run: RunId) -> Check {
        ensure(self.model.run(run).is_none(), "I18", || format!("`{run}` was refused and is there"))
    }

    /// Somebody is told how a run stands.
    pub(crate) fn over(&mut self, summary: &RunSummary) -> Check {
        let id = summary.id;
        let run = self.model.run(id).ok_or_else(|| {
            Violation::new("I6", format!("`{id}` is said to be over and was never accepted"))
        })?;
        if summary.state == RunState::Parked {
            return self.is_durable(run.parked_seq, || format!("parking of `{id}`"));
        }
        let told = match summary.state {
            RunState::Succeeded => RunEnd::Succeeded,
            RunState::Cancelled => RunEnd::Cancelled,
            _ => RunEnd::Failed,
        };
        // A retry may have begun since; what was told was true when it was decided.
        let which = run.ends.iter().position(|(end, _)| *end == told);
        let seq = which.and_then(|which| run.ends.get(which)).map(|(_, seq)| *seq);
        ensure(seq.is_some() && summary.ended.is_some(), "I2", || {
            format!("`{id}` is said to be {:?}; its ends are {:?}", summary.state, run.ends)
        })?;
        self.is_durable(seq, || format!("end of `{id}`"))?;
        self.told.over.extend(which.map(|which| (id, (told, which))));
        Ok(())
    }

    /// A cancellation is acknowledged.
    pub(crate) fn cancelled(&mut self, id: RunId) -> Check {
        let Some(run) = self.model.run(id) else { return Ok(()) };
        let cancelled = run.ends.iter().find(|(end, _)| *end == RunEnd::Cancelled);
        let seq = cancelled.map(|(_, seq)| *seq);
        self.is_durable(seq, || format!("cancellation of `{id}`"))?;
        // Otherwise a retry came between its record and its acknowledgement.
        if run.ended && run.ends.last().is_some_and(|(_, seq)| *seq <= self.durable) {
            self.told.cancelled.insert(id);
        }
        Ok(())
    }

    /// A signal is acknowledged.
    ///
    /// INVARIANT I6: its record is durable by then.
    pub(crate) fn signalled(&mut self, run: RunId, said: Hash) -> Check {
        let signals = self.model.run(run).map(|run| &run.signals);
        let seq = signals.and_then(|signals| signals.came.get(&said)).copied();
        self.is_durable(seq, || format!("a signal of `{run}`"))?;
        self.told.signals.insert((run, said));
        Ok(())
    }

    /// An external effect leaves the loop.
    pub(crate) fn released(&self, seq: u64, effect: &Effect) -> Check {
        self.is_durable(Some(seq), || format!("{effect:?}"))
    }

    /// An attempt with effects begins.
    ///
    /// INVARIANT I6, I7: its record is durable, and its run was not cancelled before.
    pub(crate) fn begins(&self, pt: PtId) -> Check {
        let seq = self.model.started(pt);
        self.is_durable(seq, || format!("start of `{pt}`"))?;
        self.is_not_cancelled(pt.run, || format!("`{pt}` begins"))
    }

    /// The go-ahead of a step leaves the loop.
    pub(crate) fn goes_ahead(&self, pt: PtId, key: StepKey) -> Check {
        let intent = self.model.intent(key);
        let is_unasked = intent.is_some_and(|intent| intent.is_unasked);
        ensure(!is_unasked, "I3", || format!("step {} goes ahead, and nobody asked", key.0))?;
        let seq = intent.filter(|intent| intent.fence == pt.fence).map(|intent| intent.seq);
        self.is_durable(seq, || format!("intent of step {} under `{pt}`", key.0))?;
        self.is_not_cancelled(pt.run, || format!("a step of `{pt}` goes ahead"))
    }

    /// An effect happens in the world.
    ///
    /// INVARIANT I10: its intent is durable.
    pub(crate) fn performs(&self, pt: PtId, key: StepKey) -> Check {
        let seq = self.model.intent(key).map(|intent| intent.seq);
        let holds = seq.is_some_and(|seq| seq <= self.durable);
        ensure(holds, "I10", || format!("step {} under `{pt}` has no durable intent", key.0))
    }

    /// Something seen in a look is delivered.
    pub(crate) fn delivered(&self, newest: u64) -> Check {
        self.is_durable(Some(newest), || "a look".to_owned())
    }

    fn is_durable(&self, seq: Option<u64>, what: impl FnOnce() -> String) -> Check {
        let durable = self.durable;
        ensure(seq.is_some_and(|seq| seq <= durable), "I6", || {
            format!("{} left the loop: its record is {seq:?}, durable are {durable}", what())
        })
    }

    fn is_not_cancelled(&self, run: RunId, what: impl FnOnce() -> String) -> Check {
        let is_cancelled = self.model.line_of(run).any(|it| self.told.cancelled.contains(&it));
        ensure(!is_cancelled, "I7", || {
            format!("{} after the cancellation of its run was acknowledged", what())
        })
    }

    /// The journal was read back after a crash: nothing durable is missing, nothing is changed,
    /// and nobody was told what is not in it.
    pub(crate) fn recovered(&mut self, changes: &[Change], state: &State) -> Check {
        let found = changes.len() as u64;
        let durable = self.durable;
        ensure(found >= durable, "I1", || {
            format!("{found} records were recovered, {durable} had been synced")
        })?;
        ensure(found <= self.records(), "I1", || format!("{found} records were never appended"))?;
        for ((appended, _), change) in self.log.iter().zip(changes) {
            ensure(appended.change == *change, "I8", || {
                let Appended { seq, change: was, .. } = appended;
                format!("record {seq} was {was:?} and is {change:?}")
            })?;
        }
        self.is_started = false;
        self.log.truncate(changes.len());
        self.durable = found;
        self.model = Model::default();
        self.model.fleet.healthy.clone_from(&self.told.healthy);
        self.model.forks.clone_from(&self.told.forks);
        let mut shadow = State::default();
        let mut effects = Vec::new();
        for (appended, wall) in &self.log {
            self.model.observe(appended, *wall)?;
            shadow.apply(&appended.change, &mut effects);
            effects.clear();
        }
        ensure(shadow.digest() == state.digest(), "I8", || {
            format!("the replay of {found} records gives another state than they gave before")
        })?;
        self.check_told()
    }

    /// INVARIANT I1: what was acknowledged survived.
    fn check_told(&self) -> Check {
        for run in &self.told.accepted {
            ensure(self.model.run(*run).is_some(), "I1", || {
                format!("`{run}` was acknowledged and is lost")
            })?;
        }
        for (run, said) in &self.told.signals {
            let is_there =
                self.model.run(*run).is_some_and(|it| it.signals.came.contains_key(said));
            ensure(is_there, "I1", || format!("a signal of `{run}` was acknowledged and is lost"))?;
        }
        self.check_told_schedules()?;
        for (id, (end, which)) in &self.told.over {
            let found = self.model.run(*id).and_then(|run| run.ends.get(*which));
            ensure(found.is_some_and(|(found, _)| found == end), "I2", || {
                format!("`{id}` was said to be {end:?} and is not any more")
            })?;
        }
        Ok(())
    }

    /// Everything that the journal says of runs, in its order.
    pub(crate) fn run_events(&self) -> impl Iterator<Item = (RunId, &Event)> + '_ {
        let changes = self.log.iter().map(|(appended, _)| &appended.change);
        let of_runs = changes.filter_map(|change| Some((change.run?, &change.events)));
        of_runs.flat_map(|(run, events)| events.iter().map(move |event| (run, event)))
    }

    /// The runs that were acknowledged.
    pub(crate) fn acknowledged(&self) -> impl Iterator<Item = RunId> + '_ {
        self.told.accepted.iter().copied()
    }

    /// The record with which a run was accepted.
    pub(crate) fn accepted_seq(&self, run: RunId) -> Option<u64> {
        self.model.run(run).map(|run| run.accepted_seq)
    }

    /// Whether the journal says that a run is over.
    pub(crate) fn is_over(&self, run: RunId) -> bool {
        self.model.run(run).is_some_and(|run| run.ended)
    }
}
