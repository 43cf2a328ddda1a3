//! The list of workflows over HTTP.

use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::World;

fn workflow(name: &str) -> Value {
    json!({"name": name, "version": "7", "tasks": [{"name": "say", "skill": "echo"}]})
}

/// What is shown of each: its name, whether it is deployed, and whether it was let in.
fn listed(world: &World, query: &str) -> (Vec<(String, bool, bool)>, Value) {
    let page = world.get(&format!("/api/v1/workflows{query}")).json();
    let row = |it: &Value| {
        let name = it["name"].as_str().unwrap().to_owned();
        (name, it["deployed"] == true, it["admission"].as_u64().unwrap() > 0)
    };
    (page["items"].as_array().unwrap().iter().map(row).collect(), page["next"].clone())
}

fn row(name: &str, deployed: bool, let_in: bool) -> (String, bool, bool) {
    (name.to_owned(), deployed, let_in)
}

#[test]
fn what_is_deployed_is_listed_before_its_first_run_and_right_after_a_restart() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    assert_eq!(listed(&world, "").0, []);
    let manifest =
        json!({"manifest": {"workflows": [workflow("a"), workflow("b"), workflow("c")]}});
    let begun = world.post("/api/v1/deployments", manifest.to_string());
    assert!(begun.status < 300, "{}", begun.text());
    while world.get("/api/v1/deployments").json()["version"] != 1 {
        std::thread::yield_now();
    }
    let not_yet = ["a", "b", "c"].map(|name| row(name, true, false));
    assert_eq!(listed(&world, "").0, not_yet);
    let run = world.post("/api/v1/runs?wait=30s", r#"{"workflow":"b"}"#);
    assert_eq!(run.status, 200, "{}", run.text());
    let other = json!({"workflow": workflow("other")}).to_string();
    assert_eq!(world.post("/api/v1/runs?wait=30s", other).status, 200);
    let (shown, next) = listed(&world, "?limit=3");
    assert_eq!(shown, [row("b", true, true), row("other", false, true), row("a", true, false)]);
    let (shown, next) = listed(&world, &format!("?limit=3&cursor={}", next.as_str().unwrap()));
    assert_eq!((shown, next), (vec![row("c", true, false)], Value::Null));
    world.get("/api/v1/workflows?cursor=x").problem(400, "cursor_invalid");
    world.stop();

    let world = World::start(dir.path());
    assert_eq!(listed(&world, "").0, not_yet);
    world.stop();
}

#[test]
fn a_deployment_whose_base_means_another_directory_everywhere_is_refused() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    for base in ["here", ""] {
        let body =
            json!({"manifest": {"workflows": [workflow("a")]}, "base": base, "dry_run": true});
        let problem =
            world.post("/api/v1/deployments", body.to_string()).problem(400, "request_invalid");
        assert_eq!(problem["errors"][0]["pointer"], "/base", "{problem}");
    }
    world.stop();
}
