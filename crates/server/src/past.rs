//! Tasks of a run that has left the state, put together again from its history.
//!
//! What is kept is a short row a task; outputs and failures are read from their records when
//! somebody asks for them, so a long history costs no memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ark_os_core::Event;
use ark_os_core::event::{AttemptEnd, AttemptStarted, Resolution, RunEnd, TaskReused, TasksAdded};
use ark_os_core::ids::{AgentIx, Fence, RunId, TaskRef};
use ark_os_core::plan::{EffectClass, Workflow};
use ark_os_core::run::TaskState;
use ark_os_core::step::{Finding, StepKey, StepOutcome};
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_runtime::{Handle, RecordedEvents, RuntimeError};

mod cache;
mod views;

pub(crate) use cache::{Pasts, past_of};
pub(crate) use views::{found, page_of};

/// Steps of one run whose rows are kept; beyond it the oldest of a task make room for its newer
/// ones, and are only counted. About 10 MB.
const STEPS_KEPT_MAX: usize = 100_000;

/// What the history of one run has told so far. Bounded by the plan (nodes and children of maps)
/// and [`STEPS_KEPT_MAX`].
#[derive(Clone, Debug)]
pub(crate) struct Past {
    run: RunId,
    /// The newest record that was taken in; 0: none.
    through: u64,
    tasks: BTreeMap<TaskRef, PastTask>,
    steps: usize,
    workflow: Option<Arc<Workflow>>,
    /// What was added to a plan that is not known yet.
    added: Vec<TasksAdded>,
    admission: Option<u64>,
    accepted: Option<Time>,
    ended: Option<(Time, RunEnd)>,
}

/// A task as its history tells so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct PastTask {
    pub(crate) state: PastState,
    pub(crate) attempt: u32,
    pub(crate) lost: u32,
    pub(crate) generation: u32,
    /// The token in use.
    pub(crate) fence: Option<Fence>,
    /// Who works, or did last, and the record that says so.
    pub(crate) agent: Option<(AgentIx, u64)>,
    /// What it is called, if that does not follow from the start of the instance.
    pub(crate) agent_name: Option<Text>,
    pub(crate) started: Option<Time>,
    pub(crate) retry_at: Option<Time>,
    /// When it first stood in line, in this generation.
    pub(crate) ready: Option<Time>,
    /// When it was over.
    pub(crate) ended: Option<Time>,
    /// The record that has its output, its failure, or why it is parked or was skipped.
    pub(crate) told: u64,
    /// Of an expanded map.
    pub(crate) children: Option<u32>,
    /// The run that it asked for.
    pub(crate) child: Option<RunId>,
    pub(crate) steps: Vec<PastStep>,
    pub(crate) steps_left_out: u32,
}

/// A task's state; pending where nothing was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PastState(pub(crate) TaskState);

impl Default for PastState {
    fn default() -> Self {
        PastState(TaskState::Pending)
    }
}

/// A recorded effect.
#[derive(Clone, Debug)]
pub(crate) struct PastStep {
    pub(crate) key: StepKey,
    pub(crate) number: u32,
    pub(crate) tool: Text,
    pub(crate) class: EffectClass,
    pub(crate) state: &'static str,
}

impl Past {
    pub(crate) fn new(run: RunId) -> Self {
        Past {
            run,
            through: 0,
            tasks: BTreeMap::new(),
            steps: 0,
            workflow: None,
            added: Vec::new(),
            admission: None,
            accepted: None,
            ended: None,
        }
    }

    /// The admission that has the plan, where the history itself has not.
    fn missing_admission(&self) -> Option<u64> {
        self.admission.filter(|_| self.workflow.is_none())
    }

    /// The plan, from the record that has it, where the history itself has not.
    pub(crate) fn find_workflow(&mut self, handle: &Handle) -> Result<(), RuntimeError> {
        if let Some(number) = self.missing_admission() {
            let found = handle.admission(number)?;
            found.into_iter().for_each(|it| self.know(it.admission.workflow));
        }
        if self.workflow().is_some_and(|plan| plan.tasks.len() > self.tasks.len()) {
            self.complete();
        }
        Ok(())
    }

