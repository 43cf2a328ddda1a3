//! What a node costs before it does anything: start, memory, agents, the binary itself.

use std::path::Path;
use std::time::Duration;

use ark_os_core::fleet::Fleet;
use serde_json::{Value, json};

use super::BenchError;
use super::child::{Node, now, pause};

/// Starts whose median is told.
const STARTS: usize = 7;
/// How long a node rests before its memory is read.
const REST: Duration = Duration::from_millis(300);
/// A large fleet, and the small one that is taken off it.
const MANY: u32 = 100_000;
const FEW: u32 = 100;

/// From the start of the process to its being ready, idle memory, size of the binary.
pub(super) fn cold_start(dir: &Path) -> Result<Value, BenchError> {
    let mut ready = Vec::new();
    let mut resident = 0;
    for _ in 0..STARTS {
        let node = Node::start(dir, FEW)?;
        ready.push(u64::try_from(node.ready.as_micros()).unwrap_or(u64::MAX));
        pause(REST);
        resident = node.resident_kib();
    }
    ready.sort_unstable();
    let program = std::env::current_exe().and_then(std::fs::metadata);
    Ok(json!({
        "ready_us": ready.get(STARTS / 2),
        "aim_ready_us": 30_000,
        "idle_kib": resident,
        "aim_idle_kib": 30 * 1024,
        "binary_bytes": program.map(|meta| meta.len()).unwrap_or(0),
        "aim_binary_bytes": 30 << 20,
    }))
}

/// What one agent more costs, at 100 000 of them.
pub(super) fn many(dir: &Path) -> Result<Value, BenchError> {
    let few = Node::start(dir, FEW)?;
    pause(REST);
    let (few_ready, few_kib) = (few.ready, few.resident_kib());
    drop(few);
    let many = Node::start(dir, MANY)?;
    pause(REST);
    let more = u64::from(MANY - FEW);
    let start_ns = many.ready.saturating_sub(few_ready).as_nanos();
    let bytes = many.resident_kib().saturating_sub(few_kib) * 1024;
    let begun = now();
    let fleet = Fleet::new(MANY, &[], 4, None);
    let built_ns = now().duration_since(begun).as_nanos();
    Ok(json!({
        "agents": fleet.len(),
        "start_ns_each": u64::try_from(start_ns).unwrap_or(u64::MAX) / more,
        "fleet_built_ns_each": u64::try_from(built_ns).unwrap_or(u64::MAX) / u64::from(MANY),
        "aim_start_ns_each": 3_000,
        "idle_bytes_each": bytes / more,
        "aim_idle_bytes_each": 1_024,
    }))
}
