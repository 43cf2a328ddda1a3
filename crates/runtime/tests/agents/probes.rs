//! Probed effects: after a crash, or a call without an answer, the service is asked.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ark_os_core::Event;
use ark_os_core::event::ParkReason;
use ark_os_core::ids::RunId;
use ark_os_core::run::RunState;
use ark_os_core::step::Finding;
use ark_os_runtime::history::EVENTS_PAGE_MAX;
use ark_os_runtime::{Handle, Instance};
use serde_json::{Value, json};

use crate::server::{Act, Gate, Request, Server};
use crate::world::{PATIENCE, World, output, over, request, run, task};

fn ok(text: &str) -> Act {
    Act::Answer(200, text.to_owned())
}

fn agent(server: &Server, settle_after: &str) -> Value {
    json!({"url": server.url("/send"), "allow_private": true, "effect": "probed",
           "timeout": "30s",
           "probe": {"url": server.url("/sent/{key}"), "settle_after": settle_after}})
}

/// A server that never answers its first call, and questions as the test says.
fn server(gate: &Gate, probe: impl Fn(&Request) -> Act + Send + Sync + 'static) -> Server {
    let gate = gate.clone();
    Server::start(move |request| match (request.method.as_str(), request.number) {
        ("GET", _) => probe(request),
        (_, 0) => Act::Hang(gate.clone()),
        _ => ok("{\"by\":\"call\"}"),
    })
}

/// Crashes the instance while its call is under way, and starts it again.
async fn crash(world: &World, server: &Server) -> (Instance, RunId) {
    let instance = world.start();
    let run = instance.handle().submit(request(3)).await.unwrap().run;
    server.await_requests(1);
    drop(instance);
    (world.start(), run)
}

fn calls(server: &Server) -> Vec<(String, String)> {
    server.seen().into_iter().map(|it| (it.method, it.path)).collect()
}

/// What was recorded of questions about a run.
async fn findings(handle: &Handle, run: RunId) -> Vec<Finding> {
    let newest = handle.read(|kernel| kernel.newest()).await.unwrap();
    let mut viewed = handle.viewed();
    let seen = viewed.wait_for(|position| *position >= newest);
    tokio::time::timeout(PATIENCE, seen).await.unwrap().unwrap();
    let history = handle.history(run, 0, EVENTS_PAGE_MAX).unwrap().records;
    let events = history.into_iter().flat_map(|record| record.change.events);
    let findings = events.filter_map(|event| match event {
        Event::StepProbed { finding, .. } => Some(finding),
        _ => None,
    });
    findings.collect()
}

#[tokio::test]
async fn an_effect_that_happened_before_a_crash_is_not_repeated() {
    let gate = Gate::default();
    let server = server(&gate, |_| ok("{\"by\":\"probe\"}"));
    let world = World::new(&agent(&server, "0s"));
    let (instance, run) = crash(&world, &server).await;
    let handle = instance.handle();
    assert_eq!(output(&handle, &over(&handle, run).await), json!({"by": "probe"}));
    let key = server.seen()[0].key().to_owned();
    let want = [("POST".to_owned(), "/send".to_owned()), ("GET".into(), format!("/sent/{key}"))];
    assert_eq!(calls(&server), want);
    assert!(matches!(findings(&handle, run).await[..], [Finding::Happened(_)]));
    instance.stop().unwrap();
    gate.open();
}

#[tokio::test]
async fn an_effect_that_did_not_happen_is_performed_under_its_key() {
    let gate = Gate::default();
    let server = server(&gate, |_| Act::Answer(404, String::new()));
    let world = World::new(&agent(&server, "0s"));
    let (instance, run) = crash(&world, &server).await;
    let handle = instance.handle();
    assert_eq!(output(&handle, &over(&handle, run).await), json!({"by": "call"}));
    let seen = server.seen();
    let methods: Vec<&str> = seen.iter().map(|it| it.method.as_str()).collect();
    assert_eq!(methods, ["POST", "GET", "POST"]);
    assert_eq!(seen[0].key(), seen[2].key());
    assert_eq!(findings(&handle, run).await, [Finding::NotHappened]);
    instance.stop().unwrap();
    gate.open();
}

