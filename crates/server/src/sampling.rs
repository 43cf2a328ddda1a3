//! Numbers of the last minutes: counters are read once a second, so that whoever begins to watch
//! sees at once how it went, and all watchers see the same.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ark_os_api::{RateHistory, RatesView};
use ark_os_runtime::clock::instant;
use ark_os_runtime::metrics::{LATENCY_BOUNDS_US, Latency, Metrics};
use tokio::time::MissedTickBehavior;

use crate::context::{Context, stopped};
use crate::prometheus::histogram_of;

/// Between two samples.
const EVERY: Duration = Duration::from_secs(1);
/// Samples kept: five minutes, about 300 bytes each.
const KEPT_MAX: usize = 301;
/// Samples that numbers per second span.
const WINDOW: usize = 10;

const BUCKETS: usize = LATENCY_BOUNDS_US.len();

/// The counters at a moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    tasks: u64,
    failures: u64,
    accepted: u64,
    runs: u64,
    records: u64,
    attempt: Counted,
    commit: Counted,
}

/// A histogram at a moment.
#[derive(Clone, Copy, Debug)]
struct Counted {
    counts: [u64; BUCKETS],
    sum_us: u64,
}

impl Counted {
    fn of(latency: &Latency) -> Self {
        let mut counts = [0; BUCKETS];
        for (slot, count) in counts.iter_mut().zip(latency.counts()) {
            *slot = count;
        }
        Counted { counts, sum_us: latency.sum_us() }
    }

    /// What came since another moment.
    fn since(&self, before: &Counted) -> ark_os_api::HistogramView {
        let mut counts = self.counts;
        for (count, before) in counts.iter_mut().zip(before.counts) {
            *count = count.saturating_sub(before);
        }
        histogram_of(&counts, self.sum_us.saturating_sub(before.sum_us))
    }
}

impl Sample {
    fn take(metrics: &Metrics, at: Instant) -> Self {
        let ended = [&metrics.runs_succeeded, &metrics.runs_failed, &metrics.runs_cancelled];
        Sample {
            at,
            tasks: metrics.tasks_succeeded.value(),
            failures: metrics.attempts_failed.value(),
            accepted: metrics.runs_accepted.value(),
            runs: ended.iter().map(|it| it.value()).sum(),
            records: metrics.journal_records.value(),
            attempt: Counted::of(&metrics.attempt),
            commit: Counted::of(&metrics.commit),
        }
    }
}

/// The samples of the last minutes, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Samples(Mutex<VecDeque<Sample>>);

impl Samples {
    /// Takes a sample every second until the server stops.
    pub(crate) async fn gather(context: Context) {
        let mut stopping = context.stopping();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = ticks.tick() => context.samples().add(Sample::take(context.handle().metrics(), instant())),
                () = stopped(&mut stopping) => return,
            }
        }
    }

    fn add(&self, sample: Sample) {
        let mut samples = self.lock();
        samples.push_back(sample);
        while samples.len() > KEPT_MAX {
            samples.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rates up to now; without totals.
    pub(crate) fn rates(&self, metrics: &Metrics) -> RatesView {
        let samples = self.lock();
        rates(&samples, &Sample::take(metrics, instant()))
    }
}

fn rates(samples: &VecDeque<Sample>, now: &Sample) -> RatesView {
    let Some(oldest) = samples.front() else { return RatesView::default() };
    let from = samples.iter().rev().nth(WINDOW - 1).unwrap_or(oldest);
    let window_ms = now.at.saturating_duration_since(from.at).as_millis().max(1) as u64;
    let rate = |of: fn(&Sample) -> u64| {
        let per_ms = of(now).saturating_sub(of(from)) as f64 / window_ms as f64;
        // A tenth is as much as anybody reads.
        (per_ms * 10_000.0).round() / 10.0
    };
    RatesView {
        window_ms,
        tasks_per_s: rate(|it| it.tasks),
        failures_per_s: rate(|it| it.failures),
        accepted_per_s: rate(|it| it.accepted),
        runs_per_s: rate(|it| it.runs),
        records_per_s: rate(|it| it.records),
        attempt: now.attempt.since(&oldest.attempt),
        commit: now.commit.since(&oldest.commit),
        history: RateHistory {
            tasks: series(samples, |it| it.tasks),
            failures: series(samples, |it| it.failures),
            runs: series(samples, |it| it.runs),
        },
        ..RatesView::default()
    }
}

/// Per second from sample to sample; a sample that came late speaks for the time that it took.
fn series(samples: &VecDeque<Sample>, of: fn(&Sample) -> u64) -> Vec<u64> {
    let pairs = samples.iter().zip(samples.iter().skip(1));
    pairs
        .map(|(before, after)| {
            let ms = after.at.saturating_duration_since(before.at).as_millis().max(1) as u64;
            of(after).saturating_sub(of(before)).saturating_mul(1_000).div_ceil(ms)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_span_the_window_and_histories_all_that_is_kept() {
        let metrics = Metrics::default();
        let begun = instant();
        let at = |second: u64| begun + EVERY * u32::try_from(second).unwrap();
        let samples = Samples::default();
        for second in 0..20 {
            samples.add(Sample::take(&metrics, at(second)));
            metrics.tasks_succeeded.add(second);
            metrics.attempt.observe(Duration::from_millis(2));
        }
        let told = rates(&samples.lock(), &Sample::take(&metrics, at(20)));
        // The ten seconds from 10 to 20 saw 10 + … + 19.
        assert_eq!((told.window_ms, told.tasks_per_s), (10_000, 14.5));
        assert_eq!(told.history.tasks, (0..19).collect::<Vec<_>>());
        assert_eq!((told.attempt.count, told.attempt.p99_us), (20, Some(2_500)));
        for second in 20..400 {
            samples.add(Sample::take(&metrics, at(second)));
        }
        assert_eq!(samples.lock().len(), KEPT_MAX);
    }

    #[test]
    fn without_a_sample_there_are_no_rates() {
        let metrics = Metrics::default();
        assert_eq!(Samples::default().rates(&metrics), RatesView::default());
    }
}
