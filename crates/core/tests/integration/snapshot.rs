//! Snapshots: what is written reads back as the same state, sharing included; what is damaged, of
//! a newer program or at odds with itself is refused; what was once written stays readable.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ark_os_core::authority::RevocationId;
use ark_os_core::command::Prepared;
use ark_os_core::error::Failure;
use ark_os_core::event::{Resolution, ScheduleSkip};
use ark_os_core::fleet::spec::FleetSpec;
use ark_os_core::ids::{AgentIx, RunId, TaskRef};
use ark_os_core::layer::Layer;
use ark_os_core::plan::{EffectClass, OnFailure, Retry, WaitOn, Workflow};
use ark_os_core::priority::Priority;
use ark_os_core::run::{Run, RunState, TaskState};
use ark_os_core::schedule::Overlap;
use ark_os_core::state::snapshot::FORMAT;
use ark_os_core::time::Time;
use ark_os_core::timers::Timer;
use ark_os_core::{Command, Kind, State};
use minicbor::{Decoder, Encoder};

use super::world::{
    World, child, expanding, group, list, map, plan, signal_wait, skill, task, wait,
};
use super::{schedules, supervision};

/// Keys of a snapshot's entries.
const HEAD: u32 = 1;
const AGENTS: u32 = 3;
const WORKFLOWS: u32 = 5;
const ADMISSIONS: u32 = 6;
const RUNS: u32 = 10;
const ENDED: u32 = 11;
const INTERRUPTED: u32 = 12;
const LINES: u32 = 13;
const TIMERS: u32 = 14;
const SHELVES: u32 = 15;
const WAITING: u32 = 16;

fn written(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes).unwrap();
    bytes
}

/// A plan of everything: a map, a condition, a fallback, retries, deadlines.
fn rich() -> Arc<Workflow> {
    let mut first = task("first", &[]);
    first.retry = Retry { attempts: 3, ..Retry::default() };
    first.deadline_ms = Some(60_000);
    let mut shaky = task("shaky", &[0]);
    shaky.on_failure = OnFailure::Fallback(4);
    let mut sends = task("sends", &[0]);
    sends.skill = "send".into();
    sends.when = Some("true".into());
    let mut instead = task("instead", &[]);
    instead.skill = "look".into();
    plan(vec![first, map("each", &[0], 2, 1), shaky, sends, instead, task("last", &[1, 2, 3])])
}

fn narrow() -> Arc<Workflow> {
    let mut only = task("only", &[]);
    only.skill = "narrow".into();
    plan(vec![only])
}

