//! The summary of a bundle: what its records say in sum. It is derived from them by whoever writes and whoever
//! verifies, and must be the same to the byte.

use serde::Serialize;

/// What the records say in sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Records of the run.
    pub records: u64,
    /// Records that it refers to: starts of instances, admissions that stand in other runs' records.
    pub others: u64,
    /// The workflow.
    pub workflow: WorkflowLine,
    /// When the run was accepted, in milliseconds since 1970.
    pub accepted_ms: u64,
    /// SHA-256 of its input.
    pub input: String,
    /// How it ended.
    pub ended: Ended,
    /// Proofs of progress.
    pub proofs: u64,
    /// The newest of them, which names them all.
    pub head: String,
    /// Where the run was forked from; absent: it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forked: Option<ForkedLine>,
    /// Who let the workflow in.
    pub admissions: Vec<Admission>,
    /// Who worked, by name and stack.
    pub agents: Vec<AgentLine>,
}

/// Where a run was forked from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForkedLine {
    /// The other run.
    pub run: String,
    /// The newest record of it that was looked at.
    pub at: u64,
}

/// A workflow version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkflowLine {
    /// Its name.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// SHA-256 of the plan.
    pub digest: String,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// When, in milliseconds since 1970.
    pub ms: u64,
    /// SHA-256 of the run's output; none: that of the plan's only sink, or none.
    pub output: Option<String>,
    /// Whether the record of the end names the newest proof, so that none is left out.
    pub seals: bool,
}

/// One admission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Admission {
    /// Its number.
    pub id: u64,
    /// The record that it stands in.
    pub record: u64,
    /// Digest of the rules that decided.
    pub rules: String,
    /// Who decided, highest layer first.
    pub decisions: Vec<Decision>,
}

/// One layer's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The layer.
    pub layer: &'static str,
    /// Who decided; `runtime` where it holds the seat.
    pub agent: String,
}

/// An agent that worked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentLine {
    /// Its name.
    pub name: String,
    /// Its layer.
    pub layer: &'static str,
    /// The number of its stack.
    pub stack: u32,
    /// Attempts that it began.
    pub attempts: u64,
}