    /// Which run.
    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// All tasks, in the order of the plan, each map followed by its children.
    pub(crate) fn all(&self) -> impl Iterator<Item = TaskRef> + '_ {
        self.after(None)
    }

    /// The plan.
    pub(crate) fn workflow(&self) -> Option<&Arc<Workflow>> {
        self.workflow.as_ref()
    }

    /// From the acceptance to the end.
    pub(crate) fn duration_ms(&self) -> Option<u64> {
        let (ended, _) = self.ended?;
        Some(ended.0.saturating_sub(self.accepted?.0))
    }

    /// A task; a child of a map that never began has its map's word.
    pub(crate) fn task(&self, task: TaskRef) -> Option<Cow<'_, PastTask>> {
        if let Some(row) = self.tasks.get(&task) {
            return Some(Cow::Borrowed(row));
        }
        let map = self.tasks.get(&TaskRef::node(task.node))?;
        let is_there = map.children.zip(task.child).is_some_and(|(count, child)| child < count);
        let over = map.state.0.is_over();
        let state = if over { TaskState::Skipped } else { TaskState::Pending };
        let row = PastTask { state: PastState(state), ..PastTask::default() };
        is_there.then_some(Cow::Owned(row))
    }

    /// Tasks behind one, in the order of the plan, each map followed by its children.
    fn after(&self, after: Option<TaskRef>) -> impl Iterator<Item = TaskRef> + '_ {
        let first = after.map_or(0, |after| after.node);
        let maps =
            self.tasks.range(TaskRef::node(first)..).filter(|(task, _)| task.child.is_none());
        let tasks = maps.flat_map(|(task, row)| {
            let node = task.node;
            let children = (0..row.children.unwrap_or(0)).map(move |it| TaskRef::child(node, it));
            std::iter::once(TaskRef::node(node)).chain(children)
        });
        tasks.skip_while(move |task| after.is_some_and(|after| *task <= after))
    }

    /// The children of a map that have begun.
    pub(crate) fn children(&self, node: u32) -> impl Iterator<Item = &PastTask> {
        self.tasks.range(children_of(node)).map(|(_, task)| task)
    }

    /// The runs that its tasks asked for, behind this node.
    pub(crate) fn child_runs(&self, after: Option<u32>) -> impl Iterator<Item = (u32, RunId)> {
        let rows = self.tasks.iter().filter(move |(task, _)| after.is_none_or(|it| task.node > it));
        rows.filter_map(|(task, row)| Some((task.node, row.child?)))
    }

    /// Rows that it takes: what a cache weighs.
    fn weight(&self) -> usize {
        self.tasks.len() + self.steps
    }

    /// The plan with what was added to it while it was not known.
    fn know(&mut self, plan: Arc<Workflow>) {
        let added = std::mem::take(&mut self.added);
        let grown =
            |plan: Arc<Workflow>, it: &TasksAdded| Arc::new(plan.extended(it.task.node, &it.nodes));
        self.workflow = Some(added.iter().fold(plan, grown));
    }

    fn grow(&mut self, added: &TasksAdded) {
        self.added.push(added.clone());
        if let Some(plan) = self.workflow.take() {
            self.know(plan);
        }
    }

    /// Every node of the plan has a row, also those that nothing happened to.
    fn complete(&mut self) {
        let nodes = self.workflow.as_ref().map_or(0, |workflow| workflow.tasks.len());
        for node in 0..u32::try_from(nodes).unwrap_or(u32::MAX) {
            self.tasks.entry(TaskRef::node(node)).or_default();
        }
    }

    /// Takes the next record in.
    pub(crate) fn apply(&mut self, recorded: &RecordedEvents) {
        for event in &recorded.change.events {
            self.take(event, recorded);
        }
        self.through = recorded.seq;
    }

    fn row(&mut self, task: TaskRef) -> &mut PastTask {
        self.tasks.entry(task).or_default()
    }

    fn set(&mut self, task: TaskRef, state: TaskState, at: Time) -> &mut PastTask {
        let row = self.row(task);
        row.state = PastState(state);
        row.ready.get_or_insert(at);
        row
    }

    /// Nothing more happens to it, nor to the children of a map that were not over.
    fn stop(&mut self, task: TaskRef, state: TaskState, recorded: &RecordedEvents) {
        if task.child.is_none() {
            for (_, child) in self.tasks.range_mut(children_of(task.node)) {
                if !child.state.0.is_over() {
                    child.stop(TaskState::Cancelled, recorded);
                }
            }
        }
        self.row(task).stop(state, recorded);
    }

    fn take(&mut self, event: &Event, recorded: &RecordedEvents) {
        let at = recorded.change.at;
        match event {
            // Another admission of the run is of the same version: what was added stays.
            Event::WorkflowAdmitted(admission) if self.workflow.is_none() => {
                self.know(admission.workflow.clone());
            }
            Event::RunAccepted(accepted) => {
                self.accepted = Some(at);
                self.admission = accepted.admission;
                if let Some(pending) = &accepted.pending {
                    self.workflow = Some(pending.workflow.clone());
                }
            }
            Event::RunLoaded { accepted: Some(accepted) } => {
                self.admission = accepted.admission;
                if let Some(pending) = accepted.pending.as_ref().filter(|_| self.workflow.is_none())
                {
                    self.know(pending.workflow.clone());
                }
            }
            Event::RunStarted { admission } => self.admission = Some(*admission),
            Event::TasksAdded(added) => self.grow(added),
            Event::RunRetried { nodes, .. } => self.begin_again(nodes),
            Event::RunEnded(ended) => {
                self.ended = Some((at, ended.end));
                let at_work =
                    |(task, row): (&TaskRef, &PastTask)| row.fence.is_some().then_some(*task);
                for task in self.tasks.iter().filter_map(at_work).collect::<Vec<_>>() {
                    self.stop(task, TaskState::Cancelled, recorded);
                }
            }
            Event::TaskReused(reused) => self.reuse(reused, recorded),
            Event::TasksSkipped { tasks, .. } => {
                tasks.iter().for_each(|task| self.stop(*task, TaskState::Skipped, recorded));
            }
            Event::TasksCancelled { tasks } => {
                tasks.iter().for_each(|task| self.stop(*task, TaskState::Cancelled, recorded));
            }
            Event::TaskFailed { task, .. } => self.stop(*task, TaskState::Failed, recorded),
            Event::TaskParked { task, .. } => self.stop(*task, TaskState::Parked, recorded),
            _ => self.take_of_task(event, recorded),
        }
    }

    fn take_of_task(&mut self, event: &Event, recorded: &RecordedEvents) {
        let at = recorded.change.at;
        match event {
            Event::TaskPreparing { task } => _ = self.set(*task, TaskState::Preparing, at),
            Event::MapExpanded { task, count, .. } => {
                self.set(*task, TaskState::Ready, at).children = Some(*count);
            }
            Event::TaskReady { task } => self.set(*task, TaskState::Ready, at).stand_in_line(),
            Event::TaskUnparked { task, .. } => {
                let row = self.set(*task, TaskState::Ready, at);
                row.stand_in_line();
                row.lost = 0;
            }
            Event::AttemptStarted(started) => self.start(started, recorded),
            Event::AttemptEnded(ended) => {
                let again = ended.retry_at.is_some();
                let state = if again { TaskState::Waiting } else { TaskState::Ready };
                let row = self.set(ended.task, state, at);
                row.fence = None;
                row.lost += u32::from(ended.end == AttemptEnd::Lost);
                row.retry_at = ended.retry_at;
            }
            Event::TaskSucceeded(done) => {
                self.set(done.task, TaskState::Succeeded, at).end(recorded);
            }
            Event::MapDone { task } | Event::WaitEnded { task, .. } => {
                self.set(*task, TaskState::Succeeded, at).end(recorded);
            }
            Event::TaskWaiting { task, until } => {
                self.set(*task, TaskState::Waiting, at).retry_at = *until;
            }
            Event::ChildRequested { task, child } => {
                self.set(*task, TaskState::Waiting, at).child = Some(child.run);
            }
            Event::ChildEnded(ended) if ended.end == RunEnd::Succeeded => {
                self.set(ended.task, TaskState::Succeeded, at).end(recorded);
            }
            _ => self.take_step(event),
        }
    }

    fn start(&mut self, started: &AttemptStarted, recorded: &RecordedEvents) {
        let row = self.set(started.task, TaskState::Running, recorded.change.at);
        row.attempt = started.attempt;
        row.fence = Some(started.fence);
        row.agent = Some((started.agent, recorded.seq));
        row.agent_name = started.place.as_ref().map(|place| place.name.clone());
        row.started = Some(recorded.change.at);
        row.retry_at = None;
    }

    /// A task is as it was in the run's source.
    fn reuse(&mut self, reused: &TaskReused, recorded: &RecordedEvents) {
        let done = reused.output.is_some();
        let state = if done { TaskState::Succeeded } else { TaskState::Skipped };
        let at = recorded.change.at;
        let children = reused.children.as_ref().map(|it| it.outputs.len() as u32);
        let row = self.set(TaskRef::node(reused.node), state, at);
        row.children = children;
        row.end(recorded);
        for child in 0..children.unwrap_or(0) {
            self.set(TaskRef::child(reused.node, child), TaskState::Succeeded, at).end(recorded);
        }
    }

    fn begin_again(&mut self, nodes: &[u32]) {
        self.ended = None;
        for node in nodes {
            let generation = self.tasks.get(&TaskRef::node(*node)).map_or(0, |row| row.generation);
            let gone: Vec<TaskRef> = self.tasks.range(children_of(*node)).map(|it| *it.0).collect();
            for task in gone.into_iter().chain([TaskRef::node(*node)]) {
                let row = self.tasks.remove(&task);
                self.steps = self.steps.saturating_sub(row.map_or(0, |row| row.steps.len()));
            }
            self.row(TaskRef::node(*node)).generation = generation + 1;
        }
    }

    fn take_step(&mut self, event: &Event) {
        match event {
            Event::StepIntended(step) => {
                let intended = PastStep {
                    key: step.key,
                    number: step.number,
                    tool: step.tool.clone(),
                    class: step.class,
                    state: "open",
                };
                let full = self.steps >= STEPS_KEPT_MAX;
                self.steps += usize::from(self.row(step.task).intend(intended, full));
            }
            Event::StepSettled { task, key, outcome, .. } => match outcome {
                StepOutcome::Done(_) => self.step(*task, *key, "done"),
                StepOutcome::Failed(_) => self.step(*task, *key, "failed"),
            },
            Event::StepInDoubt { task, key } => self.step(*task, *key, "in_doubt"),
            Event::StepProbed { task, key, finding: Finding::Happened(_) } => {
                self.step(*task, *key, "done");
            }
            Event::StepResolved { task, key, resolution, .. } => match resolution {
                Resolution::Happened(_) => self.step(*task, *key, "done"),
                Resolution::NotHappened => {
                    let steps = &mut self.row(*task).steps;
                    let before = steps.len();
                    steps.retain(|step| step.key != *key);
                    let gone = before - steps.len();
                    self.steps = self.steps.saturating_sub(gone);
                }
                Resolution::GiveUp => self.step(*task, *key, "failed"),
            },
            _ => {}
        }
    }

    /// The newest steps are the ones that something still happens to.
    fn step(&mut self, task: TaskRef, key: StepKey, state: &'static str) {
        let known = self.row(task).steps.iter_mut().rev().find(|step| step.key == key);
        if let Some(step) = known {
            step.state = state;
        }
    }
}

