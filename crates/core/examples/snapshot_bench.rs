//! How long the state takes to be written down and read back, idle and full of runs: prints JSON.
//!
//! `cargo run --release -p ark-os-core --example snapshot_bench`

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Instant;

use ark_os_core::authority::{Authority, Grant, RevocationId, Scopes};
use ark_os_core::budget::Amounts;
use ark_os_core::command::{AttemptOutcome, FinishAttempt, SubmitRun};
use ark_os_core::effect::Effect;
use ark_os_core::event::InstanceStarted;
use ark_os_core::fleet::SkillInfo;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, PtId, RunId};
use ark_os_core::payload::Payload;
use ark_os_core::plan::{EffectClass, TaskSpec, Workflow};
use ark_os_core::priority::Priority;
use ark_os_core::rules::{BuiltinRules, Mode, Rules};
use ark_os_core::time::Time;
use ark_os_core::{Command, State, decide};

const AGENTS: u32 = 1_000;
const RUNS: u128 = 20_000;
const TASKS: u32 = 10;
/// Attempts that are done before the state is written: some tasks of every run.
const DONE: usize = 80_000;
/// Repetitions, of which the fastest counts.
const ROUNDS: usize = 5;

struct Bench {
    state: State,
    working: Vec<(PtId, AgentIx)>,
}

impl Bench {
    fn new() -> Bench {
        let noop =
            SkillInfo { name: "noop".into(), class: EffectClass::Pure, concurrency_max: None };
        let mut bench = Bench { state: State::default(), working: Vec::new() };
        bench.act(Command::StartInstance(Box::new(InstanceStarted {
            version: "bench".into(),
            mode: Mode::Autonomous,
            agents: AGENTS,
            skills: vec![noop],
            agent_concurrency: 4,
            concurrent_tasks_max: 10_000,
            task_timeout_ms: 300_000,
            rules: BuiltinRules.hash(),
            namespace_budget: Amounts::UNLIMITED,
            lease_ms: None,
            runs_resident_max: None,
            agents_max: None,
            broken: None,
        })));
        bench
    }

    fn act(&mut self, command: Command) -> bool {
        let change = decide(&self.state, &BuiltinRules, command, Time(1)).expect("not rejected");
        let mut effects = Vec::new();
        if !change.events.is_empty() {
            self.state.apply(&change, &mut effects);
        }
        for effect in effects {
            if let Effect::RunAttempt { pt, agent, .. } = effect {
                self.working.push((pt, agent));
            }
        }
        !change.events.is_empty()
    }

    fn fill(&mut self) {
        let root = Authority::root("bench".into(), Scopes::everything(), RevocationId([1; 16]));
        let grant = Arc::new(Grant::new(root));
        let workflow = chain();
        for run in 1..=RUNS {
            self.act(Command::SubmitRun(Box::new(SubmitRun {
                run: RunId(run),
                namespace: "default".into(),
                workflow: workflow.clone(),
                input: Payload::inline(&br#"{"subject":"a line of input"}"#[..]),
                grant: grant.clone(),
                priority: Priority::Normal,
                deadline: Some(Time(1_000_000)),
                start_at: None,
                budget: None,
                seed: run as u64,
                key: None,
                parent: None,
            })));
        }
        let mut done = 0;
        while done < DONE {
            while self.act(Command::Dispatch) {}
            for (pt, agent) in std::mem::take(&mut self.working) {
                done += 1;
                self.act(Command::FinishAttempt(Box::new(FinishAttempt {
                    pt,
                    agent,
                    outcome: AttemptOutcome::Succeeded {
                        output: Payload::inline(&br#"{"answer":"a line of output"}"#[..]),
                        blobs: Vec::new(),
                    },
                    input: Hash::ZERO,
                    spent: Amounts { calls: 1, ..Amounts::ZERO },
                    micros: 1,
                })));
            }
        }
        while self.act(Command::Dispatch) {}
    }
}

fn chain() -> Arc<Workflow> {
    let tasks = (0..TASKS)
        .map(|node| {
            let mut task = TaskSpec::new(&format!("t{node}"), "noop");
            task.needs = node.checked_sub(1).into_iter().collect();
            task.feeds = (node + 1 < TASKS).then_some(node + 1).into_iter().collect();
            task
        })
        .collect();
    Workflow { tasks, ..Workflow::single("noop") }.sealed()
}

/// The shortest time that `work` took, in microseconds, and what it gave.
fn timed<T>(mut work: impl FnMut() -> T) -> (u128, T) {
    let mut round = || {
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
        let begin = Instant::now();
        let made = work();
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
        let took = begin.elapsed();
        (took.as_micros().max(1), made)
    };
    (0..ROUNDS).map(|_| round()).min_by_key(|(took, _)| *took).expect("there are rounds")
}

fn measured(name: &str, state: &State) -> String {
    let (encode_us, bytes) = timed(|| {
        let mut bytes = Vec::new();
        state.encode(&mut bytes).unwrap();
        bytes
    });
    let (decode_us, again) = timed(|| State::decode(&bytes).unwrap());
    assert_eq!(again.digest(), state.digest());
    let runs = state.live() as u128;
    let per_s = |of: u128, us: u128| of * 1_000_000 / us;
    let mb_per_s = |us: u128| bytes.len() as u128 / us;
    format!(
        "{{\"state\":\"{name}\",\"runs\":{runs},\"bytes\":{},\"encode_us\":{encode_us},\
         \"encode_mb_per_s\":{},\"encode_runs_per_s\":{},\"decode_us\":{decode_us},\
         \"decode_mb_per_s\":{},\"decode_runs_per_s\":{}}}",
        bytes.len(),
        mb_per_s(encode_us),
        per_s(runs, encode_us),
        mb_per_s(decode_us),
        per_s(runs, decode_us),
    )
}

#[expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
fn main() {
    let mut bench = Bench::new();
    println!("{}", measured("idle", &bench.state));
    bench.fill();
    println!("{}", measured("busy", &bench.state));
}
