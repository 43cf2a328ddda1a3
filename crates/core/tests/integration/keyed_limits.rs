//! Limits by key: how many tasks are worked on at one time, and begin in a period.

use std::sync::Arc;

use ark_os_core::command::Prepared;
use ark_os_core::event::Event;
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::keyed_limit::{KeyedLimit, LimitId};
use ark_os_core::plan::Workflow;
use ark_os_core::priority::Priority;
use ark_os_core::run::{RunState, TaskState};

use super::world::{World, keyed, limited, list, map, plan, task};

fn one(name: &str, at_once: Option<u32>, rate: Option<(u32, u64)>) -> Arc<Workflow> {
    plan(vec![limited(task("a", &[]), name, at_once, rate)])
}

/// A plan whose key is its task's name.
fn by_key(world: &mut World, key: &str, at_once: Option<u32>) -> Arc<Workflow> {
    let answer = Prepared::Keyed(key.into(), Box::new(Prepared::Go));
    world.prepared.insert(key.into(), answer);
    plan(vec![keyed(limited(task(key, &[]), "api", at_once, Some((100, 1_000))))])
}

fn limit<'w>(world: &'w World, name: &str, key: &str) -> Option<&'w KeyedLimit> {
    let id = LimitId { namespace: "default".into(), name: name.into(), key: key.into() };
    world.state.limits().find(&id)
}

fn submit(world: &mut World, workflow: &Arc<Workflow>, count: usize) -> Vec<RunId> {
    let runs: Vec<RunId> = (0..count).map(|_| world.submit(workflow.clone())).collect();
    world.dispatch();
    runs
}

fn at_work(world: &World, runs: &[RunId]) -> Vec<usize> {
    let works =
        |run: &RunId| world.state.run(*run).is_some() && world.at(*run, 0) == TaskState::Running;
    runs.iter().enumerate().filter(|(_, run)| works(run)).map(|(i, _)| i).collect()
}

fn finish(world: &mut World, run: RunId) {
    let pt = world.pt_at(run, 0);
    world.finish(pt, "1");
    world.dispatch();
}

#[test]
fn no_more_are_worked_on_at_one_time_than_the_limit_says() {
    let mut world = World::new(20);
    let runs = submit(&mut world, &one("db", Some(2), None), 5);
    world.audit();
    assert_eq!(at_work(&world, &runs), [0, 1]);
    let db = limit(&world, "db", "").unwrap();
    assert_eq!((db.in_use(), db.held(), db.offered()), (2, 3, 0));
    assert!(world.state.queue().is_empty(), "who waits for the key keeps nobody up");
    world.snapshot();
    finish(&mut world, runs[1]);
    assert_eq!(at_work(&world, &runs), [0, 2]);
    world.cancel(runs[3]).unwrap();
    finish(&mut world, runs[0]);
    assert_eq!(at_work(&world, &runs), [2, 4]);
    world.work();
    assert!(limit(&world, "db", "").is_none(), "a key that nobody uses is forgotten");
    world.replayed();
}

#[test]
fn no_more_begin_in_any_period_than_the_rate_says() {
    let mut world = World::new(20);
    let workflow = one("mail", None, Some((3, 1_000)));
    let first = submit(&mut world, &workflow, 1);
    world.tick(600);
    let runs = submit(&mut world, &workflow, 6);
    assert_eq!(at_work(&world, &runs), [0, 1]);
    world.snapshot();
    world.tick(399);
    assert_eq!(at_work(&world, &runs), [0, 1]);
    // The first of all is a period ago, the next two are not.
    world.tick(1);
    assert_eq!(at_work(&world, &runs), [0, 1, 2]);
    finish(&mut world, runs[0]);
    assert_eq!(at_work(&world, &runs), [1, 2], "an end does not count");
    world.tick(600);
    assert_eq!(at_work(&world, &runs), [1, 2, 3, 4]);
    while at_work(&world, &runs).len() < 5 {
        assert!(world.tick_to_timer());
    }
    world.audit();
    finish(&mut world, first[0]);
    for run in &runs[1..] {
        finish(&mut world, *run);
    }
    while world.tick_to_timer() {}
    assert!(world.state.limits().is_empty() && world.state.timers().is_empty());
    world.replayed();
}

