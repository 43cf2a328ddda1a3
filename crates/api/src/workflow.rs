//! Workflow versions that were let in, and the ledger's checkpoint.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A workflow version that was let in, with the decisions that did it, or that is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowView {
    /// The admission's number; runs refer to it. 0: it is deployed, and no run of it was let in since the
    /// instance started.
    pub admission: u64,
    /// Whether it is deployed: a run may name it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deployed: bool,
    /// The tenant; empty where none has run it.
    pub namespace: String,
    /// Its name; of a single task the skill.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// SHA-256 of the workflow.
    pub hash: String,
    /// How many tasks the plan has.
    pub tasks: u32,
    /// SHA-256 of the rules that decided; empty where nobody has yet.
    pub rules: String,
    /// One decision a layer, highest first.
    pub decisions: Vec<LayerDecisionView>,
}

/// One layer's decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerDecisionView {
    /// The layer.
    pub layer: String,
    /// Who decided; `runtime` where it holds the layer's seat.
    pub agent: String,
    /// The rules that decided.
    pub rules: Vec<String>,
    /// What they decided on, in short.
    pub inputs: String,
}

/// The newest signed statement about the journal. Keep it outside the machine: `ark-os ledger
/// verify` finds every later change of what it covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckpointView {
    /// The log's name.
    pub origin: String,
    /// How many records it covers.
    pub size: u64,
    /// The Merkle root over them, base64.
    pub root: String,
    /// The signed note (C2SP).
    pub note: String,
}

/// That the journal of one size is a prefix of that of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsistencyView {
    /// Records of the older checkpoint.
    pub from: u64,
    /// Records of the newer checkpoint.
    pub to: u64,
    /// Hashes in the order of RFC 9162, as hex.
    pub path: Vec<String>,
}
