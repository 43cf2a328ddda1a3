//! `SendSignal`: tell a run something that a task of it waits for, now or later.
//!
//! A signal is recorded when it comes, and each ends one wait: of those that wait for it the one that
//! has waited longest, or the first that will. One that no wait is left for is refused, so none that
//! was taken is lost.

use super::draft::Draft;
use super::nothing;
use super::run_control::living;
use crate::command::SendSignal;
use crate::error::{Kind, Rejected};
use crate::event::{Change, Event, SignalReceived};
use crate::limits::{KEYS_MAX, SIGNALS_KEPT_MAX};
use crate::run::{Phase, Run};
use crate::state::State;
use crate::time::Time;

pub(super) fn decide(state: &State, signal: SendSignal, now: Time) -> Result<Change, Rejected> {
    if is_repeated(state, &signal)? {
        return Ok(nothing(now));
    }
    let run = living(state, signal.run)?;
    check(state, run, &signal)?;
    let received = SignalReceived {
        number: run.signals + 1,
        name: signal.name,
        payload: signal.payload,
        key: signal.key,
    };
    let mut draft = Draft::new(state, run, now);
    let (number, name) = (received.number, received.name.clone());
    let payload = received.payload.clone();
    draft.push(Event::SignalReceived(Box::new(received)));
    // A run that a crash interrupted goes on first.
    if run.phase == Phase::Running
        && !state.is_interrupted(run.id)
        && let Some(node) = draft.waiting_for(&name)
    {
        draft.end_wait(node, payload, Some(number));
    }
    Ok(draft.finish())
}

/// Whether the sender has sent this signal before, under the same key.
fn is_repeated(state: &State, signal: &SendSignal) -> Result<bool, Rejected> {
    let Some(key) = &signal.key else { return Ok(false) };
    let sketch = state.sketch(signal.run);
    let run = state.runs.get(&signal.run).or(sketch.as_ref());
    let used = |run: &Run| state.submission(&run.namespace, &key.key);
    match run.and_then(used) {
        None => Ok(false),
        Some((run, request)) if run == signal.run && request == key.request => Ok(true),
        Some(_) => Err(Rejected::new(
            Kind::Conflict,
            "key_reused",
            "the idempotency key was used for another request",
        )
        .hint("use a new key for a new request")),
    }
}

fn check(state: &State, run: &Run, signal: &SendSignal) -> Result<(), Rejected> {
    let name = &signal.name;
    if run.workflow.waits_for(name).next().is_none() {
        let message = format!("no task of the run waits for a signal `{name}`");
        return Err(Rejected::new(Kind::NotFound, "signal_unknown", message)
            .hint("`ark-os graph RUN` shows what its tasks wait for"));
    }
    if run.room_for_signal(name) == 0 {
        let message = format!("no wait for the signal `{name}` is left");
        return Err(Rejected::new(Kind::Conflict, "signal_not_awaited", message)
            .hint("each signal ends one wait, and every one has its signal or is over"));
    }
    if run.inbox.len() >= SIGNALS_KEPT_MAX {
        let message = format!("the run keeps {SIGNALS_KEPT_MAX} signals that nobody waits for yet");
        return Err(Rejected::new(Kind::Exhausted, "inbox_full", message)
            .hint("send it again when the run has come further"));
    }
    if signal.key.is_some() && state.keys.used.len() >= KEYS_MAX {
        return Err(Rejected::new(Kind::Exhausted, "too_many_keys", "too many idempotency keys")
            .hint("keys are kept for 24 hours; send it without one, or wait"));
    }
    Ok(())
}