/// A world in which everything that a snapshot can hold occurs, interrupted by a restart.
fn eventful() -> World {
    let mut world = World::new(12);
    world.prepared.insert("each".into(), list(5));
    world.prepared.insert("sends".into(), Prepared::Go);
    let first = world.submit_with(rich(), |it| {
        it.key = World::keyed("once");
        it.deadline = Some(world_time(900_000));
    });
    let first = first.unwrap();
    world.finish(world.pt_at(first, 0), "{\"a\":1}");
    // A child is done, one has failed, one is at work; the effect of `sends` is under way.
    let children = world.working(first);
    let child = |nth: u32| children.iter().find(|task| task.child == Some(nth)).copied();
    world.finish(world.pt(first, child(0).unwrap()).unwrap(), "7");
    world.fail(world.pt(first, child(1).unwrap()).unwrap(), Failure::fatal("no", "no"));
    let sends = world.pt_at(first, 3);
    let settled = world.intend(sends, 0, EffectClass::Idempotent);
    world.settle(sends, settled, "\"sent\"");
    world.intend(sends, 1, EffectClass::Effectful);

    let cancelled = world.submit(rich());
    world.cancel(cancelled).unwrap();
    let failed = world.submit_as(Priority::High, narrow());
    world.fail(world.pt_at(failed, 0), Failure::fatal("broken", "it is"));
    let waits = world.submit_as(Priority::Low, rich());
    world.fail(world.pt_at(waits, 0), Failure::retryable("busy", "later"));
    let paused = world.submit(rich());
    world.pause(paused);
    for _ in 0..3 {
        world.submit_as(Priority::Maintenance, narrow());
    }
    let lost = world.submit(narrow());
    let _ = world.act(Command::Revoke { id: RevocationId([3; 16]), reason: "leaked".into() });
    world.reopen();
    world.act(Command::RecoverRun { run: first }).unwrap();
    world.act(Command::RecoverRun { run: lost }).unwrap();
    for _ in 0..3 {
        world.act(Command::Dispatch).unwrap();
    }
    assert!(world.open.len() > 1, "several are at work");
    // More than may be at work with their skill at one time.
    for _ in 0..3 {
        let narrow = world.submission(narrow());
        world.act(Command::SubmitRun(Box::new(narrow))).unwrap();
    }
    world.set_agent_only(AgentIx(11), false);
    let pt = *world.open.keys().next().expect("somebody works");
    let reason = Failure::retryable("agent_died", "the agent died");
    world.act(Command::LoseAttempt { pt, reason }).unwrap();
    // A layer is empty: new runs wait for it.
    let board = world.state.fleet().plan().agent(Layer::Board, 0).unwrap();
    world.set_agent_only(board, false);
    let mut pending = world.submission(rich());
    pending.namespace = "other".into();
    world.act(Command::SubmitRun(Box::new(pending))).unwrap();
    world
}

/// The same, and runs that wait on disk: under an admission, for a layer, with a deadline.
fn crowded() -> World {
    let mut world = eventful();
    world.instance.runs_resident_max = Some(1);
    world.reopen();
    for deadline in [None, Some(world_time(800_000))] {
        let mut waits = world.submission(narrow());
        (waits.deadline, waits.key) =
            (deadline, World::keyed("waits").filter(|_| deadline.is_none()));
        world.act(Command::SubmitRun(Box::new(waits))).unwrap();
    }
    let board = world.state.fleet().plan().agent(Layer::Board, 0).unwrap();
    world.set_agent_only(board, false);
    let mut pending = world.submission(rich());
    pending.namespace = "other".into();
    world.act(Command::SubmitRun(Box::new(pending))).unwrap();
    assert_eq!(world.state.backlog().len(), 3);
    world
}

/// And with what format 3 brought.
fn scheduled() -> World {
    let mut world = crowded();
    let mut later = world.submission(narrow());
    later.start_at = Some(world_time(9_000_000));
    let run = later.run;
    world.act(Command::SubmitRun(Box::new(later))).unwrap();
    schedules::prioritize(&mut world, run, Priority::Critical).unwrap();
    schedules::put(&mut world, schedules::spec(Overlap::Queue)).unwrap();
    schedules::fire(&mut world).unwrap();
    schedules::fire(&mut world).unwrap();
    schedules::put(&mut world, schedules::spec(Overlap::Skip)).unwrap();
    schedules::fire(&mut world).unwrap();
    world
}

/// The same, with a fleet that was scaled and deployed, and is about to be again.
fn deployed() -> World {
    let mut world = crowded();
    let spec = |leads: u32| {
        let mut crew = group("crew", Layer::Micro, 3, &["extra", "put"]);
        crew.supervisor = Some("lead".into());
        FleetSpec {
            groups: vec![crew, group("lead", Layer::StackChief, leads, &[])],
            skills: vec![skill("extra", EffectClass::Read, Some(9))],
        }
    };
    world.deploy(spec(1), vec![narrow()]).unwrap();
    while let Some((version, layer)) = world.checks.pop() {
        world.act(Command::ReportHealth { version, layer, result: Ok(Vec::new()) }).unwrap();
    }
    world.act(Command::ScaleFleet { agents: 14, reason: "more".into() }).unwrap();
    world.act(Command::ScaleFleet { agents: 11, reason: "fewer".into() }).unwrap();
    let rich = Workflow { name: "rich".into(), ..Workflow::clone(&rich()) }.sealed();
    world.deploy(spec(2), vec![narrow(), rich]).unwrap();
    world
}

