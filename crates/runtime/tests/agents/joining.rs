//! Remote workers of an instance that runs: who is let in, who has left, and what counts.

use std::collections::BTreeMap;
use std::time::Duration;

use ark_os_core::event::Standing;
use ark_os_core::layer::Layer;
use ark_os_core::run::RunState;
use ark_os_core::{Command, State};
use ark_os_runtime::remote::{
    Claim, Claimed, Fate, OfferedSkill, Presented, Registration, Session, Told,
};
use ark_os_runtime::skills::EffectClass;
use ark_os_runtime::{Handle, RunRequest, RuntimeError};
use serde_json::{Value, json};

use crate::deployments::{World, answering, deploy, manifest};
use crate::world::PATIENCE;

async fn register(
    handle: &Handle,
    name: &str,
    skills: &[(&str, Option<Value>)],
) -> Result<Session, RuntimeError> {
    let offer = |(name, output): &(&str, Option<Value>)| OfferedSkill {
        name: (*name).to_owned(),
        class: EffectClass::Idempotent,
        input: None,
        output: output.clone(),
    };
    let registration = Registration {
        name: name.to_owned(),
        layer: Layer::Specialist,
        concurrency: 4,
        skills: skills.iter().map(offer).collect(),
        labels: BTreeMap::new(),
    };
    handle.register_worker(registration).await
}

async fn claim(handle: &Handle, session: &Session) -> Claimed {
    let claim = Claim { max: 1, wait: PATIENCE, number: None };
    for _ in 0..100 {
        let claimed = handle.remotes().claim(&session.worker, &session.secret, claim).await;
        if let Some(task) = claimed.unwrap().pop() {
            return task;
        }
    }
    panic!("there is no task");
}

async fn finish(handle: &Handle, session: &Session, task: &Claimed, output: &str) -> Told {
    let end = (task.pt, Presented::Output(output.into()));
    let told = handle.remotes().finish(&session.worker, &session.secret, vec![end]).await;
    told.unwrap().remove(0)
}

async fn eventually(handle: &Handle, holds: impl Fn(&State) -> bool + Send + Copy + 'static) {
    let mut viewed = handle.viewed();
    while !handle.read(move |kernel| holds(kernel.state())).await.unwrap() {
        tokio::time::timeout(PATIENCE, viewed.changed()).await.expect("it comes true").unwrap();
    }
}

fn standing(state: &State, name: &str) -> Option<Standing> {
    let (_, seat) = state.fleet().joined(name)?;
    Some(state.fleet().agent(seat)?.standing)
}

#[tokio::test]
async fn a_registration_that_is_refused_changes_nothing() {
    let server = answering("1");
    let world = World::new();
    let instance = world.start();
    let handle = instance.handle();
    deploy(&handle, manifest(&server.url("/"), json!({}))).await.unwrap();
    let session = register(&handle, "far", &[("far.off", None)]).await.unwrap();
    let submit = || handle.submit(RunRequest::task("far.off", b"{}".to_vec()));
    let run = submit().await.unwrap().run;
    let task = claim(&handle, &session).await;
    // The core alone knows that this is deployed; the other offer would mean something else.
    let other = Some(json!({"type": "string"}));
    let refused = register(&handle, "far", &[("far.off", other), ("call.it", None)]).await;
    assert_eq!(refused.unwrap_err().code(), "skill_taken");
    let stranger = register(&handle, "new", &[("call.it", None)]).await;
    assert_eq!(stranger.unwrap_err().code(), "skill_taken");
    assert_eq!(handle.remotes().show("new").unwrap_err().code(), "worker_not_found");
    // The session goes on, and so does what it has in hand; others may offer what it does.
    register(&handle, "too", &[("far.off", None)]).await.unwrap();
    assert_eq!(finish(&handle, &session, &task, "1").await, Told::Over(Fate::Accepted, false));
    let outcome = handle.wait(run, PATIENCE).await.unwrap().unwrap();
    assert_eq!(outcome.state, RunState::Succeeded);
    // Who is let in takes its place.
    let newer = register(&handle, "far", &[("far.off", None)]).await.unwrap();
    let fenced = handle.leave_worker("far", &session.secret).await.unwrap_err();
    assert_eq!(fenced.code(), "worker_fenced");
    handle.leave_worker("far", &newer.secret).await.unwrap();
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_worker_that_is_not_heard_of_for_long_has_left_the_fleet() {
    let mut world = World::new();
    world.settings.heartbeat = Duration::from_millis(10);
    let instance = world.start();
    let handle = instance.handle();
    register(&handle, "far", &[("far.off", None)]).await.unwrap();
    eventually(&handle, |state| standing(state, "far") == Some(Standing::Offline)).await;
    eventually(&handle, |state| standing(state, "far") == Some(Standing::Retired)).await;
    assert_eq!(handle.remotes().show("far").unwrap_err().code(), "worker_not_found");
    // It may come back, as whoever it likes to be.
    register(&handle, "far", &[("far.other", None)]).await.unwrap();
    instance.stop().unwrap();
}

#[tokio::test]
async fn only_results_that_are_accepted_count_as_done() {
    let world = World::new();
    let instance = world.start();
    let handle = instance.handle();
    let number = Some(json!({"type": "number"}));
    let session = register(&handle, "far", &[("far.off", number)]).await.unwrap();
    let counts = || {
        let view = handle.remotes().show("far").unwrap();
        (view.completed, view.failed)
    };
    let run = handle.submit(RunRequest::task("far.off", b"{}".to_vec())).await.unwrap().run;
    let task = claim(&handle, &session).await;
    let told = finish(&handle, &session, &task, "\"no number\"").await;
    assert!(matches!(told, Told::Over(Fate::Refused { .. }, false)), "{told:?}");
    assert_eq!(counts(), (0, 1));
    let task = claim(&handle, &session).await;
    assert_eq!(finish(&handle, &session, &task, "1").await, Told::Over(Fate::Accepted, false));
    assert_eq!(counts(), (1, 1));
    let outcome = handle.wait(run, PATIENCE).await.unwrap().unwrap();
    assert_eq!(outcome.state, RunState::Succeeded);
    let run = handle.submit(RunRequest::task("far.off", b"{}".to_vec())).await.unwrap().run;
    let task = claim(&handle, &session).await;
    handle.command(Command::CancelRun { run, reason: "test".into() }).await.unwrap();
    let told = finish(&handle, &session, &task, "1").await;
    assert!(!matches!(told, Told::Over(Fate::Accepted, _)), "{told:?}");
    assert_eq!(counts(), (1, 1));
    instance.stop().unwrap();
}
