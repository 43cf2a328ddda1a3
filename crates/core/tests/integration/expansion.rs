//! Tasks that a task adds to its own run, with its output.

use ark_os_core::Event;
use ark_os_core::command::AttemptOutcome;
use ark_os_core::error::Failure;
use ark_os_core::ids::TaskRef;
use ark_os_core::limits::PLAN_TASKS_MAX;
use ark_os_core::plan::{OnFailure, Shape, TaskSpec};
use ark_os_core::run::{RunState, TaskState};

use super::world::{World, expanding, json, map, plan, task};

/// `e`, which may add tasks, and `after`, which depends on it.
fn begun() -> (World, ark_os_core::ids::RunId) {
    let mut world = World::new(30);
    let run = world.submit(plan(vec![expanding("e", &[]), task("after", &[0])]));
    (world, run)
}

#[test]
fn whoever_depends_on_a_task_waits_for_what_it_adds_too() {
    let (mut world, run) = begun();
    let more = vec![task("a", &[0]), task("b", &[0, 2]), task("c", &[0])];
    world.expand(world.pt_at(run, 0), more).unwrap();
    assert_eq!(world.working(run), [TaskRef::node(2), TaskRef::node(4)]);
    for node in [2, 3] {
        world.finish(world.pt_at(run, node), "1");
        assert_eq!(world.at(run, 1), TaskState::Pending);
    }
    world.finish(world.pt_at(run, 4), "1");
    assert_eq!(world.working(run), [TaskRef::node(1)]);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn what_is_added_may_add_more_and_the_run_ends_after_all_of_it() {
    let mut world = World::new(30);
    let run = world.submit(plan(vec![expanding("e", &[])]));
    world.expand(world.pt_at(run, 0), vec![expanding("f", &[0])]).unwrap();
    world.snapshot();
    world.expand(world.pt_at(run, 1), vec![task("g", &[1])]).unwrap();
    world.restart();
    world.snapshot();
    assert_eq!(world.standing(run), RunState::Running);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    assert_eq!(world.events(|it| matches!(it, Event::TasksAdded(_))), 2);
    world.replayed();
}

#[test]
fn a_retried_attempt_adds_once_and_one_that_adds_nothing_is_as_any() {
    let (mut world, run) = begun();
    world.fail(world.pt_at(run, 0), Failure::retryable("again", "again"));
    world.tick(60_000);
    world.expand(world.pt_at(run, 0), vec![task("a", &[0])]).unwrap();
    assert_eq!(world.events(|it| matches!(it, Event::TasksAdded(_))), 1);
    let (mut world, run) = begun();
    world.expand(world.pt_at(run, 0), Vec::new()).unwrap();
    assert_eq!(world.working(run), [TaskRef::node(1)]);
}

#[test]
fn what_may_not_be_added_is_refused_and_changes_nothing() {
    let foreign = TaskSpec { skill: "nobody.has".into(), ..task("a", &[0]) };
    let many = (0..PLAN_TASKS_MAX).map(|i| task(&format!("t{i}"), &[0])).collect();
    for more in [vec![foreign], many, vec![task("a", &[])], vec![task("a", &[0, 1])]] {
        let (mut world, run) = begun();
        world.expand(world.pt_at(run, 0), more).unwrap();
        assert_eq!(world.at(run, 0), TaskState::Waiting, "it is tried again");
        assert_eq!(&*world.node(run, 0).causes[0].code, "tasks_refused");
        assert_eq!(world.run(run).tasks.len(), 2);
        world.replayed();
    }
    let mut world = World::new(30);
    let run = world.submit(plan(vec![task("e", &[])]));
    world.expand(world.pt_at(run, 0), vec![task("a", &[0])]).unwrap();
    assert_eq!(&*world.node(run, 0).causes[0].code, "tasks_refused");
}

#[test]
fn an_added_task_that_fails_fails_the_run_or_is_passed_over() {
    for on_failure in [OnFailure::Fail, OnFailure::Continue] {
        let (mut world, run) = begun();
        let more = vec![TaskSpec { on_failure, ..task("a", &[0]) }];
        world.expand(world.pt_at(run, 0), more).unwrap();
        world.fail(world.pt_at(run, 2), Failure::fatal("no", "no"));
        let (standing, after) = match on_failure {
            OnFailure::Fail => (RunState::Failed, TaskState::Skipped),
            _ => (RunState::Running, TaskState::Running),
        };
        assert_eq!((world.standing(run), world.at(run, 1)), (standing, after));
        world.replayed();
    }
}

#[test]
fn a_fallback_that_is_added_stands_in_and_nobody_waits_for_it() {
    let (mut world, run) = begun();
    let first = TaskSpec { on_failure: OnFailure::Fallback(3), ..task("a", &[0]) };
    let stand_in = TaskSpec { is_fallback: true, ..task("spare", &[0]) };
    let more = vec![first, stand_in];
    world.expand(world.pt_at(run, 0), more.clone()).unwrap();
    world.fail(world.pt_at(run, 2), Failure::fatal("no", "no"));
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    let (mut world, run) = begun();
    world.expand(world.pt_at(run, 0), more).unwrap();
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded, "it was not needed");
}

