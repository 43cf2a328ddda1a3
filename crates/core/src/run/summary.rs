//! What is told about a run to whoever asks.

use super::{Counts, Run, RunState};
use crate::budget::Account;
use crate::error::Failure;
use crate::event::RunOrigin;
use crate::hash::Hash;
use crate::ids::RunId;
use crate::layer::Layer;
use crate::payload::Payload;
use crate::priority::Priority;
use crate::text::Text;
use crate::time::Time;

/// What is told about a run to whoever asks.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    /// Its id.
    pub id: RunId,
    /// The tenant.
    pub namespace: Text,
    /// Name of its workflow.
    pub workflow: Text,
    /// Version of its workflow, the author's.
    pub version: Text,
    /// Digest of its workflow.
    pub workflow_hash: Hash,
    /// Where it stands.
    pub state: RunState,
    /// The layer whose step it waits for.
    pub waits_for: Option<Layer>,
    /// The signals that its tasks wait for.
    pub awaited: Vec<Text>,
    /// The run whose child it is.
    pub parent: Option<RunId>,
    /// How it came to be, where nobody submitted it; none also of one that waits on disk.
    pub origin: Option<Box<RunOrigin>>,
    /// How urgent it is.
    pub priority: Priority,
    /// When it was accepted.
    pub accepted: Time,
    /// When it was over.
    pub ended: Option<Time>,
    /// When it must be over.
    pub deadline: Option<Time>,
    /// When it begins, where it waits on disk for that.
    pub start_at: Option<Time>,
    /// Its tasks by state.
    pub counts: Counts,
    /// Its account; none: it waits on disk.
    pub account: Option<Account>,
    /// Head of its chain of proofs.
    pub proof: Hash,
    /// Its output.
    pub output: Option<Payload>,
    /// Why it failed or was cancelled.
    pub failure: Option<Failure>,
}

impl Run {
    /// What is told about it to whoever asks.
    pub fn summary(&self) -> RunSummary {
        RunSummary {
            id: self.id,
            namespace: self.namespace.clone(),
            workflow: self.workflow.name.clone(),
            version: self.workflow.version.clone(),
            workflow_hash: self.workflow.hash,
            state: self.state(),
            waits_for: self.waits_for,
            awaited: if self.is_over() { Vec::new() } else { self.awaited() },
            parent: self.parent.as_ref().map(|parent| parent.run),
            origin: self.origin.clone(),
            priority: self.priority,
            accepted: self.accepted,
            ended: self.ended,
            deadline: self.deadline,
            start_at: None,
            counts: self.counts,
            // What a run that waits on disk may use up stands in its record.
            account: (!self.is_sketch()).then_some(self.account),
            proof: self.proof,
            output: self.output.clone(),
            failure: self.failure.clone(),
        }
    }
}
