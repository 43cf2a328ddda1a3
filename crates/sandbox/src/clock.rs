//! The one place of this crate that reads a clock: how long a job runs is a fact, not a decision.

use std::time::{Duration, Instant};

/// Since when something runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    start: Instant,
}

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "the sanctioned place")]
    pub(crate) fn start() -> Self {
        Watch { start: Instant::now() }
    }

    /// How long it has run.
    #[expect(clippy::disallowed_methods, reason = "the sanctioned place")]
    pub(crate) fn so_far(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The wall clock, in whole seconds: what the times of files are compared with.
pub(crate) fn wall_seconds() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse).tv_sec
}
