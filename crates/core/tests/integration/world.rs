//! A small world around the core: a state, the built-in rules, a clock that only we move, agents
//! that do what a test says, and a journal of every change in its encoded form.
//!
//! Every change goes through CBOR before it is applied, and every state is audited.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ark_os_core::authority::{Attenuation, Authority, Grant, RevocationId, Scopes};
use ark_os_core::budget::Amounts;
use ark_os_core::child_run::Errand;
use ark_os_core::command::{
    AttemptOutcome, Deploy, FinishAttempt, IntendStep, LoadRun, LoadVerb, Prepared, SendSignal,
    SubmitRun,
};
use ark_os_core::decide::{self, decide};
use ark_os_core::effect::Effect;
use ark_os_core::error::Failure;
use ark_os_core::event::{InstanceStarted, Resolution, RunAccepted, SubmissionKey};
use ark_os_core::fleet::SkillInfo;
use ark_os_core::fleet::spec::{FleetSpec, GroupSpec};
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, PtId, RunId, TaskId, TaskRef};
use ark_os_core::layer::Layer;
use ark_os_core::payload::Payload;
use ark_os_core::plan::{
    ChildSpec, EffectClass, LimitSpec, MapSpec, OnFailure, Rate, Shape, TaskSpec, WaitOn, WaitSpec,
    Workflow,
};
use ark_os_core::priority::Priority;
use ark_os_core::rules::{BuiltinRules, Mode, Question, Rules, Verdict};
use ark_os_core::run::{Run, RunState, RunSummary, Task, TaskState};
use ark_os_core::step::{Finding, StepKey, StepOutcome};
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_core::{Change, Command, Event, Rejected, State};

use super::audit::Auditor;

/// More follow-ups than any test needs; beyond it something goes round in circles.
const FOLLOW_UPS_MAX: usize = 100_000;

/// An attempt that an agent of the world works on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Working {
    pub(crate) pt: PtId,
    pub(crate) agent: AgentIx,
    pub(crate) attempt: u32,
}

pub(crate) struct World {
    pub(crate) state: State,
    /// A state read from a snapshot of the other: it lives through everything that follows too.
    pub(crate) twin: Option<Box<State>>,
    pub(crate) now: Time,
    pub(crate) instance: InstanceStarted,
    /// The journal, encoded.
    pub(crate) journal: Vec<(Option<RunId>, Time, Vec<u8>)>,
    /// The same, decoded, for tests that look for an event.
    pub(crate) changes: Vec<Change>,
    /// Attempts under way, by token.
    pub(crate) open: BTreeMap<PtId, Working>,
    /// Every attempt ever begun.
    pub(crate) begun: Vec<Working>,
    pub(crate) performed: Vec<(PtId, StepKey)>,
    pub(crate) announced: BTreeMap<RunId, Arc<RunSummary>>,
    /// Answers to preparations, by task name; a map gets three items where nothing is said.
    pub(crate) prepared: BTreeMap<String, Prepared>,
    prepares: Vec<(RunId, u32, u32)>,
    gathers: Vec<(RunId, u32)>,
    /// Checks of a deployment that are asked for.
    pub(crate) checks: Vec<(u64, Option<Layer>)>,
    pub(crate) gathered: Result<Payload, Failure>,
    pub(crate) grant: Arc<Grant>,
    pub(crate) rules: Arc<dyn Rules>,
    /// Runs whose cancellation was acknowledged.
    pub(crate) cancelled: BTreeSet<RunId>,
    auditor: Auditor,
    /// Runs whose records cannot be read any more.
    pub(crate) unreadable: BTreeSet<RunId>,
    /// Audit every so many changes.
    pub(crate) audit_every: usize,
    runs: u128,
}

pub(crate) fn skill(name: &str, class: EffectClass, concurrency_max: Option<u32>) -> SkillInfo {
    SkillInfo { name: name.into(), class, concurrency_max }
}

/// Rules that nobody passes, or everybody as before but by another digest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newer {
    pub(crate) denies: bool,
}

impl Rules for Newer {
    fn hash(&self) -> Hash {
        Hash::of(if self.denies { b"denies" } else { b"allows" })
    }

    fn judge(&self, question: &Question<'_>) -> Verdict {
        if self.denies {
            Verdict::deny("newer", "not any more")
        } else {
            BuiltinRules.judge(question)
        }
    }
}

