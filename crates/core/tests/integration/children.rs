//! Tasks that are runs of their own: begun once, paid for by those above, gone with their parent.

use std::sync::Arc;

use ark_os_core::Command;
use ark_os_core::budget::Amounts;
use ark_os_core::command::Prepared;
use ark_os_core::error::Failure;
use ark_os_core::event::{Event, Intake};
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::limits::CHILD_DEPTH_MAX;
use ark_os_core::plan::{EffectClass, OnFailure, Workflow};
use ark_os_core::run::{RunState, TaskState};

use super::world::{World, child, instance, json, plan, signal_wait, task};

fn inner() -> Arc<Workflow> {
    plan(vec![task("a", &[]), task("b", &[0])])
}

/// A run whose first task is a child of two tasks.
fn family(is_detached: bool) -> (World, RunId, RunId) {
    let mut world = World::new(30);
    let outer = plan(vec![child("c", &[], &inner(), is_detached), task("after", &[0])]);
    let run = world.submit(outer);
    let below = world.child_of(run, 0);
    (world, run, below)
}

fn starts(world: &World) -> usize {
    world.events(|event| matches!(event, Event::RunAccepted(it) if it.parent.is_some()))
}

#[test]
fn a_task_waits_for_its_child_and_has_its_output() {
    let (mut world, run, below) = family(false);
    assert_eq!((world.standing(run), world.at(run, 0)), (RunState::Waiting, TaskState::Waiting));
    let parent = world.run(below).parent.clone().unwrap();
    assert_eq!((parent.run, parent.node, parent.depth), (run, 0, 1));
    world.finish(world.pt_at(below, 0), "1");
    world.finish(world.pt_at(below, 1), "[2]");
    assert_eq!(world.node(run, 0).output, Some(json("[2]")));
    assert!(world.state.run(below).is_none(), "it leaves when its parent knows");
    assert_eq!(world.working(run), [TaskRef::node(1)]);
    world.work();
    assert_eq!((world.standing(run), starts(&world)), (RunState::Succeeded, 1));
    world.replayed();
}

#[test]
fn a_child_that_fails_or_is_cancelled_fails_its_task_with_the_cause() {
    for is_cancelled in [false, true] {
        let (mut world, run, below) = family(false);
        let code = if is_cancelled {
            world.cancel(below).unwrap();
            world.dispatch();
            "child_cancelled"
        } else {
            world.fail(world.pt_at(below, 0), Failure::fatal("broken", "it broke"));
            "child_failed"
        };
        let failure = world.run(run).failure.clone().unwrap();
        assert_eq!((world.standing(run), &*failure.code), (RunState::Failed, code));
        let cause = if is_cancelled { "cancelled" } else { "broken" };
        assert_eq!(&*failure.causes[0].code, cause);
        assert!(failure.message.contains(&below.to_string()));
        world.replayed();
    }
}

#[test]
fn a_failed_child_is_passed_over_where_its_task_says_so() {
    let mut world = World::new(30);
    let mut lax = child("c", &[], &inner(), false);
    lax.on_failure = OnFailure::Continue;
    let run = world.submit(plan(vec![lax, task("after", &[0])]));
    let below = world.child_of(run, 0);
    world.fail(world.pt_at(below, 0), Failure::fatal("broken", "it broke"));
    assert_eq!((world.at(run, 0), world.working(run).len()), (TaskState::Failed, 1));
}

#[test]
fn a_crash_at_any_moment_begins_a_child_once_and_tells_its_end_once() {
    // Replaying any part of the journal and starting anew comes to the same end.
    let (mut world, run, below) = family(false);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    let whole = world.journal.len();
    for cut in 1..whole {
        let (mut world, ..) = family(false);
        world.work();
        world.cut(cut);
        world.work();
        if world.changes.iter().all(|change| change.run != Some(run)) {
            continue;
        }
        assert_eq!(world.standing(run), RunState::Succeeded, "cut at {cut}");
        assert_eq!(starts(&world), 1, "cut at {cut}");
        let told = world.events(|event| matches!(event, Event::ChildEnded(_)));
        assert_eq!(told, 1, "cut at {cut}");
        assert_eq!(world.events(|it| matches!(it, Event::RunAccepted(_))), 2);
        world.replayed();
    }
    assert!(world.state.run(below).is_none());
}

