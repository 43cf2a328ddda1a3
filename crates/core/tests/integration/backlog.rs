//! Runs that wait on disk: who comes in when, and that nothing of them is forgotten meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use ark_os_core::event::{Intake, RunEnd};
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::layer::Layer;
use ark_os_core::limits::{RUNS_FETCHED_MAX, RUNS_RESTING_TIMES};
use ark_os_core::priority::Priority;
use ark_os_core::run::{Phase, RunState, TaskState};
use ark_os_core::time::Time;
use ark_os_core::{Change, Command, Event, State};

use super::world::{Newer, World, instance, plan, task};

/// A world with so few places that runs wait on disk.
fn narrow(agents: u32, places: u32) -> World {
    let mut settings = instance(agents);
    settings.runs_resident_max = Some(places);
    World::of(settings)
}

fn one() -> Arc<ark_os_core::plan::Workflow> {
    plan(vec![task("a", &[])])
}

fn waits(world: &World, run: RunId) -> bool {
    world.state.backlog().contains(run)
}

/// Nobody works: agents that are held up for ever.
fn busy_world(places: u32) -> (World, Vec<RunId>) {
    let mut world = narrow(1, places);
    let runs = (0..places + 4).map(|_| world.submit(one())).collect();
    (world, runs)
}

#[test]
fn what_there_is_no_room_for_waits_on_disk_and_comes_in_turn() {
    let (mut world, runs) = busy_world(4);
    let on_disk: Vec<bool> = runs.iter().map(|run| waits(&world, *run)).collect();
    assert_eq!(on_disk, [false, false, false, false, true, true, true, true]);
    assert_eq!((world.state.live(), world.state.backlog().len()), (8, 4));
    assert_eq!(world.state.backlog().oldest().unwrap().run, runs[4]);
    let pt = *world.open.keys().next().unwrap();
    world.finish(pt, "1");
    assert!(!waits(&world, runs[4]) && waits(&world, runs[5]));
    world.work();
    assert!(runs.iter().all(|run| world.standing(*run) == RunState::Succeeded));
    assert_eq!(world.events(|it| matches!(it, Event::RunLoaded { .. })), 4);
    world.replayed();
}

#[test]
fn urgent_work_is_not_delayed_by_what_waits_on_disk() {
    let (mut world, _) = busy_world(4);
    let critical = world.submit_as(Priority::Critical, one());
    let emergency = world.submit_as(Priority::Emergency, one());
    assert!(!waits(&world, critical) && !waits(&world, emergency));
    assert!(world.pt(emergency, TaskRef::node(0)).is_some(), "it has an agent at once");
    // Beyond their own places they are first of those on disk.
    let second = world.submit_as(Priority::Emergency, one());
    let third = world.submit_as(Priority::Emergency, one());
    assert!(!waits(&world, second) && waits(&world, third));
    world.finish(world.pt_at(emergency, 0), "1");
    world.finish(world.pt_at(second, 0), "1");
    assert!(world.pt(third, TaskRef::node(0)).is_some());
}

#[test]
fn low_work_that_waited_long_keeps_its_turn() {
    let (mut world, _) = busy_world(4);
    let low = world.submit_as(Priority::Low, one());
    for _ in 0..13 {
        world.tick(9_500);
        world.renew_all();
    }
    let high = world.submit_as(Priority::High, one());
    let mut order = Vec::new();
    while let Some(pt) = world.open.keys().next().copied() {
        order.push(pt.run);
        world.finish(pt, "1");
    }
    let at = |run| order.iter().position(|it| *it == run).unwrap();
    assert!(at(low) < at(high), "{order:?}");
}

#[test]
fn a_deadline_passes_on_disk_as_in_memory() {
    let (mut world, _) = busy_world(4);
    let at = world.now.plus(5_000);
    let due = world.submit_with(one(), |it| it.deadline = Some(at)).unwrap();
    assert!(waits(&world, due));
    world.restart();
    world.tick(4_999);
    assert!(waits(&world, due));
    world.tick(1);
    let failure = world.run(due).failure.clone().unwrap();
    assert_eq!((world.standing(due), &*failure.code), (RunState::Failed, "deadline_exceeded"));
    assert_eq!(world.at(due, 0), TaskState::Skipped, "it never began");
    assert_eq!(world.run(due).accepted, Time(at.0 - 5_000));
}

#[test]
fn a_run_is_cancelled_on_disk_and_may_be_retried() {
    let (mut world, runs) = busy_world(4);
    let last = *runs.last().unwrap();
    world.cancel(last).unwrap();
    assert_eq!(world.standing(last), RunState::Cancelled);
    assert_eq!(world.begun.iter().filter(|it| it.pt.run == last).count(), 0);
    assert_eq!(world.cancel(last).unwrap_err().code(), "run_over");
    world.retry(last, None).unwrap();
    world.work();
    assert_eq!(world.standing(last), RunState::Succeeded);
}

