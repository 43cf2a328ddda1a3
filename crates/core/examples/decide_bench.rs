//! How long the core takes for a task, without journal, agents and network: prints JSON.
//!
//! `cargo run --release -p ark-os-core --example decide_bench`

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Instant;

use ark_os_core::authority::{Authority, Grant, RevocationId, Scopes};
use ark_os_core::budget::Amounts;
use ark_os_core::command::{AttemptOutcome, FinishAttempt, Prepared, SubmitRun};
use ark_os_core::effect::Effect;
use ark_os_core::event::InstanceStarted;
use ark_os_core::fleet::SkillInfo;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, PtId, RunId};
use ark_os_core::payload::{Bytes, Payload};
use ark_os_core::plan::{EffectClass, MapSpec, Shape, TaskSpec, Workflow};
use ark_os_core::priority::Priority;
use ark_os_core::rules::{BuiltinRules, Mode, Rules};
use ark_os_core::time::Time;
use ark_os_core::{Change, Command, State, decide};

const AGENTS: u32 = 1_000;
const SINGLES: u64 = 200_000;
const CHILDREN: u32 = 10_000;
const MAPS: u64 = 20;
/// Tasks under way at one time, as when a client submits in batches.
const IN_FLIGHT: usize = 500;

/// What the core did, and how large its records are.
#[derive(Default)]
struct Tally {
    records: u64,
    bytes: u64,
}

struct Bench {
    state: State,
    effects: Vec<Effect>,
    working: Vec<(PtId, AgentIx)>,
    prepares: Vec<(RunId, u32, u32)>,
    grant: Arc<Grant>,
    runs: u128,
    tally: Option<Tally>,
}

impl Bench {
    fn new() -> Bench {
        let skill = |name: &str| SkillInfo {
            name: name.into(),
            class: EffectClass::Pure,
            concurrency_max: None,
        };
        let started = InstanceStarted {
            version: "bench".into(),
            mode: Mode::Autonomous,
            agents: AGENTS,
            skills: vec![skill("noop"), skill("echo")],
            agent_concurrency: 4,
            concurrent_tasks_max: 10_000,
            task_timeout_ms: 300_000,
            rules: BuiltinRules.hash(),
            namespace_budget: Amounts::UNLIMITED,
            lease_ms: None,
            runs_resident_max: None,
            agents_max: None,
            broken: None,
        };
        let root = Authority::root("bench".into(), Scopes::everything(), RevocationId([1; 16]));
        let mut bench = Bench {
            state: State::default(),
            effects: Vec::new(),
            working: Vec::new(),
            prepares: Vec::new(),
            grant: Arc::new(Grant::new(root)),
            runs: 0,
            tally: None,
        };
        bench.act(Command::StartInstance(Box::new(started)));
        bench
    }

    fn act(&mut self, command: Command) -> bool {
        let change = decide(&self.state, &BuiltinRules, command, Time(1)).expect("not rejected");
        if change.events.is_empty() {
            return false;
        }
        self.state.apply(&change, &mut self.effects);
        self.measure(&change);
        for effect in self.effects.drain(..) {
            match effect {
                Effect::RunAttempt { pt, agent, .. } => self.working.push((pt, agent)),
                Effect::Prepare { run, node, generation } => {
                    self.prepares.push((run, node, generation));
                }
                _ => {}
            }
        }
        true
    }

    fn measure(&mut self, change: &Change) {
        if let Some(tally) = &mut self.tally {
            tally.records += 1;
            tally.bytes += minicbor::to_vec(&change.events).unwrap().len() as u64;
        }
    }

    fn dispatch(&mut self) {
        while !self.state.queue().is_empty() && self.act(Command::Dispatch) {}
    }

    fn submit(&mut self, workflow: &Arc<Workflow>) {
        self.runs += 1;
        self.act(Command::SubmitRun(Box::new(SubmitRun {
            run: RunId(self.runs),
            namespace: "default".into(),
            workflow: workflow.clone(),
            input: Payload::inline(&b"{}"[..]),
            grant: self.grant.clone(),
            priority: Priority::Normal,
            deadline: None,
            start_at: None,
            budget: None,
            seed: 1,
            key: None,
            parent: None,
        })));
        self.dispatch();
    }

    fn finish(&mut self, (pt, agent): (PtId, AgentIx)) {
        self.act(Command::FinishAttempt(Box::new(FinishAttempt {
            pt,
            agent,
            outcome: AttemptOutcome::Succeeded {
                output: Payload::inline(&b"null"[..]),
                blobs: Vec::new(),
            },
            input: Hash::ZERO,
            spent: Amounts { calls: 1, ..Amounts::ZERO },
            micros: 1,
        })));
        self.dispatch();
    }

    fn singles(&mut self, count: u64) {
        let workflow = Workflow::single("noop").sealed();
        let mut submitted = 0;
        while submitted < count {
            for _ in 0..IN_FLIGHT {
                self.submit(&workflow);
                submitted += 1;
            }
            for working in std::mem::take(&mut self.working) {
                self.finish(working);
            }
        }
    }

    fn maps(&mut self, count: u64) {
        let mut map = TaskSpec::new("m", "noop");
        map.shape = Shape::Map(MapSpec {
            over: Bytes(Arc::from(&b"\"${input}\""[..])),
            parallel_max: 0,
            failures_max: 0,
            collect: false,
        });
        let workflow = Workflow { tasks: vec![map], ..Workflow::single("noop") }.sealed();
        for _ in 0..count {
            self.submit(&workflow);
            for (run, node, generation) in std::mem::take(&mut self.prepares) {
                let list = Payload::inline(&b"[]"[..]);
                let result = Prepared::List { count: CHILDREN, list };
                self.act(Command::FinishPreparation { run, node, generation, result });
            }
            self.dispatch();
            while !self.working.is_empty() {
                for working in std::mem::take(&mut self.working) {
                    self.finish(working);
                }
            }
        }
    }

    /// Nanoseconds that each of `count` took.
    fn timed(&mut self, count: u64, work: impl FnOnce(&mut Bench)) -> u64 {
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
        let begin = Instant::now();
        work(self);
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
        let took = begin.elapsed();
        u64::try_from(took.as_nanos()).unwrap() / count
    }

    /// Records and their bytes for each of `count`.
    fn tallied(&mut self, count: u64, work: impl FnOnce(&mut Bench)) -> (f64, f64) {
        self.tally = Some(Tally::default());
        work(self);
        let tally = self.tally.take().unwrap();
        (tally.records as f64 / count as f64, tally.bytes as f64 / tally.records as f64)
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
fn main() {
    let mut bench = Bench::new();
    bench.singles(SINGLES / 10);
    let single_ns = bench.timed(SINGLES, |it| it.singles(SINGLES));
    let children = MAPS * u64::from(CHILDREN);
    bench.maps(1);
    let child_ns = bench.timed(children, |it| it.maps(MAPS));
    let single = bench.tallied(1_000, |it| it.singles(1_000));
    let child = bench.tallied(u64::from(CHILDREN), |it| it.maps(1));
    println!(
        "{{\"agents\":{AGENTS},\"single_task_ns\":{single_ns},\"map_child_ns\":{child_ns},\
         \"single_records\":{:.2},\"single_bytes_per_record\":{:.0},\
         \"child_records\":{:.2},\"child_bytes_per_record\":{:.0}}}",
        single.0, single.1, child.0, child.1
    );
}
