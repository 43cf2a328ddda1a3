//! `apply`: folds a change into the state. Total: it decides nothing and refuses nothing; an event
//! that speaks of something unknown changes nothing.

use std::sync::Arc;

use super::apply_child::Left;
use super::{Keys, State};
use crate::backlog::Under;
use crate::budget::{Account, Amounts};
use crate::child_run::Errand;
use crate::effect::Effect;
use crate::event::{
    Admission, Change, Event, InstanceStarted, RunAccepted, SignalReceived, Standing,
};
use crate::fleet::Fleet;
use crate::hash::Hash;
use crate::ids::{AgentIx, RunId};
use crate::keyed_limit::{Around, KeyedLimits};
use crate::layer::Layer;
use crate::limits::{KEY_KEPT_MS, RUNS_ENDED_KEPT_MAX, WORKFLOWS_MAX};
use crate::queue::ReadyQueue;
use crate::run::{Counts, Phase, Run, RunState, Task, TaskState};
use crate::settings_change::LiveLimits;
use crate::text::Text;
use crate::time::Time;
use crate::timers::{Timer, Timers};

/// One run's part of the state, with what it shares with others.
pub(crate) struct Scope<'a> {
    pub(crate) run: &'a mut Run,
    pub(crate) fleet: &'a mut Fleet,
    pub(crate) queue: &'a mut ReadyQueue,
    pub(crate) timers: &'a mut Timers,
    pub(crate) limits: &'a mut KeyedLimits,
    pub(crate) account: &'a mut Account,
    pub(crate) effects: &'a mut Vec<Effect>,
    pub(crate) fences: &'a mut u64,
    pub(crate) epoch: u64,
    pub(crate) timeout_ms: u64,
    pub(crate) lease_ms: u64,
    pub(crate) at: Time,
    /// The run's newest proof as the change's end names it; then nobody works it out again.
    pub(crate) head: Option<Hash>,
    /// Children that their tasks do not wait for any more.
    pub(crate) left: Vec<Left>,
    /// An agent whose row of failures is over.
    pub(crate) mended: Option<AgentIx>,
}

impl State {
    /// Folds the change of a new record in; what the loop has to do about it is added to `effects`.
    pub fn apply(&mut self, change: &Change, effects: &mut Vec<Effect>) {
        self.changes += 1;
        self.join(change, effects);
    }

    /// Folds a change in that becomes part of the newest record.
    pub fn join(&mut self, change: &Change, effects: &mut Vec<Effect>) {
        self.now = self.now.max(change.at);
        self.forget_old_keys();
        let head = match change.events.last() {
            Some(Event::RunEnded(ended)) => ended.proof,
            _ => None,
        };
        for event in &change.events {
            self.apply_event((change.run, head), event, effects);
        }
    }

    fn apply_event(
        &mut self,
        (run, head): (Option<RunId>, Option<Hash>),
        event: &Event,
        effects: &mut Vec<Effect>,
    ) {
        match event {
            Event::InstanceStarted(started) => self.start_instance(started),
            Event::IntakeChanged { intake, .. } => self.intake = *intake,
            Event::AgentChanged { agent, standing, reason, until, .. } => {
                self.change_agent(*agent, (*standing, reason), *until);
                // One that is back finds the measures that came meanwhile.
                if *standing == Standing::Ready {
                    self.keep_one_out(*agent);
                }
            }
            Event::FleetScaled { agents, .. } => {
                self.change_fleet(|fleet| fleet.scale(*agents));
                self.keep_out();
            }
            Event::SettingsChanged(changed) => self.change_settings(&changed.limits),
            Event::AgentJoined(joined) => {
                self.change_fleet(|fleet| fleet.join(&joined.group, &joined.skills));
                if let Some((_, seat)) = self.fleet.remote(&joined.group.name) {
                    self.keep_one_out(seat);
                }
            }
            Event::AgentLeft(left) => self.change_fleet(|fleet| fleet.part(&left.name)),
            Event::AgentStruck { agent, .. } => self.fleet.strike(*agent),
            Event::DeploymentStarted(deployment) => self.begin_deployment(deployment, effects),
            Event::LayerDeployed { version, layer, next } => {
                self.deploy_layer(*version, (*layer, *next), effects);
            }
            Event::DeploymentFinished { version } => self.end_deployment(*version, None, effects),
            Event::DeploymentRolledBack { version, reason } => {
                self.end_deployment(*version, Some(reason), effects);
            }
            Event::LimitEased { limit } => {
                let (queue, timers, now) = (&mut self.queue, &mut self.timers, self.now);
                self.limits.ease(*limit, Around { queue, timers, now });
            }
            Event::WorkflowAdmitted(admission) => self.admit(admission),
            Event::AuthorityRevoked { id, .. } => {
                self.revoked.insert(*id);
            }
            Event::Supervised(event) => self.apply_to_supervision(event),
            Event::RunAccepted(accepted) => {
                if let Some(run) = run {
                    self.accept(run, accepted);
                }
            }
            Event::RunLoaded { accepted } => {
                if let Some(run) = run {
                    self.load(run, accepted.as_deref());
                }
            }
            Event::SchedulePut(_)
            | Event::ScheduleChanged { .. }
            | Event::ScheduleRemoved { .. }
            | Event::ScheduleFired(_)
            | Event::ScheduleSkipped(_)
            | Event::ScheduleQueued { .. } => self.apply_to_schedule(run, event),
            _ => {
                let Some(run) = run else { return };
                if let Event::RunPrioritized { priority, .. } = event {
                    self.backlog.prioritize(run, *priority);
                }
                if let Event::SignalReceived(signal) = event {
                    self.note_signal_key(run, signal);
                }
                self.apply_to_run((run, head), event, effects);
            }
        }
    }

