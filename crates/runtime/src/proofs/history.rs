//! A run's history, record by record: what must hold in it, and what the bundle says of it.
//!
//! The rules are those of `core`'s state as far as they can be checked from these records alone: tokens are
//! drawn under rising fences and used under the one in use, attempts are counted, a task comes to one end, a
//! step's key is that of its arguments, a proof of progress names the steps that were recorded, and the end of
//! the run names the last proof.

use std::collections::{BTreeMap, BTreeSet};

use ark_os_core::fleet::profile::FleetPlan;
use ark_os_core::ids::{AgentIx, RunId};
use ark_os_store::Hash;

use super::facts::{
    Admitted, Done, Fact, Facts, Intent, Payload, Plan, Settled, Task, facts, of_parts,
};
use super::lines::ProofLine;
use super::summary::{Admission, AgentLine, Decision, Ended, Summary, WorkflowLine};
use super::{Class, Fault};

const ZERO: Hash = Hash([0; 32]);

/// What a record turned out to be.
#[derive(Debug)]
pub(super) enum Kind {
    /// The run's own, with the proofs of progress in it.
    Own(Vec<ProofLine>),
    /// One that the run refers to.
    Other,
}

/// The history so far. Memory: its tasks, its agents, its blobs.
#[derive(Debug)]
pub(super) struct History {
    run: RunId,
    namespace: String,
    records: u64,
    others: u64,
    /// The fleet of the newest instance start, and whether the run has had a record since.
    fleet: Option<(FleetPlan, bool)>,
    plan: Option<WorkflowLine>,
    nodes: u32,
    admissions: BTreeMap<u64, Admission>,
    referred: BTreeSet<u64>,
    accepted: Option<(u64, Hash)>,
    ended: Option<Ended>,
    fence: u64,
    proofs: u64,
    head: Hash,
    tasks: BTreeMap<Task, TaskState>,
    generations: BTreeMap<u32, u32>,
    agents: BTreeMap<(String, u32), AgentLine>,
    blobs: Vec<Hash>,
    known_blobs: BTreeSet<Hash>,
}

#[derive(Debug, Default)]
struct TaskState {
    open: Option<u64>,
    attempt: u32,
    is_over: bool,
    /// Keys with the digest of their result, if there is one, in the order of their intents.
    steps: Vec<(Hash, Option<Hash>)>,
}

type Check = Result<(), Fault>;

fn fault(why: impl Into<String>) -> Fault {
    Fault::new(Class::History, why)
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(fault(why())) }
}

fn name(task: Task) -> String {
    match task {
        (node, Some(child)) => format!("{node}.{child}"),
        (node, None) => node.to_string(),
    }
}

impl History {
    pub(super) fn new(run: RunId, namespace: &str) -> Self {
        History {
            run,
            namespace: namespace.to_owned(),
            records: 0,
            others: 0,
            fleet: None,
            plan: None,
            nodes: 0,
            admissions: BTreeMap::new(),
            referred: BTreeSet::new(),
            accepted: None,
            ended: None,
            fence: 0,
            proofs: 0,
            head: ZERO,
            tasks: BTreeMap::new(),
            generations: BTreeMap::new(),
            agents: BTreeMap::new(),
            blobs: Vec::new(),
            known_blobs: BTreeSet::new(),
        }
    }

    /// Takes the next record in.
    pub(super) fn record(&mut self, seq: u64, bytes: &[u8]) -> Result<Kind, Fault> {
        let facts = facts(bytes)?;
        if facts.run == Some(self.run.to_bytes()) {
            ensure(facts.namespace == self.namespace, || "the run is of another namespace".into())?;
            self.records += 1;
            if let Some((_, is_used)) = &mut self.fleet {
                *is_used = true;
            }
            return self.own(seq, facts).map(Kind::Own);
        }
        self.others += 1;
        self.other(seq, facts).map(|()| Kind::Other)
    }