pub(crate) fn instance(agents: u32) -> InstanceStarted {
    InstanceStarted {
        version: "test".into(),
        mode: Mode::Autonomous,
        agents,
        skills: vec![
            skill("echo", EffectClass::Pure, None),
            skill("look", EffectClass::Read, None),
            skill("put", EffectClass::Idempotent, None),
            skill("send", EffectClass::Effectful, None),
            skill("narrow", EffectClass::Pure, Some(2)),
        ],
        agent_concurrency: 2,
        concurrent_tasks_max: 1_000,
        task_timeout_ms: 300_000,
        rules: BuiltinRules.hash(),
        namespace_budget: Amounts::UNLIMITED,
        lease_ms: None,
        runs_resident_max: None,
        agents_max: None,
        broken: None,
    }
}

pub(crate) fn group(name: &str, layer: Layer, count: u32, skills: &[&str]) -> GroupSpec {
    GroupSpec {
        name: name.into(),
        layer,
        count,
        supervisor: None,
        skills: skills.iter().map(|skill| Text::from(*skill)).collect(),
        concurrency: None,
        behaviour: None,
        workers: false,
    }
}

pub(crate) fn authority() -> Authority {
    let scopes = Scopes::parse(["*", "effect:effectful"]).unwrap();
    Authority::root("tester".into(), scopes, RevocationId([7; 16]))
}

pub(crate) fn narrowed(change: impl FnOnce(&mut Attenuation)) -> Grant {
    let mut asked = Attenuation::of_everything("caller".into(), RevocationId([9; 16]));
    change(&mut asked);
    // The five layers below need the rest of the depth.
    Grant::new(authority().attenuate(&asked).unwrap())
}

/// A task with these needs, by place.
pub(crate) fn task(name: &str, needs: &[u32]) -> TaskSpec {
    let mut task = TaskSpec::new(name, "echo");
    task.needs = needs.to_vec();
    task
}

