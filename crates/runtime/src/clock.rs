//! The one place that reads the clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ark_os_core::time::Time;

/// Time for the journal and time for waiting, which pass alike: the wall clock is read once, at the
/// start, and from then on the monotonic clock is added. A wall clock that is set while the instance
/// runs neither delays nor hastens a timer.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    begun: Time,
    since: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

impl Clock {
    /// A clock that goes on from the wall clock's present time.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let begun = Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        Clock { begun, since: instant() }
    }

    /// The same clock, set forward if it is behind `earliest`: what a journal has recorded is past,
    /// even if the wall clock was set back between two starts.
    #[must_use]
    pub fn not_before(self, earliest: Time) -> Self {
        let behind = earliest.0.saturating_sub(self.now().0);
        Clock { begun: self.begun.plus(behind), since: self.since }
    }

    /// The present time, in milliseconds since the Unix epoch.
    pub fn now(&self) -> Time {
        self.at(self.instant())
    }

    /// The time at this moment of the monotonic clock.
    pub fn at(&self, instant: Instant) -> Time {
        let passed = instant.saturating_duration_since(self.since);
        self.begun.plus(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX))
    }

    /// The monotonic clock.
    pub fn instant(&self) -> Instant {
        instant()
    }
}

/// The monotonic clock, for those who only measure how long something takes.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn instant() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_behind_the_journal_goes_on_from_the_journals_time() {
        let clock = Clock::new();
        let ahead = clock.now().plus(3_600_000);
        assert!(clock.not_before(ahead).now() >= ahead);
        let behind = clock.not_before(Time(1)).now();
        assert!(behind >= clock.now() || clock.now().since(behind) < Duration::from_secs(60));
    }
}
