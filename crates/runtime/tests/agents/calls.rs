//! Calls: what is sent, what each answer means, and what is certain about a call without one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ark_os_core::Command;
use ark_os_core::event::{ParkReason, Resolution};
use ark_os_core::payload::Payload;
use ark_os_core::run::RunState;
use ark_os_runtime::skills::SkillSet;
use ark_os_runtime::{PlanRequest, RunRequest};
use serde_json::{Value, json};

use crate::server::{Act, Gate, Server};
use crate::world::{
    PATIENCE, SECRET, World, install, output, over, request, request_for, run, task,
};

fn ok(text: &str) -> Act {
    Act::Answer(200, text.to_owned())
}

/// An agent that calls this server.
fn agent(server: &Server, more: &Value) -> Value {
    let mut http = json!({"url": server.url("/it?q=1"), "allow_private": true});
    http.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    http
}

fn keys(server: &Server) -> BTreeSet<String> {
    server.seen().iter().map(|request| request.key().to_owned()).collect()
}

/// How a single task of this agent ends.
async fn ends(server: &Server, more: Value, attempts: u32) -> (RunState, String, String) {
    let world = World::new(&agent(server, &more));
    let instance = world.start();
    let (_, outcome) = run(&instance.handle(), attempts).await;
    let failure = outcome.failure.map(|it| (it.code.to_string(), it.message.to_string()));
    let (code, message) = failure.unwrap_or_default();
    instance.stop().unwrap();
    (outcome.state, code, message)
}

#[tokio::test]
async fn a_call_has_the_key_of_its_step_and_its_answer_is_the_output() {
    let server = Server::start(|_| ok("{\"told\":[1]}"));
    let more = json!({"effect": "idempotent", "headers": {"X-Plain": "yes"},
                      "secret_headers": {"Authorization": "env:ANY"}});
    let world = World::new(&agent(&server, &more));
    let instance = world.start();
    let (_, outcome) = run(&instance.handle(), 1).await;
    assert_eq!(output(&instance.handle(), &outcome), json!({"told": [1]}));
    instance.stop().unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    let request = &seen[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/it?q=1"));
    assert_eq!(request.body, r#"{"a":[true],"z":1}"#, "canonical: the key is of its digest");
    assert_eq!(request.key().len(), 64);
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["x-plain"], "yes");
    assert_eq!(request.headers["authorization"], format!("Bearer {SECRET}"));
}

#[tokio::test]
async fn a_service_is_trusted_by_the_authority_of_its_file_and_by_no_other() {
    let server = Server::start_tls(|_| ok("7"));
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}/x", server.port);
        let trusted = json!({"url": url, "ca_file": "ca.pem", "effect": "effectful"});
        assert_eq!(ends(&server, trusted, 1).await.0, RunState::Succeeded, "{host}");
    }
    assert_eq!(server.seen().len(), 2);
    let url = format!("https://localhost:{}/x", server.port);
    // Nothing was sent, so nothing is in doubt.
    let (state, code, _) = ends(&server, json!({"url": url, "effect": "effectful"}), 2).await;
    assert_eq!((state, code.as_str()), (RunState::Failed, "http.tls"));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn statuses_that_say_not_now_are_tried_again_under_the_same_key() {
    for effect in ["read", "idempotent", "effectful"] {
        let server = Server::start(|request| match request.number {
            0 => Act::Answer(503, String::new()),
            1 => Act::Answer(429, String::new()),
            _ => ok("{}"),
        });
        let (state, ..) = ends(&server, json!({ "effect": effect }), 5).await;
        assert_eq!(state, RunState::Succeeded, "{effect}");
        assert_eq!((server.seen().len(), keys(&server).len()), (3, 1), "{effect}");
    }
}

