//! Timers of the core: an ordered set of moments at which something is due.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use crate::ids::{AgentIx, Fence, RunId, TaskRef};
use crate::supervision::Concern;
use crate::time::Time;

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
#[cbor(flat)]
pub enum Timer {
    /// An attempt's lease or time is up.
    #[n(0)]
    Attempt(#[n(0)] RunId, #[n(1)] TaskRef, #[n(2)] Fence),
    /// A task may be tried again.
    #[n(1)]
    Retry(#[n(0)] RunId, #[n(1)] TaskRef),
    /// A task must be over.
    #[n(2)]
    TaskDeadline(#[n(0)] RunId, #[n(1)] u32),
    /// A run must be over.
    #[n(3)]
    RunDeadline(#[n(0)] RunId),
    /// A failed agent is back.
    #[n(4)]
    AgentBack(#[n(0)] AgentIx),
    /// A deployment's agents must be healthy.
    #[n(60)]
    Deployment(#[n(0)] u64),
    /// A beginning under a limit is a period ago.
    #[n(80)]
    Limit(#[n(0)] u64),
    /// A failure is told to who supervises.
    #[n(110)]
    Tell(#[n(0)] Concern),
    /// Something is due about an escalation.
    #[n(111)]
    Escalation(#[n(0)] u64),
    /// A measure ends.
    #[n(114)]
    Measure(#[n(0)] u64),
}

/// All timers, earliest first.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
#[cbor(transparent)]
pub struct Timers {
    #[n(0)]
    due: BTreeSet<(Time, Timer)>,
}

impl Timers {
    /// Adds a timer; [`Time::NEVER`] adds none.
    pub fn set(&mut self, at: Time, timer: Timer) {
        if at != Time::NEVER {
            self.due.insert((at, timer));
        }
    }

    /// Takes a timer away.
    pub fn clear(&mut self, at: Time, timer: Timer) {
        self.due.remove(&(at, timer));
    }

    /// Whether this timer is set.
    pub fn has(&self, at: Time, timer: Timer) -> bool {
        self.due.contains(&(at, timer))
    }

    /// The earliest timer.
    pub fn first(&self) -> Option<(Time, Timer)> {
        self.due.first().copied()
    }

    /// All of them, earliest first.
    pub fn iter(&self) -> impl Iterator<Item = (Time, Timer)> + '_ {
        self.due.iter().copied()
    }

    /// Forgets all.
    pub fn clear_all(&mut self) {
        self.due.clear();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}
