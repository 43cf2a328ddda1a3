//! Schedules, starts in the future, and priorities that change: what `core` decides about them.

use std::sync::Arc;

use ark_os_core::command::{FireSchedule, PutSchedule, ScheduleName};
use ark_os_core::event::{Event, Intake, RunOrigin, ScheduleSkip, SubmissionKey, Trigger};
use ark_os_core::hash::Hash;
use ark_os_core::ids::RunId;
use ark_os_core::plan::Workflow;
use ark_os_core::priority::Priority;
use ark_os_core::run::RunState;
use ark_os_core::schedule::{CatchUp, Overlap, Planned, Schedule, ScheduleSpec};
use ark_os_core::supervision::MeasureKind;
use ark_os_core::time::Time;
use ark_os_core::{Change, Command, Rejected};

use super::world::{World, instance};

const MINUTE: u64 = 60_000;

pub(super) fn spec(overlap: Overlap) -> ScheduleSpec {
    ScheduleSpec {
        overlap,
        ..ScheduleSpec::new(
            "hourly".into(),
            "0 * * * *",
            Planned::Inline(Workflow::single("echo").sealed()),
        )
    }
}

fn name() -> ScheduleName {
    ScheduleName { namespace: "default".into(), name: "hourly".into() }
}

pub(super) fn put(world: &mut World, spec: ScheduleSpec) -> Result<Change, Rejected> {
    let next = Some(world.now.plus(MINUTE));
    let (grant, spec) = (world.grant.clone(), Arc::new(spec));
    let put = PutSchedule { namespace: "default".into(), spec, grant, seed: 7, next };
    world.act(Command::PutSchedule(Box::new(put)))
}

/// Time passes until the schedule is due, and it fires; it is due again a minute later.
pub(super) fn fire(world: &mut World) -> Result<Change, Rejected> {
    let (due, schedule) = world.state.schedules().first_due().expect("it is due some time");
    let (schedule, time) = (schedule.number, schedule.next.unwrap_or(due));
    world.now = world.now.max(due);
    let next = Some(time.plus(MINUTE));
    world.act(Command::FireSchedule(FireSchedule { schedule, time, next, is_missed: false }))
}

fn it(world: &World) -> &Schedule {
    world.state.schedules().named(&"default".into(), &"hourly".into()).unwrap()
}

fn skipped(change: &Change) -> Option<&ScheduleSkip> {
    change.events.iter().find_map(|event| match event {
        Event::ScheduleSkipped(skipped) => Some(&skipped.cause),
        _ => None,
    })
}

#[test]
fn a_fire_and_its_run_are_one_record_and_the_next_time_stands_in_it() {
    let mut world = World::new(4);
    put(&mut world, spec(Overlap::Allow)).unwrap();
    world.snapshot();
    let due = it(&world).next.unwrap();
    let change = fire(&mut world).unwrap();
    let run = change.run.expect("it is of the run");
    assert!(matches!(change.events.iter().find_map(|event| match event {
        Event::ScheduleFired(fired) => Some(fired),
        _ => None,
    }), Some(fired) if fired.time == due && fired.trigger == Trigger::Due));
    assert!(change.events.iter().any(|event| matches!(event, Event::RunAccepted(_))));
    assert_eq!(it(&world).next, Some(due.plus(MINUTE)));
    assert_eq!((it(&world).last.unwrap().run, it(&world).fired), (run, 1));
    // The same fire again, as after an answer that was lost: nothing is due.
    let fire = FireSchedule { schedule: 1, time: due, next: None, is_missed: false };
    let again = world.act(Command::FireSchedule(fire)).unwrap();
    assert!(again.events.is_empty());
    world.dispatch();
    world.work();
    assert_eq!(world.announced[&run].state, RunState::Succeeded);
    assert!(!it(&world).is_busy());
}

