//! What is refused, and how.

use std::sync::Arc;

use ark_os_core::Command;
use ark_os_core::event::Intake;
use ark_os_runtime::{Lines, RunRequest};
use serde_json::json;
use tempfile::tempdir;

use super::support::World;

#[test]
fn without_the_token_nothing_is_told() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    for token in ["", "Bearer wrong", "Basic YTpi", "Bearer"] {
        for path in ["/api/v1/runs", "/metrics", "/api/v1/health", "/nowhere"] {
            let answer = world.call("GET", path, &[("Authorization", token)], b"");
            answer.problem(401, "unauthenticated");
            assert!(answer.headers["www-authenticate"].starts_with("Bearer"));
        }
    }
    world.stop();
}

#[test]
fn another_host_is_not_served() {
    let dir = tempdir().unwrap();
    let hosts = ["ark.test", "[2001:db8::1]"].map(String::from);
    let world = World::with(dir.path(), |_, server| server.hosts = hosts.to_vec());
    for (host, status) in [
        ("evil.test", 421),
        ("127.0.0.1.evil.test", 421),
        ("", 421),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:7341", 200),
        ("ark.test:80", 200),
        ("[2001:db8::1]:7341", 200),
        ("[2001:db8::2]", 421),
    ] {
        let answer = world.call("GET", "/api/v1/health/live", &[("Host", host)], b"");
        assert_eq!(answer.status, status, "{host}: {}", answer.text());
    }
    world.stop();
}

#[test]
fn unknown_routes_and_methods_are_problems() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    world.get("/").problem(404, "route_not_found");
    world.get("/api/v1/nothing").problem(404, "route_not_found");
    let answer = world.call("DELETE", "/api/v1/runs", &[], b"");
    answer.problem(405, "method_not_allowed");
    assert!(answer.headers["allow"].contains("GET"), "{:?}", answer.headers);
    world.get("/api/v1/tasks").problem(405, "method_not_allowed");
    for path in
        ["runs/run_x", "runs/x/tasks", "runs/x/events", "runs/run_00000000000000000000000000"]
    {
        world.get(&format!("/api/v1/{path}")).problem(404, "run_not_found");
    }
    for id in ["task_x", "task_00000000000000000000000000_0", "%FF"] {
        let answer = world.get(&format!("/api/v1/tasks/{id}"));
        assert!(matches!(answer.status, 400 | 404), "{id}: {}", answer.text());
    }
    world.stop();
}

