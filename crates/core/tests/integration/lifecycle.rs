//! What happens to attempts: retries, losses, deadlines, and what people do to runs under way.

use std::sync::Arc;

use ark_os_core::command::{AttemptOutcome, Prepared};
use ark_os_core::error::Failure;
use ark_os_core::event::{Event, Intake, ParkReason};
use ark_os_core::ids::{PtId, TaskRef};
use ark_os_core::layer::Layer;
use ark_os_core::limits::STALL_PARTIALS_MAX;
use ark_os_core::plan::{OnFailure, Retry};
use ark_os_core::rules::Mode;
use ark_os_core::run::{RunState, TaskState};
use ark_os_core::time::Time;
use ark_os_core::{Command, Kind};

use super::world::{Newer, World, json, list, map, plan, task};

fn busy() -> Failure {
    Failure::retryable("busy", "it is busy")
}

/// The pauses before each retry of a task with this seed.
fn pauses(seed: u64) -> Vec<u64> {
    let mut world = World::new(20);
    let mut a = task("a", &[]);
    a.retry = Retry { attempts: 6, backoff_ms: 100, backoff_ms_max: 400 };
    let run = world.submit_with(plan(vec![a]), |it| it.seed = seed).unwrap();
    let mut pauses = Vec::new();
    let mut last = None;
    for attempt in 1..6u32 {
        let pt = world.pt_at(run, 0);
        let agent = world.open[&pt].agent;
        assert_ne!(last.replace(agent), Some(agent), "tried again on another agent");
        world.act(finished(&world, pt, AttemptOutcome::Failed(busy()))).unwrap();
        let pause = world.node(run, 0).retry_at.since(world.now).as_millis() as u64;
        assert!(pause <= (100 << (attempt - 1)).min(400), "attempt {attempt}: {pause}");
        pauses.push(pause);
        world.tick(pause);
    }
    pauses
}

fn finished(world: &World, pt: PtId, outcome: AttemptOutcome) -> Command {
    Command::FinishAttempt(Box::new(ark_os_core::command::FinishAttempt {
        pt,
        agent: world.open[&pt].agent,
        outcome,
        input: ark_os_core::hash::Hash::ZERO,
        spent: ark_os_core::budget::Amounts { calls: 1, ..Default::default() },
        micros: 1,
    }))
}

#[test]
fn retries_pause_with_full_jitter_on_another_agent_the_same_at_every_replay() {
    assert_eq!(pauses(1), pauses(1));
    let all: Vec<u64> = (0..20).flat_map(pauses).collect();
    assert!(all.iter().any(|pause| *pause > 300) && all.iter().any(|pause| *pause < 20));
}

#[test]
fn final_failure_carries_every_cause() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[])]));
    for code in ["one", "two", "three"] {
        let pt = world.pt_at(run, 0);
        world.fail(pt, Failure::retryable(code, "no"));
        world.tick(60_000);
    }
    assert_eq!(world.standing(run), RunState::Failed);
    let failure = world.run(run).failure.clone().unwrap();
    let causes: Vec<&str> = failure.causes.iter().map(|cause| &*cause.code).collect();
    assert_eq!((&*failure.code, causes), ("three", vec!["one", "two", "three"]));
    assert_eq!(world.begun.len(), 3);
}

#[test]
fn deadline_of_a_task_carries_the_causes_of_its_attempts() {
    let mut world = World::new(20);
    let mut a = task("a", &[]);
    a.deadline_ms = Some(5_000);
    let run = world.submit(plan(vec![a]));
    let pt = world.pt_at(run, 0);
    world.fail(pt, Failure::retryable("slow", "no"));
    world.tick(1_000);
    world.tick(4_000);
    let failure = world.run(run).failure.clone().unwrap();
    assert_eq!((&*failure.code, &*failure.causes[0].code), ("deadline_exceeded", "slow"));
    assert_eq!(world.now, Time(1_005_000));
}

