//! `RecoverRun`: after a start, the attempts of a run that a crash interrupted begin again.
//!
//! INVARIANT I3: a step that was intended and not settled is repeated only if its class allows it;
//! otherwise it is in doubt and its task is parked.

use super::draft::Draft;
use super::nothing;
use crate::error::{Failure, Rejected};
use crate::event::{AttemptEnd, Change, Event};
use crate::ids::RunId;
use crate::run::{Phase, Task};
use crate::state::State;
use crate::time::Time;

pub(super) fn decide(state: &State, id: RunId, now: Time) -> Result<Change, Rejected> {
    let Some(run) = state.runs.get(&id).filter(|_| state.interrupted.contains(&id)) else {
        return Ok(nothing(now));
    };
    let mut draft = Draft::new(state, run, now);
    draft.push(Event::RunRecovered);
    if run.phase == Phase::Running {
        // The admission was made by a fleet that is gone; its decisions stand, its numbers hold.
        // Somebody may have resumed the run already: what began since the start goes on.
        let is_old = |it: &Task| it.active.as_ref().is_some_and(|it| it.epoch != state.epoch);
        for task in run.live_tasks(is_old) {
            let failure = Failure::retryable("engine_restarted", "the engine restarted");
            draft.end_attempt(task, AttemptEnd::Interrupted, failure);
        }
    }
    Ok(draft.finish())
}
