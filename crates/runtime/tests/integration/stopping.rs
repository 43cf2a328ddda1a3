//! Attempts that are cancelled, that wait in line, and instances that crash under them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ark_os_core::Command;
use ark_os_core::run::RunState;
use ark_os_runtime::skills::SkillError;
use ark_os_runtime::{Handle, Instance, PlanRequest, RunRequest};
use serde_json::json;

use crate::world::{
    Gate, SHORT_LEASE, World, bell, heard, history, over, pass, request, run, skill, until, workers,
};

async fn cancel(handle: &Handle, run: ark_os_core::ids::RunId) {
    handle.command(Command::CancelRun { run, reason: "test".into() }).await.unwrap();
    assert_eq!(over(handle, run).await.state, RunState::Cancelled);
}

#[tokio::test]
async fn a_cancelled_attempt_that_listens_frees_its_thread_and_is_not_struck() {
    let (at_work, mut works) = bell();
    let listens = skill(move |host, _| {
        at_work.ring();
        let never = Gate::default();
        while !host.is_cancelled() {
            host.progress(0, 1);
            never.try_pass();
        }
        host.progress(1, 1);
        Err(SkillError::cancelled())
    });
    let quick = skill(|_, _| Ok(b"{}".to_vec())).named("quick");
    // The lease is short, so that the last call of `progress` really renews it.
    let world = World::new([listens, quick]).with_lease(Duration::from_secs(2));
    let instance = world.start();
    let handle = instance.handle();
    for _ in 0..4 {
        let submitted = handle.submit(request()).await.unwrap();
        heard(&mut works).await;
        cancel(&handle, submitted.run).await;
        // There is one thread: this one ends only when it is free.
        let outcome = run(&handle, RunRequest::task("quick", b"1".to_vec())).await;
        assert_eq!(outcome.state, RunState::Succeeded);
    }
    let metrics = handle.metrics();
    assert_eq!((metrics.refused.value(), metrics.agent_restarts.value()), (0, 0));
    assert_eq!(metrics.threads_abandoned.value(), 0);
    instance.stop().unwrap();
}

