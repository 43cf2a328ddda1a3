//! Schedules, starts in the future and priorities over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::{World, now};

const PLAN: &str =
    r#"{"name":"one","version":"1","tasks":[{"name":"a","skill":"echo","input":"${input}"}]}"#;

fn schedule(name: &str, cron: &str, more: &str) -> String {
    format!(r#"{{"name":"{name}","cron":"{cron}","workflow":{PLAN},"input":{{"n":7}}{more}}}"#)
}

/// Asks again until the schedule has begun so many runs: it does every second.
fn fired(world: &World, name: &str, count: u64) -> Value {
    let deadline = now() + Duration::from_secs(30);
    loop {
        let view = world.get(&format!("/api/v1/schedules/{name}")).json();
        if view["fired"].as_u64().unwrap() >= count {
            return view;
        }
        assert!(now() < deadline, "{view}");
        std::thread::yield_now();
    }
}

#[test]
fn a_schedule_begins_runs_by_its_pattern_and_goes_on_after_a_restart() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let put = world.post("/api/v1/schedules", schedule("tick", "* * * * * *", ""));
    assert_eq!(put.status, 200, "{}", put.text());
    assert_eq!(put.json()["upcoming"].as_array().unwrap().len(), 5);
    let view = fired(&world, "tick", 1);
    let run = view["last"]["run"].as_str().unwrap();
    let shown = world.get(&format!("/api/v1/runs/{run}?wait=30s")).json();
    assert_eq!((&shown["state"], &shown["output"]), (&json!("succeeded"), &json!({"n": 7})));
    let events = world.get(&format!("/api/v1/runs/{run}/events")).json();
    let begun =
        events["items"].as_array().unwrap().iter().find(|it| it["type"] == "schedule_fired");
    assert_eq!(begun.unwrap()["schedule"], "tick", "{events}");
    world.stop();

    let world = World::start(dir.path());
    let before = view["fired"].as_u64().unwrap();
    let view = fired(&world, "tick", before + 1);
    assert_eq!((&view["catch_up"], &view["overlap"]), (&json!("one"), &json!("skip")));
    let paused = world.post("/api/v1/schedules/tick/pause", "").json();
    assert_eq!((&paused["paused"], &paused["upcoming"]), (&json!(true), &json!([])));
    let run = world.post("/api/v1/schedules/tick/run-now", "");
    assert_eq!(run.status, 202, "{}", run.text());
    let run = run.json()["run"].as_str().unwrap().to_owned();
    let shown = world.get(&format!("/api/v1/runs/{run}?wait=30s")).json();
    assert_eq!(shown["state"], "succeeded");
    let origin = &shown["origin"]["schedule"];
    assert_eq!(
        (&origin["name"], &origin["trigger"]),
        (&json!("tick"), &json!("manual")),
        "{shown}"
    );
    let resumed = world.post("/api/v1/schedules/tick/resume", "").json();
    assert!(!resumed["upcoming"].as_array().unwrap().is_empty());
    let gone = world.call("DELETE", "/api/v1/schedules/tick?reason=enough", &[], b"");
    assert_eq!(gone.json()["name"], "tick", "{}", gone.text());
    world.get("/api/v1/schedules/tick").problem(404, "schedule_not_found");
    world.stop();
}

