//! Forks and diffs over HTTP.

use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::World;

const PLAN: &str = r#"{"name":"three","version":"1","tasks":[
    {"name":"fetch","skill":"echo","input":{"page":1}},
    {"name":"list","skill":"echo","map":{"over":[1,2,3]},"input":{"item":"${item}"}},
    {"name":"shape","skill":"echo","after":["list"],"input":{"from":"${tasks.fetch.output.page}","depth":"${input.depth}"}},
    {"name":"report","skill":"echo","input":{"shape":"${tasks.shape.output}"}}]}"#;

fn run(world: &World, plan: &str, input: &Value) -> String {
    let body = format!(r#"{{"workflow":{plan},"input":{input}}}"#);
    let answer = world.post("/api/v1/runs?wait=30s", body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["run"].as_str().unwrap().to_owned()
}

fn fork(world: &World, run: &str, body: &Value) -> (Value, Value) {
    let answer = world.post(&format!("/api/v1/runs/{run}/fork"), body.to_string());
    assert_eq!(answer.status, 202, "{}", answer.text());
    let forked = answer.json();
    let id = forked["run"].as_str().unwrap();
    let shown = world.get(&format!("/api/v1/runs/{id}?wait=30s")).json();
    (forked, shown)
}

fn attempts(world: &World, run: &Value) -> usize {
    let run = run.as_str().unwrap();
    let events = world.get(&format!("/api/v1/runs/{run}/events?limit=500")).json();
    let items = events["items"].as_array().unwrap();
    items.iter().filter(|it| it["type"] == "attempt_started").count()
}

#[test]
fn a_fork_reuses_what_was_done_and_does_the_rest_anew() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let source = run(&world, PLAN, &json!({"depth": 1}));

    let (forked, shown) =
        fork(&world, &source, &json!({"input": {"depth": 2}, "reason": "deeper"}));
    assert_eq!(forked["reused"], json!(["fetch", "list"]), "{forked}");
    assert_eq!(forked["anew"], json!(["shape", "report"]));
    assert_eq!(shown["state"], "succeeded", "{shown}");
    assert_eq!(shown["output"], json!({"shape": {"from": 1, "depth": 2}}));
    let origin = &shown["origin"]["fork"];
    assert_eq!((&origin["run"], &origin["reused"]), (&json!(source), &json!(2)), "{shown}");
    assert_eq!(attempts(&world, &forked["run"]), 2);
    let tasks =
        world.get(&format!("/api/v1/runs/{}/tasks", forked["run"].as_str().unwrap())).json();
    assert_eq!(tasks["items"][0]["output"], json!({"page": 1}), "{tasks}");
    assert_eq!(tasks["items"][3]["output"], json!({"item": 2}), "{tasks}");

    // A fork of a fork, from a task on; and with nothing changed everything is reused.
    let again = forked["run"].as_str().unwrap();
    let (other, shown) = fork(&world, again, &json!({"task": "report"}));
    assert_eq!(other["reused"], json!(["fetch", "list", "shape"]), "{other}");
    assert_eq!(shown["output"], json!({"shape": {"from": 1, "depth": 2}}));
    let (whole, shown) = fork(&world, &source, &json!({}));
    assert_eq!((&whole["anew"], &shown["state"]), (&json!([]), &json!("succeeded")), "{shown}");
    assert_eq!(shown["output"], json!({"shape": {"from": 1, "depth": 1}}));
    assert_eq!(attempts(&world, &whole["run"]), 0);

    let trace = world.get(&format!("/api/v1/runs/{again}/trace?limit=500")).json();
    let kinds: Vec<_> = trace["items"].as_array().unwrap().iter().map(|it| &it["kind"]).collect();
    assert!(kinds.contains(&&json!("forked")) && kinds.contains(&&json!("reused")), "{kinds:?}");
    world.stop();
}

#[test]
fn a_fork_with_another_plan_reuses_tasks_of_the_same_definition() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let source = run(&world, PLAN, &json!({"depth": 1}));
    let plan: Value =
        serde_json::from_str(&PLAN.replace(r#"{"item":"${item}"}"#, r#"{"other":"${item}"}"#))
            .unwrap();
    let (forked, shown) = fork(&world, &source, &json!({"workflow": plan}));
    assert_eq!(forked["reused"], json!(["fetch"]), "{forked}");
    assert_eq!(shown["state"], "succeeded", "{shown}");
    let (forked, _) =
        fork(&world, &source, &json!({"skills": {"echo": "sleep"}, "task": "report"}));
    assert_eq!(forked["reused"], json!([]), "{forked}");
    let path = format!("/api/v1/runs/{source}/fork");
    world.post(&path, r#"{"task":"nope"}"#).problem(404, "task_not_found");
    world.post(&path, r#"{"at":"999999"}"#).problem(404, "event_not_found");
    world.post(&path, r#"{"at":"x"}"#).problem(400, "request_invalid");
    // A record before the run began, one of its own without such an event, and another run's.
    let events = world.get(&format!("/api/v1/runs/{source}/events")).json();
    let seqs = events["items"].as_array().unwrap().iter().map(|it| it["seq"].as_u64().unwrap());
    let (first, last) = (seqs.clone().min().unwrap(), seqs.max().unwrap());
    let (_, other) = fork(&world, &source, &json!({}));
    let later = world.get(&format!("/api/v1/runs/{}/events", other["id"].as_str().unwrap())).json();
    let later = later["items"][0]["seq"].as_u64().unwrap();
    for at in [1, later] {
        let problem =
            world.post(&path, format!(r#"{{"at":"{at}"}}"#)).problem(404, "event_not_found");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.starts_with(&format!("fork the run `{source}` at record {at}: ")),
            "{detail}"
        );
        assert!(detail.ends_with(&format!("between {first} and {last}")), "{detail}");
        assert!(problem["hint"].as_str().unwrap().contains("ark-os trace"), "{problem}");
    }
    let problem =
        world.post(&path, format!(r#"{{"at":"{first}.99"}}"#)).problem(404, "event_not_found");
    assert!(problem["detail"].as_str().unwrap().contains(" events, from "), "{problem}");
    world.post(&path, r#"{"skills":{"echo":"ecko"}}"#).problem(400, "unknown_skill");
    world
        .post("/api/v1/runs/run_0000000000000000000000000F/fork", "")
        .problem(404, "run_not_found");
    world.stop();
}

#[test]
fn waits_and_children_are_reused_and_a_task_that_added_others_adds_them_anew() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let plan = r#"{"workflows":[
        {"name":"outer","version":"1","tasks":[
            {"name":"pause","wait":{"for":"1ms"}},
            {"name":"below","run":{"workflow":"inner","input":{"n":1}}},
            {"name":"plan","skill":"echo","expands":true,"input":{"output":2,"tasks":[
                {"name":"more","skill":"echo","input":3}]}},
            {"name":"end","skill":"echo","after":["pause","plan"],"input":"${tasks.below.output}"}]},
        {"name":"inner","version":"1","tasks":[{"name":"echo","skill":"echo","input":"${input}"}]}]}"#;
    let source = run(&world, plan, &json!({}));
    let (forked, shown) = fork(&world, &source, &json!({}));
    assert_eq!(forked["reused"], json!(["pause", "below"]), "{forked}");
    assert_eq!(forked["anew"], json!(["plan", "end"]));
    assert_eq!((&shown["state"], &shown["output"]), (&json!("succeeded"), &json!({"n": 1})));
    let id = forked["run"].as_str().unwrap();
    let children = world.get(&format!("/api/v1/runs/{id}/children")).json();
    assert_eq!(children["items"], json!([]), "no child begins again: {children}");
    let tasks = world.get(&format!("/api/v1/runs/{id}/tasks")).json();
    assert_eq!(tasks["items"].as_array().unwrap().len(), 5, "{tasks}");
    assert_eq!(tasks["items"][1]["output"], json!({"n": 1}), "{tasks}");
    let diff = world.get(&format!("/api/v1/runs/{source}/diff/{id}")).json();
    assert_eq!((&diff["same"], &diff["same_tasks"]), (&json!(true), &json!(5)), "{diff}");
    world.stop();
}

#[test]
fn two_runs_are_compared_by_task_and_value() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let one = run(&world, PLAN, &json!({"depth": 1, "same": true}));
    let same = run(&world, PLAN, &json!({"depth": 1, "same": true}));
    let other = run(&world, PLAN, &json!({"depth": 2, "same": true}));
    let diff = |a: &str, b: &str| world.get(&format!("/api/v1/runs/{a}/diff/{b}")).json();
    let equal = diff(&one, &same);
    assert_eq!((&equal["same"], &equal["tasks"]), (&json!(true), &json!([])), "{equal}");
    assert_eq!(equal["same_tasks"], 7);
    let differs = diff(&one, &other);
    assert_eq!(differs["same"], false);
    assert_eq!(differs["input"], json!([{"path": "/depth", "a": 1, "b": 2}]));
    assert_eq!(differs["output"], json!([{"path": "/shape/depth", "a": 1, "b": 2}]));
    let names: Vec<_> = differs["tasks"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["shape", "report"]);
    assert_eq!(differs["tasks"][0]["output"], json!([{"path": "/depth", "a": 1, "b": 2}]));
    let (forked, _) = fork(&world, &one, &json!({"input": {"depth": 2, "same": true}}));
    let forked = forked["run"].as_str().unwrap();
    let derived = diff(&other, forked);
    assert_eq!(
        (&derived["same"], &derived["b"]["forked_from"]),
        (&json!(true), &json!(one)),
        "{derived}"
    );
    let unknown = format!("/api/v1/runs/{one}/diff/run_0000000000000000000000000F");
    world.get(&unknown).problem(404, "run_not_found");
    world.stop();
}

#[test]
fn what_another_plans_schema_fills_in_is_another_input() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let plan = |fills: &str| {
        format!(
            r#"{{"name":"one","version":"1","input":{{"type":"object","properties":{{"m":{{{fills}}}}}}},
            "tasks":[{{"name":"a","skill":"echo","input":"${{input}}"}}]}}"#
        )
    };
    let source = run(&world, &plan(""), &json!({"n": 1}));
    let changed: Value = serde_json::from_str(&plan(r#""default":5"#)).unwrap();
    let (forked, shown) = fork(&world, &source, &json!({"workflow": changed}));
    assert_eq!(forked["reused"], json!([]), "{forked}");
    assert_eq!(shown["output"], json!({"n": 1, "m": 5}), "{shown}");
    let (forked, _) = fork(&world, &source, &json!({}));
    assert_eq!(forked["reused"], json!(["a"]), "{forked}");
    world.stop();
}

#[test]
fn a_fork_with_another_input_does_anew_whatever_looks_at_it_however_that_is_written() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let plan = r#"{"name":"spaced","version":"1","tasks":[
        {"name":"tight","skill":"echo","input":"${input.n}"},
        {"name":"spaced","skill":"echo","input":{"deep":["so ${ input.n } it is"]}},
        {"name":"list","skill":"echo","map":{"over":"${ input.list }"},"input":"${item}"},
        {"name":"pause","wait":{"until":"${\t input.at }"}},
        {"name":"literal","skill":"echo","input":"$${input.n}"},
        {"name":"other","skill":"echo","after":["literal"],"input":"${ tasks.literal.output }"}]}"#;
    let input = |n: u32| json!({"n": n, "list": [n], "at": format!("200{n}-01-01T00:00:00Z")});
    let source = run(&world, plan, &input(1));
    let done = world.get(&format!("/api/v1/runs/{source}")).json();
    assert_eq!(done["state"], "succeeded", "{done}");
    let (forked, shown) = fork(&world, &source, &json!({"input": input(2)}));
    assert_eq!(forked["reused"], json!(["literal", "other"]), "{forked}");
    assert_eq!(forked["anew"], json!(["tight", "spaced", "list", "pause"]));
    assert_eq!(shown["state"], "succeeded", "{shown}");
    let tasks =
        world.get(&format!("/api/v1/runs/{}/tasks", forked["run"].as_str().unwrap())).json();
    let items = tasks["items"].as_array().unwrap();
    let spaced = items.iter().find(|it| it["name"] == "spaced").unwrap();
    assert_eq!(spaced["output"], json!({"deep": ["so 2 it is"]}), "{tasks}");
    world.stop();
}

#[test]
fn a_fork_of_a_run_that_waited_for_a_layer_is_in_its_namespace() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    world.post("/api/v1/agents/board-00000/offline", "");
    let body = r#"{"skill":"echo","input":1,"namespace":"other"}"#;
    let waiting = world.post("/api/v1/tasks", body).json();
    let source = waiting["run"].as_str().unwrap();
    let shown = world.get(&format!("/api/v1/runs/{source}")).json();
    assert_eq!((&shown["state"], &shown["waits_for"]), (&json!("accepted"), &json!("board")));
    let early = world.post(&format!("/api/v1/runs/{source}/fork"), "").json();
    world.post("/api/v1/agents/board-00000/online", "");
    world.get(&format!("/api/v1/runs/{source}?wait=30s"));
    let (late, _) = fork(&world, source, &json!({}));
    for forked in [early, late] {
        let id = forked["run"].as_str().unwrap();
        let shown = world.get(&format!("/api/v1/runs/{id}?wait=30s")).json();
        let seen = (&shown["namespace"], &shown["state"]);
        assert_eq!(seen, (&json!("other"), &json!("succeeded")), "{shown}");
    }
    world.stop();
}