#[test]
fn lost_attempts_are_not_counted_and_five_are_poison() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[])]));
    for lost in 1..=5 {
        let pt = world.pt_at(run, 0);
        assert_eq!(world.open[&pt].attempt, 1);
        world.lose(pt);
        assert_eq!(world.node(run, 0).lost, lost);
    }
    assert_eq!(world.node(run, 0).parked.as_ref().unwrap().0, ParkReason::Poison);
    assert_eq!(world.standing(run), RunState::Parked);
    assert_eq!(world.announced[&run].state, RunState::Parked);
    world.unpark(run, TaskRef::node(0)).unwrap();
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn engine_restart_is_not_counted() {
    let mut world = World::new(20);
    world.prepared.insert("m".into(), list(4));
    let mut a = task("a", &[]);
    a.retry.attempts = 1;
    let run = world.submit(plan(vec![a, map("m", &[], 2, 0), task("z", &[0, 1])]));
    for _ in 0..8 {
        world.restart();
        assert_eq!(world.open.len(), 3);
        assert!(world.open.values().all(|it| it.attempt == 1));
    }
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn task_done_before_a_restart_is_not_failed_by_its_deadline_afterwards() {
    let mut world = World::new(20);
    let mut a = task("a", &[]);
    a.deadline_ms = Some(5_000);
    let run = world.submit(plan(vec![a, task("b", &[0])]));
    let pt = world.pt_at(run, 0);
    world.finish(pt, "1");
    world.restart();
    world.tick(6_000);
    assert_eq!(world.at(run, 0), TaskState::Succeeded);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn run_that_is_prepared_gathered_or_waits_goes_on_after_a_restart() {
    let mut world = World::new(20);
    let mut a = task("a", &[]);
    a.when = Some("true".into());
    let submission = world.submission(plan(vec![a, task("b", &[]), task("c", &[])]));
    let run = submission.run;
    world.act(Command::SubmitRun(Box::new(submission))).unwrap();
    assert_eq!(world.at(run, 0), TaskState::Preparing);
    world.restart();
    assert_eq!(world.working(run).len(), 3);
    let pt = world.pt_at(run, 1);
    world.act(finished(&world, pt, AttemptOutcome::Failed(busy()))).unwrap();
    world.restart();
    assert_eq!(world.at(run, 1), TaskState::Waiting);
    for node in 0..3 {
        world.tick(1_000);
        let pt = world.pt_at(run, node);
        let output = AttemptOutcome::Succeeded { output: json("1"), blobs: Vec::new() };
        world.act(finished(&world, pt, output)).unwrap();
    }
    assert_eq!(world.events(|event| matches!(event, Event::RunGathering)), 1);
    world.restart();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn recovery_leaves_alone_what_began_since_the_start() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[]), task("b", &[])]));
    let b = world.pt_at(run, 1);
    world.fail(b, busy());
    world.pause(run);
    world.tick(1_000);
    assert_eq!(world.at(run, 1), TaskState::Ready);
    world.reopen();
    // Somebody resumes it before the loop has recovered it.
    world.act(Command::ResumeRun { run, reason: "back".into() }).unwrap();
    world.act(Command::Dispatch).unwrap();
    let b = world.pt_at(run, 1);
    world.dispatch();
    assert_eq!(world.pt_at(run, 1), b);
    assert_eq!(world.working(run).len(), 2);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn deadline_of_a_run_ends_it() {
    let mut world = World::new(20);
    let at = world.now.plus(2_000);
    let run = world.submit_with(plan(vec![task("a", &[])]), |it| it.deadline = Some(at)).unwrap();
    world.tick(1_999);
    assert_eq!(world.standing(run), RunState::Running);
    world.restart();
    world.tick(1);
    assert_eq!(world.standing(run), RunState::Failed);
    assert_eq!(&*world.run(run).failure.clone().unwrap().code, "deadline_exceeded");
    assert!(world.open.is_empty());
    let rejected = world.retry(run, None).unwrap_err();
    assert_eq!(rejected.code(), "deadline_past");
    let late = world.now;
    let past = world.submit_with(plan(vec![task("a", &[])]), |it| it.deadline = Some(late));
    assert_eq!(past.unwrap_err().code(), "deadline_past");
}

#[test]
fn no_retry_begins_after_a_deadline() {
    let mut world = World::new(20);
    let mut a = task("a", &[]);
    a.retry = Retry { attempts: 5, backoff_ms: 1_000_000, backoff_ms_max: 1_000_000 };
    a.deadline_ms = Some(1);
    let run = world.submit(plan(vec![a]));
    let pt = world.pt_at(run, 0);
    world.fail(pt, busy());
    assert_eq!(world.standing(run), RunState::Failed);
}

