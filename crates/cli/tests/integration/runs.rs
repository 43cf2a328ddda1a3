//! Runs from the command line: outcomes, exit codes, files, attaching after a crash.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, await_that};

const SMALL: &str = r#"
workflows:
  - name: small
    version: "1"
    input:
      type: object
      additionalProperties: false
      required: [count]
      properties: { count: { type: integer } }
    tasks:
      - name: numbers
        skill: list.range
        input: { count: "${input.count}" }
      - name: each
        skill: echo
        map: { over: "${tasks.numbers.output}" }
        input: { n: "${item}" }
      - name: sum
        skill: list.sum
        reduce: each
        input: { field: /n }
    output: { sum: "${tasks.sum.output.sum}" }
"#;

fn run_id(out: &str) -> String {
    let first = out.lines().next().unwrap();
    assert!(first.starts_with("run_"), "{out}");
    first.to_owned()
}

#[test]
fn a_workflow_runs_to_its_end_on_an_instance_of_its_own() {
    let home = Home::new();
    let file = home.file("small.yaml", SMALL);
    let done = home.call(&["run", file.to_str().unwrap(), "--input", "count=5"]).expect(0);
    run_id(&done.out);
    assert!(done.out.contains("succeeded"), "{}", done.out);
    assert!(done.out.contains("sum: 10"), "{}", done.out);
    assert!(done.err.contains("fleet of 100 agents in six layers"), "{}", done.err);
    assert!(done.err.contains("each: 5 tasks"), "{}", done.err);
    assert!(!home.data().join("instance.json").exists(), "it stopped what it started");
}

#[test]
fn json_output_is_the_id_and_then_the_outcome() {
    let home = Home::new();
    let file = home.file("small.yaml", SMALL);
    let args = ["--json", "run", file.to_str().unwrap(), "--input", "count:=3"];
    let done = home.call(&args).expect(0);
    assert_eq!(done.err, "");
    let lines = done.json_lines();
    assert_eq!(lines.len(), 2, "{}", done.out);
    assert_eq!(lines[0]["run"], lines[1]["id"]);
    assert_eq!(
        (&lines[1]["state"], &lines[1]["output"]),
        (&"succeeded".into(), &json!({ "sum": 3 }))
    );
}

#[test]
fn json_and_toml_files_and_standard_input_say_the_same() {
    let home = Home::new();
    let json = home.file(
        "w.json",
        r#"{"workflows":[{"name":"w","version":"1","tasks":[{"name":"t","skill":"echo","input":{"a":1}}]}]}"#,
    );
    let toml = home.file(
        "w.toml",
        "[[workflows]]\nname = \"w\"\nversion = \"1\"\n[[workflows.tasks]]\nname = \"t\"\n\
         skill = \"echo\"\ninput = { a = 1 }\n",
    );
    for file in [&json, &toml] {
        let done = home.call(&["--json", "run", file.to_str().unwrap()]).expect(0);
        assert_eq!(done.json_lines()[1]["output"], json!({ "a": 1 }));
    }
    let mut command = home.command(&["--json", "run", "-"]);
    command.stdin(std::fs::File::open(&json).unwrap());
    let done = crate::support::done(command.output().unwrap()).expect(0);
    assert_eq!(done.json_lines()[1]["output"], json!({ "a": 1 }));
}

#[test]
fn the_exit_code_is_the_outcome() {
    let home = Home::new();
    let args = [
        "run",
        "--task",
        "fail",
        "-i",
        r#"error:={"code":"bad.thing","message":"broken","retryable":false}"#,
    ];
    let failed = home.call(&args).expect(1);
    assert!(failed.out.contains("failed"), "{}", failed.out);
    let mut args = args.to_vec();
    args.insert(0, "--json");
    let view = home.call(&args).expect(1).json_lines()[1].clone();
    assert_eq!(view["state"], "failed");
    home.call(&["run", "--task", "echo", "--priority", "urgent"]).expect(2);
    home.call(&["run", "--task", "no.such.skill"]).expect(2);
    home.call(&["run", "--attach", "run_00000000000000000000000000"]).expect(5);
}

