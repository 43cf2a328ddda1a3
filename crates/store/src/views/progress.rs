//! How far the tasks of a run are, by their events alone: the same counts as the core's state.
//!
//! Children of a map are sparse: only those that started and did not succeed have an entry.

use std::collections::BTreeMap;

use ark_os_core::event::{Event, RunEnd};
use ark_os_core::ids::TaskRef;
use ark_os_core::run::{RunState, TaskState};
use smallvec::SmallVec;

use super::bytes::{Numbers, ShortBytes, put};
use super::rows::{TaskTally, task_state};

/// The tasks of one run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Progress {
    counts: [u32; TaskState::COUNT],
    nodes: SmallVec<[Node; 1]>,
}

#[derive(Clone, Debug, PartialEq)]
struct Node {
    state: TaskState,
    fan: Option<Box<Fan>>,
}

/// The children of a map.
#[derive(Clone, Debug, Default, PartialEq)]
struct Fan {
    total: u32,
    done: u32,
    failed: u32,
    /// Started and not done.
    live: BTreeMap<u32, TaskState>,
}

impl Fan {
    fn fresh(&self) -> u32 {
        self.total.saturating_sub(self.done).saturating_sub(self.live.len() as u32)
    }
}

impl Progress {
    /// A run as it begins.
    pub(super) fn new(nodes: u32) -> Self {
        let pending = Node { state: TaskState::Pending, fan: None };
        let mut progress = Progress {
            counts: [0; TaskState::COUNT],
            nodes: SmallVec::from_elem(pending, nodes as usize),
        };
        progress.add(TaskState::Pending, nodes);
        progress
    }

    /// What a row tells of the tasks.
    pub(super) fn tally(&self) -> TaskTally {
        TaskTally {
            total: self.counts.iter().sum(),
            succeeded: self.count(TaskState::Succeeded),
            failed: self.count(TaskState::Failed),
        }
    }

    /// The state of a run whose tasks are worked on.
    pub(super) fn running_state(&self) -> RunState {
        use TaskState::{Preparing, Ready, Running, Waiting};
        let waiting = self.count(Waiting);
        let moving: u32 =
            [Preparing, Ready, Running, Waiting].into_iter().map(|state| self.count(state)).sum();
        if waiting > 0 && waiting == moving { RunState::Waiting } else { RunState::Running }
    }

    /// The output that the core gives a map when it is done.
    pub(super) fn map_output(&self, node: u32) -> Option<String> {
        let fan = self.nodes.get(node as usize)?.fan.as_ref()?;
        Some(format!(
            r#"{{"count":{},"succeeded":{},"failed":{}}}"#,
            fan.total, fan.done, fan.failed
        ))
    }

    /// Folds one event in; most are none of its business.
    pub(super) fn apply(&mut self, event: &Event) {
        use TaskState::{Failed, Parked, Preparing, Ready, Running, Skipped, Succeeded, Waiting};
        match event {
            Event::TaskPreparing { task } => self.set(*task, Preparing),
            Event::MapExpanded { task, count, .. } => self.expand(task.node, *count),
            Event::TaskReady { task } | Event::TaskUnparked { task, .. } => self.set(*task, Ready),
            Event::AttemptStarted(started) => {
                self.begin(started.task);
                self.set(started.task, Running);
            }
            Event::AttemptEnded(ended) => {
                self.set(ended.task, if ended.retry_at.is_some() { Waiting } else { Ready });
            }
            Event::TaskSucceeded(done) => self.succeed(done.task),
            Event::MapDone { task } => self.set(*task, Succeeded),
            Event::TaskWaiting { task, .. } | Event::ChildRequested { task, .. } => {
                self.set(*task, Waiting);
            }
            Event::WaitEnded { task, .. } => self.set(*task, Succeeded),
            Event::ChildEnded(ended) if ended.end == RunEnd::Succeeded => {
                self.set(ended.task, Succeeded);
            }
            Event::TaskFailed { task, .. } => self.fail(*task, Failed),
            Event::TaskParked { task, .. } => self.stop(*task, Parked),
            Event::TasksSkipped { tasks, .. } => {
                tasks.iter().for_each(|task| self.stop(*task, Skipped));
            }
            Event::TasksCancelled { tasks } => {
                tasks.iter().for_each(|task| self.stop(*task, TaskState::Cancelled));
            }
            Event::TasksAdded(added) => self.grow(added.nodes.len()),
            Event::TaskReused(reused) => {
                let children = reused.children.as_ref().map(|it| it.outputs.len() as u32);
                self.reuse(reused.node, reused.output.is_some(), children);
            }
            Event::RunRetried { nodes, .. } => nodes.iter().for_each(|node| self.again(*node)),
            _ => {}
        }
    }

    /// Tasks are added behind the plan's own.
    fn grow(&mut self, count: usize) {
        let pending = Node { state: TaskState::Pending, fan: None };
        self.nodes.extend(std::iter::repeat_n(pending, count));
        self.add(TaskState::Pending, count as u32);
    }

    fn count(&self, state: TaskState) -> u32 {
        self.counts.get(state as usize).copied().unwrap_or(0)
    }

    fn add(&mut self, state: TaskState, count: u32) {
        if let Some(slot) = self.counts.get_mut(state as usize) {
            *slot = slot.saturating_add(count);
        }
    }

    fn take(&mut self, state: TaskState, count: u32) {
        if let Some(slot) = self.counts.get_mut(state as usize) {
            *slot = slot.saturating_sub(count);
        }
    }

