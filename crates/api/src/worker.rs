//! Remote workers: what they send, and what they are answered. `docs/workers.md` is the protocol.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Json, Stamp};

/// Header with the secret of a worker's session.
pub const WORKER_SESSION: &str = "worker-session";

/// A worker that wants to join the fleet, or is back.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "summarizer-1", "concurrency": 4,
    "skills": [{"name": "text.summarize", "effect": "read", "input": {"type": "object"}}]
}))]
pub struct WorkerRegistration {
    /// Its name: letters, digits, `_` and `-`. Who registers under it last is the worker.
    pub name: String,
    /// `specialist` or `micro`; `specialist` where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// Tasks that it takes at one time, 1 to 1000.
    pub concurrency: u32,
    /// What it can do.
    pub skills: Vec<WorkerSkill>,
    /// For people: where it runs, which version it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A skill that a worker offers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerSkill {
    /// Its dotted name.
    pub name: String,
    /// `read`, `idempotent` or `effectful`; `effectful` where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// JSON Schema of its input; absent: it takes anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub input: Option<Json>,
    /// JSON Schema of its output; absent: it promises nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub output: Option<Json>,
}

/// A worker's session: from now on only who presents its secret is the worker.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerSession {
    /// The worker: what the other routes are called with.
    #[schema(example = "summarizer-1")]
    pub worker: String,
    /// The secret of the session: the value of the header `Worker-Session`.
    pub session: String,
    /// The agent of the fleet that it is.
    pub agent: String,
    /// A task that was claimed is taken away when it is not extended for so long.
    pub lease_ms: u64,
    /// A worker that says nothing for twice as long gets no more work; after three times it is gone.
    pub heartbeat_ms: u64,
    /// The longest wait of a claim.
    pub wait_ms_max: u64,
    /// The largest body of a request.
    pub body_bytes_max: u64,
}

/// The secret is not shown.
impl std::fmt::Debug for WorkerSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerSession").field("worker", &self.worker).finish_non_exhaustive()
    }
}

/// Asks for work.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"max": 4, "wait": "30s", "claim": 1}))]
pub struct ClaimRequest {
    /// How many tasks at most: the worker's free places.
    pub max: u32,
    /// How long to wait for the first, such as `30s`; absent: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// A number that grows with each claim. A claim with the number of the one before gives the same
    /// tasks again, so an answer that was lost on its way costs nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<u64>,
}

/// Work that was claimed.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ClaimAnswer {
    /// The tasks; none: there was nothing in time.
    pub tasks: Vec<ClaimedTask>,
}

/// A task, with the token under which it is to be worked on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ClaimedTask {
    /// The progress token.
    #[schema(example = "pt_01JZ0000000000000000000000_0_f7")]
    pub pt: String,
    /// Its fence: work under another is refused.
    pub fence: u64,
    /// The run.
    pub run: String,
    /// The task.
    pub task: String,
    /// From 1, over all retries.
    pub attempt: u32,
    /// The skill.
    pub skill: String,
    /// `read`, `idempotent` or `effectful`.
    pub effect: String,
    /// The key of the effect, the same in every attempt: what a sink has to know to do it only once.
    pub key: String,
    /// The input.
    #[schema(value_type = serde_json::Value)]
    pub input: Json,
    /// When the attempt must be over, extended or not.
    pub deadline: Stamp,
    /// When it is taken away unless it is extended.
    pub lease_until: Stamp,
    /// The trace that the run belongs to, as in W3C Trace Context.
    pub traceparent: String,
}

/// Says that tasks are still worked on.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendRequest {
    /// The tasks in hand; none: just a sign of life.
    pub tokens: Vec<HeldToken>,
}

/// A task in hand.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldToken {
    /// The progress token.
    pub pt: String,
    /// Its fence.
    pub fence: u64,
    /// How far the work has come, in any words: a partial proof of progress. The same words again are
    /// no progress, and after five reports without any the task is parked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

/// What became of tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExtendAnswer {
    /// One for each that was named, in order.
    pub tokens: Vec<TokenAnswer>,
}

/// What became of a token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenAnswer {
    /// The progress token.
    pub pt: String,
    /// `held`, `accepted`, `refused`, `cancelled` or `stale_fence`.
    #[schema(example = "held")]
    pub state: String,
    /// Whether this was said before: nothing has changed by saying it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// Until when it is held now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<Stamp>,
    /// Why it was refused: an error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Presents results.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteRequest {
    /// The results.
    pub results: Vec<WorkResult>,
}

/// A result.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkResult {
    /// The progress token.
    pub pt: String,
    /// Its fence.
    pub fence: u64,
    /// The output.
    #[schema(value_type = serde_json::Value)]
    pub output: Json,
}

/// Says that tasks could not be done.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailRequest {
    /// What failed.
    pub failures: Vec<WorkFailure>,
}

/// A task that could not be done.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "pt": "pt_01JZ0000000000000000000000_0_f7", "fence": 7, "code": "model.overloaded",
    "message": "the model answered 503", "retryable": true
}))]
pub struct WorkFailure {
    /// The progress token.
    pub pt: String,
    /// Its fence.
    pub fence: u64,
    /// A stable code of the worker's own: letters, digits, `.`, `_` and `-`.
    pub code: String,
    /// Why, in words.
    pub message: String,
    /// Whether another attempt may succeed.
    #[serde(default)]
    pub retryable: bool,
    /// Whether nobody knows if it happened: an `effectful` task is parked then until somebody says.
    #[serde(default)]
    pub unknown: bool,
}

/// What became of results, or of failures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FinishAnswer {
    /// One for each that was presented, in order.
    pub tokens: Vec<TokenAnswer>,
}

/// A worker that leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaveAnswer {
    /// Tasks in its hands: it may still complete, fail and extend them. At 0 it has left.
    pub under_way: u32,
}

/// A worker as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerView {
    /// Its name.
    pub worker: String,
    /// The agent of the fleet that it is.
    pub agent: String,
    /// `specialist` or `micro`.
    pub layer: String,
    /// `ready`, `idle` (it has not claimed what it was given), `suspect`, `offline` or `leaving`.
    pub state: String,
    /// What it offers.
    pub skills: Vec<String>,
    /// Tasks that it takes at one time.
    pub concurrency: u32,
    /// Tasks in its hands.
    pub under_way: u32,
    /// Tasks that wait for its next claim.
    pub queued: u32,
    /// Milliseconds since it was last heard of.
    pub silent_ms: u64,
    /// Results of its session that counted.
    pub completed: u64,
    /// Tasks of its session that failed.
    pub failed: u64,
    /// For people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}