/// Two tasks that may add tasks at the same time.
fn two() -> (World, ark_os_core::ids::RunId) {
    let mut world = World::new(30);
    let run = world.submit(plan(vec![expanding("e", &[]), expanding("f", &[])]));
    (world, run)
}

#[test]
fn tasks_that_two_add_at_the_same_time_keep_to_their_own() {
    let (mut world, run) = two();
    let first = TaskSpec { on_failure: OnFailure::Fallback(3), ..task("a", &[1]) };
    let stand_in = TaskSpec { is_fallback: true, ..task("spare", &[1]) };
    world.expand_from(world.pt_at(run, 0), vec![task("g", &[0]), task("h", &[0, 2])], 2).unwrap();
    let more = vec![first, stand_in, map("m", &[1], 0, 0), task("r", &[1, 4])];
    let more: Vec<TaskSpec> = more
        .into_iter()
        .map(|spec| match &*spec.name {
            "r" => TaskSpec { shape: Shape::Reduce(4), ..spec },
            _ => spec,
        })
        .collect();
    world.expand_from(world.pt_at(run, 1), more, 2).unwrap();
    let plan = &world.run(run).workflow.tasks;
    let names: Vec<&str> = plan[2..].iter().map(|spec| &*spec.name).collect();
    assert_eq!(names, ["g", "h", "a", "spare", "m", "r"]);
    assert_eq!(plan[4].on_failure, OnFailure::Fallback(5));
    assert_eq!((&plan[7].shape, &plan[7].needs[..]), (&Shape::Reduce(6), &[1, 6][..]));
    world.fail(world.pt_at(run, 4), Failure::fatal("no", "no"));
    assert_eq!(world.at(run, 5), TaskState::Running, "its own stands in for it");
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn who_adds_a_name_that_was_taken_meanwhile_is_not_struck_and_tries_again() {
    let (mut world, run) = two();
    world.expand_from(world.pt_at(run, 0), vec![task("same", &[0])], 2).unwrap();
    world.expand_from(world.pt_at(run, 1), vec![task("same", &[1])], 2).unwrap();
    assert_eq!(world.at(run, 1), TaskState::Waiting, "it is tried again");
    assert_eq!(&*world.node(run, 1).causes[0].code, "tasks_refused");
    assert_eq!(world.events(|it| matches!(it, Event::AgentStruck { .. })), 0);
    assert_eq!(world.run(run).tasks.len(), 3);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn a_run_that_has_grown_is_not_retried_from_before() {
    let (mut world, run) = begun();
    world.expand(world.pt_at(run, 0), vec![task("a", &[0])]).unwrap();
    world.fail(world.pt_at(run, 2), Failure::fatal("no", "no"));
    assert_eq!(world.retry(run, Some(0)).unwrap_err().code(), "run_grown");
    world.retry(run, None).unwrap();
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn a_stale_token_adds_nothing() {
    let (mut world, run) = begun();
    let pt = world.pt_at(run, 0);
    let agent = world.open[&pt].agent;
    world.lose(pt);
    let outcome = AttemptOutcome::Expanded {
        output: json("1"),
        blobs: Vec::new(),
        tasks: vec![task("a", &[0])],
        base: 2,
    };
    world.finish_as(pt, agent, outcome, Default::default()).unwrap();
    assert_eq!(world.run(run).tasks.len(), 2, "I4");
}
