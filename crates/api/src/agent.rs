//! Agents as callers see them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An agent of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "micro-00042", "layer": "micro", "supervisor": "stack-chief-00003", "stack": 3,
    "standing": "ready", "busy": 0, "concurrency": 4, "strikes": 0, "restarts": 0,
    "incarnation": 0, "resources": {"cpu_millicores": 250, "memory_mb": 250, "disk_mb": 500,
    "network_mbps": 5}
}))]
pub struct AgentView {
    /// Its name.
    pub id: String,
    /// `cecca`, `board`, `executive`, `stack-chief`, `specialist` or `micro`.
    pub layer: String,
    /// Who supervises it; absent: nobody, or the runtime holds the seat above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<String>,
    /// The stack that it leads or works in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<u32>,
    /// Its declared group; absent: it is of the built-in profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `ready`, `restarting`, `replaced`, `offline`, `starting`, `draining`, `retired`, `suspect` or
    /// `quarantined`.
    pub standing: String,
    /// Why it does not stand ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Attempts under way.
    pub busy: u32,
    /// Attempts that it may have under way.
    pub concurrency: u32,
    /// Refused work since it was last restarted.
    pub strikes: u32,
    /// Restarts in a row.
    pub restarts: u32,
    /// How many agents have sat in its seat before.
    pub incarnation: u32,
    /// Its row of the layer's resources.
    pub resources: Resources,
}

/// Weights for shares at admission and upper limits of sandboxed processes; not reservations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resources {
    /// Thousandths of a processor core.
    pub cpu_millicores: u32,
    /// Memory in megabytes.
    pub memory_mb: u32,
    /// Disk in megabytes.
    pub disk_mb: u32,
    /// Network in megabits per second.
    pub network_mbps: u32,
}