#[test]
fn times_that_are_out_of_order_are_refused() {
    let mut world = World::new(4);
    put(&mut world, spec(Overlap::Allow)).unwrap();
    let due = it(&world).next.unwrap();
    let fire = |time: Time, next: u64| {
        let next = Some(Time(next));
        Command::FireSchedule(FireSchedule { schedule: 1, time, next, is_missed: false })
    };
    assert!(world.act(fire(due, due.0 + 1)).unwrap().events.is_empty(), "it is not due yet");
    world.now = due;
    for (time, next) in [(Time(due.0 - 1), due.0 + 1), (due, due.0), (due.plus(1), due.0 + 2)] {
        assert_eq!(world.act(fire(time, next)).unwrap_err().code(), "schedule_invalid");
    }
    assert!(!world.act(fire(due, due.0 + 1)).unwrap().events.is_empty());
}

#[test]
fn the_overlap_rule_says_what_becomes_of_a_time_while_a_run_goes_on() {
    let busy = |overlap: Overlap| {
        let mut world = World::new(4);
        put(&mut world, spec(overlap)).unwrap();
        fire(&mut world).unwrap();
        assert!(it(&world).is_busy());
        world
    };
    let mut allow = busy(Overlap::Allow);
    assert!(fire(&mut allow).unwrap().run.is_some());
    assert_eq!(it(&allow).runs.len(), 2);

    let mut skip = busy(Overlap::Skip);
    assert_eq!(skipped(&fire(&mut skip).unwrap()), Some(&ScheduleSkip::Overlap));
    assert_eq!((it(&skip).runs.len(), it(&skip).skipped), (1, 1));
    let told = it(&skip).last_skip.clone().unwrap();
    assert_eq!((told.at, told.cause), (skip.now, ScheduleSkip::Overlap));

    let mut queue = busy(Overlap::Queue);
    let first = it(&queue).last.unwrap();
    fire(&mut queue).unwrap();
    fire(&mut queue).unwrap();
    queue.snapshot();
    assert_eq!((it(&queue).runs.len(), it(&queue).waiting.len()), (1, 2));
    queue.dispatch();
    queue.work();
    assert_eq!(queue.announced[&first.run].state, RunState::Succeeded);
    let change = fire(&mut queue).unwrap();
    let fired = change.events.iter().find_map(|event| match event {
        Event::ScheduleFired(fired) => Some(fired),
        _ => None,
    });
    let fired = fired.expect("the oldest that waits begins");
    assert_eq!((fired.trigger, fired.time), (Trigger::Queued, first.time.plus(MINUTE)));
    assert_eq!(it(&queue).waiting.len(), 1);
}

#[test]
fn times_that_stand_in_line_outlive_a_freeze() {
    let mut world = World::new(4);
    put(&mut world, spec(Overlap::Queue)).unwrap();
    fire(&mut world).unwrap();
    fire(&mut world).unwrap();
    let (kind, reason) = (MeasureKind::Freeze, "test".into());
    let freeze = Command::TakeMeasure { kind, by: None, reason, lasts_ms: 3_600_000 };
    world.act(freeze).unwrap();
    world.work();
    assert_eq!(fire(&mut world).unwrap_err().code(), "intake_frozen");
    assert_eq!(it(&world).waiting.len(), 1);
    world.tick(3_600_000);
    assert!(fire(&mut world).unwrap().run.is_some());
    assert!(it(&world).waiting.is_empty());
    world.replayed();
}

#[test]
fn a_queue_of_times_is_bounded_and_says_so() {
    let mut world = World::new(4);
    world.audit_every = 1_000;
    put(&mut world, spec(Overlap::Queue)).unwrap();
    let causes: Vec<_> =
        (0..103).filter_map(|_| skipped(&fire(&mut world).unwrap()).cloned()).collect();
    assert_eq!(causes, [ScheduleSkip::QueueFull, ScheduleSkip::QueueFull]);
    assert_eq!(it(&world).waiting.len(), ark_os_core::limits::SCHEDULE_QUEUE_MAX);
}

