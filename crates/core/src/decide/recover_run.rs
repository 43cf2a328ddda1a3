//! `RecoverRun`: after a start, the attempts of a run that a crash interrupted begin again.
//!
//! INVARIANT I3: a step that was intended and not settled is repeated only if its class allows it;
//! otherwise it is in doubt and its task is parked.
//!
//! A run goes on under the rules and the mode that are in force now: where they are not those that
//! let it in, every layer decides again, under the authority of whoever submitted it.

use std::sync::Arc;

use super::admission::{Subject, admitted};
use super::draft::Draft;
use super::{expansion, nothing};
use crate::authority::Grant;
use crate::child_run::Errand;
use crate::error::{Failure, Kind, Rejected};
use crate::event::{Admission, AttemptEnd, Change, Event, RunEnd};
use crate::ids::RunId;
use crate::rules::Rules;
use crate::run::{Phase, Run, Task};
use crate::state::State;
use crate::time::Time;

pub(super) fn decide(
    state: &State,
    rules: &dyn Rules,
    id: RunId,
    now: Time,
) -> Result<Change, Rejected> {
    let Some(run) = state.runs.get(&id).filter(|_| state.interrupted.contains(&id)) else {
        return Ok(nothing(now));
    };
    if state.errands.contains(&Errand::Cancel(id)) {
        // Its parent is over, or another takes its place: nothing of it begins again.
        let mut draft = Draft::new(state, run, now);
        draft.push(Event::RunRecovered);
        let failure = Failure::fatal("cancelled", state.cancel_reason(id));
        draft.end_run(RunEnd::Cancelled, None, failure);
        return Ok(draft.finish());
    }
    let stale = run.admission.as_ref().filter(|it| {
        run.phase == Phase::Running && (it.rules != rules.hash() || it.mode != Some(state.mode()))
    });
    let Some(stale) = stale else {
        return Ok(go_on(Draft::new(state, run, now), None));
    };
    if state.fleet.empty_layer().is_some() {
        // A layer's step is never skipped: the run stays interrupted until the layer is back.
        return Ok(nothing(now));
    }
    let again = admit_again(state, rules, stale, now);
    // What tasks have added is no part of the workflow that was let in.
    match again.and_then(|it| expansion::judge_again(state, rules, run, stale).map(|()| it)) {
        Ok((admission, fresh)) => {
            let readmitted = Run { admission: Some(admission.clone()), ..run.clone() };
            let mut draft = Draft::new(state, &readmitted, now);
            draft.events.extend(fresh.map(|fresh| Event::WorkflowAdmitted(Box::new(fresh))));
            Ok(go_on(draft, Some(admission.id)))
        }
        Err(rejected) => {
            let mut draft = Draft::new(state, run, now);
            draft.push(Event::RunRecovered);
            draft.refuse(&rejected);
            Ok(draft.finish())
        }
    }
}

fn admit_again(
    state: &State,
    rules: &dyn Rules,
    stale: &Admission,
    now: Time,
) -> Result<(Arc<Admission>, Option<Admission>), Rejected> {
    let caller = stale.caller.clone().ok_or_else(|| {
        let message = "the admission does not say under whose authority it was made";
        Rejected::new(Kind::Denied, "authority_denied", message).hint("submit it again")
    })?;
    let grant = Grant::new(caller);
    let subject = Subject { namespace: &stale.namespace, workflow: &stale.workflow, grant: &grant };
    admitted(state, rules, &subject, now)
}

fn go_on(mut draft: Draft<'_>, admission: Option<u64>) -> Change {
    let (state, run) = (draft.state, draft.run);
    draft.push(Event::RunRecovered);
    draft.events.extend(admission.map(|admission| Event::RunStarted { admission }));
    if run.phase == Phase::Running {
        // Somebody may have resumed the run already: what began since the start goes on.
        let is_old = |it: &Task| it.active.as_ref().is_some_and(|it| it.epoch != state.epoch);
        for task in run.live_tasks(is_old) {
            let failure = Failure::retryable("engine_restarted", "the engine restarted");
            draft.end_attempt(task, AttemptEnd::Interrupted, failure);
        }
        draft.take_kept_signals();
    }
    draft.finish()
}
