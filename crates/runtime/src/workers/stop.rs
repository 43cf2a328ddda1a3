//! How an attempt stands between the loop, which may stop it, and the thread that works on it.
//!
//! INVARIANT: each pair of rivals agrees on who was first, because all of it is one atomic: an
//! attempt is either begun or stopped in line; its outcome is either older than the stop or late;
//! its thread either comes back or is replaced.

use crate::sync::{AtomicU8, Ordering};

const ASKED: u8 = 1;
const BEGUN: u8 = 2;
const DONE: u8 = 4;
const REPLACED: u8 = 8;

/// What the loop tells an attempt, and what its thread has to know.
#[derive(Debug, Default)]
pub(crate) struct Stop(AtomicU8);

/// Where an attempt was when it was told to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Caught {
    /// In line: no thread will begin it.
    InLine,
    /// On a thread.
    AtWork,
    /// Back already: its outcome is on the way.
    Done,
}

impl Stop {
    /// The attempt is over; its result would be refused.
    pub(crate) fn ask(&self) -> Caught {
        match self.0.fetch_or(ASKED, Ordering::AcqRel) {
            before if before & DONE != 0 => Caught::Done,
            before if before & BEGUN != 0 => Caught::AtWork,
            _ => Caught::InLine,
        }
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) & ASKED != 0
    }

    /// A thread takes it up; whether it is still wanted.
    pub(crate) fn begin(&self) -> bool {
        self.0.fetch_or(BEGUN, Ordering::AcqRel) & ASKED == 0
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed) & BEGUN != 0
    }

    /// Its thread is back; whether another has taken the thread's place.
    pub(crate) fn end(&self) -> bool {
        self.0.fetch_or(DONE, Ordering::AcqRel) & REPLACED != 0
    }

    /// Its thread is given up; whether that was needed, because it is not back.
    pub(crate) fn replace(&self) -> bool {
        self.0.fetch_or(REPLACED, Ordering::AcqRel) & DONE == 0
    }
}
