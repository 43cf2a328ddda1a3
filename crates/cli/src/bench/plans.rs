//! Loads of whole plans: chains, fans, large payloads.

use serde_json::{Value, json};

use super::child::{Node, now};
use super::client::{Connection, Target};
use super::figures::Latencies;
use super::{BenchError, BenchSettings};

const RUNS_PATH: &str = "/api/v1/runs?wait=2m";
/// Runs of each plan.
const RUNS: usize = 31;

/// A chain of pure tasks: one sync in all.
pub(super) async fn chain(target: &Target, sync_us: u64) -> Result<Value, BenchError> {
    let mut latencies = time_runs(target, &chain_of(100), RUNS).await?;
    Ok(json!({
        "tasks": 100,
        "latency": latencies.report(),
        "p50_us": latencies.at(500),
        "aim_us": sync_us * 13 / 10 + 2_000,
    }))
}

/// One task, many, one: steps a second.
pub(super) async fn fans(target: &Target) -> Result<Value, BenchError> {
    let mut reports = Vec::new();
    for width in [100u64, 10_000] {
        let mut latencies = time_runs(target, &fan_of(width), RUNS).await?;
        let p50 = latencies.at(500);
        reports.push(json!({
            "width": width,
            "latency": latencies.report(),
            "steps_per_second": (width + 2) * 1_000_000 / p50.max(1),
            "aim_per_second": 50_000,
        }));
    }
    Ok(json!(reports))
}

/// Large fans and large payloads, one after the other.
pub(super) async fn volume(settings: &BenchSettings) -> Result<Value, BenchError> {
    let node = Node::start(&settings.directory, settings.agents)?;
    let fans = fans(&node.target).await?;
    // With its quotes: more is no answer of `echo`.
    let text = "x".repeat((1 << 20) - 2);
    let body = json!({"task": {"skill": "echo"}, "input": text}).to_string();
    let mut connection = node.target.connect().await?;
    let mut latencies = Latencies::default();
    for _ in 0..RUNS {
        run(&mut connection, body.as_bytes(), &mut latencies).await?;
    }
    Ok(json!({
        "fan": fans,
        "payload_of_1_mib": latencies.report(),
        "resident_kib_after": node.resident_kib(),
    }))
}

async fn time_runs(target: &Target, body: &Value, runs: usize) -> Result<Latencies, BenchError> {
    let mut connection = target.connect().await?;
    let body = body.to_string();
    let mut warm_up = Latencies::default();
    run(&mut connection, body.as_bytes(), &mut warm_up).await?;
    let mut latencies = Latencies::default();
    for _ in 0..runs {
        run(&mut connection, body.as_bytes(), &mut latencies).await?;
    }
    Ok(latencies)
}

async fn run(
    connection: &mut Connection,
    body: &[u8],
    latencies: &mut Latencies,
) -> Result<(), BenchError> {
    let sent = now();
    let (status, answer) = connection.call("POST", RUNS_PATH, body).await?;
    latencies.push(now().duration_since(sent).as_micros());
    let answer: Value = serde_json::from_slice(&answer).unwrap_or(Value::Null);
    if status == 200 && answer.get("state").and_then(Value::as_str) == Some("succeeded") {
        return Ok(());
    }
    Err(BenchError::new(format!("a run was answered {status}: {answer}")))
}

fn chain_of(length: usize) -> Value {
    let task = |i: usize| match i {
        0 => json!({"name": "t0", "skill": "echo", "input": "${input}"}),
        _ => {
            let before = format!("${{tasks.t{}.output}}", i - 1);
            json!({"name": format!("t{i}"), "skill": "echo", "input": before})
        }
    };
    let tasks: Vec<Value> = (0..length).map(task).collect();
    json!({"workflow": {"name": "chain", "version": "1", "tasks": tasks}, "input": 1})
}

fn fan_of(width: u64) -> Value {
    let list: Vec<u64> = (0..width).collect();
    let tasks = json!([
        {"name": "list", "skill": "echo", "input": "${input}"},
        {"name": "each", "skill": "echo", "map": {"over": "${tasks.list.output}"}, "input": "${item}"},
        {"name": "count", "skill": "list.count", "reduce": "each"}
    ]);
    json!({"workflow": {"name": "fan", "version": "1", "tasks": tasks}, "input": list})
}
