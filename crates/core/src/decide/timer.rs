//! `FireTimer`: act on the earliest timer that is due.

use super::agent::changed;
use super::draft::Draft;
use super::outcome::with_causes;
use super::{nothing, of_instance};
use crate::error::{Failure, Rejected};
use crate::event::{AttemptEnd, Change, Event, RunEnd, Standing};
use crate::ids::{Fence, RunId, TaskRef};
use crate::run::TaskState;
use crate::state::State;
use crate::time::Time;
use crate::timers::Timer;

pub(super) fn decide(state: &State, now: Time) -> Result<Change, Rejected> {
    let Some((due, timer)) = state.timers.first() else { return Ok(nothing(now)) };
    if due > now {
        return Ok(nothing(now));
    }
    Ok(match timer {
        Timer::Attempt(run, task, fence) => expire(state, run, task, fence, now),
        Timer::Retry(run, task) => retry(state, run, task, now),
        Timer::TaskDeadline(run, node) => task_deadline(state, run, node, now),
        Timer::RunDeadline(run) => run_deadline(state, run, now),
        Timer::Deployment(version) => super::deploy::expire(state, version, now),
        Timer::Tell(concern) => of_instance(super::escalation::raise(state, concern, now), now),
        Timer::Escalation(id) => of_instance(super::escalation::due(state, id, now), now),
        Timer::Measure(id) => of_instance(super::emergency::expire(state, id), now),
        Timer::Limit(limit) => of_instance(vec![Event::LimitEased { limit }], now),
        Timer::AgentBack(agent) => {
            let reason = "its pause is over".into();
            of_instance(vec![changed(state, agent, Standing::Ready, reason, None)], now)
        }
    })
}

/// The lease or the time of an attempt is up.
fn expire(state: &State, id: RunId, task: TaskRef, fence: Fence, now: Time) -> Change {
    let Some(run) = state.runs.get(&id) else { return nothing(now) };
    let active = run.task(task).and_then(|it| it.active.as_ref());
    let Some(active) = active.filter(|active| active.fence == fence) else { return nothing(now) };
    let mut draft = Draft::new(state, run, now);
    if now >= active.timeout {
        let failure = Failure::retryable("timeout", "the attempt took too long");
        draft.end_attempt(task, AttemptEnd::TimedOut, failure);
    } else {
        draft.restart_agent(active.agent, "lease_expired");
        let failure = Failure::retryable("lease_expired", "the agent let its lease run out");
        draft.end_attempt(task, AttemptEnd::Lost, failure);
    }
    draft.finish()
}

fn retry(state: &State, id: RunId, task: TaskRef, now: Time) -> Change {
    let Some(run) = state.runs.get(&id) else { return nothing(now) };
    if run.task(task).is_none_or(|it| it.state != TaskState::Waiting) {
        return nothing(now);
    }
    let mut draft = Draft::new(state, run, now);
    match run.spec(task.node).and_then(|spec| spec.wait()) {
        Some(wait) => draft.wait_is_due(task.node, wait),
        None => draft.push(Event::TaskReady { task }),
    }
    draft.finish()
}

fn task_deadline(state: &State, id: RunId, node: u32, now: Time) -> Change {
    let Some(run) = state.runs.get(&id) else { return nothing(now) };
    let Some(it) = run.node(node).filter(|it| !it.state.is_over()) else { return nothing(now) };
    let mut draft = Draft::new(state, run, now);
    draft.moved -= i64::from(run.moving_at(node));
    let failure = Failure::fatal("deadline_exceeded", "the task's deadline has passed");
    draft.fail_node(node, with_causes(failure, it));
    draft.finish()
}

fn run_deadline(state: &State, id: RunId, now: Time) -> Change {
    let Some(run) = state.runs.get(&id) else { return nothing(now) };
    let mut draft = Draft::new(state, run, now);
    let failure = Failure::fatal("deadline_exceeded", "the run's deadline has passed");
    draft.end_run(RunEnd::Failed, None, failure);
    draft.finish()
}
