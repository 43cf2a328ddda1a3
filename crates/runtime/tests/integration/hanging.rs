//! Threads that hang: as many as are stuck now count, and too many stop the instance for all to see.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ark_os_core::Command;
use ark_os_core::run::RunState;
use ark_os_runtime::handle::Stopped;
use ark_os_runtime::{Handle, RunRequest};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::world::{Gate, PATIENCE, World, bell, heard, over, pass, request, run, skill};

/// Long enough for all attempts to be cancelled before one is lost to its lease; a thread is given up
/// after half of it.
const LEASE: Duration = Duration::from_secs(5);

/// The gate at which attempts hang that begin now.
#[derive(Clone, Default)]
struct Current(Arc<Mutex<Gate>>);

/// So many attempts on threads of their own that do not listen.
fn world(threads: usize) -> (World, Current, UnboundedReceiver<()>) {
    let (current, (at_work, works)) = (Current::default(), bell());
    let gates = current.clone();
    let hangs = skill(move |_, _| {
        let gate = gates.0.lock().unwrap().clone();
        at_work.ring();
        gate.pass();
        Ok(b"{}".to_vec())
    });
    let quick = skill(|_, _| Ok(b"{}".to_vec())).named("quick");
    let mut world = World::new([hangs, quick]).with_lease(LEASE);
    world.settings.workers = threads;
    (world, current, works)
}

/// Begins so many attempts and cancels them; they go on all the same.
async fn hang(handle: &Handle, works: &mut UnboundedReceiver<()>, count: usize) {
    let mut runs = Vec::new();
    for _ in 0..count {
        runs.push(handle.submit(request()).await.unwrap().run);
    }
    for _ in 0..count {
        heard(works).await;
    }
    for run in runs {
        let cancel = Command::CancelRun { run, reason: "test".into() };
        handle.command(cancel).await.unwrap();
        assert_eq!(over(handle, run).await.state, RunState::Cancelled);
    }
}

/// Lets the loop turn until something holds.
async fn turn_until(handle: &Handle, holds: impl Fn(&Handle) -> bool) {
    let turning = async {
        while !holds(handle) {
            pass(handle, 20).await;
        }
    };
    tokio::time::timeout(PATIENCE, turning).await.expect("it comes true");
}

#[tokio::test]
async fn threads_that_come_back_are_not_counted_as_lost_for_ever() {
    const AT_ONCE: usize = 35;
    let (world, current, mut works) = world(AT_ONCE);
    let instance = world.start();
    let handle = instance.handle();
    let metrics = handle.metrics();
    for round in 1..=2 {
        let gate = Gate::default();
        *current.0.lock().unwrap() = gate.clone();
        hang(&handle, &mut works, AT_ONCE).await;
        let all = (round * AT_ONCE) as u64;
        turn_until(&handle, |_| metrics.threads_abandoned.value() >= all).await;
        gate.open();
        turn_until(&handle, |_| metrics.refused.value() >= all).await;
    }
    assert!(metrics.threads_abandoned.value() > 64, "more than may be lost at one time");
    let outcome = run(&handle, RunRequest::task("quick", b"1".to_vec())).await;
    assert_eq!(outcome.state, RunState::Succeeded);
    instance.stop().unwrap();
}

#[tokio::test]
async fn too_many_threads_that_hang_at_one_time_stop_the_instance() {
    const AT_ONCE: usize = 66;
    let (world, current, mut works) = world(AT_ONCE);
    let instance = world.start();
    let handle = instance.handle();
    hang(&handle, &mut works, AT_ONCE).await;
    let stopped = tokio::time::timeout(PATIENCE, handle.stopped()).await.expect("it stops");
    assert!(matches!(&stopped, Stopped::Failed { code: "threads_exhausted", .. }), "{stopped:?}");
    assert!(handle.metrics().threads_abandoned.value() > 64);
    assert_eq!(handle.submit(request()).await.unwrap_err().code(), "instance_stopped");
    instance.stop().unwrap_err();
    current.0.lock().unwrap().open();
}
