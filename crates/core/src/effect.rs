//! Effects: what the loop has to do because of an event.

use std::sync::Arc;

use crate::ids::{AgentIx, PtId, RunId, SkillIx};
use crate::layer::Layer;
use crate::plan::EffectClass;
use crate::run::RunSummary;

/// What to do. Internal effects run at once; external ones when the record that contains their
/// cause is durable.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Start an attempt.
    RunAttempt {
        /// Its token.
        pt: PtId,
        /// Who works.
        agent: AgentIx,
        /// The skill.
        skill: SkillIx,
        /// From 1.
        attempt: u32,
        /// Internal if `pure`.
        class: EffectClass,
    },
    /// Tell an attempt to stop; its result would be refused.
    StopAttempt {
        /// Its token.
        pt: PtId,
    },
    /// Evaluate a node's condition or list.
    Prepare {
        /// The run.
        run: RunId,
        /// The node.
        node: u32,
        /// Echoed in the answer.
        generation: u32,
    },
    /// Put the run's output together.
    Gather {
        /// The run.
        run: RunId,
        /// Echoed in the answer.
        generation: u32,
    },
    /// Read the records of runs that wait on disk, and load them.
    FetchRuns {
        /// Each with the record that accepted it.
        runs: Vec<(RunId, u64)>,
    },
    /// Set up a deployment's new agents of a layer and see whether they are healthy; none: it has
    /// none.
    CheckHealth {
        /// The deployment.
        version: u64,
        /// Echoed in the answer.
        layer: Option<Layer>,
    },
    /// A deployment is over: what was set up for it is used from now on, or thrown away.
    EndDeployment {
        /// The deployment.
        version: u64,
        /// Whether it took place.
        finished: bool,
    },
    /// Tell who waits that the run is over, or that nothing more happens by itself.
    AnnounceRun {
        /// How it stands.
        summary: Arc<RunSummary>,
    },
}

impl Effect {
    /// Whether it may start before its cause is durable: it can be recomputed and nobody outside
    /// sees it.
    pub fn is_internal(&self) -> bool {
        match self {
            Effect::RunAttempt { class, .. } => *class == EffectClass::Pure,
            // Before any attempt of its new agents: those come later in the same order.
            Effect::EndDeployment { .. }
            | Effect::StopAttempt { .. }
            | Effect::Prepare { .. }
            | Effect::Gather { .. } => true,
            Effect::CheckHealth { .. } | Effect::FetchRuns { .. } | Effect::AnnounceRun { .. } => {
                false
            }
        }
    }
}
