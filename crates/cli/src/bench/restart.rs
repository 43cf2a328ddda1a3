//! How long a start takes on a data directory that has seen a million runs.

use serde_json::{Value, json};

use super::backlog::QUIET;
use super::child::{Node, ms, now, pause};
use super::load::finish_runs;
use super::{BenchError, BenchSettings};

/// Runs that are over in the data directory.
const RUNS: u64 = 1_000_000;
/// What a start is to take.
const AIM_MS: u64 = 1_000;

/// From the start of the process to its being ready: after a `kill -9` in the middle of the load and when all is
/// quiet, and after a clean stop.
pub(super) async fn starts(settings: &BenchSettings) -> Result<Value, BenchError> {
    let mut node = Node::start(&settings.directory, settings.agents)?;
    let empty = node.ready;
    let loaded = finish_runs(&node.target, RUNS).await?;
    let before = node.target.metrics().await?;
    node.crash_and_restart(&[])?;
    let after_load = node.ready;
    pause(QUIET);
    let metrics = node.target.metrics().await?;
    node.crash_and_restart(&[])?;
    let after_quiet = node.ready;
    let stop = node.stop_and_restart()?;
    Ok(json!({
        "raw": {
            "ready_on_an_empty_directory_ms": ms(empty),
            "read_the_snapshot_us": read_us(&node, "snapshots")?,
            "read_the_largest_segment_us": read_us(&node, "journal")?,
        },
        "runs": RUNS,
        "loaded": loaded,
        "snapshot_lag_records_under_load": before.pointer("/gauges/ark_os_snapshot_lag"),
        "snapshot_lag_records_when_quiet": metrics.pointer("/gauges/ark_os_snapshot_lag"),
        "snapshot_bytes": metrics.pointer("/gauges/ark_os_snapshot_bytes"),
        "journal_bytes": node.bytes_of("journal"),
        "ready_ms": {
            "after_kill_under_load": ms(after_load),
            "after_kill_when_quiet": ms(after_quiet),
            "after_clean_stop": ms(node.ready),
        },
        "stop_ms": ms(stop),
        "resident_kib": node.resident_kib(),
        "aim_ms": AIM_MS,
    }))
}

/// How long it takes to read the largest file of a directory, out of the page cache as a rule.
fn read_us(node: &Node, name: &str) -> Result<u64, BenchError> {
    let Some(path) = node.largest_in(name) else { return Ok(0) };
    let begun = now();
    std::fs::read(path).map_err(BenchError::io("read a file of the node"))?;
    Ok(u64::try_from(now().duration_since(begun).as_micros()).unwrap_or(u64::MAX))
}