#[test]
fn attempt_that_takes_too_long_is_tried_again_and_counted() {
    let mut world = World::new(20);
    let mut a = task("a", &[]);
    a.timeout_ms = Some(3_000);
    a.retry.attempts = 2;
    let run = world.submit(plan(vec![a]));
    let first = world.pt_at(run, 0);
    world.tick(3_000);
    assert!(!world.open.contains_key(&first));
    world.tick(1_000);
    assert_eq!(world.open.values().next().unwrap().attempt, 2);
    world.tick(3_000);
    assert_eq!(world.standing(run), RunState::Failed);
    assert_eq!(world.begun.len(), 2);
    assert_eq!(&*world.run(run).failure.clone().unwrap().code, "timeout");
}

#[test]
fn lease_that_runs_out_is_reassigned_once_and_renewal_keeps_it() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[])]));
    let first = world.pt_at(run, 0);
    let agent = world.open[&first].agent;
    for _ in 0..5 {
        world.tick(9_999);
        world.act(Command::RenewLease { pt: first, agent }).unwrap();
    }
    assert_eq!(world.begun.len(), 1);
    world.tick(10_000);
    assert_eq!(world.begun.len(), 2);
    let second = world.pt_at(run, 0);
    assert!(second.fence > first.fence);
    assert_ne!(world.open[&second].agent, agent);
    assert_eq!(world.node(run, 0).lost, 1);
}

#[test]
fn paused_run_starts_nothing_until_it_is_resumed() {
    let mut world = World::new(20);
    world.prepared.insert("m".into(), list(40));
    let run = world.submit(plan(vec![map("m", &[], 0, 0), task("b", &[0])]));
    world.pause(run);
    assert_eq!(world.standing(run), RunState::Paused);
    let begun = world.begun.len();
    for pt in world.open.keys().copied().collect::<Vec<_>>() {
        world.finish(pt, "1");
    }
    assert_eq!((world.begun.len(), world.open.len()), (begun, 0));
    world.restart();
    assert_eq!(world.open.len(), 0, "it is paused still");
    world.resume(run);
    assert!(!world.open.is_empty());
    let again = Command::ResumeRun { run, reason: "back".into() };
    assert_eq!(world.act(again).unwrap_err().code(), "run_not_paused");
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn nothing_begins_after_a_cancel_is_acknowledged() {
    // The world asserts it (I7) on every effect after `cancel`.
    let mut world = World::new(20);
    world.prepared.insert("m".into(), list(30));
    let mut late = task("late", &[]);
    late.when = Some("true".into());
    world.prepared.insert("late".into(), Prepared::Go);
    let run = world.submit(plan(vec![map("m", &[], 0, 0), late, task("c", &[0])]));
    let pts: Vec<PtId> = world.open.keys().copied().collect();
    world.fail(pts[0], busy());
    world.cancel(run).unwrap();
    assert!(world.open.is_empty());
    world.tick(100_000);
    world.restart();
    world.tick(100_000);
    assert_eq!(world.standing(run), RunState::Cancelled);
    assert_eq!(world.cancel(run).unwrap_err().code(), "run_over");
    let counts = world.run(run).counts;
    assert_eq!(counts.of(TaskState::Skipped) + counts.of(TaskState::Cancelled), counts.total());
}

#[test]
fn retry_from_a_task_runs_it_and_its_descendants_in_a_new_generation() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![
        task("a", &[]),
        task("b", &[0]),
        task("c", &[1]),
        task("other", &[0]),
    ]));
    for node in [0, 3] {
        let pt = world.pt_at(run, node);
        world.finish(pt, "1");
    }
    let pt = world.pt_at(run, 1);
    world.fail(pt, Failure::fatal("broken", "no"));
    assert_eq!(world.retry(run, Some(9)).unwrap_err().kind(), Kind::NotFound);
    world.retry(run, None).unwrap();
    let generations: Vec<u32> = world.run(run).tasks.iter().map(|it| it.generation).collect();
    assert_eq!(generations, [0, 1, 1, 0], "what was done stays done");
    assert_eq!(world.retry(run, None).unwrap_err().code(), "run_not_over");
    let pt = world.pt_at(run, 1);
    world.fail(pt, Failure::fatal("broken", "no"));
    world.restart();
    world.retry(run, Some(0)).unwrap();
    let generations: Vec<u32> = world.run(run).tasks.iter().map(|it| it.generation).collect();
    assert_eq!(generations, [1, 2, 2, 1]);
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    assert_eq!(world.retry(run, None).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn retry_of_a_failed_map_begins_it_anew() {
    let mut world = World::new(20);
    world.prepared.insert("m".into(), list(30));
    let mut m = map("m", &[], 4, 0);
    m.retry.attempts = 1;
    let run = world.submit(plan(vec![m]));
    let pts: Vec<PtId> = world.open.keys().copied().collect();
    world.finish(pts[0], "1");
    world.fail(pts[1], busy());
    assert_eq!(world.standing(run), RunState::Failed);
    world.retry(run, None).unwrap();
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
    assert_eq!(world.announced[&run].counts.of(TaskState::Succeeded), 30);
}

#[test]
fn cancelled_run_can_be_retried_with_its_deadline() {
    let mut world = World::new(20);
    let at = world.now.plus(50_000);
    let run = world
        .submit_with(plan(vec![task("a", &[]), task("b", &[0])]), |it| it.deadline = Some(at))
        .unwrap();
    world.cancel(run).unwrap();
    world.retry(run, None).unwrap();
    world.tick(60_000);
    assert_eq!(world.standing(run), RunState::Failed);
}

#[test]
fn stalled_task_is_parked_and_a_checkpoint_is_progress() {
    let mut world = World::new(20);
    let mut a = task("a", &[]);
    a.retry.attempts = 1;
    let run = world.submit(plan(vec![a]));
    let report = |world: &mut World, checkpoint| {
        let pt = world.pt_at(run, 0);
        let agent = world.open[&pt].agent;
        world.act(Command::ReportProgress { pt, agent, checkpoint }).unwrap();
    };
    for _ in 0..4 {
        report(&mut world, None);
    }
    let mark = ark_os_core::hash::Hash::of(b"half");
    report(&mut world, Some(mark));
    for _ in 0..4 {
        report(&mut world, Some(mark));
    }
    assert_eq!(world.at(run, 0), TaskState::Running);
    report(&mut world, Some(mark));
    assert_eq!(world.node(run, 0).parked.as_ref().unwrap().0, ParkReason::Stalled);
    assert!(world.open.is_empty());
    // I5: it may go on though its only attempt was begun already, since that one is not counted.
    world.unpark(run, TaskRef::node(0)).unwrap();
    assert_eq!(world.open.values().next().unwrap().attempt, 1);
    assert_eq!(world.unpark(run, TaskRef::node(0)).unwrap_err().code(), "task_not_parked");
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn partial_proofs_of_an_earlier_attempt_do_not_stall_the_next() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[])]));
    for _ in 0..2 {
        for _ in 0..4 {
            let pt = world.pt_at(run, 0);
            let agent = world.open[&pt].agent;
            world.act(Command::ReportProgress { pt, agent, checkpoint: None }).unwrap();
        }
        let pt = world.pt_at(run, 0);
        world.lose(pt);
    }
    assert_eq!(world.at(run, 0), TaskState::Running);
}

