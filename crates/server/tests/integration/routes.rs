//! Each route does what it says.

use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::World;

const PLAN: &str = r#"{"workflow":{"name":"two","version":"1","tasks":[
    {"name":"a","skill":"echo","input":{"n":"${input.n}"}},
    {"name":"b","skill":"echo","input":"${tasks.a.output}"}]},"input":{"n":7}}"#;

#[test]
fn a_task_is_accepted_and_its_result_is_found_by_every_route() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let answer = world.post("/api/v1/tasks", r#"{"skill":"echo","input":{"n":1}}"#);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let accepted = answer.json();
    let (run, task) = (accepted["run"].as_str().unwrap(), accepted["task"].as_str().unwrap());
    assert_eq!(accepted["state"], "accepted");
    assert_eq!(answer.headers["location"], format!("/api/v1/runs/{run}"));

    let shown = world.get(&format!("/api/v1/runs/{run}?wait=30s")).json();
    assert_eq!((&shown["state"], &shown["output"]), (&json!("succeeded"), &json!({"n": 1})));
    assert_eq!(shown["workflow"], "echo");
    let shown = world.get(&format!("/api/v1/tasks/{task}")).json();
    assert_eq!((&shown["state"], &shown["output"]), (&json!("succeeded"), &json!({"n": 1})));
    assert_eq!((&shown["name"], &shown["skill"]), (&json!("echo"), &json!("echo")));
    let status = world.get(&format!("/api/v1/tasks/{task}/status")).json();
    assert_eq!((&status["task"], &status["state"]), (&json!(task), &json!("succeeded")));
    assert_eq!(world.get(&format!("/api/v1/tasks/{task}/output")).text(), r#"{"n":1}"#);
    assert_eq!(world.get(&format!("/api/v1/runs/{run}/output")).text(), r#"{"n":1}"#);
    world.stop();
}

#[test]
fn waiting_gives_the_result_or_tells_that_it_is_not_there_yet() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let done = world.task(r#"{"skill":"echo","input":[1.50,{"a":"\u00e9"}]}"#);
    assert_eq!((&done["state"], &done["output"]), (&json!("succeeded"), &json!([1.5, {"a": "é"}])));
    let slow = r#"{"skill":"sleep","input":{"ms":60000}}"#;
    let answer = world.post("/api/v1/tasks?wait=50ms", slow);
    assert_eq!((answer.status, &answer.json()["state"]), (202, &json!("accepted")));
    let run = answer.json()["run"].as_str().unwrap().to_owned();
    let cancelled = world.post(&format!("/api/v1/runs/{run}/cancel"), r#"{"reason":"enough"}"#);
    assert_eq!(cancelled.json()["state"], "cancelled", "{}", cancelled.text());
    assert_eq!(cancelled.json()["failure"]["message"], "enough");
    world.post(&format!("/api/v1/runs/{run}/cancel"), "").problem(409, "run_over");
    let failed = world.task(r#"{"skill":"fail","input":{"error":{"code":"mine.broken","message":"no","retryable":false}}}"#);
    assert_eq!(failed["state"], "failed", "{failed}");
    assert_eq!(failed["failure"]["code"], "mine.broken", "{failed}");
    world.stop();
}

#[test]
fn a_run_that_is_over_is_told_as_such_whatever_is_wanted_of_it() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let done = world.task(r#"{"skill":"echo","input":1}"#);
    let run = done["run"].as_str().unwrap();
    for verb in ["cancel", "pause", "resume", "retry"] {
        world.post(&format!("/api/v1/runs/{run}/{verb}"), "").problem(409, "run_over");
    }
    world.post(&format!("/api/v1/runs/{run}/retry"), r#"{"task":"echo"}"#).problem(409, "run_over");
    let nobody = format!("/api/v1/runs/run_{}/cancel", "0".repeat(26));
    world.post(&nobody, "").problem(404, "run_not_found");
    world.stop();
}

#[test]
fn a_workflow_runs_and_shows_its_tasks_also_after_it_is_over() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let answer = world.post("/api/v1/runs?wait=30s", PLAN);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let run = answer.json()["run"].as_str().unwrap().to_owned();
    let summary = &answer.json()["summary"];
    assert_eq!(summary["output"], json!({"n": 7}), "{summary}");
    assert_eq!(summary["tasks"]["succeeded"], 2);
    let first = world.get(&format!("/api/v1/runs/{run}/tasks?limit=1")).json();
    assert_eq!(first["items"][0]["name"], "a", "{first}");
    let next = first["next"].as_str().unwrap();
    let second = world.get(&format!("/api/v1/runs/{run}/tasks?limit=1&cursor={next}")).json();
    assert_eq!(second["items"][0]["name"], "b");
    assert_eq!(second["items"][0]["output"], json!({"n": 7}));
    assert!(second["next"].is_null());
    let workflows = world.get("/api/v1/workflows").json();
    let two = workflows["items"].as_array().unwrap().iter().find(|it| it["name"] == "two").unwrap();
    assert!(!two["decisions"].as_array().unwrap().is_empty());
    assert_eq!(two["tasks"], 2);
    world.stop();
}

#[test]
fn a_failed_run_is_retried_and_a_paused_one_resumed() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let plan = r#"{"workflow":{"name":"f","version":"1","tasks":[
        {"name":"x","skill":"fail","input":{"error":{"code":"mine.broken","message":"no","retryable":false}}}]}}"#;
    let answer = world.post("/api/v1/runs?wait=30s", plan).json();
    assert_eq!(answer["state"], "failed", "{answer}");
    let run = answer["run"].as_str().unwrap();
    let retried = world.post(&format!("/api/v1/runs/{run}/retry"), r#"{"task":"x"}"#);
    assert_eq!(retried.status, 200, "{}", retried.text());
    let again = world.get(&format!("/api/v1/runs/{run}?wait=30s")).json();
    assert_eq!(again["state"], "failed", "{again}");
    world
        .post(&format!("/api/v1/runs/{run}/retry"), r#"{"task":"nope"}"#)
        .problem(404, "task_not_found");

    let slow = world.post("/api/v1/tasks", r#"{"skill":"sleep","input":{"ms":60000}}"#).json();
    let run = slow["run"].as_str().unwrap();
    let paused = world.post(&format!("/api/v1/runs/{run}/pause"), r#"{"reason":"lunch"}"#).json();
    assert_eq!(paused["state"], "paused");
    let resumed = world.post(&format!("/api/v1/runs/{run}/resume"), "").json();
    assert_eq!(resumed["state"], "running");
    world.post(&format!("/api/v1/runs/{run}/resume"), "{}").problem(409, "run_not_paused");
    let task = slow["task"].as_str().unwrap();
    world.post(&format!("/api/v1/tasks/{task}/unpark"), "").problem(409, "task_not_parked");
    let step = format!("/api/v1/runs/{run}/steps/{}/resolve", "0".repeat(64));
    world.post(&step, r#"{"give_up":true,"reason":"x"}"#).problem(409, "step_not_in_doubt");
    let nonsense = format!("/api/v1/runs/{run}/steps/nonsense/resolve");
    world.post(&nonsense, r#"{"give_up":true}"#).problem(404, "step_not_found");
    world.post(&step, r#"{"give_up":true,"not_happened":true}"#).problem(400, "request_invalid");
    world.post(&format!("/api/v1/runs/{run}/cancel"), "");
    world.stop();
}

#[test]
fn reasons_of_retry_and_resume_are_in_the_history() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let failed =
        world.post("/api/v1/tasks?wait=30s", r#"{"skill":"fail","input":{"error":{"code":"mine.broken","message":"no","retryable":false}}}"#);
    let failed = failed.json()["run"].as_str().unwrap().to_owned();
    let retried = world.post(&format!("/api/v1/runs/{failed}/retry"), r#"{"reason":"mended"}"#);
    assert_eq!(retried.status, 200, "{}", retried.text());
    let slow = world.post("/api/v1/tasks", r#"{"skill":"sleep","input":{"ms":60000}}"#).json();
    let slow = slow["run"].as_str().unwrap().to_owned();
    world.post(&format!("/api/v1/runs/{slow}/pause"), "");
    world.post(&format!("/api/v1/runs/{slow}/resume"), r#"{"reason":"fed"}"#);
    for (run, kind, reason) in [(failed, "run_retried", "mended"), (slow, "run_resumed", "fed")] {
        let events = world.get(&format!("/api/v1/runs/{run}/events?limit=500")).json();
        let events = events["items"].as_array().unwrap();
        let event = events.iter().find(|event| event["type"] == kind).unwrap();
        assert_eq!(event["reason"], reason, "{event}");
    }
    world.stop();
}

#[test]
fn runs_are_listed_in_pages_by_state_and_workflow() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    for n in 0..5 {
        world.task(&format!(r#"{{"skill":"echo","input":{n}}}"#));
    }
    world.task(r#"{"skill":"hash","input":"x","namespace":"other"}"#);
    let mut seen = Vec::new();
    let mut path = "/api/v1/runs?limit=2&state=succeeded,failed&workflow=echo".to_owned();
    loop {
        let page = world.get(&path).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|it| it["output"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/runs?limit=2&state=succeeded,failed&workflow=echo&cursor={next}");
    }
    assert_eq!(seen, [4, 3, 2, 1, 0].map(Value::from));
    let other = world.get("/api/v1/runs?namespace=other").json();
    assert_eq!(other["items"].as_array().unwrap().len(), 1);
    assert!(world.get("/api/v1/runs?state=parked").json()["items"].as_array().unwrap().is_empty());
    world.get("/api/v1/runs?state=happy").problem(400, "query_invalid");
    world.get("/api/v1/runs?cursor=!").problem(400, "cursor_invalid");
    world.get("/api/v1/runs?limit=0").problem(400, "query_invalid");
    world.get("/api/v1/runs?limits=1").problem(400, "query_invalid");
    world.stop();
}

#[test]
fn the_fleet_is_listed_and_its_agents_taken_out_and_in() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let mut names = Vec::new();
    let mut path = "/api/v1/agents?limit=3".to_owned();
    loop {
        let page = world.get(&path).json();
        names.extend(page["items"].as_array().unwrap().iter().map(|it| it["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/agents?limit=3&cursor={next}");
    }
    assert_eq!(names.len(), 8, "{names:?}");
    assert_eq!(names[0], "cecca-00000");
    let micro = world.get("/api/v1/agents/micro-00000").json();
    assert_eq!((&micro["layer"], &micro["standing"]), (&json!("micro"), &json!("ready")));
    assert_eq!(micro["supervisor"], "stack-chief-00000");
    let out = world.post("/api/v1/agents/micro-00000/offline", r#"{"reason":"test"}"#).json();
    assert_eq!(out["standing"], "offline");
    let back = world.post("/api/v1/agents/micro-00000/online", "").json();
    assert_eq!(back["standing"], "ready");
    for id in ["micro-99999", "boss-00001", "%00", "micro"] {
        world.get(&format!("/api/v1/agents/{id}")).problem(404, "agent_not_found");
    }
    world.stop();
}

#[test]
fn a_layer_without_agents_shows_in_health_and_holds_runs() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    assert_eq!(world.get("/api/v1/health").json()["status"], "ok");
    world.post("/api/v1/agents/board-00000/offline", "");
    let health = world.get("/api/v1/health").json();
    assert_eq!((&health["status"], &health["empty_layer"]), (&json!("degraded"), &json!("board")));
    let waiting = world.post("/api/v1/tasks", r#"{"skill":"echo"}"#).json();
    let run = waiting["run"].as_str().unwrap();
    let shown = world.get(&format!("/api/v1/runs/{run}")).json();
    assert_eq!((&shown["state"], &shown["waits_for"]), (&json!("accepted"), &json!("board")));
    world.post("/api/v1/agents/board-00000/online", "");
    let shown = world.get(&format!("/api/v1/runs/{run}?wait=30s")).json();
    assert_eq!((&shown["state"], &shown["output"]), (&json!("succeeded"), &Value::Null));
    world.stop();
}

#[test]
fn metrics_are_there_as_json_and_for_prometheus() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    world.task(r#"{"skill":"echo","input":1}"#);
    let metrics = world.get("/api/v1/metrics").json();
    assert!(metrics["counters"]["agent_requests_total"].as_u64().unwrap() >= 1, "{metrics}");
    assert_eq!(metrics["gauges"]["ark_os_agents"], 8);
    assert!(metrics["histograms"]["agent_latency_seconds"]["count"].is_u64());
    let answer = world.get("/metrics");
    assert!(answer.headers["content-type"].starts_with("application/openmetrics-text"));
    let text = answer.text();
    for line in [
        "# TYPE agent_requests counter",
        "agent_errors_total 0",
        "ark_os_http_requests_total{class=\"5xx\"} 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
    }
    assert!(text.contains("agent_latency_seconds_bucket{le=\"+Inf\"}"), "{text}");
    world.stop();
}

#[test]
fn the_newest_checkpoint_is_a_note_over_what_is_durable() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    for _ in 0..3 {
        world.task(r#"{"skill":"echo","input":1}"#);
    }
    world.stop();
    // Stopping signs everything, and a start begins from there.
    let world = World::start(dir.path());
    world.task(r#"{"skill":"echo","input":1}"#);
    let checkpoint = world.get("/api/v1/ledger/checkpoint").json();
    assert!(checkpoint["size"].as_u64().unwrap() >= 4, "{checkpoint}");
    let (note, origin) =
        (checkpoint["note"].as_str().unwrap(), checkpoint["origin"].as_str().unwrap());
    assert!(note.starts_with(origin) && note.contains(checkpoint["root"].as_str().unwrap()));
    world.stop();
}

#[test]
fn health_and_the_description_need_no_token() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    for path in ["/api/v1/health/live", "/api/v1/health/ready", "/api/v1/openapi.json"] {
        let answer = world.call("GET", path, &[("Authorization", "")], b"");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    assert_eq!(world.get("/api/v1/openapi.json").text(), ark_os_server::openapi_json());
    world.stop();
}

#[test]
fn shutting_down_is_handed_to_whoever_holds_the_instance() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let answer = world.post("/api/v1/admin/shutdown", r#"{"drain_timeout":"2s"}"#);
    assert_eq!(answer.status, 202);
    let asked = world.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].drain_timeout.as_deref(), Some("2s"));
    world
        .post("/api/v1/admin/shutdown", r#"{"drain_timeout":"x"}"#)
        .problem(400, "request_invalid");
    world.stop();
}
