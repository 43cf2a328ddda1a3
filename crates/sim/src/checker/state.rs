//! Sums and books of the live state, held against what the journal said.

use std::collections::{BTreeMap, BTreeSet};

use ark_os_core::State;
use ark_os_core::event::{Intake, Standing};
use ark_os_core::ids::{AgentIx, RunId, StackIx, TaskRef};
use ark_os_core::limits::RUNS_RESTING_TIMES;
use ark_os_core::run::{Run, TaskState};
use ark_os_core::supervision::{Concern, Desk};
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_core::timers::Timer;

use super::Checker;
use super::model::RunModel;
use crate::violation::{Check, ensure};

impl Checker {
    /// Looks at the state after a step: tokens, budgets, and the runs that changed.
    pub(crate) fn look(&mut self, state: &State) -> Check {
        self.check_tokens(state)?;
        self.check_fleet(state)?;
        check_supervision(state)?;
        self.check_limits(state)?;
        self.check_schedules(state)?;
        self.check_settings(state)?;
        for (namespace, account) in state.accounts() {
            ensure(account.is_sound(), "I11", || format!("account of `{namespace}`: {account:?}"))?;
        }
        for id in std::mem::take(&mut self.touched) {
            let Some(known) = self.model.run(id) else { continue };
            match state.run(id) {
                Some(run) => self.check_run(state, run, known)?,
                None if known.waits => self.check_waiting(state, id, known)?,
                None => {
                    ensure(known.ended, "I1", || format!("`{id}` left the state and is not over"))?;
                }
            }
        }
        let waiting = self.model.runs.values().filter(|run| run.waits).count();
        ensure(state.backlog().len() == waiting, "I1", || {
            format!("{} runs wait on disk, {waiting} should", state.backlog().len())
        })?;
        let live = self.model.runs.values().filter(|run| !run.ended).count();
        ensure(state.live() == live, "I18", || format!("{} runs live, {live} should", state.live()))
    }

    /// INVARIANT I19: tokens in use are those that the journal says were drawn and not put back.
    fn check_tokens(&self, state: &State) -> Check {
        let fleet = state.fleet();
        let mut pools: BTreeMap<StackIx, u32> = BTreeMap::new();
        for (agent, count) in &self.model.in_use {
            let busy = fleet.agent(*agent).map_or(0, |row| row.busy);
            ensure(busy == *count, "I19", || {
                format!("agent {} has {busy} tokens, {count} were drawn", agent.0)
            })?;
            let standing = fleet.agent(*agent).map(|row| row.standing);
            ensure(standing.is_some_and(Standing::has_tokens), "I19", || {
                format!("agent {} has tokens and is {standing:?}", agent.0)
            })?;
            if let Some(stack) = fleet.stack(*agent) {
                *pools.entry(stack).or_insert(0) += count;
            }
        }
        let drawn: u32 = self.model.in_use.values().sum();
        ensure(fleet.in_use() == drawn, "I19", || {
            format!("{} tokens are in use, {drawn} were drawn", fleet.in_use())
        })?;
        for (stack, (capacity, in_use)) in (0u32..).zip(fleet.pools()) {
            let drawn = pools.get(&StackIx(stack)).copied().unwrap_or(0);
            ensure(in_use == drawn && in_use <= capacity, "I19", || {
                format!("stack {stack}: {in_use} of {capacity} in use, {drawn} were drawn")
            })?;
        }
        Ok(())
    }

    /// INVARIANT I20: what is deployed is what the journal says, and the profile has its size.
    fn check_fleet(&self, state: &State) -> Check {
        let (fleet, known) = (state.fleet(), &self.model.fleet);
        let deployments = state.deployments();
        let under_way = deployments.under_way().map(|it| it.deployment.version);
        ensure(
            deployments.version() == known.current && under_way == known.under_way(),
            "I20",
            || {
                format!(
                    "version {} is deployed and {under_way:?} under way, not {known:?}",
                    deployments.version()
                )
            },
        )?;
        let stays = |ix: &AgentIx| {
            fleet.group_of(*ix).is_none()
                && fleet.agent(*ix).is_some_and(|row| !row.standing.is_passing())
        };
        let here = (0..fleet.len()).map(AgentIx).filter(stays).count() as u32;
        let should = known.profile;
        ensure(self.model.epoch == 0 || here == should, "I20", || {
            format!("{here} agents of the profile are here, {should} should be")
        })
    }

    fn check_waiting(&self, state: &State, id: RunId, known: &RunModel) -> Check {
        let kept = state.backlog().find(id).map(|it| (it.seq, it.deadline, it.priority));
        let deadline = known.accepted.deadline.unwrap_or(Time::NEVER);
        let should = (known.accepted_seq, deadline, known.accepted.priority);
        ensure(kept == Some(should), "I1", || {
            format!("`{id}` waits on disk as {kept:?} and should as {should:?}")
        })
    }

