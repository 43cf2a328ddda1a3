//! The words of the vocabulary for the core's states.

use ark_os_api::{AmountsView, BlobView, FailureView, Stamp};
use ark_os_core::State;
use ark_os_core::budget::Amounts;
use ark_os_core::error::Failure;
use ark_os_core::event::{Intake, ParkReason, SkipCause, Standing};
use ark_os_core::hash::Hash;
use ark_os_core::priority::Priority;
use ark_os_core::rules::Mode;
use ark_os_core::run::{RunState, TaskState};
use ark_os_core::time::Time;

/// How the instance is, in one word: whether it takes new runs, and whether they would go on. Whoever
/// asks says whether they are hindered: a layer is empty, as of the count that he shows, or work of agents
/// cannot be had.
pub(crate) fn status(state: &State, is_hindered: bool) -> &'static str {
    match (state.intake(), state.supervision().freeze(), is_hindered) {
        (Intake::Draining, _, _) => "draining",
        (Intake::Open, Some(_), _) => "frozen",
        (Intake::Open, None, true) => "degraded",
        (Intake::Open, None, false) => "ok",
    }
}

pub(crate) fn run_state(state: RunState) -> &'static str {
    match state {
        RunState::Accepted => "accepted",
        RunState::Running => "running",
        RunState::Waiting => "waiting",
        RunState::Paused => "paused",
        RunState::Parked => "parked",
        RunState::Succeeded => "succeeded",
        RunState::Failed => "failed",
        RunState::Cancelled => "cancelled",
    }
}

pub(crate) fn task_state(state: TaskState) -> &'static str {
    match state {
        TaskState::Pending => "pending",
        TaskState::Preparing => "preparing",
        TaskState::Ready => "ready",
        TaskState::Running => "running",
        TaskState::Waiting => "waiting",
        TaskState::Parked => "parked",
        TaskState::Succeeded => "succeeded",
        TaskState::Failed => "failed",
        TaskState::Cancelled => "cancelled",
        TaskState::Skipped => "skipped",
    }
}

/// A duration as people write it, in its largest whole unit.
pub(crate) fn duration(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let whole = units.into_iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

pub(crate) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Ready => "ready",
        Standing::Restarting => "restarting",
        Standing::Replaced => "replaced",
        Standing::Offline => "offline",
        Standing::Starting => "starting",
        Standing::Draining => "draining",
        Standing::Retired => "retired",
        Standing::Suspect => "suspect",
        Standing::Quarantined => "quarantined",
    }
}

pub(crate) fn park_reason(reason: ParkReason) -> &'static str {
    match reason {
        ParkReason::Stalled => "stalled",
        ParkReason::InDoubt => "in_doubt",
        ParkReason::Poison => "poison",
    }
}

pub(crate) fn skip_cause(cause: &SkipCause) -> String {
    match cause {
        SkipCause::Condition => "condition".to_owned(),
        SkipCause::Failed(node) => format!("task {node} failed"),
        SkipCause::NotNeeded => "not_needed".to_owned(),
        SkipCause::RunEnded => "run_ended".to_owned(),
    }
}

pub(crate) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Autonomous => "autonomous",
        Mode::Supervised => "supervised",
        Mode::Interactive => "interactive",
    }
}

pub(crate) fn priority(word: &str) -> Option<Priority> {
    Priority::ALL.into_iter().find(|priority| priority.as_str() == word)
}

pub(crate) fn stamp(time: Time) -> Stamp {
    Stamp(time.0)
}

/// A moment that comes.
pub(crate) fn moment(time: Time) -> Option<Stamp> {
    (time != Time::NEVER).then_some(Stamp(time.0))
}

pub(crate) fn blob(hash: Hash, bytes: u64) -> BlobView {
    BlobView { blob: format!("sha256:{hash}"), bytes }
}

pub(crate) fn failure(failure: &Failure) -> FailureView {
    FailureView {
        code: failure.code.to_string(),
        message: failure.message.to_string(),
        retryable: failure.retryable,
        causes: failure.causes.iter().map(self::failure).collect(),
    }
}

/// Amounts without those that equal `nothing`: 0 for what is used, the largest for a limit.
pub(crate) fn amounts(amounts: Amounts, nothing: u64) -> AmountsView {
    let some = |amount: u64| (amount != nothing).then_some(amount);
    AmountsView {
        tokens: some(amounts.tokens),
        cost_micros: some(amounts.cost_micros),
        cpu_ms: some(amounts.cpu_ms),
        bytes: some(amounts.bytes),
        calls: some(amounts.calls),
        steps: some(amounts.steps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_core() {
        for state in RunState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), run_state(state));
        }
        for word in ["emergency", "critical", "high", "normal", "low", "maintenance"] {
            assert_eq!(priority(word).unwrap().as_str(), word);
        }
        assert_eq!(priority("urgent"), None);
    }
}