#[tokio::test]
async fn an_effect_that_nobody_can_tell_about_is_in_doubt() {
    let gate = Gate::default();
    let server = server(&gate, |_| Act::Answer(410, String::new()));
    let world = World::new(&agent(&server, "0s"));
    let (instance, run) = crash(&world, &server).await;
    let handle = instance.handle();
    assert_eq!(over(&handle, run).await.state, RunState::Parked);
    assert_eq!(task(&handle, run).await.parked.unwrap().0, ParkReason::InDoubt);
    assert_eq!(findings(&handle, run).await, [Finding::Unknown]);
    assert_eq!(server.seen().len(), 2);
    instance.stop().unwrap();
    gate.open();
}

#[tokio::test]
async fn a_service_that_cannot_answer_now_is_asked_again_and_then_left_to_a_person() {
    for answers in [true, false] {
        let gate = Gate::default();
        let server = server(&gate, move |request| match request.number {
            1 => Act::BreakOff,
            2 => Act::Answer(503, String::new()),
            _ if answers => ok("{\"by\":\"probe\"}"),
            _ => Act::Answer(503, String::new()),
        });
        let world = World::new(&agent(&server, "0s"));
        let (instance, run) = crash(&world, &server).await;
        let handle = instance.handle();
        let outcome = over(&handle, run).await;
        match answers {
            true => assert_eq!(output(&handle, &outcome), json!({"by": "probe"})),
            false => {
                assert_eq!(outcome.state, RunState::Parked);
                let (reason, message) = task(&handle, run).await.parked.unwrap();
                assert_eq!(reason, ParkReason::InDoubt);
                assert!(message.contains("status 503"), "{message}");
            }
        }
        // The attempt that the crash cut off is not counted, and there are three.
        let methods: Vec<String> = server.seen().into_iter().map(|it| it.method).collect();
        assert_eq!(methods, ["POST", "GET", "GET", "GET"]);
        instance.stop().unwrap();
        gate.open();
    }
}

#[tokio::test]
async fn a_call_without_an_answer_is_asked_about_by_the_next_attempt() {
    let server = Server::start(|request| match request.number {
        0 => Act::BreakOff,
        _ => ok("{\"by\":\"probe\"}"),
    });
    let world = World::new(&agent(&server, "0s"));
    let instance = world.start();
    let handle = instance.handle();
    let (_, outcome) = run(&handle, 2).await;
    assert_eq!(output(&handle, &outcome), json!({"by": "probe"}));
    let methods: Vec<String> = server.seen().into_iter().map(|it| it.method).collect();
    assert_eq!(methods, ["POST", "GET"]);
    instance.stop().unwrap();
}

#[tokio::test]
async fn nobody_is_asked_while_the_effect_may_still_be_on_its_way() {
    const SETTLE: Duration = Duration::from_secs(1);
    let (gate, asked) = (Gate::default(), Arc::new(Mutex::new(None)));
    let note = asked.clone();
    let server = server(&gate, move |_| {
        *note.lock().unwrap() = Some(Instant::now());
        ok("{\"by\":\"probe\"}")
    });
    let world = World::new(&agent(&server, "1s"));
    let instance = world.start();
    let run = instance.handle().submit(request(3)).await.unwrap().run;
    server.await_requests(1);
    drop(instance);
    let again = Instant::now();
    let instance = world.start();
    let outcome = over(&instance.handle(), run).await;
    assert_eq!(outcome.state, RunState::Succeeded);
    let asked = asked.lock().unwrap().unwrap();
    assert!(asked.duration_since(again) >= SETTLE);
    instance.stop().unwrap();
    gate.open();
}
