//! Schedules: what a caller wants, and what is told about them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::run::{Budget, FailureView};
use crate::{Json, Stamp};

/// A schedule to be had.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "nightly", "cron": "30 2 * * *", "zone": "Europe/Berlin", "catch_up": "one",
    "overlap": "skip", "workflow": {"name": "greet", "version": "1", "tasks": [
        {"name": "hello", "skill": "echo", "input": "${input}"}
    ]}, "input": {"who": "world"}
}))]
pub struct ScheduleSubmission {
    /// 1-100 of `[A-Za-z0-9_-]`. A schedule of this name is replaced.
    pub name: String,
    /// When: minute, hour, day of the month, month, day of the week; or six fields, seconds first.
    #[schema(example = "30 2 * * *")]
    pub cron: String,
    /// The time zone in which the pattern is read; `UTC` where nobody asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    pub zone: Option<String>,
    /// What becomes of missed times; `one` where nobody asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// What happens when it is due and a run of it is not over; `skip` where nobody asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// What it runs: a workflow, a manifest with just one, or the name of a deployed one.
    #[schema(value_type = serde_json::Value)]
    pub workflow: Json,
    /// The input of each run; `null` where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Json>,
    /// What each run may use up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// `emergency`, `critical`, `high`, `normal`, `low` or `maintenance`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Time for the whole of each run, such as `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Each run begins up to so much late, such as `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<String>,
    /// Whether it does nothing until it is resumed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The tenant; `default` where nobody asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What becomes of times that passed while nobody could act on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// Nothing, but for the newest where it is no older than a minute.
    Skip,
    /// One run for all of them.
    One,
    /// A run for each.
    All {
        /// For the newest so many, 1 to 1000.
        max: u32,
    },
}

/// What happens when a schedule is due and a run of it is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Another run begins beside it.
    Allow,
    /// Nothing; it is recorded that it was due.
    Skip,
    /// The next one begins when that run is over.
    Queue,
    /// That run is cancelled, and the next one begins.
    CancelPrevious,
}

/// How a schedule stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleView {
    /// Its name.
    pub name: String,
    /// The tenant.
    pub namespace: String,
    /// When.
    pub cron: String,
    /// The time zone in which the pattern is read.
    pub zone: String,
    /// What becomes of missed times.
    pub catch_up: CatchUp,
    /// What happens when it is due and a run of it is not over.
    pub overlap: Overlap,
    /// Name of the workflow that it runs.
    pub workflow: String,
    /// SHA-256 of that workflow, where the schedule has it itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_hash: Option<String>,
    /// How urgent its runs are.
    pub priority: String,
    /// Each run begins up to so many milliseconds late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<u64>,
    /// Time for the whole of each run, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Whether it does nothing until it is resumed.
    pub paused: bool,
    /// When it was put, or put anew.
    pub since: Stamp,
    /// The next times by its pattern; none: it is paused, or never due again.
    pub upcoming: Vec<Stamp>,
    /// Times that wait for a run of it to be over.
    pub waiting: u32,
    /// Its runs that are not over, at most 20 of them, oldest first.
    pub runs: Vec<String>,
    /// How many of its runs are not over.
    pub running: u32,
    /// Its newest run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<ScheduledRunView>,
    /// Runs that it began.
    pub fired: u64,
    /// Times at which it began none.
    pub skipped: u64,
    /// The newest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_skip: Option<SkippedView>,
}

/// A time of a schedule at which it began no run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SkippedView {
    /// The time by the pattern.
    pub time: Stamp,
    /// When it passed without a run.
    pub at: Stamp,
    /// `overlap`: a run of it was not over; `queue_full`: too many of its times wait; `missed`: nobody could act then, and it is not made up
    /// for; `refused`: the run was.
    pub because: String,
    /// Why the run was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<FailureView>,
}

/// A run that a schedule began.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduledRunView {
    /// The run.
    pub run: String,
    /// The time by the pattern that it is for.
    pub time: Stamp,
    /// When it began.
    pub at: Stamp,
}

/// A run that began because somebody asked for it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleStarted {
    /// The run.
    pub run: String,
    /// Whether its idempotency key had been used for the same request before.
    #[serde(default)]
    pub existing: bool,
}

/// How urgent a run is to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"priority": "high", "reason": "somebody waits for it"}))]
pub struct Prioritize {
    /// `emergency`, `critical`, `high`, `normal`, `low` or `maintenance`.
    pub priority: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
