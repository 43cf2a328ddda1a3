//! A disk that fails: nothing of the failed batch is acknowledged, the instance stops, and the next
//! start knows what was acknowledged and no more.

use std::sync::Arc;

use ark_os_core::run::RunState;
use ark_os_runtime::handle::Stopped;
use ark_os_runtime::{Instance, RunRequest};

use crate::faulty_files::{Fault, FaultyFiles};
use crate::world::{PATIENCE, World, history, over, request, run, skill};

fn world(files: &FaultyFiles) -> World {
    let mut world = World::new([skill(|_, _| Ok(b"{}".to_vec()))]);
    world.components.files = Some(Arc::new(files.clone()));
    world
}

fn keyed(n: usize) -> RunRequest {
    RunRequest { key: Some(format!("key-{n}")), ..request() }
}

async fn assert_stopped(instance: Instance) {
    let handle = instance.handle();
    let stopped = tokio::time::timeout(PATIENCE, handle.stopped()).await.expect("it stops");
    assert!(matches!(stopped, Stopped::Failed { code: "journal_failed", .. }), "{stopped:?}");
    assert_eq!(handle.submit(request()).await.unwrap_err().code(), "instance_stopped");
    let looked = handle.read(|kernel| kernel.newest()).await;
    assert_eq!(looked.unwrap_err().code(), "instance_stopped");
    assert_eq!(instance.stop().unwrap_err().code(), "journal_failed");
}

/// Accepts some runs, lets the disk fail under the next, and starts again on what is left.
async fn fails_under_a_submission(
    fault: Fault,
    left: impl Fn(&FaultyFiles) -> FaultyFiles,
    may_survive: bool,
) {
    let files = FaultyFiles::new();
    let mut world = world(&files);
    let instance = world.start();
    let handle = instance.handle();
    let mut accepted = Vec::new();
    for n in 0..5 {
        let outcome = run(&handle, keyed(n)).await;
        assert_eq!(outcome.state, RunState::Succeeded);
        // Nothing of it is on its way to the disk any more.
        history(&handle, outcome.run).await;
        accepted.push(outcome.run);
    }
    files.set(fault);
    let error = handle.submit(keyed(5)).await.unwrap_err();
    assert_eq!(error.code(), "instance_stopped");
    drop(handle);
    assert_stopped(instance).await;

    let files = left(&files);
    world.components.files = Some(Arc::new(files));
    let instance = world.start();
    let handle = instance.handle();
    for (n, run) in accepted.into_iter().enumerate() {
        let again = handle.submit(keyed(n)).await.unwrap();
        assert_eq!((again.run, again.existing), (run, true), "it was acknowledged");
        assert_eq!(over(&handle, run).await.state, RunState::Succeeded);
    }
    let again = handle.submit(keyed(5)).await.unwrap();
    assert!(may_survive || !again.existing, "it never was acknowledged, nor durable");
    assert_eq!(over(&handle, again.run).await.state, RunState::Succeeded);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_failed_sync_acknowledges_nothing_and_what_it_lost_was_never_known() {
    fails_under_a_submission(Fault::Sync, FaultyFiles::after_crash, false).await;
}

#[tokio::test]
async fn a_failed_sync_that_lost_nothing_is_recovered_from_as_well() {
    fails_under_a_submission(Fault::Sync, FaultyFiles::mended, true).await;
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_a_restart_with_space_goes_on() {
    fails_under_a_submission(Fault::Full, FaultyFiles::mended, false).await;
    fails_under_a_submission(Fault::Full, FaultyFiles::after_crash, false).await;
}

#[tokio::test]
async fn a_sync_that_fails_under_running_work_repeats_it_after_the_restart() {
    let files = FaultyFiles::new();
    let mut world = world(&files);
    let faulty = files.clone();
    // The submission is durable; the result is not.
    world.components.skills.insert(Arc::new(skill(move |_, _| {
        faulty.set(Fault::Sync);
        Ok(b"{}".to_vec())
    })));
    let instance = world.start();
    let handle = instance.handle();
    let mut slow = RunRequest::task("sleep", b"{\"ms\":1}".to_vec());
    slow.key = Some("accepted".to_owned());
    let accepted = handle.submit(slow.clone()).await.unwrap();
    assert_eq!(over(&handle, accepted.run).await.state, RunState::Succeeded);
    let lost = handle.submit_and_wait(request(), PATIENCE).await;
    assert_eq!(lost.unwrap_err().code(), "instance_stopped");
    assert_stopped(instance).await;

    world.components.files = Some(Arc::new(files.after_crash()));
    world.components.skills.insert(Arc::new(skill(|_, _| Ok(b"{}".to_vec()))));
    let instance = world.start();
    let handle = instance.handle();
    assert!(handle.submit(slow).await.unwrap().existing);
    assert_eq!(over(&handle, accepted.run).await.state, RunState::Succeeded);
    assert_eq!(run(&handle, request()).await.state, RunState::Succeeded);
    instance.stop().unwrap();
}

#[tokio::test]
async fn an_instance_does_not_start_on_a_disk_that_is_full() {
    let files = FaultyFiles::new();
    let world = world(&files);
    files.set(Fault::Full);
    let error = Instance::start(world.settings.clone(), world.components).unwrap_err();
    assert_eq!(error.code(), "store_full", "{error:?}");
}
