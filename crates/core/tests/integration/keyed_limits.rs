//! Limits by key: how many tasks are worked on at one time, and begin in a period.

use std::sync::Arc;

use ark_os_core::budget::Amounts;
use ark_os_core::command::Prepared;
use ark_os_core::event::Event;
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::keyed_limit::{KeyedLimit, LimitId};
use ark_os_core::plan::{TaskSpec, Workflow};
use ark_os_core::priority::Priority;
use ark_os_core::run::{RunState, TaskState};

use super::world::{World, child, keyed, limited, list, map, plan, task};

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

/// When the attempt of a run began, and until when its limit held it up.
fn began(world: &World, run: RunId) -> (u64, Option<u64>) {
    let of_run = world.changes.iter().filter(|change| change.run == Some(run));
    let mut events = of_run.flat_map(|change| change.events.iter().map(move |it| (change.at, it)));
    let started = events.find_map(|(at, event)| match event {
        Event::AttemptStarted(started) => Some((at.0, started.held_until.map(|it| it.0))),
        _ => None,
    });
    started.unwrap()
}

#[test]
fn an_attempt_says_until_when_its_limit_held_it_up_and_not_how_long_it_waited_for_an_agent() {
    let mut world = World::new(20);
    let start = world.now.0;
    let mut narrow = task("a", &[]);
    // Two of it at a time.
    narrow.skill = "narrow".into();
    let free = plan(vec![narrow.clone()]);
    let held = plan(vec![limited(narrow, "db", Some(1), None)]);
    let first = submit(&mut world, &held, 1)[0];
    let others = submit(&mut world, &free, 2);
    let second = submit(&mut world, &held, 1)[0];
    assert_eq!(began(&world, first), (start, None));
    world.tick(50);
    // The key is free now, and the one who stood in line before takes the place.
    finish(&mut world, first);
    assert_eq!(began(&world, others[1]), (start + 50, None));
    let db = limit(&world, "db", "").unwrap();
    assert_eq!((db.held(), db.offered()), (0, 1));
    world.snapshot();
    world.tick(30);
    finish(&mut world, others[0]);
    assert_eq!(began(&world, second), (start + 80, Some(start + 50)));
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

/// A task under `crm` that may use so many tokens.
fn call(tokens: u64, at_once: u32) -> TaskSpec {
    let mut call = limited(task("call", &[]), "crm", Some(at_once), None);
    call.budget.tokens = tokens;
    call
}

fn submit_with_100_tokens(world: &mut World, tasks: Vec<TaskSpec>) -> RunId {
    let limit = Amounts { tokens: 100, ..Amounts::UNLIMITED };
    let run = world.submit_with(plan(tasks), |it| it.budget = Some(limit)).unwrap();
    world.dispatch();
    run
}

/// A run whose calls, its tasks 1 to `calls`, are under `crm` and wait until task 0 gives back what
/// is reserved for it.
fn waiting_for_budget(world: &mut World, calls: u32, at_once: u32) -> RunId {
    let mut long = task("long", &[]);
    long.budget.tokens = 80;
    let calls = (0..calls).map(|i| {
        let mut call = call(50, at_once);
        call.name = format!("call-{i}").into();
        call
    });
    let run = submit_with_100_tokens(world, std::iter::once(long).chain(calls).collect());
    assert_eq!(world.working(run), [TaskRef::node(0)]);
    run
}

#[test]
fn a_task_that_waits_for_its_budget_keeps_nobody_from_its_key() {
    let mut world = World::new(20);
    let run = waiting_for_budget(&mut world, 1, 1);
    let others = submit(&mut world, &plan(vec![call(0, 1)]), 4);
    world.audit();
    assert_eq!(at_work(&world, &others), [0], "those behind it stand in for it, in their order");
    world.snapshot();
    finish(&mut world, others[0]);
    assert_eq!(at_work(&world, &others), [1]);
    let urgent = world.submit_as(Priority::Critical, plan(vec![call(0, 1)]));
    finish(&mut world, others[1]);
    assert_eq!((world.at(urgent, 0), at_work(&world, &others).len()), (TaskState::Running, 0));
    // When it has what it waited for, it comes before all that got in line after it.
    finish(&mut world, run);
    assert_eq!(world.at(run, 1), TaskState::Ready, "the key has one place");
    finish(&mut world, urgent);
    assert_eq!((world.at(run, 1), at_work(&world, &others).len()), (TaskState::Running, 0));
    world.audit();
    world.work();
    assert!(world.state.limits().is_empty());
    world.replayed();
}

#[test]
fn as_many_stand_in_as_wait_for_their_budget_and_no_more_than_there_is_room() {
    let mut world = World::new(20);
    let run = waiting_for_budget(&mut world, 3, 2);
    let dear = waiting_for_budget(&mut world, 1, 2);
    let others = submit(&mut world, &plan(vec![call(0, 2)]), 4);
    assert_eq!(at_work(&world, &others), [0, 1]);
    world.audit();
    let crm = limit(&world, "crm", "").unwrap();
    assert_eq!((crm.in_use(), crm.held(), crm.offered()), (2, 6, 0));
    finish(&mut world, others[1]);
    assert_eq!(at_work(&world, &others), [0, 2]);
    world.restart();
    let begun = at_work(&world, &others).len() + world.working(run).len();
    assert!(begun > 0 && limit(&world, "crm", "").unwrap().in_use() <= 2);
    world.audit();
    world.work();
    for run in others.into_iter().chain([run, dear]) {
        assert_eq!(world.announced[&run].state, RunState::Succeeded);
    }
    world.replayed();
}

#[test]
fn who_stands_in_under_a_key_comes_no_sooner_than_those_before_it_elsewhere() {
    let mut world = World::new(20);
    let narrow = |mut task: TaskSpec| {
        task.skill = "narrow".into();
        task
    };
    let mut long = task("long", &[]);
    long.budget.tokens = 80;
    submit_with_100_tokens(&mut world, vec![long, narrow(call(50, 1))]);
    // Two at a time work on `narrow`: whoever comes now gets in line.
    let free = plan(vec![narrow(task("free", &[]))]);
    let busy = submit(&mut world, &free, 2)[0];
    let before = submit(&mut world, &free, 1)[0];
    let stand_in = submit(&mut world, &plan(vec![narrow(call(0, 1))]), 1)[0];
    let after = submit(&mut world, &free, 1)[0];
    let states = |world: &World| [before, stand_in, after].map(|run| world.at(run, 0));
    assert_eq!(states(&world), [TaskState::Ready; 3]);
    finish(&mut world, busy);
    assert_eq!(states(&world), [TaskState::Running, TaskState::Ready, TaskState::Ready]);
    finish(&mut world, before);
    assert_eq!([world.at(stand_in, 0), world.at(after, 0)], [TaskState::Running, TaskState::Ready]);
    world.audit();
    world.work();
    world.replayed();
}

#[test]
fn a_child_on_its_own_begins_under_the_key_of_its_parent_that_waits_for_what_it_lent() {
    let mut world = World::new(20);
    let mut below = call(0, 1);
    below.needs = vec![0];
    let mut apart = child("c", &[], &plan(vec![task("first", &[]), below]), true);
    apart.budget = Amounts { tokens: 80, calls: 5, ..Amounts::ZERO };
    let run = submit_with_100_tokens(&mut world, vec![apart, call(50, 1)]);
    let apart = world.child_of(run, 0);
    assert_eq!(world.at(run, 1), TaskState::Ready, "the rest is lent to the child");
    finish(&mut world, apart);
    assert_eq!(world.at(apart, 1), TaskState::Running, "or both wait for ever");
    world.audit();
    world.snapshot();
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    assert!(world.state.limits().is_empty());
    world.replayed();
}