#[test]
fn what_cannot_begin_for_a_moment_stays_due_and_what_is_refused_is_recorded() {
    let mut world = World::new(4);
    put(&mut world, spec(Overlap::Allow)).unwrap();
    world.act(Command::SetIntake { intake: Intake::Draining, reason: "test".into() }).unwrap();
    let due = it(&world).next;
    assert_eq!(fire(&mut world).unwrap_err().code(), "draining");
    assert_eq!(it(&world).next, due);
    world.act(Command::SetIntake { intake: Intake::Open, reason: "test".into() }).unwrap();
    let id = ark_os_core::authority::RevocationId([7; 16]);
    world.act(Command::Revoke { id, reason: "test".into() }).unwrap();
    let change = fire(&mut world).unwrap();
    assert!(matches!(skipped(&change), Some(ScheduleSkip::Refused(failure))
        if &*failure.code == "authority_denied"));
    assert_ne!(it(&world).next, due);
}

#[test]
fn a_schedule_is_replaced_paused_resumed_run_and_removed() {
    let mut world = World::new(4);
    put(&mut world, spec(Overlap::Allow)).unwrap();
    assert!(put(&mut world, spec(Overlap::Allow)).unwrap().events.is_empty(), "it is as it was");
    fire(&mut world).unwrap();
    put(&mut world, ScheduleSpec { cron: "5 * * * *".into(), ..spec(Overlap::Skip) }).unwrap();
    assert_eq!((it(&world).number, it(&world).fired, &*it(&world).spec.cron), (1, 1, "5 * * * *"));
    let set = |is_paused, next| {
        let (schedule, reason) = (name(), "test".into());
        Command::SetSchedule { schedule, is_paused, next, reason }
    };
    world.act(set(true, None)).unwrap();
    assert_eq!(world.state.schedules().first_due().map(|(at, _)| at), None);
    let manual = world.act(Command::RunSchedule { schedule: name(), key: None }).unwrap();
    assert_eq!(it(&world).last.map(|it| it.run), manual.run, "a paused one runs when asked to");
    let later = world.now.plus(5);
    world.act(set(false, Some(later))).unwrap();
    world.snapshot();
    assert_eq!(world.state.schedules().first_due().map(|(at, _)| at), Some(later));
    let remove = || Command::RemoveSchedule { schedule: name(), reason: "test".into() };
    world.act(remove()).unwrap();
    assert!(world.state.schedules().is_empty());
    assert_eq!(world.act(remove()).unwrap_err().code(), "schedule_not_found");
    world.dispatch();
    world.work();
    put(&mut world, spec(Overlap::Allow)).unwrap();
    assert_eq!(it(&world).number, 2, "a number is never used again");
}

#[test]
fn what_is_no_schedule_is_refused() {
    let mut world = World::new(4);
    let wrong = [
        ScheduleSpec { name: "".into(), ..spec(Overlap::Skip) },
        ScheduleSpec { name: "a b".into(), ..spec(Overlap::Skip) },
        ScheduleSpec { cron: "x".repeat(300).as_str().into(), ..spec(Overlap::Skip) },
        ScheduleSpec { catch_up: CatchUp::All { max: 0 }, ..spec(Overlap::Skip) },
        ScheduleSpec { jitter_ms: Some(u64::MAX), ..spec(Overlap::Skip) },
    ];
    for spec in wrong {
        assert_eq!(put(&mut world, spec).unwrap_err().code(), "schedule_invalid");
    }
    let named = ScheduleSpec { workflow: Planned::Named("x".into()), ..spec(Overlap::Skip) };
    assert_eq!(put(&mut world, named).unwrap_err().code(), "workflow_not_found");
}