#[tokio::test]
async fn a_refusal_is_final_and_shows_what_was_said_but_no_secret() {
    let server = Server::start(|_| Act::Answer(422, format!("no:\n{SECRET} is wrong")));
    let more = json!({"effect": "idempotent", "secret_headers": {"Authorization": "env:ANY"}});
    let (state, code, message) = ends(&server, more, 5).await;
    assert_eq!((state, code.as_str()), (RunState::Failed, "http.status"));
    assert!(message.ends_with("/it: status 422: no: [secret] is wrong"), "{message}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let server = Server::start(|request| match request.number {
        0 => Act::AnswerWith(302, "location: /elsewhere", String::new()),
        _ => ok("{}"),
    });
    let (state, code, _) = ends(&server, json!({"effect": "read"}), 3).await;
    assert_eq!((state, code.as_str()), (RunState::Failed, "http.status"));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn what_was_never_sent_did_not_happen() {
    let server = Server::start(|_| ok("{}"));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/x", closed.local_addr().unwrap().port());
    drop(closed);
    let (state, code, _) = ends(&server, json!({"url": url, "effect": "effectful"}), 2).await;
    assert_eq!((state, code.as_str()), (RunState::Failed, "http.unreachable"), "not in doubt");
}

#[tokio::test]
async fn a_repeatable_call_without_an_answer_is_repeated_under_its_key() {
    for broken in [Act::BreakOff, Act::BreakOffHalfway, Act::Hang(Gate::default())] {
        let first = broken.clone();
        let server = Server::start(move |request| match request.number {
            0 => first.clone(),
            _ => ok("{}"),
        });
        let more = json!({"effect": "idempotent", "timeout": "400ms"});
        let (state, ..) = ends(&server, more, 2).await;
        assert_eq!(state, RunState::Succeeded, "{broken:?}");
        assert_eq!((server.seen().len(), keys(&server).len()), (2, 1), "{broken:?}");
        if let Act::Hang(gate) = broken {
            gate.open();
        }
    }
}

#[tokio::test]
async fn an_effect_without_an_answer_is_in_doubt_until_somebody_says() {
    let lost = [Act::BreakOff, Act::BreakOffHalfway, Act::Answer(500, "?".into())];
    for (act, happened) in lost.into_iter().zip([true, false, true]) {
        let first = act.clone();
        let server = Server::start(move |request| match request.number {
            0 => first.clone(),
            _ => ok("{\"by\":\"call\"}"),
        });
        let world = World::new(&agent(&server, &json!({"effect": "effectful"})));
        let instance = world.start();
        let handle = instance.handle();
        let (run, outcome) = run(&handle, 5).await;
        assert_eq!(outcome.state, RunState::Parked, "{act:?}");
        let parked = task(&handle, run).await;
        let (reason, message) = parked.parked.clone().unwrap();
        assert_eq!(reason, ParkReason::InDoubt);
        assert!(message.contains("/it: "), "it says what was called: {message}");
        assert_eq!(server.seen().len(), 1, "nothing is repeated by guessing");
        let told = Payload::inline(b"{\"by\":\"person\"}".as_slice());
        let resolution = match happened {
            true => Resolution::Happened(told),
            false => Resolution::NotHappened,
        };
        let (key, reason) = (parked.steps[0].key, "looked".into());
        handle.command(Command::ResolveStep { run, key, resolution, reason }).await.unwrap();
        let by = output(&handle, &over(&handle, run).await)["by"].clone();
        assert_eq!(by, if happened { "person" } else { "call" });
        assert_eq!((server.seen().len(), keys(&server).len()), (2 - usize::from(happened), 1));
        instance.stop().unwrap();
    }
}

