//! Runs that tasks of other runs ask for, over HTTP.

use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::World;

const PLAN: &str = r#"{"workflow":{"workflows":[
    {"name":"outer","version":"1","tasks":[
        {"name":"word","skill":"echo","input":"hello"},
        {"name":"below","run":{"workflow":"inner","input":{"text":"${tasks.word.output}"}}},
        {"name":"again","skill":"echo","input":{"said":"${tasks.below.output}"}}]},
    {"name":"inner","version":"1",
     "input":{"type":"object","required":["text","n"],
              "properties":{"text":{"type":"string"},"n":{"type":"integer","default":2}}},
     "tasks":[{"name":"echo","skill":"echo","input":"${input}"}]}]},"budget":{"calls":9}}"#;

fn items(page: &Value) -> &Vec<Value> {
    page["items"].as_array().unwrap()
}

#[test]
fn a_task_that_is_a_run_of_its_own_is_shown_from_above_and_from_below() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let answer = world.post("/api/v1/runs?wait=30s", PLAN);
    assert_eq!(answer.json()["state"], "succeeded", "{}", answer.text());
    let run = answer.json()["run"].as_str().unwrap().to_owned();
    assert_eq!(answer.json()["summary"]["output"], json!({"said": {"text": "hello", "n": 2}}));
    let children = world.get(&format!("/api/v1/runs/{run}/children")).json();
    let child = &items(&children)[0];
    assert_eq!((items(&children).len(), &child["workflow"]), (1, &json!("inner")));
    assert_eq!((&child["parent"], &child["state"]), (&json!(run), &json!("succeeded")));
    let tasks = world.get(&format!("/api/v1/runs/{run}/tasks")).json();
    let below = &items(&tasks)[1];
    assert_eq!((&below["child"], &below["output"]["n"]), (&child["id"], &json!(2)), "{below}");
    let events = world.get(&format!("/api/v1/runs/{run}/events?limit=500")).json();
    for kind in ["child_requested", "child_ended"] {
        let event = items(&events).iter().find(|event| event["type"] == kind).unwrap();
        assert_eq!(event["child"], child["id"], "{event}");
    }
    let below = child["id"].as_str().unwrap();
    let events = world.get(&format!("/api/v1/runs/{below}/events?limit=500")).json();
    assert_eq!(
        items(&events)[0]["parent"].as_str().or(items(&events)[1]["parent"].as_str()),
        Some(&*run)
    );
    let graph = world.get(&format!("/api/v1/runs/{run}/graph")).json();
    let node = graph["nodes"].as_array().unwrap().iter().find(|it| it["name"] == "below").unwrap();
    assert_eq!((&node["shape"], &node["child"]), (&json!("run"), &child["id"]));
    let trace = world.get(&format!("/api/v1/runs/{run}/trace")).json();
    assert!(items(&trace).iter().any(|row| row["text"] == *below), "{trace}");
    world.get("/api/v1/runs/run_00000000000000000000000000/children").problem(404, "run_not_found");
    world.stop();
}

#[test]
fn what_is_wrong_with_the_workflow_of_a_child_is_told_at_its_place() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let table = [
        (r#""workflow":"inner""#, r#""workflow":"iner""#, "no workflow `iner`"),
        (r#""workflow":"inner""#, r#""workflow":"outer""#, "run each other"),
        (r#""text":"${tasks.word.output}""#, r#""txt":1"#, "needs the input `text`"),
        (r#""run":{"#, r#""skill":"echo","run":{"#, "has no `skill`"),
        (r#""run":{"#, r#""run":{"on_parent_cancel":"keep","#, "`cancel` or `detach`"),
    ];
    for (from, to, told) in table {
        let answer = world.post("/api/v1/runs", PLAN.replace(from, to));
        let problem = answer.problem(400, "manifest_invalid");
        assert!(problem["errors"].to_string().contains(told), "{to}: {problem}");
    }
    world.stop();
}

const GROWS: &str = r#"{"workflow":{"name":"grows","version":"1","tasks":[
    {"name":"plan","skill":"echo","expands":true,"input":{"output":["x","y"],"tasks":[
        {"name":"one","skill":"echo","input":"$${tasks.plan.output[1]}"},
        {"name":"two","skill":"echo","after":["one"],"input":{"of":"$${tasks.one.output}"}}]}},
    {"name":"end","skill":"echo","after":["plan"],"input":"done"}],
    "output":"${tasks.end.output}"}}"#;

#[test]
fn tasks_that_a_task_adds_are_shown_as_the_others_are() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let answer = world.post("/api/v1/runs?wait=30s", GROWS);
    assert_eq!(answer.json()["state"], "succeeded", "{}", answer.text());
    let run = answer.json()["run"].as_str().unwrap().to_owned();
    assert_eq!(answer.json()["summary"]["tasks"]["total"], 4);
    let tasks = world.get(&format!("/api/v1/runs/{run}/tasks")).json();
    let names: Vec<_> = items(&tasks).iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["plan", "end", "one", "two"]);
    assert_eq!(items(&tasks)[3]["output"], json!({"of": "y"}));
    let graph = world.get(&format!("/api/v1/runs/{run}/graph")).json();
    let two = graph["nodes"].as_array().unwrap().iter().find(|it| it["name"] == "two").unwrap();
    assert_eq!((&two["added_by"], &two["state"]), (&json!("plan"), &json!("succeeded")));
    let edges = graph["edges"].as_array().unwrap();
    assert!(edges.iter().any(|it| it["from"] == "two" && it["to"] == "end"), "{graph}");
    let trace = world.get(&format!("/api/v1/runs/{run}/trace")).json();
    let row = items(&trace).iter().find(|row| row["kind"] == "tasks_added").unwrap();
    assert_eq!(row["text"], "one, two");
    assert!(items(&trace).iter().any(|row| row["name"] == "two"), "{trace}");
    world.stop();
}

#[test]
fn tasks_with_errors_refuse_the_attempt_that_adds_them() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let table = [
        (r#""name":"one""#, r#""name":"end""#, "another task `end`"),
        (r#""after":["one"]"#, r#""after":["end"]"#, "may not be over"),
        (r#""after":["one"]"#, r#""after":["three"]"#, "no task `three`"),
        (r#""skill":"echo","after":["one"]"#, r#""skill":"ecko""#, "no agent has the skill"),
    ];
    for (from, to, told) in table {
        let answer = world.post("/api/v1/runs?wait=30s", GROWS.replacen(from, to, 1)).json();
        let failure = answer["summary"]["failure"].to_string();
        assert!(failure.contains("tasks_refused") && failure.contains(told), "{to}: {failure}");
    }
    world.stop();
}
