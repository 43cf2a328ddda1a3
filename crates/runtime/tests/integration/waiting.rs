//! Who waits for a run and has gone is not kept until the run is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ark_os_core::authority::{Authority, Grant, RevocationId, Scopes};
use ark_os_core::budget::Amounts;
use ark_os_core::command::SubmitRun;
use ark_os_core::event::InstanceStarted;
use ark_os_core::fleet::SkillInfo;
use ark_os_core::hash::Hash;
use ark_os_core::ids::RunId;
use ark_os_core::payload::Payload;
use ark_os_core::plan::{EffectClass, Workflow};
use ark_os_core::rules::{BuiltinRules, Mode};
use ark_os_core::time::Time;
use ark_os_core::{Command, State};
use ark_os_runtime::kernel::{Answer, Input, Loop, Output, Recipient, Released};

const RUN: RunId = RunId(1);
const NOW: Time = Time(1_000);

/// Waits until it has gone; the number of clones is how many the loop keeps.
#[derive(Clone, Default)]
struct Caller(Arc<AtomicBool>);

impl Recipient for Caller {
    fn is_gone(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn step(lp: &mut Loop<Caller>, input: Input<Caller>) -> Vec<Answer> {
    let mut out = Output::default();
    lp.step(NOW, [input], &mut out);
    let through = lp.kernel().newest();
    lp.step(NOW, [Input::Synced { through }], &mut out);
    let answers = out.released.into_iter().filter_map(|released| match released {
        Released::Answer(_, answer) => Some(answer),
        _ => None,
    });
    answers.collect()
}

fn command(lp: &mut Loop<Caller>, command: Command) -> Vec<Answer> {
    step(lp, Input::Command { command, cause: 0, reply: None })
}

/// A loop with a run under way.
fn started() -> Loop<Caller> {
    let mut lp = Loop::new(State::default(), Arc::new(BuiltinRules), 0);
    let (name, class) = ("test".into(), EffectClass::Pure);
    let started = InstanceStarted {
        version: "test".into(),
        mode: Mode::Autonomous,
        agents: 6,
        skills: vec![SkillInfo { name, class, concurrency_max: None }],
        agent_concurrency: 2,
        concurrent_tasks_max: 10,
        task_timeout_ms: 1_000_000,
        rules: Hash::ZERO,
        namespace_budget: Amounts::UNLIMITED,
        lease_ms: None,
        runs_resident_max: None,
    };
    command(&mut lp, Command::StartInstance(Box::new(started)));
    let id = RevocationId::derive(&[b"test"]);
    let authority = Authority::root("tester".into(), Scopes::everything(), id);
    let submission = Box::new(SubmitRun {
        run: RUN,
        namespace: "default".into(),
        workflow: Workflow::single("test").sealed(),
        input: Payload::null(),
        grant: Arc::new(Grant::new(authority)),
        priority: Default::default(),
        deadline: None,
        budget: None,
        seed: 1,
        key: None,
    });
    step(&mut lp, Input::Submit { submission, accepted: None, over: None });
    lp
}

#[test]
fn callers_whose_patience_ended_do_not_pile_up_and_those_who_wait_are_told() {
    const PATIENT: usize = 20;
    let mut lp = started();
    let (gone, patient) = (Caller::default(), Caller::default());
    gone.0.store(true, Ordering::Relaxed);
    for n in 0..10_000 {
        if n % (10_000 / PATIENT) == 0 {
            step(&mut lp, Input::Watch { run: RUN, over: patient.clone() });
        }
        step(&mut lp, Input::Watch { run: RUN, over: gone.clone() });
        assert!(Arc::strong_count(&gone.0) <= 2 * PATIENT + 10, "{n}");
    }
    assert_eq!(Arc::strong_count(&patient.0), PATIENT + 1, "nobody who waits is left out");
    let cancel = Command::CancelRun { run: RUN, reason: "test".into() };
    let told = command(&mut lp, cancel);
    let told = told.iter().filter(|answer| matches!(answer, Answer::Over(_))).count();
    assert!(told >= PATIENT, "{told}");
    assert_eq!((Arc::strong_count(&gone.0), Arc::strong_count(&patient.0)), (1, 1));
}
