//! Events of a run's history.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that happened. What it carries besides depends on its type; payloads are JSON where
/// they are small and `{"blob", "bytes"}` otherwise.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "17.1", "seq": 17, "cause": 0, "at": "2026-01-31T12:00:00.000Z",
    "run": "run_01JZ0000000000000000000000", "type": "task_ready",
    "task": "task_01JZ0000000000000000000000_0"
}))]
pub struct EventView {
    /// Record and place inside it: what `after` and `Last-Event-ID` take.
    pub id: String,
    /// The journal's record.
    pub seq: u64,
    /// The record that led to it; 0: none.
    pub cause: u64,
    /// When it was decided.
    pub at: crate::Stamp,
    /// The run.
    pub run: String,
    /// What happened, past tense, in snake case.
    #[serde(rename = "type")]
    pub kind: String,
    /// The fields of its type.
    #[serde(flatten)]
    #[schema(additional_properties)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}
