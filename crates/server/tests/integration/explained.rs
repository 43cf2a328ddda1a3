//! A run explained: its trace and its graph, and histories without a cap.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::World;

/// A list, a map over it, what sums it up, a task that is skipped, and one that fails twice.
const PLAN: &str = r#"{"workflow":{"name":"demo","version":"1","tasks":[
    {"name":"numbers","skill":"list.range","input":{"count":5}},
    {"name":"each","skill":"echo","map":{"over":"${tasks.numbers.output}"},"input":{"n":"${item}"}},
    {"name":"sum","skill":"list.sum","reduce":"each","input":{"field":"/n"}},
    {"name":"never","skill":"echo","when":"false","input":1},
    {"name":"broken","skill":"fail","on_failure":"continue",
     "retry":{"attempts":2,"backoff":"1ms","max":"1ms"},
     "input":{"error":{"code":"bad.thing","message":"broken","retryable":true}}}
]},"budget":{"calls":100}}"#;

/// Runs the plan to its end.
fn run(world: &World) -> String {
    let answer = world.post("/api/v1/runs?wait=30s", PLAN);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["state"], "succeeded", "{}", answer.text());
    answer.json()["run"].as_str().unwrap().to_owned()
}

/// All rows, page by page, and what is open at the end.
fn rows(world: &World, run: &str, query: &str) -> (Vec<Value>, Vec<Value>) {
    let mut rows = Vec::new();
    let mut after = String::new();
    loop {
        let page = world.get(&format!("/api/v1/runs/{run}/trace?after={after}&{query}")).json();
        rows.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => {
                let open = page["open"].as_array().cloned().unwrap_or_default();
                return (rows, open);
            }
        }
    }
}

fn of_kind<'a>(rows: &'a [Value], kind: &str) -> Vec<&'a Value> {
    rows.iter().filter(|row| row["kind"] == kind).collect()
}

#[test]
fn a_trace_tells_every_decision_attempt_cost_and_record_of_a_run() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let run = run(&world);
    let (rows, open) = rows(&world, &run, "expand=true");
    assert!(open.is_empty(), "{open:?}");
    let accepted = &rows[0];
    assert_eq!(
        (&accepted["kind"], &accepted["details"]["priority"]),
        (&json!("accepted"), &json!("normal"))
    );
    assert_eq!(accepted["details"]["budget"], json!({ "calls": 100 }));
    assert!(accepted["details"]["authority"]["scopes"].is_array(), "{accepted}");
    let layers: Vec<_> =
        of_kind(&rows, "decision").iter().map(|row| row["layer"].clone()).collect();
    assert_eq!(layers, ["cecca", "board", "executive", "stack-chief"]);
    for decision in of_kind(&rows, "decision") {
        assert!(!decision["details"]["rules"].as_array().unwrap().is_empty());
        assert_eq!(decision["details"]["policy"].as_str().unwrap().len(), 64);
        assert!(decision["agent"].is_string() && decision["seq"].as_u64().unwrap() > 0);
    }

    let attempts = of_kind(&rows, "attempt");
    let of_broken: Vec<_> = attempts.iter().filter(|row| row["name"] == "broken").collect();
    let told: Vec<_> =
        of_broken.iter().map(|row| (&row["state"], &row["details"]["attempt"])).collect();
    assert_eq!(told, [(&json!("failed"), &json!(1)), (&json!("failed"), &json!(2))]);
    assert!(of_broken[0]["text"].as_str().unwrap().starts_with("bad.thing: "));
    assert!(of_broken[0]["details"]["retry_at"].is_string());
    assert_eq!(attempts.len(), 9, "1 list, 5 children, 1 sum, 2 of what fails");
    for attempt in &attempts {
        assert!(attempt["agent"].as_str().unwrap().contains('-'), "{attempt}");
        assert!(attempt["layer"].is_string() && attempt["stack"].is_u64(), "{attempt}");
        assert!(attempt["details"]["token"].as_str().unwrap().starts_with("pt_"));
        assert!(attempt["queued_ms"].is_u64() && attempt["duration_ms"].is_u64());
        let place = attempt["place"].as_str().unwrap();
        assert!(place.starts_with("segment-") && place.contains(".ark:"), "{place}");
    }

    let map = of_kind(&rows, "map")[0];
    assert_eq!(map["details"]["children"], json!({ "total": 5, "succeeded": 5, "failed": 0 }));
    assert!(map["details"]["micros"]["p50"].is_u64(), "{map}");
    let never = rows.iter().find(|row| row["name"] == "never" && row["depth"] == 2).unwrap();
    assert_eq!((&never["state"], &never["text"]), (&json!("skipped"), &json!("condition")));
    let ended = rows.last().unwrap();
    assert_eq!((&ended["kind"], &ended["state"]), (&json!("ended"), &json!("succeeded")));
    world.stop();
}

