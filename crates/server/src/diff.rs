//! Two runs compared: their histories are read record by record; what is kept of a task is a short
//! row, and outputs are read only where their digests differ.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use ark_os_api::{DiffView, RunSide, TaskDiff, TaskSide};
use ark_os_core::Event;
use ark_os_core::budget::Amounts;
use ark_os_core::event::RunEnd;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::payload::Payload;
use ark_os_core::run::TaskState;
use ark_os_runtime::{Handle, RuntimeError};

use crate::past::Past;
use crate::words;

mod values;

use values::Room;

/// Tasks that are shown of those that differ.
const TASKS_MAX: usize = 500;
/// Tasks of which outputs are compared by value; the others by digest.
const OUTPUTS_MAX: usize = 100;

/// What one run's history tells.
struct Side {
    past: Past,
    input: Option<Payload>,
    forked_from: Option<RunId>,
    rows: BTreeMap<TaskRef, Row>,
}

/// What the history tells of a task besides how it stands.
#[derive(Clone, Debug, Default)]
struct Row {
    output: Option<Hash>,
    spent: Amounts,
    reused: bool,
}

impl Side {
    fn read(handle: &Handle, run: RunId) -> Result<Option<Side>, RuntimeError> {
        let mut side =
            Side { past: Past::new(run), input: None, forked_from: None, rows: BTreeMap::new() };
        handle.replay(run, 0, &mut |recorded| {
            side.past.apply(&recorded);
            recorded.change.events.iter().for_each(|event| side.take(event));
            ControlFlow::Continue(())
        })?;
        if side.input.is_none() {
            return Ok(None);
        }
        side.past.find_workflow(handle)?;
        Ok(Some(side))
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::RunAccepted(accepted) => self.input = Some(accepted.input.clone()),
            Event::RunForked(forked) => self.forked_from = Some(forked.source),
            Event::AttemptEnded(ended) => {
                let row = self.rows.entry(ended.task).or_default();
                row.spent = row.spent.plus(ended.spent);
            }
            Event::TaskSucceeded(done) => {
                let row = self.rows.entry(done.task).or_default();
                row.spent = row.spent.plus(done.spent);
                row.output = Some(done.output.hash());
            }
            Event::WaitEnded { task, output, .. } => {
                self.rows.entry(*task).or_default().output = Some(output.hash());
            }
            Event::ChildEnded(ended) if ended.end == RunEnd::Succeeded => {
                let row = self.rows.entry(ended.task).or_default();
                row.spent = row.spent.plus(ended.spent);
                row.output = ended.output.as_ref().map(Payload::hash);
            }
            Event::TaskReused(reused) => {
                let task = TaskRef::node(reused.node);
                // The output of a map is a count; its children tell.
                let output = reused.output.as_ref().filter(|_| reused.children.is_none());
                let output = output.map(Payload::hash);
                let row = Row { output, reused: true, ..Row::default() };
                self.rows.insert(task, row);
                let children = reused.children.iter().flat_map(|it| &it.outputs);
                for (child, output) in (0u32..).zip(children) {
                    let row = Row { output: Some(output.hash()), reused: true, ..Row::default() };
                    self.rows.insert(TaskRef::child(reused.node, child), row);
                }
            }
            Event::RunRetried { nodes, .. } => {
                self.rows.retain(|task, _| !nodes.contains(&task.node));
            }
            _ => {}
        }
    }

    /// The tasks by name, in the order of the plan.
    fn names(&self) -> Vec<(String, TaskRef)> {
        let tasks = &self.past.workflow().map(|workflow| workflow.tasks.as_slice());
        let name = |task: TaskRef| {
            let spec = tasks.and_then(|tasks| tasks.get(task.node as usize));
            let name = spec.map_or_else(|| task.node.to_string(), |spec| spec.name.to_string());
            match task.child {
                Some(child) => format!("{name}.{child}"),
                None => name,
            }
        };
        self.past.all().map(|task| (name(task), task)).collect()
    }

    fn task(&self, task: TaskRef) -> Option<TaskSide> {
        let it = self.past.task(task)?;
        let row = self.rows.get(&task).cloned().unwrap_or_default();
        let duration = it.ended.zip(it.ready).map(|(ended, ready)| ended.0.saturating_sub(ready.0));
        Some(TaskSide {
            state: words::task_state(it.state.0).to_owned(),
            attempts: it.attempt + it.lost,
            duration_ms: duration.filter(|_| it.state.0 != TaskState::Skipped),
            spent: words::amounts(row.spent, 0),
            reused: row.reused,
        })
    }

    fn output_hash(&self, task: TaskRef) -> Option<Hash> {
        self.rows.get(&task).and_then(|row| row.output)
    }

    /// The output of a task, from the record that has it.
    fn output_of(&self, handle: &Handle, task: TaskRef) -> Result<Option<Payload>, RuntimeError> {
        let told = self.past.task(task).map(|it| it.told).filter(|seq| *seq > 0);
        let Some(seq) = told else { return Ok(None) };
        let mut found = None;
        handle.records(&[seq], &mut |recorded| {
            for event in recorded.change.events {
                match event {
                    Event::TaskSucceeded(done) if done.task == task => found = Some(done.output),
                    Event::WaitEnded { task: ended, output, .. } if ended == task => {
                        found = Some(output);
                    }
                    Event::ChildEnded(ended) if ended.task == task => found = ended.output,
                    Event::TaskReused(reused) => {
                        found = reused.output_of(task).cloned().or(found.take());
                    }
                    _ => {}
                }
            }
        })?;
        Ok(found)
    }

    fn summary(&self, state: &str) -> RunSide {
        let workflow = self.past.workflow();
        let text = |it: Option<&str>| it.unwrap_or_default().to_owned();
        let tasks = || self.past.all().filter_map(|task| self.past.task(task));
        let spent = self.rows.values().fold(Amounts::ZERO, |sum, row| sum.plus(row.spent));
        RunSide {
            run: self.past.run().to_string(),
            workflow: text(workflow.map(|it| it.name.as_str())),
            version: text(workflow.map(|it| it.version.as_str())),
            workflow_hash: workflow.map(|it| it.hash.to_string()).unwrap_or_default(),
            state: state.to_owned(),
            duration_ms: self.past.duration_ms(),
            attempts: tasks().map(|it| it.attempt + it.lost).sum(),
            spent: words::amounts(spent, 0),
            forked_from: self.forked_from.map(|run| run.to_string()),
        }
    }
}

