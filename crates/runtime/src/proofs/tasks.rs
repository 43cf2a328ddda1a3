//! Where the tasks of a run stand, and their steps. The plan says how many nodes there are and a map's list how
//! many children, so nothing is kept of tasks that cannot be; what is kept of one is about as much as the bundle
//! says of it, and every event is taken in without going through the others.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::ops::RangeInclusive;

use ark_os_core::limits::{MAP_CHILDREN_MAX, PLAN_TASKS_MAX};
use ark_os_store::Hash;

use super::facts::Task;
use super::history::{Check, ensure, fault};
use super::{Fault, ZERO};

/// The tasks of the plan, and the children of its maps.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    plan_nodes: u32,
    /// Those that tasks have added, behind the plan's own.
    added: u32,
    nodes: BTreeMap<u32, Node>,
    /// Those that began and are not over.
    begun: BTreeMap<Task, Begun>,
    steps: BTreeMap<(Task, Hash), Step>,
    /// Intents so far.
    intents: u64,
    nodes_over: u32,
    attempts_open: u64,
}

/// What is kept of a node whether it is over or not.
#[derive(Debug, Default)]
struct Node {
    generation: u32,
    is_over: bool,
    /// How many there are.
    children: u32,
    /// A bit for each that is over.
    children_over: Vec<u64>,
}

#[derive(Debug, Default)]
struct Begun {
    fence: Option<NonZeroU64>,
    attempt: u32,
}

#[derive(Debug)]
struct Step {
    /// Its place among all intents.
    place: u64,
    /// The digest of its result.
    result: Option<Hash>,
}

/// As bundles write it.
pub(super) fn name(task: Task) -> String {
    match task {
        (node, Some(child)) => format!("{node}.{child}"),
        (node, None) => node.to_string(),
    }
}

/// Everything of a node, or only its children.
fn children(node: u32) -> RangeInclusive<Task> {
    (node, Some(0))..=(node, Some(u32::MAX))
}

impl Node {
    fn is_child_over(&self, child: u32) -> bool {
        let word = self.children_over.get(child as usize / 64);
        word.is_some_and(|word| word >> (child % 64) & 1 == 1)
    }

    fn end_child(&mut self, child: u32) {
        let at = child as usize / 64;
        if self.children_over.len() <= at {
            self.children_over.resize(at + 1, 0);
        }
        if let Some(word) = self.children_over.get_mut(at) {
            *word |= 1 << (child % 64);
        }
    }
}

impl Tasks {
    /// The plan has so many nodes.
    pub(super) fn plan(&mut self, nodes: u32) {
        self.plan_nodes = nodes;
    }

    /// A task that is worked on adds others.
    pub(super) fn grow(&mut self, task: Task, count: u32) -> Check {
        self.in_plan(task)?;
        let held = self.begun.get(&task).is_some_and(|it| it.fence.is_some());
        ensure(held, || format!("task {} adds others and nobody works on it", name(task)))?;
        self.added += count;
        ensure(self.all_nodes() <= PLAN_TASKS_MAX as u32, || {
            "more tasks were added than a plan may have".into()
        })
    }

    fn all_nodes(&self) -> u32 {
        self.plan_nodes.saturating_add(self.added)
    }

    /// The list of a map is known.
    pub(super) fn expand(&mut self, task: Task, count: u32) -> Check {
        self.in_plan(task)?;
        ensure(task.1.is_none() && count <= MAP_CHILDREN_MAX, || {
            format!("task {} is no map, or has too many children", name(task))
        })?;
        self.nodes.entry(task.0).or_default().children = count;
        Ok(())
    }

    /// There is no task but those of the plan and of its maps' lists.
    fn in_plan(&self, (node, child): Task) -> Check {
        let children = self.nodes.get(&node).map_or(0, |it| it.children);
        let is_in = node < self.all_nodes() && child.is_none_or(|child| child < children);
        ensure(is_in, || format!("task {} is not of the plan", name((node, child))))
    }

    fn is_over(&self, (node, child): Task) -> bool {
        self.nodes.get(&node).is_some_and(|it| match child {
            Some(child) => it.is_child_over(child),
            None => it.is_over,
        })
    }

    /// An attempt begins.
    pub(super) fn start(&mut self, task: Task, attempt: u32, fence: u64) -> Check {
        self.in_plan(task)?;
        let is_over = self.is_over(task);
        let it = self.begun.entry(task).or_default();
        ensure(!is_over && it.fence.is_none(), || {
            format!("task {} began while it was at work or over", name(task))
        })?;
        ensure(Some(attempt) == it.attempt.checked_add(1), || {
            format!("attempt {attempt} of task {} follows {}", name(task), it.attempt)
        })?;
        (it.fence, it.attempt) = (NonZeroU64::new(fence), attempt);
        self.attempts_open += u64::from(it.fence.is_some());
        Ok(())
    }

    fn holding(&mut self, task: Task, fence: u64) -> Result<&mut Begun, Fault> {
        let is_in_use = |it: &&mut Begun| it.fence.is_some_and(|held| held.get() == fence);
        self.begun.get_mut(&task).filter(is_in_use).ok_or_else(|| {
            fault(format!("fence {fence} is not the one in use for task {}", name(task)))
        })
    }