#[test]
fn each_key_is_counted_apart_and_one_that_is_used_up_holds_nobody_else_up() {
    let mut world = World::new(20);
    let (ann, bob) = (by_key(&mut world, "ann", Some(1)), by_key(&mut world, "bob", Some(1)));
    let of_ann = submit(&mut world, &ann, 3);
    let of_bob = submit(&mut world, &bob, 2);
    let other = submit(&mut world, &plan(vec![task("free", &[])]), 2);
    world.audit();
    assert_eq!(at_work(&world, &of_ann), [0]);
    assert_eq!(at_work(&world, &of_bob), [0]);
    assert_eq!(at_work(&world, &other), [0, 1]);
    assert_eq!(limit(&world, "api", "ann").unwrap().held(), 2);
    let keyed = world.changes.iter().flat_map(|change| &change.events);
    let keyed = keyed.filter(|event| matches!(event, Event::TaskKeyed { .. })).count();
    assert_eq!(keyed, 5);
    world.restart();
    assert_eq!(at_work(&world, &of_ann).len(), 1, "one at a time after a restart too");
    world.work();
    assert_eq!(world.announced[&of_ann[2]].state, RunState::Succeeded);
}

#[test]
fn the_most_urgent_of_a_key_is_next_and_a_pause_gives_its_place_to_another() {
    let mut world = World::new(20);
    let workflow = one("db", Some(1), None);
    let runs = submit(&mut world, &workflow, 3);
    let urgent = world.submit_as(Priority::Critical, workflow.clone());
    world.dispatch();
    assert_eq!(world.at(urgent, 0), TaskState::Ready);
    world.snapshot();
    finish(&mut world, runs[0]);
    assert_eq!(world.at(urgent, 0), TaskState::Running);
    world.pause(runs[1]);
    finish(&mut world, urgent);
    assert_eq!(at_work(&world, &runs), [2]);
    world.resume(runs[1]);
    finish(&mut world, runs[2]);
    assert_eq!(at_work(&world, &runs), [1]);
    world.audit();
}

#[test]
fn children_of_maps_and_tasks_of_one_run_are_counted_like_others() {
    let mut world = World::new(20);
    world.prepared.insert("m".into(), list(6));
    let workflow = plan(vec![
        limited(map("m", &[], 0, 0), "db", Some(3), Some((4, 10_000))),
        limited(task("a", &[]), "db", Some(3), Some((4, 10_000))),
    ]);
    let run = world.submit(workflow);
    world.dispatch();
    world.audit();
    assert_eq!(world.working(run).len(), 3, "{:?}", limit(&world, "db", ""));
    world.snapshot();
    let pt = world.pt(run, world.working(run)[0]).unwrap();
    world.finish(pt, "1");
    world.dispatch();
    assert_eq!(world.working(run).len(), 3);
    let pt = world.pt(run, world.working(run)[0]).unwrap();
    world.lose(pt);
    assert_eq!(world.working(run).len(), 2, "four have begun");
    world.tick(10_000);
    assert_eq!(world.working(run).len(), 3);
    while !world.announced.contains_key(&run) {
        world.work();
        world.audit();
        if !world.announced.contains_key(&run) {
            assert!(world.tick_to_timer());
        }
    }
    assert_eq!(world.announced[&run].state, RunState::Succeeded);
    world.replayed();
}

#[test]
fn a_skill_that_nobody_has_now_does_not_keep_the_key_from_others() {
    let mut world = World::new(20);
    let mut narrow = task("b", &[]);
    narrow.skill = "narrow".into();
    // `narrow` is worked on by two at a time, by others.
    let busy = plan(
        [TaskRef::node(0), TaskRef::node(1)]
            .iter()
            .map(|it| {
                let mut task = task(&format!("n{}", it.node), &[]);
                task.skill = "narrow".into();
                task
            })
            .collect(),
    );
    submit(&mut world, &busy, 2);
    let held = submit(&mut world, &plan(vec![limited(narrow, "shared", Some(1), None)]), 1);
    let free = submit(&mut world, &one("shared", Some(1), None), 1);
    assert_eq!((at_work(&world, &held).len(), at_work(&world, &free).len()), (0, 1));
    world.audit();
    world.work();
    assert!(world.state.limits().is_empty());
}
