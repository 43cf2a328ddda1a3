//! The state machine under random plans and random commands: every state is audited, every
//! journal replays to the same state, what is read from a snapshot decides and becomes the same,
//! and nothing that was accepted is ever stuck.

use std::collections::BTreeMap;
use std::sync::Arc;

use ark_os_core::budget::Amounts;
use ark_os_core::command::{AttemptOutcome, Prepared};
use ark_os_core::error::Failure;
use ark_os_core::event::{Intake, Resolution};
use ark_os_core::fleet::spec::FleetSpec;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, PtId, RunId, TaskRef};
use ark_os_core::layer::Layer;
use ark_os_core::payload::Payload;
use ark_os_core::plan::{EffectClass, OnFailure, Retry, TaskSpec, WaitOn, Workflow};
use ark_os_core::priority::Priority;
use ark_os_core::run::{RunState, TaskState};
use ark_os_core::step::{Finding, StepKey, StepOutcome, StepStanding};
use ark_os_core::{Command, Event};
use proptest::prelude::*;

use super::world::{
    World, child, expanding, group, instance, json, keyed, limited, list, map, plan, signal_wait,
    skill, task, wait,
};

/// The last one is nobody's until it is deployed.
const SKILLS: [&str; 6] = ["echo", "look", "put", "send", "narrow", "extra"];
const CLASSES: [EffectClass; 5] = [
    EffectClass::Pure,
    EffectClass::Read,
    EffectClass::Idempotent,
    EffectClass::Probed,
    EffectClass::Effectful,
];
const SIGNALS: [&str; 2] = ["go", "on"];
const PRIORITIES: [Priority; 4] =
    [Priority::Emergency, Priority::Critical, Priority::Normal, Priority::Maintenance];
/// More rounds of unparking and resolving than a plan has tasks to park.
const ROUNDS_MAX: usize = 200;

/// What a node is made from.
#[derive(Clone, Debug)]
struct Node {
    needs: u8,
    skill: usize,
    /// 0-3: a map of so many children; 4: a condition; 5: a pause; 6-7: a wait for a signal; 8:
    /// a run of the plan before; 9: a task that adds others; else one task.
    shape: u8,
    parallel_max: u32,
    failures_max: u32,
    /// 0-1: fail; 2: continue; 3-4: so many fallbacks in line.
    policy: u8,
    attempts: u32,
    deadline_ms: Option<u64>,
    timeout_ms: Option<u64>,
    is_skipped: bool,
    /// 0: a limit at one time; 1: a rate by key; 2: both by key; else none.
    limit: u8,
}

fn node() -> impl Strategy<Value = Node> {
    let shape = (0u8..10, 0u32..3, 0u32..3, 0u8..5);
    let times = (
        1u32..4,
        proptest::option::weighted(0.2, 1_000u64..20_000),
        proptest::option::weighted(0.2, 1_000u64..20_000),
    );
    let rest = (proptest::bool::weighted(0.2), 0u8..8);
    (any::<u8>(), 0..SKILLS.len(), shape, times, rest).prop_map(
        |(needs, skill, (shape, parallel_max, failures_max, policy), times, rest)| Node {
            needs,
            skill,
            shape,
            parallel_max,
            failures_max,
            policy,
            attempts: times.0,
            deadline_ms: times.1,
            timeout_ms: times.2,
            is_skipped: rest.0,
            limit: rest.1,
        },
    )
}

/// The task under its limit, and the answer with its key.
fn under_limit(node: &Node, spec: TaskSpec, answer: Prepared) -> (TaskSpec, Prepared) {
    let rate = Some((2, 3_000));
    match node.limit {
        0 => return (limited(spec, "alone", Some(1), None), answer),
        1 | 2 => {}
        _ => return (spec, answer),
    }
    let name = if node.limit == 1 { "rate" } else { "both" };
    let spec = keyed(limited(spec, name, (node.limit == 2).then_some(2), rate));
    let answer = match answer {
        Prepared::Skip => Prepared::Skip,
        answer => Prepared::Keyed(format!("k{}", node.needs & 1).into(), Box::new(answer)),
    };
    (spec, answer)
}