#[test]
fn a_parent_that_is_over_takes_its_children_with_it_and_nothing_begins_afterwards() {
    let (mut world, run, below) = family(false);
    world.cancel(run).unwrap();
    world.reopen();
    world.dispatch();
    assert_eq!(world.standing(below), RunState::Cancelled);
    assert!(world.open.is_empty());
    assert_eq!(&*world.run(below).failure.as_ref().unwrap().code, "cancelled");
    world.replayed();
}

#[test]
fn a_grandchild_goes_with_them() {
    let mut world = World::new(30);
    let middle = plan(vec![child("c", &[], &inner(), false)]);
    let run = world.submit(plan(vec![child("m", &[], &middle, false)]));
    let below = world.child_of(run, 0);
    let lowest = world.child_of(below, 0);
    assert_eq!(world.run(lowest).parent.as_ref().unwrap().depth, 2);
    world.cancel(run).unwrap();
    world.dispatch();
    assert_eq!([below, lowest].map(|it| world.standing(it)), [RunState::Cancelled; 2]);
    assert!(world.open.is_empty());
}

#[test]
fn a_detached_child_goes_on_without_its_parent() {
    let (mut world, run, below) = family(true);
    world.cancel(run).unwrap();
    world.dispatch();
    assert_eq!(world.standing(below), RunState::Running);
    world.work();
    assert_eq!(world.standing(below), RunState::Succeeded);
    world.replayed();
}

#[test]
fn children_are_paused_and_resumed_with_their_parent() {
    let (mut world, run, below) = family(false);
    world.pause(run);
    world.dispatch();
    assert_eq!([run, below].map(|it| world.standing(it)), [RunState::Paused; 2]);
    world.resume(run);
    world.dispatch();
    assert_eq!(world.standing(below), RunState::Running);
    let (mut world, run, below) = family(true);
    world.pause(run);
    world.dispatch();
    assert_eq!(world.standing(below), RunState::Running, "it does not go with its parent");
}

#[test]
fn nothing_is_begun_for_a_paused_run_or_while_the_instance_drains() {
    let mut world = World::new(30);
    let run = world.submit(plan(vec![task("t", &[]), child("c", &[0], &inner(), false)]));
    world.pause(run);
    world.finish(world.pt_at(run, 0), "1");
    let below = world.child_of(run, 1);
    assert!(world.state.run(below).is_none());
    let drain = |intake| Command::SetIntake { intake, reason: "r".into() };
    world.act(drain(Intake::Draining)).unwrap();
    world.resume(run);
    world.dispatch();
    assert!(world.state.run(below).is_none());
    world.act(drain(Intake::Open)).unwrap();
    world.dispatch();
    assert_eq!(world.standing(below), RunState::Running);
}

#[test]
fn what_a_child_uses_is_used_of_every_run_above_it() {
    let mut world = World::new(30);
    let mut inside = task("a", &[]);
    inside.budget.tokens = 40;
    let inner = plan(vec![inside.clone(), inside]);
    let middle = plan(vec![child("c", &[], &inner, false)]);
    let limit = Amounts { tokens: 70, ..Amounts::UNLIMITED };
    let top = plan(vec![child("m", &[], &middle, false)]);
    let run = world.submit_with(top, |it| it.budget = Some(limit)).unwrap();
    let below = world.child_of(run, 0);
    let lowest = world.child_of(below, 0);
    for it in [run, below, lowest] {
        assert_eq!(world.run(it).account.reserved().tokens, 40, "one of two fits");
    }
    assert_eq!(world.working(lowest).len(), 1);
    let pt = world.pt_at(lowest, 0);
    let agent = world.open[&pt].agent;
    let done =
        ark_os_core::command::AttemptOutcome::Succeeded { output: json("1"), blobs: Vec::new() };
    let spent = Amounts { tokens: 35, calls: 1, ..Amounts::ZERO };
    world.finish_as(pt, agent, done, spent).unwrap();
    // 35 are used and 40 more do not fit in 70.
    assert_eq!(world.standing(run), RunState::Failed);
    assert_eq!(world.run(run).account.settled().tokens, 35);
    let causes = &world.run(lowest).failure.as_ref().unwrap().code;
    assert_eq!(&**causes, "budget_exhausted");
    world.replayed();
}