#[test]
fn a_run_that_is_paused_on_disk_begins_when_it_is_resumed() {
    let (mut world, runs) = busy_world(4);
    let last = *runs.last().unwrap();
    world.pause(last);
    assert_eq!(world.standing(last), RunState::Paused);
    let others: Vec<RunId> = runs[..runs.len() - 1].to_vec();
    world.work();
    assert!(others.iter().all(|run| world.standing(*run) == RunState::Succeeded));
    assert_eq!(world.standing(last), RunState::Paused);
    world.resume(last);
    world.work();
    assert_eq!(world.standing(last), RunState::Succeeded);
}

#[test]
fn what_makes_no_sense_for_a_waiting_run_is_refused_as_for_any_that_has_not_begun() {
    let (mut world, runs) = busy_world(4);
    let run = *runs.last().unwrap();
    let refused = |world: &mut World, command| world.act(command).unwrap_err().code().to_owned();
    let reason = || "r".into();
    let resume = Command::ResumeRun { run, reason: reason() };
    assert_eq!(refused(&mut world, resume), "run_not_paused");
    assert_eq!(world.retry(run, None).unwrap_err().code(), "run_not_over");
    assert_eq!(world.unpark(run, TaskRef::node(0)).unwrap_err().code(), "task_not_parked");
    assert_eq!(world.unpark(run, TaskRef::node(9)).unwrap_err().code(), "task_not_found");
    assert!(waits(&world, run), "nobody had to read it");
    let again = world.submit_with(one(), |it| it.run = run).unwrap_err();
    assert_eq!(again.code(), "run_exists");
}

#[test]
fn a_run_whose_record_is_lost_fails_and_says_so() {
    let (mut world, runs) = busy_world(4);
    world.unreadable.insert(runs[4]);
    world.work();
    assert_eq!(world.standing(runs[4]), RunState::Failed);
    let failure = world.run(runs[4]).failure.clone().unwrap();
    assert_eq!(&*failure.code, "record_unreadable");
    assert_eq!(world.retry(runs[4], None).unwrap_err().code(), "run_not_begun");
    assert_eq!(world.standing(runs[5]), RunState::Succeeded);
    world.replayed();
}

#[test]
fn a_run_whose_deadline_has_passed_ends_for_that_also_if_its_record_cannot_be_read() {
    let (mut world, _) = busy_world(4);
    let due = world.now.plus(5);
    let run = world.submit_with(one(), |it| it.deadline = Some(due)).unwrap();
    world.unreadable.insert(run);
    world.tick(10);
    world.work();
    let failure = world.run(run).failure.clone().unwrap();
    assert_eq!(&*failure.code, "deadline_exceeded");
    world.replayed();
}

#[test]
fn runs_that_cannot_be_read_now_take_no_place_from_others() {
    let (mut world, _) = busy_world(4);
    let due = world.now.plus(5);
    let run = world.submit_with(one(), |it| it.deadline = Some(due)).unwrap();
    let many: BTreeSet<RunId> =
        (0..RUNS_FETCHED_MAX as u128).map(|at| RunId(u128::MAX - at)).collect();
    let none = BTreeSet::new();
    let calls = |called: &BTreeSet<RunId>, unread: &BTreeSet<RunId>| {
        let calls = world.state.call_in(called, unread, due);
        calls.iter().filter(|it| it.run == run).count()
    };
    assert_eq!(calls(&many, &none), 0, "so many are being read");
    assert_eq!(calls(&none, &many), 1);
    assert_eq!(calls(&none, &BTreeSet::from([run])), 0, "it is tried again already");
}

#[test]
fn rules_that_changed_meanwhile_are_asked_before_a_waiting_run_begins() {
    for denies in [false, true] {
        let (mut world, runs) = busy_world(4);
        world.rules = Arc::new(Newer { denies });
        world.restart();
        world.work();
        let last = *runs.last().unwrap();
        let expected = if denies { RunState::Failed } else { RunState::Succeeded };
        assert_eq!(world.standing(last), expected);
        if denies {
            assert_eq!(&*world.run(last).failure.as_ref().unwrap().code, "policy_denied");
            let is_end = |it: &Event| matches!(it, Event::RunEnded(e) if e.end == RunEnd::Failed);
            assert_eq!(world.events(is_end), runs.len());
        }
    }
}

#[test]
fn while_a_layer_is_empty_runs_wait_on_disk_too() {
    let mut world = narrow(50, 2);
    world.set_layer(Layer::Board, false);
    let runs: Vec<RunId> = (0..6).map(|_| world.submit(one())).collect();
    assert_eq!(world.state.backlog().len(), 4);
    world.tick(1_000);
    assert!(runs.iter().all(|run| !world.announced.contains_key(run)));
    world.set_layer(Layer::Board, true);
    world.work();
    assert!(runs.iter().all(|run| world.standing(*run) == RunState::Succeeded));
}