#[test]
fn a_fork_with_another_skill_is_counted_under_that_skills_limit() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    // The first task's limit is named after the skill, the second's has a name of its own.
    let plan = r#"{"name":"limited","version":"1","tasks":[
        {"name":"call","skill":"sleep","input":{"ms":60000},"limit":{"at_once":1}},
        {"name":"mail","skill":"sleep","input":{"ms":60000},"limit":{"name":"crm","at_once":1}}]}"#;
    let body = format!(r#"{{"workflow":{plan}}}"#);
    let source = world.post("/api/v1/runs", body).json()["run"].as_str().unwrap().to_owned();
    until(&world, &source, |tasks| tasks.iter().all(|it| it["state"] == "running"));
    let path = format!("/api/v1/runs/{source}/fork");
    let forked = world.post(&path, r#"{"skills":{"sleep":"echo"}}"#).json();
    let id = forked["run"].as_str().unwrap();
    let tasks = until(&world, id, |tasks| {
        tasks[0]["state"] == "succeeded" || tasks[0]["waits_for"].is_string()
    });
    assert_eq!(tasks[0]["state"], "succeeded", "it waits for no `sleep`: {tasks:?}");
    assert_eq!(tasks[1]["waits_for"], "limit crm", "{tasks:?}");
    for run in [&source, id] {
        world.post(&format!("/api/v1/runs/{run}/cancel"), "{}");
    }
    world.stop();
}

/// Looks at a run's tasks until they are so.
fn until(world: &World, run: &str, are: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    loop {
        let tasks = world.get(&format!("/api/v1/runs/{run}/tasks")).json();
        let tasks = tasks["items"].as_array().unwrap();
        if !tasks.is_empty() && are(tasks) {
            return tasks.clone();
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_fork_with_another_skill_for_one_that_no_task_has_is_refused() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let plan = r#"{"name":"waits","version":"1","tasks":[
        {"name":"pause","wait":{"for":"1ms"}},
        {"name":"end","skill":"echo","after":["pause"]}]}"#;
    let source = run(&world, plan, &json!({}));
    let path = format!("/api/v1/runs/{source}/fork");
    for (skills, place) in [
        (json!({"typo": "sleep"}), "/skills/typo"),
        (json!({"echo": "hash", "a/b~c": "sleep"}), "/skills/a~1b~0c"),
        // What a wait has in the place of a skill is none.
        (json!({"": "sleep"}), "/skills/"),
    ] {
        let answer = world.post(&path, json!({"skills": skills}).to_string());
        let problem = answer.problem(400, "request_invalid");
        let places = problem["errors"].as_array().unwrap();
        assert_eq!((places.len(), &places[0]["pointer"]), (1, &json!(place)), "{problem}");
        assert!(problem["hint"].is_string(), "{problem}");
    }
    world.stop();
}

#[test]
fn a_key_gives_the_same_fork_once() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let source = run(&world, PLAN, &json!({"depth": 1}));
    let path = format!("/api/v1/runs/{source}/fork");
    let send = |body: &Value, key: &str| {
        world.call("POST", &path, &[("Idempotency-Key", key)], body.to_string().as_bytes())
    };
    let body = json!({"input": {"depth": 2}, "reason": "deeper"});
    let first = send(&body, "k-1");
    assert_eq!((first.status, &first.json()["existing"]), (202, &json!(false)), "{}", first.text());
    let again = send(&body, "k-1");
    assert_eq!((again.status, &again.json()["existing"]), (202, &json!(true)), "{}", again.text());
    for told in ["run", "forked_from", "reused", "anew"] {
        assert_eq!(first.json()[told], again.json()[told], "{told}");
    }
    assert_eq!(again.json()["reused"], json!(["fetch", "list"]));
    for other in
        [json!({"input": {"depth": 3}, "reason": "deeper"}), json!({}), json!({"task": "report"})]
    {
        send(&other, "k-1").problem(409, "key_reused");
    }
    let submission = format!(r#"{{"workflow":{PLAN},"input":{{"depth":2}}}}"#);
    let submit =
        world.call("POST", "/api/v1/runs", &[("Idempotency-Key", "k-1")], submission.as_bytes());
    submit.problem(409, "key_reused");
    let other = send(&body, "k-2").json();
    assert_eq!(other["existing"], false);
    assert_ne!(other["run"], first.json()["run"]);
    world.stop();
}

#[test]
fn what_is_wrong_with_a_forks_workflow_is_told_where_it_stands() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let source = run(&world, PLAN, &json!({"depth": 1}));
    let path = format!("/api/v1/runs/{source}/fork");
    let wrong = json!({"name": "w", "version": "1", "tasks": [{"name": "t", "skill": "ecko"}]});
    for (workflow, place) in [
        (wrong.clone(), "/workflow/tasks/0/skill"),
        (json!({"workflows": [wrong]}), "/workflow/workflows/0/tasks/0/skill"),
    ] {
        let answer = world.post(&path, json!({"workflow": workflow}).to_string());
        let problem = answer.problem(400, "manifest_invalid");
        assert_eq!(problem["errors"][0]["pointer"], place, "{problem}");
    }
    world.stop();
}