/// A run that is compared, the word for how it stands, and its output.
pub(crate) type Compared = (RunId, &'static str, Option<Payload>);

/// Compares two runs; the one that is not known instead.
pub(crate) fn compare(
    handle: &Handle,
    (a, a_state, a_output): Compared,
    (b, b_state, b_output): Compared,
) -> Result<Result<DiffView, RunId>, RuntimeError> {
    let Some(one) = Side::read(handle, a)? else { return Ok(Err(a)) };
    let Some(other) = Side::read(handle, b)? else { return Ok(Err(b)) };
    let mut room = Room::default();
    let mut view = DiffView {
        same: a_state == b_state,
        a: one.summary(a_state),
        b: other.summary(b_state),
        input: room.changes(handle, one.input.as_ref(), other.input.as_ref())?,
        output: room.changes(handle, a_output.as_ref(), b_output.as_ref())?,
        tasks: Vec::new(),
        same_tasks: 0,
        more_tasks: 0,
        cut: false,
    };
    tasks(handle, (&one, &other), &mut view, &mut room)?;
    view.cut = room.is_cut();
    view.same &= view.a.workflow_hash == view.b.workflow_hash
        && view.input.is_empty()
        && view.output.is_empty()
        && view.tasks.is_empty();
    Ok(Ok(view))
}

fn tasks(
    handle: &Handle,
    (one, other): (&Side, &Side),
    view: &mut DiffView,
    room: &mut Room,
) -> Result<(), RuntimeError> {
    let (names, others) = (one.names(), other.names());
    let by_name: BTreeMap<&str, TaskRef> = others.iter().map(|(name, it)| (&**name, *it)).collect();
    let known: BTreeSet<&str> = names.iter().map(|(name, _)| &**name).collect();
    let pairs = names.iter().map(|(name, it)| (name, Some(*it), by_name.get(&**name).copied()));
    let news = others.iter().filter(|(name, _)| !known.contains(&**name));
    let mut compared = 0;
    for (name, a, b) in pairs.chain(news.map(|(name, it)| (name, None, Some(*it)))) {
        let sides = (a.and_then(|it| one.task(it)), b.and_then(|it| other.task(it)));
        let hashes = (a.and_then(|it| one.output_hash(it)), b.and_then(|it| other.output_hash(it)));
        let states = (sides.0.as_ref().map(|it| &it.state), sides.1.as_ref().map(|it| &it.state));
        if hashes.0 == hashes.1 && states.0 == states.1 {
            view.same_tasks += 1;
            continue;
        }
        if view.tasks.len() >= TASKS_MAX {
            view.more_tasks += 1;
            continue;
        }
        let mut output = Vec::new();
        let differ = hashes.0 != hashes.1;
        if differ && (compared == OUTPUTS_MAX || room.is_full()) {
            room.cut();
        } else if differ {
            compared += 1;
            let read = |side: &Side, it: Option<TaskRef>| match it {
                Some(it) => side.output_of(handle, it),
                None => Ok(None),
            };
            let (from, to) = (read(one, a)?, read(other, b)?);
            output = room.changes(handle, from.as_ref(), to.as_ref())?;
        }
        view.tasks.push(TaskDiff { name: name.clone(), a: sides.0, b: sides.1, output });
    }
    Ok(())
}
