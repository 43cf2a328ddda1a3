//! A run explained: what happened when, for how long, by whom, and at what cost.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{AmountsView, Stamp};

/// A part of a run's trace, in the order of the journal: what takes time stands where it ended.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TraceView {
    /// The run.
    pub run: String,
    /// When it was accepted: offsets count from here.
    pub accepted: Stamp,
    /// The rows.
    pub items: Vec<TraceRow>,
    /// `after` of the next page; absent: this was the end. A page may be short though there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// On the last page: what has begun and not ended, at most 500 of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<TraceRow>,
}

/// One thing that happened in a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "19.1.0", "kind": "attempt", "depth": 3, "seq": 19, "began_seq": 18,
    "place": "segment-00000000000000000001.ark:4711",
    "at": "2026-01-31T12:00:00.000Z", "offset_ms": 12, "duration_ms": 40, "queued_ms": 3,
    "task": "task_01JZ0000000000000000000000_0", "name": "hello",
    "layer": "micro", "agent": "micro-00042", "stack": 2, "state": "succeeded",
    "spent": {"calls": 1}
}))]
pub struct TraceRow {
    /// What `after` takes: the record, the event inside it, the row of the event.
    pub id: String,
    /// `accepted`, `decision`, `admitted`, `waits`, `recovered`, `paused`, `resumed`, `retried`,
    /// `gathering`, `parked`, `signal`, `ended` of the run; `task`, `map`, `skipped`, `cancelled` of a task; `preparing`, `waiting`, `tasks_added`,
    /// `attempt`, `task_parked`, `task_unparked`; `step`, `step_in_doubt`, `step_resolved`, `lease`,
    /// `checkpoint`.
    pub kind: String,
    /// 1: of the run, 2: of a task, 3: of an attempt, 4: of what is inside an attempt.
    pub depth: u32,
    /// The journal's record that tells it, or its end.
    pub seq: u64,
    /// The record that tells its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_seq: Option<u64>,
    /// Where the record stands: the segment's file in `journal/` or the archive, and the byte in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// When it happened, or began.
    pub at: Stamp,
    /// That, from the run's acceptance on; 0 for what was decided before.
    pub offset_ms: u64,
    /// How long it took; absent: it takes no time, or has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// How long it stood in line before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_ms: Option<u64>,
    /// How much of it passed, from its beginning on, before anybody worked on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Its name in the plan, with the number of the child: `chunks[17]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The layer that acted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// Who acted; `runtime` where it holds the layer's seat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The stack that the agent works in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<u32>,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Set aside for it in the run's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved: Option<AmountsView>,
    /// What it cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent: Option<AmountsView>,
    /// What its kind has besides: digests, rules, keys, fences.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}
