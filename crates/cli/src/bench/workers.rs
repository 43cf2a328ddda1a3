//! Remote workers: tasks a second through a few that take batches, and what many idle ones cost.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::child::{Node, now, pause};
use super::client::{Connection, Target};
use super::load::per_second;
use super::{BenchError, BenchSettings};

/// Workers that work, tasks that each takes at one time, and lines of one batch of tasks.
const WORKERS: usize = 8;
const PLACES: u32 = 500;
const LINES: usize = 5_000;
/// Connections that submit.
const SUBMITTERS: usize = 2;
/// Workers that only wait.
const IDLE: usize = 1_000;
/// How long the node rests before its memory and its time on the processor are read.
const REST: Duration = Duration::from_secs(2);
/// Tasks under way in the whole instance: as many as the workers have places.
const VARIABLES: [(&str, &str); 1] = [("ARK_OS_MAX_CONCURRENT_TASKS", "5000")];

/// Both figures.
pub(super) async fn workers(settings: &BenchSettings) -> Result<Value, BenchError> {
    let node = Node::start_with(&settings.directory, 8, &VARIABLES)?;
    let busy = busy(&node.target, Duration::from_secs(settings.seconds)).await?;
    drop(node);
    let node = Node::start_with(&settings.directory, 8, &VARIABLES)?;
    Ok(json!({ "busy": busy, "idle": idle(&node).await? }))
}

async fn busy(target: &Target, time: Duration) -> Result<Value, BenchError> {
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        let mut worker = Remote::join(target, number).await?;
        // Ends with the set.
        workers.spawn(async move { worker.work().await });
    }
    let lines: String =
        (0..LINES).map(|i| format!("{{\"skill\":\"bench.echo\",\"input\":{i}}}\n")).collect();
    let begun = now();
    let mut submitters = JoinSet::new();
    for _ in 0..SUBMITTERS {
        let (target, lines) = (target.clone(), lines.clone());
        submitters.spawn(async move {
            let mut connection = target.connect().await?;
            let mut done = 0;
            while now().duration_since(begun) < time {
                let path = "/api/v1/tasks/batch?wait=60s";
                let answered = connection.batch(path, lines.as_bytes()).await?;
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
    while let Some(joined) = submitters.join_next().await {
        done += joined.map_err(|_| BenchError::new("a client failed"))??;
    }
    Ok(json!({
        "workers": WORKERS,
        "tasks": done,
        "tasks_per_second": per_second(done, now().duration_since(begun)),
        "aim_per_second": 10_000,
    }))
}

async fn idle(node: &Node) -> Result<Value, BenchError> {
    pause(REST);
    let (before, began) = (node.resident_kib(), node.cpu_ms());
    let mut waiting = JoinSet::new();
    for number in 0..IDLE {
        let mut worker = Remote::join(&node.target, number).await?;
        waiting.spawn(async move { worker.claim().await });
    }
    pause(REST);
    let (connected, at_rest) = (node.cpu_ms(), node.resident_kib());
    let rest = REST * 2;
    pause(rest);
    let resting = node.cpu_ms().saturating_sub(connected);
    let rest_ms = u64::try_from(rest.as_millis()).unwrap_or(1);
    Ok(json!({
        "workers": IDLE,
        "resident_kib_before": before,
        "resident_kib": at_rest,
        "kib_each": at_rest.saturating_sub(before) / IDLE as u64,
        "cpu_ms_to_connect": connected.saturating_sub(began),
        "cpu_per_mille_at_rest": resting * 1_000 / rest_ms,
    }))
}

/// A worker as small as can be: it answers its input.
struct Remote {
    connection: Connection,
    name: String,
    claims: u64,
}

impl Remote {
    async fn join(target: &Target, number: usize) -> Result<Remote, BenchError> {
        let mut connection = target.connect().await?;
        let name = format!("bench-{number}");
        let skills = json!([{ "name": "bench.echo", "effect": "read" }]);
        let body = json!({ "name": name, "concurrency": PLACES, "skills": skills });
        let path = "/api/v1/workers";
        let answer = connection.call("POST", path, body.to_string().as_bytes()).await?;
        let session: Value = accepted(answer)?;
        let session = session.get("session").and_then(Value::as_str).unwrap_or_default().to_owned();
        connection.add_header("worker-session", &session);
        Ok(Remote { connection, name, claims: 0 })
    }

    async fn post(&mut self, verb: &str, body: &str) -> Result<Value, BenchError> {
        let path = format!("/api/v1/workers/{}/{verb}", self.name);
        accepted(self.connection.call("POST", &path, body.as_bytes()).await?)
    }

    async fn claim(&mut self) -> Result<Value, BenchError> {
        self.claims += 1;
        let body = format!("{{\"max\":{PLACES},\"wait\":\"30s\",\"claim\":{}}}", self.claims);
        self.post("claim", &body).await
    }

    async fn work(&mut self) -> Result<(), BenchError> {
        loop {
            let claimed = self.claim().await?;
            let tasks = claimed.get("tasks").and_then(Value::as_array);
            let results: Vec<Value> = tasks
                .into_iter()
                .flatten()
                .map(|task| {
                    let of = |name| task.get(name).cloned().unwrap_or_default();
                    json!({ "pt": of("pt"), "fence": of("fence"), "output": of("input") })
                })
                .collect();
            if !results.is_empty() {
                self.post("complete", &json!({ "results": results }).to_string()).await?;
            }
        }
    }
}

fn accepted((status, body): (u16, Vec<u8>)) -> Result<Value, BenchError> {
    if status != 200 {
        let body = String::from_utf8_lossy(&body).into_owned();
        return Err(BenchError::new(format!("a worker was answered {status}: {body}")));
    }
    serde_json::from_slice(&body)
        .map_err(|error| BenchError::new(format!("read an answer to a worker: {error}")))
}
