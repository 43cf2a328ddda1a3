//! Waits and signals over HTTP: what is sent, what is refused, what is shown of it.

use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::{Answer, World};

const PLAN: &str = r#"{"workflow":{"name":"ask","version":"1","tasks":[
    {"name":"draft","skill":"echo","input":{"text":"hello"}},
    {"name":"approved","after":["draft"],
     "wait":{"signal":"approval","timeout":"1h"},
     "output_schema":{"type":"object","required":["by"],"properties":{"by":{"type":"string"}}}},
    {"name":"pause","wait":{"for":"1ms"}},
    {"name":"never","when":"false","wait":{"until":"${input.at}"}},
    {"name":"send","skill":"echo","after":["pause","never"],
     "input":{"by":"${tasks.approved.output.by}"}}]}}"#;

fn begun(world: &World) -> String {
    let answer = world.post("/api/v1/runs", PLAN);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let run = answer.json()["run"].as_str().unwrap().to_owned();
    until(world, &run, "waiting");
    run
}

fn until(world: &World, run: &str, state: &str) -> Value {
    loop {
        let view = world.get(&format!("/api/v1/runs/{run}")).json();
        if view["state"] == state {
            return view;
        }
        assert!(!["failed", "cancelled"].contains(&view["state"].as_str().unwrap()), "{view}");
        std::thread::yield_now();
    }
}

fn signal(world: &World, run: &str, name: &str, body: &str, key: Option<&str>) -> Answer {
    let headers: Vec<(&str, &str)> = key.map(|key| ("Idempotency-Key", key)).into_iter().collect();
    world.call("POST", &format!("/api/v1/runs/{run}/signals/{name}"), &headers, body.as_bytes())
}

fn row<'a>(rows: &'a Value, kind: &str) -> &'a Value {
    let rows = rows["items"].as_array().unwrap();
    rows.iter().find(|row| row["kind"] == kind || row["type"] == kind).unwrap()
}

#[test]
fn a_run_says_what_it_waits_for_and_goes_on_with_what_the_signal_says() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let run = begun(&world);
    let view = world.get(&format!("/api/v1/runs/{run}")).json();
    assert_eq!((&view["signals"], &view["tasks"]["waiting"]), (&json!(["approval"]), &json!(1)));
    let tasks = world.get(&format!("/api/v1/runs/{run}/tasks")).json();
    let waits = &tasks["items"][1];
    assert_eq!(
        (&waits["state"], &waits["waits_for"]),
        (&json!("waiting"), &json!("signal approval"))
    );
    assert!(waits["retry_at"].is_string() && waits["skill"].is_null(), "{waits}");
    let graph = world.get(&format!("/api/v1/runs/{run}/graph?format=text"));
    assert!(graph.text().contains("wait: signal approval"), "{}", graph.text());

    let problem = signal(&world, &run, "approval", r#"{"by":7}"#, None);
    assert_eq!(problem.problem(400, "signal_invalid")["errors"][0]["pointer"], "/by");
    signal(&world, &run, "approval", "{", None).problem(400, "json_invalid");
    signal(&world, &run, "aproval", "{}", None).problem(404, "signal_unknown");
    let sent = signal(&world, &run, "approval", r#"{"by":"ann","n":7}"#, Some("k"));
    assert_eq!(sent.status, 200, "{}", sent.text());
    let over = world.get(&format!("/api/v1/runs/{run}?wait=30s")).json();
    assert_eq!((&over["state"], &over["output"]), (&json!("succeeded"), &json!({"by": "ann"})));

    // The run has left the state: what is told comes from its history.
    let tasks = world.get(&format!("/api/v1/runs/{run}/tasks")).json();
    assert_eq!(tasks["items"][1]["output"]["by"], "ann", "{tasks}");
    let events = world.get(&format!("/api/v1/runs/{run}/events?limit=500")).json();
    let came = row(&events, "signal_received");
    // The pause ends whenever its time has passed.
    let mut ends = events["items"].as_array().unwrap().iter();
    let ended = ends.find(|row| row["type"] == "wait_ended" && row["signal"].is_u64()).unwrap();
    assert_eq!((&came["name"], &came["key"]), (&json!("approval"), &json!("k")));
    assert_eq!((&ended["output"]["by"], &ended["signal"]), (&json!("ann"), &came["signal"]));
    let trace = world.get(&format!("/api/v1/runs/{run}/trace")).json();
    assert_eq!(row(&trace, "signal")["text"], "approval");
    assert_eq!(row(&trace, "waiting")["name"], "pause");
    world.stop();
}

#[test]
fn a_signal_is_sent_once_and_not_to_a_run_that_is_over() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let run = begun(&world);
    let body = r#"{"by":"ann"}"#;
    for _ in 0..2 {
        assert_eq!(signal(&world, &run, "approval", body, Some("once")).status, 200);
    }
    until(&world, &run, "succeeded");
    assert_eq!(signal(&world, &run, "approval", body, Some("once")).status, 200);
    signal(&world, &run, "approval", body, None).problem(409, "run_over");
    signal(&world, &run, "approval", body, Some("other")).problem(409, "run_over");
    signal(&world, "run_00000000000000000000000000", "x", "", None).problem(404, "run_not_found");
    let cancelled = begun(&world);
    world.post(&format!("/api/v1/runs/{cancelled}/cancel"), "");
    signal(&world, &cancelled, "approval", body, None).problem(409, "run_over");
    signal(&world, &cancelled, "approval", body, Some("once")).problem(409, "key_reused");
    world.stop();
}

#[test]
fn a_large_payload_is_a_blob_and_the_output_all_the_same() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let run = begun(&world);
    let body = json!({"by": "x".repeat(40_000)}).to_string();
    assert_eq!(signal(&world, &run, "approval", &body, None).status, 200);
    let over = world.get(&format!("/api/v1/runs/{run}?wait=30s")).json();
    assert_eq!(over["output"]["by"].as_str().unwrap().len(), 40_000);
    world.stop();
}