#[test]
fn what_the_rows_cost_is_what_the_account_says_and_their_proofs_end_in_the_runs() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    // A run that failed stays at hand with its account.
    let plan = PLAN.replace(r#""on_failure":"continue","#, r#""after":["sum"],"#);
    let answer = world.post("/api/v1/runs?wait=30s", plan).json();
    let run = answer["run"].as_str().unwrap();
    let view = world.get(&format!("/api/v1/runs/{run}")).json();
    assert_eq!(view["state"], "failed", "{view}");
    let (rows, _) = rows(&world, run, "");
    let ended = rows.last().unwrap();
    assert_eq!(ended["spent"], view["account"]["settled"], "{view}");
    assert_eq!(ended["details"]["proof"], view["proof"], "{view}");
    let of_tasks: u64 = rows
        .iter()
        .filter(|row| row["depth"] == 2)
        .filter_map(|row| row["spent"]["calls"].as_u64())
        .sum();
    assert_eq!(Some(of_tasks), ended["spent"]["calls"].as_u64());
    world.stop();
}

#[test]
fn pages_of_a_trace_are_the_same_rows_whatever_their_size_and_after_a_restart() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let run = run(&world);
    for query in ["", "expand=true", "depth=2", "task=each&expand=true", "task=broken"] {
        let (whole, _) = rows(&world, &run, &format!("{query}&limit=500"));
        for limit in [1, 2, 7] {
            assert_eq!(rows(&world, &run, &format!("{query}&limit={limit}")).0, whole, "{query}");
        }
        let ids: BTreeSet<_> = whole.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), whole.len());
    }
    let (before, _) = rows(&world, &run, "expand=true");
    let middle = before[before.len() / 2]["id"].as_str().unwrap().to_owned();
    world.stop();
    let world = World::start(dir.path());
    assert_eq!(rows(&world, &run, "expand=true").0, before);
    let page = world.get(&format!("/api/v1/runs/{run}/trace?expand=true&limit=500&after={middle}"));
    assert_eq!(page.json()["items"].as_array().unwrap()[..], before[before.len() / 2 + 1..]);
    world.stop();
}

#[test]
fn a_trace_can_be_narrowed_and_refuses_what_is_not_there() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let run = run(&world);
    let (folded, _) = rows(&world, &run, "");
    assert!(folded.iter().all(|row| row["name"] != "each[0]"), "{folded:?}");
    assert_eq!(of_kind(&folded, "map").len(), 1);
    let (child, _) = rows(&world, &run, "task=each%5B3%5D");
    let kinds: Vec<_> = child.iter().map(|row| row["kind"].clone()).collect();
    assert_eq!(kinds, ["attempt", "task"]);
    assert!(child.iter().all(|row| row["name"] == "each[3]"));
    let (shallow, _) = rows(&world, &run, "depth=1");
    assert!(shallow.iter().all(|row| row["depth"] == 1) && shallow.len() >= 6, "{shallow:?}");
    let path = format!("/api/v1/runs/{run}/trace");
    world.get(&format!("{path}?task=nobody")).problem(404, "task_not_found");
    world.get(&format!("{path}?depth=5")).problem(400, "query_invalid");
    world.get(&format!("{path}?after=x")).problem(400, "cursor_invalid");
    world.get(&format!("{path}?limit=501")).problem(400, "query_invalid");
    world.get("/api/v1/runs/run_00000000000000000000000000/trace").problem(404, "run_not_found");
    world.stop();
}

