//! Loads of single tasks: in batches, in single requests, at low load, in bursts.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::child::{Node, now};
use super::client::Target;
use super::figures::Latencies;
use super::{BenchError, BenchSettings};

/// Lines of one batch request.
const LINES: usize = 10_000;
/// Connections that send batches.
const BATCH_CONNECTIONS: usize = 2;
/// Requests at low load.
const LOW_REQUESTS: usize = 2_000;
/// Requests before a measurement counts, on each connection.
const WARM_UP: usize = 20;
/// The single task of every load.
const TASK: &[u8] = br#"{"skill":"echo","input":1}"#;
const TASKS_PATH: &str = "/api/v1/tasks?wait=30s";
const BATCH_PATH: &str = "/api/v1/tasks/batch?wait=30s";

/// Tasks a second by NDJSON batches, from the first byte sent to the last durable result read.
pub(super) async fn batch(target: &Target, time: Duration) -> Result<Value, BenchError> {
    let lines = batch_lines();
    target.connect().await?.batch(BATCH_PATH, &lines).await?;
    let begun = now();
    let goes_on = move |_| now().duration_since(begun) < time;
    batches(target, &lines, goes_on).await
}

/// The same until so many runs are over, on each connection its part.
pub(super) async fn finish_runs(target: &Target, runs: u64) -> Result<Value, BenchError> {
    let part = runs / BATCH_CONNECTIONS as u64;
    batches(target, &batch_lines(), move |done| done < part).await
}

fn batch_lines() -> Vec<u8> {
    let mut lines = Vec::new();
    for line in 0..LINES {
        let text = format!("{{\"skill\":\"echo\",\"input\":{line}}}\n");
        lines.extend_from_slice(text.as_bytes());
    }
    lines
}

/// Batches on some connections, while `goes_on` with the number of tasks that a connection has done.
async fn batches(
    target: &Target,
    lines: &[u8],
    goes_on: impl Fn(u64) -> bool + Clone + Send + 'static,
) -> Result<Value, BenchError> {
    let begun = now();
    let mut set = JoinSet::new();
    for _ in 0..BATCH_CONNECTIONS {
        let (target, lines, goes_on) = (target.clone(), lines.to_vec(), goes_on.clone());
        set.spawn(async move {
            let mut connection = target.connect().await?;
            let mut done = 0;
            while goes_on(done) {
                let answered = connection.batch(BATCH_PATH, &lines).await?;
                if answered.succeeded != LINES as u64 {
                    let message = format!("{} of {LINES} lines succeeded", answered.succeeded);
                    return Err(BenchError::new(message));
                }
                done += answered.succeeded;
            }
            Ok(done)
        });
    }
    let mut done = 0;
    while let Some(joined) = set.join_next().await {
        done += joined.map_err(|_| BenchError::new("a client failed"))??;
    }
    let elapsed = now().duration_since(begun);
    Ok(json!({
        "tasks": done,
        "tasks_per_second": per_second(done, elapsed),
        "aim_per_second": 100_000,
        "floor_per_second": 10_000,
    }))
}

/// Tasks a second by single requests on many connections, with their latencies.
pub(super) async fn singles(
    target: &Target,
    connections: usize,
    time: Duration,
    sync_us: u64,
) -> Result<Value, BenchError> {
    let begun = now();
    let mut latencies = clients(target, connections, time).await?;
    let elapsed = now().duration_since(begun);
    let rate = per_second(latencies.len() as u64, elapsed);
    let bound = 2_500_000 * connections as u64 / rate.max(1) + 4 * sync_us;
    let p99 = latencies.at(990);
    Ok(json!({
        "connections": connections,
        "tasks_per_second": rate,
        "aim_per_second": 30_000,
        "latency": latencies.report(),
        "p99_us": p99,
        "p99_bound_us": bound,
    }))
}

pub(super) async fn clients(
    target: &Target,
    connections: usize,
    time: Duration,
) -> Result<Latencies, BenchError> {
    let begun = now();
    let mut set = JoinSet::new();
    for _ in 0..connections {
        let target = target.clone();
        set.spawn(async move {
            let mut connection = target.connect().await?;
            let mut latencies = Latencies::default();
            while now().duration_since(begun) < time {
                let sent = now();
                let (status, body) = connection.call("POST", TASKS_PATH, TASK).await?;
                if status != 200 {
                    let body = String::from_utf8_lossy(&body).into_owned();
                    return Err(BenchError::new(format!("a task was answered {status}: {body}")));
                }
                latencies.push(now().duration_since(sent).as_micros());
            }
            Ok(latencies)
        });
    }
    let mut all = Latencies::default();
    while let Some(joined) = set.join_next().await {
        all.append(joined.map_err(|_| BenchError::new("a client failed"))??);
    }
    Ok(all)
}

/// One task after another on one connection.
pub(super) async fn low(target: &Target, sync_us: u64) -> Result<Value, BenchError> {
    let mut connection = target.connect().await?;
    let mut latencies = Latencies::default();
    for request in 0..LOW_REQUESTS + WARM_UP {
        let sent = now();
        let (status, _) = connection.call("POST", TASKS_PATH, TASK).await?;
        if status != 200 {
            return Err(BenchError::new(format!("a task was answered {status}")));
        }
        if request >= WARM_UP {
            latencies.push(now().duration_since(sent).as_micros());
        }
    }
    Ok(json!({
        "latency": latencies.report(),
        "p50_us": latencies.at(500),
        "aim_p50_us": sync_us * 13 / 10 + 500,
    }))
}

/// Bursts of single requests with pauses between them: the latencies of each burst.
pub(super) async fn spike(settings: &BenchSettings) -> Result<Value, BenchError> {
    let node = Node::start(&settings.directory, settings.agents)?;
    let mut bursts = Vec::new();
    let begun = now();
    while now().duration_since(begun) < Duration::from_secs(settings.seconds) {
        let burst = Duration::from_secs(1);
        let mut latencies = clients(&node.target, settings.connections, burst).await?;
        bursts.push(latencies.report());
        let mut quiet = node.target.connect().await?;
        quiet.call("POST", TASKS_PATH, br#"{"skill":"sleep","input":{"ms":500}}"#).await?;
    }
    Ok(json!(bursts))
}

/// A steady load for as long as asked: latencies, and the node's memory before and after.
pub(super) async fn soak(settings: &BenchSettings) -> Result<Value, BenchError> {
    let node = Node::start(&settings.directory, settings.agents)?;
    clients(&node.target, settings.connections, Duration::from_secs(1)).await?;
    let before = node.resident_kib();
    let time = Duration::from_secs(settings.seconds);
    let mut latencies = clients(&node.target, settings.connections, time).await?;
    Ok(json!({
        "latency": latencies.report(),
        "resident_kib_before": before,
        "resident_kib_after": node.resident_kib(),
    }))
}

pub(super) fn per_second(count: u64, elapsed: Duration) -> u64 {
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000) / ms
}