fn world_time(after: u64) -> Time {
    Time(1_000_000 + after)
}

/// The entries of a snapshot, as they are written.
fn entries(bytes: &[u8]) -> BTreeMap<u32, Vec<u8>> {
    let mut d = Decoder::new(bytes);
    let count = d.map().unwrap().unwrap();
    (0..count)
        .map(|_| {
            let key = d.u32().unwrap();
            let start = d.position();
            d.skip().unwrap();
            (key, bytes[start..d.position()].to_vec())
        })
        .collect()
}

fn joined(entries: &BTreeMap<u32, Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes).map(entries.len() as u64).unwrap();
    for (key, value) in entries {
        Encoder::new(&mut bytes).u32(*key).unwrap();
        bytes.extend_from_slice(value);
    }
    bytes
}

/// The snapshot with one entry in the place of another.
fn with(bytes: &[u8], key: u32, value: impl minicbor::Encode<()>) -> Vec<u8> {
    let mut entries = entries(bytes);
    entries.insert(key, minicbor::to_vec(value).unwrap());
    joined(&entries)
}

fn refusal(bytes: &[u8]) -> String {
    let error = State::decode(bytes).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    error.to_string()
}

#[test]
fn everything_reads_back_and_goes_on_alike() {
    let mut world = eventful();
    let run = |keep: fn(&Run) -> bool| {
        world.state.run_ids().into_iter().any(|id| keep(world.state.run(id).unwrap()))
    };
    assert!(run(|run| run.pending.is_some()), "one waits for a layer");
    assert!(run(|run| run.state() == RunState::Cancelled) && run(|run| run.paused));
    assert!(run(|run| !run.live_tasks(|it| it.state == TaskState::Waiting).is_empty()));
    assert!(run(|run| !run.live_tasks(|it| it.is_in_doubt()).is_empty()), "one is in doubt");
    assert!(run(|run| !run.live_tasks(|it| it.turn.is_some()).is_empty()), "one is in line");
    assert!(world.state.interrupted().is_some() && world.state.has_blocked());
    assert!(world.state.fleet().in_use() > 0 && !world.state.timers().is_empty());

    world.snapshot();
    world.set_layer(Layer::Board, true);
    for id in world.state.run_ids() {
        let _ = world.act(Command::ResumeRun { run: id, reason: "on".into() });
    }
    world.work();
    let doubts: Vec<_> =
        world.state.run_ids().into_iter().flat_map(|id| doubts(&world, id)).collect();
    assert!(!doubts.is_empty());
    for (id, key) in doubts {
        world.resolve(id, key, Resolution::NotHappened).unwrap();
    }
    world.work();
    world.restart();
    world.work();
    assert_eq!(world.state.live(), 0, "all of it came to its end, in both");
    assert!(world.twin.is_some());
}

fn doubts(world: &World, id: RunId) -> Vec<(RunId, ark_os_core::step::StepKey)> {
    use ark_os_core::step::StepStanding;
    let run = world.run(id);
    let tasks = run.live_tasks(ark_os_core::run::Task::is_in_doubt);
    let steps = tasks.into_iter().flat_map(|task| &run.task(task).unwrap().steps);
    let in_doubt = steps.filter(|step| step.standing == StepStanding::InDoubt);
    in_doubt.map(|step| (id, step.key)).collect()
}

#[test]
fn a_state_without_anything_reads_back() {
    let state = State::default();
    let again = State::decode(&written(&state)).unwrap();
    assert_eq!(again.digest(), state.digest());
}

#[test]
fn an_idle_fleet_takes_no_space() {
    let world = World::new(100_000);
    let bytes = written(&world.state);
    assert!(bytes.len() < 1_000, "{} bytes", bytes.len());
    assert_eq!(State::decode(&bytes).unwrap().digest(), world.state.digest());
}

