//! What those who watch ask for: the overview, queues, logs, what an agent works on.

use ark_os_server::LogRing;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::World;

/// Asks until it is so: counts of the fleet are a second old at most, and views follow.
fn until(world: &World, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    loop {
        let seen = world.get(path).json();
        if holds(&seen) {
            return seen;
        }
    }
}

fn named<'a>(list: &'a Value, field: &str, name: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|it| it[field] == name).unwrap()
}

#[test]
fn work_that_cannot_be_had_degrades_the_health_until_it_can() {
    let dir = tempdir().unwrap();
    let world = World::with(dir.path(), |_, server| {
        server.health_check_interval = std::time::Duration::from_millis(20);
    });
    let service = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = service.local_addr().unwrap();
    let url = format!("http://{address}/");
    let http = json!({"url": url, "allow_private": true, "effect": "idempotent"});
    let group =
        json!({"name": "caller", "count": 2, "skills": ["call.it"], "behaviour": {"http": http}});
    let body = json!({"manifest": {"groups": [group]}}).to_string();
    let deployed = world.post("/api/v1/deployments?wait=30s", body);
    assert_eq!(deployed.status, 200, "{}", deployed.text());
    drop(service);
    let seen = until(&world, "/api/v1/health", |it| it["status"] == "degraded");
    let found = &seen["unhealthy"][0];
    assert_eq!((&found["group"], &found["skill"]), (&json!("caller"), &json!("call.it")));
    assert!(found["why"].as_str().unwrap().contains("reach http://127.0.0.1"), "{found}");
    let overview = world.get("/api/v1/overview").json();
    let about = named(&overview["attention"], "kind", "unhealthy");
    // No agent has the name of the group.
    assert_eq!(world.get("/api/v1/agents/caller").status, 404);
    assert_eq!(about["agent"], Value::Null);
    let text = about["text"].as_str().unwrap();
    assert!(text.starts_with("`call.it` of `caller` cannot be had: "), "{text}");
    until(&world, "/api/v1/metrics", |it| it["gauges"]["ark_os_agents_unhealthy"] == 1);
    let _service = std::net::TcpListener::bind(address).unwrap();
    let seen = until(&world, "/api/v1/health", |it| it["status"] == "ok");
    assert_eq!(seen["unhealthy"], Value::Null);
    world.stop();
}

