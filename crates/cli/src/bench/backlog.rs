//! Many runs that wait: what they take up, and how soon all goes on after `kill -9`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::child::{Node, now, pause};
use super::client::Target;
use super::load::per_second;
use super::{BenchError, BenchSettings};

/// Runs that wait.
const WAITING: u64 = 1_000_000;
/// Runs in flight when the process is killed.
const IN_FLIGHT: u64 = 100_000;
/// Lines of one batch request.
const LINES: u64 = 10_000;
/// One attempt at a time, and one place for emergencies: a sleeper is all there is room for.
const NOBODY_FREE: [(&str, &str); 1] = [("ARK_OS_MAX_CONCURRENT_TASKS", "2")];
/// It sleeps longer than any measurement.
const SLEEPER: &[u8] = br#"{"skill":"sleep","input":{"ms":3600000},"timeout":"2h"}"#;
const BATCH_PATH: &str = "/api/v1/tasks/batch";
/// How often numbers are read while something is awaited.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// A million accepted runs, with and without keys, and 100 000 in flight.
pub(super) async fn backlog(settings: &BenchSettings) -> Result<Value, BenchError> {
    Ok(json!({
        "without_keys": waiting(settings, false).await?,
        "with_keys": waiting(settings, true).await?,
        "in_flight": in_flight(settings).await?,
    }))
}

/// Runs are accepted while nothing can start; the node is killed and comes back.
async fn waiting(settings: &BenchSettings, has_keys: bool) -> Result<Value, BenchError> {
    let mut node = Node::start_with(&settings.directory, settings.agents, &NOBODY_FREE)?;
    let few = submit(&node.target, 0..LINES * 3, has_keys).await?;
    settled(&node.target).await?;
    let before = node.resident_kib();
    let took = submit(&node.target, LINES * 3..LINES * 3 + WAITING, has_keys).await?;
    settled(&node.target).await?;
    let after = node.resident_kib();
    let on_disk = gauge(&node.target, "ark_os_runs_waiting").await?;
    node.crash_and_restart(&NOBODY_FREE)?;
    let ready = node.ready;
    settled(&node.target).await?;
    Ok(json!({
        "runs": WAITING,
        "runs_per_second": per_second(WAITING, took),
        "first_runs_per_second": per_second(LINES * 3, few),
        "on_disk": on_disk,
        "resident_kib_before": before,
        "resident_kib_after": after,
        "bytes_each": after.saturating_sub(before) * 1024 / WAITING,
        "ready_after_kill_ms": ready.as_millis() as u64,
        "resident_kib_after_restart": node.resident_kib(),
        "on_disk_after_restart": gauge(&node.target, "ark_os_runs_waiting").await?,
    }))
}

/// The node is killed with many runs in flight; then there are agents for all of them.
async fn in_flight(settings: &BenchSettings) -> Result<Value, BenchError> {
    let mut node = Node::start_with(&settings.directory, settings.agents, &NOBODY_FREE)?;
    submit(&node.target, 0..IN_FLIGHT, false).await?;
    let begun = now();
    node.crash_and_restart(&[])?;
    let ready = now().duration_since(begun);
    let first = until(&node.target, begun, 1).await?;
    let all = until(&node.target, begun, IN_FLIGHT).await?;
    Ok(json!({
        "runs": IN_FLIGHT,
        "ready_after_kill_ms": ready.as_millis() as u64,
        "first_done_after_kill_ms": first.as_millis() as u64,
        "all_done_after_kill_ms": all.as_millis() as u64,
        "aim_all_going_ms": 3_000,
    }))
}

/// A sleeper in front, if it is the beginning, and runs behind it.
async fn submit(
    target: &Target,
    numbers: std::ops::Range<u64>,
    has_keys: bool,
) -> Result<Duration, BenchError> {
    let mut connection = target.connect().await?;
    if numbers.start == 0 {
        let (status, body) = connection.call("POST", "/api/v1/tasks", SLEEPER).await?;
        if status != 202 {
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(BenchError::new(format!("the sleeper was answered {status}: {body}")));
        }
    }
    let begun = now();
    let mut next = numbers.start;
    while next < numbers.end {
        let end = numbers.end.min(next + LINES);
        let mut lines = Vec::new();
        for number in next..end {
            let key = if has_keys { format!(",\"key\":\"bench-{number}\"") } else { String::new() };
            let text = format!("{{\"skill\":\"echo\",\"input\":{number}{key}}}\n");
            lines.extend_from_slice(text.as_bytes());
        }
        let answered = connection.batch(BATCH_PATH, &lines).await?;
        if answered.accepted != end - next {
            let message = format!("{} of {} lines were accepted", answered.accepted, end - next);
            return Err(BenchError::new(message));
        }
        next = end;
    }
    Ok(now().duration_since(begun))
}

/// Waits until the views show everything.
async fn settled(target: &Target) -> Result<(), BenchError> {
    let begun = now();
    while gauge(target, "ark_os_views_lag").await? > 0 {
        check(begun)?;
        pause(LOOK_EVERY);
    }
    Ok(())
}

/// From `begun` until so many runs have succeeded.
async fn until(target: &Target, begun: Instant, runs: u64) -> Result<Duration, BenchError> {
    loop {
        let metrics = target.metrics().await?;
        let done = metrics.pointer("/counters/ark_os_runs_succeeded_total");
        if done.and_then(Value::as_u64).unwrap_or(0) >= runs {
            return Ok(now().duration_since(begun));
        }
        check(begun)?;
        pause(LOOK_EVERY);
    }
}

fn check(begun: Instant) -> Result<(), BenchError> {
    if now().duration_since(begun) < PATIENCE {
        return Ok(());
    }
    Err(BenchError::new("the node does not come to an end"))
}

async fn gauge(target: &Target, name: &str) -> Result<u64, BenchError> {
    let metrics = target.metrics().await?;
    let value = metrics.pointer(&format!("/gauges/{name}")).and_then(Value::as_u64);
    value.ok_or_else(|| BenchError::new(format!("the node's metrics have no `{name}`")))
}
