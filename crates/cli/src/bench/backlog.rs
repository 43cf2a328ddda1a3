//! Many runs that wait: what they take up, how soon a node is ready with them, and that all of them end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::child::{Node, ms, now, pause};
use super::client::Target;
use super::load::per_second;
use super::{BenchError, BenchSettings, raw};

/// Runs that wait.
const WAITING: u64 = 1_000_000;
/// Runs before them: what a full memory takes up is not what a waiting run costs.
const FIRST: u64 = 30_000;
/// Lines of one batch request.
const LINES: u64 = 10_000;
/// One attempt at a time, and one place for emergencies: a sleeper is all there is room for.
pub(super) const NOBODY_FREE: [(&str, &str); 1] = [("ARK_OS_MAX_CONCURRENT_TASKS", "2")];
/// It sleeps longer than any measurement.
const SLEEPER: &[u8] = br#"{"skill":"sleep","input":{"ms":3600000},"timeout":"2h"}"#;
const BATCH_PATH: &str = "/api/v1/tasks/batch";
/// How often numbers are read while something is awaited.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long the keeper may take to come up with the load.
pub(super) const QUIET: Duration = Duration::from_secs(10);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A million accepted runs, with and without idempotency keys.
pub(super) async fn backlog(settings: &BenchSettings) -> Result<Value, BenchError> {
    let empty = Node::start(&settings.directory, settings.agents)?.ready;
    Ok(json!({
        "raw": {
            "append": raw::append(&settings.directory)?,
            "ready_on_an_empty_directory_ms": ms(empty),
        },
        "without_keys": waiting(settings, false).await?,
        "with_keys": waiting(settings, true).await?,
    }))
}

/// Runs are accepted while nothing can start; the node is killed and comes back; then there is room for them.
async fn waiting(settings: &BenchSettings, has_keys: bool) -> Result<Value, BenchError> {
    let mut node = Node::start_with(&settings.directory, settings.agents, &NOBODY_FREE)?;
    sleeper(&node.target).await?;
    let few = submit(&node.target, 0..FIRST, |number| echo(number, has_keys)).await?;
    settled(&node.target).await?;
    let before = node.resident_kib();
    node.forget_peak()?;
    let all = FIRST..FIRST + WAITING;
    let took = submit(&node.target, all, |number| echo(number, has_keys)).await?;
    settled(&node.target).await?;
    let (after, peak) = (node.resident_kib(), node.peak_kib());
    let on_disk = gauge(&node.target, "ark_os_runs_waiting").await?;
    let starts = starts(&mut node).await?;
    // Keys make no difference to how runs end.
    let ends = if has_keys { Value::Null } else { ends(&mut node).await? };
    Ok(json!({
        "runs": WAITING,
        "runs_per_second": per_second(WAITING, took),
        "first_runs_per_second": per_second(FIRST, few),
        "on_disk": on_disk,
        "resident_kib_before": before,
        "resident_kib_after": after,
        "resident_kib_peak": peak,
        "bytes_each": after.saturating_sub(before) * 1024 / WAITING,
        "bytes_each_at_peak": peak.saturating_sub(before) * 1024 / WAITING,
        "starts": starts,
        "ends": ends,
    }))
}

/// Kills right behind the load and when the keeper has come up with it, each with a new start.
async fn starts(node: &mut Node) -> Result<Value, BenchError> {
    node.crash_and_restart(&NOBODY_FREE)?;
    let after_load = node.ready;
    let peak = node.peak_kib();
    let on_disk = gauge(&node.target, "ark_os_runs_waiting").await?;
    pause(QUIET);
    let snapshot = node.bytes_of("snapshots");
    node.crash_and_restart(&NOBODY_FREE)?;
    settled(&node.target).await?;
    Ok(json!({
        "ready_after_kill_under_load_ms": ms(after_load),
        "ready_after_kill_when_quiet_ms": ms(node.ready),
        "resident_kib": node.resident_kib(),
        "resident_kib_peak": peak.max(node.peak_kib()),
        "snapshots_bytes": snapshot,
        "on_disk": on_disk,
    }))
}