    fn fan(&mut self, node: u32) -> Option<&mut Fan> {
        self.nodes.get_mut(node as usize)?.fan.as_deref_mut()
    }

    /// An expanded map has a state but is not counted: its children are.
    fn set(&mut self, task: TaskRef, state: TaskState) {
        let Some(node) = self.nodes.get_mut(task.node as usize) else { return };
        let old = match task.child {
            None if node.fan.is_some() => {
                node.state = state;
                return;
            }
            None => std::mem::replace(&mut node.state, state),
            Some(child) => {
                let Some(slot) = node.fan.as_mut().and_then(|fan| fan.live.get_mut(&child)) else {
                    return;
                };
                std::mem::replace(slot, state)
            }
        };
        self.take(old, 1);
        self.add(state, 1);
    }

    fn expand(&mut self, node: u32, count: u32) {
        let Some(map) = self.nodes.get_mut(node as usize) else { return };
        let old = std::mem::replace(&mut map.state, TaskState::Running);
        map.fan = Some(Box::new(Fan { total: count, ..Fan::default() }));
        self.take(old, 1);
        self.add(TaskState::Ready, count);
    }

    /// A fresh child, counted as ready so far, gets an entry of its own.
    fn begin(&mut self, task: TaskRef) {
        let Some(child) = task.child else { return };
        if let Some(fan) = self.fan(task.node)
            && child < fan.total
        {
            fan.live.entry(child).or_insert(TaskState::Ready);
        }
    }

    fn succeed(&mut self, task: TaskRef) {
        self.set(task, TaskState::Succeeded);
        if let Some(child) = task.child
            && let Some(fan) = self.fan(task.node)
            && fan.live.remove(&child).is_some()
        {
            fan.done += 1;
        }
    }

    fn fail(&mut self, task: TaskRef, state: TaskState) {
        self.stop(task, state);
        if task.child.is_some()
            && let Some(fan) = self.fan(task.node)
        {
            fan.failed += 1;
        }
    }

    /// Out of line and out of work, with all children.
    fn stop(&mut self, task: TaskRef, state: TaskState) {
        if task.child.is_none() {
            self.stop_children(task.node);
        }
        self.set(task, state);
    }

    fn stop_children(&mut self, node: u32) {
        let Some(fan) = self.fan(node) else { return };
        let fresh = fan.fresh();
        let open: Vec<u32> = fan
            .live
            .iter()
            .filter(|(_, state)| !state.is_over())
            .map(|(child, _)| *child)
            .collect();
        for child in open {
            self.set(TaskRef::child(node, child), TaskState::Cancelled);
        }
        self.take(TaskState::Ready, fresh);
        self.add(TaskState::Skipped, fresh);
    }

    /// The node is over as it was in the run's source, with all its children.
    fn reuse(&mut self, node: u32, is_done: bool, children: Option<u32>) {
        let state = if is_done { TaskState::Succeeded } else { TaskState::Skipped };
        self.set(TaskRef::node(node), state);
        let Some(total) = children else { return };
        if let Some(map) = self.nodes.get_mut(node as usize) {
            map.fan = Some(Box::new(Fan { total, done: total, ..Fan::default() }));
            self.take(state, 1);
            self.add(TaskState::Succeeded, total);
        }
    }

    /// A retry begins here: the node is pending again and its children are forgotten.
    fn again(&mut self, ix: u32) {
        let Some(node) = self.nodes.get_mut(ix as usize) else { return };
        let fan = node.fan.take();
        let state = std::mem::replace(&mut node.state, TaskState::Pending);
        match fan {
            None => self.take(state, 1),
            Some(fan) => {
                self.take(TaskState::Skipped, fan.fresh());
                self.take(TaskState::Succeeded, fan.done);
                fan.live.values().for_each(|state| self.take(*state, 1));
            }
        }
        self.add(TaskState::Pending, 1);
    }

    /// Appends what [`Progress::read`] reads.
    pub(super) fn write(&self, out: &mut ShortBytes) {
        self.counts.iter().for_each(|count| put(out, u64::from(*count)));
        put(out, self.nodes.len() as u64);
        for node in &self.nodes {
            put(out, node.state as u64 * 2 + u64::from(node.fan.is_some()));
            let Some(fan) = &node.fan else { continue };
            for number in [fan.total, fan.done, fan.failed, fan.live.len() as u32] {
                put(out, u64::from(number));
            }
            for (child, state) in &fan.live {
                put(out, u64::from(*child));
                put(out, *state as u64);
            }
        }
    }

    /// Reads it back; none: the bytes are something else.
    pub(super) fn read(numbers: &mut Numbers<'_>) -> Option<Self> {
        let mut next = || numbers.next().and_then(|number| u32::try_from(number).ok());
        let mut counts = [0; TaskState::COUNT];
        for slot in &mut counts {
            *slot = next()?;
        }
        let mut nodes = SmallVec::new();
        for _ in 0..next()? {
            let head = next()?;
            let state = task_state(u64::from(head / 2))?;
            let fan = if head % 2 == 1 { Some(Box::new(read_fan(&mut next)?)) } else { None };
            nodes.push(Node { state, fan });
        }
        Some(Progress { counts, nodes })
    }
}

fn read_fan(next: &mut impl FnMut() -> Option<u32>) -> Option<Fan> {
    let mut fan = Fan { total: next()?, done: next()?, failed: next()?, live: BTreeMap::new() };
    for _ in 0..next()? {
        let child = next()?;
        fan.live.insert(child, task_state(u64::from(next()?))?);
    }
    Some(fan)
}