    /// An attempt ends, which counts unless it was lost or interrupted.
    pub(super) fn end_attempt(&mut self, task: Task, fence: u64, counts: bool) -> Check {
        let it = self.holding(task, fence)?;
        it.fence = None;
        it.attempt = it.attempt.saturating_sub(u32::from(!counts));
        self.attempts_open -= 1;
        Ok(())
    }

    /// A task is done: the root over its steps, if it took any.
    pub(super) fn succeed(&mut self, task: Task, fence: u64) -> Result<Option<Hash>, Fault> {
        self.holding(task, fence)?;
        let mut steps = Vec::new();
        while let Some((key, step)) =
            self.first_step((task, Hash([0; 32]))..=(task, Hash([255; 32])))
        {
            steps.push((step.place, key.1, step.result));
        }
        steps.sort_unstable_by_key(|(place, ..)| *place);
        let mut parts = Vec::with_capacity(steps.len() * 64);
        for (_, key, result) in &steps {
            parts.extend_from_slice(&key.0);
            parts.extend_from_slice(&result.unwrap_or(ZERO).0);
        }
        self.finish(task)?;
        Ok((!steps.is_empty()).then(|| Hash::of(&parts)))
    }

    /// Takes the first of these steps out.
    fn first_step(&mut self, among: RangeInclusive<(Task, Hash)>) -> Option<((Task, Hash), Step)> {
        let key = *self.steps.range(among).next()?.0;
        self.steps.remove_entry(&key)
    }

    /// A task comes to its one end; with a map its children, whatever they were at.
    pub(super) fn finish(&mut self, task: Task) -> Check {
        self.in_plan(task)?;
        ensure(!self.is_over(task), || format!("task {} came to a second end", name(task)))?;
        self.stop_children(task);
        self.forget(task);
        let it = self.nodes.entry(task.0).or_default();
        match task.1 {
            Some(child) => it.end_child(child),
            None => {
                it.is_over = true;
                self.nodes_over += 1;
            }
        }
        Ok(())
    }

    /// A task is free and not over, and an attempt under way is not counted; with a map its children are
    /// over.
    pub(super) fn park(&mut self, task: Task) -> Check {
        self.in_plan(task)?;
        ensure(!self.is_over(task), || format!("task {} was over", name(task)))?;
        self.stop_children(task);
        if let Some(it) = self.begun.get_mut(&task)
            && it.fence.take().is_some()
        {
            it.attempt = it.attempt.saturating_sub(1);
            self.attempts_open -= 1;
        }
        Ok(())
    }

    fn stop_children(&mut self, task: Task) {
        let (node, None) = task else { return };
        while let Some((child, _)) = self.begun.range(children(node)).next() {
            let child = *child;
            self.forget(child);
            if let (Some(it), Some(child)) = (self.nodes.get_mut(&node), child.1) {
                it.end_child(child);
            }
        }
    }

    fn forget(&mut self, task: Task) {
        let fence = self.begun.remove(&task).and_then(|it| it.fence);
        self.attempts_open -= u64::from(fence.is_some());
    }

    /// Whether the run may end.
    pub(super) fn all_over(&self) -> Check {
        ensure(self.nodes_over == self.all_nodes(), || {
            "the run ended before one of its tasks".into()
        })?;
        ensure(self.attempts_open == 0, || "the run ended with an attempt under way".into())
    }

    /// These nodes begin again.
    pub(super) fn begin_again(&mut self, nodes: impl Iterator<Item = u32>) -> Check {
        let mut again = BTreeSet::new();
        for node in nodes {
            self.in_plan((node, None))?;
            again.insert(node);
        }
        for node in again {
            self.forget((node, None));
            while let Some((child, _)) = self.begun.range(children(node)).next() {
                let child = *child;
                self.forget(child);
            }
            let all = ((node, None), Hash([0; 32]))..=((node, Some(u32::MAX)), Hash([255; 32]));
            while self.first_step(all.clone()).is_some() {}
            let it = self.nodes.entry(node).or_default();
            self.nodes_over -= u32::from(it.is_over);
            *it = Node { generation: it.generation.saturating_add(1), ..Node::default() };
        }
        Ok(())
    }

    /// How often a node began again.
    pub(super) fn generation(&self, node: u32) -> u32 {
        self.nodes.get(&node).map_or(0, |it| it.generation)
    }

    /// A step is intended, or tried again.
    pub(super) fn intend(&mut self, task: Task, fence: u64, key: Hash) -> Check {
        self.holding(task, fence)?;
        self.intents += 1;
        let step = Step { place: self.intents, result: None };
        self.steps.entry((task, key)).or_insert(step).result = None;
        Ok(())
    }

    /// A step that was intended.
    pub(super) fn step(&mut self, task: Task, key: Hash) -> Result<&mut Option<Hash>, Fault> {
        let found = self.steps.get_mut(&(task, key)).map(|it| &mut it.result);
        found.ok_or_else(|| fault(format!("a step of task {} was not intended", name(task))))
    }

    /// A step did not happen.
    pub(super) fn forget_step(&mut self, task: Task, key: Hash) -> Check {
        self.step(task, key)?;
        self.steps.remove(&(task, key));
        Ok(())
    }
}
