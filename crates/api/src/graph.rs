//! The plan of a run as a graph, with how each task stands.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Stamp;

/// A plan, or a run of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphView {
    /// The run; absent: a plan that nobody asked to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Where the run stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Name of the workflow; of a single task the skill.
    pub workflow: String,
    /// The author's version.
    pub version: String,
    /// SHA-256 of the workflow.
    pub hash: String,
    /// From the run's acceptance to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The tasks, in the order of the plan.
    pub nodes: Vec<GraphNode>,
    /// What waits for what.
    pub edges: Vec<GraphEdge>,
    /// Names of the tasks on the critical path, first to last: by the time they took where any of
    /// them took some, else the longest chain.
    pub critical_path: Vec<String>,
    /// The time that the critical path took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_ms: Option<u64>,
}

/// One task of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphNode {
    /// Its name in the plan.
    pub name: String,
    /// The skill that it needs; empty where nobody works on it.
    pub skill: String,
    /// Of a task that nobody works on: what it waits for, such as `signal approved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// `task`, `map`, `reduce`, `wait` or `run`.
    pub shape: String,
    /// How many tasks stand before it at least: 0 for those that wait for nothing.
    pub level: u32,
    /// Of a run: where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// When it first stood in line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<Stamp>,
    /// From there to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Counted attempts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// The condition under which it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The task whose output brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_by: Option<String>,
    /// The task in whose place it runs when that one fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_for: Option<String>,
    /// `fail`, `continue` or `fallback`.
    pub on_failure: String,
    /// Of an expanded map: its children.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children: Option<MapCounts>,
    /// Of a task that is a run of its own: that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child: Option<String>,
    /// Whether it is on the critical path.
    pub critical: bool,
}

/// The children of a map by how they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MapCounts {
    /// All.
    pub total: u32,
    /// Done.
    pub succeeded: u32,
    /// Failed for good.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u32,
    /// Worked on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub running: u32,
}

/// One task waits for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphEdge {
    /// The task that is waited for.
    pub from: String,
    /// The task that waits.
    pub to: String,
    /// `needs`, or `fallback`: `to` runs if `from` fails.
    pub kind: String,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}
