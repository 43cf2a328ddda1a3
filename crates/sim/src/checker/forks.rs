//! Forks: what each takes along, held against what its source's history says up to the point.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ark_os_core::event::{Event, RunEnd, RunForked, SkipCause, TaskReused};
use ark_os_core::hash::Hash;
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::payload::Payload;
use ark_os_core::plan::{InputForm, Shape, TaskSpec, WaitOn, WaitSpec, Workflow};
use ark_os_core::progress::{proof, reuse_proof};
use ark_os_core::run::Run;
use ark_os_core::text::Text;

use super::Checker;
use super::model::{End, Model, RunModel};
use crate::violation::{Check, Violation, ensure};

/// A place in the history of a run: the number of a record, and of an event in it.
pub(crate) type Place = (u64, usize);

/// A fork that somebody has asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) source: RunId,
    /// The last event that counts.
    pub(crate) until: Place,
    pub(crate) change: Changed,
}

/// What is different in a fork.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Changed {
    Nothing,
    Input,
    /// Tasks that needed another skill need this one.
    Skill(Text),
    /// This task runs anew.
    Task(Text),
}

/// What became of a node.
#[derive(Clone, Debug, PartialEq)]
enum Came {
    /// It was done: its output, and those of a map's children.
    Done(Hash, Vec<Hash>),
    /// Its condition was false.
    Skipped,
    /// It begins again.
    Anew,
}

/// What a run's history says that a fork may take along.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    came: Vec<(Place, u32, Came)>,
    /// Outputs of the children of maps.
    children: BTreeMap<TaskRef, Hash>,
    /// Nodes that added tasks.
    adders: Vec<(Place, u32)>,
    /// Every head of its chain of proofs.
    heads: Vec<(Place, Hash)>,
    /// Nodes that the run has from another.
    pub(super) reused: BTreeSet<u32>,
}

impl Past {
    /// Takes an event in.
    pub(super) fn take(&mut self, run: RunId, place: Place, event: &Event) {
        match event {
            Event::TaskSucceeded(done) => {
                self.heads.push((place, proof(run, done, self.head(None))));
                match done.task.child {
                    Some(_) => _ = self.children.insert(done.task, done.output.hash()),
                    None => self.done(place, done.task.node, done.output.hash()),
                }
            }
            Event::WaitEnded { task, output, .. } => self.done(place, task.node, output.hash()),
            Event::ChildEnded(it) if it.end == RunEnd::Succeeded => {
                let output = it.output.clone().unwrap_or_else(Payload::null);
                self.done(place, it.task.node, output.hash());
            }
            Event::TasksSkipped { tasks, cause: SkipCause::Condition } => {
                self.came.extend(tasks.iter().map(|task| (place, task.node, Came::Skipped)));
            }
            Event::TasksAdded(added) => self.adders.push((place, added.task.node)),
            Event::RunRetried { nodes, .. } => {
                self.came.extend(nodes.iter().map(|node| (place, *node, Came::Anew)));
                self.children.retain(|task, _| !nodes.contains(&task.node));
                self.reused.retain(|node| !nodes.contains(node));
            }
            Event::TaskReused(it) => {
                self.heads.push((place, reuse_proof(run, it, self.head(None))));
                self.came.push((place, it.node, came_of(it)));
                self.reused.insert(it.node);
            }
            _ => {}
        }
    }

    fn done(&mut self, place: Place, node: u32, output: Hash) {
        self.came.push((place, node, Came::Done(output, Vec::new())));
    }

    /// A map is over, all of its children were done.
    fn map_done(&mut self, place: Place, node: u32, count: u32) {
        let output = |child| self.children.get(&TaskRef::child(node, child)).copied();
        let outputs: Option<Vec<Hash>> = (0..count).map(output).collect();
        let Some(outputs) = outputs else { return };
        let output = Run::map_output(outputs.len()).hash();
        self.came.push((place, node, Came::Done(output, outputs)));
    }