#[test]
fn parked_run_whose_task_is_failed_by_its_deadline_goes_on() {
    let mut world = World::new(20);
    let mut a = task("a", &[]);
    a.deadline_ms = Some(100_000);
    a.on_failure = OnFailure::Continue;
    let run = world.submit(plan(vec![a, task("b", &[0])]));
    for _ in 0..5 {
        let pt = world.pt_at(run, 0);
        world.lose(pt);
    }
    assert_eq!(world.standing(run), RunState::Parked);
    world.tick(100_000);
    assert_eq!(world.standing(run), RunState::Running);
    for _ in 0..5 {
        let pt = world.pt_at(run, 1);
        world.lose(pt);
    }
    assert_eq!(world.standing(run), RunState::Parked);
    assert_eq!(world.events(|event| matches!(event, Event::RunParked)), 2, "told both times");
}

/// Numbers of the admissions that runs were said to be under, in order.
fn starts(world: &World) -> Vec<u64> {
    let events = world.changes.iter().flat_map(|change| &change.events);
    let number = |event: &Event| match event {
        Event::RunStarted { admission } => Some(*admission),
        _ => None,
    };
    events.filter_map(number).collect()
}

#[test]
fn a_recovered_run_keeps_its_admission_where_nothing_changed() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[])]));
    world.restart();
    assert_eq!((starts(&world), world.run(run).admission.as_ref().unwrap().id), (vec![], 1));
}

