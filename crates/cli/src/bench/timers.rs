//! Many timers that are pending, what each takes up, and how late timers are when thousands are due every second.

use std::time::{Duration, Instant};

use ark_os_core::manifest::parse_moment_ms;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::child::{Node, now, pause};
use super::client::Connection;
use super::load::per_second;
use super::{BenchError, BenchSettings};

/// Waits of one run, which is as many tasks as a plan may have.
const WAITS: u64 = 1_000;
/// Runs before those that are counted: what the first ones take up is not what a timer costs.
const FIRST_RUNS: u64 = 10;
/// Timers that are due each millisecond.
const PER_MS: u64 = 5;
/// From the first acceptance to the first timer: all are set by then, or the run is refused.
const LEAD_MS: u64 = 10_000;
/// How often is looked whether all are over.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long behind the last of them.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lateness beside the device's sync.
const AIM_P99_MS: u64 = 5;

/// Both, each on a node of its own.
pub(super) async fn timers(settings: &BenchSettings) -> Result<Value, BenchError> {
    Ok(json!({ "pending": pending(settings).await?, "due": due(settings).await? }))
}

/// Timers that nobody waits for the end of: what each takes up in memory.
async fn pending(settings: &BenchSettings) -> Result<Value, BenchError> {
    let mut node = Node::start(&settings.directory, settings.agents)?;
    let mut connection = node.target.connect().await?;
    let plan = plan((0..WAITS).map(|_| json!({ "for": "30d" })));
    for _ in 0..FIRST_RUNS {
        submit(&mut connection, &plan).await?;
    }
    let before = node.resident_kib();
    let runs = settings.timers.div_ceil(WAITS);
    let begun = now();
    for _ in 0..runs {
        submit(&mut connection, &plan).await?;
    }
    let took = now().duration_since(begun);
    let after = node.resident_kib();
    node.crash_and_restart(&[])?;
    let (timers, grown) = (runs * WAITS, after.saturating_sub(before));
    Ok(json!({
        "timers": timers,
        "set_per_second": per_second(timers, took),
        "resident_kib_before": before,
        "resident_kib_after": after,
        "bytes_each": (grown * 1024).checked_div(timers),
        "ready_after_kill_ms": super::child::ms(node.ready),
        "resident_kib_after_kill": node.resident_kib(),
    }))
}

/// Timers that are due one behind the other, so many a second, and how late each was decided.
async fn due(settings: &BenchSettings) -> Result<Value, BenchError> {
    let node = Node::start(&settings.directory, settings.agents)?;
    let mut connection = node.target.connect().await?;
    let runs = (settings.seconds * 1_000 * PER_MS).div_ceil(WAITS);
    let span_ms = WAITS / PER_MS;
    let first = wall_ms() + LEAD_MS;
    let mut ids = Vec::new();
    for run in 0..runs {
        let begin = first + run * span_ms;
        let moments = (0..WAITS).map(|i| json!({ "until": stamp(begin + i / PER_MS) }));
        ids.push(submit(&mut connection, &plan(moments)).await?);
    }
    if wall_ms() >= first {
        return Err(BenchError::new("the timers were not set before the first was due"));
    }
    let begun = now();
    let last = Duration::from_millis(LEAD_MS + runs * span_ms);
    for id in &ids {
        await_end(&mut connection, id, (begun, last + PATIENCE)).await?;
    }
    let mut late = Vec::new();
    for id in &ids {
        lateness(&mut connection, id, &mut late).await?;
    }
    late.sort_unstable();
    let at = |permille: usize| late.get(late.len() * permille / 1_000).or(late.last()).copied();
    let metrics = node.target.metrics().await?;
    Ok(json!({
        "per_second": PER_MS * 1_000,
        "timers": late.len(),
        "late_p50_ms": at(500),
        "late_p99_ms": at(990),
        "late_p99_9_ms": at(999),
        "late_max_ms": late.last(),
        "aim_p99_ms_besides_the_sync": AIM_P99_MS,
        "server": metrics,
    }))
}

fn plan(waits: impl Iterator<Item = Value>) -> String {
    let tasks: Vec<Value> = waits
        .zip(0u64..)
        .map(|(wait, i)| json!({ "name": format!("t{i}"), "wait": wait }))
        .collect();
    json!({ "workflow": { "name": "waits", "version": "1", "tasks": tasks } }).to_string()
}

async fn submit(connection: &mut Connection, plan: &str) -> Result<String, BenchError> {
    let (status, body) = connection.call("POST", "/api/v1/runs", plan.as_bytes()).await?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (status, answer.get("run").and_then(Value::as_str)) {
        (202, Some(run)) => Ok(run.to_owned()),
        _ => Err(BenchError::new(format!("a run was answered {status}: {answer}"))),
    }
}

async fn get(connection: &mut Connection, path: &str) -> Result<Value, BenchError> {
    let (status, body) = connection.call("GET", path, b"").await?;
    if status != 200 {
        return Err(BenchError::new(format!("`{path}` answers {status}")));
    }
    serde_json::from_slice(&body).map_err(|error| BenchError::new(format!("{path}: {error}")))
}

async fn await_end(
    connection: &mut Connection,
    run: &str,
    (begun, patience): (Instant, Duration),
) -> Result<(), BenchError> {
    let path = format!("/api/v1/runs/{run}");
    loop {
        let view = get(connection, &path).await?;
        if view.get("state").and_then(Value::as_str) == Some("succeeded") {
            return Ok(());
        }
        if now().duration_since(begun) > patience {
            return Err(BenchError::new(format!("`{run}` does not come to its end: {view}")));
        }
        pause(LOOK_EVERY);
    }
}

/// From the moment that each wait of a run says to that of the record that ended it.
async fn lateness(
    connection: &mut Connection,
    run: &str,
    late: &mut Vec<u64>,
) -> Result<(), BenchError> {
    let mut due = std::collections::BTreeMap::new();
    let mut path = format!("/api/v1/runs/{run}/events?limit=500");
    loop {
        let page = get(connection, &path).await?;
        for event in page.get("items").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| event.get(key).and_then(Value::as_str);
            let Some(task) = text("task").map(str::to_owned) else { continue };
            match (text("type"), text("until"), text("at")) {
                (Some("task_waiting"), Some(until), _) => {
                    due.extend(parse_moment_ms(until).map(|until| (task, until)));
                }
                (Some("wait_ended"), _, Some(at)) => {
                    let ended = parse_moment_ms(at).zip(due.remove(&task));
                    late.extend(ended.map(|(at, due)| at.saturating_sub(due)));
                }
                _ => {}
            }
        }
        let Some(next) = page.get("next").and_then(Value::as_str) else { return Ok(()) };
        path = format!("/api/v1/runs/{run}/events?limit=500&after={next}");
    }
}

fn stamp(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

#[expect(clippy::disallowed_methods, reason = "timers are due at moments of the wall clock")]
fn wall_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