#[test]
fn runs_share_plan_and_admission_after_as_before() {
    let mut world = World::new(12);
    let early: Vec<RunId> = (0..20).map(|_| world.submit(rich())).collect();
    // The admission is of an earlier start: only the runs know of it any more.
    world.reopen();
    let bytes = world.snapshot();
    assert_eq!(world.state.admissions().count(), 0);
    let state = State::decode(&bytes).unwrap();
    let first = state.run(early[0]).unwrap();
    for id in &early {
        let run = state.run(*id).unwrap();
        assert!(Arc::ptr_eq(&run.workflow, &first.workflow));
        assert!(Arc::ptr_eq(run.admission.as_ref().unwrap(), first.admission.as_ref().unwrap()));
        assert!(std::ptr::eq(run.namespace.as_str(), first.namespace.as_str()));
    }
    let entries = entries(&bytes);
    for table in [WORKFLOWS, ADMISSIONS] {
        assert_eq!(Decoder::new(&entries[&table]).array().unwrap(), Some(1), "written once");
    }
    world.dispatch();
    world.work();
    assert_eq!(world.state.live(), 0);
}

#[test]
fn equal_states_give_equal_bytes() {
    let world = eventful();
    assert_eq!(written(&world.replayed()), written(&world.state));
}

#[test]
fn a_snapshot_that_was_cut_is_refused_wherever_it_was() {
    let bytes = written(&eventful().state);
    for end in 0..bytes.len() {
        refusal(&bytes[..end]);
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(refusal(&longer).contains("behind its end"));
}

#[test]
fn a_damaged_byte_is_refused_or_gives_a_state_that_can_be_written_again() {
    let bytes = written(&eventful().state);
    let mut refused = 0;
    for (at, flip) in (0..bytes.len()).zip([0x01, 0x80, 0x20, 0xff].into_iter().cycle()) {
        let mut damaged = bytes.clone();
        damaged[at] ^= flip;
        match State::decode(&damaged) {
            Ok(state) => {
                let again = written(&state);
                assert_eq!(written(&State::decode(&again).unwrap()), again);
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().starts_with("read the snapshot: "));
            }
        }
    }
    assert!(refused > bytes.len() / 4, "{refused} of {}", bytes.len());
}

#[test]
fn a_snapshot_of_a_newer_program_is_named_as_such() {
    let bytes = with(&written(&State::default()), 0, FORMAT + 1);
    let error = State::decode(&bytes).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("format is") && error.hint().contains("newer"));
    refusal(&with(&written(&State::default()), 99, 0u8));
}

#[test]
fn a_scaled_and_deployed_fleet_reads_back_and_goes_on_alike() {
    let mut world = deployed();
    world.snapshot();
    world.set_layer(Layer::Board, true);
    world.all_well();
    assert_eq!(world.state.deployments().version(), 2);
    for id in world.state.run_ids() {
        let _ = world.act(Command::ResumeRun { run: id, reason: "on".into() });
    }
    world.work();
    world.replayed();
    assert!(world.twin.is_some());
}

#[test]
fn counts_without_contents_reserve_nothing() {
    let bytes = written(&eventful().state);
    let lists = [AGENTS, WORKFLOWS, ADMISSIONS, RUNS, ENDED, INTERRUPTED, LINES, TIMERS];
    for key in lists.into_iter().chain([SHELVES, WAITING]) {
        let mut entries = entries(&bytes);
        let mut huge = Vec::new();
        Encoder::new(&mut huge).array(u64::MAX >> 1).unwrap();
        entries.insert(key, huge);
        refusal(&joined(&entries));
    }
}

