//! How soon everything goes on after `kill -9` with 100 000 runs in flight.

use serde_json::{Value, json};

use super::backlog::{NOBODY_FREE, RUNS_DONE, echo, sleeper, submit, until};
use super::child::{Node, ms, now};
use super::{BenchError, BenchSettings, raw};

/// Runs in flight when the process is killed.
const RUNS: u64 = 100_000;
/// From the start of the new process.
const AIM_MS: u64 = 3_000;
/// Room for an attempt of every run at one time.
const ROOM_FOR_ALL: [(&str, &str); 3] = [
    ("ARK_OS_MAX_CONCURRENT_TASKS", "200000"),
    ("ARK_OS_RUNS_RESIDENT", "200000"),
    ("ARK_OS_AGENT_CONCURRENCY", "1000"),
];
/// It outlasts the measurement, and waits without a thread.
const SLEEP: &str = "{\"skill\":\"sleep\",\"input\":{\"ms\":3600000},\"timeout\":\"2h\"}\n";
/// The counter of attempts that were started.
const ATTEMPTS: &str = "/counters/agent_requests_total";

/// Runs that were accepted and not begun, and runs with an attempt under way each.
pub(super) async fn resume(settings: &BenchSettings) -> Result<Value, BenchError> {
    let empty = Node::start(&settings.directory, settings.agents)?.ready;
    Ok(json!({
        "raw": {
            "append": raw::append(&settings.directory)?,
            "ready_on_an_empty_directory_ms": ms(empty),
        },
        "runs": RUNS,
        "aim_ms": AIM_MS,
        "accepted": accepted(settings).await?,
        "under_way": under_way(settings).await?,
    }))
}

/// There was no room for any; after the start there is, and each is worked on to its end.
async fn accepted(settings: &BenchSettings) -> Result<Value, BenchError> {
    let mut node = Node::start_with(&settings.directory, settings.agents, &NOBODY_FREE)?;
    sleeper(&node.target).await?;
    submit(&node.target, 0..RUNS, |number| echo(number, false)).await?;
    let begun = now();
    node.crash_and_restart(&[])?;
    let first = until(&node.target, begun, RUNS_DONE, 1).await?;
    let all = until(&node.target, begun, RUNS_DONE, RUNS).await?;
    Ok(json!({
        "ready_after_kill_ms": ms(node.ready),
        "first_done_after_kill_ms": ms(first),
        "all_done_after_kill_ms": ms(all),
        "resident_kib_peak": node.peak_kib(),
    }))
}

/// Every run has an attempt under way, which begins again.
async fn under_way(settings: &BenchSettings) -> Result<Value, BenchError> {
    let mut node = Node::start_with(&settings.directory, settings.agents, &ROOM_FOR_ALL)?;
    let submitted = now();
    submit(&node.target, 0..RUNS, |_| SLEEP.to_owned()).await?;
    let first = until(&node.target, submitted, ATTEMPTS, RUNS).await?;
    let begun = now();
    node.crash_and_restart(&ROOM_FOR_ALL)?;
    let all = until(&node.target, begun, ATTEMPTS, RUNS).await?;
    Ok(json!({
        "all_begun_after_submission_ms": ms(first),
        "ready_after_kill_ms": ms(node.ready),
        "all_begun_again_after_kill_ms": ms(all),
        "resident_kib_peak": node.peak_kib(),
    }))
}
