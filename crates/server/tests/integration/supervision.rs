//! Escalations and emergency measures over HTTP.

use ark_os_core::Command;
use ark_os_core::error::Failure;
use ark_os_core::ids::PtId;
use ark_os_core::limits::LOST_ATTEMPTS_MAX;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::World;

fn measure(world: &World, body: &Value) -> Value {
    let answer = world.post("/api/v1/measures", body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn a_freeze_is_seen_by_whoever_asks_how_the_instance_is() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let freeze = json!({"measure": "freeze", "reason": "the bill explodes", "for": "1h"});
    let id = measure(&world, &freeze)["id"].clone();
    assert_eq!(world.get("/api/v1/health").json()["status"], "frozen");
    assert_eq!(world.get("/api/v1/overview").json()["status"], "frozen");
    let ready = world.call("GET", "/api/v1/health/ready", &[("Authorization", "")], b"");
    ready.problem(503, "intake_frozen");
    assert!(!ready.text().contains("bill"), "probes are told nothing that people wrote");
    let refused = world.post("/api/v1/tasks", r#"{"skill":"echo"}"#);
    refused.problem(503, "intake_frozen");
    for answer in [ready, refused] {
        assert_eq!(answer.headers["retry-after"], "60", "an hour, or whenever it is lifted");
    }
    world.post(&format!("/api/v1/measures/{id}/lift"), r#"{"reason":"paid"}"#);
    assert_eq!(world.get("/api/v1/health").json()["status"], "ok");
    assert_eq!(world.get("/api/v1/health/ready").status, 200);
    let soon = json!({"measure": "freeze", "reason": "test", "for": "5s"});
    measure(&world, &soon);
    let refused = world.post("/api/v1/tasks", r#"{"skill":"echo"}"#);
    let after: u32 = refused.headers["retry-after"].parse().unwrap();
    assert!((1..=5).contains(&after), "{after}");
    world.stop();
}

#[test]
fn a_measure_that_ends_at_once_is_answered_as_it_was_recorded() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    for number in 1..=20 {
        let brief =
            json!({"measure": "mode", "mode": "interactive", "reason": "test", "for": "1ms"});
        // The one before may not be over yet.
        let taken = loop {
            let answer = world.post("/api/v1/measures", brief.to_string());
            if answer.status != 409 {
                assert_eq!(answer.status, 200, "{}", answer.text());
                break answer.json();
            }
        };
        assert_eq!((&taken["id"], &taken["mode"]), (&json!(number), &json!("interactive")));
    }
    world.stop();
}

/// A task that killed too many agents; the number of its escalation.
fn poisoned(world: &World) -> u64 {
    let body = r#"{"skill":"sleep","input":{"ms":60000}}"#;
    let run = world.post("/api/v1/tasks", body).json()["run"].clone();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut lost = 0;
    while lost < LOST_ATTEMPTS_MAX {
        let look = world.handle.read(|kernel| {
            let state = kernel.state();
            let ids = state.run_ids().into_iter();
            let runs = ids.filter_map(|id| state.run(id)).filter(|run| !run.is_over());
            let tasks =
                runs.flat_map(|run| run.active_tasks().into_iter().map(move |it| (run, it)));
            let mut open = tasks.filter_map(|(run, task)| {
                let fence = run.task(task)?.active.as_ref()?.fence;
                Some(PtId { run: run.id, task, fence })
            });
            open.next()
        });
        let Some(pt) = runtime.block_on(look).unwrap() else { continue };
        let reason = Failure::retryable("agent_died", "the agent died");
        runtime.block_on(world.handle.command(Command::LoseAttempt { pt, reason })).unwrap();
        lost += 1;
    }
    loop {
        let open = world.get("/api/v1/escalations").json();
        let of_run = |it: &&Value| it["task"].as_str().unwrap_or("").contains(&run_part(&run));
        if let Some(it) = open["items"].as_array().unwrap().iter().find(of_run) {
            assert_eq!(it["class"], "poison");
            let ladder: Vec<&Value> =
                it["ladder"].as_array().unwrap().iter().map(|rung| &rung["remedy"]).collect();
            assert_eq!(ladder.len() as u32, LOST_ATTEMPTS_MAX, "four more attempts and a look");
            assert_eq!(ladder.last(), Some(&&json!("observe")));
            return it["id"].as_u64().unwrap();
        }
    }
}

/// What the ids of a run and its tasks have in common.
fn run_part(run: &Value) -> String {
    run.as_str().unwrap().trim_start_matches("run_").to_owned()
}

#[test]
fn of_two_who_answer_at_once_one_is_told_that_it_is_over() {
    let dir = tempdir().unwrap();
    let world = World::with(dir.path(), |settings, _| settings.agents = 20);
    let id = poisoned(&world);
    let path = format!("/api/v1/escalations/{id}/answer");
    let answers = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for reason in ["mine", "yours"] {
            let (world, path, answers) = (&world, &path, &answers);
            scope.spawn(move || {
                let body = json!({"action": "dismiss", "reason": reason}).to_string();
                answers.lock().unwrap().push((reason, world.post(path, body)));
            });
        }
    });
    let (told, refused): (Vec<_>, Vec<_>) =
        answers.into_inner().unwrap().into_iter().partition(|(_, answer)| answer.status == 200);
    let [(reason, _)] = &told[..] else { panic!("{told:?}") };
    let [(_, refused)] = &refused[..] else { panic!("{refused:?}") };
    refused.problem(409, "escalation_over");
    let kept = world.get(&format!("/api/v1/escalations/{id}")).json();
    assert_eq!(kept["reason"], *reason, "the word of who was told so is kept");
    world.stop();
}

#[test]
fn a_closed_escalation_that_is_forgotten_is_no_place_to_go_on_from() {
    let dir = tempdir().unwrap();
    let world = World::with(dir.path(), |settings, _| settings.agents = 20);
    let ids = [poisoned(&world), poisoned(&world)];
    for id in ids {
        let path = format!("/api/v1/escalations/{id}/answer");
        let answer = world.post(&path, r#"{"action":"cancel","reason":"no use"}"#);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let page = world.get("/api/v1/escalations?state=closed&limit=1").json();
    assert_eq!(
        (&page["items"][0]["id"], &page["next"]),
        (&json!(ids[1]), &json!(ids[1].to_string()))
    );
    let rest = format!("/api/v1/escalations?state=closed&cursor={}", ids[1]);
    let rest = world.get(&rest).json();
    assert_eq!((&rest["items"][0]["id"], &rest["next"]), (&json!(ids[0]), &Value::Null));
    // One of that number is not among them, as one that was evicted is not.
    for list in
        ["escalations?state=closed&cursor=999", "escalations?cursor=x", "workflows?cursor=x"]
    {
        world.get(&format!("/api/v1/{list}")).problem(400, "cursor_invalid");
    }
    world.stop();
}