#[test]
fn what_no_journal_gives_is_refused() {
    let world = eventful();
    let bytes = written(&world.state);
    assert_eq!(joined(&entries(&bytes)), bytes);
    let none: [u8; 0] = [];
    let nobody = RunId(77);
    let due = (Time(5), Timer::Retry(nobody, TaskRef::node(0)));
    let live = world.state.interrupted().unwrap();
    let deadline = (Time(5), Timer::RunDeadline(live));
    for (damaged, why) in [
        (with(&bytes, TIMERS, [due]), "timer"),
        (with(&bytes, TIMERS, [deadline]), "timer"),
        (with(&bytes, TIMERS, [(Time(5), Timer::AgentBack(AgentIx(2)))]), "timer"),
        (with(&bytes, ENDED, none), "not kept"),
        (with(&bytes, ENDED, [live]), "not over"),
        (with(&bytes, INTERRUPTED, [nobody]), "not in flight"),
        (with(&bytes, LINES, none), "lines"),
        (with(&bytes, ADMISSIONS, none), "admission"),
        (with(&bytes, WORKFLOWS, none), "plan"),
        (with(&bytes, AGENTS, [(AgentIx(99_999), 0u8)]), ""),
    ] {
        let refusal = refusal(&damaged);
        assert!(refusal.contains(why), "{refusal}");
    }
    // The head of another state: its counters are behind what the runs hold.
    let head = entries(&written(&World::new(12).state)).remove(&HEAD).unwrap();
    let mut others = entries(&bytes);
    others.insert(HEAD, head);
    refusal(&joined(&others));
}

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// While it is the newest format. What is added raises it, and brings a file of its own.
#[test]
fn format_4_is_what_is_written() {
    let worlds = [
        ("", flowing()),
        ("-schedules", scheduled()),
        ("-deployments", deployed()),
        ("-supervision", supervision::supervised()),
    ];
    for (name, world) in worlds {
        let written = written(&world.state);
        let file = format!("snapshot-4{name}.cbor");
        if written != std::fs::read(Path::new(FIXTURES).join(&file)).unwrap_or_default() {
            let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
            std::fs::write(&made, &written).unwrap();
            panic!("other bytes are written than in format 4: {}", made.display());
        }
    }
}

/// All entries but the number of the format.
fn contents(bytes: &[u8]) -> BTreeMap<u32, Vec<u8>> {
    let mut entries = entries(bytes);
    entries.remove(&0).unwrap();
    entries
}

/// A world with what format 3 has besides: a run that waits, and one that keeps signals.
fn flowing() -> World {
    let mut world = World::new(30);
    let waits = plan(vec![
        signal_wait("w", &[], "go", Some(60_000)),
        wait("f", &[], WaitOn::For(9_000)),
        signal_wait("then", &[1], "on", None),
        signal_wait("last", &[2], "on", None),
    ]);
    for _ in 0..2 {
        let run = world.submit(waits.clone());
        world.signal_keyed(run, "on", Some(&run.to_string())).unwrap();
        world.signal(run, "on").unwrap();
    }
    world.tick(9_000);
    let run = world.submit(waits);
    world.signal(run, "on").unwrap();
    let inner = plan(vec![task("t", &[])]);
    world.submit(plan(vec![child("c", &[], &inner, false), child("d", &[], &inner, true)]));
    let grown = world.submit(plan(vec![expanding("e", &[]), task("after", &[0])]));
    world.expand(world.pt_at(grown, 0), vec![task("more", &[0])]).unwrap();
    let untold = world.submit(plan(vec![child("c", &[], &inner, false)]));
    world.act_only_finish(world.child_of(untold, 0), 0);
    world
}

#[test]
fn format_4_stays_readable() {
    let read = |name: &str| std::fs::read(Path::new(FIXTURES).join(name)).unwrap();
    for name in ["snapshot-4.cbor", "snapshot-4-deployments.cbor"] {
        let state = State::decode(&read(name)).unwrap();
        assert_eq!(written(&state), read(name), "{name}");
    }
    let state = State::decode(&read("snapshot-4-schedules.cbor")).unwrap();
    let skip = state.schedules().iter().next().unwrap().last_skip.clone().unwrap();
    assert_eq!(skip.cause, ScheduleSkip::Overlap);
    let state = State::decode(&read("snapshot-4-supervision.cbor")).unwrap();
    assert_eq!(state.supervision().open().map(|it| it.passed.len()).collect::<Vec<_>>(), [1]);
}

