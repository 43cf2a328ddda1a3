//! The fleet as callers see it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The fleet: how many agents of each layer stand how, its stacks, its declared groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetView {
    /// Agents that the built-in profile is to have; `scale` sets it.
    pub agents: u32,
    /// The most it can be scaled to.
    pub agents_max: u32,
    /// Agents that are here, declared ones and those that leave included.
    pub present: u32,
    /// Attempts under way.
    pub busy: u32,
    /// Version of what is deployed; 0: nothing.
    pub deployment: u64,
    /// Version of the deployment under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deploying: Option<u64>,
    /// Its layers, highest first.
    pub layers: Vec<LayerView>,
    /// Its stacks, with their pools of progress tokens.
    pub stacks: Vec<StackView>,
    /// Its declared groups.
    pub groups: Vec<GroupView>,
}

/// A layer of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerView {
    /// `cecca`, `board`, `executive`, `stack-chief`, `specialist` or `micro`.
    pub layer: String,
    /// Whether the runtime holds its seat, for want of agents.
    pub held: bool,
    /// Agents that are here.
    pub agents: u32,
    /// Attempts under way.
    pub busy: u32,
    /// How many stand how: `ready`, `restarting`, `draining`…
    pub standings: BTreeMap<String, u32>,
}

/// A stack of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StackView {
    /// Its number.
    pub stack: u32,
    /// Who leads it; absent: the runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Progress tokens of its pool.
    pub capacity: u32,
    /// Those that are drawn.
    pub in_use: u32,
}

/// A declared group of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupView {
    /// Its name: its agent's own if it has one, else what `name-00000` begins with.
    pub name: String,
    /// Its layer.
    pub layer: String,
    /// Agents that were declared.
    pub count: u32,
    /// Who was declared to supervise them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<String>,
    /// The skills that they offer.
    pub skills: Vec<String>,
    /// Tasks of one agent at one time.
    pub concurrency: u32,
    /// `starting`, `live` or, while its agents finish what they have, `leaving`.
    pub standing: String,
    /// Attempts under way.
    pub busy: u32,
    /// How many stand how.
    pub standings: BTreeMap<String, u32>,
}

/// Another size for the built-in profile.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"agents": 200, "reason": "month's end"}))]
pub struct Scale {
    /// Agents that it is to have.
    pub agents: u32,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
