//! What happens to tasks, their attempts and steps.

use minicbor::{Decode, Encode};

use crate::budget::Amounts;
use crate::error::Failure;
use crate::fleet::Place;
use crate::hash::Hash;
use crate::ids::{AgentIx, Fence, TaskRef};
use crate::payload::Payload;
use crate::plan::EffectClass;
use crate::step::StepKey;
use crate::text::Text;
use crate::time::Time;

/// A progress token was drawn.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct AttemptStarted {
    /// The task.
    #[n(0)]
    pub task: TaskRef,
    /// From 1; attempts lost to an agent's death do not count.
    #[n(1)]
    pub attempt: u32,
    /// Who works.
    #[n(2)]
    pub agent: AgentIx,
    /// The fence it works under.
    #[n(3)]
    pub fence: Fence,
    /// What it may do to the world: more than `pure` makes this record its intent.
    #[n(4)]
    pub class: EffectClass,
    /// Reserved in the run's account.
    #[n(5)]
    pub reserved: Option<Amounts>,
    /// Where the agent stands, where that does not follow from the make-up at the start.
    #[n(60)]
    pub place: Option<Box<Place>>,
    /// Until when its limit held the task up, where it did.
    #[n(80)]
    pub held_until: Option<Time>,
}

/// How an attempt ended without success, and what follows.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct AttemptEnded {
    /// The task.
    #[n(0)]
    pub task: TaskRef,
    /// The fence it worked under.
    #[n(1)]
    pub fence: Fence,
    /// How.
    #[n(2)]
    pub end: AttemptEnd,
    /// Why.
    #[n(3)]
    pub failure: Failure,
    /// When the task stands in line again; none: not by itself.
    #[n(4)]
    pub retry_at: Option<Time>,
    /// What it used.
    #[n(5)]
    pub spent: Amounts,
}

/// How an attempt ended without success.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// The agent said so.
    #[n(0)]
    Failed,
    /// The agent died, hung or let its lease run out; counted apart.
    #[n(1)]
    Lost,
    /// It took too long.
    #[n(2)]
    TimedOut,
    /// Its result was not accepted.
    #[n(3)]
    Refused,
    /// The engine restarted, or it was never begun; not counted.
    #[n(4)]
    Interrupted,
}

/// A task's proof of progress, as the host checked it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct TaskSucceeded {
    /// The task.
    #[n(0)]
    pub task: TaskRef,
    /// The fence of the token.
    #[n(1)]
    pub fence: Fence,
    /// Its output.
    #[n(2)]
    pub output: Payload,
    /// SHA-256 of the input that it worked on.
    #[n(3)]
    pub input: Hash,
    /// Root over the steps that the host recorded; none: no steps.
    #[n(4)]
    pub effects: Option<Hash>,
    /// What it used.
    #[n(5)]
    pub spent: Amounts,
    /// How long it worked, in microseconds, by the host's clock.
    #[n(6)]
    pub micros: u64,
    /// Blobs that the output names.
    #[n(7)]
    pub blobs: Option<Vec<Hash>>,
}

/// Why a task will not run.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipCause {
    /// Its condition was false.
    #[n(0)]
    Condition,
    /// This node failed.
    #[n(1)]
    Failed(#[n(0)] u32),
    /// The task it stands by for succeeded.
    #[n(2)]
    NotNeeded,
    /// The run ended before.
    #[n(3)]
    RunEnded,
}

/// Why a task is parked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum ParkReason {
    /// No progress.
    #[n(0)]
    Stalled,
    /// An effect may or may not have happened.
    #[n(1)]
    InDoubt,
    /// It killed too many agents.
    #[n(2)]
    Poison,
}

/// An external effect about to be tried.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct StepIntended {
    /// The task.
    #[n(0)]
    pub task: TaskRef,
    /// The key that a sink can honour.
    #[n(1)]
    pub key: StepKey,
    /// Its number in the task's generation, from 0.
    #[n(2)]
    pub number: u32,
    /// What is called.
    #[n(3)]
    pub tool: Text,
    /// Digest of the canonical arguments.
    #[n(4)]
    pub arguments: Hash,
    /// What recovery may do.
    #[n(5)]
    pub class: EffectClass,
    /// Reserved in the run's account.
    #[n(6)]
    pub reserved: Amounts,
    /// The fence it is tried under.
    #[n(7)]
    pub fence: Fence,
}

/// What a person says about a step in doubt.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Resolution {
    /// It happened, with this result.
    #[n(0)]
    Happened(#[n(0)] Payload),
    /// It did not: it may be tried again.
    #[n(1)]
    NotHappened,
    /// Nobody can tell: the task fails.
    #[n(2)]
    GiveUp,
}