#[test]
fn the_overview_counts_the_fleet_the_runs_and_what_wants_somebody() {
    let dir = tempdir().unwrap();
    let world = World::with(dir.path(), |settings, _| settings.agents = 50);
    world.task(r#"{"skill":"echo","input":1}"#);
    let slow = world.post("/api/v1/tasks", r#"{"skill":"sleep","input":{"ms":60000}}"#).json();
    let running = |it: &Value| it["runs"]["by_state"]["running"] == 1 && it["fleet"]["busy"] == 1;
    let seen = until(&world, "/api/v1/overview", running);
    assert_eq!((&seen["status"], &seen["attention"]), (&json!("ok"), &json!([])), "{seen}");
    let fleet = &seen["fleet"];
    let micro = named(&fleet["layers"], "layer", "micro");
    assert_eq!((&micro["agents"], &micro["standings"]["ready"]), (&json!(28), &json!(28)));
    assert_eq!((&micro["busy"], fleet["stacks"].as_array().unwrap().len()), (&json!(1), 5));
    let members: u64 =
        fleet["stacks"].as_array().unwrap().iter().map(|it| it["agents"].as_u64().unwrap()).sum();
    assert_eq!((members, &fleet["agents"]), (13 + 28, &json!(50)));
    // Who is under way comes first, then the newest of the others.
    let shown = &seen["runs"]["shown"];
    assert_eq!((&shown[0]["id"], &shown[1]["state"]), (&slow["run"], &json!("succeeded")));
    let queue = named(&seen["queues"], "skill", "sleep");
    assert_eq!((&queue["running"], &queue["ready"]), (&json!(1), &json!(0)));
    assert_eq!(seen["rates"]["totals"]["ark_os_tasks_succeeded"], 1);

    world.post("/api/v1/agents/executive-00000/offline", r#"{"reason":"away"}"#);
    world.post("/api/v1/agents/executive-00001/offline", r#"{"reason":"away"}"#);
    let seen = until(&world, "/api/v1/overview", |it| it["status"] == "degraded");
    let kinds: Vec<&str> = seen["attention"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["layer_empty", "agent_offline", "agent_offline"]);
    assert_eq!(seen["attention"][1]["agent"], "executive-00000");
    world.get("/api/v1/overview?namespace=").problem(400, "request_invalid");
    world.get("/api/v1/overview?x=1").problem(400, "query_invalid");
    let other = world.get("/api/v1/overview?namespace=other").json();
    assert_eq!((&other["runs"]["shown"], &other["runs"]["live"]), (&json!([]), &json!(1)));
    world.stop();
}

#[test]
fn a_queue_tells_who_is_next_and_for_how_long() {
    let dir = tempdir().unwrap();
    // Two workers with one attempt at a time: whoever comes third waits.
    let world = World::with(dir.path(), |settings, _| {
        settings.agents = 2;
        settings.agent_concurrency = 1;
    });
    let sleep = r#"{"skill":"sleep","input":{"ms":60000}}"#;
    let runs: Vec<String> = (0..4)
        .map(|_| world.post("/api/v1/tasks", sleep).json()["run"].as_str().unwrap().to_owned())
        .collect();
    let waits = |it: &Value| named(&it["items"], "skill", "sleep")["ready"].as_u64() > Some(0);
    let seen = until(&world, "/api/v1/queues", waits);
    let queue = named(&seen["items"], "skill", "sleep");
    let (ready, running) = (queue["ready"].as_u64().unwrap(), queue["running"].as_u64().unwrap());
    assert_eq!(ready + running, 4, "{queue}");
    // First come, first served.
    let next = usize::try_from(running).unwrap();
    assert_eq!(queue["next_run"], runs[next], "{queue}");
    assert!(queue["next_waited_ms"].is_u64(), "{queue}");
    assert_eq!(named(&seen["items"], "skill", "echo")["ready"], 0);
    world.stop();
}

#[test]
fn agents_are_listed_by_layer_and_stack_with_what_they_work_on() {
    let dir = tempdir().unwrap();
    let world = World::with(dir.path(), |settings, _| settings.agents = 50);
    let task = world.post("/api/v1/tasks", r#"{"skill":"sleep","input":{"ms":60000}}"#).json();
    let task = task["task"].as_str().unwrap();
    let state = |it: &Value| it["state"] == "running";
    let agent = until(&world, &format!("/api/v1/tasks/{task}"), state)["agent"].clone();
    let agent = agent.as_str().unwrap();
    let works = world.get(&format!("/api/v1/agents/{agent}/tasks")).json();
    assert_eq!(
        (works["items"].as_array().unwrap().len(), &works["items"][0]["id"]),
        (1, &json!(task))
    );
    let idle = world.get("/api/v1/agents/board-00000/tasks").json();
    assert_eq!(idle["items"], json!([]));
    world.get("/api/v1/agents/micro-99999/tasks").problem(404, "agent_not_found");

    let layer = world.get("/api/v1/agents?layer=stack-chief").json();
    assert_eq!(layer["items"].as_array().unwrap().len(), 5);
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world.get(&format!("/api/v1/agents?stack=2&limit=3{cursor}")).json();
        found.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(found.iter().all(|it| it["stack"] == 2), "{found:?}");
    assert_eq!((found.len(), &found[0]["id"]), (1 + 8, &json!("stack-chief-00002")));
    world.get("/api/v1/agents?layer=boss").problem(400, "query_invalid");
    world.stop();
}

#[test]
fn the_log_is_read_from_memory_line_by_line() {
    let dir = tempdir().unwrap();
    let logs = LogRing::default();
    let ring = logs.clone();
    let world = World::with(dir.path(), |_, settings| settings.logs = ring);
    assert_eq!(world.get("/api/v1/logs").json(), json!({"items": [], "next": 0, "lost": 0}));
    for number in 1..=3 {
        logs.push(&json!({"message": format!("line {number}"), "level": "info"}).to_string());
    }
    let page = world.get("/api/v1/logs?limit=2").json();
    assert_eq!(page["items"][0]["line"]["message"], "line 2");
    let page = world.get("/api/v1/logs?after=0&limit=1").json();
    assert_eq!((&page["items"][0]["number"], &page["next"]), (&json!(1), &json!(1)));
    world.get("/api/v1/logs?limit=0").problem(400, "query_invalid");
    world.get("/api/v1/logs?after=x").problem(400, "query_invalid");
    world.stop();
}