#[test]
fn a_recovered_run_is_admitted_again_under_other_rules() {
    let mut world = World::new(20);
    let both = plan(vec![task("a", &[]), task("b", &[0])]);
    let [run, other] = [world.submit(both.clone()), world.submit(both)];
    world.rules = Arc::new(Newer { denies: false });
    world.restart();
    // One decision serves both, under the authority of whoever submitted them.
    assert_eq!(starts(&world), [2, 2]);
    let admission = world.run(run).admission.clone().unwrap();
    assert_eq!((admission.id, admission.rules), (2, world.rules.hash()));
    assert_eq!(admission.caller.as_ref(), Some(world.grant.authority()));
    assert!(admission.authorities.iter().all(|it| it.is_within(world.grant.authority())));
    world.replayed();
    world.work();
    for run in [run, other] {
        assert_eq!(world.standing(run), RunState::Succeeded);
    }
}

#[test]
fn a_recovered_run_is_admitted_again_in_another_mode() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[])]));
    world.instance.mode = Mode::Interactive;
    world.restart();
    assert_eq!(starts(&world), [2]);
    assert_eq!(world.run(run).admission.as_ref().unwrap().mode, Some(Mode::Interactive));
    world.work();
    assert_eq!(world.standing(run), RunState::Succeeded);
}

#[test]
fn a_recovered_run_fails_where_the_rules_do_not_allow_it_any_more() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[]), task("b", &[0])]));
    let paused = world.submit(plan(vec![task("p", &[])]));
    world.pause(paused);
    world.rules = Arc::new(Newer { denies: true });
    world.restart();
    assert!(world.open.is_empty());
    for run in [run, paused] {
        assert_eq!(world.standing(run), RunState::Failed);
        let failure = world.run(run).failure.clone().unwrap();
        assert_eq!(&*failure.code, "policy_denied");
    }
    assert_eq!(world.state.fleet().in_use(), 0);
    world.replayed();
}

#[test]
fn a_run_is_not_admitted_again_before_every_layer_is_there() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[])]));
    world.rules = Arc::new(Newer { denies: false });
    world.reopen();
    let plan = *world.state.fleet().plan();
    let board: Vec<_> = (0..plan.count(Layer::Board))
        .map(|ordinal| plan.agent(Layer::Board, ordinal).unwrap())
        .collect();
    let set = |world: &mut World, online: bool| {
        for agent in &board {
            let reason = "operator".into();
            world.act(Command::SetAgent { agent: *agent, online, reason }).unwrap();
        }
    };
    set(&mut world, false);
    assert!(world.act(Command::RecoverRun { run }).unwrap().events.is_empty());
    assert!(world.state.is_interrupted(run));
    set(&mut world, true);
    world.work();
    assert_eq!((world.standing(run), starts(&world)), (RunState::Succeeded, vec![2]));
}

#[test]
fn reasons_of_retry_resume_and_unpark_are_recorded() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[])]));
    world.pause(run);
    world.resume(run);
    for _ in 0..=STALL_PARTIALS_MAX {
        let Some((pt, it)) = world.open.first_key_value().map(|(pt, it)| (*pt, *it)) else { break };
        let report = Command::ReportProgress { pt, agent: it.agent, checkpoint: None };
        world.act(report).unwrap();
    }
    world.unpark(run, TaskRef::node(0)).unwrap();
    world.cancel(run).unwrap();
    world.retry(run, None).unwrap();
    for (reason, count) in [
        ("back", world.events(|it| *it == Event::RunResumed { reason: Some("back".into()) })),
        ("seen to", world.events(|it| {
            matches!(it, Event::TaskUnparked { reason: Some(reason), .. } if &**reason == "seen to")
        })),
        ("again", world.events(|it| {
            matches!(it, Event::RunRetried { reason: Some(reason), .. } if &**reason == "again")
        })),
    ] {
        assert_eq!(count, 1, "{reason}");
    }
}

#[test]
fn a_retry_while_draining_is_told_so() {
    let mut world = World::new(20);
    let run = world.submit(plan(vec![task("a", &[])]));
    world.cancel(run).unwrap();
    world.act(Command::SetIntake { intake: Intake::Draining, reason: "stop".into() }).unwrap();
    let rejected = world.retry(run, None).unwrap_err();
    assert_eq!((rejected.code(), rejected.kind()), ("draining", Kind::Closed));
}
