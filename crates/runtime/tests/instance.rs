//! A real instance in a temporary directory: durable runs, crashes, misbehaving agents.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::Duration;

use ark_os_core::Command;
use ark_os_core::run::RunState;
use ark_os_runtime::{Components, Handle, Instance, Outcome, PlanRequest, RunRequest, Settings};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

fn settings(dir: &tempfile::TempDir) -> Settings {
    let mut settings = Settings::new(dir.path());
    settings.segment_bytes = 1 << 20;
    settings
}

fn start(dir: &tempfile::TempDir) -> Instance {
    Instance::start(settings(dir), Components::builtin()).unwrap()
}

async fn run(handle: &Handle, request: RunRequest) -> Outcome {
    handle.submit_and_wait(request, PATIENCE).await.unwrap().1.expect("the run ends in time")
}

fn output(handle: &Handle, summary: &Outcome) -> Value {
    serde_json::from_slice(&handle.load(summary.output.as_ref().unwrap()).unwrap()).unwrap()
}

fn workflow(value: Value, input: &Value) -> RunRequest {
    RunRequest::new(PlanRequest::Workflow(value), input.to_string().into_bytes())
}

#[tokio::test]
async fn a_task_is_answered_when_its_result_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let instance = start(&dir);
    let handle = instance.handle();
    let summary = run(&handle, RunRequest::task("echo", b"{\"a\":1}".to_vec())).await;
    assert_eq!(summary.state, RunState::Succeeded);
    assert_eq!(output(&handle, &summary), json!({"a": 1}));
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_workflow_maps_reduces_and_skips() {
    let dir = tempfile::tempdir().unwrap();
    let instance = start(&dir);
    let handle = instance.handle();
    let plan = json!({
        "name": "sum", "version": "1",
        "tasks": [
            {"name": "list", "skill": "echo", "input": [1, 2, 3, 4]},
            {"name": "each", "skill": "echo", "map": {"over": "${tasks.list.output}"},
             "input": "${item}"},
            {"name": "sum", "skill": "list.sum", "reduce": "each"},
            {"name": "never", "skill": "fail", "when": "input.go == true", "input": {"times": 99}}
        ],
        "output": {"sum": "${tasks.sum.output}", "never": "${tasks.never.output}"}
    });
    let summary = run(&handle, workflow(plan, &json!({"go": false}))).await;
    assert_eq!(summary.state, RunState::Succeeded, "{summary:?}");
    assert_eq!(output(&handle, &summary)["never"], Value::Null);
    assert!(output(&handle, &summary).to_string().contains("10"));
    instance.stop().unwrap();
}

#[tokio::test]
async fn what_was_accepted_goes_on_after_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let instance = start(&dir);
    let request = RunRequest::task("sleep", b"{\"ms\":300}".to_vec());
    let submitted = instance.handle().submit(request).await.unwrap();
    instance.stop().unwrap();

    let instance = start(&dir);
    let summary = instance.handle().wait(submitted.run, PATIENCE).await.unwrap().unwrap();
    assert_eq!(summary.state, RunState::Succeeded);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_failing_task_is_retried_and_its_final_error_carries_every_cause() {
    let dir = tempfile::tempdir().unwrap();
    let instance = start(&dir);
    let handle = instance.handle();
    let summary = run(&handle, RunRequest::task("fail", b"{\"times\":2}".to_vec())).await;
    assert_eq!(summary.state, RunState::Succeeded, "{summary:?}");
    let summary = run(&handle, RunRequest::task("fail", b"{\"times\":9}".to_vec())).await;
    assert_eq!(summary.state, RunState::Failed);
    assert_eq!(summary.failure.as_ref().unwrap().causes.len(), 3, "{summary:?}");
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_cancelled_run_is_over_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let instance = start(&dir);
    let handle = instance.handle();
    let request = RunRequest::task("sleep", b"{\"ms\":600000}".to_vec());
    let submitted = handle.submit(request).await.unwrap();
    let reason = "test".into();
    handle.command(Command::CancelRun { run: submitted.run, reason }).await.unwrap();
    let summary = handle.wait(submitted.run, PATIENCE).await.unwrap().unwrap();
    assert_eq!(summary.state, RunState::Cancelled);
    assert_eq!(handle.read(|kernel| kernel.state().fleet().in_use()).await.unwrap(), 0);
    instance.stop().unwrap();
}

