//! Limits by key, over HTTP.

use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::World;

const PLAN: &str = r#"{"name":"slow","version":"1","tasks":[
    {"name":"call","skill":"sleep","input":{"ms":60000},
     "limit":{"name":"crm","key":"${input.customer}","at_once":1,"rate":{"count":5,"per":"1m"}}}]}"#;

fn submit(world: &World, customer: &str) -> String {
    let body = format!(r#"{{"workflow":{PLAN},"input":{{"customer":"{customer}"}}}}"#);
    let answer = world.post("/api/v1/runs", body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["run"].as_str().unwrap().to_owned()
}

fn task(world: &World, run: &str) -> Value {
    world.get(&format!("/api/v1/runs/{run}/tasks")).json()["items"][0].clone()
}

/// Looks until a task stands so.
fn await_state(world: &World, run: &str, state: &str) -> Value {
    loop {
        let shown = task(world, run);
        if shown["state"] == state {
            return shown;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_task_waits_for_its_key_visibly_and_others_do_not_wait_for_it() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let first = submit(&world, "ann");
    await_state(&world, &first, "running");
    let second = submit(&world, "ann");
    let other = submit(&world, "bob");
    await_state(&world, &other, "running");
    let held = await_state(&world, &second, "ready");
    assert_eq!(held["waits_for"], "limit crm ann", "{held}");
    let shown = world.get(&format!("/api/v1/runs/{second}")).json();
    assert_eq!(shown["limits"], json!(["limit crm ann"]), "{shown}");
    let rows = |name: &str| {
        let trace = world.get(&format!("/api/v1/runs/{second}/trace")).json();
        let rows = trace[name].as_array().unwrap().clone();
        rows.into_iter().filter(|row| row["kind"] == "waiting").collect::<Vec<_>>()
    };
    let open = &rows("open")[0];
    let told = (&open["text"], &open["state"], &open["details"]["key"]);
    assert_eq!(told, (&json!("the limit crm ann"), &json!("open"), &json!("ann")));
    assert!(open["idle_ms"].is_u64() && rows("items").is_empty(), "{open}");
    let queues = world.get("/api/v1/queues").json();
    let ann = queues["items"].as_array().unwrap().iter().find(|it| it["key"] == "ann").unwrap();
    let seen = (&ann["skill"], &ann["running"], &ann["running_max"], &ann["ready"]);
    assert_eq!(seen, (&json!("crm"), &json!(1), &json!(1), &json!(1)), "{queues}");
    assert_eq!((&ann["rate"]["begun"], &ann["rate"]["count"]), (&json!(1), &json!(5)));
    assert_eq!(ann["next_run"], json!(second));
    world.post(&format!("/api/v1/runs/{first}/cancel"), "{}");
    await_state(&world, &second, "running");
    let waited = &rows("items")[0];
    assert_eq!((&waited["text"], &waited["name"]), (&json!("the limit crm ann"), &json!("call")));
    assert_eq!(waited["duration_ms"], waited["idle_ms"], "all of it is waiting: {waited}");
    assert!(rows("open").is_empty());
    let trace = world.get(&format!("/api/v1/runs/{second}/trace")).json();
    let task = trace["open"].as_array().unwrap().iter().find(|it| it["kind"] == "task").unwrap();
    // It may have stood in line for an agent besides.
    let idle = task["idle_ms"].as_u64().zip(waited["duration_ms"].as_u64());
    assert!(idle.is_some_and(|(task, held)| task >= held), "the wait is no work: {trace}");
    let unheld = world.get(&format!("/api/v1/runs/{other}/trace")).json();
    assert!(!unheld.to_string().contains("the limit"), "{unheld}");
    assert_eq!(world.get(&format!("/api/v1/runs/{second}")).json()["limits"], Value::Null);
    let events = world.get(&format!("/api/v1/runs/{second}/events?limit=500")).json();
    let items = events["items"].as_array().unwrap();
    let keyed = items.iter().find(|it| it["type"] == "task_keyed").unwrap();
    assert_eq!(keyed["key"], "ann");
    world.stop();
}

#[test]
fn what_is_wrong_with_a_limit_is_told_at_its_place() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    for (limit, place) in [
        (r#"{"name":"x"}"#, ""),
        (r#"{"at_once":0}"#, "/at_once"),
        (r#"{"rate":{"count":1}}"#, "/rate"),
        (r#"{"rate":{"count":1001,"per":"1s"}}"#, "/rate/count"),
        (r#"{"at_once":1,"key":"${item}"}"#, "/key"),
        (r#"{"at_once":1,"key":"${tasks.nobody.output}"}"#, "/key"),
    ] {
        let plan =
            format!(r#"{{"name":"p","tasks":[{{"name":"t","skill":"echo","limit":{limit}}}]}}"#);
        let answer = world.post("/api/v1/runs", format!(r#"{{"workflow":{plan}}}"#));
        let problem = answer.problem(400, "manifest_invalid");
        let want = format!("/workflow/tasks/0/limit{place}");
        let places = problem["errors"].as_array().unwrap();
        assert!(places.iter().any(|it| it["pointer"] == want), "{limit}: {problem}");
    }
    world.stop();
}