fn children_of(node: u32) -> std::ops::RangeInclusive<TaskRef> {
    TaskRef::child(node, 0)..=TaskRef::child(node, u32::MAX)
}

impl PastTask {
    fn stand_in_line(&mut self) {
        (self.told, self.retry_at) = (0, None);
    }

    fn end(&mut self, recorded: &RecordedEvents) {
        self.fence = None;
        self.ended = Some(recorded.change.at);
        self.told = recorded.seq;
    }

    /// An attempt that is stopped leaves it open whether its last effects happened.
    fn stop(&mut self, state: TaskState, recorded: &RecordedEvents) {
        self.state = PastState(state);
        self.retry_at = None;
        self.end(recorded);
        for step in self.steps.iter_mut().filter(|step| step.state == "open") {
            if !step.class.is_repeatable() {
                step.state = "in_doubt";
            }
        }
    }

    /// Notes a step; whether there is one more than before.
    fn intend(&mut self, step: PastStep, full: bool) -> bool {
        if let Some(known) = self.steps.iter_mut().rev().find(|known| known.key == step.key) {
            known.state = "open";
            return false;
        }
        let gives_way = full && !self.steps.is_empty();
        if gives_way {
            self.steps.remove(0);
            self.steps_left_out = self.steps_left_out.saturating_add(1);
        }
        self.steps.push(step);
        !gives_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_os_core::Change;
    use ark_os_core::budget::Amounts;
    use ark_os_core::error::Failure;
    use ark_os_core::event::{RunEnded, SkipCause, StepIntended};
    use ark_os_core::hash::Hash;
    use ark_os_core::payload::Payload;
    use ark_os_runtime::RecordPlace;

    use crate::words;

    fn recorded(events: Vec<Event>) -> RecordedEvents {
        let change = Change { run: Some(RunId(7)), at: Time(1), events };
        RecordedEvents { seq: 1, cause: 0, place: RecordPlace::default(), change }
    }

    fn told(events: Vec<Event>) -> BTreeMap<TaskRef, PastTask> {
        let mut past = Past::new(RunId(7));
        past.apply(&recorded(events));
        past.tasks
    }

    fn word(row: &PastTask) -> &'static str {
        words::task_state(row.state.0)
    }