    fn note_signal_key(&mut self, id: RunId, signal: &SignalReceived) {
        let Some(run) = self.runs.get(&id) else { return };
        if let Some(key) = &signal.key {
            self.keys.note(self.now, (run.namespace.clone(), key.key.clone()), (id, key.request));
        }
    }

    fn apply_to_run(
        &mut self,
        (id, head): (RunId, Option<Hash>),
        event: &Event,
        effects: &mut Vec<Effect>,
    ) {
        let budget = self.namespace_budget();
        let (timeout_ms, lease_ms) = (self.task_timeout_ms(), self.lease_ms());
        let Some(run) = self.runs.get_mut(&id) else { return };
        if let Event::RunStarted { admission } = event {
            run.admission = self.admissions.get(admission).cloned();
        }
        let (was_over, was_active) = (run.is_over(), run.is_active());
        let (priority, parked) = (run.priority, run.counts.of(TaskState::Parked));
        let before = run.account;
        if !self.accounts.contains_key(&run.namespace) {
            self.accounts.insert(run.namespace.clone(), Account::new(budget));
        }
        let Some(account) = self.accounts.get_mut(&run.namespace) else { return };
        let mut scope = Scope {
            run,
            fleet: &mut self.fleet,
            queue: &mut self.queue,
            timers: &mut self.timers,
            limits: &mut self.limits,
            account,
            effects,
            fences: &mut self.fences,
            epoch: self.epoch,
            timeout_ms,
            lease_ms,
            at: self.now,
            head,
            left: Vec::new(),
            mended: None,
        };
        scope.apply(event);
        let (left, mended) = (scope.left, scope.mended);
        if let Some(active) = self.active.get_mut(run.priority as usize) {
            *active += usize::from(run.is_active());
        }
        if let Some(active) = self.active.get_mut(priority as usize) {
            *active = active.saturating_sub(usize::from(was_active));
        }
        let waits = run.waits_for.is_some() && !run.is_over();
        let freed = run.counts.of(TaskState::Parked) < parked;
        // A paused run that parks is told of when it is resumed: until then it stands as paused.
        let stops = matches!(event, Event::RunParked | Event::RunResumed { .. })
            && run.state() == RunState::Parked;
        let summary = (run.is_over() && !was_over || stops).then(|| run.summary());
        self.keep_books(id, event, was_over, waits);
        self.charge_payers(id, &before);
        self.keep_family(id, event, left);
        self.watch_run(id, event, freed);
        self.watch_mended(mended);
        let Some(summary) = summary else { return };
        if summary.ended.is_some() && !was_over {
            self.live = self.live.saturating_sub(1);
            self.schedules.over(id);
            // A child stays until its parent knows.
            if !self.children.contains_key(&id) {
                self.retire(id, summary.state);
            }
        }
        effects.push(Effect::AnnounceRun { summary: Arc::new(summary) });
    }

    /// The sets that say which runs are live, blocked, interrupted and kept.
    fn keep_books(&mut self, id: RunId, event: &Event, was_over: bool, waits: bool) {
        if matches!(event, Event::RunRecovered | Event::RunEnded(_)) {
            self.interrupted.remove(&id);
        }
        if waits && !self.interrupted.contains(&id) {
            self.blocked.insert(id);
        } else {
            self.blocked.remove(&id);
        }
        if matches!(event, Event::RunRetried { .. }) && was_over {
            self.live += 1;
            self.ended.retain(|kept| *kept != id);
            // Who has not been told of its end yet hears of the next one.
            self.errands.remove(&Errand::Settle(id));
            if let Some(number) = self.runs.get(&id).and_then(|run| run.schedule) {
                self.schedules.again(number, id);
            }
        }
    }

