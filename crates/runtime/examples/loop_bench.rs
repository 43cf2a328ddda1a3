//! The loop without HTTP: tasks a second from submission to durable result, chains and fans.
//! `cargo run --release -p ark-os-runtime --example loop_bench [tasks]` prints JSON.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement, run by hand"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use ark_os_runtime::{Components, Handle, Instance, Lines, PlanRequest, RunRequest, Settings};
use serde_json::{Value, json};

const LINES: u32 = 256;
const WINDOW: u32 = 8_192;

async fn tasks(handle: &Handle, total: u32) -> f64 {
    let lines = Arc::new(Lines::default());
    let begun = Instant::now();
    let (mut sent, mut done) = (0, 0);
    while done < total {
        while sent < total && sent - done < WINDOW {
            let batch: Vec<_> =
                (sent..(sent + LINES).min(total)).map(|line| (line, task(line))).collect();
            sent += batch.len() as u32;
            handle.submit_lines(batch, &lines, true).unwrap();
        }
        done += lines.fetch().await.len() as u32;
    }
    f64::from(total) / begun.elapsed().as_secs_f64()
}

fn task(line: u32) -> RunRequest {
    RunRequest::task("echo", line.to_string().into_bytes())
}

async fn timed(handle: &Handle, plan: &Value, input: &Value) -> Duration {
    let request =
        RunRequest::new(PlanRequest::Workflow(plan.clone()), input.to_string().into_bytes());
    let begun = Instant::now();
    let patience = Duration::from_secs(120);
    let outcome = handle.submit_and_wait(request, patience).await.unwrap().1.unwrap();
    assert_eq!(outcome.state, ark_os_core::run::RunState::Succeeded, "{outcome:?}");
    begun.elapsed()
}

fn chain(length: usize) -> Value {
    let mut tasks = vec![json!({"name": "t0", "skill": "echo", "input": "${input}"})];
    for i in 1..length {
        let before = format!("${{tasks.t{}.output}}", i - 1);
        tasks.push(json!({"name": format!("t{i}"), "skill": "echo", "input": before}));
    }
    json!({"name": "chain", "version": "1", "tasks": tasks})
}

fn fan() -> Value {
    json!({"name": "fan", "version": "1", "tasks": [
        {"name": "list", "skill": "echo", "input": "${input}"},
        {"name": "each", "skill": "echo", "map": {"over": "${tasks.list.output}"}, "input": "${item}"},
        {"name": "count", "skill": "list.count", "reduce": "each"}
    ]})
}

async fn median(handle: &Handle, plan: &Value, input: &Value) -> Duration {
    let mut times = Vec::new();
    for _ in 0..21 {
        times.push(timed(handle, plan, input).await);
    }
    times.sort();
    times[times.len() / 2]
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let total = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(300_000);
    let dir = tempfile::tempdir_in(".").unwrap();
    let mut settings = Settings::new(dir.path());
    settings.agents = 1_000;
    let instance = Instance::start(settings, Components::builtin()).unwrap();
    let handle = instance.handle();
    tasks(&handle, 20_000).await;
    let rate = tasks(&handle, total).await;
    let one = median(&handle, &chain(1), &json!(1)).await;
    let hundred = median(&handle, &chain(100), &json!(1)).await;
    let small: Vec<u32> = (0..100).collect();
    let large: Vec<u32> = (0..10_000).collect();
    let fan_small = median(&handle, &fan(), &json!(small)).await;
    let fan_large = median(&handle, &fan(), &json!(large)).await;
    let metrics = handle.metrics();
    let report = json!({
        "tasks_per_second": rate as u64,
        "one_task_us": one.as_micros() as u64,
        "chain_of_100_us": hundred.as_micros() as u64,
        "fan_100_steps_per_second": (102.0 / fan_small.as_secs_f64()) as u64,
        "fan_10000_steps_per_second": (10_002.0 / fan_large.as_secs_f64()) as u64,
        "commit_mean_us": metrics.commit.sum_us() / metrics.commit.count().max(1),
        "batches": metrics.journal_batches.value(),
        "records": metrics.journal_records.value(),
        "bytes": metrics.journal_bytes.value(),
    });
    println!("{report:#}");
    instance.stop().unwrap();
}