#[test]
fn jitter_is_the_same_at_every_replay_and_within_its_bound() {
    let mut world = World::new(4);
    put(&mut world, ScheduleSpec { jitter_ms: Some(1_000), ..spec(Overlap::Allow) }).unwrap();
    let mut delays = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let (due, next) = (it(&world).due().unwrap(), it(&world).next.unwrap());
        assert!(due >= next && due <= next.plus(1_000));
        delays.insert(due.0 - next.0);
        fire(&mut world).unwrap();
    }
    assert!(delays.len() > 10, "{delays:?}");
    world.snapshot();
}

#[test]
fn a_run_that_makes_way_is_cancelled_however_the_process_ends() {
    for crashes in [false, true] {
        let mut world = World::new(4);
        put(&mut world, spec(Overlap::CancelPrevious)).unwrap();
        let first = fire(&mut world).unwrap().run.unwrap();
        let second = fire(&mut world).unwrap().run.unwrap();
        world.snapshot();
        if crashes {
            world.twin = None;
            world.reopen();
            world.snapshot();
        }
        world.dispatch();
        let failure = world.run(first).failure.clone().unwrap();
        assert_eq!(&*failure.code, "cancelled");
        assert!(failure.message.contains("takes its place"), "{failure:?}");
        assert_eq!(world.standing(second), RunState::Running);
        assert_eq!(it(&world).runs.len(), 1);
        world.replayed();
    }
    // What somebody begins by hand takes nobody's place.
    let mut world = World::new(4);
    put(&mut world, spec(Overlap::CancelPrevious)).unwrap();
    let first = fire(&mut world).unwrap().run.unwrap();
    world.act(Command::RunSchedule { schedule: name(), key: None }).unwrap();
    world.dispatch();
    assert_eq!(world.standing(first), RunState::Running);
}

#[test]
fn a_run_with_a_start_in_the_future_waits_on_disk_and_begins_then() {
    let mut world = World::new(4);
    let start = world.now.plus(10 * 365 * 24 * 60 * MINUTE);
    let later = |it: &mut ark_os_core::command::SubmitRun| it.start_at = Some(start);
    let run = world.submit_with(Workflow::single("echo").sealed(), later).unwrap();
    let other = world.submit(Workflow::single("echo").sealed());
    world.snapshot();
    world.work();
    assert_eq!(world.announced[&other].state, RunState::Succeeded, "it is in nobody's way");
    let pause = Command::PauseRun { run, reason: "test".into() };
    assert_eq!(world.act(pause).unwrap_err().code(), "run_delayed");
    assert_eq!(world.load(run).unwrap_err().code(), "run_delayed", "as for a signal");
    assert_eq!(world.state.backlog().next_start(world.now), Some(start));
    world.now = Time(start.0 - 1);
    world.work();
    assert!(world.state.backlog().contains(run));
    world.now = start;
    world.work();
    assert_eq!(world.announced[&run].state, RunState::Succeeded);
    let too_late = |it: &mut ark_os_core::command::SubmitRun| {
        it.start_at = Some(start.plus(20));
        it.deadline = Some(start.plus(10));
    };
    let refused = world.submit_with(Workflow::single("echo").sealed(), too_late).unwrap_err();
    assert_eq!(refused.code(), "deadline_past");
}

pub(super) fn prioritize(
    world: &mut World,
    run: RunId,
    priority: Priority,
) -> Result<Change, Rejected> {
    world.act(Command::PrioritizeRun { run, priority, reason: "test".into() })
}

#[test]
fn a_run_made_urgent_overtakes_in_line_at_once() {
    let mut world = World::new(1);
    let one = || Workflow::single("echo").sealed();
    let runs: Vec<_> = (0..8).map(|_| world.submit(one())).collect();
    let (first, last) = (world.state.queue(), *runs.last().unwrap());
    let next = |world: &World| {
        let queue = world.state.queue();
        let (_, (run, _)) = queue.line(queue.skills().next().unwrap()).next().unwrap();
        run
    };
    assert!(!first.is_empty() && next(&world) != last);
    let change = prioritize(&mut world, last, Priority::High).unwrap();
    assert_eq!(change.events.len(), 1);
    assert!(prioritize(&mut world, last, Priority::High).unwrap().events.is_empty());
    assert_eq!(next(&world), last);
    world.snapshot();
    world.work();
    assert_eq!(world.announced[&last].priority, Priority::High);
    let refused = prioritize(&mut world, last, Priority::Low).unwrap_err();
    assert_eq!(refused.code(), "run_not_found");
}

