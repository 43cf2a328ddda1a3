//! Limits that the settings set: attempts of one skill at one time, what a namespace may use up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ark_os_core::budget::Amounts;
use ark_os_core::run::RunState;
use ark_os_runtime::{Instance, RunRequest};

use crate::world::{Gate, World, bell, heard, over, request, run, skill};

#[tokio::test]
async fn no_more_attempts_of_a_skill_are_under_way_than_its_limit() {
    let (gate, (bell, mut rings)) = (Gate::default(), bell());
    let (inside, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (held, peak) = (gate.clone(), most.clone());
    let slow = skill(move |_, _| {
        peak.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        bell.ring();
        held.pass();
        inside.fetch_sub(1, Ordering::SeqCst);
        Ok(b"{}".to_vec())
    });
    let mut world = World::new([slow]);
    world.settings.workers = 8;
    world.settings.skill_concurrency.insert("test".to_owned(), 2);
    let instance = world.start();
    let handle = instance.handle();
    let mut runs = Vec::new();
    for _ in 0..6 {
        runs.push(handle.submit(request()).await.unwrap().run);
    }
    for _ in 0..2 {
        heard(&mut rings).await;
    }
    // Agents and threads are free, and other skills get them.
    let echo = run(&handle, RunRequest::task("echo", b"1".to_vec())).await;
    assert_eq!(echo.state, RunState::Succeeded);
    let in_use = handle.read(|kernel| kernel.state().fleet().in_use()).await.unwrap();
    assert_eq!(in_use, 2);
    gate.open();
    for run in runs {
        assert_eq!(over(&handle, run).await.state, RunState::Succeeded);
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
    instance.stop().unwrap();
}

#[test]
fn a_limit_for_an_unknown_skill_stops_the_start() {
    let mut world = World::new([]);
    world.settings.skill_concurrency.insert("ecko".to_owned(), 2);
    let error = Instance::start(world.settings.clone(), world.components.clone()).unwrap_err();
    assert_eq!(error.code(), "unknown_skill");
    assert!(error.to_string().contains("`ecko`"), "{error}");
}

#[tokio::test]
async fn a_run_over_its_namespace_s_budget_fails_until_the_budget_is_raised() {
    let mut world = World::new([]);
    world.settings.namespace_budget = Amounts { calls: 2, ..Amounts::UNLIMITED };
    let echo = || RunRequest::task("echo", b"1".to_vec());
    let instance = world.start();
    let handle = instance.handle();
    for _ in 0..2 {
        assert_eq!(run(&handle, echo()).await.state, RunState::Succeeded);
    }
    let third = run(&handle, echo()).await;
    let failure = third.failure.expect("it says why");
    assert_eq!((third.state, &*failure.code), (RunState::Failed, "budget_exhausted"));
    drop(handle);
    instance.stop().unwrap();

    world.settings.namespace_budget.calls = 3;
    let instance = world.start();
    let handle = instance.handle();
    assert_eq!(run(&handle, echo()).await.state, RunState::Succeeded);
    let fifth = run(&handle, echo()).await;
    assert_eq!(fifth.state, RunState::Failed, "what was used before the restart counts");
    drop(handle);
    instance.stop().unwrap();
}
