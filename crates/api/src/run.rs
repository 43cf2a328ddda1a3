//! Runs: what a caller submits, and what is told about them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::task::TaskSpec;
use crate::{AttentionView, Json, Stamp};

/// A run to be accepted: exactly one of `workflow` and `task`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "workflow": {"name": "greet", "version": "1", "tasks": [
        {"name": "hello", "skill": "echo", "input": "${input}"}
    ]},
    "input": {"who": "world"}, "priority": "high", "deadline": "30s"
}))]
pub struct RunSubmission {
    /// A workflow, a manifest with just one, or the name of one that is deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub workflow: Option<Json>,
    /// A single task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskSpec>,
    /// The run's input; `null` where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Json>,
    /// What the whole run may use up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// `emergency`, `critical`, `high`, `normal`, `low` or `maintenance`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "normal")]
    pub priority: Option<String>,
    /// Time for the whole run, such as `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "30s")]
    pub deadline: Option<String>,
    /// It does not begin before this moment, in RFC 3339; its deadline counts from then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2027-01-31T09:00:00+01:00")]
    pub start_at: Option<String>,
    /// It begins so long after it was accepted, such as `2h`; instead of `start_at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2h")]
    pub delay: Option<String>,
    /// The tenant; `default` where nobody asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// A budget as people write it; what is not named has no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"cost": "0.50usd", "cpu": "30s", "calls": 1000}))]
pub struct Budget {
    /// Tokens of language models, in and out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Money, such as `0.50usd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    /// Money in millionths; instead of `cost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<u64>,
    /// Processor time, such as `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Processor time in milliseconds; instead of `cpu`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Bytes moved in and out of effects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Calls of tools and models; every attempt is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Steps of attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
}

/// The answer to a run's submission.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunAccepted {
    /// The run.
    #[schema(example = "run_01JZ0000000000000000000000")]
    pub run: String,
    /// Where it stands; `accepted` unless the caller waited.
    pub state: String,
    /// Whether its idempotency key had been used for the same request before.
    pub existing: bool,
    /// How it stands, when the caller waited and it was over or parked in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<RunView>,
}

/// How a run stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// Its id.
    #[schema(example = "run_01JZ0000000000000000000000")]
    pub id: String,
    /// The tenant.
    pub namespace: String,
    /// Name of its workflow; of a single task the skill.
    pub workflow: String,
    /// Version of its workflow, the author's.
    pub version: String,
    /// SHA-256 of its workflow.
    pub workflow_hash: String,
    /// `accepted`, `running`, `waiting`, `paused`, `parked`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// The layer whose step it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The run whose child it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The signals that its tasks wait for now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<String>,
    /// The limits that hold its tasks up now, where one run is shown: `limit crm acme`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// Why tasks of it are parked, where one run is shown: some of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parked: Vec<AttentionView>,
    /// How urgent it is.
    pub priority: String,
    /// When it was accepted.
    pub accepted: Stamp,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Stamp>,
    /// When it must be over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Stamp>,
    /// When it begins, where that is to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Stamp>,
    /// How it came to be, where one run is shown and it was not simply submitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<crate::diff::Origin>,
    /// Its tasks by state. A map counts its children instead of itself once it is expanded.
    pub tasks: Counts,
    /// Its account, while the run is at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountView>,
    /// Digest of its newest proof of progress, while the run is at hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// Its output.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub output: Option<Json>,
    /// Its output where it is too large to be shown: `GET /runs/{id}/output` gives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_blob: Option<BlobView>,
    /// Why it failed or was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
}

/// A payload that is not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobView {
    /// `sha256:` and 64 hex digits.
    pub blob: String,
    /// Its length.
    pub bytes: u64,
}

/// Tasks by state; states without tasks are left out, but `total` is always there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Counts {
    /// All.
    pub total: u32,
    /// Wait for others.
    #[serde(skip_serializing_if = "is_zero")]
    pub pending: u32,
    /// Their condition or list is being evaluated.
    #[serde(skip_serializing_if = "is_zero")]
    pub preparing: u32,
    /// Wait for an agent.
    #[serde(skip_serializing_if = "is_zero")]
    pub ready: u32,
    /// Worked on.
    #[serde(skip_serializing_if = "is_zero")]
    pub running: u32,
    /// Wait for a timer or a signal.
    #[serde(skip_serializing_if = "is_zero")]
    pub waiting: u32,
    /// Nothing more happens until somebody acts.
    #[serde(skip_serializing_if = "is_zero")]
    pub parked: u32,
    /// Done.
    #[serde(skip_serializing_if = "is_zero")]
    pub succeeded: u32,
    /// Not done.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed: u32,
    /// Stopped.
    #[serde(skip_serializing_if = "is_zero")]
    pub cancelled: u32,
    /// Did not have to run.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A budget in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    /// The most that may be used; what has no limit is left out.
    pub limit: AmountsView,
    /// Set aside for work that is not over.
    pub reserved: AmountsView,
    /// Spent.
    pub settled: AmountsView,
    /// Whether an over-report stopped all further reservations.
    pub frozen: bool,
}

/// Amounts; accounts of which there is nothing to say are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AmountsView {
    /// Tokens of language models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Money in millionths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<u64>,
    /// Processor time in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
}

/// Why an attempt, a task or a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailureView {
    /// Stable code, the agent's own or one of ours.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// Whether another attempt may succeed.
    pub retryable: bool,
    /// The failures of earlier attempts, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub causes: Vec<FailureView>,
}
