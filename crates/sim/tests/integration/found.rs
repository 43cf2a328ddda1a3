//! What the simulator found in the product, as the shortest way to it: named tests for ever.

use std::sync::Arc;

use ark_os_core::authority::{Authority, Grant, RevocationId, Scopes};
use ark_os_core::command::SubmitRun;
use ark_os_core::effect::Effect;
use ark_os_core::event::InstanceStarted;
use ark_os_core::fleet::SkillInfo;
use ark_os_core::ids::{AgentIx, PtId, RunId};
use ark_os_core::payload::Payload;
use ark_os_core::plan::{EffectClass, Workflow};
use ark_os_core::rules::BuiltinRules;
use ark_os_core::run::{RunState, RunSummary};
use ark_os_core::time::Time;
use ark_os_core::{Command, State};
use ark_os_runtime::kernel::{Answer, Input, Loop, Output, Released};
use ark_os_sim::{Options, run_seed};

const RUN: RunId = RunId(1);
const SKILL: &str = "pure.work";

/// A loop whose records are durable at once.
struct Instant {
    lp: Loop<()>,
    told: Vec<Arc<RunSummary>>,
    begun: Option<(PtId, AgentIx)>,
}

impl Instant {
    fn start() -> Self {
        let lp = Loop::new(State::default(), Arc::new(BuiltinRules), 0);
        let mut instant = Instant { lp, told: Vec::new(), begun: None };
        let class = EffectClass::Pure;
        let skills = vec![SkillInfo { name: SKILL.into(), class, concurrency_max: None }];
        let started = InstanceStarted::small(6, skills);
        instant.command(Command::StartInstance(Box::new(started)));
        instant
    }

    fn command(&mut self, command: Command) {
        self.input(Input::Command { command, cause: 0, reply: None });
    }

    fn input(&mut self, input: Input<()>) {
        let mut out = Output::default();
        self.lp.step(Time(1_000), [input], &mut out);
        let through = self.lp.kernel().newest();
        self.lp.step(Time(1_000), [Input::Synced { through }], &mut out);
        for (_, effect) in out.internal {
            if let Effect::RunAttempt { pt, agent, .. } = effect {
                self.begun = Some((pt, agent));
            }
        }
        for released in out.released {
            if let Released::Answer((), Answer::Over(summary)) = released {
                self.told.push(summary);
            }
        }
    }

    fn submit(&mut self) -> (PtId, AgentIx) {
        let authority =
            Authority::root("tester".into(), Scopes::everything(), RevocationId::derive(&[b"t"]));
        let submission = SubmitRun {
            run: RUN,
            namespace: "default".into(),
            workflow: Workflow::single(SKILL).sealed(),
            input: Payload::null(),
            grant: Arc::new(Grant::new(authority)),
            priority: Default::default(),
            deadline: None,
            start_at: None,
            budget: None,
            seed: 1,
            key: None,
            parent: None,
        };
        let submission = Box::new(submission);
        self.input(Input::Submit { submission, accepted: None, over: None });
        self.begun.expect("an attempt begins")
    }
}

/// Seed 663: a run that parked while it was paused was announced as paused, and whoever waited for
/// it after that was not told when it was resumed and stood parked.
#[test]
fn who_waits_for_a_paused_run_is_told_when_it_is_resumed_and_parked() {
    let mut instant = Instant::start();
    let (pt, agent) = instant.submit();
    instant.command(Command::PauseRun { run: RUN, reason: "test".into() });
    instant.input(Input::Watch { run: RUN, over: () });
    for _ in 0..5 {
        instant.command(Command::ReportProgress { pt, agent, checkpoint: None });
    }
    assert!(instant.told.is_empty(), "it is paused: {:?}", instant.told);
    instant.command(Command::ResumeRun { run: RUN, reason: "test".into() });
    let states: Vec<RunState> = instant.told.iter().map(|summary| summary.state).collect();
    assert_eq!(states, [RunState::Parked]);
}

/// Seeds that once broke a promise, of the product or of the simulator itself.
#[test]
fn seeds_that_found_something_stay_whole() {
    for seed in [2, 9, 14, 36, 663, 1_560, 1_824, 1_882, 2_439] {
        let outcome = run_seed(seed, &Options::default());
        assert_eq!(outcome.violation, None, "seed {seed}");
    }
}
