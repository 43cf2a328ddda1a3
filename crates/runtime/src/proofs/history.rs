//! A run's history, record by record: what must hold in it, and what the bundle says of it.
//!
//! The rules are those of `core`'s state as far as they can be checked from these records alone: tokens are
//! drawn under rising fences and used under the one in use, attempts are counted, a task comes to one end, a
//! step's key is that of its arguments, a proof of progress names the steps that were recorded, and the end of
//! the run names the last proof.

use std::collections::{BTreeMap, BTreeSet};

use ark_os_core::fleet::profile::{FleetPlan, agent_name};
use ark_os_core::ids::{AgentIx, RunId};
use ark_os_core::layer::Layer;
use ark_os_store::Hash;

use super::facts::{
    Admitted, Done, Fact, Facts, Intent, Payload, Place, Plan, Reused, Settled, Task, facts,
    of_parts,
};
use super::lines::ProofLine;
use super::summary::{Admission, AgentLine, Decision, Ended, ForkedLine, Summary, WorkflowLine};
use super::tasks::{Tasks, name};
use super::{Class, Fault, ZERO};

/// What takes the proofs of progress, in order.
pub(super) type Proofs<'a> = &'a mut dyn FnMut(ProofLine);

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
    tasks: Tasks,
    admissions: BTreeMap<u64, Admission>,
    referred: BTreeSet<u64>,
    accepted: Option<(u64, Hash)>,
    ended: Option<Ended>,
    forked: Option<(RunId, u64)>,
    fence: u64,
    proofs: u64,
    head: Hash,
    /// Attempts of each agent, by name, stack and layer.
    agents: BTreeMap<(String, u32, Layer), u64>,
    blobs: Vec<Hash>,
    known_blobs: BTreeSet<Hash>,
    /// Signals that came, and the payloads of those that no wait has used.
    signals: (u64, BTreeMap<u64, Hash>),
}

pub(super) type Check = Result<(), Fault>;

pub(super) fn fault(why: impl Into<String>) -> Fault {
    Fault::new(Class::History, why)
}

