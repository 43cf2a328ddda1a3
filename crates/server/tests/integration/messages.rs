//! Messages over HTTP: sent, looked at, taken, asked and answered, as CloudEvents.

use std::thread;

use serde_json::{Value, json};
use tempfile::tempdir;

use super::support::World;

const MAILBOX: &str = "/api/v1/agents/micro-00000/messages";

fn event(to: &str, change: Value) -> String {
    let mut event = json!({
        "specversion": "1.0", "id": "build-17", "source": "/outside/ci", "type": "build.done",
        "to": to, "data": {"build": 17},
    });
    if let Value::Object(change) = change {
        event.as_object_mut().unwrap().extend(change);
    }
    event.to_string()
}

/// Instances serve while they start: the fleet is there when it can be read.
fn world(dir: &std::path::Path, settle: impl FnOnce(&mut ark_os_runtime::Settings)) -> World {
    let world = World::with(dir, |settings, _| settle(settings));
    assert_eq!(world.get("/api/v1/agents/micro-00000").status, 200);
    world
}

#[test]
fn a_message_is_seen_by_who_looks_and_had_by_who_takes_it() {
    let dir = tempdir().unwrap();
    let world = world(dir.path(), |_| {});
    let sent = world.post("/api/v1/messages", event("agent:micro-00000", json!({"ttlms": 5_000})));
    assert_eq!(sent.status, 202, "{}", sent.text());
    assert_eq!(sent.json()["id"], "build-17");
    assert_eq!(sent.json()["delivered"], 1);
    let seen = world.get(MAILBOX).json();
    let place = seen["items"][0]["place"].as_u64().unwrap();
    let message = &seen["items"][0]["message"];
    assert_eq!(message["data"], json!({"build": 17}));
    assert_eq!(
        (&message["source"], &message["type"]),
        (&json!("/outside/ci"), &json!("build.done"))
    );
    assert_eq!(message["authority"], "local-operator");
    let after = world.get(&format!("{MAILBOX}?after={place}&wait=20ms")).json();
    assert_eq!(after["items"], json!([]));
    let taken = world.post(&format!("{MAILBOX}/take"), "").json();
    assert_eq!(taken["items"], json!([message]));
    assert_eq!(world.post(&format!("{MAILBOX}/take"), "").json()["items"], json!([]));
    let metrics = world.get("/api/v1/metrics").json();
    assert_eq!(metrics["counters"]["ark_os_messages_sent_total"], 1);
    assert_eq!(metrics["counters"]["ark_os_messages_taken_total"], 1);
    assert_eq!(metrics["gauges"]["ark_os_mailboxes"], 0);
    world.stop();
}

#[test]
fn who_asks_over_http_gets_what_the_agent_answers() {
    let dir = tempdir().unwrap();
    let world = world(dir.path(), |_| {});
    let asked = thread::scope(|scope| {
        let asks = scope.spawn(|| {
            world.post("/api/v1/messages?reply=30s", event("agent:micro-00000", json!({})))
        });
        let taken = world.post(&format!("{MAILBOX}/take?wait=30s"), "").json();
        let request = &taken["items"][0];
        assert_eq!(request["kind"], "request");
        let answer = json!({
            "id": "1", "source": "/agents/micro-00000", "kind": "response",
            "correlation": request["id"], "data": "fine",
        });
        let sent = world.post("/api/v1/messages", event("outside:ci", answer));
        assert_eq!(sent.status, 202, "{}", sent.text());
        asks.join().unwrap()
    });
    assert_eq!(asked.status, 200, "{}", asked.text());
    let answers = asked.json();
    assert_eq!(answers["answers"][0]["agent"], "micro-00000");
    assert_eq!(answers["answers"][0]["answer"]["data"], "fine");
    let late = world.post("/api/v1/messages?reply=20ms", event("agent:micro-00000", json!({})));
    late.problem(504, "message_unanswered");
    let layer = world.post("/api/v1/messages?reply=20ms", event("layer:micro", json!({"id": "2"})));
    let answers = layer.json();
    assert!(!answers["answers"].as_array().unwrap().is_empty());
    assert!(answers["answers"].as_array().unwrap().iter().all(|it| it["outcome"] == "timed_out"));
    world.stop();
}

#[test]
fn topics_reach_their_subscribers() {
    let dir = tempdir().unwrap();
    let world = world(dir.path(), |_| {});
    let topic = r#"{"topic":"builds.done"}"#;
    let subscribed = world.post("/api/v1/agents/micro-00000/subscribe", topic).json();
    assert_eq!((&subscribed["subscribed"], &subscribed["changed"]), (&json!(true), &json!(true)));
    let sent = world.post("/api/v1/messages", event("topic:builds.done", json!({}))).json();
    assert_eq!(sent["delivered"], 1);
    let left = world.post("/api/v1/agents/micro-00000/unsubscribe", topic).json();
    assert_eq!((&left["subscribed"], &left["changed"]), (&json!(false), &json!(true)));
    let sent = world.post("/api/v1/messages", event("topic:builds.done", json!({}))).json();
    assert_eq!(sent["addressees"], 0);
    world.stop();
}

#[test]
fn what_may_not_be_sent_is_told_with_its_code() {
    let dir = tempdir().unwrap();
    let world = world(dir.path(), |settings| settings.mailbox.messages_max = 2);
    let send = |to: &str, change| world.post("/api/v1/messages", event(to, change));
    send("agent:nobody", json!({})).problem(404, "addressee_not_found");
    send("fleet", json!({"kind": "shout"})).problem(400, "message_invalid");
    send("fleet", json!({"x": 1})).problem(400, "request_invalid");
    send("fleet", json!({"ttlms": 0})).problem(400, "message_invalid");
    send("fleet", json!({"data": "x".repeat(65 * 1024)})).problem(413, "message_too_large");
    send("fleet", json!({"source": "/agents/micro-00000"})).problem(403, "message_denied");
    let answers_nothing =
        json!({"kind": "response", "correlation": "x", "source": "/agents/micro-00000"});
    send("outside:ci", answers_nothing).problem(404, "addressee_not_found");
    assert_eq!(send("agent:micro-00000", json!({})).status, 202);
    let full = send("agent:micro-00000", json!({}));
    full.problem(429, "mailbox_full");
    assert_eq!(full.headers["retry-after"], "1");
    assert_eq!(send("agent:micro-00000", json!({"priority": "emergency"})).status, 202);
    world.get("/api/v1/agents/nobody/messages").problem(404, "agent_not_found");
    world.get(&format!("{MAILBOX}?wait=soon")).problem(400, "query_invalid");
    world.post(&format!("{MAILBOX}/take?max=501"), "").problem(400, "query_invalid");
    world.stop();
}