#[test]
fn a_wrong_file_is_told_with_line_and_column_before_anything_starts() {
    let home = Home::new();
    let file = home.file(
        "bad.yaml",
        "workflows:\n  - name: bad\n    version: \"1\"\n    tasks:\n      - name: a\n        \
         skill: ecko\n        after: [b, c]\n      - name: b\n        skill: echo\n        \
         after: [a]\n        retries: 3\n",
    );
    let done = home.call(&["run", file.to_str().unwrap()]).expect(2);
    insta::assert_snapshot!(home.neutral(&done.err));
    assert!(!home.data().exists(), "nothing was started");
    let json = home.call(&["--json", "run", file.to_str().unwrap()]).expect(2).problem();
    assert_eq!(json["code"], "manifest_invalid");
    let places = json["errors"].as_array().unwrap();
    assert!(
        places.iter().any(|it| it["place"].as_str().unwrap().ends_with("bad.yaml:6:16")),
        "{json}"
    );
    let broken = home.file("broken.yaml", "workflows: [\n");
    let done = home.call(&["run", broken.to_str().unwrap()]).expect(2);
    assert!(home.neutral(&done.err).contains("HOME/broken.yaml:2:1: "), "{}", done.err);
    home.call(&["run", "/no/such/file.yaml"]).expect(2);
}

#[test]
fn an_input_that_does_not_fit_is_told_with_its_place() {
    let home = Home::new();
    let file = home.file("small.yaml", SMALL);
    let args = ["--json", "run", file.to_str().unwrap(), "--input", "count=many"];
    let problem = home.call(&args).expect(2).problem();
    assert_eq!(
        (&problem["code"], &problem["errors"][0]["pointer"]),
        (&"input_invalid".into(), &"/input/count".into())
    );
}

#[test]
fn a_run_on_a_running_instance_leaves_it_running() {
    let home = Home::new();
    let node = home.start(&["--agents", "12"]);
    let file = home.file("small.yaml", SMALL);
    let file = file.to_str().unwrap();
    let done = home.call(&["run", file, "--input", "count=4"]).expect(0);
    let run = run_id(&done.out);
    let tasks = home.call(&["--json", "list", "tasks", &run]).expect(0).json();
    assert_eq!(tasks["items"].as_array().unwrap().len(), 7, "{tasks}");
    let events = home.call(&["--json", "logs", &run]).expect(0);
    let kinds: Vec<Value> = events.json_lines().iter().map(|it| it["type"].clone()).collect();
    assert_eq!(kinds.last(), Some(&"run_ended".into()));
    let followed = home.call(&["logs", &run, "--follow"]).expect(0);
    assert!(followed.out.contains("numbers succeeded"), "{}", followed.out);
    let output = home.call(&["get", "run", &run, "--output"]).expect(0);
    assert_eq!(output.json(), json!({ "sum": 6 }));
    let attached = home.call(&["run", "--attach", &run]).expect(0);
    assert!(attached.out.contains("sum: 6"), "{}", attached.out);
    let keyed = ["submit", file, "--input", "count=4", "--key", "k1"];
    assert_eq!(home.call(&keyed).expect(0).out, home.call(&keyed).expect(0).out);
    home.call(&["submit", file, "--input", "count=5", "--key", "k1"]).expect(5);
    node.signal(Signal::TERM);
    assert_eq!(node.wait().0, Some(0));
}

#[test]
fn a_run_is_paused_resumed_cancelled_and_retried() {
    let home = Home::new();
    let _node = home.start(&["--agents", "12"]);
    let state = |run: &str| home.call(&["--json", "get", run]).expect(0).json()["state"].clone();
    let submitted = home.call(&["submit", "--task", "sleep", "-i", "ms=60000"]).expect(0);
    let run = submitted.out.trim();
    home.call(&["resume", run]).expect(5);
    home.call(&["pause", run, "--reason", "lunch"]).expect(0);
    assert_eq!(state(run), "paused");
    home.call(&["resume", run]).expect(0);
    home.call(&["cancel", run]).expect(0);
    assert_eq!(state(run), "cancelled");
    home.call(&["cancel", run]).expect(5);
    home.call(&["retry", run]).expect(0);
    assert_ne!(state(run), "cancelled");
    home.call(&["unpark", &format!("task_{}_0", run.trim_start_matches("run_"))]).expect(5);
    home.call(&["resolve", "00ff", "--not-happened", "--reason", "looked"]).expect(5);
    home.call(&["resolve", "00ff", "--reason", "looked"]).expect(2);
}

