//! What a fork takes along: folded from its source's history, and chosen by what is different. Pure, so that
//! the simulator forks as people do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ark_os_core::event::{Event, ReusedChildren, RunAccepted, RunEnd, SkipCause, TaskReused};
use ark_os_core::hash::Hash;
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::manifest::{Root, Template};
use ark_os_core::payload::{Bytes, Payload};
use ark_os_core::plan::{InputForm, Shape, TaskSpec, WaitOn, WaitSpec, Workflow};
use ark_os_core::progress::{proof, reuse_proof};
use ark_os_core::run::Run;
use ark_os_core::text::Text;

/// What a run's history says up to a point.
#[derive(Debug, Default)]
pub struct Source {
    /// As it was accepted.
    pub accepted: Option<RunAccepted>,
    /// The namespace and the plan, which always come together; none: those of its admission.
    pub under: Option<(Text, Arc<Workflow>)>,
    /// The number of what let it in, which another run's record may have.
    pub admission: Option<u64>,
    /// Nodes that are over, as they are.
    over: BTreeMap<u32, TaskReused>,
    maps: BTreeMap<u32, Map>,
    /// Nodes that added tasks: the fork's plan has none of those, so they run anew.
    adders: BTreeSet<u32>,
    /// The head of its chain of proofs.
    pub head: Hash,
    /// The newest record of it that was looked at.
    pub at: u64,
}

/// How a fork differs from what it begins from, beside its plan.
#[derive(Clone, Copy, Debug)]
pub struct Differs<'a> {
    /// Tasks of its plan that run anew in any case.
    pub anew: Option<&'a BTreeSet<u32>>,
    /// Whether it has another input.
    pub input: bool,
}

/// A map on its way.
#[derive(Debug)]
struct Map {
    list: Payload,
    outputs: BTreeMap<u32, Payload>,
    count: u32,
}

impl Source {
    /// The next event of the run.
    pub fn take(&mut self, run: RunId, event: Event) {
        match event {
            Event::RunAccepted(accepted) => {
                self.admission = accepted.admission;
                let pending = accepted.pending.as_deref();
                self.under = pending.map(|it| (it.namespace.clone(), it.workflow.clone()));
                self.accepted = Some(*accepted);
            }
            Event::RunLoaded { accepted: Some(accepted) } => {
                self.admission = accepted.admission;
                // A layer is empty, and the run waits for it with its plan.
                if let Some(it) = accepted.pending {
                    self.under = Some((it.namespace, it.workflow));
                }
            }
            Event::RunStarted { admission } => self.admission = Some(admission),
            Event::WorkflowAdmitted(admission) => {
                self.under = Some((admission.namespace, admission.workflow));
            }
            Event::RunRetried { nodes, .. } => {
                for node in nodes {
                    self.over.remove(&node);
                    self.maps.remove(&node);
                }
            }
            Event::MapExpanded { task, count, list } => {
                self.maps.insert(task.node, Map { list, count, outputs: BTreeMap::new() });
            }
            Event::TaskSucceeded(done) => {
                self.head = proof(run, &done, self.head);
                match done.task.child {
                    Some(child) => {
                        if let Some(map) = self.maps.get_mut(&done.task.node) {
                            map.outputs.insert(child, done.output);
                        }
                    }
                    None => {
                        let (input, blobs) = (done.input, done.blobs.clone());
                        let it = self.reused(done.task, Some(done.output));
                        self.over.insert(done.task.node, TaskReused { input, blobs, ..it });
                    }
                }
            }
            Event::MapDone { task } => self.finish_map(task),
            Event::WaitEnded { task, output, .. } => {
                self.over.insert(task.node, self.reused(task, Some(output)));
            }
            Event::ChildEnded(ended) if ended.end == RunEnd::Succeeded => {
                let output = ended.output.unwrap_or_else(Payload::null);
                self.over.insert(ended.task.node, self.reused(ended.task, Some(output)));
            }
            Event::TasksAdded(added) => _ = self.adders.insert(added.task.node),
            Event::TasksSkipped { tasks, cause: SkipCause::Condition } => {
                for task in tasks {
                    self.over.insert(task.node, self.reused(task, None));
                }
            }
            Event::TaskReused(reused) => {
                self.head = reuse_proof(run, &reused, self.head);
                let source_node = reused.node;
                let it = TaskReused { source_node, proof: self.head, ..*reused };
                self.over.insert(it.node, it);
            }
            _ => {}
        }
    }

    fn reused(&self, task: TaskRef, output: Option<Payload>) -> TaskReused {
        TaskReused {
            node: task.node,
            source_node: task.node,
            output,
            input: Hash::ZERO,
            proof: self.head,
            children: None,
            blobs: None,
        }
    }

