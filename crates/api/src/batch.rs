//! The batch of tasks: one JSON text a line, in and out.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::run::{BlobView, Budget, FailureView};
use crate::{Json, Problem};

/// A line of a batch: a task, and the key under which it can be sent again.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"key": "order-17", "skill": "echo", "input": {"text": "hello"}}))]
pub struct BatchLine {
    /// Idempotency key: the same key and task give the same run, also in another batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The skill that it needs.
    pub skill: String,
    /// Its input; `null` where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Json>,
    /// Time for one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Time for all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Attempts and pauses.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub retry: Option<Json>,
    /// What it may use up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// How urgent it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// JSON Schema of the output.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub output_schema: Option<Json>,
    /// The tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// The answer to a line. Answers come in the order of the lines.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BatchAnswer {
    /// Number of the line, from 1; empty lines count but are not answered.
    pub line: u32,
    /// The line's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// 202: durably accepted. 200: over, or parked. Anything else: see `problem`.
    pub status: u16,
    /// The run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Whether the key had been used for the same task before.
    #[serde(default)]
    pub existing: bool,
    /// Where the run stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
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
    /// What is wrong with the line; the rest of the batch goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}