#[test]
fn format_3_stays_readable() {
    let bytes = std::fs::read(Path::new(FIXTURES).join("snapshot-3.cbor")).unwrap();
    let state = State::decode(&bytes).unwrap();
    let runs = state.run_ids().into_iter().filter_map(|id| state.run(id));
    let kept: Vec<_> = runs.map(|run| (run.inbox.len(), run.signals)).collect();
    assert_eq!(kept[..3], [(0, 2), (0, 2), (1, 1)]);
    let grown = state.run(RunId(5)).unwrap();
    assert_eq!((grown.tasks.len(), grown.added_skills.len()), (3, 1));
    let family = state.run(RunId(4)).unwrap();
    assert_eq!(family.awaited_children().count(), 2);
    assert!(state.has_errands(), "a task has not heard of the end of its child");
    assert_eq!(contents(&written(&state)), contents(&bytes));
}

#[test]
fn format_2_stays_readable() {
    let bytes = std::fs::read(Path::new(FIXTURES).join("snapshot-2.cbor")).unwrap();
    let state = State::decode(&bytes).unwrap();
    let waiting = state.backlog().iter();
    let waiting: Vec<_> = waiting.map(|it| (it.run.0, it.seq, it.deadline)).collect();
    let never = Time::NEVER;
    assert_eq!(waiting, [(14, 41, never), (15, 42, world_time(800_000)), (16, 44, never)]);
    assert_eq!(state.backlog().next_deadline(state.now()), Some(world_time(800_000)));
    assert_eq!((state.live(), state.resident()), (14, 11));
    assert!(state.submission(&"default".into(), &"waits".into()).is_some());
    assert_eq!(&*state.sketch(RunId(16)).unwrap().namespace, "other");
    assert!(state.schedules().is_empty());
    let again = State::decode(&written(&state)).unwrap();
    assert_eq!(again.digest(), state.digest());
}

#[test]
fn schedules_of_format_3_stay_readable() {
    let bytes = std::fs::read(Path::new(FIXTURES).join("snapshot-3-schedules.cbor")).unwrap();
    let state = State::decode(&bytes).unwrap();
    let schedule = state.schedules().iter().next().unwrap();
    assert_eq!((schedule.runs.len(), schedule.waiting.len(), schedule.fired), (1, 1, 1));
    assert_eq!(state.backlog().next_start(state.now()), Some(world_time(9_000_000)));
    assert_eq!(state.backlog().find(RunId(17)).unwrap().priority, Priority::Critical);
    assert_eq!(contents(&written(&state)), contents(&bytes));
}

