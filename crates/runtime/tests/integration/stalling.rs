//! Partial proofs of progress: a mark that repeats is none, and the task is parked.

use ark_os_core::Event;
use ark_os_core::event::ParkReason;
use ark_os_core::limits::STALL_PARTIALS_MAX;
use ark_os_core::run::RunState;
use ark_os_runtime::skills::SkillError;
use ark_os_runtime::{RecordedEvents, RunRequest};

use crate::world::{World, history, over, request, run, skill, until};

/// More than a task may repeat.
const REPORTS: usize = 3 * STALL_PARTIALS_MAX as usize;

fn proofs(history: &[RecordedEvents]) -> usize {
    let events = history.iter().flat_map(|record| &record.change.events);
    events.filter(|event| matches!(event, Event::ProgressMade { .. })).count()
}

fn is_stalled(history: &[RecordedEvents]) -> bool {
    let mut events = history.iter().flat_map(|record| &record.change.events);
    events.any(|it| matches!(it, Event::TaskParked { reason: ParkReason::Stalled, .. }))
}

#[tokio::test]
async fn a_skill_that_reports_the_same_mark_again_and_again_is_parked_as_stalled() {
    let stalls = skill(|host, _| {
        for _ in 0..REPORTS {
            host.checkpoint(b"still here");
        }
        assert!(host.is_cancelled());
        Err(SkillError::cancelled())
    });
    let quick = skill(|_, _| Ok(b"{}".to_vec())).named("quick");
    let world = World::new([stalls, quick]);
    let instance = world.start();
    let handle = instance.handle();
    let outcome = run(&handle, request()).await;
    assert_eq!(outcome.state, RunState::Parked, "{outcome:?}");
    // There is one thread: it is back by then.
    let quick = run(&handle, RunRequest::task("quick", b"1".to_vec())).await;
    assert_eq!(quick.state, RunState::Succeeded);
    let history = history(&handle, outcome.run).await;
    // The first was new.
    assert_eq!(proofs(&history), 1 + STALL_PARTIALS_MAX as usize);
    assert!(is_stalled(&history));
    let metrics = handle.metrics();
    assert_eq!((metrics.refused.value(), metrics.attempts_lost.value()), (0, 0));
    assert_eq!(metrics.threads_abandoned.value(), 0);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_skill_that_reports_new_marks_is_not_parked() {
    let works = skill(|host, _| {
        for done in 0..REPORTS {
            host.checkpoint(done.to_string().as_bytes());
        }
        Ok(b"{}".to_vec())
    });
    let world = World::new([works]);
    let instance = world.start();
    let handle = instance.handle();
    let outcome = run(&handle, request()).await;
    assert_eq!(outcome.state, RunState::Succeeded, "{outcome:?}");
    assert_eq!(proofs(&history(&handle, outcome.run).await), REPORTS);
    assert_eq!(handle.metrics().refused.value(), 0);
    instance.stop().unwrap();
}

#[tokio::test]
async fn an_output_after_the_task_was_parked_is_refused_like_any_late_one() {
    let stalls = skill(|host, _| {
        for _ in 0..REPORTS {
            host.checkpoint(b"still here");
        }
        Ok(b"{}".to_vec())
    });
    let world = World::new([stalls]);
    let instance = world.start();
    let handle = instance.handle();
    let outcome = run(&handle, request()).await;
    assert_eq!(outcome.state, RunState::Parked, "{outcome:?}");
    until(&handle, |handle| handle.metrics().refused.value() == 1).await;
    let outcome = over(&handle, outcome.run).await;
    assert_eq!((outcome.state, outcome.output), (RunState::Parked, None));
    instance.stop().unwrap();
}

#[tokio::test]
async fn work_on_the_loops_own_thread_reports_nothing_and_waits_for_nothing() {
    let tiny = skill(|host, _| {
        for _ in 0..REPORTS {
            host.checkpoint(b"still here");
        }
        Ok(b"{}".to_vec())
    });
    let world = World::new([tiny.on_the_loop()]);
    let instance = world.start();
    let handle = instance.handle();
    let outcome = run(&handle, request()).await;
    assert_eq!(outcome.state, RunState::Succeeded, "{outcome:?}");
    assert_eq!(proofs(&history(&handle, outcome.run).await), 0);
    instance.stop().unwrap();
}
