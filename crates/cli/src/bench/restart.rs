//! How long a start takes on a data directory that has seen a million runs.

use std::time::Duration;

use serde_json::{Value, json};

use super::child::{Node, pause};
use super::load::finish_runs;
use super::{BenchError, BenchSettings};

/// Runs that are over in the data directory.
const RUNS: u64 = 1_000_000;
/// How long the keeper may take to come up with the load.
const SETTLED: Duration = Duration::from_secs(10);
/// What a start is to take.
const AIM_MS: u64 = 1_000;

/// From the start of the process to its being ready: after a `kill -9` in the middle of the load and when all is
/// quiet, and after a clean stop.
pub(super) async fn starts(settings: &BenchSettings) -> Result<Value, BenchError> {
    let mut node = Node::start(&settings.directory, settings.agents)?;
    let empty = node.ready;
    let loaded = finish_runs(&node.target, RUNS).await?;
    node.crash_and_restart(&[])?;
    let after_load = node.ready;
    pause(SETTLED);
    let metrics = node.target.metrics().await?;
    node.crash_and_restart(&[])?;
    let after_quiet = node.ready;
    let stop = node.stop_and_restart()?;
    Ok(json!({
        "runs": RUNS,
        "loaded": loaded,
        "snapshot_lag_records": metrics.pointer("/gauges/ark_os_snapshot_lag"),
        "snapshot_bytes": metrics.pointer("/gauges/ark_os_snapshot_bytes"),
        "ready_ms": {
            "on_an_empty_directory": ms(empty),
            "after_kill_under_load": ms(after_load),
            "after_kill_when_quiet": ms(after_quiet),
            "after_clean_stop": ms(node.ready),
        },
        "stop_ms": ms(stop),
        "resident_kib": node.resident_kib(),
        "aim_ms": AIM_MS,
    }))
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
