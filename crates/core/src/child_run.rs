//! Child runs: a task that is a run of its own.
//!
//! A change belongs to one run, so the two tell each other by commands. What is still to be told is an
//! [`Errand`] of the state itself: it follows from the journal, survives every crash, and is gone
//! with the event that it leads to, so each is done once.

use minicbor::{Decode, Encode};

use crate::budget::Amounts;
use crate::event::RunEnd;
use crate::hash::Hash;
use crate::ids::RunId;
use crate::payload::Payload;
use crate::time::Time;

/// The run and the task that a run is the child of.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ParentRef {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The task's node.
    #[n(1)]
    pub node: u32,
    /// Runs above it.
    #[n(2)]
    pub depth: u32,
    /// Whether it goes on without its parent, and has been paid for by then.
    #[n(3)]
    pub is_detached: bool,
}

/// The child of a task.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct ChildRun {
    /// Its id.
    #[n(0)]
    pub run: RunId,
    /// Its input, until it is over.
    #[n(1)]
    pub input: Option<Payload>,
    /// Set aside for it in the parent's account, if it is detached.
    #[n(2)]
    pub reserved: Amounts,
    /// How it ended, once its task knows.
    #[n(3)]
    pub ended: Option<RunEnd>,
}

/// What runs still have to tell each other, by the child, or by the run that makes way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
#[cbor(flat)]
pub enum Errand {
    /// It is to begin.
    #[n(0)]
    Start(#[n(0)] RunId),
    /// Its parent is over, and so shall it be; or the next run of its schedule takes its place.
    /// Before `Settle`: what it reserved goes back through its parent, who is forgotten when settled.
    #[n(2)]
    Cancel(#[n(0)] RunId),
    /// It is over, and its parent does not know.
    #[n(1)]
    Settle(#[n(0)] RunId),
    /// Its parent was paused.
    #[n(3)]
    Pause(#[n(0)] RunId),
    /// Its parent goes on.
    #[n(4)]
    Resume(#[n(0)] RunId),
}

impl Errand {
    /// Behind every start, and before all others.
    pub const STARTS_END: Errand = Errand::Start(RunId(u128::MAX));

    /// The child.
    pub fn child(self) -> RunId {
        match self {
            Errand::Start(run)
            | Errand::Settle(run)
            | Errand::Cancel(run)
            | Errand::Pause(run)
            | Errand::Resume(run) => run,
        }
    }
}

/// The id of a task's child: it follows from the task, so that the same is begun once, and sorts by
/// time as all of them do.
pub(crate) fn child_id(parent: RunId, node: u32, generation: u32, now: Time) -> RunId {
    const VERSION: u128 = 0x7 << 76;
    const VARIANT: u128 = 0b10 << 62;
    const RANDOM: u128 = (0xfff << 64) | (u128::MAX >> 66);
    let parts: [&[u8]; 4] =
        [b"child", &parent.to_bytes(), &node.to_le_bytes(), &generation.to_le_bytes()];
    let [low, high] = [0, 1].map(|half| {
        let mut bytes = parts.to_vec();
        let half = [half];
        bytes.push(&half);
        u128::from(Hash::of_parts(&bytes).draw())
    });
    RunId(u128::from(now.0) << 80 | VERSION | VARIANT | ((high << 64 | low) & RANDOM))
}
