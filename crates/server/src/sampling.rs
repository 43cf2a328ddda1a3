//! Numbers of the last minutes: counters are read once a second, so that whoever begins to watch
//! sees at once how it went, and all watchers see the same. What came to pass in each minute is kept longer.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ark_os_api::{MinuteView, Page, RateHistory, RatesView};
use ark_os_core::time::Time;
use ark_os_runtime::clock::instant;
use ark_os_runtime::metrics::{LATENCY_BOUNDS_US, Latency, Metrics};
use tokio::time::MissedTickBehavior;

use crate::context::{Context, stopped};
use crate::prometheus::histogram_of;
use crate::words;

/// Between two samples.
const EVERY: Duration = Duration::from_secs(1);
/// Samples kept: five minutes, about 300 bytes each.
const KEPT_MAX: usize = 301;
/// Samples that numbers per second span.
const WINDOW: usize = 10;

/// What is kept longer than the samples themselves spans this.
const MINUTE: Duration = Duration::from_secs(60);

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

/// The samples of the last minutes, oldest first, and what came to pass in the minutes before.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    newest: Mutex<VecDeque<Sample>>,
    minutes: Mutex<Minutes>,
}

/// Minutes that are over, oldest first.
#[derive(Debug, Default)]
struct Minutes {
    /// How it was when the one under way began.
    from: Option<Sample>,
    over: VecDeque<MinuteView>,
}

impl Minutes {
    /// Ends the minute under way if it is over by now, and forgets those that were kept long enough.
    fn add(&mut self, now: &Sample, at: Time, retention: Duration) {
        let from = *self.from.get_or_insert(*now);
        let lasted = now.at.saturating_duration_since(from.at);
        if lasted < MINUTE {
            return;
        }
        let (attempt, commit) = (now.attempt.since(&from.attempt), now.commit.since(&from.commit));
        let count = |of: fn(&Sample) -> u64| of(now).saturating_sub(of(&from));
        self.over.push_back(MinuteView {
            at: words::stamp(at),
            duration_ms: u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
            accepted: count(|it| it.accepted),
            runs: count(|it| it.runs),
            tasks: count(|it| it.tasks),
            failures: count(|it| it.failures),
            records: count(|it| it.records),
            attempt_p50_us: attempt.p50_us,
            attempt_p99_us: attempt.p99_us,
            commit_p99_us: commit.p99_us,
        });
        self.from = Some(*now);
        let retention_ms = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
        let first = at.0.saturating_sub(retention_ms);
        while self.over.front().is_some_and(|minute| minute.at.0 < first) {
            self.over.pop_front();
        }
    }
}

impl Samples {
    /// Takes a sample every second until the server stops.
    pub(crate) async fn gather(context: Context) {
        let mut stopping = context.stopping();
        let retention = context.settings().metrics_retention;
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let sample = Sample::take(context.handle().metrics(), instant());
                    context.samples().minutes().add(&sample, context.clock().now(), retention);
                    context.samples().add(sample);
                }
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
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn minutes(&self) -> MutexGuard<'_, Minutes> {
        self.minutes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The minutes that ended after a moment, oldest first.
    pub(crate) fn history(&self, after_ms: u64, limit: usize) -> Page<MinuteView> {
        let minutes = self.minutes();
        let begin = minutes.over.partition_point(|minute| minute.at.0 <= after_ms);
        let items: Vec<_> = minutes.over.iter().skip(begin).take(limit).copied().collect();
        let goes_on = begin + items.len() < minutes.over.len();
        let next = items.last().filter(|_| goes_on).map(|minute| minute.at.0.to_string());
        Page { items, next }
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
    fn minutes_are_kept_as_long_as_they_are_to_be() {
        let metrics = Metrics::default();
        let (begun, samples) = (instant(), Samples::default());
        let hour = Duration::from_secs(3_600);
        for second in 0..=7_200u32 {
            let sample = Sample::take(&metrics, begun + EVERY * second);
            samples.minutes().add(&sample, Time(u64::from(second) * 1_000), hour);
            metrics.tasks_succeeded.add(1);
        }
        let all = samples.history(0, 500);
        // The newest, and those that ended in the hour before it.
        assert_eq!((all.items.len(), all.next), (61, None));
        assert!(all.items.iter().all(|it| (it.tasks, it.duration_ms) == (60, 60_000)));
        let page = samples.history(0, 10);
        assert_eq!(page.next.as_deref(), Some("4140000"));
        let next = samples.history(4_140_000, 1);
        assert_eq!((next.items[0], next.next.as_deref()), (all.items[10], Some("4200000")));
    }

    #[test]
    fn without_a_sample_there_are_no_rates() {
        let metrics = Metrics::default();
        assert_eq!(Samples::default().rates(&metrics), RatesView::default());
    }
}
