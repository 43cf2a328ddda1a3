//! What follows from the end of a task: success, retry, failure and its policy, the end of a run.

use super::draft::Draft;
use crate::budget::Amounts;
use crate::error::{Failure, Rejected};
use crate::event::{AttemptEnd, AttemptEnded, Event, ParkReason, RunEnd, RunEnded, SkipCause};
use crate::hash::Hash;
use crate::ids::{AgentIx, TaskRef};
use crate::limits::{
    AGENT_BACKOFF_MS, AGENT_RESTARTS_MAX, CAUSES_MAX, LOST_ATTEMPTS_MAX, STRIKES_MAX,
};
use crate::plan::graph::descendants;
use crate::plan::{EffectClass, OnFailure, Retry, Shape};
use crate::run::{Run, Task, TaskState};
use crate::step::StepStanding;
use crate::time::Time;

impl Draft<'_> {
    /// A task is done: its map may be, what it feeds goes on, its stand-in is not needed.
    pub(super) fn after_success(&mut self, task: TaskRef) {
        self.moved -= 1;
        if task.child.is_some() {
            return self.after_child(task.node, 1, 0);
        }
        self.after_node(task.node);
    }

    fn after_node(&mut self, node: u32) {
        let stand_ins = self.run.fallbacks_of(node);
        if !stand_ins.is_empty() {
            let tasks = stand_ins.iter().copied().map(TaskRef::node).collect();
            self.push(Event::TasksSkipped { tasks, cause: SkipCause::NotNeeded });
            self.over.extend(stand_ins);
        }
        self.settle(node);
    }

    fn after_child(&mut self, node: u32, succeeded: u32, failed: u32) {
        let Some(fan) = self.run.node(node).and_then(|it| it.fan.as_ref()) else { return };
        if fan.succeeded + succeeded + fan.failed + failed == fan.total() {
            self.map_done(node);
        }
    }

    /// Every child of a map is over and few enough failed.
    pub(super) fn map_done(&mut self, node: u32) {
        self.push(Event::MapDone { task: TaskRef::node(node) });
        self.after_node(node);
    }

    /// A condition was false.
    pub(super) fn skip(&mut self, node: u32) {
        self.moved -= 1;
        let tasks = vec![TaskRef::node(node)];
        self.push(Event::TasksSkipped { tasks, cause: SkipCause::Condition });
        self.after_node(node);
    }

    /// An attempt ended without success and nobody knows what it used.
    pub(super) fn end_attempt(&mut self, task: TaskRef, end: AttemptEnd, failure: Failure) {
        let active = self.run.task(task).and_then(|it| it.active.as_ref());
        let Some(reserved) = active.map(|active| active.reserved) else { return };
        self.end_reported(task, end, failure, reserved.min(crate::state::ATTEMPT_COST));
    }

    /// An attempt ended without success: another one, or the end of the task.
    pub(super) fn end_reported(
        &mut self,
        task: TaskRef,
        end: AttemptEnd,
        failure: Failure,
        spent: Amounts,
    ) {
        let run = self.run;
        let Some(it) = run.task(task) else { return };
        let Some(active) = it.active.as_ref() else { return };
        let retry_at = match end {
            AttemptEnd::Interrupted => Some(self.now),
            AttemptEnd::Lost if it.lost + 1 < LOST_ATTEMPTS_MAX => Some(self.now),
            AttemptEnd::Lost => None,
            _ => self.next_attempt(task, it, &failure),
        };
        // The next attempt can ask about a step that is probed, if there is a next one.
        let is_asked =
            retry_at.is_some() && !it.is_in_doubt() && !it.has_open(EffectClass::Effectful);
        if !is_asked && self.doubt_open_steps(task, it) {
            let open = "an effect may or may not have happened";
            let message = match end {
                // Everybody knows why.
                AttemptEnd::Interrupted => open.to_owned(),
                _ => format!("{open}: {}", failure.message),
            };
            return self.park(task, ParkReason::InDoubt, &message);
        }
        self.settle_attempt(task, spent);
        let ended = AttemptEnded {
            task,
            fence: active.fence,
            end,
            failure: failure.clone(),
            retry_at,
            spent,
        };
        self.push(Event::AttemptEnded(Box::new(ended)));
        match (retry_at, end) {
            (Some(_), _) => {}
            (None, AttemptEnd::Lost) => {
                self.park(task, ParkReason::Poison, "too many agents died of it");
            }
            (None, _) => self.fail(task, with_causes(failure, it)),
        }
    }

    /// When the next attempt may begin; none: there is no next one.
    fn next_attempt(&self, task: TaskRef, it: &Task, failure: &Failure) -> Option<Time> {
        let spec = self.run.spec(task.node)?;
        if !failure.retryable || it.attempt >= spec.retry.attempts {
            return None;
        }
        let at = self.now.plus(pause_ms(self.run, task, it.attempt, &spec.retry));
        let task_deadline = spec.deadline_ms.map_or(Time::NEVER, |ms| it.ready_at.plus(ms));
        let deadline = self.run.deadline.unwrap_or(Time::NEVER).min(task_deadline);
        (at < deadline).then_some(at)
    }

    /// Marks steps that may or may not have happened; whether there are any.
    pub(super) fn doubt_open_steps(&mut self, task: TaskRef, it: &Task) -> bool {
        let mut any = it.is_in_doubt();
        for step in &it.steps {
            if step.standing == StepStanding::Open && !step.class.is_repeatable() {
                self.push(Event::StepInDoubt { task, key: step.key });
                any = true;
            }
        }
        any
    }

    /// Nothing more happens to the task until somebody acts.
    pub(super) fn park(&mut self, task: TaskRef, reason: ParkReason, message: &str) {
        self.moved -= 1;
        self.push(Event::TaskParked { task, reason, message: message.into() });
    }

    /// A task failed for good; its policy says what becomes of the run.
    pub(super) fn fail(&mut self, task: TaskRef, failure: Failure) {
        self.moved -= 1;
        if task.child.is_some() {
            return self.fail_child(task, failure);
        }
        self.fail_node(task.node, failure);
    }

    fn fail_child(&mut self, task: TaskRef, failure: Failure) {
        let node = task.node;
        let failures_max = match self.run.spec(node).map(|spec| &spec.shape) {
            Some(Shape::Map(map)) => map.failures_max,
            _ => 0,
        };
        let failed = self.run.node(node).and_then(|it| it.fan.as_ref()).map_or(0, |fan| fan.failed);
        let message =
            format!("task {} of the map failed: {}", task.child.unwrap_or(0), failure.message);
        self.push(Event::TaskFailed { task, failure: failure.clone() });
        if failed < failures_max {
            return self.after_child(node, 0, 1);
        }
        // The child itself is taken off already, if it was moving at all.
        let own = self.run.task(task).is_some_and(|it| it.state.is_moving());
        self.moved -= i64::from(self.run.moving_at(node)) - i64::from(own);
        let mut whole = Failure::fatal("map_failed", message);
        whole.causes = vec![failure];
        self.fail_node(node, whole);
    }

    /// A node failed for good.
    pub(super) fn fail_node(&mut self, node: u32, failure: Failure) {
        self.failed = true;
        let policy = self.run.spec(node).map(|spec| spec.on_failure).unwrap_or_default();
        self.push(Event::TaskFailed { task: TaskRef::node(node), failure: failure.clone() });
        match policy {
            OnFailure::Continue => self.settle(node),
            OnFailure::Fallback(stand_in) => {
                self.over.insert(node);
                self.open(stand_in);
            }
            OnFailure::Fail => {
                self.over.insert(node);
                self.end_run(RunEnd::Failed, Some(node), failure);
            }
        }
    }

    /// The run is over: what runs is cancelled, what has not begun is skipped.
    pub(super) fn end_run(&mut self, end: RunEnd, because: Option<u32>, failure: Failure) {
        if self.ended {
            return;
        }
        self.ended = true;
        let run = self.run;
        let below = because
            .map(|node| descendants(&*run.workflow, run.settles_for(node)))
            .unwrap_or_default();
        let (mut cancelled, mut dependants, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (node, it) in (0u32..).zip(&run.tasks) {
            if it.state.is_over() || self.over.contains(&node) {
                continue;
            }
            let list = match it.state {
                TaskState::Pending if below.contains(&node) => &mut dependants,
                TaskState::Pending => &mut others,
                _ => &mut cancelled,
            };
            list.push(TaskRef::node(node));
        }
        if !cancelled.is_empty() {
            self.push(Event::TasksCancelled { tasks: cancelled });
        }
        if let (Some(node), false) = (because, dependants.is_empty()) {
            self.push(Event::TasksSkipped { tasks: dependants, cause: SkipCause::Failed(node) });
        }
        if !others.is_empty() {
            self.push(Event::TasksSkipped { tasks: others, cause: SkipCause::RunEnded });
        }
        let proof = Some(self.proof());
        let ended = RunEnded { end, output: None, failure: Some(failure), proof };
        self.push(Event::RunEnded(Box::new(ended)));
    }

    /// The run may not go on, or not begin.
    pub(super) fn refuse(&mut self, rejected: &Rejected) {
        let failure = Failure::fatal(rejected.code(), rejected.to_string());
        self.end_run(RunEnd::Failed, None, failure);
    }

    /// An agent presented something that was refused; too often, and it is restarted.
    pub(super) fn strike(&mut self, agent: AgentIx, reason: &str) {
        self.push(super::agent::struck(self.state, agent, reason));
        if self.state.fleet.agent(agent).is_some_and(|row| row.strikes + 1 >= STRIKES_MAX) {
            self.restart_agent(agent, reason);
        }
    }

    /// A failed agent is restarted after a pause; too often in a row, and it is replaced.
    pub(super) fn restart_agent(&mut self, agent: AgentIx, reason: &str) {
        self.events.extend(restart(self.state, agent, reason, self.now));
    }
}