#[tokio::test]
async fn an_output_after_a_cancel_is_refused_and_counted() {
    let (gate, (at_work, mut works)) = (Gate::default(), bell());
    let held = gate.clone();
    let world = World::new([skill(move |_, _| {
        at_work.ring();
        held.pass();
        Ok(b"{}".to_vec())
    })]);
    let instance = world.start();
    let handle = instance.handle();
    let submitted = handle.submit(request()).await.unwrap();
    heard(&mut works).await;
    cancel(&handle, submitted.run).await;
    gate.open();
    until(&handle, |handle| handle.metrics().refused.value() == 1).await;
    let outcome = over(&handle, submitted.run).await;
    assert_eq!((outcome.state, outcome.output), (RunState::Cancelled, None));
    assert_eq!(handle.metrics().threads_abandoned.value(), 0);
    assert_eq!(run(&handle, request()).await.state, RunState::Succeeded);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_cancelled_attempt_that_does_not_listen_loses_its_thread_and_nobody_misses_it() {
    let (gate, (at_work, mut works)) = (Gate::default(), bell());
    let held = gate.clone();
    let world = World::new([
        skill(move |_, _| {
            at_work.ring();
            held.pass();
            Ok(b"{}".to_vec())
        }),
        skill(|_, _| Ok(b"{}".to_vec())).named("quick"),
    ])
    .with_lease(SHORT_LEASE);
    let instance = world.start();
    let handle = instance.handle();
    let submitted = handle.submit(request()).await.unwrap();
    heard(&mut works).await;
    cancel(&handle, submitted.run).await;
    let outcome = run(&handle, RunRequest::task("quick", b"1".to_vec())).await;
    assert_eq!(outcome.state, RunState::Succeeded);
    assert!(handle.metrics().threads_abandoned.value() >= 1);
    gate.open();
    instance.stop().unwrap();
}

#[tokio::test]
async fn attempts_cancelled_in_line_are_not_taken_for_hung_ones() {
    let (gate, (at_work, mut works)) = (Gate::default(), bell());
    let held = gate.clone();
    let world = World::new([skill(move |host, _| {
        at_work.ring();
        while !held.try_pass() {
            host.progress(0, 1);
        }
        Ok(b"{}".to_vec())
    })])
    .with_lease(Duration::from_millis(1_500));
    let instance = world.start();
    let handle = instance.handle();
    let first = handle.submit(request()).await.unwrap();
    heard(&mut works).await;
    let mut behind = Vec::new();
    for _ in 0..8 {
        behind.push(handle.submit(request()).await.unwrap().run);
    }
    let (cancelled, kept) = behind.split_at(6);
    for run in cancelled {
        cancel(&handle, *run).await;
    }
    // Longer than a lease, and than the patience with those who do not stop.
    pass(&handle, 2_000).await;
    assert_eq!(handle.metrics().threads_abandoned.value(), 0);
    gate.open();
    for run in kept.iter().chain([&first.run]) {
        assert_eq!(over(&handle, *run).await.state, RunState::Succeeded);
        // The lease of those in line was renewed for them.
        assert_eq!(workers(&history(&handle, *run).await).len(), 1);
    }
    assert_eq!(handle.metrics().refused.value(), 0);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_dropped_instance_writes_nothing_more_and_the_next_one_goes_on() {
    let (gate, (at_work, mut works)) = (Gate::default(), bell());
    let held = gate.clone();
    let world = World::new([skill(move |_, _| {
        at_work.ring();
        held.pass();
        Ok(b"{}".to_vec())
    })]);
    let instance = world.start();
    let old = instance.handle();
    let submitted = old.submit(request()).await.unwrap();
    heard(&mut works).await;
    drop(instance);
    assert_eq!(old.submit(request()).await.unwrap_err().code(), "instance_stopped");
    assert_eq!(
        old.wait(submitted.run, Duration::ZERO).await.unwrap_err().code(),
        "instance_stopped"
    );

    // The lock is free although a thread of the old instance is still at work.
    let instance: Instance = world.start();
    gate.open();
    let handle = instance.handle();
    let outcome = over(&handle, submitted.run).await;
    assert_eq!(outcome.state, RunState::Succeeded);
    assert_eq!(workers(&history(&handle, submitted.run).await).len(), 2);
    instance.stop().unwrap();
}

/// Maps over lists of so many items each, and how many of these maps.
const ITEMS: usize = 10_000;
const MAPS: usize = 6;

#[tokio::test]
async fn a_cancel_is_heard_while_internal_work_goes_on_and_on() {
    let (gate, (at_work, mut works)) = (Gate::default(), bell());
    let (held, done) = (gate.clone(), Arc::new(AtomicUsize::new(0)));
    let count = done.clone();
    let quick = skill(move |_, _| {
        if count.fetch_add(1, Ordering::Relaxed) == 500 {
            at_work.ring();
            held.pass();
        }
        Ok(b"{}".to_vec())
    });
    let world = World::new([quick.on_the_loop()]).with_agents(200);
    let instance = world.start();
    let handle = instance.handle();
    let each = |at| json!({"name": format!("m{at}"), "skill": "test", "input": {}, "map": {"over": "${input.list}"}});
    let plan =
        json!({"name": "wide", "version": "1", "tasks": (0..MAPS).map(each).collect::<Vec<_>>()});
    let input = json!({"list": vec![0; ITEMS]}).to_string().into_bytes();
    let request = RunRequest::new(PlanRequest::Workflow(plan), input);
    let run = handle.submit(request).await.unwrap().run;
    heard(&mut works).await;
    // The loop is in the middle of a task; what it hears next is the cancel.
    tokio::join!(cancel(&handle, run), async { gate.open() });
    let done = done.load(Ordering::Relaxed);
    assert!(done < ITEMS * MAPS / 2, "{done} tasks were done first");
    let metrics = handle.metrics();
    assert_eq!((metrics.refused.value(), metrics.agent_restarts.value()), (0, 0));
    instance.stop().unwrap();
}
