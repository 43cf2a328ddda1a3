//! Tasks that nobody works on: they wait for a while, until a moment, for a signal.

use ark_os_core::Event;
use ark_os_core::budget::Amounts;
use ark_os_core::command::Prepared;
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::limits::SIGNALS_KEPT_MAX;
use ark_os_core::payload::{Bytes, Payload};
use ark_os_core::plan::{OnFailure, Shape, TaskSpec, WaitOn, WaitSpec};
use ark_os_core::run::{RunState, TaskState};
use ark_os_core::time::Time;

use super::world::{World, instance, json, plan, signal_wait, task, wait};

fn going_on(name: &str, signal: &str, timeout_ms: u64) -> TaskSpec {
    let on = WaitOn::Signal(signal.into());
    let shape = Shape::Wait(WaitSpec { on, timeout_ms: Some(timeout_ms), goes_on: true });
    TaskSpec { shape, ..wait(name, &[], WaitOn::For(0)) }
}

fn refused(world: &mut World, run: RunId, name: &str) -> &'static str {
    world.signal(run, name).unwrap_err().code()
}

/// A world with one run that waits for the signal `go`, and then has work.
fn waiting() -> (World, RunId) {
    let mut world = World::new(12);
    let run = world.submit(plan(vec![signal_wait("w", &[], "go", Some(60_000)), task("t", &[0])]));
    (world, run)
}