pub(crate) fn map(name: &str, needs: &[u32], parallel_max: u32, failures_max: u32) -> TaskSpec {
    let over = ark_os_core::payload::Bytes(Arc::from(&br#""${input}""#[..]));
    let shape = Shape::Map(MapSpec { over, parallel_max, failures_max, collect: false });
    TaskSpec { shape, ..task(name, needs) }
}

/// The same task under a limit.
pub(crate) fn limited(
    task: TaskSpec,
    name: &str,
    at_once: Option<u32>,
    rate: Option<(u32, u64)>,
) -> TaskSpec {
    let rate = rate.map(|(count, per_ms)| Rate { count, per_ms });
    let limit = LimitSpec { name: name.into(), key: None, at_once, rate };
    TaskSpec { limit: Some(Box::new(limit)), ..task }
}

/// The same by a key, which the preparation gives.
pub(crate) fn keyed(mut task: TaskSpec) -> TaskSpec {
    let template = ark_os_core::payload::Bytes(Arc::from(&br#""${input}""#[..]));
    task.limit.as_mut().unwrap().key = Some(template);
    task
}

/// A task that may add others.
pub(crate) fn expanding(name: &str, needs: &[u32]) -> TaskSpec {
    TaskSpec { expands: Some(true), ..task(name, needs) }
}

/// A task that is a run of its own.
pub(crate) fn child(name: &str, needs: &[u32], workflow: &Workflow, is_detached: bool) -> TaskSpec {
    let shape = Shape::Child(ChildSpec::new(workflow, is_detached));
    TaskSpec { shape, skill: "".into(), ..task(name, needs) }
}

/// A task that nobody works on.
pub(crate) fn wait(name: &str, needs: &[u32], on: WaitOn) -> TaskSpec {
    let shape = Shape::Wait(WaitSpec { on, timeout_ms: None, goes_on: false });
    TaskSpec { shape, skill: "".into(), ..task(name, needs) }
}

pub(crate) fn signal_wait(
    name: &str,
    needs: &[u32],
    signal: &str,
    timeout_ms: Option<u64>,
) -> TaskSpec {
    let on = WaitOn::Signal(signal.into());
    let shape = Shape::Wait(WaitSpec { on, timeout_ms, goes_on: false });
    TaskSpec { shape, ..wait(name, needs, WaitOn::For(0)) }
}

/// Fills in what links tasks, as reading a manifest does.
pub(crate) fn plan(mut tasks: Vec<TaskSpec>) -> Arc<Workflow> {
    let needs: Vec<Vec<u32>> = tasks.iter().map(|task| task.needs.clone()).collect();
    for (node, needs) in (0u32..).zip(needs) {
        needs.into_iter().for_each(|need| tasks[need as usize].feeds.push(node));
    }
    let fallbacks: Vec<u32> = tasks
        .iter()
        .filter_map(|task| match task.on_failure {
            OnFailure::Fallback(node) => Some(node),
            _ => None,
        })
        .collect();
    fallbacks.into_iter().for_each(|node| tasks[node as usize].is_fallback = true);
    let single = Workflow::single("echo");
    Workflow { name: "plan".into(), version: "1".into(), tasks, ..single }.sealed()
}

pub(crate) fn json(text: &str) -> Payload {
    Payload::inline(text.as_bytes())
}

pub(crate) fn list(count: u32) -> Prepared {
    Prepared::List { count, list: json("[]") }
}

impl World {
    pub(crate) fn new(agents: u32) -> World {
        World::of(instance(agents))
    }

    pub(crate) fn of(instance: InstanceStarted) -> World {
        let mut world = World {
            state: State::default(),
            twin: None,
            now: Time(1_000_000),
            instance: instance.clone(),
            journal: Vec::new(),
            changes: Vec::new(),
            open: BTreeMap::new(),
            begun: Vec::new(),
            performed: Vec::new(),
            announced: BTreeMap::new(),
            prepared: BTreeMap::new(),
            prepares: Vec::new(),
            gathers: Vec::new(),
            checks: Vec::new(),
            gathered: Ok(json("{}")),
            grant: Arc::new(Grant::new(authority())),
            rules: Arc::new(BuiltinRules),
            cancelled: BTreeSet::new(),
            auditor: Auditor::default(),
            unreadable: BTreeSet::new(),
            audit_every: 1,
            runs: 0,
        };
        world.act(Command::StartInstance(Box::new(instance))).unwrap();
        world
    }

    /// Decides, records and applies; what the change asks for is noted.
    pub(crate) fn act(&mut self, command: Command) -> Result<Change, Rejected> {
        let command = self.with_its_run(command);
        let decided = decide(&self.state, &*self.rules, command.clone(), self.now);
        if let Some(twin) = &self.twin {
            let other = decide(twin, &*self.rules, command, self.now);
            assert_eq!(other, decided, "a state read from a snapshot decides otherwise");
        }
        let change = decided?;
        if change.events.is_empty() {
            return Ok(change);
        }
        let bytes = minicbor::to_vec(&change.events).unwrap();
        let events: Vec<Event> = minicbor::decode(&bytes).unwrap();
        assert_eq!(events, change.events, "events read back from their encoding");
        let change = Change { run: change.run, at: change.at, events };
        let mut effects = Vec::new();
        self.state.apply(&change, &mut effects);
        if let Some(twin) = &mut self.twin {
            let mut others = Vec::new();
            twin.apply(&change, &mut others);
            assert_eq!(format!("{others:?}"), format!("{effects:?}"), "effects of a snapshot");
            assert_eq!(twin.digest(), self.state.digest(), "a state read from a snapshot differs");
        }
        for event in &change.events {
            match (event, change.run) {
                (Event::TaskSucceeded(done), Some(run)) => {
                    self.open.remove(&PtId { run, task: done.task, fence: done.fence });
                }
                (Event::StepIntended(step), Some(run)) => {
                    assert!(!self.cancelled.contains(&run), "I7: a step begins after a cancel");
                    let pt = PtId { run, task: step.task, fence: step.fence };
                    self.performed.push((pt, step.key));
                }
                _ => {}
            }
        }
        effects.into_iter().for_each(|effect| self.note(effect));
        self.journal.push((change.run, change.at, bytes));
        self.changes.push(change.clone());
        if self.journal.len().is_multiple_of(self.audit_every) {
            self.audit();
        }
        Ok(change)
    }

    /// Writes the state down, and from here on what is read back lives through everything too.
    pub(crate) fn snapshot(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.state.encode(&mut bytes).unwrap();
        let twin = State::decode(&bytes).unwrap();
        assert_eq!(twin.digest(), self.state.digest(), "a snapshot gives another state");
        let mut again = Vec::new();
        twin.encode(&mut again).unwrap();
        assert_eq!(again, bytes, "a snapshot of what was read from a snapshot");
        self.twin = Some(Box::new(twin));
        bytes
    }

    /// Stopping and pausing a run that waits on disk begins with reading it.
    fn with_its_run(&self, command: Command) -> Command {
        let (run, verb) = match &command {
            Command::CancelRun { run, reason } => (*run, LoadVerb::Cancel(reason.clone())),
            Command::PauseRun { run, reason } => (*run, LoadVerb::Pause(reason.clone())),
            _ => return command,
        };
        let Some(waiting) = self.state.backlog().find(run) else { return command };
        let accepted = self.read(run, waiting.seq);
        Command::LoadRun(Box::new(LoadRun { run, accepted, verb: Some(verb) }))
    }

    fn read(&self, run: RunId, seq: u64) -> Result<RunAccepted, Failure> {
        if self.unreadable.contains(&run) {
            return Err(Failure::fatal("record_unreadable", "the disk is bad"));
        }
        let (of, _, bytes) = &self.journal[seq as usize - 1];
        assert_eq!(*of, Some(run), "the record that accepted it");
        let events: Vec<Event> = minicbor::decode(bytes).unwrap();
        let accepted = events.into_iter().find_map(|event| match event {
            Event::RunAccepted(accepted) => Some(*accepted),
            _ => None,
        });
        Ok(accepted.expect("the record that accepted it"))
    }

    /// Runs on disk that there is room for, or that are due, are read; whether there were any.
    fn fetch(&mut self) -> bool {
        let calls = self.state.call_in(&BTreeSet::new(), &BTreeSet::new(), self.now);
        let asked: BTreeSet<RunId> = calls.iter().map(|it| it.run).collect();
        assert_eq!(asked.len(), calls.len(), "nobody is called twice");
        if let Some(twin) = &self.twin {
            let others = twin.call_in(&BTreeSet::new(), &BTreeSet::new(), self.now);
            let same = others.iter().map(|it| it.run).eq(calls.iter().map(|it| it.run));
            assert!(same, "a state read from a snapshot calls others in");
        }
        for it in &calls {
            let accepted = self.read(it.run, it.seq);
            let load = LoadRun { run: it.run, accepted, verb: None };
            let change = self.act(Command::LoadRun(Box::new(load.clone()))).unwrap();
            assert!(!change.events.is_empty(), "{} was called and did not come", it.run);
            let again = self.act(Command::LoadRun(Box::new(load))).unwrap();
            assert!(again.events.is_empty(), "{} came twice", it.run);
        }
        !calls.is_empty()
    }

    pub(crate) fn audit(&mut self) {
        let open: BTreeSet<PtId> = self.open.keys().copied().collect();
        self.auditor.audit(&self.state, &open);
    }

    fn note(&mut self, effect: Effect) {
        match effect {
            Effect::RunAttempt { pt, agent, attempt, .. } => {
                let mut above = Some(pt.run);
                while let Some(run) = above {
                    assert!(!self.cancelled.contains(&run), "I7: {pt} begins after a cancel");
                    let parent = self.state.run(run).and_then(|run| run.parent.as_ref());
                    above = parent.filter(|it| !it.is_detached).map(|it| it.run);
                }
                let working = Working { pt, agent, attempt };
                assert!(self.begun.iter().rev().take(1).all(|it| it.pt.fence < pt.fence));
                self.begun.push(working);
                self.open.insert(pt, working);
            }
            Effect::StopAttempt { pt } => {
                self.open.remove(&pt);
            }
            Effect::Prepare { run, node, generation } => {
                self.prepares.push((run, node, generation))
            }
            Effect::Gather { run, generation } => self.gathers.push((run, generation)),
            Effect::CheckHealth { version, layer } => self.checks.push((version, layer)),
            Effect::EndDeployment { version, finished } => {
                assert!(finished || self.state.deployments().version() != version);
                self.checks.retain(|(other, _)| *other != version);
            }
            Effect::FetchRuns { .. } => panic!("nothing that is applied asks for runs"),
            Effect::AnnounceRun { summary } => {
                self.announced.insert(summary.id, summary);
            }
        }
    }

    pub(crate) fn submission(&mut self, workflow: Arc<Workflow>) -> SubmitRun {
        self.runs += 1;
        SubmitRun {
            run: RunId(self.runs),
            namespace: "default".into(),
            workflow,
            input: json("{}"),
            grant: self.grant.clone(),
            priority: Priority::Normal,
            deadline: None,
            start_at: None,
            budget: None,
            seed: self.runs as u64,
            key: None,
            parent: None,
        }
    }

    pub(crate) fn submit_with(
        &mut self,
        workflow: Arc<Workflow>,
        change: impl FnOnce(&mut SubmitRun),
    ) -> Result<RunId, Rejected> {
        let mut submission = self.submission(workflow);
        change(&mut submission);
        let id = submission.run;
        self.act(Command::SubmitRun(Box::new(submission)))?;
        self.dispatch();
        Ok(id)
    }

    pub(crate) fn submit(&mut self, workflow: Arc<Workflow>) -> RunId {
        self.submit_with(workflow, |_| {}).unwrap()
    }

    pub(crate) fn submit_as(&mut self, priority: Priority, workflow: Arc<Workflow>) -> RunId {
        self.submit_with(workflow, |it| it.priority = priority).unwrap()
    }

    pub(crate) fn keyed(key: &str) -> Option<SubmissionKey> {
        Some(SubmissionKey { key: key.into(), request: Hash::of(key.as_bytes()) })
    }

    fn finished(&mut self, pt: PtId, outcome: AttemptOutcome) -> Result<Change, Rejected> {
        let agent = self.open[&pt].agent;
        let spent = Amounts { calls: 1, ..Amounts::ZERO };
        self.finish_as(pt, agent, outcome, spent)
    }

    pub(crate) fn finish_as(
        &mut self,
        pt: PtId,
        agent: AgentIx,
        outcome: AttemptOutcome,
        spent: Amounts,
    ) -> Result<Change, Rejected> {
        let finish = FinishAttempt { pt, agent, outcome, input: Hash::ZERO, spent, micros: 1 };
        let change = self.act(Command::FinishAttempt(Box::new(finish)));
        self.dispatch();
        change
    }

    /// The agent that holds the token presents this result.
    pub(crate) fn finish(&mut self, pt: PtId, output: &str) -> Change {
        let outcome = AttemptOutcome::Succeeded { output: json(output), blobs: Vec::new() };
        self.finished(pt, outcome).unwrap()
    }

    /// An attempt succeeds and adds tasks.
    pub(crate) fn expand(&mut self, pt: PtId, tasks: Vec<TaskSpec>) -> Result<Change, Rejected> {
        let base = self.run(pt.run).tasks.len() as u32;
        self.expand_from(pt, tasks, base)
    }

    /// The same with tasks that were made when the plan had so many.
    pub(crate) fn expand_from(
        &mut self,
        pt: PtId,
        tasks: Vec<TaskSpec>,
        base: u32,
    ) -> Result<Change, Rejected> {
        let (output, blobs) = (json("1"), Vec::new());
        self.finished(pt, AttemptOutcome::Expanded { output, blobs, tasks, base })
    }

    pub(crate) fn fail(&mut self, pt: PtId, failure: Failure) -> Change {
        self.finished(pt, AttemptOutcome::Failed(failure)).unwrap()
    }

    pub(crate) fn refuse(&mut self, pt: PtId) -> Change {
        let failure = Failure::retryable("not_the_schema", "not the schema's");
        self.finished(pt, AttemptOutcome::Refused(failure)).unwrap()
    }

    pub(crate) fn lose(&mut self, pt: PtId) {
        let reason = Failure::retryable("agent_died", "the agent died");
        self.act(Command::LoseAttempt { pt, reason }).unwrap();
        self.dispatch();
    }

    /// Time passes; timers that are due fire in their order, each at the end of the pause.
    pub(crate) fn tick(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.dispatch();
    }

    /// Time passes until the next timer; whether there is one.
    pub(crate) fn tick_to_timer(&mut self) -> bool {
        let timer = self.state.timers().first().map(|(due, _)| due);
        let deadline = self.state.backlog().next_deadline(self.now);
        let Some(due) = timer.into_iter().chain(deadline).min() else { return false };
        self.now = self.now.max(due);
        self.dispatch();
        true
    }

    fn prepare(&mut self) -> bool {
        let asked = std::mem::take(&mut self.prepares);
        let any = !asked.is_empty();
        for (run, node, generation) in asked {
            let Some(spec) = self.state.run(run).and_then(|run| run.spec(node)) else { continue };
            let said = self.prepared.get(&*spec.name).cloned();
            let result = said.unwrap_or_else(|| match spec.shape {
                Shape::Map(_) => list(3),
                Shape::Child(_) => Prepared::Input(json("{}")),
                _ => Prepared::Go,
            });
            self.act(Command::FinishPreparation { run, node, generation, result }).unwrap();
        }
        for (run, generation) in std::mem::take(&mut self.gathers) {
            let result = self.gathered.clone();
            self.act(Command::FinishGathering { run, generation, result }).unwrap();
        }
        any
    }

    /// Runs and their children tell each other; whether they had to.
    pub(crate) fn errand(&mut self) -> bool {
        let Some(errand) = self.state.errand(None, |_| false) else { return false };
        let reason = "it is so with its parent".into();
        let change = self.act(match errand {
            Errand::Start(child) => Command::StartChild { child },
            Errand::Settle(child) => Command::SettleChild { child },
            Errand::Cancel(run) => {
                let reason = self.state.cancel_reason(run).into();
                Command::CancelRun { run, reason }
            }
            Errand::Pause(run) => Command::PauseRun { run, reason },
            Errand::Resume(run) => Command::ResumeRun { run, reason },
        });
        assert!(!change.unwrap().events.is_empty(), "{errand:?} does nothing");
        true
    }

    /// The child that a task asked for.
    pub(crate) fn child_of(&self, run: RunId, node: u32) -> RunId {
        self.node(run, node).child.as_ref().unwrap().run
    }

    /// Everything that follows by itself at this moment.
    pub(crate) fn dispatch(&mut self) {
        for _ in 0..FOLLOW_UPS_MAX {
            if let Some(run) = self.state.interrupted() {
                self.act(Command::RecoverRun { run }).unwrap();
                continue;
            }
            if self.prepare() || self.fetch() || self.errand() {
                continue;
            }
            let fired = self.act(Command::FireTimer).unwrap();
            let due = self.state.timers().first().is_some_and(|(at, _)| at <= self.now);
            assert!(
                !fired.events.is_empty() || !due,
                "a due timer does nothing: {:?}",
                self.state.timers().first()
            );
            let started = self.act(Command::Dispatch).unwrap();
            if fired.events.is_empty() && started.events.is_empty() {
                return;
            }
        }
        panic!("the world never comes to rest");
    }

    /// Replays the journal into a fresh state and asserts that it is the live one (I8).
    pub(crate) fn replayed(&self) -> State {
        let mut again = State::default();
        for (run, at, bytes) in &self.journal {
            let events: Vec<Event> = minicbor::decode(bytes).unwrap();
            again.apply(&Change { run: *run, at: *at, events }, &mut Vec::new());
        }
        assert_eq!(again.digest(), self.state.digest(), "I8: replay gives another state");
        again
    }

    /// The last records are lost with the process, and another one opens the journal.
    pub(crate) fn cut(&mut self, records: usize) {
        self.journal.truncate(records);
        self.changes.truncate(records);
        self.twin = None;
        self.auditor = Auditor::default();
        self.announced.clear();
        self.begun.clear();
        let mut again = State::default();
        for change in &self.changes {
            again.apply(change, &mut Vec::new());
        }
        self.state = again;
        self.reopen();
    }

    /// A task is finished, and nothing that follows is done yet.
    pub(crate) fn act_only_finish(&mut self, run: RunId, node: u32) {
        let pt = self.pt_at(run, node);
        let finish = FinishAttempt {
            pt,
            agent: self.open[&pt].agent,
            outcome: AttemptOutcome::Succeeded { output: json("1"), blobs: Vec::new() },
            input: Hash::ZERO,
            spent: Amounts { calls: 1, ..Amounts::ZERO },
            micros: 1,
        };
        self.act(Command::FinishAttempt(Box::new(finish))).unwrap();
    }

    /// The process dies and another one opens the journal.
    pub(crate) fn restart(&mut self) {
        self.reopen();
        self.dispatch();
    }

    /// The same, before any run is recovered.
    pub(crate) fn reopen(&mut self) {
        self.state = self.replayed();
        self.open.clear();
        self.prepares.clear();
        self.gathers.clear();
        self.checks.clear();
        self.act(Command::StartInstance(Box::new(self.instance.clone()))).unwrap();
    }

    /// Declared agents take the place of those before, once all are found healthy.
    pub(crate) fn deploy(
        &mut self,
        fleet: FleetSpec,
        workflows: Vec<Arc<Workflow>>,
    ) -> Result<Change, Rejected> {
        let command = self.deployment(fleet, workflows);
        self.act(command)
    }

    pub(crate) fn deployment(&self, fleet: FleetSpec, workflows: Vec<Arc<Workflow>>) -> Command {
        Command::Deploy(Box::new(Deploy {
            expected: None,
            // As it was written before seats could be those of workers: fixtures hold it.
            manifest: json(&format!("{fleet:?}").replace(", workers: false", "")),
            fleet,
            workflows,
            base: None,
            profile: None,
            namespace: "default".into(),
            schedules: Vec::new(),
            health_ms: 60_000,
            reason: "new".into(),
            grant: self.grant.clone(),
        }))
    }

    /// The checks of a layer are over.
    pub(crate) fn report(&mut self, is_well: bool) {
        let Some((version, layer)) = self.checks.pop() else { return };
        let result = if is_well { Ok(Vec::new()) } else { Err("it does not answer".into()) };
        self.act(Command::ReportHealth { version, layer, result }).unwrap();
        self.dispatch();
    }

    /// Every check finds everybody healthy.
    pub(crate) fn all_well(&mut self) {
        while !self.checks.is_empty() {
            self.report(true);
        }
    }

    /// Agents work until nothing moves any more, waiting for timers where nobody works.
    pub(crate) fn work(&mut self) {
        for _ in 0..FOLLOW_UPS_MAX {
            self.dispatch();
            if let Some(pt) = self.open.keys().next().copied() {
                self.finish(pt, "1");
            } else if self.state.live() == 0 || !self.tick_to_timer() {
                return;
            }
        }
        panic!("the agents never come to rest");
    }

    pub(crate) fn run(&self, id: RunId) -> &Run {
        self.state.run(id).unwrap_or_else(|| panic!("{id} is not in the state"))
    }

    /// How a run stands, or ended.
    pub(crate) fn standing(&self, id: RunId) -> RunState {
        self.state.run(id).map_or_else(|| self.announced[&id].state, Run::state)
    }

    pub(crate) fn node(&self, id: RunId, node: u32) -> &Task {
        self.run(id).node(node).unwrap()
    }

    pub(crate) fn at(&self, id: RunId, node: u32) -> TaskState {
        self.node(id, node).state
    }

    /// The token under which this task is worked on.
    pub(crate) fn pt(&self, run: RunId, task: TaskRef) -> Option<PtId> {
        self.open.keys().find(|pt| pt.run == run && pt.task == task).copied()
    }

    pub(crate) fn pt_at(&self, run: RunId, node: u32) -> PtId {
        self.pt(run, TaskRef::node(node)).unwrap_or_else(|| panic!("nobody works on {run} {node}"))
    }

    /// Nodes of a run that somebody works on.
    pub(crate) fn working(&self, run: RunId) -> Vec<TaskRef> {
        self.open.keys().filter(|pt| pt.run == run).map(|pt| pt.task).collect()
    }

    pub(crate) fn intent(&self, pt: PtId, number: u32, class: EffectClass) -> IntendStep {
        IntendStep {
            pt,
            agent: self.open[&pt].agent,
            number,
            tool: Text::from("sink"),
            arguments: Hash::of(&number.to_le_bytes()),
            class,
            reserve: Amounts { tokens: 10, ..Amounts::ZERO },
        }
    }

    pub(crate) fn intend(&mut self, pt: PtId, number: u32, class: EffectClass) -> StepKey {
        let intent = self.intent(pt, number, class);
        let (key, _) = decide::known_step(&self.state, &intent).unwrap();
        self.act(Command::IntendStep(Box::new(intent))).unwrap();
        key
    }

    pub(crate) fn settle(&mut self, pt: PtId, key: StepKey, result: &str) -> Change {
        let spent = Amounts { tokens: 5, steps: 1, ..Amounts::ZERO };
        let outcome = StepOutcome::Done(json(result));
        let change = self.act(Command::SettleStep { pt, key, outcome, spent }).unwrap();
        self.dispatch();
        change
    }

    /// The probe of a step that was left open answers.
    pub(crate) fn probe(
        &mut self,
        pt: PtId,
        key: StepKey,
        finding: Finding,
    ) -> Result<Change, Rejected> {
        let agent = self.open[&pt].agent;
        let change = self.act(Command::ReportProbe { pt, agent, key, finding });
        self.dispatch();
        change
    }

    pub(crate) fn resolve(
        &mut self,
        run: RunId,
        key: StepKey,
        resolution: Resolution,
    ) -> Result<Change, Rejected> {
        let reason = "looked".into();
        let change = self.act(Command::ResolveStep { run, key, resolution, reason });
        self.dispatch();
        change
    }

    pub(crate) fn cancel(&mut self, run: RunId) -> Result<Change, Rejected> {
        let change = self.act(Command::CancelRun { run, reason: "enough".into() })?;
        self.cancelled.insert(run);
        self.dispatch();
        Ok(change)
    }

    pub(crate) fn pause(&mut self, run: RunId) {
        self.act(Command::PauseRun { run, reason: "wait".into() }).unwrap();
        self.dispatch();
    }

    pub(crate) fn resume(&mut self, run: RunId) {
        self.act(Command::ResumeRun { run, reason: "back".into() }).unwrap();
        self.dispatch();
    }

    pub(crate) fn signal_command(&self, run: RunId, name: &str, key: Option<&str>) -> Command {
        let key = key.and_then(World::keyed);
        let signal = SendSignal { run, name: name.into(), payload: json("\"said\""), key };
        Command::SendSignal(Box::new(signal))
    }

    /// A run that waits on disk is read though nobody stops or pauses it.
    pub(crate) fn load(&mut self, run: RunId) -> Result<Change, Rejected> {
        let seq = self.state.backlog().find(run).unwrap().seq;
        let load = LoadRun { run, accepted: self.read(run, seq), verb: None };
        self.act(Command::LoadRun(Box::new(load)))
    }

    pub(crate) fn signal(&mut self, run: RunId, name: &str) -> Result<Change, Rejected> {
        self.signal_keyed(run, name, None)
    }

    /// One that waits on disk is read first, as the loop does.
    pub(crate) fn signal_keyed(
        &mut self,
        run: RunId,
        name: &str,
        key: Option<&str>,
    ) -> Result<Change, Rejected> {
        if self.state.backlog().contains(run) {
            self.load(run).unwrap();
        }
        let sent = self.act(self.signal_command(run, name, key));
        self.dispatch();
        sent
    }

    pub(crate) fn retry(&mut self, run: RunId, task: Option<u32>) -> Result<Change, Rejected> {
        let was_cancelled = self.cancelled.remove(&run);
        let change = self.act(Command::RetryRun { run, task, reason: "again".into() });
        if change.is_err() && was_cancelled {
            self.cancelled.insert(run);
        }
        self.dispatch();
        change
    }

    pub(crate) fn unpark(&mut self, run: RunId, task: TaskRef) -> Result<Change, Rejected> {
        let task = TaskId { run, task };
        let change = self.act(Command::UnparkTask { task, reason: "seen to".into() });
        self.dispatch();
        change
    }

    /// All agents of a layer go offline, or come back.
    pub(crate) fn set_layer(&mut self, layer: Layer, online: bool) {
        let plan = *self.state.fleet().plan();
        for ordinal in 0..plan.count(layer) {
            self.set_agent(plan.agent(layer, ordinal).unwrap(), online);
        }
    }

    /// Every attempt under way renews its lease.
    pub(crate) fn renew_all(&mut self) {
        for Working { pt, agent, .. } in self.open.values().copied().collect::<Vec<_>>() {
            self.act(Command::RenewLease { pt, agent }).unwrap();
        }
    }

    pub(crate) fn set_agent(&mut self, agent: AgentIx, online: bool) {
        self.set_agent_only(agent, online);
        self.dispatch();
    }

    /// The same, and nothing follows yet.
    pub(crate) fn set_agent_only(&mut self, agent: AgentIx, online: bool) {
        self.act(Command::SetAgent { agent, online, reason: "operator".into() }).unwrap();
    }

    /// Events of all changes so far that `keep` picks.
    pub(crate) fn events(&self, keep: impl Fn(&Event) -> bool) -> usize {
        self.changes.iter().flat_map(|change| &change.events).filter(|event| keep(event)).count()
    }
}
