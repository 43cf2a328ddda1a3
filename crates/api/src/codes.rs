//! The one table of error codes: what the caller would do differently, HTTP status, exit code, title.
//!
//! A code is never given another meaning. `docs/errors.md` has an entry for each, and a test holds
//! the two together.

/// What the caller would do differently about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong; mend it.
    Invalid,
    /// Nobody was named, or not credibly; bring a token.
    Unauthenticated,
    /// No such thing.
    NotFound,
    /// Refused by the present state.
    Conflict,
    /// Not allowed.
    Denied,
    /// A limit or budget is used up; wait or raise it.
    Exhausted,
    /// Not now; try again.
    Unavailable,
    /// Stored bytes do not verify.
    Corrupt,
    /// Shutting down or stopped.
    Closed,
    /// A fault of ours.
    Internal,
    /// The work was done and failed: told in a run's or task's failure.
    Failed,
}

/// Exit codes of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The work failed.
    Failed = 1,
    /// Bad usage.
    Usage = 2,
    /// The instance cannot be reached.
    Unreachable = 3,
    /// Denied.
    Denied = 4,
    /// Refused by the present state: conflict, limit, not found.
    Refused = 5,
    /// Verification failed.
    Unverified = 6,
    /// Waiting or parked.
    Waiting = 7,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The stable code.
    pub code: &'static str,
    /// What the caller would do differently.
    pub kind: Kind,
    /// HTTP status. Codes that only a run's failure or the command line uses have their kind's.
    pub status: u16,
    /// Exit code.
    pub exit: Exit,
    /// A few words, always the same.
    pub title: &'static str,
}

const fn of(kind: Kind, status: u16, exit: Exit) -> Row {
    Row { code: "", kind, status, exit, title: "" }
}

const INVALID: Row = of(Kind::Invalid, 400, Exit::Usage);
const UNAUTHENTICATED: Row = of(Kind::Unauthenticated, 401, Exit::Denied);
const NOT_FOUND: Row = of(Kind::NotFound, 404, Exit::Refused);
const CONFLICT: Row = of(Kind::Conflict, 409, Exit::Refused);
const DENIED: Row = of(Kind::Denied, 403, Exit::Denied);
const EXHAUSTED: Row = of(Kind::Exhausted, 429, Exit::Refused);
const UNAVAILABLE: Row = of(Kind::Unavailable, 503, Exit::Unreachable);
const CORRUPT: Row = of(Kind::Corrupt, 500, Exit::Unverified);
const CLOSED: Row = of(Kind::Closed, 503, Exit::Unreachable);
const INTERNAL: Row = of(Kind::Internal, 500, Exit::Failed);
const FAILED: Row = of(Kind::Failed, 500, Exit::Failed);

