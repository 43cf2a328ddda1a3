//! Tasks: a single one as a caller submits it, and what is told about any.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::run::{BlobView, Budget, FailureView};
use crate::{Json, Stamp};

/// A single task to be run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"skill": "echo", "input": {"text": "hello"}, "timeout": "10s"}))]
pub struct TaskSubmission {
    /// The skill that it needs.
    #[schema(example = "echo")]
    pub skill: String,
    /// Its input; `null` where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Json>,
    /// Time for one attempt, such as `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Time for all of it, such as `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Attempts and pauses, as in a manifest: `{"attempts": 3, "backoff": "200ms", "max": "30s"}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub retry: Option<Json>,
    /// What it may use up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// `emergency`, `critical`, `high`, `normal`, `low` or `maintenance`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "normal")]
    pub priority: Option<String>,
    /// JSON Schema of the output, besides the skill's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub output_schema: Option<Json>,
    /// The tenant; `default` where nobody asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// The task of a run that has just one, with the options of a manifest's task.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// The skill that it needs.
    #[schema(example = "echo")]
    pub skill: String,
    /// Time for one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Time for the task from when it is first ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Attempts and pauses.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub retry: Option<Json>,
    /// Reserved in the run's account before every attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub budget: Option<Json>,
    /// JSON Schema of the output, besides the skill's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub output_schema: Option<Json>,
}

/// Where a task stands, in short: the answer to a submission, and of `/status`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskStatus {
    /// The task.
    #[schema(example = "task_01JZ0000000000000000000000_0")]
    pub task: String,
    /// Its run.
    #[schema(example = "run_01JZ0000000000000000000000")]
    pub run: String,
    /// Where it stands.
    pub state: String,
    /// Of a submission: whether its idempotency key had been used for the same request before.
    #[serde(default)]
    pub existing: bool,
    /// Its output, once it succeeded.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub output: Option<Json>,
    /// Its output where it is too large to be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_blob: Option<BlobView>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
}

/// All that is known of a task.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// Its id.
    #[schema(example = "task_01JZ0000000000000000000000_0")]
    pub id: String,
    /// Its run.
    pub run: String,
    /// Its name in the plan; absent where the plan is not at hand any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The skill that it needs; absent where nobody works on it, or the plan is not at hand any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skill: Option<String>,
    /// `pending`, `preparing`, `ready`, `running`, `waiting`, `parked`, `succeeded`, `failed`,
    /// `cancelled` or `skipped`.
    pub state: String,
    /// Counted attempts.
    pub attempt: u32,
    /// Attempts lost to an agent's death.
    pub lost: u32,
    /// Raised by every retry from this task.
    pub generation: u32,
    /// Who works on it, or did last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The progress token in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// When the newest attempt began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Stamp>,
    /// Of a task that nobody works on: what it waits for, such as `signal approved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// When it stands in line again; of a wait: when it ends at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Stamp>,
    /// Its output.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub output: Option<Json>,
    /// Its output where it is too large to be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_blob: Option<BlobView>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// Why it is parked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked: Option<ParkedView>,
    /// Why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// Of a map: how many children it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children: Option<u32>,
    /// Of a task that is a run of its own: that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child: Option<String>,
    /// Its recorded effects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepView>,
    /// How many older ones are left out of `steps`; the run's events have them all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub steps_left_out: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Why a task is parked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ParkedView {
    /// `stalled`, `in_doubt` or `poison`.
    pub reason: String,
    /// In words.
    pub message: String,
}

/// A recorded effect of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// Its key: what `resolve` takes.
    pub key: String,
    /// From 0.
    pub number: u32,
    /// What is called.
    pub tool: String,
    /// `pure`, `read`, `idempotent`, `probed` or `effectful`.
    pub class: String,
    /// `open`, `in_doubt`, `done` or `failed`.
    pub state: String,
}