#[test]
fn a_fork_takes_a_deployed_workflow_by_its_name() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let source = run(&world, PLAN, &json!({"depth": 1}));
    let path = format!("/api/v1/runs/{source}/fork");
    world.post(&path, r#"{"workflow":"later"}"#).problem(404, "workflow_not_found");
    let later = PLAN.replace(r#""name":"three""#, r#""name":"later""#);
    let later = later.replace(r#"{"page":1}"#, r#"{"page":2}"#);
    let manifest = format!(r#"{{"manifest":{{"workflows":[{later}]}}}}"#);
    let deployed = world.post("/api/v1/deployments?wait=30s", manifest);
    assert!(deployed.status < 300, "{}", deployed.text());
    let (forked, shown) = fork(&world, &source, &json!({"workflow": "later"}));
    assert_eq!((&forked["reused"], &shown["workflow"]), (&json!(["list"]), &json!("later")));
    world.stop();
}

#[test]
fn a_template_whose_escapes_were_undone_is_not_the_template_that_it_looks_like() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let plan = |input: &str| json!({"name": "form", "version": "1", "tasks": [{"name": "t", "skill": "echo", "input": input}]});
    let source = run(&world, &plan("$${input.n}").to_string(), &json!({"n": 1}));
    let (same, _) = fork(&world, &source, &json!({"workflow": plan("$${input.n}")}));
    assert_eq!(same["reused"], json!(["t"]), "{same}");
    let (forked, shown) = fork(&world, &source, &json!({"workflow": plan("${input.n}")}));
    assert_eq!((&forked["reused"], &shown["output"]), (&json!([]), &json!(1)), "{forked}");
    world.stop();
}

/// An input of many texts just small enough to be shown.
fn large(word: &str) -> Value {
    let texts = vec![word.repeat(15 << 10); 50];
    json!({"depth": texts})
}

#[test]
fn a_comparison_of_large_values_is_bounded_and_says_that_more_differs() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let task = |at: usize| json!({"name": format!("t{at}"), "skill": "echo", "input": "${input}"});
    let tasks: Vec<Value> = (0..10).map(task).collect();
    let plan = json!({"name": "wide", "version": "1", "tasks": tasks}).to_string();
    let (one, other) = (run(&world, &plan, &large("a")), run(&world, &plan, &large("b")));
    let answer = world.get(&format!("/api/v1/runs/{one}/diff/{other}"));
    let bytes = answer.text().len();
    assert!((3 << 20..5 << 20).contains(&bytes), "{bytes}");
    let diff = answer.json();
    assert_eq!((&diff["cut"], &diff["same"]), (&json!(true), &json!(false)));
    assert_eq!(
        (&diff["input"][0]["path"], diff["tasks"].as_array().unwrap().len()),
        (&json!("/depth/0"), 10)
    );

    let long = run(&world, &plan, &json!({"depth": "x".repeat(2 << 20)}));
    let answer = world.get(&format!("/api/v1/runs/{one}/diff/{long}")).json();
    assert_eq!(answer["input"][0]["path"], "", "{}", answer["input"]);
    assert!(answer["input"][0]["b"]["bytes"].as_u64().unwrap() > 2 << 20, "{}", answer["input"]);
    world.stop();
}