/// Every stable code, in alphabetical order.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    Row { code: "addressee_not_found", title: "Nobody has the address", ..NOT_FOUND },
    Row { code: "agent_name_taken", title: "Another agent has the name", ..CONFLICT },
    Row { code: "agent_not_found", title: "No such agent", ..NOT_FOUND },
    Row { code: "agent_panicked", title: "The agent panicked", ..FAILED },
    Row { code: "agent_passing", title: "The agent comes or goes", ..CONFLICT },
    Row { code: "agent_quarantined", title: "The agent is quarantined", ..CONFLICT },
    Row { code: "agent_unusable", title: "An agent cannot be set up", ..INVALID },
    Row { code: "agents_out_of_range", title: "Fleet size out of range", ..INVALID },
    Row { code: "approval_unavailable", title: "Needs an approval that cannot be asked for", ..DENIED },
    Row { code: "authority_denied", title: "Not covered by the authority", ..DENIED },
    Row { code: "authority_expired", title: "The authority has expired", ..DENIED },
    Row { code: "authority_revoked", title: "The authority was taken back", ..DENIED },
    Row { code: "backup_refused", title: "The backup cannot go there", ..CONFLICT },
    Row { code: "bench_failed", title: "A benchmark could not be run", ..INTERNAL },
    Row { code: "blob_not_stored", title: "A payload could not be stored", ..UNAVAILABLE },
    Row { code: "blob_unreadable", title: "A payload could not be read", ..UNAVAILABLE },
    Row { code: "body_too_large", status: 413, title: "Body too large", ..INVALID },
    Row { code: "budget_exhausted", title: "Budget used up", ..EXHAUSTED },
    Row { code: "cancelled", title: "Cancelled", ..FAILED },
    Row { code: "capacity_exceeded", title: "More agents than there is room for", ..INVALID },
    Row { code: "checkpoint_not_found", title: "No checkpoint yet", ..NOT_FOUND },
    Row { code: "child_cancelled", title: "A child run was cancelled", ..FAILED },
    Row { code: "child_failed", title: "A child run failed", ..FAILED },
    Row { code: "child_refused", title: "A child run was refused", ..FAILED },
    Row { code: "child_too_deep", title: "Too many runs above a run", ..FAILED },
    Row { code: "condition_failed", title: "A condition could not be evaluated", ..FAILED },
    Row { code: "conflicting_fields", title: "Fields exclude each other", ..INVALID },
    Row { code: "cursor_invalid", title: "Not a cursor of this list", ..INVALID },
    Row { code: "cycle", title: "Tasks depend on each other in a circle", ..INVALID },
    Row { code: "data_directory_in_use", title: "Data directory in use", ..CONFLICT },
    Row { code: "data_directory_not_empty", title: "Data directory not empty", ..CONFLICT },
    Row { code: "data_directory_unusable", title: "Data directory unusable", ..UNAVAILABLE },
    Row { code: "deadline_exceeded", title: "Deadline exceeded", ..FAILED },
    Row { code: "deadline_past", title: "The deadline has passed", ..CONFLICT },
    Row { code: "delegation_too_deep", title: "Delegated too often", ..DENIED },
    Row { code: "depends_on_fallback", title: "Refers to a fallback", ..INVALID },
    Row { code: "deployment_not_found", title: "No such deployment", ..NOT_FOUND },
    Row { code: "deployment_outdated", title: "Another version is deployed", ..CONFLICT },
    Row { code: "deployment_too_large", title: "The deployment is too large", ..EXHAUSTED },
    Row { code: "deployment_under_way", title: "A deployment is under way", ..CONFLICT },
    Row { code: "draining", title: "The instance is shutting down", ..CLOSED },
    Row { code: "duplicate_name", title: "A name stands twice", ..INVALID },
    Row { code: "effect_above_contract", title: "More effect than the contract allows", ..INVALID },
    Row { code: "effect_happened", title: "An effect that happened, or may have, would be repeated", ..CONFLICT },
    Row { code: "engine_restarted", title: "The engine restarted", ..FAILED },
    Row { code: "escalation_not_found", title: "No such escalation", ..NOT_FOUND },
    Row { code: "escalation_over", title: "The escalation is over", ..CONFLICT },
    Row { code: "event_not_found", title: "No such event", ..NOT_FOUND },
    Row { code: "fleet_invalid", title: "The fleet cannot be", ..INVALID },
    Row { code: "fork_invalid", title: "Not a fork of that plan", ..INVALID },
    Row { code: "fork_too_large", title: "Too much to take along", ..EXHAUSTED },
    Row { code: "format_newer", title: "Of a newer version", ..CONFLICT },
    Row { code: "given_up", title: "Given up", ..FAILED },
    Row { code: "history_archived", status: 410, title: "The history was archived and taken away", ..NOT_FOUND },
    Row { code: "host_refused", status: 421, title: "Host not served here", ..INVALID },
    Row { code: "inbox_full", title: "The run keeps too many signals", ..EXHAUSTED },
    Row { code: "input_invalid", title: "The input does not fit its schema", ..INVALID },
    Row { code: "input_too_deep", title: "The input is nested too deeply", ..INVALID },
    Row { code: "input_too_large", status: 413, title: "The input is too large", ..INVALID },
    Row { code: "input_unresolved", title: "An input could not be put together", ..FAILED },
    Row { code: "instance_stopped", title: "The instance has stopped", ..CLOSED },
    Row { code: "instance_unreachable", title: "No instance answers", ..UNAVAILABLE },
    Row { code: "intake_frozen", exit: Exit::Refused, title: "Intake is frozen", ..UNAVAILABLE },
    Row { code: "internal", title: "A fault of ours", ..INTERNAL },
    Row { code: "invalid_condition", title: "Not a condition", ..INVALID },
    Row { code: "invalid_fallback", title: "Not a usable fallback", ..INVALID },
    Row { code: "invalid_name", title: "Not a name", ..INVALID },
    Row { code: "invalid_schema", title: "Not a JSON Schema", ..INVALID },
    Row { code: "invalid_template", title: "Not a template", ..INVALID },
    Row { code: "invalid_value", title: "Not one of the values", ..INVALID },
    Row { code: "journal_corrupt", title: "The journal does not verify", ..CORRUPT },
    Row { code: "journal_failed", exit: Exit::Refused, title: "The journal cannot be written", ..UNAVAILABLE },
    Row { code: "json_invalid", title: "Not JSON", ..INVALID },
    Row { code: "key_invalid", title: "Not an idempotency key", ..INVALID },
    Row { code: "key_reused", title: "Idempotency key used for another request", ..CONFLICT },
    Row { code: "key_unresolved", title: "The key of a limit could not be put together", ..FAILED },
    Row { code: "key_used", title: "Idempotency key in use", ..CONFLICT },
    Row { code: "layer_does_not_work", title: "Skills of a layer that does not work", ..INVALID },
    Row { code: "layer_exceeded", title: "Beyond the layer's ceiling", ..DENIED },
    Row { code: "layer_not_above", title: "A supervisor that is not above", ..INVALID },
    Row { code: "lease_expired", title: "The lease ran out", ..FAILED },
    Row { code: "limit_keys_exhausted", title: "Too many keys of limits", ..FAILED },
    Row { code: "line_too_long", status: 413, title: "A line of the batch is too long", ..INVALID },
    Row { code: "list_unresolved", title: "A map's list could not be put together", ..FAILED },
    Row { code: "mailbox_full", title: "The mailbox is full", ..EXHAUSTED },
    Row { code: "manifest_invalid", title: "The plan has errors", ..INVALID },
    Row { code: "map_failed", title: "Too many of a map's tasks failed", ..FAILED },
    Row { code: "map_too_large", title: "A map's list is too long", ..FAILED },
    Row { code: "measure_in_force", title: "The measure is in force already", ..CONFLICT },
    Row { code: "measure_invalid", title: "Not a measure", ..INVALID },
    Row { code: "measure_not_found", title: "No such measure", ..NOT_FOUND },
    Row { code: "measures_exhausted", title: "Too many measures", ..EXHAUSTED },
    Row { code: "message_denied", title: "Not allowed to send it", ..DENIED },
    Row { code: "message_exists", title: "The message's id is in use", ..CONFLICT },
    Row { code: "message_invalid", title: "The message is wrong", ..INVALID },
    Row { code: "message_too_large", status: 413, title: "The message is too large", ..INVALID },
    Row { code: "message_unanswered", status: 504, exit: Exit::Waiting, title: "Not answered in time", ..UNAVAILABLE },
    Row { code: "method_not_allowed", status: 405, title: "Method not allowed", ..INVALID },
    Row { code: "missing_field", title: "A field is missing", ..INVALID },
    Row { code: "missing_input", title: "A task lacks its input", ..INVALID },
    Row { code: "no_item", title: "Not the child of a map", ..INVALID },
    Row { code: "no_thread", title: "No more threads", ..UNAVAILABLE },
    Row { code: "not_a_map", title: "Not a map", ..INVALID },
    Row { code: "not_collected", title: "A map's outputs are not kept", ..INVALID },
    Row { code: "not_in_enum", title: "Not one of the values of the schema", ..INVALID },
    Row { code: "not_ready", title: "Not ready in time", ..UNAVAILABLE },
    Row { code: "out_of_range", title: "Out of range", ..INVALID },
    Row { code: "output_invalid", title: "The output does not fit its schema", ..FAILED },
    Row { code: "output_not_found", title: "No output", ..NOT_FOUND },
    Row { code: "output_too_large", title: "The output is too large", ..FAILED },
    Row { code: "output_unresolved", title: "The output could not be put together", ..FAILED },
    Row { code: "overloaded", title: "Too much to do", ..EXHAUSTED },
    Row { code: "payload_lost", title: "A payload is lost", ..FAILED },
    Row { code: "payload_too_large", title: "A payload is too large", ..FAILED },
    Row { code: "payload_unavailable", title: "A payload cannot be read now", ..FAILED },
    Row { code: "policy_denied", title: "Denied by policy", ..DENIED },
    Row { code: "program_not_found", title: "No such program in the sandbox", ..FAILED },
    Row { code: "query_invalid", title: "A query parameter is wrong", ..INVALID },
    Row { code: "reason_invalid", title: "Not a reason", ..INVALID },
    Row { code: "record_unreadable", title: "A record cannot be read", ..FAILED },
    Row { code: "request_invalid", title: "The request is wrong", ..INVALID },
    Row { code: "route_not_found", title: "No such route", ..NOT_FOUND },
    Row { code: "run_delayed", title: "The run's time has not come", ..CONFLICT },
    Row { code: "run_exists", title: "The run's id is in use", ..CONFLICT },
    Row { code: "run_failed", title: "The run failed", ..FAILED },
    Row { code: "run_grown", title: "Tasks were added to the run", ..CONFLICT },
    Row { code: "run_is_child", title: "The run is the child of another", ..CONFLICT },
    Row { code: "run_not_begun", title: "The run never began", ..CONFLICT },
    Row { code: "run_not_found", title: "No such run", ..NOT_FOUND },
    Row { code: "run_not_over", title: "The run is not over", ..CONFLICT },
    Row { code: "run_not_paused", title: "The run is not paused", ..CONFLICT },
    Row { code: "run_over", title: "The run is over", ..CONFLICT },
    Row { code: "run_waiting", exit: Exit::Waiting, title: "The run waits for somebody", ..CONFLICT },
    Row { code: "sandbox_failed", title: "The sandbox could not be set up", ..INTERNAL },
    Row { code: "sandbox_invalid", title: "Cannot be run in a sandbox", ..INVALID },
    Row { code: "sandbox_unavailable", exit: Exit::Refused, title: "This machine cannot hold the sandbox", ..UNAVAILABLE },
    Row { code: "schedule_invalid", title: "Not a valid schedule", ..INVALID },
    Row { code: "schedule_not_found", title: "No such schedule", ..NOT_FOUND },
    Row { code: "schedule_taken", title: "A schedule of that name was made by hand", ..CONFLICT },
    Row { code: "scope_missing", title: "A scope is missing", ..DENIED },
    Row { code: "seat_not_ready", title: "The seat does not stand ready", ..CONFLICT },
    Row { code: "seats_exhausted", title: "The fleet has had too many seats", ..EXHAUSTED },
    Row { code: "self_dependency", title: "A task depends on itself", ..INVALID },
    Row { code: "settings_invalid", title: "The configuration is wrong", ..INVALID },
    Row { code: "signal_invalid", title: "The payload is not what the run waits for", ..INVALID },
    Row { code: "signal_not_awaited", title: "No wait for the signal is left", ..CONFLICT },
    Row { code: "signal_timeout", title: "The signal did not come in time", ..FAILED },
    Row { code: "signal_unknown", title: "No task waits for this signal", ..NOT_FOUND },
    Row { code: "skill_orphaned", title: "Nobody would offer a skill that is needed", ..CONFLICT },
    Row { code: "skill_taken", title: "The skill means something else here", ..CONFLICT },
    Row { code: "stale_fence", title: "The token is not in use any more", ..CONFLICT },
    Row { code: "step_in_doubt", title: "A step is in doubt", ..CONFLICT },
    Row { code: "step_not_found", title: "No such step", ..NOT_FOUND },
    Row { code: "step_not_in_doubt", title: "The step is not in doubt", ..CONFLICT },
    Row { code: "step_open", title: "A step is under way", ..CONFLICT },
    Row { code: "step_settled", title: "The step is settled", ..CONFLICT },
    Row { code: "store_full", status: 507, title: "No space left", ..EXHAUSTED },
    Row { code: "store_invalid", title: "The store refused the question", ..INVALID },
    Row { code: "store_not_found", title: "Not in the store", ..NOT_FOUND },
    Row { code: "store_unavailable", title: "The store cannot be used now", ..UNAVAILABLE },
    Row { code: "task_not_found", title: "No such task", ..NOT_FOUND },
    Row { code: "task_not_parked", title: "The task is not parked", ..CONFLICT },
    Row { code: "tasks_refused", title: "Tasks that a task adds were refused", ..FAILED },
    Row { code: "threads_exhausted", title: "Too many attempts hang", ..INTERNAL },
    Row { code: "timeout", title: "The attempt took too long", ..FAILED },
    Row { code: "too_deep", title: "Nested too deeply", ..INVALID },
    Row { code: "too_long", title: "Too long", ..INVALID },
    Row { code: "too_many_addressees", title: "Too many are asked at once", ..INVALID },
    Row { code: "too_many_keys", title: "Too many idempotency keys", ..EXHAUSTED },
    Row { code: "too_many_lines", status: 413, title: "Too many lines in the batch", ..INVALID },
    Row { code: "too_many_schedules", title: "Too many schedules", ..EXHAUSTED },
    Row { code: "too_many_skills", title: "Too many skills", ..EXHAUSTED },
    Row { code: "too_many_steps", title: "Too many steps", ..EXHAUSTED },
    Row { code: "too_many_subscriptions", title: "Too many subscriptions", ..EXHAUSTED },
    Row { code: "too_many_workers", title: "Too many workers", ..EXHAUSTED },
    Row { code: "type_mismatch", title: "Types do not match", ..INVALID },
    Row { code: "unauthenticated", title: "No valid token", ..UNAUTHENTICATED },
    Row { code: "unknown_agent", title: "No such agent or group", ..INVALID },
    Row { code: "unknown_field", title: "No such field", ..INVALID },
    Row { code: "unknown_property", title: "No such property", ..INVALID },
    Row { code: "unknown_skill", title: "No agent has the skill", ..INVALID },
    Row { code: "unknown_task", title: "No such task in the plan", ..INVALID },
    Row { code: "unknown_workflow", title: "No such workflow in the manifest", ..INVALID },
    Row { code: "unsupported_section", title: "A section that this version does not know", ..INVALID },
    Row { code: "usage", title: "Bad usage", ..INVALID },
    Row { code: "verification_failed", title: "Verification failed", ..CORRUPT },
    Row { code: "views_failed", exit: Exit::Refused, title: "The views cannot be written", ..UNAVAILABLE },
    Row { code: "wait_exceeded", status: 504, title: "Not over in time", ..UNAVAILABLE },
    Row { code: "wait_unresolved", title: "The end of a wait could not be found", ..FAILED },
    Row { code: "worker_absent", title: "The worker was not there", ..FAILED },
    Row { code: "worker_fenced", title: "Another process is the worker", ..CONFLICT },
    Row { code: "worker_invalid", title: "The registration has errors", ..INVALID },
    Row { code: "worker_not_found", title: "No such worker", ..NOT_FOUND },
    Row { code: "worker_replaced", title: "Another process took the worker's place", ..FAILED },
    Row { code: "worker_silent", title: "The worker was not heard of", ..FAILED },
    Row { code: "workflow_ambiguous", title: "Not exactly one workflow", ..INVALID },
    Row { code: "workflow_not_found", title: "No such workflow is deployed", ..NOT_FOUND },
    Row { code: "workflow_orphaned", title: "A schedule would lose its workflow", ..CONFLICT },
    Row { code: "wrong_type", title: "Wrong type", ..INVALID },
];

/// The row of a code; that of `internal` for one that is not ours, such as an agent's own.
pub fn row(code: &str) -> &'static Row {
    known(code).or_else(|| known("internal")).unwrap_or(&INTERNAL)
}

/// The row of a code, if it is one of ours.
pub fn known(code: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_every_code_once() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].code < pair[1].code, "{} before {}", pair[0].code, pair[1].code);
        }
        assert!(TABLE.iter().all(|row| !row.title.is_empty()));
    }

    #[test]
    fn a_foreign_code_has_the_row_of_a_fault_of_ours() {
        assert_eq!(row("no_such_code").code, "internal");
        assert_eq!(row("overloaded").status, 429);
    }
}