    /// The head of its chain of proofs at a place; none: the newest.
    fn head(&self, until: Option<Place>) -> Hash {
        let heads = self.heads.iter().rev();
        let mut heads = heads.filter(|(place, _)| until.is_none_or(|until| *place <= until));
        heads.next().map_or(Hash::ZERO, |(_, head)| *head)
    }

    /// What had become of a node by then.
    fn came(&self, node: u32, until: Place) -> Option<&Came> {
        let came = self.came.iter().rev();
        let mut came = came.filter(|(place, of, _)| *of == node && *place <= until);
        came.next().map(|(_, _, came)| came)
    }

    fn has_added(&self, node: u32, until: Place) -> bool {
        self.adders.iter().any(|(place, of)| *of == node && *place <= until)
    }
}

fn came_of(reused: &TaskReused) -> Came {
    let children = reused.children.iter().flat_map(|it| it.outputs.iter().map(Payload::hash));
    match &reused.output {
        Some(output) => Came::Done(output.hash(), children.collect()),
        None => Came::Skipped,
    }
}

/// Whether a task looks at its run's input, by its text.
fn looks_at_input(spec: &TaskSpec) -> bool {
    let has = |text: &[u8]| String::from_utf8_lossy(text).contains("${input");
    let over = match &spec.shape {
        Shape::Map(map) => has(&map.over.0),
        Shape::Wait(WaitSpec { on: WaitOn::Until(moment), .. }) => has(&moment.0),
        _ => false,
    };
    let is_template = spec.input_form != InputForm::Literal;
    over || is_template && has(&spec.input.0)
        || spec.when.as_ref().is_some_and(|when| when.contains("input"))
}

fn broken(message: String) -> Violation {
    Violation::new("I23", message)
}

impl Model {
    /// Takes in what a fork may take along.
    pub(super) fn remember(&mut self, id: RunId, place: Place, event: &Event) {
        let count = match event {
            Event::MapDone { task } => self.map_count(id, *task),
            _ => None,
        };
        let Some(run) = self.runs.get_mut(&id) else { return };
        match (event, count) {
            (Event::MapDone { task }, Some(count)) => run.past.map_done(place, task.node, count),
            _ => run.past.take(id, place, event),
        }
    }

    fn map_count(&self, id: RunId, task: TaskRef) -> Option<u32> {
        self.run(id)?.task(task)?.children
    }

    fn asked_fork(&self, id: RunId) -> Result<&Asked, Violation> {
        self.forks.get(&id).ok_or_else(|| broken(format!("nobody wants the fork `{id}`")))
    }

    fn source_of(&self, id: RunId) -> Result<(&Asked, &RunModel), Violation> {
        let asked = self.asked_fork(id)?;
        let source = self.run(asked.source);
        let source = source.ok_or_else(|| broken(format!("the source of `{id}` is not there")))?;
        Ok((asked, source))
    }

    /// INVARIANT I23: a fork says where it comes from, and is a run of its own.
    pub(super) fn fork(&self, id: RunId, seq: u64, forked: &RunForked) -> Check {
        let (asked, source) = self.source_of(id)?;
        let (until, head) = (asked.until, source.past.head(Some(asked.until)));
        let is_its = (forked.source, forked.at, forked.head) == (asked.source, until.0, head);
        ensure(is_its, "I23", || format!("`{id}` is {forked:?}, asked for as {asked:?}: {head}"))?;
        let run = self.run(id).filter(|run| run.accepted_seq == seq && !run.waits);
        let is_own = run.is_some_and(|run| run.accepted.parent.is_none());
        ensure(is_own, "I23", || format!("`{id}` does not begin with its fork"))
    }

