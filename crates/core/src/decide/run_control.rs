//! `CancelRun`, `PauseRun`, `ResumeRun`, `UnparkTask`: what people do to a run under way.

use super::draft::Draft;
use super::{nothing, of_run};
use crate::error::{Failure, Kind, Rejected};
use crate::event::{Change, Event, RunEnd};
use crate::ids::{RunId, TaskId};
use crate::run::{Run, TaskState};
use crate::state::State;
use crate::text::Text;
use crate::time::Time;

pub(super) fn not_found(run: RunId) -> Rejected {
    Rejected::new(Kind::NotFound, "run_not_found", format!("no run `{run}` is under way"))
        .hint("`ark-os list runs` shows what there is")
}

pub(super) fn living(state: &State, id: RunId) -> Result<&Run, Rejected> {
    let run = state.runs.get(&id).ok_or_else(|| not_found(id))?;
    if run.is_over() {
        return Err(Rejected::new(Kind::Conflict, "run_over", "the run is over"));
    }
    Ok(run)
}

pub(super) fn cancel(
    state: &State,
    id: RunId,
    reason: &Text,
    now: Time,
) -> Result<Change, Rejected> {
    let run = living(state, id)?;
    let mut draft = Draft::new(state, run, now);
    draft.end_run(RunEnd::Cancelled, None, Failure::fatal("cancelled", &**reason));
    Ok(draft.finish())
}

pub(super) fn pause(state: &State, id: RunId, reason: Text, now: Time) -> Result<Change, Rejected> {
    let run = living(state, id)?;
    if run.paused {
        return Ok(nothing(now));
    }
    Ok(of_run(id, vec![Event::RunPaused { reason }], now))
}

pub(super) fn resume(
    state: &State,
    id: RunId,
    reason: Text,
    now: Time,
) -> Result<Change, Rejected> {
    if state.backlog.contains(id) || !living(state, id)?.paused {
        return Err(Rejected::new(Kind::Conflict, "run_not_paused", "the run is not paused"));
    }
    Ok(of_run(id, vec![Event::RunResumed { reason: Some(reason) }], now))
}

pub(super) fn unpark(
    state: &State,
    task: TaskId,
    reason: Text,
    now: Time,
) -> Result<Change, Rejected> {
    let sketch = state.sketch(task.run);
    let run = sketch.as_ref().map_or_else(|| living(state, task.run), Ok)?;
    let it = run.task(task.task).ok_or_else(|| {
        Rejected::new(Kind::NotFound, "task_not_found", format!("the run has no task `{task}`"))
    })?;
    if it.state != TaskState::Parked {
        return Err(Rejected::new(Kind::Conflict, "task_not_parked", "the task is not parked"));
    }
    if it.is_in_doubt() {
        return Err(Rejected::new(
            Kind::Conflict,
            "step_in_doubt",
            "a step of the task is in doubt",
        )
        .hint("resolve it: `ark-os resolve STEP --happened | --not-happened | --give-up`"));
    }
    let unparked = Event::TaskUnparked { task: task.task, reason: Some(reason) };
    Ok(of_run(task.run, vec![unparked], now))
}
