//! Counters and gauges of an instance: plain atomics, telemetry and not evidence.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ark_os_store::Stats;

/// A number that threads add to or set.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// Sets.
    pub fn set(&self, to: u64) {
        self.0.store(to, Ordering::Relaxed);
    }

    /// Reads.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the latency buckets, in microseconds.
pub const LATENCY_BOUNDS_US: [u64; 14] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    1_000_000,
    10_000_000,
    u64::MAX,
];

/// A histogram over [`LATENCY_BOUNDS_US`].
#[derive(Debug, Default)]
pub struct Latency {
    counts: [Number; LATENCY_BOUNDS_US.len()],
    sum_us: Number,
}

impl Latency {
    /// Counts one duration.
    pub fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_US.iter().position(|bound| us <= *bound);
        if let Some(count) = bucket.and_then(|ix| self.counts.get(ix)) {
            count.inc();
        }
        self.sum_us.add(us);
    }

    /// How many in each bucket, not cumulated.
    pub fn counts(&self) -> Vec<u64> {
        self.counts.iter().map(Number::value).collect()
    }

    /// Sum of all, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us.value()
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.counts().iter().sum()
    }
}

/// All numbers of an instance.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Runs accepted.
    pub runs_accepted: Number,
    /// Runs that succeeded.
    pub runs_succeeded: Number,
    /// Runs that failed.
    pub runs_failed: Number,
    /// Runs that were cancelled.
    pub runs_cancelled: Number,
    /// Runs not over.
    pub runs_live: Number,
    /// Of those, runs that wait on disk.
    pub runs_waiting: Number,
    /// Attempts started.
    pub attempts: Number,
    /// Tasks that succeeded.
    pub tasks_succeeded: Number,
    /// Attempts that ended without success.
    pub attempts_failed: Number,
    /// Attempts lost to an agent's death.
    pub attempts_lost: Number,
    /// Results refused.
    pub refused: Number,
    /// Agents restarted or replaced.
    pub agent_restarts: Number,
    /// Threads given up because their attempt hung.
    pub threads_abandoned: Number,
    /// Requests turned away because too many waited.
    pub overloaded: Number,
    /// Tasks that wait for an agent.
    pub tasks_ready: Number,
    /// Progress tokens in use.
    pub tokens_in_use: Number,
    /// Progress tokens in all.
    pub tokens_capacity: Number,
    /// Agents.
    pub agents: Number,
    /// Records appended since the start.
    pub journal_records: Number,
    /// Bytes appended since the start.
    pub journal_bytes: Number,
    /// Batches since the start.
    pub journal_batches: Number,
    /// Checkpoints signed since the start.
    pub journal_checkpoints: Number,
    /// Newest durable record.
    pub journal_synced: Number,
    /// Newest record that the views show.
    pub views_position: Number,
    /// Newest record that a snapshot covers.
    pub snapshot_position: Number,
    /// Bytes of the newest snapshot.
    pub snapshot_bytes: Number,
    /// Snapshots written since the start.
    pub snapshots: Number,
    /// Segments archived since the start.
    pub segments_archived: Number,
    /// What the keeper tried in vain.
    pub keeper_failures: Number,
    /// How long batches took to become durable.
    pub commit: Latency,
    /// How long attempts took.
    pub attempt: Latency,
}

impl Metrics {
    pub(crate) fn committed(&self, stats: &Stats, count: u32, took: Duration) {
        self.journal_records.add(u64::from(count));
        self.journal_bytes.set(stats.bytes);
        self.journal_batches.inc();
        self.journal_checkpoints.set(stats.checkpoints);
        self.commit.observe(took);
    }
}