    /// INVARIANT I23: what is reused was so in the source before the point, and is the plan's.
    pub(super) fn reuse(&mut self, id: RunId, reused: &TaskReused) -> Check {
        let (asked, source) = self.source_of(id)?;
        let run = self.run(id).ok_or_else(|| broken(format!("`{id}` is not there")))?;
        let spec = run.workflow.tasks.get(reused.node as usize);
        let spec = spec.ok_or_else(|| broken(format!("`{id}` has no such task: {reused:?}")))?;
        let came = source.past.came(reused.source_node, asked.until);
        ensure(came == Some(&came_of(reused)), "I23", || {
            format!("`{id}` has {reused:?}, in its source it was {came:?} at {:?}", asked.until)
        })?;
        let old = source.workflow.tasks.get(reused.source_node as usize);
        let is_same = old.is_some_and(|old| {
            (&old.name, &old.skill, &old.input, &old.when)
                == (&spec.name, &spec.skill, &spec.input, &spec.when)
        });
        let is_touched = match &asked.change {
            Changed::Nothing => false,
            Changed::Input => looks_at_input(spec),
            Changed::Skill(skill) => {
                spec.skill == *skill && old.is_none_or(|it| it.skill != *skill)
            }
            Changed::Task(name) => spec.name == *name,
        };
        ensure(is_same && !is_touched, "I23", || {
            format!("`{id}` reuses {spec:?} of {old:?} and has changed: {:?}", asked.change)
        })?;
        let missing = spec.needs.iter().find(|need| run.over(**need).is_none());
        ensure(missing.is_none(), "I23", || {
            format!("`{id}` reuses `{}` without {missing:?}, which it needs", spec.name)
        })?;
        let end = match reused.output {
            Some(_) => End::Succeeded,
            None => End::Skipped(SkipCause::Condition),
        };
        self.settle_reused(id, reused.node, end)
    }

    /// INVARIANT I23: where nothing is different, everything that was done before the point is reused.
    pub(super) fn check_fork(&self, id: RunId) -> Check {
        let (asked, source) = self.source_of(id)?;
        if asked.change != Changed::Nothing {
            return Ok(());
        }
        let Some(run) = self.run(id) else { return Ok(()) };
        let plan: &Arc<Workflow> = &run.workflow;
        let mut all: BTreeSet<u32> = BTreeSet::new();
        // Each round finds those whose needs the one before has found.
        for _ in 0..plan.tasks.len() {
            for (node, spec) in (0u32..).zip(&plan.tasks) {
                let came = source.past.came(node, asked.until);
                let is_done = came.is_some_and(|came| *came != Came::Anew);
                let stays = is_done && !spec.is_fallback;
                let has_needs = spec.needs.iter().all(|need| all.contains(need));
                if stays && has_needs && !source.past.has_added(node, asked.until) {
                    all.insert(node);
                }
            }
        }
        ensure(run.past.reused == all, "I23", || {
            format!("`{id}` reuses {:?}, before its point were done {all:?}", run.past.reused)
        })
    }
}

impl Checker {
    /// Somebody asks for a fork.
    pub(crate) fn asks_fork(&mut self, run: RunId, asked: Asked) {
        self.told.forks.insert(run, asked.clone());
        self.model.forks.insert(run, asked);
    }

    /// The durable history of a run, event by event.
    pub(crate) fn history(&self, run: RunId) -> Vec<(Place, Event)> {
        let records = self.log.iter().map(|(appended, _)| appended);
        let its = records.filter(|it| it.seq <= self.durable && it.change.run == Some(run));
        let events = its.flat_map(|it| {
            it.change.events.iter().enumerate().map(|(i, event)| ((it.seq, i), event.clone()))
        });
        events.collect()
    }

    /// What a run was let in under: the namespace, and the plan as it was.
    pub(crate) fn admission(&self, number: u64) -> Option<(Text, Arc<Workflow>)> {
        let namespace = self.model.namespaces.get(&number)?;
        Some((namespace.clone(), self.model.workflows.get(&number)?.clone()))
    }
}
