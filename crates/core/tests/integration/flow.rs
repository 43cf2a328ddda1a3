//! How work flows through a plan: order, fan-out, conditions, failure policies.

use ark_os_core::command::Prepared;
use ark_os_core::error::Failure;
use ark_os_core::event::{Event, SkipCause};
use ark_os_core::ids::TaskRef;
use ark_os_core::plan::{OnFailure, Retry, Shape};
use ark_os_core::run::{RunState, TaskState};

use super::world::{World, list, map, plan, task};

fn fatal() -> Failure {
    Failure::fatal("broken", "it is broken")
}

fn once() -> Retry {
    Retry { attempts: 1, ..Retry::default() }
}

#[test]
fn diamond_fires_once() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![
        task("a", &[]),
        task("b", &[0]),
        task("c", &[0]),
        task("d", &[1, 2]),
    ]));
    assert_eq!(world.working(run), [TaskRef::node(0)]);
    let a = world.pt_at(run, 0);
    world.finish(a, "1");
    assert_eq!(world.working(run), [TaskRef::node(1), TaskRef::node(2)]);
    let b = world.pt_at(run, 1);
    world.finish(b, "1");
    assert_eq!(world.at(run, 3), TaskState::Pending);
    let c = world.pt_at(run, 2);
    world.finish(c, "1");
    assert_eq!(world.working(run), [TaskRef::node(3)]);
    world.work();
    let starts = world.begun.iter().filter(|it| it.pt.task.node == 3).count();
    assert_eq!((starts, world.standing(run)), (1, RunState::Succeeded));
    assert_eq!(world.announced[&run].output, Some(super::world::json("1")));
    world.replayed();
}

#[test]
fn chain_of_a_thousand_runs_to_its_end() {
    let mut world = World::new(6);
    world.audit_every = 97;
    let mut tasks = vec![task("t0", &[])];
    tasks.extend((1..1_000u32).map(|i| task(&format!("t{i}"), &[i - 1])));
    let run = world.submit(plan(tasks));
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    assert_eq!(world.begun.len(), 1_000);
}

#[test]
fn long_chain_that_fails_at_once_does_not_recurse() {
    // Nothing of it can be paid for, and every failure lets the next one begin.
    let mut world = World::new(6);
    let mut tasks = vec![task("t0", &[])];
    tasks.extend((1..1_000u32).map(|i| task(&format!("t{i}"), &[i - 1])));
    tasks.iter_mut().for_each(|task| task.on_failure = OnFailure::Continue);
    let run = world.submit_with(plan(tasks), |it| it.budget = Some(Default::default())).unwrap();
    world.work();
    assert!(world.begun.is_empty());
    assert_eq!(world.standing(run), RunState::Succeeded, "every failure was to be passed over");
}

#[test]
fn map_of_ten_thousand_is_gathered() {
    let mut world = World::new(100);
    world.audit_every = 1_009;
    world.prepared.insert("m".into(), list(10_000));
    let mut reduce = task("r", &[0]);
    reduce.shape = Shape::Reduce(0);
    let run = world.submit(plan(vec![map("m", &[], 0, 0), reduce]));
    assert!(world.open.len() > 30);
    world.work();
    assert_eq!(world.begun.len(), 10_001);
    assert_eq!(world.standing(run), RunState::Succeeded);
    assert_eq!(world.announced[&run].counts.of(TaskState::Succeeded), 10_001);
}

#[test]
fn larger_map_than_allowed_fails() {
    let mut world = World::new(6);
    world.prepared.insert("m".into(), list(10_001));
    let run = world.submit(plan(vec![map("m", &[], 0, 0)]));
    assert_eq!(&*world.run(run).failure.clone().unwrap().code, "map_too_large");
}