    /// All records were taken in: what they say in sum, and the blobs they name, in order.
    pub(super) fn finish(self) -> Result<(Summary, Vec<Hash>), Fault> {
        ensure(self.fleet.as_ref().is_none_or(|(_, is_used)| *is_used), || {
            "the last start of an instance has nothing to do with the run".into()
        })?;
        let known: BTreeSet<u64> = self.admissions.keys().copied().collect();
        ensure(known == self.referred, || {
            format!("the run refers to the admissions {:?}, there are {known:?}", self.referred)
        })?;
        let (Some((accepted_ms, input)), Some(workflow), Some(ended)) =
            (self.accepted, self.plan, self.ended)
        else {
            return Err(fault("the run is not over"));
        };
        let summary = Summary {
            records: self.records,
            others: self.others,
            workflow,
            accepted_ms,
            input: input.to_string(),
            ended,
            proofs: self.proofs,
            head: self.head.to_string(),
            admissions: self.admissions.into_values().collect(),
            agents: self.agents.into_values().collect(),
        };
        Ok((summary, self.blobs))
    }

    fn other(&mut self, seq: u64, facts: Facts<'_>) -> Check {
        let (mut is_start, mut admits) = (false, false);
        let is_instance = facts.run.is_none();
        for event in facts.events {
            match event {
                Fact::InstanceStarted { agents } if is_instance => {
                    let before = self.fleet.replace((FleetPlan::for_agents(agents), false));
                    ensure(before.is_none_or(|(_, is_used)| is_used), || {
                        "a start of an instance has nothing to do with the run".into()
                    })?;
                    is_start = true;
                }
                Fact::WorkflowAdmitted(admitted) if admitted.namespace == self.namespace => {
                    self.admit(seq, &admitted)?;
                    admits = true;
                }
                _ => {}
            }
        }
        ensure(is_start || admits, || "a record has nothing to do with the run".into())
    }

    fn admit(&mut self, seq: u64, admitted: &Admitted<'_>) -> Check {
        let decision = |(layer, agent): &(&'static str, &str)| Decision {
            layer: (*layer).to_owned(),
            agent: (*agent).to_owned(),
        };
        self.plan(&admitted.plan)?;
        let admission = Admission {
            id: admitted.id,
            record: seq,
            rules: admitted.rules.to_string(),
            decisions: admitted.decisions.iter().map(decision).collect(),
        };
        let before = self.admissions.insert(admitted.id, admission);
        ensure(before.is_none(), || format!("admission {} stands twice", admitted.id))
    }

    /// All that the run refers to is one version of one workflow.
    fn plan(&mut self, plan: &Plan<'_>) -> Check {
        let line = WorkflowLine {
            name: plan.name.to_owned(),
            version: plan.version.to_owned(),
            digest: plan.hash.to_string(),
        };
        ensure(self.plan.as_ref().is_none_or(|known| *known == line), || {
            "an admission is of another workflow".into()
        })?;
        self.nodes = plan.nodes;
        self.plan = Some(line);
        Ok(())
    }

    fn own(&mut self, seq: u64, facts: Facts<'_>) -> Result<Vec<ProofLine>, Fault> {
        let mut proofs = Vec::new();
        for event in facts.events {
            match event {
                Fact::WorkflowAdmitted(admitted) => {
                    ensure(admitted.namespace == self.namespace, || {
                        "an admission is of another namespace".into()
                    })?;
                    self.admit(seq, &admitted)?;
                }
                Fact::InstanceStarted { .. } => {
                    return Err(fault("a run's record starts an instance"));
                }
                Fact::Other => {}
                Fact::RunAccepted { admission, plan, input } => {
                    self.accept(facts.time_ms, admission, plan.as_ref(), input)?;
                }
                event => {
                    ensure(self.accepted.is_some(), || "the run was not accepted yet".into())?;
                    let may_follow =
                        matches!(event, Fact::RunRetried { .. } | Fact::StepResolved { .. });
                    ensure(self.ended.is_none() || may_follow, || "the run was over".into())?;
                    proofs.extend(self.event(facts.time_ms, event)?);
                }
            }
        }
        Ok(proofs)
    }

    fn accept(
        &mut self,
        time_ms: u64,
        admission: Option<u64>,
        plan: Option<&Plan<'_>>,
        input: Payload,
    ) -> Check {
        ensure(self.accepted.is_none(), || "the run was accepted twice".into())?;
        ensure(admission.is_some() != plan.is_some(), || {
            "the run was accepted without one plan".into()
        })?;
        self.accepted = Some((time_ms, input.hash));
        self.refer(&input);
        self.referred.extend(admission);
        plan.map_or(Ok(()), |plan| self.plan(plan))
    }