#[test]
fn bodies_over_the_limit_are_413() {
    let dir = tempdir().unwrap();
    let world = World::with(dir.path(), |_, server| server.max_body_bytes = 1_000);
    let body = format!(r#"{{"skill":"echo","input":"{}"}}"#, "x".repeat(2_000));
    world.post("/api/v1/tasks", &body).problem(413, "body_too_large");
    world.post("/api/v1/runs", &body).problem(413, "body_too_large");
    // A line that is too long is answered, and the next one is served.
    let lines = format!("{body}\n{}\n", r#"{"skill":"echo","input":1}"#);
    let answers = world.post("/api/v1/tasks/batch?wait=30s", lines).lines();
    assert_eq!(answers[0]["problem"]["code"], "line_too_long", "{answers:?}");
    assert_eq!((&answers[1]["line"], &answers[1]["output"]), (&json!(2), &json!(1)));
    world.stop();
}

#[test]
fn an_idempotency_key_gives_the_same_run_once() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let send = |body: &str| {
        world.call("POST", "/api/v1/tasks", &[("Idempotency-Key", "k-1")], body.as_bytes())
    };
    let first = send(r#"{"skill":"echo","input":1}"#);
    assert_eq!((first.status, &first.json()["existing"]), (202, &json!(false)));
    let again = send(r#"{"skill":"echo","input":1}"#);
    assert_eq!((again.status, &again.json()["existing"]), (202, &json!(true)));
    assert_eq!(first.json()["run"], again.json()["run"]);
    send(r#"{"skill":"echo","input":2}"#).problem(409, "key_reused");
    let long = "k".repeat(300);
    world
        .call("POST", "/api/v1/tasks", &[("Idempotency-Key", &long)], br#"{"skill":"echo"}"#)
        .problem(400, "key_invalid");
    let task = br#"{"task":{"skill":"echo"},"input":1}"#;
    let run = world.call("POST", "/api/v1/runs", &[("Idempotency-Key", "k-2")], task).json();
    let same = world.call("POST", "/api/v1/runs?wait=30s", &[("Idempotency-Key", "k-2")], task);
    assert_eq!(run["run"], same.json()["run"]);
    assert_eq!((same.status, &same.json()["existing"]), (200, &json!(true)), "{}", same.text());
    world.stop();
}

#[test]
fn the_places_of_a_plan_are_places_of_the_request() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let pointers = |body: &str| {
        let problem = world.post("/api/v1/runs", body).problem(400, "manifest_invalid");
        let errors = problem["errors"].as_array().unwrap().clone();
        errors.iter().map(|it| it["pointer"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let task = r#"{"name":"a","skill":"nope"}"#;
    let workflow = format!(r#"{{"name":"w","version":"1","tasks":[{task}]}}"#);
    assert_eq!(pointers(&format!(r#"{{"workflow":{workflow}}}"#)), ["/workflow/tasks/0/skill"]);
    assert_eq!(
        pointers(&format!(r#"{{"workflow":{{"workflows":[{workflow}]}}}}"#)),
        ["/workflow/workflows/0/tasks/0/skill"]
    );
    assert_eq!(pointers(r#"{"task":{"skill":"echo","timeout":"soon"}}"#), ["/task/timeout"]);
    assert_eq!(pointers(r#"{"task":{"skill":"nope"}}"#), ["/task/skill"]);
    let both = world.post("/api/v1/runs", r#"{"input":1}"#);
    both.problem(400, "request_invalid");
    world.stop();
}

#[test]
fn an_instance_that_drains_or_has_stopped_says_so() {
    let dir = tempdir().unwrap();
    let mut world = World::start(dir.path());
    let drain = Command::SetIntake { intake: Intake::Draining, reason: "test".into() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(world.handle.command(drain)).unwrap();
    let answer = world.post("/api/v1/tasks", r#"{"skill":"echo"}"#);
    answer.problem(503, "draining");
    assert_eq!(answer.headers["retry-after"], "1");
    world.get("/api/v1/health/ready").problem(503, "draining");
    assert_eq!(world.get("/api/v1/health").json()["status"], "draining");
    world.stop_instance();
    world.post("/api/v1/tasks", r#"{"skill":"echo"}"#).problem(503, "instance_stopped");
    world.get("/api/v1/health/ready").problem(503, "instance_stopped");
    assert_eq!(world.get("/api/v1/health/live").status, 200);
    let lines = world.post("/api/v1/tasks/batch?wait=true", "{\"skill\":\"echo\"}\n").lines();
    assert_eq!(lines[0]["problem"]["code"], "instance_stopped");
}

/// The loop is held up by a look at the state, so that what is sent meanwhile has to wait.
#[test]
fn too_much_at_a_time_is_429_and_loses_nothing_that_was_taken() {
    let dir = tempdir().unwrap();
    let world = World::with(dir.path(), |settings, _| settings.agents = 100);
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (begun, begins) = std::sync::mpsc::channel();
    let handle = world.handle.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let looking = runtime.spawn(async move {
        let look = handle.read(move |_| {
            begun.send(()).unwrap();
            let _ = held.recv();
        });
        look.await.unwrap();
    });
    begins.recv().unwrap();
    let lines = Arc::new(Lines::default());
    let mut taken = 0;
    loop {
        let requests = (0..1_000).map(|n| (taken + n, RunRequest::task("echo", b"1".to_vec())));
        match world.handle.submit_lines(requests.collect(), &lines, true) {
            Ok(()) => taken += 1_000,
            Err(error) => break assert_eq!(error.code(), "overloaded"),
        }
    }
    let answer = world.post("/api/v1/tasks", r#"{"skill":"echo"}"#);
    // The last thousand did not fit; fewer may.
    let answer = match answer.status {
        429 => answer,
        _ => panic!("{}", answer.text()),
    };
    answer.problem(429, "overloaded");
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.json()["retry_after"], 1);
    hold.send(()).unwrap();
    runtime.block_on(async {
        looking.await.unwrap();
        let mut over = 0;
        while over < taken {
            over += lines.fetch().await.len() as u32;
        }
        assert_eq!(over, taken);
    });
    assert_eq!(world.task(r#"{"skill":"echo","input":1}"#)["output"], 1);
    world.stop();
}
