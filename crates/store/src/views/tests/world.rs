//! A small instance that makes journals for the tests: the core's own decisions about whatever a
//! list of numbers asks for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ark_os_core::authority::{Attenuation, Authority, Grant, RevocationId, Scopes};
use ark_os_core::budget::Amounts;
use ark_os_core::command::{AttemptOutcome, FinishAttempt, Prepared, SubmitRun};
use ark_os_core::effect::Effect;
use ark_os_core::error::Failure;
use ark_os_core::event::InstanceStarted;
use ark_os_core::fleet::SkillInfo;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, RunId, TaskId};
use ark_os_core::payload::{Bytes, Payload};
use ark_os_core::plan::{EffectClass, MapSpec, OnFailure, Shape, TaskSpec, Workflow};
use ark_os_core::priority::Priority;
use ark_os_core::rules::{BuiltinRules, Mode};
use ark_os_core::run::{RunSummary, TaskState};
use ark_os_core::time::Time;
use ark_os_core::{Change, Command, State, decide};

use crate::views::{Followed, Follower, Queries, Views, ViewsOptions};

/// One wish: what, and of which.
pub(super) type Wish = (u8, u16);

pub(super) const NAMESPACES: [&str; 3] =
    ["default", "it's \"quoted\"; DROP TABLE runs --", "ü\u{0}%_"];

pub(super) struct World {
    pub(super) state: State,
    pub(super) changes: Vec<Change>,
    /// The last that was told of runs that are over.
    pub(super) told: BTreeMap<RunId, RunSummary>,
    pub(super) runs: u64,
    now: Time,
    effects: Vec<Effect>,
    plans: Vec<Arc<Workflow>>,
}

pub(super) fn run_id(number: u64) -> RunId {
    RunId(u128::from(1_790_000_000_000 + number / 3) << 80 | u128::from(number))
}