#[test]
fn empty_map_is_done_at_once() {
    let mut world = World::new(6);
    world.prepared.insert("m".into(), list(0));
    let run = world.submit(plan(vec![map("m", &[], 0, 0), task("r", &[0])]));
    assert_eq!(world.working(run), [TaskRef::node(1)]);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn map_bears_as_many_failures_as_it_says() {
    for (failures_max, failures, expected) in [
        (0, 1, RunState::Failed),
        (2, 2, RunState::Succeeded),
        (2, 3, RunState::Failed),
        (5, 5, RunState::Succeeded),
    ] {
        let mut world = World::new(20);
        world.prepared.insert("m".into(), list(5));
        let mut spec = map("m", &[], 0, failures_max);
        spec.retry = once();
        let run = world.submit(plan(vec![spec, task("r", &[0])]));
        for _ in 0..failures {
            let pt = world.open.keys().find(|pt| pt.task.node == 0).copied().unwrap();
            world.fail(pt, fatal());
        }
        world.work();
        assert_eq!(world.standing(run), expected, "{failures} of {failures_max}");
        if expected == RunState::Failed {
            let failure = world.run(run).failure.clone().unwrap();
            assert_eq!((&*failure.code, &*failure.causes[0].code), ("map_failed", "broken"));
            assert_eq!(world.node(run, 1).skipped, Some(SkipCause::Failed(0)));
        }
        world.replayed();
    }
}

#[test]
fn map_keeps_to_its_parallel_limit_also_when_children_are_tried_again() {
    let mut world = World::new(50);
    world.prepared.insert("m".into(), list(12));
    let run = world.submit(plan(vec![map("m", &[], 3, 0)]));
    assert_eq!(world.open.len(), 3);
    for _ in 0..3 {
        let pt = *world.open.keys().next().unwrap();
        world.fail(pt, Failure::retryable("busy", "busy"));
        assert_eq!(world.open.len(), 3, "a fresh one takes the place");
    }
    world.tick(1_000);
    assert_eq!(world.open.len(), 3, "those tried again wait for room");
    // Another run of the same skill is not held up by them.
    let other = world.submit(plan(vec![task("a", &[])]));
    assert_eq!(world.working(other).len(), 1);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    assert_eq!(world.begun.len(), 16);
}

#[test]
fn false_condition_skips_and_its_dependants_run() {
    let mut world = World::new(6);
    let mut b = task("b", &[0]);
    b.when = Some("false".into());
    world.prepared.insert("b".into(), Prepared::Skip);
    let run = world.submit(plan(vec![task("a", &[]), b, task("c", &[1])]));
    let a = world.pt_at(run, 0);
    world.finish(a, "1");
    assert_eq!(world.at(run, 1), TaskState::Skipped);
    assert_eq!(world.node(run, 1).skipped, Some(SkipCause::Condition));
    assert_eq!(world.working(run), [TaskRef::node(2)]);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn condition_that_cannot_be_evaluated_fails_the_task() {
    let mut world = World::new(6);
    let mut a = task("a", &[]);
    a.when = Some("1/0".into());
    world.prepared.insert("a".into(), Prepared::Failed(fatal()));
    let run = world.submit(plan(vec![a]));
    assert_eq!(world.standing(run), RunState::Failed);
}

#[test]
fn failure_cancels_what_runs_and_skips_the_rest_with_its_cause() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![
        task("a", &[]),
        task("b", &[]),
        task("c", &[0]),
        task("d", &[1]),
        task("e", &[2]),
    ]));
    let a = world.pt_at(run, 0);
    world.fail(a, fatal());
    assert_eq!(world.standing(run), RunState::Failed);
    let states: Vec<TaskState> = world.run(run).tasks.iter().map(|task| task.state).collect();
    use TaskState::{Cancelled, Failed, Skipped};
    assert_eq!(states, [Failed, Cancelled, Skipped, Skipped, Skipped]);
    let causes: Vec<_> =
        world.run(run).tasks.iter().filter_map(|task| task.skipped.clone()).collect();
    assert_eq!(causes, [SkipCause::Failed(0), SkipCause::RunEnded, SkipCause::Failed(0)]);
    assert!(world.open.is_empty());
}