/// The event that restarts or replaces an agent; none if it is not standing.
pub(super) fn restart(
    state: &crate::state::State,
    agent: AgentIx,
    reason: &str,
    now: Time,
) -> Option<Event> {
    use crate::event::Standing;
    let row = state.fleet.agent(agent).filter(|row| row.standing == Standing::Ready)?;
    let standing =
        if row.restarts >= AGENT_RESTARTS_MAX { Standing::Replaced } else { Standing::Restarting };
    let pause = AGENT_BACKOFF_MS << row.restarts.min(AGENT_RESTARTS_MAX);
    let until = Some(now.plus(pause));
    Some(super::agent::changed(state, agent, standing, reason.into(), until))
}

/// Full jitter: a deterministic draw between zero and the exponential bound.
fn pause_ms(run: &Run, task: TaskRef, attempt: u32, retry: &Retry) -> u64 {
    let doublings = attempt.saturating_sub(1).min(32);
    let bound = retry.backoff_ms.saturating_mul(1 << doublings).min(retry.backoff_ms_max);
    let child = task.child.map_or(u64::MAX, u64::from);
    let draw = Hash::of_parts(&[
        &run.seed.to_le_bytes(),
        &task.node.to_le_bytes(),
        &child.to_le_bytes(),
        &attempt.to_le_bytes(),
    ])
    .draw();
    draw.checked_rem(bound.saturating_add(1)).unwrap_or(0)
}

/// The final failure carries the cause of every attempt.
pub(super) fn with_causes(mut failure: Failure, it: &Task) -> Failure {
    if !it.causes.is_empty() {
        let mut causes = it.causes.clone();
        causes.push(Failure { causes: Vec::new(), ..failure.clone() });
        causes.truncate(CAUSES_MAX);
        failure.causes = causes;
    }
    failure
}