#[test]
fn supervision_of_format_3_stays_readable() {
    // The second is from before every remedy had a check.
    for name in ["snapshot-3-supervision.cbor", "snapshot-3-supervision-before.cbor"] {
        let bytes = std::fs::read(Path::new(FIXTURES).join(name)).unwrap();
        let state = State::decode(&bytes).unwrap();
        let supervision = state.supervision();
        assert_eq!((supervision.open().count(), supervision.closed().count()), (1, 1));
        assert_eq!(supervision.measures().map(|it| it.votes.len()).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(contents(&written(&state)), contents(&bytes), "{name}");
    }
}

#[test]
fn deployments_of_format_3_stay_readable() {
    let bytes = std::fs::read(Path::new(FIXTURES).join("snapshot-3-deployments.cbor")).unwrap();
    let state = State::decode(&bytes).unwrap();
    assert_eq!((state.live(), state.resident()), (14, 11));
    assert_eq!(state.deployments().version(), 1);
    assert_eq!(state.deployments().under_way().map(|it| it.deployment.version), Some(2));
    assert_eq!((state.fleet().profile(), state.fleet().len()), (11, 23));
    assert_eq!(contents(&written(&state)), contents(&bytes));
}

#[test]
fn what_waits_on_disk_reads_back_and_goes_on_alike() {
    let mut world = crowded();
    world.snapshot();
    world.tick(800_000);
    world.set_layer(Layer::Board, true);
    for id in world.state.run_ids() {
        let _ = world.act(Command::ResumeRun { run: id, reason: "on".into() });
    }
    world.work();
    assert!(world.state.backlog().is_empty());
    assert_eq!(world.standing(RunId(15)), RunState::Failed, "its deadline passed on disk");
    assert!(world.begun.iter().any(|it| it.pt.run == RunId(16)), "it was let in");
    assert!(world.twin.is_some());
}

#[test]
fn a_backlog_that_no_journal_gives_is_refused() {
    let bytes = written(&crowded().state);
    assert_eq!(joined(&entries(&bytes)), bytes);
    type Row = (RunId, u64, Time, Option<Time>, Priority, u32);
    let rows: Vec<Row> = minicbor::decode(&entries(&bytes)[&WAITING]).unwrap();
    let changed = |change: fn(&mut Vec<Row>)| {
        let mut rows = rows.clone();
        change(&mut rows);
        refusal(&with(&bytes, WAITING, rows))
    };
    assert!(changed(|rows| rows[0].0 = RunId(1)).contains("in memory"));
    assert!(changed(|rows| rows[1].0 = rows[0].0).contains("twice"));
    assert!(changed(|rows| rows[1].1 = rows[0].1).contains("order"));
    assert!(changed(|rows| rows[0].1 = 0).contains("order"));
    assert!(changed(|rows| rows[2].1 = 10_000).contains("order"));
    assert!(changed(|rows| rows[2].2 = Time(u64::MAX)).contains("not accepted yet"));
    assert!(changed(|rows| rows[0].5 = 2).contains("shelf is missing"));
    assert!(changed(|rows| rows.truncate(2)).contains("shelf is empty"));
    let none: [u8; 0] = [];
    assert!(refusal(&with(&bytes, SHELVES, none)).contains("shelf"));
    assert!(refusal(&with(&bytes, SHELVES, [(Some(77u64), None::<u8>)])).contains("admission"));
}

/// A format that was released stays readable for ever: the file is never written anew.
#[test]
fn format_1_stays_readable() {
    let bytes = std::fs::read(Path::new(FIXTURES).join("snapshot-1.cbor")).unwrap();
    let state = State::decode(&bytes).unwrap();
    let runs = state.run_ids().into_iter().filter_map(|id| state.run(id));
    let lines: Vec<String> = runs
        .map(|run| {
            let tasks: Vec<_> = run.tasks.iter().map(|task| task.state).collect();
            let held = run.active_tasks().len();
            format!("{} {:?} {tasks:?} {held}", run.id.0, run.state())
        })
        .collect();
    assert_eq!(lines, FORMAT_1_RUNS);
    assert_eq!((state.changes(), state.epoch(), state.live()), (39, 2, 11));
    assert!(state.submission(&"default".into(), &"once".into()).is_some());
    let again = State::decode(&written(&state)).unwrap();
    assert_eq!(again.digest(), state.digest());
}

/// What it holds: each run, its tasks and how many of them are worked on.
const FORMAT_1_RUNS: [&str; 13] = [
    "1 Waiting [Succeeded, Running, Waiting, Parked, Pending, Pending] 0",
    "2 Cancelled [Cancelled, Skipped, Skipped, Skipped, Skipped, Skipped] 0",
    "3 Failed [Failed] 0",
    "4 Waiting [Waiting, Pending, Pending, Pending, Pending, Pending] 0",
    "5 Paused [Running, Pending, Pending, Pending, Pending, Pending] 1",
    "6 Running [Running] 1",
    "7 Running [Running] 1",
    "8 Running [Ready] 0",
    "9 Running [Running] 1",
    "10 Running [Running] 1",
    "11 Running [Ready] 0",
    "12 Running [Ready] 0",
    "13 Accepted [Pending, Pending, Pending, Pending, Pending, Pending] 0",
];