#[test]
fn a_detached_child_is_paid_for_when_it_begins() {
    let mut world = World::new(30);
    let mut inside = task("a", &[]);
    inside.budget.tokens = 30;
    let mut apart = child("c", &[], &plan(vec![inside]), true);
    apart.budget = Amounts { tokens: 50, calls: 5, ..Amounts::ZERO };
    let limit = Amounts { tokens: 70, calls: 9, ..Amounts::UNLIMITED };
    let outer = plan(vec![apart, task("t", &[])]);
    let run = world.submit_with(outer.clone(), |it| it.budget = Some(limit)).unwrap();
    let below = world.child_of(run, 0);
    assert_eq!(
        world.run(run).account.reserved(),
        Amounts { tokens: 50, calls: 6, ..Amounts::ZERO }
    );
    assert_eq!(world.run(below).account.limit().tokens, 50);
    assert_eq!(world.run(below).account.limit().steps, u64::MAX);
    world.cancel(run).unwrap();
    assert_eq!(world.run(run).account.settled().tokens, 50, "charged in full");
    world.work();
    assert_eq!(world.standing(below), RunState::Succeeded);
    let poor = Amounts { tokens: 40, ..limit };
    let run = world.submit_with(outer, |it| it.budget = Some(poor)).unwrap();
    assert_eq!(&*world.run(run).failure.as_ref().unwrap().code, "budget_exhausted");
    world.replayed();
}

