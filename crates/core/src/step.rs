//! Steps: recorded effects inside an attempt, and the keys that make them repeatable.

use minicbor::{Decode, Encode};

use crate::budget::Amounts;
use crate::error::Failure;
use crate::hash::Hash;
use crate::ids::{Fence, RunId, TaskRef};
use crate::payload::Payload;
use crate::plan::EffectClass;
use crate::text::Text;

/// `SHA-256(run, task, generation, step number, tool, canonical arguments)`: fixed in the intent
/// and reused by every retry of it. As text 64 hex digits.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode, serde::Serialize,
)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct StepKey(#[n(0)] pub Hash);

/// What a step key is made of.
#[derive(Clone, Copy, Debug)]
pub struct StepName<'a> {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskRef,
    /// Raised by retry-from-task only.
    pub generation: u32,
    /// From 0, in the order of the attempt's calls.
    pub number: u32,
    /// What is called.
    pub tool: &'a str,
    /// Digest of the canonical arguments.
    pub arguments: Hash,
}

impl StepName<'_> {
    /// The key.
    pub fn key(&self) -> StepKey {
        let child = self.task.child.map_or(u64::MAX, u64::from);
        StepKey(Hash::of_parts(&[
            &self.run.to_bytes(),
            &self.task.node.to_le_bytes(),
            &child.to_le_bytes(),
            &self.generation.to_le_bytes(),
            &self.number.to_le_bytes(),
            self.tool.as_bytes(),
            &self.arguments.0,
        ]))
    }
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum StepOutcome {
    /// It was done, with this result.
    #[n(0)]
    Done(#[n(0)] Payload),
    /// It was not done.
    #[n(1)]
    Failed(#[n(0)] Failure),
}

/// What a probe found out about a step that an earlier attempt left open.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Finding {
    /// It happened, with this result.
    #[n(0)]
    Happened(#[n(0)] Payload),
    /// It did not, and will not any more.
    #[n(1)]
    NotHappened,
    /// Whoever was asked cannot tell.
    #[n(2)]
    Unknown,
}

/// The failure of a step that somebody gave up finding out about: it may have happened.
pub const GIVEN_UP: &str = "given_up";

/// A step as the state keeps it while its task lives.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Step {
    /// Its key.
    #[n(0)]
    pub key: StepKey,
    /// Its number.
    #[n(1)]
    pub number: u32,
    /// What is called.
    #[n(2)]
    pub tool: Text,
    /// Digest of the canonical arguments.
    #[n(3)]
    pub arguments: Hash,
    /// What recovery may do.
    #[n(4)]
    pub class: EffectClass,
    /// The fence of the latest try.
    #[n(5)]
    pub fence: Fence,
    /// Reserved for it until it is settled.
    #[n(6)]
    pub reserved: Amounts,
    /// How it stands.
    #[n(7)]
    pub standing: StepStanding,
}

/// How a step stands.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum StepStanding {
    /// Intended, perhaps under way.
    #[n(0)]
    Open,
    /// Nobody knows whether it happened.
    #[n(1)]
    InDoubt,
    /// Over.
    #[n(2)]
    Settled(#[n(0)] StepOutcome),
}

impl Step {
    /// Whether another attempt may try it again under its key: it was not done, and may be.
    pub fn may_be_retried(&self) -> bool {
        matches!(&self.standing, StepStanding::Settled(StepOutcome::Failed(it)) if it.retryable)
    }

    /// Whether it was done. None: nobody knows, now or for ever.
    pub fn happened(&self) -> Option<bool> {
        match &self.standing {
            StepStanding::Settled(StepOutcome::Done(_)) => Some(true),
            StepStanding::Settled(StepOutcome::Failed(it)) if &*it.code != GIVEN_UP => Some(false),
            StepStanding::Settled(StepOutcome::Failed(_))
            | StepStanding::Open
            | StepStanding::InDoubt => None,
        }
    }

    /// Whether it has to be asked about before it is tried under this fence: an earlier attempt
    /// left it open.
    pub fn is_to_be_probed(&self, fence: Fence) -> bool {
        self.class == EffectClass::Probed
            && self.standing == StepStanding::Open
            && self.fence != fence
    }

    /// Digest of the recorded result, for stall detection and the effects root.
    pub fn result(&self) -> Hash {
        match &self.standing {
            StepStanding::Settled(StepOutcome::Done(payload)) => payload.hash(),
            StepStanding::Settled(StepOutcome::Failed(failure)) => {
                Hash::of_parts(&[b"failed", failure.code.as_bytes()])
            }
            StepStanding::Open | StepStanding::InDoubt => Hash::ZERO,
        }
    }
}

/// Root over an attempt's steps: the digest of every key and result, in order.
pub fn effects_root(steps: &[Step]) -> Option<Hash> {
    if steps.is_empty() {
        return None;
    }
    let mut parts = Vec::with_capacity(steps.len() * 64);
    for step in steps {
        parts.extend_from_slice(&step.key.0.0);
        parts.extend_from_slice(&step.result().0);
    }
    Some(Hash::of(&parts))
}