fn plans() -> Vec<Arc<Workflow>> {
    let named = |name: &str, tasks: Vec<TaskSpec>| Workflow {
        name: name.into(),
        tasks,
        ..Workflow::single("echo")
    };
    let task = |name: &str, needs: &[u32], feeds: &[u32]| {
        let mut task = TaskSpec::new(name, "echo");
        task.needs = needs.to_vec();
        task.feeds = feeds.to_vec();
        task.retry.attempts = 2;
        task
    };
    let chain = vec![task("a", &[], &[1]), task("b", &[0], &[2]), task("c", &[1], &[])];
    let mut two_sinks = vec![task("a", &[], &[1, 2]), task("b", &[0], &[]), task("c", &[0], &[])];
    two_sinks[1].when = Some("true".into());
    let mut map = vec![task("list", &[], &[1]), task("each", &[0], &[2]), task("sum", &[1], &[])];
    let over = Bytes(Arc::from(&b"[]"[..]));
    map[1].shape = Shape::Map(MapSpec { over, parallel_max: 2, failures_max: 1, collect: false });
    map[2].shape = Shape::Reduce(1);
    let sole_map = vec![TaskSpec { feeds: Vec::new(), needs: Vec::new(), ..map[1].clone() }];
    let mut spare = vec![task("risky", &[], &[2]), task("spare", &[], &[]), task("end", &[0], &[])];
    spare[0].on_failure = OnFailure::Fallback(1);
    spare[1].is_fallback = true;
    let mut shaped = named("shaped 'output'", chain.clone());
    shaped.output = Some(Bytes(Arc::from(&b"{}"[..])));
    vec![
        Workflow::single("echo").sealed(),
        named("chain", chain).sealed(),
        named("two-sinks", two_sinks).sealed(),
        named("map", map).sealed(),
        named("sole-map", sole_map).sealed(),
        named("spare", spare).sealed(),
        shaped.sealed(),
    ]
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = World {
            state: State::default(),
            changes: Vec::new(),
            told: BTreeMap::new(),
            runs: 0,
            now: Time(1_790_000_000_000),
            effects: Vec::new(),
            plans: plans(),
        };
        world.start();
        world
    }

    /// A world in which these wishes came true, as far as they could.
    pub(super) fn of(wishes: &[Wish]) -> Self {
        let mut world = World::new();
        wishes.iter().for_each(|wish| world.wish(*wish));
        world
    }

    fn start(&mut self) {
        self.send(Command::StartInstance(Box::new(InstanceStarted {
            version: "test".into(),
            mode: Mode::Supervised,
            agents: 12,
            skills: vec![SkillInfo {
                name: "echo".into(),
                class: EffectClass::Pure,
                concurrency_max: None,
            }],
            agent_concurrency: 1,
            concurrent_tasks_max: 1_000,
            task_timeout_ms: 60_000,
            rules: Hash::ZERO,
            namespace_budget: Amounts::UNLIMITED,
            lease_ms: None,
            runs_resident_max: None,
            agents_max: None,
            broken: None,
        })));
        while let Some(run) = self.state.interrupted() {
            self.send(Command::RecoverRun { run });
        }
    }

    pub(super) fn send(&mut self, command: Command) {
        let Ok(change) = decide(&self.state, &BuiltinRules, command, self.now) else { return };
        if change.events.is_empty() {
            return;
        }
        let mut effects = Vec::new();
        self.state.apply(&change, &mut effects);
        self.changes.push(change);
        for effect in effects {
            match effect {
                Effect::AnnounceRun { summary } => {
                    self.told.insert(summary.id, summary.as_ref().clone());
                }
                Effect::StopAttempt { .. } => {}
                other => self.effects.push(other),
            }
        }
    }

    pub(super) fn submit(&mut self, plan: usize, namespace: &str) -> RunId {
        let root = Authority::root("root".into(), Scopes::everything(), RevocationId([1; 16]));
        let asked = Attenuation::of_everything("caller".into(), RevocationId([2; 16]));
        let grant = Grant::new(root.attenuate(&asked).unwrap());
        self.runs += 1;
        let run = run_id(self.runs);
        self.send(Command::SubmitRun(Box::new(SubmitRun {
            run,
            namespace: namespace.into(),
            workflow: self.plans[plan % self.plans.len()].clone(),
            input: Payload::null(),
            grant: Arc::new(grant),
            priority: Priority::High,
            deadline: None,
            start_at: None,
            budget: None,
            seed: self.runs,
            key: None,
            parent: None,
        })));
        run
    }

    fn wish(&mut self, (what, which): Wish) {
        let which = usize::from(which);
        let run = run_id(which as u64 % self.runs.max(1) + 1);
        match what % 20 {
            0..=3 => {
                self.submit(which, NAMESPACES[which / 7 % NAMESPACES.len()]);
            }
            4..=10 => self.answer(which),
            11 => self.send(Command::Dispatch),
            12 => self.wait(which as u64 * 10),
            13 => self.send(Command::CancelRun { run, reason: "o'clock".into() }),
            14 => self.send(Command::PauseRun { run, reason: "lunch".into() }),
            15 => self.send(Command::ResumeRun { run, reason: "back".into() }),
            16 => {
                let task = (which % 3 != 0).then_some(which as u32 % 2);
                self.send(Command::RetryRun { run, task, reason: "again".into() });
            }
            17 => self.unpark(run),
            18 => self.send(Command::SetAgent {
                agent: AgentIx((which % 3) as u32),
                online: which % 2 == 0,
                reason: "test".into(),
            }),
            _ if which % 8 == 0 => self.start(),
            _ => self.poison(run),
        }
    }

    /// The run's attempts are lost until nothing of it moves.
    fn poison(&mut self, run: RunId) {
        for _ in 0..20 {
            let begun = self.effects.iter().position(
                |effect| matches!(effect, Effect::RunAttempt { pt, .. } if pt.run == run),
            );
            if let Some(ix) = begun
                && let Effect::RunAttempt { pt, .. } = self.effects.remove(ix)
            {
                let reason = Failure::retryable("lost", "the agent died");
                self.send(Command::LoseAttempt { pt, reason });
            }
            self.wait(300);
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now.plus(millis);
        while self.state.timers().first().is_some_and(|(due, _)| due <= self.now) {
            let before = self.changes.len();
            self.send(Command::FireTimer);
            if self.changes.len() == before {
                return;
            }
        }
        self.send(Command::Dispatch);
    }

    fn unpark(&mut self, run: RunId) {
        let parked = self.state.run(run).and_then(|run| {
            run.live_tasks(|task| task.state == TaskState::Parked).first().copied()
        });
        if let Some(task) = parked {
            let task = TaskId { run, task };
            self.send(Command::UnparkTask { task, reason: "seen to".into() });
        }
    }

    /// Answers one of the effects that are open.
    pub(super) fn answer(&mut self, which: usize) {
        if self.effects.is_empty() {
            return;
        }
        let effect = self.effects.remove(which % self.effects.len());
        let flavour = which / 3;
        let command = match effect {
            Effect::RunAttempt { pt, .. } if flavour.is_multiple_of(11) => {
                Command::LoseAttempt { pt, reason: Failure::retryable("lost", "the agent died") }
            }
            Effect::RunAttempt { pt, agent, .. } => {
                let output = Payload::inline(format!("\"{pt} 'done'\"").into_bytes());
                let large = Payload::Blob { hash: Hash::of(b"large"), len: 1 << 40 };
                let outcome = match flavour % 11 {
                    1 => AttemptOutcome::Failed(Failure::fatal("broken", "can't \"do\" that")),
                    2 | 3 => AttemptOutcome::Failed(Failure::retryable("later", "not now")),
                    4 => AttemptOutcome::Refused(Failure::retryable("schema", "no number")),
                    5 => AttemptOutcome::Succeeded { output: large, blobs: Vec::new() },
                    _ => AttemptOutcome::Succeeded { output, blobs: Vec::new() },
                };
                Command::FinishAttempt(Box::new(FinishAttempt {
                    pt,
                    agent,
                    outcome,
                    input: Hash::ZERO,
                    spent: Amounts::ZERO,
                    micros: 1,
                }))
            }
            Effect::Prepare { run, node, generation } => {
                let list = Payload::inline(&b"[0]"[..]);
                let is_map = self
                    .state
                    .run(run)
                    .and_then(|run| run.spec(node))
                    .is_some_and(|it| matches!(it.shape, Shape::Map(_)));
                let result = match flavour % 5 {
                    0 => Prepared::Failed(Failure::fatal("expression", "no such key")),
                    1 => Prepared::Skip,
                    _ if is_map => Prepared::List { count: flavour as u32 % 4, list },
                    _ => Prepared::Go,
                };
                Command::FinishPreparation { run, node, generation, result }
            }
            Effect::Gather { run, generation } => {
                let result = match flavour % 4 {
                    0 => Err(Failure::fatal("template", "no such task")),
                    _ => Ok(Payload::inline(&br#"{"gathered":true}"#[..])),
                };
                Command::FinishGathering { run, generation, result }
            }
            _ => return,
        };
        self.send(command);
    }

    /// Numbers of the records of a run.
    pub(super) fn records_of(&self, run: RunId) -> Vec<u64> {
        (1u64..)
            .zip(&self.changes)
            .filter(|(_, change)| change.run == Some(run))
            .map(|(seq, _)| seq)
            .collect()
    }

    /// The journal as the follower is fed.
    pub(super) fn feed(&self) -> Vec<Followed<'_>> {
        feed(&self.changes)
    }
}

pub(super) fn feed(changes: &[Change]) -> Vec<Followed<'_>> {
    (1u64..)
        .zip(changes)
        .map(|(seq, it)| Followed { seq, at: it.at, run: it.run, events: &it.events })
        .collect()
}

pub(super) fn open(dir: &Path, runs_kept_max: usize) -> (Follower, Queries) {
    let options = ViewsOptions { runs_kept_max, ..ViewsOptions::default() };
    Views::open(&dir.join("views.db"), options).unwrap().split().unwrap()
}

/// Everything that the tables hold, as text.
pub(super) fn dump(dir: &Path) -> Vec<String> {
    let db = rusqlite::Connection::open(dir.join("views.db")).unwrap();
    let mut lines = Vec::new();
    for sql in [
        "SELECT seq FROM position",
        "SELECT * FROM namespaces",
        "SELECT * FROM plans",
        "SELECT * FROM admissions",
        "SELECT * FROM runs",
        "SELECT * FROM record_chunks",
        // A state that runs only passed through may have a row or none.
        "SELECT * FROM state_counts WHERE runs <> 0",
    ] {
        let mut select = db.prepare(sql).unwrap();
        let columns = select.column_count();
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells: Vec<_> = (0..columns).map(|ix| row.get_ref(ix).unwrap()).collect();
            lines.push(format!("{sql}: {cells:?}"));
        }
    }
    lines
}