#[test]
fn a_detached_child_is_paid_for_by_every_run_above_that_has_a_limit() {
    let mut world = World::new(30);
    let mut apart = child("c", &[], &inner(), true);
    apart.budget = Amounts { tokens: 60, calls: 5, ..Amounts::ZERO };
    let middle = plan(vec![apart]);
    let limit = Amounts { tokens: 100, calls: 9, cpu_ms: 50, ..Amounts::UNLIMITED };
    let top = plan(vec![child("m", &[], &middle, false)]);
    let run = world.submit_with(top, |it| it.budget = Some(limit)).unwrap();
    let below = world.child_of(run, 0);
    let lowest = world.child_of(below, 0);
    for it in [run, below] {
        assert_eq!(world.run(it).account.reserved().tokens, 60);
    }
    let lent = Amounts { tokens: 60, calls: 5, cpu_ms: 0, ..Amounts::UNLIMITED };
    assert_eq!(world.run(lowest).account.limit(), lent);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn a_detached_child_that_is_retried_uses_nothing_that_went_back_to_its_parent() {
    let mut world = World::new(30);
    let mut inside = task("a", &[]);
    inside.budget.tokens = 30;
    let mut apart = child("c", &[], &plan(vec![inside]), true);
    apart.on_failure = OnFailure::Continue;
    apart.budget.tokens = 60;
    let mut after = task("after", &[0]);
    after.budget.tokens = 90;
    let limit = Amounts { tokens: 100, ..Amounts::UNLIMITED };
    let outer = plan(vec![apart, after]);
    let run = world.submit_with(outer, |it| it.budget = Some(limit)).unwrap();
    let below = world.child_of(run, 0);
    let pt = world.pt_at(below, 0);
    let agent = world.open[&pt].agent;
    let failed = ark_os_core::command::AttemptOutcome::Failed(Failure::fatal("broken", "it broke"));
    world.finish_as(pt, agent, failed, Amounts { tokens: 10, ..Amounts::ZERO }).unwrap();
    assert_eq!(world.run(run).account.used().tokens, 100, "the rest is the parent's again");
    world.retry(below, None).unwrap();
    assert_eq!(&*world.run(below).failure.as_ref().unwrap().code, "budget_exhausted");
    assert_eq!(world.run(below).account.limit(), Amounts { tokens: 10, ..Amounts::UNLIMITED });
    world.snapshot();
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn a_task_waits_for_what_a_child_gives_back_of_the_budget() {
    for is_detached in [false, true] {
        let mut world = World::new(30);
        let mut inside = task("a", &[]);
        inside.budget.tokens = 60;
        let mut below = child("c", &[], &plan(vec![inside]), is_detached);
        below.budget = Amounts { tokens: 60, calls: 5, ..Amounts::ZERO };
        let mut dear = task("dear", &[1]);
        dear.budget.tokens = 50;
        let limit = Amounts { tokens: 100, ..Amounts::UNLIMITED };
        let outer = plan(vec![below, task("first", &[]), dear]);
        let run = world.submit_with(outer, |it| it.budget = Some(limit)).unwrap();
        let below = world.child_of(run, 0);
        world.finish(world.pt_at(run, 1), "1");
        assert_eq!(world.at(run, 2), TaskState::Ready);
        world.finish(world.pt_at(below, 0), "1");
        assert_eq!(world.at(run, 2), TaskState::Running);
        world.work();
        assert_eq!(world.standing(run), RunState::Succeeded);
        world.replayed();
    }
}

#[test]
fn a_bound_child_waits_for_what_a_detached_one_gives_back_though_nobody_works() {
    let mut world = World::new(30);
    let mut apart = child("c", &[], &plan(vec![signal_wait("w", &[], "go", None)]), true);
    apart.budget = Amounts { tokens: 60, ..Amounts::ZERO };
    let mut dear = task("dear", &[]);
    dear.budget.tokens = 50;
    let bound = child("b", &[], &plan(vec![dear]), false);
    let limit = Amounts { tokens: 100, ..Amounts::UNLIMITED };
    let outer = plan(vec![apart, bound]);
    let run = world.submit_with(outer, |it| it.budget = Some(limit)).unwrap();
    let (apart, bound) = (world.child_of(run, 0), world.child_of(run, 1));
    assert_eq!(world.at(bound, 0), TaskState::Ready);
    world.signal(apart, "go").unwrap();
    assert_eq!(world.at(bound, 0), TaskState::Running);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn authority_of_a_child_is_its_parents_own_and_falls_with_it() {
    let (mut world, run, below) = family(false);
    let caller =
        |world: &World, run| world.run(run).admission.as_ref().unwrap().caller.clone().unwrap();
    let (above, lent) = (caller(&world, run), caller(&world, below));
    assert!(lent.is_within(&above) && lent != above, "I12");
    let id = *above.chain().last().unwrap();
    world.act(Command::Revoke { id, reason: "r".into() }).unwrap();
    world.finish(world.pt_at(below, 0), "1");
    assert_eq!(&*world.run(below).failure.as_ref().unwrap().code, "authority_denied");
}

#[test]
fn a_child_that_is_refused_fails_its_task() {
    let mut world = World::new(30);
    let mut foreign = task("a", &[]);
    foreign.skill = "nobody.has".into();
    let run = world.submit(plan(vec![child("c", &[], &plan(vec![foreign]), false)]));
    let failure = world.run(run).failure.clone().unwrap();
    assert_eq!((&*failure.code, &*failure.causes[0].code), ("child_refused", "unknown_skill"));
    world.prepared.insert("c".into(), Prepared::Failed(Failure::fatal("input_invalid", "no")));
    let run = world.submit(plan(vec![child("c", &[], &inner(), false)]));
    assert_eq!(&*world.run(run).failure.as_ref().unwrap().code, "input_invalid");
    world.replayed();
}

#[test]
fn runs_stand_above_each_other_to_a_depth_and_no_further() {
    let mut world = World::new(30);
    let mut workflow = inner();
    for _ in 0..=CHILD_DEPTH_MAX {
        workflow = plan(vec![child("c", &[], &workflow, false)]);
    }
    let run = world.submit(workflow);
    world.work();
    assert_eq!(world.standing(run), RunState::Failed);
    let deepest = world.state.run_ids().into_iter().map(|id| world.run(id).parent.clone());
    assert_eq!(deepest.flatten().map(|it| it.depth).max(), Some(CHILD_DEPTH_MAX));
    let is_deep = |event: &Event| matches!(event, Event::TaskFailed { failure, .. } if &*failure.code == "child_too_deep");
    assert_eq!(world.events(is_deep), 1);
}

#[test]
fn a_child_waits_on_disk_as_others_do_and_is_cancelled_there() {
    let mut settings = instance(12);
    settings.runs_resident_max = Some(1);
    // Nobody is free for it: else it would be called in.
    settings.concurrent_tasks_max = 2;
    let mut world = World::of(settings);
    let outer = plan(vec![task("t", &[]), child("c", &[0], &inner(), false)]);
    let run = world.submit(outer);
    while world.state.backlog().is_empty() {
        world.submit(plan(vec![task("t", &[])]));
    }
    world.finish(world.pt_at(run, 0), "1");
    let below = world.child_of(run, 1);
    let is_on_disk = world.state.backlog().contains(below);
    world.snapshot();
    world.cancel(run).unwrap();
    world.work();
    assert!(is_on_disk, "it found room");
    assert_eq!(world.standing(below), RunState::Cancelled);
    assert!(world.begun.iter().all(|it| it.pt.run != below));
    world.replayed();
}

#[test]
fn a_child_on_disk_is_paused_and_resumed_with_its_parent_when_it_is_read() {
    let mut settings = instance(12);
    settings.runs_resident_max = Some(1);
    settings.concurrent_tasks_max = 2;
    let mut world = World::of(settings);
    let run = world.submit(plan(vec![task("t", &[]), child("c", &[0], &inner(), false)]));
    while world.state.backlog().is_empty() {
        world.submit(plan(vec![task("t", &[])]));
    }
    world.finish(world.pt_at(run, 0), "1");
    let below = world.child_of(run, 1);
    assert!(world.state.backlog().contains(below), "it found room");
    world.pause(run);
    world.snapshot();
    assert!(world.state.has_errands() && world.state.errand(None, |_| false).is_none());
    world.load(below).unwrap();
    world.dispatch();
    assert_eq!(world.standing(below), RunState::Paused);
    world.resume(run);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn parents_that_fill_the_memory_do_not_keep_their_children_on_disk() {
    let mut settings = instance(12);
    settings.runs_resident_max = Some(1);
    let mut world = World::of(settings);
    let outer = plan(vec![child("c", &[], &inner(), false)]);
    let runs: Vec<RunId> = (0..60).map(|_| world.submit(outer.clone())).collect();
    world.work();
    for run in runs {
        assert_eq!(world.standing(run), RunState::Succeeded);
    }
    assert!(world.state.backlog().is_empty());
    world.replayed();
}

#[test]
fn a_child_is_not_retried_behind_its_parents_back() {
    let (mut world, run, below) = family(false);
    world.fail(world.pt_at(below, 0), Failure::fatal("broken", "it broke"));
    assert_eq!(world.retry(below, None).unwrap_err().code(), "run_is_child");
    world.retry(run, None).unwrap();
    world.dispatch();
    let again = world.child_of(run, 0);
    assert_ne!(again, below);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}

#[test]
fn a_retry_does_not_repeat_what_a_child_may_have_done() {
    let (mut world, run, below) = family(false);
    let pt = world.pt_at(below, 0);
    let key = world.intend(pt, 0, EffectClass::Effectful);
    world.settle(pt, key, "1");
    world.fail(pt, Failure::fatal("broken", "it broke"));
    assert_eq!(world.retry(run, None).unwrap_err().code(), "effect_happened");
    world.retry(run, Some(0)).unwrap();
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn families_survive_restarts_and_snapshots() {
    let (mut world, run, below) = family(false);
    world.snapshot();
    world.restart();
    world.snapshot();
    assert_eq!(world.child_of(run, 0), below);
    // The child is over, and a crash comes before its parent knows.
    world.finish(world.pt_at(below, 0), "1");
    world.act_only_finish(below, 1);
    world.snapshot();
    world.reopen();
    world.snapshot();
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    world.replayed();
}
