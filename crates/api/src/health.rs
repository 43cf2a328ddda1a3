//! Health: bare for probes, in full for those who may ask.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Stamp;

/// What a probe is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bare {
    /// `ok`.
    pub status: String,
}

/// How the instance is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`, `degraded` (a layer is empty, its step waits; or work of agents cannot be had), `frozen` (an
    /// emergency measure keeps new runs out) or `draining`.
    pub status: String,
    /// Version of the program.
    pub version: String,
    /// `autonomous`, `supervised` or `interactive`.
    pub mode: String,
    /// Size of the fleet.
    pub agents: u32,
    /// The highest layer that has nobody to do its step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_layer: Option<String>,
    /// Runs that are not over.
    pub runs_live: u64,
    /// Starts of an instance on this journal.
    pub epoch: u64,
    /// Newest durable record.
    pub journal: u64,
    /// How far the views are behind.
    pub views: Lag,
    /// Work of agents that could not be had at the newest look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unhealthy: Vec<UnhealthyView>,
}

/// Work of agents that cannot be had: their program is not there, or nobody accepts a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnhealthyView {
    /// The declared agent or group of agents; absent: every agent offers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The skill.
    pub skill: String,
    /// Why.
    pub why: String,
    /// The look that found it first.
    pub since: Stamp,
}

/// How far the views are behind the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lag {
    /// Newest record that they show.
    pub position: u64,
    /// Durable records that they do not show yet.
    pub behind: u64,
}
