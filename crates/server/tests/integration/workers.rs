//! Remote workers over real HTTP: what they do, and what they cannot do to anybody.

use std::path::Path;
use std::time::Duration;

use ark_os_core::authority::Scopes;
use ark_os_runtime::Components;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::{Answer, World};

/// Short enough to run out within a test, long enough not to by itself.
const LEASE: Duration = Duration::from_millis(1_500);

fn world(dir: &Path) -> World {
    of(dir, LEASE, Duration::from_secs(30))
}

fn of(dir: &Path, lease: Duration, heartbeat: Duration) -> World {
    let operator = Scopes::parse(["*", "effect:effectful"]).unwrap();
    let components = Components { operator, ..Components::builtin() };
    World::of(dir, components, |settings, _| {
        (settings.lease, settings.heartbeat) = (lease, heartbeat);
    })
}

/// A session of a worker.
struct Worker<'a> {
    world: &'a World,
    name: String,
    session: String,
}

impl<'a> Worker<'a> {
    /// With the skill `w.read` or another effect's.
    fn join(world: &'a World, name: &str, effect: &str) -> Self {
        let skill = json!({"name": format!("w.{effect}"), "effect": effect, "output": {
            "type": "object", "required": ["by"]}});
        let body = json!({"name": name, "concurrency": 4, "skills": [skill]});
        let answer = world.post("/api/v1/workers", body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let session = answer.json()["session"].as_str().unwrap().to_owned();
        Worker { world, name: name.to_owned(), session }
    }

    #[expect(clippy::needless_pass_by_value, reason = "written where it is given")]
    fn call(&self, verb: &str, body: Value) -> Answer {
        let path = format!("/api/v1/workers/{}/{verb}", self.name);
        let headers = [("Worker-Session", self.session.as_str())];
        self.world.call("POST", &path, &headers, body.to_string().as_bytes())
    }

    fn ask(&self, verb: &str, body: Value) -> Value {
        let answer = self.call(verb, body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The one task that there is.
    fn claim(&self, number: u64) -> Value {
        let answer = self.ask("claim", json!({"max": 4, "wait": "10s", "claim": number}));
        assert_eq!(answer["tasks"].as_array().unwrap().len(), 1, "{answer}");
        answer["tasks"][0].clone()
    }

    fn complete(&self, task: &Value) -> Value {
        let result = json!({"pt": task["pt"], "fence": task["fence"], "output": {"by": self.name}});
        self.ask("complete", json!({"results": [result]}))["tokens"][0].clone()
    }

    #[expect(clippy::needless_pass_by_value, reason = "written where it is given")]
    fn fail(&self, task: &Value, failure: Value) -> Value {
        let mut it = json!({"pt": task["pt"], "fence": task["fence"], "message": "no"});
        it.as_object_mut().unwrap().extend(failure.as_object().unwrap().clone());
        self.ask("fail", json!({"failures": [it]}))["tokens"][0].clone()
    }

    fn extend(&self, task: &Value) -> Value {
        let token = json!({"pt": task["pt"], "fence": task["fence"]});
        self.ask("extend", json!({"tokens": [token]}))["tokens"][0].clone()
    }

    fn view(&self) -> Value {
        self.world.get(&format!("/api/v1/workers/{}", self.name)).json()
    }

    /// Waits until it is seen so.
    fn is_seen(&self, state: &str) {
        for _ in 0..2_000 {
            if self.view()["state"] == state {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        panic!("never {state}: {}", self.view());
    }
}

/// Submits a task; the path that shows it.
fn submit(world: &World, effect: &str) -> String {
    let body = json!({"skill": format!("w.{effect}"), "input": {"n": 1},
        "retry": {"attempts": 3, "backoff": "1ms", "max": "1ms"}});
    let answer = world.post("/api/v1/tasks", body.to_string());
    assert_eq!(answer.status, 202, "{}", answer.text());
    format!("/api/v1/tasks/{}", answer.json()["task"].as_str().unwrap())
}

fn over(world: &World, task: &str) -> Value {
    let shown = world.get(task).json();
    let run = shown["run"].as_str().unwrap();
    world.get(&format!("/api/v1/runs/{run}?wait=20s"));
    world.get(task).json()
}

#[test]
fn a_worker_does_a_task_from_registration_to_result() {
    let dir = tempdir().unwrap();
    let world = world(dir.path());
    let worker = Worker::join(&world, "a-1", "read");
    let shown = world.get("/api/v1/agents/a-1").json();
    assert_eq!((&shown["layer"], &shown["standing"]), (&json!("specialist"), &json!("ready")));
    let path = submit(&world, "read");
    let task = worker.claim(1);
    assert_eq!((&task["skill"], &task["attempt"]), (&json!("w.read"), &json!(1)));
    assert_eq!((&task["input"], &task["effect"]), (&json!({"n": 1}), &json!("read")));
    assert!(task["traceparent"].as_str().unwrap().starts_with("00-"), "{task}");
    assert!(task["deadline"].as_str() > task["lease_until"].as_str(), "{task}");
    let steps = world.get(&path).json()["steps"].clone();
    assert_eq!((&steps[0]["state"], &steps[0]["key"]), (&json!("open"), &task["key"]), "{steps}");
    assert_eq!(worker.complete(&task), json!({"pt": task["pt"], "state": "accepted"}));
    let done = over(&world, &path);
    assert_eq!((&done["state"], &done["output"]), (&json!("succeeded"), &json!({"by": "a-1"})));
    assert_eq!((&done["agent"], &done["attempt"]), (&json!("a-1"), &json!(1)));
    assert_eq!(worker.view()["completed"], 1);
    world.stop();
}

#[test]
fn a_claim_that_waits_is_answered_when_there_is_work() {
    let dir = tempdir().unwrap();
    let world = world(dir.path());
    let worker = Worker::join(&world, "a-1", "read");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| worker.claim(1));
        worker.is_seen("ready");
        let path = submit(&world, "read");
        let task = waiting.join().unwrap();
        worker.complete(&task);
        assert_eq!(over(&world, &path)["state"], "succeeded");
    });
    assert_eq!(
        worker.ask("claim", json!({"max": 1}))["tasks"],
        json!([]),
        "and at once without a wait"
    );
    world.stop();
}

#[test]
fn a_claim_with_the_same_number_gives_the_same_tasks_and_the_next_one_others() {
    let dir = tempdir().unwrap();
    let world = world(dir.path());
    let worker = Worker::join(&world, "a-1", "read");
    submit(&world, "read");
    let task = worker.claim(7);
    assert_eq!(worker.claim(7), task, "its answer was lost");
    assert_eq!(worker.ask("claim", json!({"max": 4, "claim": 8}))["tasks"], json!([]));
    worker.complete(&task);
    world.stop();
}

#[test]
fn a_result_presented_again_changes_nothing_and_says_so() {
    let dir = tempdir().unwrap();
    let world = world(dir.path());
    let worker = Worker::join(&world, "a-1", "read");
    let path = submit(&world, "read");
    let task = worker.claim(1);
    let mut foreign = task.clone();
    foreign["fence"] = json!(task["fence"].as_u64().unwrap() + 1);
    assert_eq!(worker.complete(&foreign)["state"], "stale_fence");
    assert_eq!(worker.complete(&json!({"pt": "pt_x", "fence": 1}))["state"], "stale_fence");
    assert_eq!(worker.complete(&task)["state"], "accepted");
    let again = worker.complete(&task);
    assert_eq!((&again["state"], &again["repeated"]), (&json!("accepted"), &json!(true)));
    let failed = worker.fail(&task, json!({"code": "too.late"}));
    assert_eq!((&failed["state"], &failed["repeated"]), (&json!("accepted"), &json!(true)));
    let done = over(&world, &path);
    assert_eq!((&done["state"], &done["attempt"]), (&json!("succeeded"), &json!(1)));
    world.stop();
}

#[test]
fn a_worker_that_stalls_loses_its_task_to_another_and_comes_back_too_late() {
    let dir = tempdir().unwrap();
    let world = world(dir.path());
    let stalled = Worker::join(&world, "a-1", "read");
    let path = submit(&world, "read");
    let task = stalled.claim(1);
    let other = Worker::join(&world, "b-2", "read");
    // It says nothing of the task until its lease is over.
    let again = other.claim(1);
    assert_eq!((&again["task"], &again["key"]), (&task["task"], &task["key"]));
    assert!(again["fence"].as_u64() > task["fence"].as_u64());
    assert_eq!(stalled.extend(&task)["state"], "stale_fence");
    assert_eq!(stalled.complete(&task)["state"], "stale_fence");
    assert_eq!(stalled.complete(&again)["state"], "stale_fence", "another's token");
    assert_eq!(other.complete(&again)["state"], "accepted");
    let done = over(&world, &path);
    assert_eq!((&done["output"], &done["lost"]), (&json!({"by": "b-2"}), &json!(1)), "{done}");
    world.stop();
}

#[test]
fn an_effectful_task_whose_worker_died_is_parked_and_not_repeated() {
    let dir = tempdir().unwrap();
    let world = world(dir.path());
    let dead = Worker::join(&world, "a-1", "effectful");
    let path = submit(&world, "effectful");
    let task = dead.claim(1);
    let parked = over(&world, &path);
    assert_eq!(parked["parked"]["reason"], "in_doubt", "{parked}");
    assert_eq!(dead.complete(&task)["state"], "cancelled", "nobody waits for it");
    let run = task["run"].as_str().unwrap();
    let body = json!({"happened": {"by": "hand"}, "reason": "seen"});
    let key = task["key"].as_str().unwrap();
    let resolved = world.post(&format!("/api/v1/runs/{run}/steps/{key}/resolve"), body.to_string());
    assert_eq!(resolved.status, 200, "{}", resolved.text());
    // What happened is answered from the journal: the worker never sees the task again.
    let next = dead.ask("claim", json!({"max": 1, "wait": "200ms"}));
    assert_eq!(next["tasks"], json!([]));
    let done = over(&world, &path);
    assert_eq!((&done["state"], &done["output"]), (&json!("succeeded"), &json!({"by": "hand"})));
    world.stop();
}

#[test]
fn a_failure_that_nobody_can_explain_parks_an_effectful_task_and_repeats_any_other() {
    let dir = tempdir().unwrap();
    let world = world(dir.path());
    let worker = Worker::join(&world, "a-1", "effectful");
    let path = submit(&world, "effectful");
    let task = worker.claim(1);
    worker.fail(&task, json!({"code": "mail.timeout", "unknown": true}));
    assert_eq!(over(&world, &path)["parked"]["reason"], "in_doubt");
    let reader = Worker::join(&world, "b-1", "idempotent");
    let path = submit(&world, "idempotent");
    let task = reader.claim(1);
    reader.fail(&task, json!({"code": "mail.timeout", "unknown": true}));
    let again = reader.claim(2);
    assert_eq!((&again["key"], &again["attempt"]), (&task["key"], &json!(2)));
    reader.complete(&again);
    assert_eq!(over(&world, &path)["state"], "succeeded");
    world.stop();
}

#[test]
fn failures_are_tried_again_only_where_that_may_help() {
    let dir = tempdir().unwrap();
    let world = world(dir.path());
    let worker = Worker::join(&world, "a-1", "read");
    let path = submit(&world, "read");
    for number in 1..=3 {
        let task = worker.claim(number);
        assert_eq!(task["attempt"], number);
        worker.fail(&task, json!({"code": "model.busy", "retryable": true}));
    }
    let failed = over(&world, &path);
    assert_eq!(
        (&failed["state"], &failed["failure"]["code"]),
        (&json!("failed"), &json!("model.busy"))
    );
    let path = submit(&world, "read");
    let task = worker.claim(4);
    worker.fail(&task, json!({"code": "no good; code"}));
    let failed = over(&world, &path);
    assert_eq!(
        (&failed["attempt"], &failed["failure"]["code"]),
        (&json!(1), &json!("worker.failed"))
    );
    assert_eq!(worker.view()["failed"], 4);
    world.stop();
}

#[test]
fn an_output_that_cannot_be_one_is_refused_and_another_attempt_is_made() {
    let dir = tempdir().unwrap();
    let world = world(dir.path());
    let worker = Worker::join(&world, "a-1", "read");
    let path = submit(&world, "read");
    let task = worker.claim(1);
    let wrong = json!({"pt": task["pt"], "fence": task["fence"], "output": {"to": 1}});
    let told = worker.ask("complete", json!({"results": [wrong]}))["tokens"][0].clone();
    assert_eq!(
        (&told["state"], &told["code"]),
        (&json!("refused"), &json!("output_invalid")),
        "{told}"
    );
    let again = worker.claim(2);
    assert_eq!(again["attempt"], 2);
    worker.complete(&again);
    assert_eq!(over(&world, &path)["state"], "succeeded");
    world.stop();
}

#[test]
fn what_is_extended_outlives_its_lease_and_what_is_cancelled_is_told() {
    let dir = tempdir().unwrap();
    let world = of(dir.path(), Duration::from_millis(600), Duration::from_secs(30));
    let worker = Worker::join(&world, "a-1", "read");
    let path = submit(&world, "read");
    let task = worker.claim(1);
    let mut until = task["lease_until"].as_str().unwrap().to_owned();
    for _ in 0..8 {
        std::thread::park_timeout(Duration::from_millis(150));
        let held = worker.extend(&task);
        assert_eq!(held["state"], "held", "{held}");
        let later = held["lease_until"].as_str().unwrap().to_owned();
        assert!(later > until);
        until = later;
    }
    let run = task["run"].as_str().unwrap();
    assert_eq!(world.post(&format!("/api/v1/runs/{run}/cancel"), "").status, 200);
    assert_eq!(worker.extend(&task)["state"], "cancelled");
    assert_eq!(worker.complete(&task)["state"], "cancelled");
    assert_eq!(over(&world, &path)["state"], "cancelled");
    assert_eq!(worker.view()["under_way"], 0);
    world.stop();
}

#[test]
fn who_registers_under_a_workers_name_takes_its_place() {
    let dir = tempdir().unwrap();
    let world = world(dir.path());
    let older = Worker::join(&world, "a-1", "read");
    let path = submit(&world, "read");
    let task = older.claim(1);
    let newer = Worker::join(&world, "a-1", "read");
    for (verb, body) in
        [("claim", json!({"max": 1})), ("extend", json!({"tokens": []})), ("leave", json!({}))]
    {
        older.call(verb, body).problem(409, "worker_fenced");
    }
    let result =
        json!({"results": [{"pt": task["pt"], "fence": task["fence"], "output": {"by": 0}}]});
    older.call("complete", result).problem(409, "worker_fenced");
    let again = newer.claim(1);
    assert_eq!(again["task"], task["task"]);
    assert_ne!(again["fence"], task["fence"]);
    newer.complete(&again);
    assert_eq!(over(&world, &path)["lost"], 1);
    world.stop();
}

#[test]
fn a_worker_that_does_not_claim_is_passed_over_and_nothing_counts_against_the_task() {
    let dir = tempdir().unwrap();
    let world = of(dir.path(), Duration::from_millis(600), Duration::from_secs(30));
    let idle = Worker::join(&world, "a-1", "read");
    let path = submit(&world, "read");
    idle.is_seen("idle");
    let shown = world.get("/api/v1/agents/a-1").json();
    assert_eq!(shown["standing"], "suspect", "{shown}");
    let other = Worker::join(&world, "b-2", "read");
    let task = other.claim(1);
    assert_eq!(task["attempt"], 1);
    other.complete(&task);
    let done = over(&world, &path);
    assert_eq!((&done["lost"], &done["output"]), (&json!(0), &json!({"by": "b-2"})));
    // Its next claim lets it in again.
    idle.ask("claim", json!({"max": 1}));
    idle.is_seen("ready");
    world.stop();
}

#[test]
fn silence_makes_a_worker_suspect_then_offline_and_its_next_word_brings_it_back() {
    let dir = tempdir().unwrap();
    let world = of(dir.path(), Duration::from_secs(60), Duration::from_millis(200));
    let worker = Worker::join(&world, "a-1", "read");
    let path = submit(&world, "read");
    let task = worker.claim(1);
    worker.is_seen("suspect");
    worker.is_seen("offline");
    assert_eq!(world.get("/api/v1/agents/a-1").json()["standing"], "offline");
    assert_eq!(worker.extend(&task)["state"], "stale_fence", "others may do it now");
    worker.is_seen("ready");
    let again = worker.claim(2);
    assert_eq!(again["task"], task["task"]);
    worker.complete(&again);
    assert_eq!(over(&world, &path)["lost"], 1);
    world.stop();
}

#[test]
fn a_worker_that_leaves_completes_what_it_has_and_its_tasks_wait_for_the_next() {
    let dir = tempdir().unwrap();
    let world = world(dir.path());
    let worker = Worker::join(&world, "a-1", "read");
    let first = submit(&world, "read");
    let task = worker.claim(1);
    let second = submit(&world, "read");
    assert_eq!(worker.ask("leave", json!({})), json!({"under_way": 1}));
    assert_eq!(worker.ask("claim", json!({"max": 1, "wait": "5s"}))["tasks"], json!([]), "at once");
    assert_eq!(worker.complete(&task)["state"], "accepted");
    assert_eq!(over(&world, &first)["state"], "succeeded");
    assert_eq!(world.get("/api/v1/agents/a-1").json()["standing"], "retired");
    let third = submit(&world, "read");
    let back = Worker::join(&world, "a-1", "read");
    for path in [&second, &third] {
        let answer = back.ask("claim", json!({"max": 1, "wait": "10s"}));
        back.complete(&answer["tasks"][0]);
        let _ = path;
    }
    for path in [second, third] {
        let done = over(&world, &path);
        assert_eq!((&done["state"], &done["lost"]), (&json!("succeeded"), &json!(0)));
    }
    world.stop();
}

#[test]
fn after_a_restart_workers_register_again_and_tasks_go_on() {
    let dir = tempdir().unwrap();
    let first = world(dir.path());
    let worker = Worker::join(&first, "a-1", "read");
    let path = submit(&first, "read");
    let task = worker.claim(1);
    let session = worker.session;
    first.stop();
    let second = world(dir.path());
    let headers = [("Worker-Session", session.as_str())];
    let old = second.call("POST", "/api/v1/workers/a-1/extend", &headers, b"");
    old.problem(404, "worker_not_found");
    let worker = Worker::join(&second, "a-1", "read");
    let again = worker.claim(1);
    assert_eq!((&again["task"], &again["key"]), (&task["task"], &task["key"]));
    assert_eq!(worker.complete(&task)["state"], "stale_fence", "from before the restart");
    worker.complete(&again);
    assert_eq!(over(&second, &path)["state"], "succeeded");
    second.stop();
}

#[test]
fn wrong_registrations_are_refused_with_their_places() {
    let dir = tempdir().unwrap();
    let world = world(dir.path());
    let post = |body: Value| world.post("/api/v1/workers", body.to_string());
    let skill = |name: &str| json!([{"name": name, "effect": "read"}]);
    for (body, place) in [
        (json!({"name": "a b", "concurrency": 1, "skills": skill("w.x")}), "/name"),
        (json!({"name": "micro-00001", "concurrency": 1, "skills": skill("w.x")}), "/name"),
        (json!({"name": "a", "concurrency": 0, "skills": skill("w.x")}), "/concurrency"),
        (json!({"name": "a", "concurrency": 1, "skills": []}), "/skills"),
        (json!({"name": "a", "concurrency": 1, "skills": skill("echo")}), "/skills/0/name"),
        (
            json!({"name": "a", "layer": "board", "concurrency": 1, "skills": skill("w.x")}),
            "/layer",
        ),
        (
            json!({"name": "a", "concurrency": 1, "skills": [{"name": "w.x", "effect": "pure"}]}),
            "/skills/0/effect",
        ),
        (
            json!({"name": "a", "concurrency": 1, "skills": [{"name": "w.x", "input": {"type": 1}}]}),
            "/skills/0/input",
        ),
    ] {
        let problem = post(body.clone()).problem(400, "worker_invalid");
        assert_eq!(problem["errors"][0]["pointer"], place, "{body} {problem}");
    }
    Worker::join(&world, "a-1", "read");
    let other = json!({"name": "b", "concurrency": 1, "skills": [{"name": "w.read", "effect": "idempotent"}]});
    post(other).problem(409, "skill_taken");
    world.post("/api/v1/workers/a-1/claim", r#"{"max":1}"#).problem(400, "request_invalid");
    world.post("/api/v1/workers/nobody/leave", "").problem(400, "request_invalid");
    let listed = world.get("/api/v1/workers").json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    world.stop();
}

/// Bodies that are nearly right, from which foreign ones are made.
const SEEDS: [(&str, &str); 6] = [
    ("claim", r#"{"max":4,"wait":"0s","claim":3}"#),
    ("extend", r#"{"tokens":[{"pt":"PT","fence":7,"checkpoint":"half"},{"pt":"PT","fence":7}]}"#),
    ("complete", r#"{"results":[{"pt":"PT","fence":7,"output":{"by":[1,{"a":null}]}}]}"#),
    (
        "fail",
        r#"{"failures":[{"pt":"PT","fence":7,"code":"a.b","message":"no","retryable":true,"unknown":false}]}"#,
    ),
    ("leave", "{}"),
    (
        "",
        r#"{"name":"f-1","concurrency":2,"layer":"micro","labels":{"a":"b"},"skills":[{"name":"f.x","effect":"read","input":{"type":"object"},"output":true}]}"#,
    ),
];

/// Cuts, repeats and replaces parts of a text.
fn mutated(seed: &str, cuts: &[(usize, usize, usize)], parts: &[&str]) -> Vec<u8> {
    let mut bytes = seed.as_bytes().to_vec();
    for (at, length, part) in cuts {
        let at = at % (bytes.len() + 1);
        let end = (at + length % 9).min(bytes.len());
        let part = parts[part % parts.len()].as_bytes();
        bytes.splice(at..end, part.iter().copied());
    }
    bytes
}

#[test]
fn foreign_bodies_of_the_protocol_never_are_a_fault_of_ours() {
    let dir = tempdir().unwrap();
    let world = world(dir.path());
    let worker = Worker::join(&world, "f-0", "read");
    let parts = [
        "",
        "",
        "\"",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "null",
        "-1",
        "1e99",
        "18446744073709551616",
        "\\u0000",
        "\"pt\"",
        "\"fence\"",
        "\"max\"",
        "\"skills\"",
        "true",
        "é",
        "\"10h\"",
    ];
    let cuts = prop::collection::vec((any::<usize>(), any::<usize>(), any::<usize>()), 0..6);
    let config =
        ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let sessions = std::cell::RefCell::new(worker.session);
    proptest!(config, |(which in 0..SEEDS.len(), cuts in cuts)| {
        let (verb, seed) = SEEDS[which];
        let body = mutated(seed, &cuts, &parts);
        let path = match verb {
            "" => "/api/v1/workers".to_owned(),
            verb => format!("/api/v1/workers/f-0/{verb}"),
        };
        let session = sessions.borrow().clone();
        let answer = world.call("POST", &path, &[("Worker-Session", session.as_str())], &body);
        let text = String::from_utf8_lossy(&body).into_owned();
        prop_assert!(matches!(answer.status, 200..=499), "{path} {text}: {}", answer.text());
        if answer.status >= 400 {
            prop_assert!(answer.json()["code"].is_string());
        }
        if verb == "leave" {
            let again = Worker::join(&world, "f-0", "read");
            *sessions.borrow_mut() = again.session;
        }
    });
    // Whatever was taken of it has not hurt the instance.
    let last = Worker::join(&world, "f-2", "idempotent");
    let path = submit(&world, "idempotent");
    let task = last.claim(1);
    assert_eq!(last.complete(&task)["state"], "accepted");
    assert_eq!(over(&world, &path)["state"], "succeeded");
    world.stop();
}