#[test]
fn schedules_are_listed_in_pages_and_what_is_none_is_refused_with_its_place() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    for name in ["c", "a", "b"] {
        let more = r#","zone":"Europe/Berlin","catch_up":{"all":{"max":3}},"overlap":"queue""#;
        let put = world.post("/api/v1/schedules", schedule(name, "0 3 1 1 *", more));
        assert_eq!(put.json()["catch_up"], json!({"all": {"max": 3}}), "{}", put.text());
    }
    let page = world.get("/api/v1/schedules?limit=2").json();
    let names: Vec<_> = page["items"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!((names, &page["next"]), (vec![&json!("a"), &json!("b")], &json!("b")));
    let page = world.get("/api/v1/schedules?cursor=b").json();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (1, &Value::Null));

    let wrong = world.post("/api/v1/schedules", schedule("x", "* * *", r#","zone":"Mars/One""#));
    let places: Vec<_> = wrong.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["pointer"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(places, ["/cron", "/zone"]);
    wrong.problem(400, "schedule_invalid");
    let never = world.post("/api/v1/schedules", schedule("x", "0 0 31 2 *", ""));
    never.problem(400, "schedule_invalid");
    let named = r#"{"name":"x","cron":"* * * * *","workflow":"nobody"}"#;
    world.post("/api/v1/schedules", named).problem(404, "workflow_not_found");
    let skill = schedule("x", "* * * * *", "").replace("echo", "ecko");
    let refused = world.post("/api/v1/schedules", skill);
    assert_eq!(refused.json()["errors"][0]["pointer"], "/workflow/tasks/0/skill");
    refused.problem(400, "manifest_invalid");
    world.stop();
}

#[test]
fn a_run_with_a_start_of_its_own_waits_for_it() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let body = |more: &str| format!(r#"{{"workflow":{PLAN},"input":1,{more}}}"#);
    let soon = world.post("/api/v1/runs?wait=30s", body(r#""delay":"300ms""#)).json();
    assert_eq!(soon["state"], "succeeded", "{soon}");
    let later = world.post("/api/v1/runs", body(r#""start_at":"2999-01-01T00:00:00+01:00""#));
    let run = later.json()["run"].as_str().unwrap().to_owned();
    let shown = world.get(&format!("/api/v1/runs/{run}")).json();
    assert_eq!(shown["start_at"], "2998-12-31T23:00:00.000Z", "{shown}");
    let path = format!("/api/v1/runs/{run}/priority");
    let urgent = world.post(&path, r#"{"priority":"high","reason":"a guest"}"#);
    assert_eq!(urgent.json()["priority"], "high", "{}", urgent.text());
    world.post(&path, r#"{"priority":"utmost"}"#).problem(400, "request_invalid");
    world.post(&format!("/api/v1/runs/{run}/pause"), "").problem(409, "run_delayed");
    let cancelled = world.post(&format!("/api/v1/runs/{run}/cancel"), "").json();
    assert_eq!(
        (&cancelled["state"], &cancelled["priority"]),
        (&json!("cancelled"), &json!("high"))
    );
    world.post(&path, r#"{"priority":"low"}"#).problem(409, "run_over");
    let both = body(r#""delay":"1s","start_at":"2999-01-01T00:00:00Z""#);
    world.post("/api/v1/runs", both).problem(400, "request_invalid");
    world.stop();
}

#[test]
fn a_key_gives_the_same_run_of_a_schedule_once_also_when_the_schedule_is_gone() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    world.post("/api/v1/schedules", schedule("yearly", "0 0 1 1 *", ""));
    world.post("/api/v1/schedules", schedule("other", "0 0 1 1 *", ""));
    let run_now = |name: &str, key: &str| {
        let path = format!("/api/v1/schedules/{name}/run-now");
        world.call("POST", &path, &[("Idempotency-Key", key)], b"")
    };
    let first = run_now("yearly", "k-1").json();
    assert_eq!(first["existing"], false, "{first}");
    assert_eq!(run_now("yearly", "k-1").json(), json!({"run": first["run"], "existing": true}));
    run_now("other", "k-1").problem(409, "key_reused");
    run_now("yearly", "").problem(400, "key_invalid");
    assert_ne!(run_now("yearly", "k-2").json()["run"], first["run"]);
    let view = world.get("/api/v1/schedules/yearly").json();
    assert_eq!(view["fired"], 2, "{view}");
    world.call("DELETE", "/api/v1/schedules/yearly", &[], b"");
    assert_eq!(run_now("yearly", "k-1").json()["run"], first["run"]);
    run_now("yearly", "k-3").problem(404, "schedule_not_found");
    world.stop();
}