    fn started(task: TaskRef) -> Event {
        Event::AttemptStarted(AttemptStarted {
            task,
            attempt: 1,
            agent: AgentIx(1),
            fence: Fence(1),
            class: EffectClass::Effectful,
            reserved: None,
            place: None,
            held_until: None,
        })
    }

    fn intended(task: TaskRef) -> Event {
        Event::StepIntended(Box::new(StepIntended {
            task,
            key: StepKey(Hash::ZERO),
            number: 0,
            tool: "mail".into(),
            arguments: Hash::ZERO,
            class: EffectClass::Effectful,
            reserved: Amounts::ZERO,
            fence: Fence(1),
        }))
    }

    #[test]
    fn children_of_a_map_end_with_it() {
        let map = TaskRef::node(0);
        let [live, parked, failed] = [0, 1, 2].map(|child| TaskRef::child(0, child));
        let failure = Failure::fatal("no", "no");
        let begun = || {
            vec![
                Event::MapExpanded { task: map, count: 3, list: Payload::null() },
                started(live),
                intended(live),
                started(parked),
                Event::TaskParked {
                    task: parked,
                    reason: ark_os_core::event::ParkReason::Stalled,
                    message: "x".into(),
                },
                started(failed),
                Event::TaskFailed { task: failed, failure: failure.clone() },
            ]
        };
        for (end, state) in [
            (Event::TasksCancelled { tasks: vec![map] }, "cancelled"),
            (Event::TaskFailed { task: map, failure: failure.clone() }, "failed"),
        ] {
            let tasks = told(begun().into_iter().chain([end]).collect());
            let states = [map, live, parked, failed].map(|task| word(&tasks[&task]));
            assert_eq!(states, [state, "cancelled", "cancelled", "failed"]);
            assert_eq!((tasks[&live].fence, tasks[&parked].fence), (None, None));
            assert_eq!(tasks[&live].steps[0].state, "in_doubt");
        }
    }

