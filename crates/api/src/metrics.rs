//! Metrics as JSON; the same numbers are at `/metrics` as Prometheus text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Stamp;

/// Counters, gauges and histograms by name. Telemetry, not evidence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetricsView {
    /// Numbers that only grow while the instance lives.
    pub counters: BTreeMap<String, u64>,
    /// Numbers that go up and down.
    pub gauges: BTreeMap<String, u64>,
    /// How long things took.
    pub histograms: BTreeMap<String, HistogramView>,
}

/// What came to pass in one minute. Telemetry, not evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MinuteView {
    /// Its end.
    pub at: Stamp,
    /// How long it was, in milliseconds: a machine that was busy or slept makes it longer.
    pub duration_ms: u64,
    /// Runs accepted.
    pub accepted: u64,
    /// Runs that ended.
    pub runs: u64,
    /// Tasks that succeeded.
    pub tasks: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Records of the journal.
    pub records: u64,
    /// What half of the attempts took at most, in microseconds; null where that is beyond what is told apart.
    pub attempt_p50_us: Option<u64>,
    /// The same of 99 in a hundred.
    pub attempt_p99_us: Option<u64>,
    /// What 99 in a hundred batches took at most to become durable.
    pub commit_p99_us: Option<u64>,
}

/// How long things took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistogramView {
    /// How many.
    pub count: u64,
    /// All together, in microseconds.
    pub sum_us: u64,
    /// Upper bounds of the quantiles 0.5, 0.95 and 0.99, in microseconds; null where it lies in the
    /// last bucket, which has no bound.
    pub p50_us: Option<u64>,
    /// See `p50_us`.
    pub p95_us: Option<u64>,
    /// See `p50_us`.
    pub p99_us: Option<u64>,
    /// Not cumulated.
    pub buckets: Vec<Bucket>,
}

/// A bucket of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Bucket {
    /// Its upper bound, in microseconds; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub le_us: Option<u64>,
    /// How many are in it.
    pub count: u64,
}
