//! `FinishAttempt`: an agent presents its result; the host checks the token and makes the proof.

use super::attempt::{Claim, claim};
use super::draft::Draft;
use super::expansion::{self, NotAdded};
use crate::command::{AttemptOutcome, FinishAttempt};
use crate::error::Rejected;
use crate::event::{AttemptEnd, Change, Event, ParkReason, TaskSucceeded};
use crate::hash::Hash;
use crate::payload::Payload;
use crate::rules::Rules;
use crate::state::State;
use crate::step::effects_root;
use crate::time::Time;

pub(super) fn decide(
    state: &State,
    rules: &dyn Rules,
    finish: &FinishAttempt,
    now: Time,
) -> Result<Change, Rejected> {
    let run = match claim(state, finish.pt, finish.agent, now)? {
        Claim::Held(run) => run,
        Claim::Struck(change) => return Ok(change),
    };
    let task = finish.pt.task;
    let mut draft = Draft::new(state, run, now);
    match finish.outcome.clone() {
        AttemptOutcome::Succeeded { output, blobs } => {
            return Ok(succeed(draft, finish, output, blobs));
        }
        AttemptOutcome::Expanded { output, blobs, tasks, base } => {
            match expansion::added(state, rules, run, task, (tasks, base)) {
                Ok(added) => {
                    let mut later = run.clone();
                    later.extend(task.node, &added.nodes, &added.skills);
                    let mut draft = Draft::new(state, &later, now);
                    if !later.is_doubtful(task) {
                        draft.push(Event::TasksAdded(Box::new(added)));
                    }
                    return Ok(succeed(draft, finish, output, blobs));
                }
                Err(NotAdded::Clash(failure)) => {
                    draft.end_reported(task, AttemptEnd::Failed, failure, finish.spent);
                }
                Err(NotAdded::Refused(failure)) => {
                    draft.strike(finish.agent, &failure.code);
                    draft.end_reported(task, AttemptEnd::Refused, failure, finish.spent);
                }
            }
        }
        AttemptOutcome::Failed(failure) => {
            draft.end_reported(task, AttemptEnd::Failed, failure, finish.spent);
        }
        AttemptOutcome::Refused(failure) => {
            draft.strike(finish.agent, &failure.code);
            draft.end_reported(task, AttemptEnd::Refused, failure, finish.spent);
        }
    }
    Ok(draft.finish())
}

fn succeed(
    mut draft: Draft<'_>,
    finish: &FinishAttempt,
    output: Payload,
    blobs: Vec<Hash>,
) -> Change {
    let task = finish.pt.task;
    let Some(it) = draft.run.task(task) else { return super::nothing(draft.now) };
    // An open step that may be repeated is in nobody's way.
    if draft.doubt_open_steps(task, it) {
        draft.park(task, ParkReason::InDoubt, "it finished with a step still open");
        return draft.finish();
    }
    draft.settle_attempt(task, finish.spent);
    draft.push(Event::TaskSucceeded(Box::new(TaskSucceeded {
        task,
        fence: finish.pt.fence,
        output,
        input: finish.input,
        effects: effects_root(&it.steps),
        spent: finish.spent,
        micros: finish.micros,
        blobs: (!blobs.is_empty()).then_some(blobs),
    })));
    draft.after_success(task);
    draft.finish()
}