#[tokio::test]
async fn the_same_key_and_request_give_the_same_run() {
    let dir = tempfile::tempdir().unwrap();
    let instance = start(&dir);
    let handle = instance.handle();
    let mut request = RunRequest::task("echo", b"1".to_vec());
    request.key = Some("k".to_owned());
    let first = handle.submit(request.clone()).await.unwrap();
    let again = handle.submit(request.clone()).await.unwrap();
    assert_eq!(first.run, again.run);
    assert!(again.existing);
    request.input = b"2".to_vec();
    let error = handle.submit(request).await.unwrap_err();
    assert_eq!(error.code(), "key_reused");
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_second_instance_on_one_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let instance = start(&dir);
    let error = Instance::start(settings(&dir), Components::builtin()).unwrap_err();
    assert_eq!(error.kind(), ark_os_core::Kind::Conflict);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    instance.stop().unwrap();
}

#[tokio::test]
async fn draining_lets_what_runs_end_and_refuses_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let instance = start(&dir);
    let handle = instance.handle();
    let request = RunRequest::task("sleep", b"{\"ms\":200}".to_vec());
    let submitted = handle.submit(request.clone()).await.unwrap();
    assert!(instance.drain(PATIENCE).await.unwrap());
    assert_eq!(handle.submit(request).await.unwrap_err().code(), "draining");
    let summary = handle.wait(submitted.run, PATIENCE).await.unwrap().unwrap();
    assert_eq!(summary.state, RunState::Succeeded);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_stop_leaves_the_backlog_for_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut few = settings(&dir);
    few.agents = 1;
    let instance = Instance::start(few.clone(), Components::builtin()).unwrap();
    let handle = instance.handle();
    let mut runs = Vec::new();
    for _ in 0..50 {
        let request = RunRequest::task("sleep", b"{\"ms\":60000}".to_vec());
        runs.push(handle.submit(request).await.unwrap().run);
    }
    instance.stop().unwrap();

    let instance = Instance::start(few, Components::builtin()).unwrap();
    let handle = instance.handle();
    let live = handle.read(|kernel| kernel.state().live()).await.unwrap();
    assert_eq!(live, runs.len());
    for run in runs {
        let reason = "test".into();
        handle.command(Command::CancelRun { run, reason }).await.unwrap();
    }
    instance.stop().unwrap();
}

#[tokio::test]
async fn large_data_is_prepared_worked_on_and_gathered_beside_the_loop() {
    let dir = tempfile::tempdir().unwrap();
    let instance = start(&dir);
    let handle = instance.handle();
    let large = "x".repeat(100_000);
    let plan = json!({
        "name": "large", "version": "1",
        "tasks": [
            {"name": "copy", "skill": "echo", "input": "${input.text}"},
            {"name": "each", "skill": "echo", "map": {"over": "${input.list}"}, "input": "${item}",
             "when": "size(input.text) == 100000"},
            {"name": "count", "skill": "list.count", "reduce": "each"}
        ],
        "output": {"text": "${tasks.copy.output}", "count": "${tasks.count.output}"}
    });
    let input = json!({"text": large, "list": (0..2_000).collect::<Vec<u32>>()});
    let outcome = run(&handle, workflow(plan, &input)).await;
    assert_eq!(outcome.state, RunState::Succeeded, "{:?}", outcome.failure);
    assert_eq!(output(&handle, &outcome)["text"], json!(large));
    instance.stop().unwrap();
}