/// A valid plan of these nodes, with their fallbacks behind them.
fn workflow(
    nodes: &[Node],
    prefix: &str,
    below: Option<&Workflow>,
    world: &mut World,
) -> Arc<Workflow> {
    let mut tasks: Vec<TaskSpec> = Vec::new();
    for (i, node) in nodes.iter().enumerate() {
        let name = format!("{prefix}{i}");
        let needs: Vec<u32> = (0..i.min(8) as u32).filter(|it| node.needs >> it & 1 == 1).collect();
        let mut spec = match node.shape {
            0..=3 => map(&name, &needs, node.parallel_max, node.failures_max),
            5 => wait(&name, &needs, WaitOn::For(node.timeout_ms.unwrap_or(0))),
            8 if below.is_some() => child(&name, &needs, below.unwrap(), node.parallel_max == 2),
            9 => expanding(&name, &needs),
            6 | 7 => signal_wait(&name, &needs, SIGNALS[node.skill % 2], node.timeout_ms),
            _ => task(&name, &needs),
        };
        let answer = match node.shape {
            0..=3 => list(u32::from(node.shape)),
            _ if node.is_skipped => Prepared::Skip,
            8 if below.is_some() => Prepared::Input(json("{}")),
            _ => Prepared::Go,
        };
        spec.when = (node.shape == 4).then(|| "true".into());
        if spec.is_work() {
            spec.skill = SKILLS[node.skill].into();
        }
        let (mut spec, answer) = match spec.is_work() {
            true => under_limit(node, spec, answer),
            false => (spec, answer),
        };
        world.prepared.insert(name, answer);
        spec.retry = Retry { attempts: node.attempts, ..Retry::default() };
        spec.deadline_ms = node.deadline_ms;
        spec.timeout_ms = node.timeout_ms;
        spec.budget.tokens = u64::from(node.needs >> 6) * 40;
        tasks.push(spec);
    }
    for (i, node) in nodes.iter().enumerate() {
        match node.policy {
            2 => tasks[i].on_failure = OnFailure::Continue,
            3 | 4 => {
                let mut owner = i;
                for line in 3..=node.policy {
                    let mut stand_in = task(&format!("{prefix}{i}or{line}"), &[]);
                    // Some fallbacks need what their task needs.
                    if node.is_skipped {
                        stand_in.needs = tasks[i].needs.clone();
                    }
                    tasks[owner].on_failure = OnFailure::Fallback(tasks.len() as u32);
                    owner = tasks.len();
                    tasks.push(stand_in);
                }
            }
            _ => {}
        }
    }
    plan(tasks)
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Submit {
        plan: usize,
        priority: usize,
        deadline_ms: Option<u64>,
        calls: Option<u64>,
    },
    Finish(usize),
    Fail {
        at: usize,
        retryable: bool,
    },
    Refuse(usize),
    Overspend(usize),
    Lose(usize),
    Stale {
        at: usize,
        agent: u32,
    },
    Wrong {
        at: usize,
        agent: u32,
    },
    Intend {
        at: usize,
        number: u32,
        class: usize,
    },
    Settle {
        at: usize,
        fails: bool,
    },
    Probe {
        at: usize,
        finding: u8,
    },
    Signal {
        at: usize,
        name: usize,
        key: bool,
    },
    Cancel(usize),
    Pause(usize),
    Resume(usize),
    Retry {
        at: usize,
        node: Option<u32>,
    },
    Unpark(usize),
    Resolve {
        at: usize,
        how: u8,
    },
    Tick(u64),
    SetAgent {
        agent: u32,
        online: bool,
    },
    Renew(usize),
    Report {
        at: usize,
        mark: Option<u8>,
    },
    Drain(bool),
    Scale(u32),
    Deploy(u8),
    Health(bool),
    CancelDeployment,
    Snapshot,
    Restart,
    /// A command reaches an interrupted run before it is recovered.
    RestartThen {
        at: usize,
        what: u8,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let at = || any::<usize>();
    prop_oneof![
        4 => (at(), 0..4usize, proptest::option::weighted(0.1, 1u64..60_000),
              proptest::option::weighted(0.2, 0u64..8))
            .prop_map(|(plan, priority, deadline_ms, calls)| {
                Op::Submit { plan, priority, deadline_ms, calls }
            }),
        12 => at().prop_map(Op::Finish),
        5 => (at(), proptest::bool::weighted(0.7))
            .prop_map(|(at, retryable)| Op::Fail { at, retryable }),
        1 => at().prop_map(Op::Refuse),
        1 => at().prop_map(Op::Overspend),
        4 => at().prop_map(Op::Lose),
        2 => (at(), any::<u32>()).prop_map(|(at, agent)| Op::Stale { at, agent }),
        1 => (at(), any::<u32>()).prop_map(|(at, agent)| Op::Wrong { at, agent }),
        6 => (at(), 0..4u32, 0..5usize)
            .prop_map(|(at, number, class)| Op::Intend { at, number, class }),
        4 => (at(), any::<bool>()).prop_map(|(at, fails)| Op::Settle { at, fails }),
        3 => (at(), 0..3u8).prop_map(|(at, finding)| Op::Probe { at, finding }),
        4 => (at(), 0..2usize, any::<bool>())
            .prop_map(|(at, name, key)| Op::Signal { at, name, key }),
        1 => at().prop_map(Op::Cancel),
        1 => at().prop_map(Op::Pause),
        2 => at().prop_map(Op::Resume),
        2 => (at(), proptest::option::of(0..8u32)).prop_map(|(at, node)| Op::Retry { at, node }),
        2 => at().prop_map(Op::Unpark),
        3 => (at(), 0..3u8).prop_map(|(at, how)| Op::Resolve { at, how }),
        5 => (0..15_000u64).prop_map(Op::Tick),
        3 => (any::<u32>(), any::<bool>())
            .prop_map(|(agent, online)| Op::SetAgent { agent, online }),
        1 => at().prop_map(Op::Renew),
        3 => (at(), proptest::option::weighted(0.2, any::<u8>()))
            .prop_map(|(at, mark)| Op::Report { at, mark }),
        1 => any::<bool>().prop_map(Op::Drain),
        3 => (1..40u32).prop_map(Op::Scale),
        4 => any::<u8>().prop_map(Op::Deploy),
        6 => proptest::bool::weighted(0.9).prop_map(Op::Health),
        1 => Just(Op::CancelDeployment),
        2 => Just(Op::Snapshot),
        2 => Just(Op::Restart),
        2 => (at(), 0..8u8).prop_map(|(at, what)| Op::RestartThen { at, what }),
    ]
}

/// Some groups or others.
fn fleet(which: u8) -> FleetSpec {
    let has = |bit: u8| which >> bit & 1 == 1;
    let mut groups = vec![group("solo", Layer::Specialist, 1 + u32::from(has(0)), &["extra"])];
    groups[0].concurrency = has(1).then_some(1);
    if has(2) {
        groups.push(group("lead", Layer::StackChief, 1 + u32::from(has(3)), &[]));
        let mut crew = group("crew", Layer::Micro, 2 + u32::from(has(4)), &["put", "narrow"]);
        crew.supervisor = Some("lead".into());
        let mut hand = group("hand", Layer::Micro, 1, &["extra", "look"]);
        hand.supervisor = Some("expert".into());
        let mut expert = group("expert", Layer::Specialist, 1, &["send"]);
        expert.supervisor = has(5).then(|| "lead".into());
        groups.extend([hand, crew, expert]);
    }
    if has(6) {
        groups.push(group("elder", Layer::Board, 1, &[]));
    }
    if has(7) {
        groups.remove(0);
    }
    FleetSpec { groups, skills: vec![skill("extra", EffectClass::Read, None)] }
}

/// Tasks that a task adds: a chain, or some that stand alone, of any skill.
fn more(pt: PtId, at: usize) -> Vec<TaskSpec> {
    let first = pt.task.node;
    let mut tasks = Vec::new();
    for i in 0..at % 3 {
        let mut spec = task(&format!("more{}-{i}", pt.fence.0), &[first]);
        spec.skill = SKILLS[at % SKILLS.len()].into();
        spec.on_failure = if at.is_multiple_of(5) { OnFailure::Continue } else { OnFailure::Fail };
        tasks.push(spec);
    }
    tasks
}

/// The `at`-th of a list, around its end.
fn pick<T: Copy>(list: &[T], at: usize) -> Option<T> {
    list.get(at.checked_rem(list.len())?).copied()
}

struct Play {
    world: World,
    plans: Vec<Arc<Workflow>>,
    accepted: Vec<RunId>,
}

impl Play {
    fn token(&self, at: usize) -> Option<PtId> {
        let open: Vec<PtId> = self.world.open.keys().copied().collect();
        pick(&open, at)
    }

    fn open_step(&self, pt: PtId) -> Option<StepKey> {
        let it = self.world.run(pt.run).task(pt.task)?;
        let is_open = |step: &&ark_os_core::step::Step| {
            step.standing == StepStanding::Open && step.fence == pt.fence
        };
        it.steps.iter().find(is_open).map(|step| step.key)
    }

    fn doubts(&self) -> Vec<(RunId, StepKey)> {
        let mut found = Vec::new();
        for id in self.world.state.run_ids() {
            let run = self.world.run(id);
            for task in run.live_tasks(ark_os_core::run::Task::is_in_doubt) {
                let steps = &run.task(task).unwrap().steps;
                let in_doubt = steps.iter().filter(|it| it.standing == StepStanding::InDoubt);
                found.extend(in_doubt.map(|step| (id, step.key)));
            }
        }
        found
    }

    fn parked(&self) -> Vec<(RunId, TaskRef)> {
        let mut found = Vec::new();
        for id in self.world.state.run_ids() {
            let parked = self.world.run(id).live_tasks(|it| it.state == TaskState::Parked);
            found.extend(parked.into_iter().map(|task| (id, task)));
        }
        found
    }

    fn agent(&self, ix: u32) -> AgentIx {
        AgentIx(ix % self.world.state.fleet().len())
    }

    fn submit(&mut self, plan: usize, change: impl FnOnce(&mut ark_os_core::command::SubmitRun)) {
        let plan = self.plans[plan % self.plans.len()].clone();
        if let Ok(run) = self.world.submit_with(plan, change) {
            self.accepted.push(run);
        }
    }

    fn play(&mut self, op: Op) {
        let now = self.world.now;
        self.meet_children();
        match op {
            Op::Submit { plan, priority, deadline_ms, calls } => self.submit(plan, |it| {
                it.priority = PRIORITIES[priority];
                it.deadline = deadline_ms.map(|ms| now.plus(ms));
                it.budget =
                    calls.map(|calls| Amounts { calls, tokens: 60 * calls, ..Amounts::UNLIMITED });
            }),
            Op::Tick(ms) => self.world.tick(ms),
            Op::Snapshot => drop(self.world.snapshot()),
            Op::Restart => self.world.restart(),
            Op::RestartThen { at, what } => self.restart_then(at, what),
            Op::SetAgent { agent, online } => {
                let agent = self.agent(agent);
                self.set_agent(agent, online);
            }
            Op::Scale(agents) => {
                let _ = self.world.act(Command::ScaleFleet { agents, reason: "r".into() });
                self.world.dispatch();
            }
            Op::Deploy(which) => {
                let _ = self.world.deploy(fleet(which), Vec::new());
            }
            Op::Health(is_well) => self.world.report(is_well),
            Op::CancelDeployment => {
                let command = Command::CancelDeployment { version: None, reason: "r".into() };
                let _ = self.world.act(command);
            }
            Op::Drain(drain) => {
                let intake = if drain { Intake::Draining } else { Intake::Open };
                let _ = self.world.act(Command::SetIntake { intake, reason: "r".into() });
            }
            Op::Stale { at, agent } => {
                let begun: Vec<PtId> = self.world.begun.iter().map(|it| it.pt).collect();
                if let Some(pt) = pick(&begun, at).filter(|pt| !self.world.open.contains_key(pt)) {
                    let agent = self.agent(agent);
                    self.claim_falsely(pt, agent);
                }
            }
            Op::Signal { at, name, key } => {
                if let Some(run) = pick(&self.accepted, at) {
                    let key = key.then(|| format!("{run}{name}{at}"));
                    let _ = self.world.signal_keyed(run, SIGNALS[name], key.as_deref());
                }
            }
            Op::Unpark(at) => {
                if let Some((run, task)) = pick(&self.parked(), at) {
                    let _ = self.world.unpark(run, task);
                }
            }
            Op::Resolve { at, how } => {
                if let Some((run, key)) = pick(&self.doubts(), at) {
                    let how = [
                        Resolution::Happened(json("1")),
                        Resolution::NotHappened,
                        Resolution::GiveUp,
                    ][usize::from(how)]
                    .clone();
                    self.world.resolve(run, key, how).unwrap();
                }
            }
            Op::Cancel(_) | Op::Pause(_) | Op::Resume(_) | Op::Retry { .. } => self.steer(op),
            _ => self.at_work(op),
        }
    }

    /// Who comes or goes is not asked.
    fn set_agent(&mut self, agent: AgentIx, online: bool) {
        let reason = "operator".into();
        let is_passing =
            self.world.state.fleet().agent(agent).is_some_and(|it| it.standing.is_passing());
        let set = self.world.act(Command::SetAgent { agent, online, reason });
        assert!(set.is_ok() || is_passing);
        self.world.dispatch();
    }

    /// Children are runs as all others.
    fn meet_children(&mut self) {
        for run in self.world.state.run_ids() {
            if !self.accepted.contains(&run) {
                self.accepted.push(run);
            }
        }
    }

    fn restart_then(&mut self, at: usize, what: u8) {
        let held: Vec<PtId> = self.world.open.keys().copied().collect();
        self.world.reopen();
        if at.is_multiple_of(3) {
            self.world.snapshot();
        }
        let reason = "r".into();
        if let (Some(run), Some(pt)) = (pick(&self.accepted, at), pick(&held, at)) {
            let command = match what {
                0 => Command::CancelRun { run, reason },
                1 => Command::PauseRun { run, reason },
                2 => Command::ResumeRun { run, reason },
                3 => Command::Dispatch,
                4 => Command::FireTimer,
                7 => self.world.signal_command(run, SIGNALS[at % 2], None),
                5 => Command::LoseAttempt { pt, reason: Failure::retryable("late", "late") },
                _ => Command::SettleStep {
                    pt,
                    key: self.open_step(pt).unwrap_or(StepKey(Hash::ZERO)),
                    outcome: StepOutcome::Done(json("1")),
                    spent: Amounts::ZERO,
                },
            };
            if self.world.act(command).is_ok() && what == 0 {
                self.world.cancelled.insert(run);
            }
        }
        self.world.dispatch();
    }

    /// I4: a false claim changes nothing of the run.
    fn claim_falsely(&mut self, pt: PtId, agent: AgentIx) {
        let before = self.world.state.run(pt.run).cloned();
        let finish = ark_os_core::command::FinishAttempt {
            pt,
            agent,
            outcome: AttemptOutcome::Succeeded { output: json("0"), blobs: Vec::new() },
            input: Hash::ZERO,
            spent: Amounts::ZERO,
            micros: 0,
        };
        self.world.act(Command::FinishAttempt(Box::new(finish))).unwrap();
        assert_eq!(self.world.state.run(pt.run).cloned(), before, "I4");
        self.world.dispatch();
    }

    fn steer(&mut self, op: Op) {
        let (Op::Cancel(at) | Op::Pause(at) | Op::Resume(at) | Op::Retry { at, .. }) = op else {
            return;
        };
        let Some(run) = pick(&self.accepted, at) else { return };
        let reason = "r".into();
        match op {
            Op::Cancel(_) => drop(self.world.cancel(run)),
            Op::Pause(_) => drop(self.world.act(Command::PauseRun { run, reason })),
            Op::Resume(_) => drop(self.world.act(Command::ResumeRun { run, reason })),
            Op::Retry { node, .. } => drop(self.world.retry(run, node)),
            _ => {}
        }
        self.world.dispatch();
    }

    fn at_work(&mut self, op: Op) {
        let (Op::Finish(at)
        | Op::Fail { at, .. }
        | Op::Refuse(at)
        | Op::Overspend(at)
        | Op::Lose(at)
        | Op::Wrong { at, .. }
        | Op::Intend { at, .. }
        | Op::Settle { at, .. }
        | Op::Probe { at, .. }
        | Op::Renew(at)
        | Op::Report { at, .. }) = op
        else {
            return;
        };
        let Some(pt) = self.token(at) else { return };
        let agent = self.world.open[&pt].agent;
        let world = &mut self.world;
        match op {
            Op::Finish(_) => match world.run(pt.run).spec(pt.task.node).unwrap().expands {
                Some(_) => drop(world.expand(pt, more(pt, at))),
                None => drop(world.finish(pt, "1")),
            },
            Op::Fail { retryable, .. } => {
                drop(world.fail(pt, Failure::new("no", "no", retryable)));
            }
            Op::Refuse(_) => drop(world.refuse(pt)),
            Op::Overspend(_) => {
                let outcome = AttemptOutcome::Succeeded { output: json("1"), blobs: Vec::new() };
                let spent = Amounts { tokens: 77, calls: 2, ..Amounts::ZERO };
                world.finish_as(pt, agent, outcome, spent).unwrap();
            }
            Op::Lose(_) => world.lose(pt),
            Op::Wrong { agent: other, .. } => {
                let other = self.agent(other);
                if other != agent {
                    self.claim_falsely(pt, other);
                }
            }
            Op::Intend { number, class, .. } => {
                let mut intent = world.intent(pt, number, CLASSES[class]);
                intent.arguments = Hash::of(b"same");
                drop(world.act(Command::IntendStep(Box::new(intent))));
            }
            Op::Settle { fails, .. } => {
                let Some(key) = self.open_step(pt) else { return };
                let outcome = match fails {
                    true => StepOutcome::Failed(Failure::new("no", "no", at % 2 == 0)),
                    false => StepOutcome::Done(json("1")),
                };
                let spent = Amounts { steps: 1, ..Amounts::ZERO };
                self.world.act(Command::SettleStep { pt, key, outcome, spent }).unwrap();
                self.world.dispatch();
            }
            Op::Probe { finding, .. } => {
                let Some(key) = self.open_step(pt) else { return };
                let finding =
                    [Finding::Happened(json("1")), Finding::NotHappened, Finding::Unknown]
                        [usize::from(finding)]
                    .clone();
                drop(self.world.act(Command::ReportProbe { pt, agent, key, finding }));
                self.world.dispatch();
            }
            Op::Renew(_) => drop(world.act(Command::RenewLease { pt, agent }).unwrap()),
            Op::Report { mark, .. } => {
                let checkpoint = mark.map(|mark| Hash::of(&[mark]));
                world.act(Command::ReportProgress { pt, agent, checkpoint }).unwrap();
                world.dispatch();
            }
            _ => {}
        }
    }

    /// Agents work, and whoever waits for a signal gets it.
    fn work(&mut self) {
        loop {
            self.world.work();
            self.meet_children();
            let waits = |run: &RunId| {
                let run = self.world.state.run(*run)?;
                run.awaited().first().map(|name| (run.id, name.clone()))
            };
            let Some((run, name)) = self.accepted.iter().find_map(waits) else { return };
            self.world.signal(run, &name).unwrap();
        }
    }

    /// Every signal that was taken ended one wait, or is kept, or the run that kept it is over.
    fn audit_signals(&self) {
        let mut kept: BTreeMap<RunId, BTreeMap<u64, Payload>> = BTreeMap::new();
        for change in &self.world.changes {
            let Some(run) = change.run else { continue };
            let kept = kept.entry(run).or_default();
            for event in &change.events {
                match event {
                    Event::SignalReceived(it) => {
                        assert!(kept.insert(it.number, it.payload.clone()).is_none());
                    }
                    Event::WaitEnded { output, signal: Some(number), .. } => {
                        assert_eq!(kept.remove(number).as_ref(), Some(output), "used once");
                    }
                    _ => {}
                }
            }
        }
        for (run, kept) in kept {
            let Some(run) = self.world.state.run(run) else { continue };
            assert!(run.inbox.iter().map(|it| it.number).eq(kept.into_keys()), "lost or twice");
        }
    }

    /// Everybody is back and works; then people decide what is parked. Nothing may be left over.
    fn end(&mut self) {
        let open = Command::SetIntake { intake: Intake::Open, reason: "r".into() };
        self.world.act(open).unwrap();
        for ix in 0..self.world.state.fleet().len() {
            self.set_agent(AgentIx(ix), true);
        }
        self.meet_children();
        for run in self.accepted.clone() {
            let _ = self.world.act(Command::ResumeRun { run, reason: "r".into() });
        }
        self.work();
        for run in &self.accepted {
            use RunState::{Cancelled, Failed, Parked, Succeeded, Waiting};
            let standing = match self.world.state.run(*run) {
                // Gone, or behind those that rest.
                None => continue,
                Some(run) => run.state(),
            };
            // Whoever waits for a child that is parked rests too.
            let rests = matches!(standing, Cancelled | Failed | Parked | Succeeded)
                || standing == Waiting && self.world.run(*run).awaited_children().count() > 0;
            assert!(rests, "stuck: {:#?}", self.world.run(*run));
        }
        self.world.replayed();
        for _ in 0..ROUNDS_MAX {
            for (run, key) in self.doubts() {
                self.world.resolve(run, key, Resolution::NotHappened).unwrap();
            }
            self.work();
            let Some((run, task)) = pick(&self.parked(), 0) else { break };
            self.world.unpark(run, task).unwrap();
            self.work();
        }
        self.audit_signals();
        assert_eq!(self.world.state.live(), 0, "what is unparked comes to its end");
        assert_eq!(self.world.state.fleet().in_use(), 0);
        assert!(self.world.state.queue().is_empty());
        for (_, account) in self.world.state.accounts() {
            assert!(account.reserved().is_zero());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        // More by the environment variable PROPTEST_CASES.
        cases: ProptestConfig::default().cases.max(384),
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_stuck_lost_or_counted_wrong_whatever_happens(
        agents in prop_oneof![1u32..8, Just(12), Just(30)],
        plans in proptest::collection::vec(proptest::collection::vec(node(), 1..7), 1..4),
        ops in proptest::collection::vec(op(), 1..70),
        tokens in proptest::option::weighted(0.3, 100u64..2_000),
        places in proptest::option::weighted(0.5, 1u32..4),
    ) {
        let mut settings = instance(agents);
        settings.runs_resident_max = places;
        settings.namespace_budget.tokens = tokens.unwrap_or(u64::MAX);
        let mut world = World::of(settings);
        let mut made: Vec<Arc<Workflow>> = Vec::new();
        for (nodes, prefix) in plans.iter().zip(["x", "y", "z"]) {
            let made_of = workflow(nodes, prefix, made.last().map(|it| &**it), &mut world);
            made.push(made_of);
        }
        let plans = made;
        let mut play = Play { world, plans, accepted: Vec::new() };
        play.submit(0, |_| {});
        for op in ops {
            play.play(op);
        }
        play.end();
    }
}
