//! Percentiles, and what can go wrong while measuring.

use serde_json::{Value, json};

/// Why a measurement came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct BenchError {
    message: String,
    #[source]
    source: Option<std::io::Error>,
}

impl BenchError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        BenchError { message: message.into(), source: None }
    }

    pub(super) fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| BenchError { message: format!("{what}: {source}"), source: Some(source) }
    }
}

/// Latencies in microseconds.
#[derive(Debug, Default)]
pub(super) struct Latencies(Vec<u64>);

impl Latencies {
    pub(super) fn push(&mut self, us: u128) {
        self.0.push(u64::try_from(us).unwrap_or(u64::MAX));
    }

    pub(super) fn append(&mut self, mut other: Latencies) {
        self.0.append(&mut other.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value below which `permille` of a thousand lie.
    pub(super) fn at(&mut self, permille: usize) -> u64 {
        self.0.sort_unstable();
        let ix = (self.0.len() * permille / 1_000).min(self.0.len().saturating_sub(1));
        self.0.get(ix).copied().unwrap_or(0)
    }

    pub(super) fn report(&mut self) -> Value {
        json!({
            "count": self.len(),
            "p50_us": self.at(500),
            "p95_us": self.at(950),
            "p99_us": self.at(990),
            "p99_9_us": self.at(999),
        })
    }
}