#[test]
fn a_run_on_disk_made_urgent_is_called_in_first() {
    let mut small = instance(1);
    small.runs_resident_max = Some(4);
    let mut world = World::of(small);
    let runs: Vec<_> = (0..8).map(|_| world.submit(Workflow::single("echo").sealed())).collect();
    let last = *runs.last().unwrap();
    assert!(world.state.backlog().contains(last));
    prioritize(&mut world, last, Priority::High).unwrap();
    world.snapshot();
    assert_eq!(world.state.backlog().find(last).unwrap().priority, Priority::High);
    let pt = *world.open.keys().next().unwrap();
    world.finish(pt, "1");
    assert!(!world.state.backlog().contains(last) && world.state.backlog().contains(runs[5]));
    world.work();
    assert_eq!(world.announced[&last].priority, Priority::High);
    assert!(runs.iter().all(|run| world.announced[run].state == RunState::Succeeded));
}

#[test]
fn a_run_of_a_schedule_knows_where_it_comes_from_also_when_it_waited_on_disk() {
    let mut settings = instance(1);
    settings.runs_resident_max = Some(2);
    let mut world = World::of(settings);
    put(&mut world, spec(Overlap::Allow)).unwrap();
    for _ in 0..4 {
        world.submit(Workflow::single("echo").sealed());
    }
    let run = fire(&mut world).unwrap().run.unwrap();
    assert!(world.state.backlog().contains(run));
    world.work();
    let Some(RunOrigin::Schedule { name, trigger, .. }) = world.announced[&run].origin.as_deref()
    else {
        panic!("{:?}", world.announced[&run]);
    };
    assert_eq!((&**name, *trigger), ("hourly", Trigger::Due));
    world.replayed();
}

#[test]
fn a_run_that_was_asked_for_is_kept_under_its_key() {
    let mut world = World::new(4);
    put(&mut world, spec(Overlap::Allow)).unwrap();
    let key = SubmissionKey { key: "once".into(), request: Hash::of(b"this") };
    let run_now = || Command::RunSchedule { schedule: name(), key: Some(key.clone()) };
    let run = world.act(run_now()).unwrap().run;
    let repeated = |key: &SubmissionKey| world.state.repeated(&"default".into(), key);
    assert_eq!(repeated(&key).unwrap(), run);
    let other = SubmissionKey { request: Hash::of(b"that"), ..key.clone() };
    assert_eq!(repeated(&other).unwrap_err().code(), "key_reused");
    assert_eq!(world.act(run_now()).unwrap_err().code(), "key_used", "nothing runs twice");
}

#[test]
fn a_run_that_is_retried_is_its_schedules_again() {
    let mut world = World::new(4);
    put(&mut world, spec(Overlap::Skip)).unwrap();
    let first = fire(&mut world).unwrap().run.unwrap();
    world.act(Command::CancelRun { run: first, reason: "test".into() }).unwrap();
    assert!(!it(&world).is_busy());
    world.act(Command::RetryRun { run: first, task: None, reason: "test".into() }).unwrap();
    assert!(it(&world).runs.contains(&first));
    world.snapshot();
    assert_eq!(skipped(&fire(&mut world).unwrap()), Some(&ScheduleSkip::Overlap));
    world.dispatch();
    world.work();
    assert_eq!(world.announced[&first].state, RunState::Succeeded);
    assert!(!it(&world).is_busy());
    assert!(fire(&mut world).unwrap().run.is_some());
    world.replayed();
}