#[test]
fn continue_lets_dependants_go_on() {
    let mut world = World::new(6);
    let mut a = task("a", &[]);
    a.on_failure = OnFailure::Continue;
    let run = world.submit(plan(vec![a, task("b", &[0])]));
    let a = world.pt_at(run, 0);
    world.fail(a, fatal());
    assert_eq!(world.working(run), [TaskRef::node(1)]);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

fn with_fallback() -> std::sync::Arc<ark_os_core::plan::Workflow> {
    let mut main = task("main", &[0]);
    main.on_failure = OnFailure::Fallback(2);
    // The fallback needs what its task needs, and may not begin with it.
    plan(vec![task("first", &[]), main, task("stand-in", &[0]), task("after", &[1])])
}

#[test]
fn fallback_with_needs_of_its_own_begins_only_on_failure() {
    let mut world = World::new(20);
    let run = world.submit(with_fallback());
    let first = world.pt_at(run, 0);
    world.finish(first, "1");
    assert_eq!(world.working(run), [TaskRef::node(1)]);
    let main = world.pt_at(run, 1);
    world.finish(main, "1");
    assert_eq!(world.node(run, 2).skipped, Some(SkipCause::NotNeeded));
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn fallback_stands_in_or_fails_the_run() {
    for succeeds in [true, false] {
        let mut world = World::new(20);
        let run = world.submit(with_fallback());
        let first = world.pt_at(run, 0);
        world.finish(first, "1");
        let main = world.pt_at(run, 1);
        world.fail(main, fatal());
        assert_eq!(world.working(run), [TaskRef::node(2)]);
        assert_eq!(world.at(run, 3), TaskState::Pending);
        let stand_in = world.pt_at(run, 2);
        if succeeds {
            world.finish(stand_in, "2");
            assert_eq!(world.working(run), [TaskRef::node(3)]);
            world.work();
            assert_eq!(world.standing(run), RunState::Succeeded);
        } else {
            world.fail(stand_in, fatal());
            assert_eq!(world.standing(run), RunState::Failed);
            assert_eq!(world.node(run, 3).skipped, Some(SkipCause::Failed(2)));
        }
    }
}

/// a → b → c stand in for each other, one after the other; d needs a.
fn fallbacks_in_line() -> std::sync::Arc<ark_os_core::plan::Workflow> {
    let mut tasks = vec![task("a", &[]), task("b", &[]), task("c", &[]), task("d", &[0])];
    tasks[0].on_failure = OnFailure::Fallback(1);
    tasks[1].on_failure = OnFailure::Fallback(2);
    plan(tasks)
}

#[test]
fn line_of_fallbacks_is_gone_through_and_what_is_not_needed_is_skipped() {
    for failures in 0..=3u32 {
        let mut world = World::new(20);
        let run = world.submit(fallbacks_in_line());
        for node in 0..failures {
            let pt = world.pt_at(run, node);
            world.fail(pt, fatal());
        }
        world.work();
        let expected = if failures == 3 { RunState::Failed } else { RunState::Succeeded };
        assert_eq!(world.standing(run), expected, "after {failures} failures");
        let begun: Vec<u32> = world.begun.iter().map(|it| it.pt.task.node).collect();
        let mut wanted: Vec<u32> = (0..=failures.min(2)).collect();
        wanted.extend((failures < 3).then_some(3));
        assert_eq!(begun, wanted);
        world.replayed();
    }
}

#[test]
fn retry_of_a_fallback_begins_with_the_task_it_stands_in_for() {
    let mut world = World::new(20);
    let run = world.submit(fallbacks_in_line());
    for node in 0..3 {
        let pt = world.pt_at(run, node);
        world.fail(pt, fatal());
    }
    world.retry(run, Some(2)).unwrap();
    assert_eq!(world.working(run), [TaskRef::node(0)]);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn output_that_cannot_be_put_together_fails_the_run() {
    let mut world = World::new(6);
    world.gathered = Err(fatal());
    let run = world.submit(plan(vec![task("a", &[]), task("b", &[])]));
    world.work();
    assert_eq!(world.standing(run), RunState::Failed);
    assert_eq!(world.events(|event| matches!(event, Event::RunGathering)), 1);
}

#[test]
fn parked_run_whose_last_task_is_given_up_is_gathered_and_not_parked() {
    let mut world = World::new(20);
    let mut a = task("a", &[]);
    a.on_failure = OnFailure::Continue;
    let run = world.submit(plan(vec![a]));
    let pt = world.pt_at(run, 0);
    let key = world.intend(pt, 0, ark_os_core::plan::EffectClass::Effectful);
    world.finish(pt, "1");
    assert_eq!(world.standing(run), RunState::Parked);
    // The audit sees the moment between the two.
    world.resolve(run, key, ark_os_core::event::Resolution::GiveUp).unwrap();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn parked_child_leaves_its_place_to_the_next() {
    let mut world = World::new(20);
    world.prepared.insert("m".into(), list(3));
    let run = world.submit(plan(vec![map("m", &[], 1, 0)]));
    let pt = world.pt(run, TaskRef::child(0, 0)).unwrap();
    let key = world.intend(pt, 0, ark_os_core::plan::EffectClass::Effectful);
    world.finish(pt, "1");
    assert_eq!(world.working(run), [TaskRef::child(0, 1)]);
    let resolution = ark_os_core::event::Resolution::NotHappened;
    world.resolve(run, key, resolution).unwrap();
    assert_eq!(world.working(run), [TaskRef::child(0, 1)], "it waits for room");
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn parked_child_that_is_given_up_parks_no_more_than_its_map() {
    use ark_os_core::event::Resolution;
    use ark_os_core::plan::EffectClass;
    // Two children in doubt; the map may fail and the run goes on. What is left parks the run.
    let mut world = World::new(20);
    world.prepared.insert("m".into(), list(2));
    let mut spec = map("m", &[], 0, 0);
    spec.on_failure = OnFailure::Continue;
    let run = world.submit(plan(vec![spec, task("other", &[]), task("last", &[0, 1])]));
    let mut keys = Vec::new();
    for child in 0..2 {
        let pt = world.pt(run, TaskRef::child(0, child)).unwrap();
        keys.push(world.intend(pt, child, EffectClass::Effectful));
        world.finish(pt, "1");
    }
    let other = world.pt_at(run, 1);
    let key = world.intend(other, 0, EffectClass::Effectful);
    world.finish(other, "1");
    assert_eq!(world.standing(run), RunState::Parked);
    world.resolve(run, keys[0], Resolution::GiveUp).unwrap();
    assert_eq!(world.at(run, 0), TaskState::Failed);
    assert_eq!(world.standing(run), RunState::Parked, "the other task still waits for a person");
    world.resolve(run, keys[1], Resolution::NotHappened).unwrap();
    assert_eq!(world.at(run, 0), TaskState::Failed, "I2: what is over stays over");
    world.resolve(run, key, Resolution::NotHappened).unwrap();
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}