    /// A run that succeeded leaves the state; others stay a while for `retry`.
    pub(super) fn retire(&mut self, id: RunId, state: RunState) {
        if state == RunState::Succeeded {
            return self.forget(id);
        }
        self.ended.push_back(id);
        if self.ended.len() > RUNS_ENDED_KEPT_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            self.forget(oldest);
        }
    }

    /// Nobody can resolve the steps of a forgotten run any more: they are charged in full.
    fn forget(&mut self, id: RunId) {
        let Some(run) = self.runs.remove(&id) else { return };
        if run.account.reserved().is_zero() {
            return;
        }
        let reserved = run.reserved_by_steps();
        if let Some(account) = self.accounts.get_mut(&run.namespace) {
            account.settle_below(reserved, reserved);
        }
        let payers: Vec<RunId> = self.payers(&run).map(|payer| payer.id).collect();
        for payer in payers {
            if let Some(payer) = self.runs.get_mut(&payer) {
                payer.account.settle_below(reserved, reserved);
            }
        }
    }

    fn start_instance(&mut self, started: &InstanceStarted) {
        self.epoch += 1;
        let concurrency = started.agent_concurrency;
        // A limit that was raised in the settings holds for accounts that exist already.
        if self.namespace_budget() != started.namespace_budget {
            self.accounts.values_mut().for_each(|it| it.raise(started.namespace_budget));
        }
        let fleet = Fleet::new(started.agents, &started.skills, concurrency, Some(&self.fleet));
        let before = std::mem::replace(&mut self.fleet, fleet);
        if let Some(deployment) = self.deployments.current() {
            self.fleet.begin_with(&deployment.fleet, started.broken.as_deref().unwrap_or_default());
        }
        self.instance = Some(Box::new(started.clone()));
        self.intake = crate::event::Intake::Open;
        self.queue.clear();
        self.timers.clear_all();
        let (queue, timers, now) = (&mut self.queue, &mut self.timers, self.now);
        self.limits.start_over(Around { queue, timers, now });
        self.backs.clear();
        self.admissions.clear();
        self.admitted.clear();
        self.blocked.clear();
        self.go_on_supervising();
        for (id, run) in &mut self.runs {
            if !run.is_over() {
                self.interrupted.insert(*id);
            }
            // Their numbers are given out again.
            let is_same = |ix| self.fleet.is_named_as(&before, ix);
            run.tasks.iter_mut().for_each(|task| task.start_over(&is_same));
        }
    }

    fn change_settings(&mut self, limits: &LiveLimits) {
        let Some(instance) = &mut self.instance else { return };
        instance.agents_max = limits.agents_max.or(instance.agents_max);
        instance.runs_resident_max = limits.runs_resident_max.or(instance.runs_resident_max);
        if let Some(most) = limits.concurrent_tasks_max {
            instance.concurrent_tasks_max = most;
        }
        if let Some(ms) = limits.task_timeout_ms {
            instance.task_timeout_ms = ms;
        }
        if let Some(budget) = limits.namespace_budget {
            instance.namespace_budget = budget;
            self.accounts.values_mut().for_each(|it| it.raise(budget));
        }
    }

    /// The fleet has other agents; who left comes back from no pause.
    pub(super) fn change_fleet(&mut self, change: impl FnOnce(&mut Fleet)) {
        let before = self.fleet.empty_layer();
        change(&mut self.fleet);
        self.name_empty_layer(before);
        let (fleet, timers) = (&self.fleet, &mut self.timers);
        self.backs.retain(|agent, back| {
            let pauses = fleet.agent(*agent).is_some_and(|row| row.standing.pauses());
            if !pauses {
                timers.clear(*back, Timer::AgentBack(*agent));
            }
            pauses
        });
    }

    pub(super) fn change_agent(
        &mut self,
        agent: AgentIx,
        (standing, reason): (Standing, &Text),
        until: Option<Time>,
    ) {
        let before = self.fleet.empty_layer();
        self.fleet.set_standing(agent, standing, reason);
        self.fleet.note_remedy(agent, standing, self.now);
        self.name_empty_layer(before);
        if let Some(back) = self.backs.remove(&agent) {
            self.timers.clear(back, Timer::AgentBack(agent));
        }
        let pauses = self.fleet.agent(agent).is_some_and(|row| row.standing.pauses());
        if let Some(until) = until.filter(|_| pauses) {
            self.backs.insert(agent, until);
            self.timers.set(until, Timer::AgentBack(agent));
        }
        self.watch_agent(agent, standing);
    }

    /// Runs that wait say for whom, also when one layer is back and another still empty.
    fn name_empty_layer(&mut self, before: Option<Layer>) {
        let Some(layer) = self.fleet.empty_layer().filter(|layer| before != Some(*layer)) else {
            return;
        };
        for id in &self.blocked {
            if let Some(run) = self.runs.get_mut(id) {
                run.waits_for = Some(layer);
            }
        }
    }

    fn admit(&mut self, admission: &Admission) {
        self.admission_count = self.admission_count.max(admission.id);
        self.admitted.insert(admission.subject, admission.id);
        self.admissions.insert(admission.id, Arc::new(admission.clone()));
        if self.admissions.len() > WORKFLOWS_MAX
            && let Some((_, oldest)) = self.admissions.pop_first()
        {
            self.admitted.remove(&oldest.subject);
        }
    }

    fn accept(&mut self, id: RunId, accepted: &RunAccepted) {
        let admission = accepted.admission.and_then(|admission| self.admissions.get(&admission));
        let admission = admission.cloned();
        let (namespace, workflow) = match (&admission, &accepted.pending) {
            (Some(admission), _) => (admission.namespace.clone(), admission.workflow.clone()),
            (None, Some(pending)) => (pending.namespace.clone(), pending.workflow.clone()),
            (None, None) => return,
        };
        if let Some(key) = &accepted.key {
            self.keys.note(self.now, (namespace.clone(), key.key.clone()), (id, key.request));
        }
        self.errands.remove(&Errand::Start(id));
        self.errands_later.remove(&Errand::Start(id));
        if accepted.waits == Some(true) {
            let pending = || accepted.pending.as_deref().cloned().map(Arc::new).map(Under::Pending);
            let Some(under) = admission.map(Under::Admission).or_else(pending) else { return };
            self.live += 1;
            return self.put_aside(id, accepted, under);
        }
        let run = Run::accepted(id, namespace, workflow, accepted, self.now);
        let run = Run { admission, ..run };
        self.live += 1;
        self.take_in(run);
    }

    /// A run is in memory from now on.
    pub(super) fn take_in(&mut self, run: Run) {
        self.timers.set(run.deadline.unwrap_or(Time::NEVER), Timer::RunDeadline(run.id));
        if let Some(active) = self.active.get_mut(run.priority as usize) {
            *active += usize::from(run.is_active());
        }
        self.runs.insert(run.id, run);
    }

    fn forget_old_keys(&mut self) {
        let Keys { used, by_age } = &mut self.keys;
        while by_age.front().is_some_and(|(at, _)| at.plus(KEY_KEPT_MS) < self.now) {
            if let Some((_, name)) = by_age.pop_front() {
                used.remove(&name);
            }
        }
    }
}