    #[test]
    fn whoever_works_when_the_run_ends_is_cancelled() {
        let ended = RunEnded { end: RunEnd::Failed, output: None, failure: None, proof: None };
        let tasks = told(vec![started(TaskRef::child(0, 4)), Event::RunEnded(Box::new(ended))]);
        let child = &tasks[&TaskRef::child(0, 4)];
        assert_eq!((word(child), child.fence), ("cancelled", None));
    }

    #[test]
    fn a_step_that_did_not_happen_is_gone() {
        let task = TaskRef::node(0);
        let resolved = Event::StepResolved {
            task,
            key: StepKey(Hash::ZERO),
            resolution: Resolution::NotHappened,
            reason: "looked".into(),
        };
        let tasks = told(vec![started(task), intended(task), resolved]);
        assert!(tasks[&task].steps.is_empty());
    }

    #[test]
    fn the_last_word_about_each_task_stands() {
        let tasks = told(vec![
            Event::TaskReady { task: TaskRef::node(0) },
            Event::MapExpanded { task: TaskRef::node(1), count: 2, list: Payload::null() },
            Event::TaskReady { task: TaskRef::child(1, 1) },
            Event::TasksSkipped { tasks: vec![TaskRef::node(0)], cause: SkipCause::Failed(1) },
            Event::RunRetried { task: TaskRef::node(1), nodes: vec![1], reason: None },
        ]);
        let shown: Vec<_> = tasks.values().map(|row| (word(row), row.generation)).collect();
        assert_eq!(shown, [("skipped", 0), ("pending", 1)]);
    }

    #[test]
    fn children_that_never_began_are_there_too() {
        let map = TaskRef::node(0);
        let mut past = Past::new(RunId(7));
        past.apply(&recorded(vec![
            Event::MapExpanded { task: map, count: 4, list: Payload::null() },
            started(TaskRef::child(0, 1)),
            Event::TasksCancelled { tasks: vec![map] },
        ]));
        let tasks: Vec<_> = past.after(Some(map)).collect();
        assert_eq!(tasks, [0, 1, 2, 3].map(|child| TaskRef::child(0, child)));
        let states: Vec<_> = tasks.iter().map(|task| word(&past.task(*task).unwrap())).collect();
        assert_eq!(states, ["skipped", "cancelled", "skipped", "skipped"]);
        assert!(past.task(TaskRef::child(0, 4)).is_none());
    }

    #[test]
    fn a_long_history_of_steps_is_counted_and_its_newest_end_kept() {
        let mut row = PastTask::default();
        let step = |number| PastStep {
            key: StepKey(Hash::of(&[number])),
            number: u32::from(number),
            tool: "mail".into(),
            class: EffectClass::Read,
            state: "open",
        };
        assert!(row.intend(step(0), false) && row.intend(step(1), false));
        assert!(!row.intend(step(2), true), "one went for it");
        assert!(!row.intend(step(2), true), "it is known");
        let numbers: Vec<_> = row.steps.iter().map(|step| step.number).collect();
        assert_eq!((numbers, row.steps_left_out), (vec![1, 2], 1));
    }
}