pub(super) fn ensure(holds: bool, why: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(fault(why())) }
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
            tasks: Tasks::default(),
            admissions: BTreeMap::new(),
            referred: BTreeSet::new(),
            accepted: None,
            ended: None,
            forked: None,
            fence: 0,
            proofs: 0,
            head: ZERO,
            agents: BTreeMap::new(),
            blobs: Vec::new(),
            known_blobs: BTreeSet::new(),
            signals: (0, BTreeMap::new()),
        }
    }

    /// Takes the next record in, and gives the proofs of progress in it.
    pub(super) fn record(&mut self, seq: u64, bytes: &[u8], proofs: Proofs<'_>) -> Check {
        let facts = facts(bytes)?;
        if facts.run == Some(self.run.to_bytes()) {
            ensure(facts.namespace == self.namespace, || "the run is of another namespace".into())?;
            self.records += 1;
            if let Some((_, is_used)) = &mut self.fleet {
                *is_used = true;
            }
            return self.own(seq, &facts, proofs);
        }
        self.others += 1;
        self.other(seq, &facts)
    }

    /// All records were taken in: what they say in sum, and the blobs they name, in order.
    pub(super) fn finish(self) -> Result<(Summary, Vec<Hash>), Fault> {
        ensure(self.fleet.as_ref().is_none_or(|(_, is_used)| *is_used), || {
            "the last start of an instance has nothing to do with the run".into()
        })?;
        let known: BTreeSet<u64> = self.admissions.keys().copied().collect();
        ensure(known == self.referred, || "the admissions are not those referred to".into())?;
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
            forked: self.forked.map(|(run, at)| ForkedLine { run: run.to_string(), at }),
            admissions: self.admissions.into_values().collect(),
            agents: agent_lines(self.agents),
        };
        Ok((summary, self.blobs))
    }

    fn other(&mut self, seq: u64, facts: &Facts<'_>) -> Check {
        let (mut is_start, mut admits) = (false, false);
        let is_instance = facts.run.is_none();
        for event in facts.events() {
            match event? {
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
        let decision =
            |(layer, agent): (&'static str, &str)| Decision { layer, agent: agent.to_owned() };
        self.plan(&admitted.plan)?;
        let admission = Admission {
            id: admitted.id,
            record: seq,
            rules: admitted.rules.to_string(),
            decisions: admitted.decisions.clone().map(decision).collect(),
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
        self.tasks.plan(plan.nodes);
        self.plan = Some(line);
        Ok(())
    }

    fn own(&mut self, seq: u64, facts: &Facts<'_>, proofs: Proofs<'_>) -> Check {
        for event in facts.events() {
            match event? {
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
                    self.event(facts.time_ms, event)?.into_iter().for_each(&mut *proofs);
                }
            }
        }
        Ok(())
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
            Fact::RunRetried { nodes } => {
                ensure(self.ended.take().is_some(), || {
                    "the run was retried before its end".into()
                })?;
                self.tasks.begin_again(nodes)?;
            }
            Fact::MapExpanded { task, count, list } => {
                self.tasks.expand(task, count)?;
                self.refer(&list);
            }
            Fact::AttemptStarted { task, attempt, agent, fence, place } => {
                self.start(task, attempt, fence)?;
                self.count(agent, place)?;
            }
            Fact::AttemptEnded { task, fence, counts } => {
                self.tasks.end_attempt(task, fence, counts)?;
            }
            Fact::TaskSucceeded(done) => return self.succeed(&done).map(Some),
            Fact::RunForked { source, at } => {
                ensure(self.forked.is_none() && self.fence == 0, || {
                    "the run was forked after it began".into()
                })?;
                self.forked = Some((RunId::from_bytes(source), at));
            }
            Fact::TaskReused(reused) => return self.reuse(&reused).map(Some),
            Fact::TaskOver { task } => self.tasks.finish(task)?,
            Fact::TasksOver { mut tasks } => tasks.try_for_each(|task| self.tasks.finish(task))?,
            Fact::TaskParked { task } => self.tasks.park(task)?,
            Fact::SignalReceived { number, payload } => self.receive(number, &payload)?,
            Fact::WaitEnded { task, output, signal } => self.end_wait(task, &output, signal)?,
            Fact::TasksAdded { task, count } => self.tasks.grow(task, count)?,
            Fact::ChildRequested { input } => input.iter().for_each(|it| self.refer(it)),
            Fact::ChildEnded { task, end, output } => {
                output.iter().for_each(|output| self.refer(output));
                if end == "succeeded" {
                    self.tasks.finish(task)?;
                }
            }
            Fact::StepIntended(intent) => self.intend(&intent)?,
            Fact::StepSettled { task, key, result } => self.settle(task, key, Some(result))?,
            Fact::StepInDoubt { task, key } | Fact::StepProbed { task, key, result: None } => {
                _ = self.tasks.step(task, key)?;
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
        self.tasks.all_over()?;
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

    fn receive(&mut self, number: u64, payload: &Payload) -> Check {
        let (newest, kept) = &mut self.signals;
        ensure(newest.checked_add(1) == Some(number), || {
            format!("signal {number} follows {newest}")
        })?;
        *newest = number;
        kept.insert(number, payload.hash);
        self.refer(payload);
        Ok(())
    }

    /// One signal ends one wait, and what it says is the output.
    fn end_wait(&mut self, task: Task, output: &Payload, signal: Option<u64>) -> Check {
        if let Some(number) = signal {
            let said = self.signals.1.remove(&number);
            ensure(said == Some(output.hash), || {
                format!("signal {number} was not kept for task {}, or says other", name(task))
            })?;
        }
        self.refer(output);
        self.tasks.finish(task)
    }

    fn start(&mut self, task: Task, attempt: u32, fence: u64) -> Check {
        ensure(fence > self.fence, || format!("fence {fence} was drawn after {}", self.fence))?;
        self.fence = fence;
        self.tasks.start(task, attempt, fence)
    }

    /// An attempt of an agent. Where it stands follows from the start of the instance, or from the
    /// record if it was added since.
    fn count(&mut self, agent: u32, place: Option<Place<'_>>) -> Check {
        let seat = self.fleet.as_ref().and_then(|(fleet, _)| match place {
            Some(place) if agent >= fleet.agents() => {
                Some((place.name.to_owned(), place.stack, place.layer))
            }
            Some(_) => None,
            None => {
                let seat = fleet.seat(AgentIx(agent))?;
                Some((agent_name(seat.layer, seat.ordinal), seat.stack?.0, seat.layer))
            }
        });
        let Some(seat) = seat else {
            return Err(fault(format!("agent {agent} is of no stack of the fleet")));
        };
        *self.agents.entry(seat).or_insert(0) += 1;
        Ok(())
    }

    fn succeed(&mut self, done: &Done<'_>) -> Result<ProofLine, Fault> {
        let effects = self.tasks.succeed(done.task, done.fence)?;
        ensure(effects == done.effects, || {
            format!("the proof of task {} names other steps than were recorded", name(done.task))
        })?;
        self.refer(&done.output);
        let blobs = done.blobs.iter().cloned().flatten();
        blobs.for_each(|hash| self.refer(&Payload { hash, is_blob: true }));
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

    /// A task is as it was in the run's source: nothing of it happened here, and its link in the chain
    /// names the proof that it has there.
    fn reuse(&mut self, reused: &Reused<'_>) -> Result<ProofLine, Fault> {
        let task = (reused.node, None);
        ensure(self.forked.is_some() && self.fence == 0, || {
            format!("task {} is reused in a run that was not forked", name(task))
        })?;
        self.tasks.finish(task)?;
        let mut root = ZERO;
        if let Some((list, outputs)) = &reused.children {
            self.refer(list);
            let mut digests = list.hash.0.to_vec();
            for output in outputs.clone() {
                self.refer(&output);
                digests.extend_from_slice(&output.hash.0);
            }
            root = Hash::of(&digests);
        }
        reused.output.iter().for_each(|output| self.refer(output));
        let blobs = reused.blobs.iter().cloned().flatten();
        blobs.for_each(|hash| self.refer(&Payload { hash, is_blob: true }));
        let output = reused.output.map_or(ZERO, |output| output.hash);
        self.head = of_parts(&[
            b"reused",
            &self.head.0,
            &self.run.to_bytes(),
            &reused.node.to_le_bytes(),
            &reused.source_node.to_le_bytes(),
            &reused.proof.0,
            &reused.input.0,
            &output.0,
            &root.0,
        ]);
        self.proofs += 1;
        Ok(ProofLine {
            task: name(task),
            fence: 0,
            input: reused.input.to_string(),
            output: output.to_string(),
            effects: None,
            proof: self.head.to_string(),
        })
    }

    fn intend(&mut self, intent: &Intent<'_>) -> Check {
        let (node, child) = intent.task;
        let generation = self.tasks.generation(node);
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
        self.tasks.intend(intent.task, intent.fence, key)
    }

    /// None: it did not happen.
    fn settle(&mut self, task: Task, key: Hash, result: Option<Settled>) -> Check {
        let Some(Settled { result, blob }) = result else {
            return self.tasks.forget_step(task, key);
        };
        *self.tasks.step(task, key)? = Some(result);
        blob.iter().for_each(|hash| self.refer(&Payload { hash: *hash, is_blob: true }));
        Ok(())
    }

    fn refer(&mut self, payload: &Payload) {
        if payload.is_blob && self.known_blobs.insert(payload.hash) {
            self.blobs.push(payload.hash);
        }
    }
}

/// By name, as bytes, and stack.
fn agent_lines(agents: BTreeMap<(String, u32, Layer), u64>) -> Vec<AgentLine> {
    let line = |((name, stack, layer), attempts): ((String, u32, Layer), u64)| AgentLine {
        name,
        layer: layer.as_str(),
        stack,
        attempts,
    };
    agents.into_iter().map(line).collect()
}