#[test]
fn a_task_that_waits_holds_no_agent_and_no_token() {
    let (mut world, run) = waiting();
    assert_eq!((world.at(run, 0), world.standing(run)), (TaskState::Waiting, RunState::Waiting));
    assert_eq!((world.state.fleet().in_use(), world.begun.len()), (0, 0));
    assert_eq!(world.run(run).awaited(), ["go".into()]);
    world.signal(run, "go").unwrap();
    assert_eq!(world.node(run, 0).output, Some(json("\"said\"")));
    assert_eq!(world.working(run), [TaskRef::node(1)]);
    assert!(world.state.timers().iter().all(|(at, _)| at != world.now.plus(60_000)));
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn a_wait_for_a_while_or_until_a_moment_ends_then_and_not_before() {
    let mut world = World::new(12);
    let until = WaitOn::Until(Bytes(b"\"${input}\"".as_slice().into()));
    let moment = world.now.plus(9_000);
    world.prepared.insert("m".into(), Prepared::Until(moment));
    let run = world.submit(plan(vec![
        wait("f", &[], WaitOn::For(5_000)),
        wait("m", &[], until),
        wait("none", &[], WaitOn::For(0)),
    ]));
    assert_eq!(world.at(run, 2), TaskState::Succeeded, "no time is no wait");
    world.tick(4_999);
    assert_eq!([0, 1].map(|node| world.at(run, node)), [TaskState::Waiting; 2]);
    world.tick(1);
    assert_eq!((world.at(run, 0), world.at(run, 1)), (TaskState::Succeeded, TaskState::Waiting));
    assert_eq!(world.node(run, 0).output, Some(Payload::null()));
    world.tick(4_000);
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn a_moment_that_has_passed_ends_the_wait_at_once() {
    let mut world = World::new(12);
    world.prepared.insert("m".into(), Prepared::Until(Time(5)));
    let until = WaitOn::Until(Bytes(b"\"${input}\"".as_slice().into()));
    let run = world.submit(plan(vec![wait("m", &[], until)]));
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn a_signal_that_does_not_come_in_time_fails_the_task_or_gives_null() {
    let (mut world, run) = waiting();
    world.tick(60_000);
    assert_eq!(world.standing(run), RunState::Failed);
    assert_eq!(&*world.run(run).failure.as_ref().unwrap().code, "signal_timeout");
    let run = world.submit(plan(vec![going_on("w", "go", 1_000), task("t", &[0])]));
    world.tick(1_000);
    assert_eq!(world.node(run, 0).output, Some(Payload::null()));
    assert_eq!(world.working(run), [TaskRef::node(1)]);
    let mut plain = signal_wait("w", &[], "go", Some(1_000));
    plain.on_failure = OnFailure::Continue;
    let run = world.submit(plan(vec![plain, task("t", &[0])]));
    world.tick(1_000);
    assert_eq!((world.at(run, 0), world.working(run).len()), (TaskState::Failed, 1));
    world.replayed();
}

#[test]
fn signals_that_come_before_their_waits_are_kept_and_used_in_order() {
    let mut world = World::new(12);
    let run = world.submit(plan(vec![
        task("t", &[]),
        signal_wait("a", &[0], "go", None),
        signal_wait("b", &[1], "go", None),
    ]));
    for _ in 0..2 {
        world.signal(run, "go").unwrap();
    }
    assert_eq!(world.run(run).inbox.len(), 2);
    assert_eq!(refused(&mut world, run, "go"), "signal_not_awaited", "each has its wait");
    let pt = world.pt_at(run, 0);
    world.finish(pt, "1");
    assert_eq!(world.standing(run), RunState::Succeeded);
    let used = |event: &Event| match event {
        Event::WaitEnded { task, signal, .. } => Some((task.node, *signal)),
        _ => None,
    };
    let used: Vec<_> = world.changes.iter().flat_map(|it| &it.events).filter_map(used).collect();
    assert_eq!(used, [(1, Some(1)), (2, Some(2))]);
    world.replayed();
}

#[test]
fn one_signal_ends_one_wait_and_that_the_one_that_has_waited_longest() {
    let mut world = World::new(12);
    let run = world.submit(plan(vec![
        task("t", &[]),
        signal_wait("late", &[0], "go", None),
        signal_wait("early", &[], "go", None),
    ]));
    world.tick(10);
    let pt = world.pt_at(run, 0);
    world.finish(pt, "1");
    world.signal(run, "go").unwrap();
    assert_eq!((world.at(run, 2), world.at(run, 1)), (TaskState::Succeeded, TaskState::Waiting));
    world.signal(run, "go").unwrap();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn a_signal_that_nobody_waits_for_is_refused() {
    let (mut world, run) = waiting();
    assert_eq!(refused(&mut world, run, "stop"), "signal_unknown");
    assert_eq!(refused(&mut world, RunId(99), "go"), "run_not_found");
    world.signal(run, "go").unwrap();
    assert_eq!(refused(&mut world, run, "go"), "signal_not_awaited");
    world.cancel(run).unwrap();
    assert_eq!(refused(&mut world, run, "go"), "run_over");
}

#[test]
fn a_run_keeps_so_many_signals_and_no_more() {
    let mut world = World::new(12);
    let mut tasks = vec![task("t", &[])];
    tasks.extend((0..=SIGNALS_KEPT_MAX).map(|i| signal_wait(&format!("w{i}"), &[0], "go", None)));
    let run = world.submit(plan(tasks));
    for _ in 0..SIGNALS_KEPT_MAX {
        world.signal(run, "go").unwrap();
    }
    assert_eq!(refused(&mut world, run, "go"), "inbox_full");
    let pt = world.pt_at(run, 0);
    world.finish(pt, "1");
    assert!(world.run(run).inbox.is_empty());
    world.signal(run, "go").unwrap();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn a_signal_sent_again_under_its_key_counts_once_also_when_the_run_is_over() {
    let (mut world, run) = waiting();
    world.signal_keyed(run, "go", Some("k")).unwrap();
    let again = world.signal_keyed(run, "go", Some("k")).unwrap();
    assert!(again.events.is_empty());
    world.cancel(run).unwrap();
    assert!(world.signal_keyed(run, "go", Some("k")).unwrap().events.is_empty());
    let other = world.submit(plan(vec![signal_wait("w", &[], "go", None)]));
    let reused = world.signal_keyed(other, "go", Some("k")).unwrap_err();
    assert_eq!(reused.code(), "key_reused");
    world.replayed();
}

#[test]
fn a_paused_run_takes_its_signal_and_starts_nothing() {
    let (mut world, run) = waiting();
    world.pause(run);
    world.signal(run, "go").unwrap();
    assert_eq!((world.at(run, 0), world.at(run, 1)), (TaskState::Succeeded, TaskState::Ready));
    assert!(world.begun.is_empty());
    world.resume(run);
    world.dispatch();
    assert_eq!(world.working(run), [TaskRef::node(1)]);
}

#[test]
fn a_signal_to_a_run_that_a_crash_interrupted_ends_its_wait_once_it_goes_on() {
    let (mut world, run) = waiting();
    world.reopen();
    world.act(world.signal_command(run, "go", None)).unwrap();
    assert_eq!((world.at(run, 0), world.run(run).inbox.len()), (TaskState::Waiting, 1));
    world.dispatch();
    assert_eq!((world.at(run, 0), world.run(run).inbox.len()), (TaskState::Succeeded, 0));
    assert_eq!(world.working(run), [TaskRef::node(1)]);
    world.replayed();
}

#[test]
fn waits_and_kept_signals_survive_a_restart_and_a_snapshot() {
    let mut world = World::new(12);
    let run = world.submit(plan(vec![
        wait("f", &[], WaitOn::For(5_000)),
        signal_wait("w", &[], "now", Some(50_000)),
        signal_wait("later", &[0], "go", None),
    ]));
    world.signal(run, "go").unwrap();
    world.snapshot();
    world.restart();
    world.snapshot();
    world.tick(5_000);
    assert_eq!(world.at(run, 2), TaskState::Succeeded);
    world.tick(45_000);
    assert_eq!(&*world.run(run).failure.as_ref().unwrap().code, "signal_timeout");
    world.replayed();
}

#[test]
fn a_run_that_waits_on_disk_is_called_in_for_its_signal() {
    let mut settings = instance(12);
    settings.runs_resident_max = Some(1);
    let mut world = World::of(settings);
    while world.state.backlog().is_empty() {
        world.submit(plan(vec![task("t", &[])]));
    }
    let waits = plan(vec![signal_wait("w", &[], "go", None), task("t", &[0])]);
    let run = world.submit(waits);
    assert!(world.state.backlog().contains(run));
    world.signal(run, "go").unwrap();
    assert!(!world.state.backlog().contains(run));
    assert_eq!(world.at(run, 0), TaskState::Succeeded);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn a_retry_waits_again_and_what_was_used_is_gone() {
    let (mut world, run) = waiting();
    world.signal(run, "go").unwrap();
    world.cancel(run).unwrap();
    world.retry(run, Some(0)).unwrap();
    assert_eq!(world.at(run, 0), TaskState::Waiting);
    world.signal(run, "go").unwrap();
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn a_run_of_waits_alone_needs_no_budget() {
    let mut world = World::new(12);
    let waits = plan(vec![wait("f", &[], WaitOn::For(10))]);
    let run = world.submit_with(waits, |it| it.budget = Some(Amounts::ZERO)).unwrap();
    world.tick(10);
    assert_eq!(world.standing(run), RunState::Succeeded);
}