    fn event(&mut self, time_ms: u64, event: Fact<'_>) -> Result<Option<ProofLine>, Fault> {
        match event {
            Fact::RunStarted { admission } => _ = self.referred.insert(admission),
            Fact::RunLoaded { admission, plan } => {
                self.referred.extend(admission);
                plan.iter().try_for_each(|plan| self.plan(plan))?;
            }
            Fact::RunEnded { end, output, proof } => self.end(time_ms, end, output, proof)?,
            Fact::RunRetried { nodes } => self.begin_again(&nodes)?,
            Fact::MapExpanded { list } => self.refer(&list),
            Fact::AttemptStarted { task, attempt, agent, fence } => {
                self.start(task, attempt, agent, fence)?;
            }
            Fact::AttemptEnded { task, fence, counts } => {
                let it = self.holding(task, fence)?;
                it.open = None;
                it.attempt = it.attempt.saturating_sub(u32::from(!counts));
            }
            Fact::TaskSucceeded(done) => return self.succeed(&done).map(Some),
            Fact::TasksOver { tasks } => {
                tasks.into_iter().try_for_each(|task| self.finish_task(task))?;
            }
            Fact::TaskParked { task } => self.leave(task, false),
            Fact::StepIntended(intent) => self.intend(&intent)?,
            Fact::StepSettled { task, key, result } => self.settle(task, key, Some(result))?,
            Fact::StepInDoubt { task, key } | Fact::StepProbed { task, key, result: None } => {
                _ = self.step(task, key)?;
            }
            Fact::StepProbed { task, key, result } => self.settle(task, key, result)?,
            Fact::StepResolved { task, key, result } => self.settle(task, key, result)?,
            _ => {}
        }
        Ok(None)
    }

    fn end(
        &mut self,
        time_ms: u64,
        end: &str,
        output: Option<Payload>,
        proof: Option<Hash>,
    ) -> Check {
        let is_over = |node| self.tasks.get(&(node, None)).is_some_and(|it| it.is_over);
        if let Some(node) = (0..self.nodes).find(|node| !is_over(*node)) {
            return Err(fault(format!("the run ended before its task {node}")));
        }
        let at_work = self.tasks.iter().find(|(_, it)| it.open.is_some());
        ensure(at_work.is_none(), || "the run ended with an attempt under way".into())?;
        ensure(proof.is_none_or(|proof| proof == self.head), || {
            "the end of the run names another chain of proofs".into()
        })?;
        output.iter().for_each(|output| self.refer(output));
        self.ended = Some(Ended {
            state: end.to_owned(),
            ms: time_ms,
            output: output.map(|output| output.hash.to_string()),
            seals: proof.is_some(),
        });
        Ok(())
    }

    fn begin_again(&mut self, nodes: &[u32]) -> Check {
        ensure(self.ended.take().is_some(), || "the run was retried before its end".into())?;
        let nodes: BTreeSet<u32> = nodes.iter().copied().collect();
        self.tasks.retain(|(node, _), _| !nodes.contains(node));
        nodes.iter().for_each(|node| *self.generations.entry(*node).or_insert(0) += 1);
        Ok(())
    }

    fn start(&mut self, task: Task, attempt: u32, agent: u32, fence: u64) -> Check {
        ensure(fence > self.fence, || format!("fence {fence} was drawn after {}", self.fence))?;
        self.fence = fence;
        let it = self.tasks.entry(task).or_default();
        ensure(!it.is_over && it.open.is_none(), || {
            format!("task {} began while it was at work or over", name(task))
        })?;
        ensure(Some(attempt) == it.attempt.checked_add(1), || {
            format!("attempt {attempt} of task {} follows {}", name(task), it.attempt)
        })?;
        (it.open, it.attempt) = (Some(fence), attempt);
        let seat = self.fleet.as_ref().and_then(|(fleet, _)| {
            let seat = fleet.seat(AgentIx(agent))?;
            Some((fleet.name(seat.agent), seat.layer, seat.stack?))
        });
        let Some((name, layer, stack)) = seat else {
            return Err(fault(format!("agent {agent} is of no stack of the fleet")));
        };
        let line = self.agents.entry((name.clone(), stack.0)).or_insert_with(|| AgentLine {
            name,
            layer: layer.as_str().to_owned(),
            stack: stack.0,
            attempts: 0,
        });
        line.attempts += 1;
        Ok(())
    }