#[test]
fn ctrl_c_detaches_from_an_instance_that_runs_on() {
    let home = Home::new();
    let node = home.start(&["--agents", "12"]);
    let mut command = home.command(&["run", "--task", "sleep", "-i", "ms=60000"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut run = String::new();
    await_that("the run is listed", || {
        let runs = home.call(&["--json", "list", "runs"]).expect(0).json();
        run = runs["items"][0]["id"].as_str().unwrap_or_default().to_owned();
        !run.is_empty()
    });
    let view = || home.call(&["--json", "get", &run]).expect(0).json();
    await_that("the task runs", || view()["tasks"]["running"] == 1);
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    await_that("it catches the signal", || catches_interrupt(child.id()));
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let done = crate::support::done(child.wait_with_output().unwrap()).expect(7);
    assert!(done.err.contains("run --attach run_"), "{}", done.err);
    assert_eq!(view()["state"], "running");
    drop(node);
}

#[test]
fn ctrl_c_drains_an_instance_that_run_itself_started() {
    let home = Home::new();
    let mut command = home.command(&["run", "--task", "sleep", "-i", "ms=1500"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    await_that("the instance serves", || home.data().join("instance.json").exists());
    await_that("the task runs", || {
        let runs = home.call(&["--json", "list", "runs"]);
        let page: Value = serde_json::from_str(&runs.out).unwrap_or_default();
        let Some(run) = page["items"][0]["id"].as_str() else { return false };
        let view = home.call(&["--json", "get", run]);
        let view: Value = serde_json::from_str(&view.out).unwrap_or_default();
        view["tasks"]["running"] == 1
    });
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let done = crate::support::done(child.wait_with_output().unwrap()).expect(7);
    let run = run_id(&done.out);
    assert!(done.err.contains(&format!("run --attach {run}")), "{}", done.err);
    let attached = home.call(&["--json", "run", "--attach", &run]).expect(0);
    let view = &attached.json_lines()[1];
    assert_eq!(view["output"], json!({ "slept_ms": 1_500 }));
    let tasks = home.call(&["--json", "run", "--attach", &run]).expect(0);
    assert_eq!(tasks.json_lines()[1]["tasks"], json!({ "total": 1, "succeeded": 1 }));
}

/// Whether a process handles SIGINT, as the kernel tells.
fn catches_interrupt(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    caught & (1 << (Signal::INT.as_raw() - 1)) != 0
}

#[test]
fn a_run_survives_kill_9_and_is_followed_to_the_right_result() {
    let home = Home::new();
    let text = SMALL
        .replace("skill: echo", "skill: sleep")
        .replace("{ n: \"${item}\" }", "{ ms: 60 }")
        .replace("field: /n", "field: /slept_ms");
    let file = home.file("slow.yaml", &text);
    let args = ["run", file.to_str().unwrap(), "--agents", "12", "--input", "count=200"];
    let mut command = home.command(&args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let first = home.path().to_owned();
    await_that("some tasks are done", || {
        let runs = home.command(&["--json", "list", "runs"]).current_dir(&first).output().unwrap();
        let page: Value = serde_json::from_slice(&runs.stdout).unwrap_or_default();
        page["items"][0]["tasks"]["succeeded"].as_u64().unwrap_or(0) > 5
    });
    child.kill().unwrap();
    let killed = crate::support::done(child.wait_with_output().unwrap());
    let run = run_id(&killed.out);
    let done = home.call(&["--json", "run", "--attach", &run]).expect(0);
    let view = &done.json_lines()[1];
    assert_eq!((&view["id"], &view["output"]), (&run.as_str().into(), &json!({ "sum": 12_000 })));
    assert_eq!(view["tasks"], json!({ "total": 202, "succeeded": 202 }));
    home.call(&["ledger", "verify"]).expect(0);
}

#[test]
fn relative_paths_mean_the_caller_s_directory_or_are_warned_about() {
    let home = Home::new();
    let elsewhere = home.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("here.txt"), "x").unwrap();
    let _node = home.start(&["--agents", "6"]);
    let mut command = home.command(&["run", "--task", "echo", "-i", "path=here.txt"]);
    let done = crate::support::done(command.current_dir(&elsewhere).output().unwrap()).expect(0);
    assert!(done.err.contains("warning: `here.txt`"), "{}", done.err);
    let mut command = home.command(&["run", "--task", "echo", "-i", "path=not.there"]);
    let done = crate::support::done(command.current_dir(&elsewhere).output().unwrap()).expect(0);
    assert!(!done.err.contains("warning"), "{}", done.err);
}