/// Killed once more; now there are agents for everything that waits.
async fn ends(node: &mut Node) -> Result<Value, BenchError> {
    let begun = now();
    node.crash_and_restart(&[])?;
    let ready = node.ready;
    let took = until_over(&node.target, begun).await?;
    let peak = node.peak_kib();
    settled(&node.target).await?;
    Ok(json!({
        "ready_after_kill_ms": ms(ready),
        "all_done_after_kill_ms": ms(took),
        "runs_per_second": per_second(FIRST + WAITING, took.saturating_sub(ready)),
        "views_settled_after_kill_ms": ms(now().duration_since(begun)),
        "resident_kib": node.resident_kib(),
        "resident_kib_peak": peak.max(node.peak_kib()),
        "runs_waiting": gauge(&node.target, "ark_os_runs_waiting").await?,
        "runs_live": gauge(&node.target, "ark_os_runs_live").await?,
    }))
}

/// The counter of runs that succeeded.
pub(super) const RUNS_DONE: &str = "/counters/ark_os_runs_succeeded_total";

/// A run that takes the one place there is.
pub(super) async fn sleeper(target: &Target) -> Result<(), BenchError> {
    let (status, body) = target.connect().await?.call("POST", "/api/v1/tasks", SLEEPER).await?;
    if status == 202 {
        return Ok(());
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    Err(BenchError::new(format!("the sleeper was answered {status}: {body}")))
}

/// A task that is over as soon as it begins.
pub(super) fn echo(number: u64, has_key: bool) -> String {
    let key = if has_key { format!(",\"key\":\"bench-{number}\"") } else { String::new() };
    format!("{{\"skill\":\"echo\",\"input\":{number}{key}}}\n")
}

/// A run of each line, in batches; how long it took until all were accepted durably.
pub(super) async fn submit(
    target: &Target,
    numbers: std::ops::Range<u64>,
    line: impl Fn(u64) -> String,
) -> Result<Duration, BenchError> {
    let mut connection = target.connect().await?;
    let begun = now();
    let mut next = numbers.start;
    while next < numbers.end {
        let end = numbers.end.min(next + LINES);
        let lines: String = (next..end).map(&line).collect();
        let answered = connection.batch(BATCH_PATH, lines.as_bytes()).await?;
        if answered.accepted != end - next {
            let message = format!("{} of {} lines were accepted", answered.accepted, end - next);
            return Err(BenchError::new(message));
        }
        next = end;
    }
    Ok(now().duration_since(begun))
}

/// Waits until the views show everything.
pub(super) async fn settled(target: &Target) -> Result<(), BenchError> {
    let begun = now();
    while gauge(target, "ark_os_views_lag").await? > 0 {
        check(begun)?;
        pause(LOOK_EVERY);
    }
    Ok(())
}

/// From `begun` until a number of the node's metrics is so high.
pub(super) async fn until(
    target: &Target,
    begun: Instant,
    place: &str,
    least: u64,
) -> Result<Duration, BenchError> {
    loop {
        let metrics = target.metrics().await?;
        if metrics.pointer(place).and_then(Value::as_u64).unwrap_or(0) >= least {
            return Ok(now().duration_since(begun));
        }
        check(begun)?;
        pause(LOOK_EVERY);
    }
}

/// From `begun` until only the sleeper is left. How many succeeded does not say so: at a start the sleeper begins anew,
/// and until then its place is free for another.
async fn until_over(target: &Target, begun: Instant) -> Result<Duration, BenchError> {
    until(target, begun, RUNS_DONE, 1).await?;
    while gauge(target, "ark_os_runs_live").await? > 1 {
        check(begun)?;
        pause(LOOK_EVERY);
    }
    Ok(now().duration_since(begun))
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