/// Answers after which it may well have happened, and there is no result that the task could have.
fn unusable() -> [(Act, &'static str); 4] {
    let long = format!("{{\"long\":\"{}\"}}", "x".repeat(200));
    [
        (ok("<p>done</p>"), "it is not JSON (`<p>done</p>`)"),
        (ok(&long), "more than 100 bytes"),
        (ok("{\"other\":1}"), "it answered: {\"other\":1}"),
        (Act::AnswerWith(303, "location: /done", String::new()), "status 303"),
    ]
}

#[tokio::test]
async fn an_effect_whose_answer_cannot_be_used_is_in_doubt_and_not_failed() {
    for (act, said) in unusable() {
        let server = Server::start(move |_| act.clone());
        let more = json!({"effect": "effectful", "response_bytes_max": 100});
        let world = World::new(&agent(&server, &more));
        let instance = world.start();
        let handle = instance.handle();
        let wanted = request_for(3, &json!({"type": "object", "required": ["by"]}));
        let (submitted, outcome) = handle.submit_and_wait(wanted, PATIENCE).await.unwrap();
        let run = submitted.run;
        assert_eq!(outcome.unwrap().state, RunState::Parked, "{said}");
        let parked = task(&handle, run).await;
        let (reason, message) = parked.parked.clone().unwrap();
        assert_eq!(reason, ParkReason::InDoubt);
        assert!(message.contains(said), "{message}");
        let resolution = Resolution::Happened(Payload::inline(b"{\"by\":\"person\"}".as_slice()));
        let (key, reason) = (parked.steps[0].key, "looked".into());
        handle.command(Command::ResolveStep { run, key, resolution, reason }).await.unwrap();
        assert_eq!(output(&handle, &over(&handle, run).await), json!({"by": "person"}));
        assert_eq!(server.seen().len(), 1, "{said}: nothing is repeated by guessing");
        instance.stop().unwrap();
    }
}

#[tokio::test]
async fn a_probed_effect_whose_answer_cannot_be_used_is_asked_about() {
    for (act, said) in unusable() {
        let server = Server::start(move |request| match request.method.as_str() {
            "GET" => ok("{\"by\":\"probe\"}"),
            _ => act.clone(),
        });
        let probe = json!({"url": server.url("/sent/{key}"), "settle_after": "0s"});
        let more = json!({"effect": "probed", "response_bytes_max": 100, "probe": probe});
        let world = World::new(&agent(&server, &more));
        let instance = world.start();
        let handle = instance.handle();
        let wanted = request_for(3, &json!({"type": "object", "required": ["by"]}));
        let (_, outcome) = handle.submit_and_wait(wanted, PATIENCE).await.unwrap();
        assert_eq!(output(&handle, &outcome.unwrap()), json!({"by": "probe"}), "{said}");
        let methods: Vec<String> = server.seen().into_iter().map(|it| it.method).collect();
        assert_eq!(methods, ["POST", "GET"], "{said}");
        instance.stop().unwrap();
    }
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused_unless_allowed() {
    let server = Server::start(|_| ok("{}"));
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let url = format!("http://{host}:{}/x", server.port);
        let more = json!({"url": url, "allow_private": false, "effect": "effectful"});
        let (state, code, message) = ends(&server, more, 3).await;
        assert_eq!((state, code.as_str()), (RunState::Failed, "http.egress_denied"), "{message}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn answers_that_are_too_long_or_no_json_are_refused() {
    let long = "x".repeat(100);
    for (body, code) in
        [(format!("\"{long}\""), "http.output_too_large"), ("<p>".into(), "http.output_invalid")]
    {
        let server = Server::start(move |_| ok(&body));
        let more = json!({"effect": "read", "response_bytes_max": 50});
        let (state, found, _) = ends(&server, more, 3).await;
        assert_eq!((state, found.as_str()), (RunState::Failed, code));
        assert_eq!(server.seen().len(), 1);
    }
    let server = Server::start(|_| Act::Answer(204, String::new()));
    assert_eq!(ends(&server, json!({"effect": "read"}), 1).await.0, RunState::Succeeded);
}

#[tokio::test]
async fn nothing_is_repeated_of_a_refusal_that_is_too_long() {
    // Its end may be half of a secret, which nothing would hide.
    let server = Server::start(|_| Act::Answer(400, "half".repeat(30)));
    let more = json!({"effect": "read", "response_bytes_max": 50});
    let (state, code, message) = ends(&server, more, 1).await;
    assert_eq!((state, code.as_str()), (RunState::Failed, "http.status"));
    assert!(message.contains("status 400") && !message.contains("half"), "{message}");
}

#[tokio::test]
async fn a_cancelled_call_ends_at_once() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::start(move |_| Act::Hang(held.clone()));
    let world = World::new(&agent(&server, &json!({"effect": "read", "timeout": "1m"})));
    let instance = world.start();
    let handle = instance.handle();
    let run = handle.submit(request(1)).await.unwrap().run;
    server.await_requests(1);
    let begun = Instant::now();
    handle.command(Command::CancelRun { run, reason: "enough".into() }).await.unwrap();
    assert!(handle.drain(PATIENCE).await.unwrap());
    instance.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30), "not after the call's own minute");
    gate.open();
}

