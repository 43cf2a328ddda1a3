//! What the bare loop does about runs on disk, schedules, and children, without anybody asking twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use ark_os_core::authority::{Authority, Grant, RevocationId, Scopes};
use ark_os_core::command::{Prepared, PutSchedule, SendSignal};
use ark_os_core::effect::Effect;
use ark_os_core::ids::RunId;
use ark_os_core::payload::Payload;
use ark_os_core::plan::{ChildSpec, Shape, Workflow};
use ark_os_core::rules::BuiltinRules;
use ark_os_core::run::RunState;
use ark_os_core::schedule::{Overlap, Planned, ScheduleSpec};
use ark_os_core::time::Time;
use ark_os_core::{Command, Event, State};
use ark_os_runtime::kernel::record::Appended;
use ark_os_runtime::kernel::{Answer, Fetched, Input, Loop, Output, Recipient, Released};

use crate::bare_loop::{NOW, start, submission};

const RUN: RunId = RunId(1);
const MINUTE: u64 = 60_000;

/// Somebody who is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Caller(u32);

impl Recipient for Caller {}

/// A loop whose records are durable at once, and whose preparations give `null`.
struct World {
    lp: Loop<Caller>,
    now: Time,
    journal: Vec<Appended>,
    answers: Vec<(u32, Result<(), String>)>,
    asked: Vec<(RunId, u64)>,
}

impl World {
    fn new() -> Self {
        let lp = Loop::new(State::default(), Arc::new(BuiltinRules), 0);
        let (journal, answers, asked) = (Vec::new(), Vec::new(), Vec::new());
        let mut world = World { lp, now: NOW, journal, answers, asked };
        world.command(start(), None);
        world
    }

    fn step(&mut self, input: Input<Caller>) {
        let mut out = Output::default();
        self.lp.step(self.now, [input], &mut out);
        let through = self.lp.kernel().newest();
        self.lp.synced(through, &mut out);
        self.journal.append(&mut out.appended);
        for released in out.released {
            match released {
                Released::Answer(Caller(who), Answer::Rejected(why)) => {
                    self.answers.push((who, Err(why.code().to_owned())));
                }
                Released::Answer(Caller(who), _) => self.answers.push((who, Ok(()))),
                Released::Effect(_, Effect::FetchRuns { runs }) => self.asked.extend(runs),
                _ => {}
            }
        }
        for (cause, effect) in out.internal {
            let Effect::Prepare { run, node, generation } = effect else { continue };
            let result = Prepared::Input(Payload::null());
            let command = Command::FinishPreparation { run, node, generation, result };
            self.step(Input::Command { command, cause, reply: None });
        }
    }

    fn command(&mut self, command: Command, who: Option<u32>) {
        self.step(Input::Command { command, cause: 0, reply: who.map(Caller) });
    }

    /// Runs that were asked for come from the disk.
    fn fetch(&mut self) {
        for (run, seq) in std::mem::take(&mut self.asked) {
            let record = self.journal.iter().find(|it| it.seq == seq).unwrap();
            let accepted = record.change.events.iter().find_map(|event| match event {
                Event::RunAccepted(accepted) => Some((**accepted).clone()),
                _ => None,
            });
            let accepted = Ok(accepted.unwrap());
            self.step(Input::Fetched(vec![Fetched { run, seq, accepted }]));
        }
    }

    /// Time passes.
    fn tick(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.step(Input::Tick);
    }

    /// A run that is to begin in a minute.
    fn delayed() -> Self {
        let mut world = World::new();
        let mut submission = submission(RUN);
        submission.start_at = Some(NOW.plus(MINUTE));
        world.step(Input::Submit { submission, accepted: None, over: None });
        assert!(world.lp.state().backlog().contains(RUN));
        world
    }

    fn signal() -> Command {
        let signal =
            SendSignal { run: RUN, name: "go".into(), payload: Payload::null(), key: None };
        Command::SendSignal(Box::new(signal))
    }
}

fn refused(who: u32, code: &str) -> (u32, Result<(), String>) {
    (who, Err(code.to_owned()))
}

#[test]
fn a_signal_does_not_begin_a_run_before_its_time() {
    let mut world = World::delayed();
    world.command(World::signal(), Some(1));
    world.fetch();
    assert_eq!(world.answers, [refused(1, "run_delayed")]);
    assert!(world.lp.state().backlog().contains(RUN));
    world.tick(MINUTE);
    world.fetch();
    assert!(world.lp.state().run(RUN).is_some(), "its time has come");
}

#[test]
fn what_is_wanted_behind_a_refused_pause_is_done_to_a_run_that_has_not_begun() {
    let mut world = World::delayed();
    world.command(Command::PauseRun { run: RUN, reason: "test".into() }, Some(1));
    world.command(World::signal(), Some(2));
    world.command(Command::CancelRun { run: RUN, reason: "test".into() }, Some(3));
    world.fetch();
    let expected = [refused(1, "run_delayed"), refused(2, "run_delayed"), (3, Ok(()))];
    assert_eq!(world.answers, expected);
    assert!(world.lp.state().backlog().is_empty());
    assert_eq!(world.lp.kernel().summary(RUN).unwrap().state, RunState::Cancelled);
}

fn put(workflow: Arc<Workflow>, now: Time) -> Command {
    let planned = Planned::Inline(workflow);
    let spec = ScheduleSpec {
        overlap: Overlap::CancelPrevious,
        ..ScheduleSpec::new("each-minute".into(), "* * * * *", planned)
    };
    let id = RevocationId::derive(&[b"test"]);
    let authority = Authority::root("tester".into(), Scopes::everything(), id);
    Command::PutSchedule(Box::new(PutSchedule {
        namespace: "default".into(),
        spec: Arc::new(spec),
        grant: Arc::new(Grant::new(authority)),
        seed: 1,
        next: Some(Time(now.0 - now.0 % MINUTE + MINUTE)),
    }))
}

#[test]
fn the_children_of_a_run_that_makes_way_are_cancelled_in_the_same_step() {
    let mut world = World::new();
    let mut outer = Workflow::clone(&Workflow::single("test").sealed());
    for task in &mut outer.tasks {
        task.skill = "".into();
        task.shape = Shape::Child(ChildSpec::new(&Workflow::single("test").sealed(), false));
    }
    world.command(put(outer.sealed(), NOW), None);
    world.tick(MINUTE);
    let first: BTreeSet<RunId> = world.lp.state().run_ids().into_iter().collect();
    assert_eq!(first.len(), 2, "a run and its child");
    world.tick(MINUTE);
    let state = world.lp.state();
    for run in &first {
        let standing = world.lp.kernel().summary(*run).unwrap().state;
        assert_eq!(standing, RunState::Cancelled);
    }
    assert!(!state.has_errands());
    assert_eq!(state.live(), 2);
}