    fn holding(&mut self, task: Task, fence: u64) -> Result<&mut TaskState, Fault> {
        let found = self.tasks.get_mut(&task).filter(|it| it.open == Some(fence));
        found.ok_or_else(|| {
            fault(format!("fence {fence} is not the one in use for task {}", name(task)))
        })
    }

    fn succeed(&mut self, done: &Done) -> Result<ProofLine, Fault> {
        let it = self.holding(done.task, done.fence)?;
        let steps = std::mem::take(&mut it.steps);
        let mut parts = Vec::with_capacity(steps.len() * 64);
        for (key, result) in &steps {
            parts.extend_from_slice(&key.0);
            parts.extend_from_slice(&result.unwrap_or(ZERO).0);
        }
        let effects = (!steps.is_empty()).then(|| Hash::of(&parts));
        ensure(effects == done.effects, || {
            format!("the proof of task {} names other steps than were recorded", name(done.task))
        })?;
        self.finish_task(done.task)?;
        self.refer(&done.output);
        done.blobs.iter().for_each(|blob| self.refer(&Payload { hash: *blob, is_blob: true }));
        let (node, child) = done.task;
        self.head = of_parts(&[
            &self.head.0,
            &self.run.to_bytes(),
            &node.to_le_bytes(),
            &child.map_or(u64::MAX, u64::from).to_le_bytes(),
            &done.fence.to_le_bytes(),
            &done.input.0,
            &done.output.hash.0,
            &effects.unwrap_or(ZERO).0,
        ]);
        self.proofs += 1;
        Ok(ProofLine {
            task: name(done.task),
            fence: done.fence,
            input: done.input.to_string(),
            output: done.output.hash.to_string(),
            effects: effects.map(|effects| effects.to_string()),
            proof: self.head.to_string(),
        })
    }

    /// A task comes to its one end; with a map its children, whatever they were at.
    fn finish_task(&mut self, task: Task) -> Check {
        let it = self.tasks.entry(task).or_default();
        ensure(!it.is_over, || format!("task {} came to a second end", name(task)))?;
        self.leave(task, true);
        Ok(())
    }

    fn leave(&mut self, task: Task, is_over: bool) {
        if let (node, None) = task {
            for (_, child) in self.tasks.range_mut((node, Some(0))..=(node, Some(u32::MAX))) {
                (child.open, child.is_over) = (None, true);
            }
        }
        let it = self.tasks.entry(task).or_default();
        (it.open, it.is_over) = (None, is_over);
    }

    fn intend(&mut self, intent: &Intent<'_>) -> Check {
        let (node, child) = intent.task;
        let generation = self.generations.get(&node).copied().unwrap_or(0);
        let key = of_parts(&[
            &self.run.to_bytes(),
            &node.to_le_bytes(),
            &child.map_or(u64::MAX, u64::from).to_le_bytes(),
            &generation.to_le_bytes(),
            &intent.number.to_le_bytes(),
            intent.tool.as_bytes(),
            &intent.arguments.0,
        ]);
        ensure(key == intent.key, || "the key of a step is not that of its arguments".into())?;
        let it = self.holding(intent.task, intent.fence)?;
        match it.steps.iter_mut().find(|(known, _)| *known == key) {
            Some((_, result)) => *result = None,
            None => it.steps.push((key, None)),
        }
        Ok(())
    }

    fn step(&mut self, task: Task, key: Hash) -> Result<&mut Option<Hash>, Fault> {
        let steps = self.tasks.get_mut(&task).map(|it| it.steps.iter_mut());
        let found = steps.into_iter().flatten().find(|(known, _)| *known == key);
        let found = found.map(|(_, result)| result);
        found.ok_or_else(|| fault(format!("a step of task {} was not intended", name(task))))
    }

    /// None: it did not happen.
    fn settle(&mut self, task: Task, key: Hash, result: Option<Settled>) -> Check {
        *self.step(task, key)? = result.map(|it| it.result);
        match result {
            Some(Settled { blob, .. }) => {
                blob.iter().for_each(|hash| self.refer(&Payload { hash: *hash, is_blob: true }));
            }
            None => {
                if let Some(it) = self.tasks.get_mut(&task) {
                    it.steps.retain(|(known, _)| *known != key);
                }
            }
        }
        Ok(())
    }

    fn refer(&mut self, payload: &Payload) {
        if payload.is_blob && self.known_blobs.insert(payload.hash) {
            self.blobs.push(payload.hash);
        }
    }
}