#[tokio::test]
async fn two_hundred_calls_wait_at_once_and_hold_up_no_other_work() {
    const CALLS: usize = 200;
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::start(move |_| Act::Hang(held.clone()));
    let mut world = World::new(&agent(&server, &json!({"effect": "read", "timeout": "1m"})));
    world.settings.workers = 1;
    let instance = world.start();
    let handle = instance.handle();
    let mut runs = Vec::new();
    for _ in 0..CALLS {
        runs.push(handle.submit(request(1)).await.unwrap().run);
    }
    server.await_requests(CALLS);
    let dir = world.dir.path().join("out").display().to_string();
    let input = json!({"dir": dir, "files": [{"name": "a", "text": "b"}]});
    let write = RunRequest::task("file.write", input.to_string().into_bytes());
    let done = handle.submit_and_wait(write, PATIENCE).await.unwrap().1.unwrap();
    assert_eq!(done.state, RunState::Succeeded, "the one worker is free");
    gate.open();
    for run in runs {
        assert_eq!(over(&handle, run).await.state, RunState::Succeeded);
    }
    assert_eq!(keys(&server).len(), CALLS);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_planted_secret_is_in_no_journal_blob_view_or_failure() {
    let bodies = [
        (200, format!("{{\"echo\":\"Bearer {SECRET}\",\"part\":\"{SECRET}\"}}")),
        // So long that it becomes a blob.
        (200, format!("{{\"echo\":\"{}{SECRET}\"}}", "x".repeat(40_000))),
        (400, format!("you sent {SECRET}")),
        (503, format!("you sent {SECRET}")),
    ];
    for (status, body) in bodies {
        let server = Server::start(move |_| Act::Answer(status, body.clone()));
        let more = json!({"effect": "idempotent", "secret_headers": {"Authorization": "env:ANY"}});
        let world = World::new(&agent(&server, &more));
        let instance = world.start();
        let (_, outcome) = run(&instance.handle(), 2).await;
        assert!(!format!("{outcome:?}").contains(SECRET), "{status}");
        if status == 200 {
            let told = output(&instance.handle(), &outcome).to_string();
            assert!(told.contains("[secret]") && !told.contains(SECRET));
        }
        instance.stop().unwrap();
        assert!(server.seen()[0].headers["authorization"].ends_with(SECRET));
        let mut open = vec![world.dir.path().to_path_buf()];
        let mut files = 0;
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path());
                    continue;
                }
                files += 1;
                let bytes = std::fs::read(entry.path()).unwrap();
                let found = memchr::memmem::find(&bytes, SECRET.as_bytes());
                assert_eq!(found, None, "{status} in {}", entry.path().display());
            }
        }
        assert!(files >= 4, "{files}");
    }
}

#[test]
fn what_an_agent_names_and_is_not_there_is_told_before_anything_starts() {
    let mut skills = SkillSet::builtin();
    let http = json!({"url": "https://example.org/x", "ca_file": "no-such.pem"});
    let error = install(&mut skills, &http).unwrap_err();
    assert_eq!(error.code(), "agent_unusable");
    let place = &error.places()[0];
    assert!(place.message.contains("no-such.pem"), "{place:?}");
    assert_eq!(place.pointer, "/agents/0/behaviour/http/ca_file");
    let key = json!({"url": "https://example.org/x", "ca_file": "server-key.pem"});
    let error = install(&mut skills, &key).unwrap_err();
    assert!(error.places()[0].message.contains("certificates"), "{error:?}");
    assert!(skills.find("call.it").is_none());
}

#[tokio::test]
async fn a_run_brings_no_agents() {
    let server = Server::start(|_| ok("{}"));
    let world = World::new(&agent(&server, &json!({"effect": "read"})));
    let instance = world.start();
    let agents = json!([{"name": "mine", "skills": ["my.own"],
                         "behaviour": {"http": {"url": "https://example.org/x"}}}]);
    let tasks = json!([{"name": "t", "skill": "my.own"}]);
    let plan = json!({"agents": agents, "workflows": [{"name": "w", "tasks": tasks}]});
    let request = RunRequest::new(PlanRequest::Workflow(plan), b"{}".to_vec());
    let error = instance.handle().submit(request).await.unwrap_err();
    assert_eq!((error.code(), error.places()[0].pointer.as_str()), ("manifest_invalid", "/agents"));
    instance.stop().unwrap();
}