    fn check_run(&self, state: &State, run: &Run, known: &RunModel) -> Check {
        let account = &run.account;
        ensure(account.is_sound(), "I11", || format!("account of `{}`: {account:?}", run.id))?;
        let may_be_over = self.told.liars.contains(&run.id);
        ensure(account.over().is_zero() || may_be_over, "I11", || {
            format!("`{}` is over its reservations and nobody lied: {account:?}", run.id)
        })?;
        // What a run uses is used of those above it, as long as they are there.
        let parent = run.parent.as_ref().filter(|parent| !parent.is_detached);
        if let Some(parent) = parent.and_then(|parent| state.run(parent.run)) {
            ensure(account.used().fits_in(parent.account.used()).is_ok(), "I11", || {
                format!("`{}` uses {account:?}, its parent {:?}", run.id, parent.account)
            })?;
        }
        ensure(run.is_over() == known.ended, "I2", || format!("`{}` is {:?}", run.id, run.phase))?;
        for (node, task) in (0u32..).zip(&run.tasks) {
            let model = known.task(TaskRef::node(node));
            let over = model.is_some_and(|it| it.over.is_some());
            ensure(task.state.is_over() == over, "I5", || {
                format!(
                    "task {node} of `{}` is {:?}, over by the journal: {over}",
                    run.id, task.state
                )
            })?;
            let token = model.and_then(|it| it.token).map(|token| token.fence);
            let active = task.active.as_ref().map(|active| active.fence);
            ensure(token == active, "I4", || {
                format!("task {node} of `{}` holds {active:?}, by the journal {token:?}", run.id)
            })?;
            let is_parked = task.state == TaskState::Parked;
            let concern = Concern::Task(run.id, TaskRef::node(node));
            ensure(!is_parked || is_told(state, concern), "I21", || {
                format!("task {node} of `{}` is parked and nobody was told", run.id)
            })?;
        }
        let kept = run.inbox.iter().map(|it| (it.number, it.payload.hash()));
        ensure(
            kept.eq(known.signals.kept.iter().map(|(number, said)| (*number, *said))),
            "I1",
            || {
                format!(
                    "`{}` keeps {:?}, by the journal {:?}",
                    run.id, run.inbox, known.signals.kept
                )
            },
        )?;
        self.check_counts(run)
    }

    /// The counts of a run are what one gets by counting.
    fn check_counts(&self, run: &Run) -> Check {
        let open = run.tasks.iter().filter(|task| !task.state.is_over()).count() as u32;
        ensure(run.open == open, "I5", || {
            format!("`{}` counts {} open nodes, there are {open}", run.id, run.open)
        })?;
        let moving: u32 = (0..run.tasks.len() as u32).map(|node| run.moving_at(node)).sum();
        ensure(run.counts.moving() == moving, "I5", || {
            format!("`{}` counts {} moving tasks, there are {moving}", run.id, run.counts.moving())
        })
    }

    /// Those in memory wait too, or rest and are so many that they keep others out.
    fn excuse_on_disk(&self, state: &State, id: RunId) -> Option<&'static str> {
        let places = state.instance()?.runs_resident_max? as usize;
        let is_full = state.resident() >= places * RUNS_RESTING_TIMES;
        let excuse = if is_full { "behind those that rest" } else { "waits for room" };
        state.backlog().contains(id).then_some(excuse)
    }

    /// Why a run that is not over may stay so for ever; none if it may not.
    pub(crate) fn excuse(&self, state: &State, id: RunId) -> Option<&'static str> {
        let Some(run) = state.run(id) else { return self.excuse_on_disk(state, id) };
        if run.paused {
            return Some("paused");
        }
        if run.waits_for.is_some() {
            return Some("waits for a layer");
        }
        if run.parked || !run.live_tasks(|it| it.state == TaskState::Parked).is_empty() {
            return Some("parked");
        }
        // A signal that is kept would have ended the wait.
        let awaited = run.awaited();
        let is_kept = |name: &Text| run.inbox.iter().any(|it| it.name == *name);
        if !awaited.is_empty() && !awaited.iter().any(is_kept) {
            return Some("needs a signal");
        }
        // Whatever excuses a child excuses whoever waits for it.
        let children: Vec<RunId> = run.awaited_children().map(|(_, child)| child.run).collect();
        let is_there =
            |child: &RunId| state.run(*child).is_some() || state.backlog().contains(*child);
        if state.intake() == Intake::Draining && !children.iter().all(is_there) {
            return Some("waits for the intake");
        }
        if let Some(excuse) = children.iter().find_map(|child| self.excuse(state, *child)) {
            return Some(excuse);
        }
        // Nobody waits for a key for ever: what is at work under it ends, and time passes.
        let is_held = |task: &TaskRef| {
            let turn = run.task(*task).and_then(|it| it.turn).zip(run.skill(task.node));
            let limit = run.limit_id(task.node).and_then(|id| state.limits().find(&id));
            limit.zip(turn).is_some_and(|(limit, (turn, skill))| limit.is_held(skill, turn))
        };
        let ready = run.live_tasks(|it| it.turn.is_some());
        let is_offered = |id: &RunId| {
            let other = state.run(*id);
            other.is_some_and(|it| !it.live_tasks(|it| it.turn.is_some()).is_empty())
        };
        // Whoever may begin under the key and has no agent keeps the others waiting.
        let waits = ready.iter().any(|task| !is_held(task))
            || !ready.is_empty() && state.run_ids().iter().filter(|it| **it != id).any(is_offered);
        waits.then_some("waits for an agent")
    }
}

/// Whether somebody was told of what cannot be mended, or is about to be.
fn is_told(state: &State, concern: Concern) -> bool {
    let supervision = state.supervision();
    supervision.knows(concern) || supervision.closed().any(|it| it.concern == concern)
}

/// INVARIANT I21: what was escalated has a next step, and a measure an end: each has its timer, unless
/// a person is to see to it.
fn check_supervision(state: &State) -> Check {
    let supervision = state.supervision();
    if supervision.open().next().is_none() && supervision.measures().next().is_none() {
        return Ok(());
    }
    let timed: BTreeSet<Timer> = state.timers().iter().map(|(_, timer)| timer).collect();
    for it in supervision.open() {
        let has_step = timed.contains(&Timer::Escalation(it.id)) || it.to == Desk::Human;
        ensure(has_step, "I21", || format!("escalation {} waits for ever: {it:?}", it.id))?;
    }
    for it in supervision.measures() {
        ensure(timed.contains(&Timer::Measure(it.id)), "I21", || {
            format!("measure {} has no end: {it:?}", it.id)
        })?;
    }
    Ok(())
}