#[test]
fn a_run_under_way_shows_what_has_begun_and_not_ended() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let slow = world.post("/api/v1/tasks", r#"{"skill":"sleep","input":{"ms":60000}}"#).json();
    let run = slow["run"].as_str().unwrap();
    let open = || rows(&world, run, "").1;
    let mut looks = 0;
    while open().iter().all(|row| row["kind"] != "attempt") {
        looks += 1;
        assert!(looks < 20_000, "{:?}", open());
    }
    let open = open();
    assert!(open.iter().all(|row| row["state"] == "open" && row["duration_ms"].is_null()));
    assert!(of_kind(&open, "attempt")[0]["agent"].is_string());
    let graph = world.get(&format!("/api/v1/runs/{run}/graph")).json();
    assert_eq!(
        (&graph["state"], &graph["nodes"][0]["state"]),
        (&json!("running"), &json!("running"))
    );
    world.post(&format!("/api/v1/runs/{run}/cancel"), r#"{"reason":"seen"}"#);
    let (rows, open) = rows(&world, run, "");
    assert!(open.is_empty());
    assert_eq!(of_kind(&rows, "attempt")[0]["state"], "cancelled");
    assert_eq!(of_kind(&rows, "ended")[0]["details"]["failure"]["message"], "seen");
    world.stop();
}

#[test]
fn a_run_under_an_earlier_admission_tells_the_decisions_and_their_record() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let run = |input| {
        let body = format!(r#"{{"skill":"echo","input":{input}}}"#);
        world.task(&body)["run"].as_str().unwrap().to_owned()
    };
    let (first, second) = (rows(&world, &run(1), "").0, rows(&world, &run(2), "").0);
    let seqs = |rows: &[Value]| -> Vec<Value> {
        of_kind(rows, "decision").iter().map(|row| row["seq"].clone()).collect()
    };
    assert_eq!(seqs(&first).len(), 4);
    assert_eq!(seqs(&first), seqs(&second), "the same record decided about both");
    assert!(of_kind(&second, "accepted")[0]["seq"].as_u64() > seqs(&second)[0].as_u64());
    world.stop();
}

#[test]
fn a_graph_shows_how_each_task_stands_in_every_form() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let run = run(&world);
    let path = format!("/api/v1/runs/{run}/graph");
    let graph = world.get(&path).json();
    let states: Vec<_> =
        graph["nodes"].as_array().unwrap().iter().map(|it| it["state"].clone()).collect();
    assert_eq!(states, ["succeeded", "succeeded", "succeeded", "skipped", "failed"]);
    assert_eq!(graph["nodes"][1]["children"], json!({ "total": 5, "succeeded": 5 }));
    assert_eq!(graph["nodes"][3]["when"], "false");
    assert_eq!(graph["nodes"][4]["attempts"], 2);
    assert!(!graph["critical_path"].as_array().unwrap().is_empty());
    assert!(graph["duration_ms"].is_u64() && graph["critical_ms"].is_u64());
    let text = world.get(&format!("{path}?format=text"));
    assert_eq!(text.headers["content-type"], "text/plain; charset=utf-8");
    assert!(
        text.text().contains("map 5/5") && text.text().contains("critical path"),
        "{}",
        text.text()
    );
    assert!(world.get(&format!("{path}?format=dot")).text().starts_with("digraph \"demo\""));
    assert!(world.get(&format!("{path}?format=mermaid")).text().starts_with("flowchart LR"));
    world.get(&format!("{path}?format=svg")).problem(400, "query_invalid");
    world.get("/api/v1/runs/run_00000000000000000000000000/graph").problem(404, "run_not_found");
    world.stop();
}

#[test]
fn tasks_of_a_run_that_was_forgotten_are_the_same_as_before() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let run = run(&world);
    let tasks = |world: &World| -> Vec<Value> {
        let mut tasks = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = world.get(&format!("/api/v1/runs/{run}/tasks?limit=3{cursor}")).json();
            tasks.extend(page["items"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else { return tasks };
            cursor = format!("&cursor={next}");
        }
    };
    let of = |tasks: &[Value]| -> Vec<[Value; 5]> {
        let names = ["id", "name", "state", "output", "failure"];
        tasks.iter().map(|task| names.map(|name| task[name].clone())).collect()
    };
    let before = tasks(&world);
    assert_eq!(before.len(), 10);
    world.stop();
    let world = World::start(dir.path());
    let after = tasks(&world);
    let is_whole = |task: &[Value; 5]| task[1] != "each" && task[1] != "broken";
    let whole = |tasks: &[Value]| of(tasks).into_iter().filter(is_whole).collect::<Vec<_>>();
    assert_eq!(whole(&after), whole(&before));
    let ids = |tasks: &[Value]| tasks.iter().map(|it| it["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&after), ids(&before));
    let agent = after[0]["agent"].as_str().unwrap_or_default();
    assert!(agent.contains('-'), "agents of an earlier start are named: {}", after[0]);
    world.stop();
}