impl Run {
    /// A run as it begins.
    pub(crate) fn accepted(
        id: RunId,
        namespace: Text,
        workflow: Arc<crate::plan::Workflow>,
        accepted: &RunAccepted,
        at: Time,
    ) -> Self {
        let tasks: Vec<Task> =
            workflow.tasks.iter().map(|spec| Task::new(spec.needs.len() as u32, 0)).collect();
        let mut counts = Counts::default();
        counts.add(TaskState::Pending, tasks.len() as u32);
        Run {
            id,
            namespace,
            admission: None,
            pending: accepted.pending.clone(),
            waits_for: None,
            input: accepted.input.clone(),
            priority: accepted.priority,
            deadline: accepted.deadline,
            account: Account::new(accepted.budget.unwrap_or(Amounts::UNLIMITED)),
            seed: accepted.seed,
            phase: if accepted.admission.is_some() { Phase::Running } else { Phase::Accepted },
            paused: false,
            parked: false,
            generation: 0,
            open: tasks.len() as u32,
            counts,
            tasks,
            proof: Hash::ZERO,
            accepted: at,
            ended: None,
            output: None,
            failure: None,
            inbox: Vec::new(),
            signals: 0,
            parent: accepted.parent.clone(),
            origin: accepted.origin.clone(),
            added_skills: Vec::new(),
            schedule: None,
            workflow,
        }
    }
}

impl Task {
    /// Forgets its place in a queue that was emptied, and who worked on it where that is not the same
    /// agent any more; and so do its children.
    fn start_over(&mut self, is_same: &impl Fn(AgentIx) -> bool) {
        self.turn = None;
        self.last_agent = self.last_agent.filter(|ix| is_same(*ix));
        for child in self.fan.iter_mut().flat_map(|fan| &mut fan.children) {
            if let crate::run::Child::Live(task) = child {
                task.start_over(is_same);
            }
        }
    }
}