    /// One of which a child failed is not reused.
    fn finish_map(&mut self, task: TaskRef) {
        let Some(map) = self.maps.remove(&task.node) else { return };
        if map.outputs.len() != map.count as usize {
            return;
        }
        let output = Run::map_output(map.outputs.len());
        let outputs = map.outputs.into_values().collect();
        let children = Some(ReusedChildren { list: map.list, outputs });
        let it = TaskReused { children, ..self.reused(task, Some(output)) };
        self.over.insert(task.node, it);
    }

    /// What a fork with this plan does not do again, each task behind what it needs.
    pub fn reuse(&self, old: &Workflow, plan: &Workflow, differs: Differs<'_>) -> Vec<TaskReused> {
        let mut reused = Vec::new();
        let mut kept: BTreeSet<u32> = BTreeSet::new();
        for (node, spec) in in_order(plan) {
            let outside = differs.anew.is_none_or(|anew| !anew.contains(&node));
            let found = old.node(&spec.name).filter(|old_node| !self.adders.contains(old_node));
            let found = found.and_then(|old_node| self.over.get(&old_node));
            let is_kept = outside
                && spec.needs.iter().all(|need| kept.contains(need))
                && is_same(old, plan, spec)
                && !(differs.input && refers_to_input(spec));
            if let Some(it) = found.filter(|_| is_kept) {
                kept.insert(node);
                reused.push(TaskReused { node, ..it.clone() });
            }
        }
        reused
    }
}

/// The nodes of a plan, each behind what it needs.
fn in_order(plan: &Workflow) -> Vec<(u32, &TaskSpec)> {
    let mut waits: Vec<usize> = plan.tasks.iter().map(|spec| spec.needs.len()).collect();
    let mut order: Vec<u32> = Vec::new();
    let roots = (0u32..).zip(&waits).filter(|(_, waits)| **waits == 0).map(|(node, _)| node);
    order.extend(roots);
    let mut at = 0;
    while let Some(node) = order.get(at).copied() {
        at += 1;
        for fed in plan.tasks.get(node as usize).into_iter().flat_map(|spec| &spec.feeds) {
            let Some(left) = waits.get_mut(*fed as usize) else { continue };
            *left = left.saturating_sub(1);
            if *left == 0 {
                order.push(*fed);
            }
        }
    }
    order.into_iter().filter_map(|node| Some((node, plan.tasks.get(node as usize)?))).collect()
}

/// Whether a task of the new plan does what the one of the same name did: the same skill with the
/// same input, under the same condition, needing the same tasks.
fn is_same(old: &Workflow, new: &Workflow, spec: &TaskSpec) -> bool {
    let known = old.node(&spec.name).and_then(|node| old.tasks.get(node as usize));
    let names = |plan: &Workflow, needs: &[u32]| -> BTreeSet<Text> {
        let tasks = needs.iter().filter_map(|need| plan.tasks.get(*need as usize));
        tasks.map(|spec| spec.name.clone()).collect()
    };
    known.is_some_and(|known| {
        let shape = match (&known.shape, &spec.shape) {
            (Shape::Single, Shape::Single) | (Shape::Reduce(_), Shape::Reduce(_)) => true,
            (Shape::Map(one), Shape::Map(other)) => {
                one.over == other.over && one.collect == other.collect
            }
            (Shape::Wait(one), Shape::Wait(other)) => one == other,
            (Shape::Child(one), Shape::Child(other)) => one == other,
            _ => false,
        };
        shape
            && !spec.is_fallback
            && !known.is_fallback
            && known.skill == spec.skill
            && known.input == spec.input
            && known.input_form == spec.input_form
            && known.when == spec.when
            && known.expands == spec.expands
            && known.output_schema == spec.output_schema
            && names(old, &known.needs) == names(new, &spec.needs)
    })
}

/// Whether a task looks at the run's input; a condition by its text, which may say so where it does not.
fn refers_to_input(spec: &TaskSpec) -> bool {
    let shape = match &spec.shape {
        Shape::Map(map) => has_input(&map.over),
        Shape::Wait(WaitSpec { on: WaitOn::Until(moment), .. }) => has_input(moment),
        _ => false,
    };
    let when = spec.when.as_ref().is_some_and(|when| when.contains("input"));
    let input = match spec.input_form {
        // Its escapes are undone: it may look like a template, and is none.
        InputForm::Literal => false,
        InputForm::RunInput => true,
        InputForm::Template => has_input(&spec.input),
    };
    shape || when || input
}

/// Whether a template refers to the run's input. One that cannot be read may, so that its task runs anew.
fn has_input(template: &Bytes) -> bool {
    let value = serde_json::from_slice(&template.0).ok();
    let template = value.and_then(|value| Template::parse(&value).ok());
    template.is_none_or(|it| it.references().iter().any(|it| *it.expression.root() == Root::Input))
}