#[test]
fn a_run_let_in_under_old_rules_waits_for_an_empty_layer_in_memory() {
    let mut settings = instance(50);
    (settings.runs_resident_max, settings.concurrent_tasks_max) = (Some(1), 2);
    let mut world = World::of(settings);
    let runs: Vec<RunId> = (0..3).map(|_| world.submit(one())).collect();
    let last = *runs.last().unwrap();
    assert!(waits(&world, last));
    world.rules = Arc::new(Newer { denies: false });
    world.reopen();
    let plan = *world.state.fleet().plan();
    let board = || (0..plan.count(Layer::Board)).filter_map(|it| plan.agent(Layer::Board, it));
    board().for_each(|agent| world.set_agent_only(agent, false));
    world.act(Command::PauseRun { run: last, reason: "wait".into() }).unwrap();
    assert_eq!(world.run(last).phase, Phase::Accepted);
    world.set_layer(Layer::Board, true);
    world.resume(last);
    world.work();
    assert!(runs.iter().all(|run| world.standing(*run) == RunState::Succeeded));
}

#[test]
fn runs_that_rest_do_not_keep_others_on_disk() {
    let (mut world, runs) = busy_world(2);
    let resting = 2 * RUNS_RESTING_TIMES - 1;
    let mut paused = Vec::new();
    for _ in 0..resting {
        let run = world.submit(one());
        world.pause(run);
        paused.push(run);
    }
    world.work();
    assert!(runs.iter().all(|run| world.standing(*run) == RunState::Succeeded));
    // There is an end to it: then whoever comes waits for those who rest.
    let more: Vec<RunId> = (0..3).map(|_| world.submit(one())).collect();
    more.iter().for_each(|run| world.pause(*run));
    let behind = world.submit(one());
    world.work();
    assert!(waits(&world, behind));
    let urgent = world.submit_as(Priority::Emergency, one());
    world.work();
    assert_eq!(world.standing(urgent), RunState::Succeeded, "emergencies have places of their own");
    paused.iter().for_each(|run| world.resume(*run));
    world.work();
    assert_eq!(world.standing(behind), RunState::Succeeded);
}

#[test]
fn work_that_nobody_can_do_does_not_keep_other_work_on_disk() {
    let mut world = narrow(30, 2);
    let mut stuck = task("a", &[]);
    stuck.skill = "look".into();
    let stuck = plan(vec![stuck]);
    // Reading is the specialists' work.
    world.set_layer(Layer::Specialist, false);
    let runs: Vec<RunId> = (0..6).map(|_| world.submit(stuck.clone())).collect();
    let other = world.submit(one());
    world.work();
    assert_eq!(world.standing(other), RunState::Succeeded);
    assert!(runs.iter().all(|run| world.state.run(*run).is_some()));
    // They are more than all places together; those of emergencies are theirs.
    let urgent = world.submit_as(Priority::Emergency, one());
    assert!(world.pt(urgent, TaskRef::node(0)).is_some());
}

#[test]
fn what_waits_on_disk_is_the_same_after_a_restart() {
    let (mut world, runs) = busy_world(4);
    let key = World::keyed("k");
    let keyed = world.submit_with(one(), |it| it.key = key.clone()).unwrap();
    let before: Vec<_> = world.state.backlog().iter().copied().collect();
    world.reopen();
    let after: Vec<_> = world.state.backlog().iter().copied().collect();
    assert_eq!(before, after);
    assert_eq!(world.state.submission(&"default".into(), &"k".into()).unwrap().0, keyed);
    // Those in memory go on first; nobody comes in before they are back.
    assert!(world.state.call_in(&Default::default(), &Default::default(), world.now).is_empty());
    world.dispatch();
    assert!(runs[..4].contains(&world.open.keys().next().unwrap().run));
    world.work();
    assert!(runs.iter().all(|run| world.standing(*run) == RunState::Succeeded));
    assert_eq!(world.events(|it| matches!(it, Event::RunLoaded { .. })), 5);
}

#[test]
fn a_draining_instance_calls_nobody_in() {
    let (mut world, _) = busy_world(4);
    world.act(Command::SetIntake { intake: Intake::Draining, reason: "stop".into() }).unwrap();
    while let Some(pt) = world.open.keys().next().copied() {
        world.finish(pt, "1");
    }
    assert_eq!(world.state.backlog().len(), 4);
    assert_eq!(world.state.fleet().in_use(), 0);
    world.restart();
    world.work();
    assert_eq!(world.state.live(), 0);
}

#[test]
fn a_load_of_a_run_that_does_not_wait_changes_nothing() {
    let (world, runs) = busy_world(1);
    for run in [RunId(99), runs[0]] {
        let events = vec![Event::RunLoaded { accepted: None }];
        let change = Change { run: Some(run), at: world.now, events };
        let mut state: State = world.state.clone();
        state.apply(&change, &mut Vec::new());
        assert_eq!(state.live(), world.state.live());
        assert_eq!(state.run(run), world.state.run(run));
    }
}
