//! Tasks of a run that has left the state, put together again from its history.

use std::collections::BTreeMap;
use std::sync::Arc;

use ark_os_api::{ParkedView, StepView, TaskView};
use ark_os_core::event::{AttemptEnd, AttemptStarted, Resolution};
use ark_os_core::ids::{PtId, RunId, TaskId, TaskRef};
use ark_os_core::payload::Payload;
use ark_os_core::plan::{EffectClass, Workflow};
use ark_os_core::step::{StepKey, StepOutcome};
use ark_os_core::{Change, Event};

use crate::events::json_text;
use crate::words;

/// What the history of one run has told so far. Bounded by the plan: nodes and children of maps.
#[derive(Debug)]
pub(crate) struct Past {
    run: RunId,
    tasks: BTreeMap<TaskRef, TaskView>,
    outputs: BTreeMap<TaskRef, Payload>,
    workflow: Option<Arc<Workflow>>,
    admission: Option<u64>,
}

impl Past {
    pub(crate) fn new(run: RunId) -> Self {
        Past {
            run,
            tasks: BTreeMap::new(),
            outputs: BTreeMap::new(),
            workflow: None,
            admission: None,
        }
    }

    /// The admission that has the plan, where the history itself has not.
    pub(crate) fn admission(&self) -> Option<u64> {
        self.admission.filter(|_| self.workflow.is_none())
    }

    /// The plan, found elsewhere.
    pub(crate) fn set_workflow(&mut self, workflow: Arc<Workflow>) {
        self.workflow = Some(workflow);
    }

    /// The output of a task.
    pub(crate) fn output(&self, task: TaskRef) -> Option<&Payload> {
        self.outputs.get(&task)
    }

    /// All tasks, in order.
    pub(crate) fn into_tasks(mut self) -> Vec<(TaskRef, TaskView)> {
        let nodes = self.workflow.as_ref().map_or(0, |workflow| workflow.tasks.len());
        for node in 0..u32::try_from(nodes).unwrap_or(u32::MAX) {
            self.task(TaskRef::node(node));
        }
        for (task, view) in &mut self.tasks {
            let spec = self.workflow.as_ref().and_then(|it| it.tasks.get(task.node as usize));
            view.name = spec.map(|spec| spec.name.to_string());
            view.skill = spec.map(|spec| spec.skill.to_string());
        }
        self.tasks.into_iter().collect()
    }

    /// Takes the next record in.
    pub(crate) fn apply(&mut self, change: &Change) {
        for event in &change.events {
            self.take(event, change);
        }
    }

    fn task(&mut self, task: TaskRef) -> &mut TaskView {
        let run = self.run;
        self.tasks.entry(task).or_insert_with(|| TaskView {
            id: TaskId { run, task }.to_string(),
            run: run.to_string(),
            state: "pending".to_owned(),
            ..TaskView::default()
        })
    }

    fn set(&mut self, task: TaskRef, state: &str) -> &mut TaskView {
        let view = self.task(task);
        state.clone_into(&mut view.state);
        view
    }

    fn ready(&mut self, task: TaskRef) -> &mut TaskView {
        let view = self.set(task, "ready");
        (view.parked, view.retry_at) = (None, None);
        view
    }

    /// Nothing more happens to it, nor to the children of a map that were not over.
    fn stop(&mut self, task: TaskRef, state: &str) -> &mut TaskView {
        if task.child.is_none() {
            let below = TaskRef::child(task.node, 0)..=TaskRef::child(task.node, u32::MAX);
            for (_, child) in self.tasks.range_mut(below) {
                if !matches!(&*child.state, "succeeded" | "failed" | "skipped" | "cancelled") {
                    stop(child, "cancelled");
                }
            }
        }
        let view = self.task(task);
        stop(view, state);
        view
    }

    fn take(&mut self, event: &Event, change: &Change) {
        match event {
            Event::WorkflowAdmitted(admission) => self.workflow = Some(admission.workflow.clone()),
            Event::RunAccepted(accepted) => {
                self.admission = accepted.admission;
                if let Some(pending) = &accepted.pending {
                    self.workflow = Some(pending.workflow.clone());
                }
            }
            Event::RunStarted { admission } => self.admission = Some(*admission),
            Event::RunRetried { nodes, .. } => self.begin_again(nodes),
            Event::TaskPreparing { task } => _ = self.set(*task, "preparing"),
            Event::MapExpanded { task, count, .. } => {
                self.set(*task, "ready").children = Some(*count);
            }
            Event::TaskReady { task } => _ = self.ready(*task),
            Event::TaskUnparked { task, .. } => self.ready(*task).lost = 0,
            Event::AttemptStarted(started) => self.start(started, change),
            Event::AttemptEnded(ended) => {
                let view = self.task(ended.task);
                view.token = None;
                view.lost += u32::from(ended.end == AttemptEnd::Lost);
                view.retry_at = ended.retry_at.and_then(words::moment);
                view.state = if ended.retry_at.is_some() { "waiting" } else { "ready" }.to_owned();
            }
            Event::TaskSucceeded(done) => self.succeed(done.task, &done.output),
            Event::MapDone { task } => _ = self.set(*task, "succeeded"),
            Event::TaskFailed { task, failure } => {
                self.stop(*task, "failed").failure = Some(words::failure(failure));
            }
            Event::TasksSkipped { tasks, cause } => {
                for task in tasks {
                    self.stop(*task, "skipped").skipped = Some(words::skip_cause(cause));
                }
            }
            Event::TasksCancelled { tasks } => {
                for task in tasks {
                    self.stop(*task, "cancelled");
                }
            }
            Event::RunEnded(_) => {
                let at_work =
                    |(task, view): (&TaskRef, &TaskView)| view.token.is_some().then_some(*task);
                for task in self.tasks.iter().filter_map(at_work).collect::<Vec<_>>() {
                    self.stop(task, "cancelled");
                }
            }
            Event::TaskParked { task, reason, message } => {
                let view = self.stop(*task, "parked");
                view.parked = Some(ParkedView {
                    reason: words::park_reason(*reason).to_owned(),
                    message: message.to_string(),
                });
            }
            _ => self.take_step(event),
        }
    }

    fn start(&mut self, started: &AttemptStarted, change: &Change) {
        let token = PtId { run: self.run, task: started.task, fence: started.fence };
        let view = self.set(started.task, "running");
        view.attempt = started.attempt;
        view.token = Some(token.to_string());
        view.started = Some(words::stamp(change.at));
        view.retry_at = None;
    }

    fn succeed(&mut self, task: TaskRef, output: &Payload) {
        self.outputs.insert(task, output.clone());
        let view = self.set(task, "succeeded");
        view.token = None;
        match output {
            Payload::Inline(bytes) => view.output = json_text(&bytes.0),
            Payload::Blob { hash, len } => view.output_blob = Some(words::blob(*hash, *len)),
        }
    }

    fn begin_again(&mut self, nodes: &[u32]) {
        let again: Vec<(u32, u32)> =
            nodes.iter().map(|node| (*node, self.task(TaskRef::node(*node)).generation)).collect();
        self.tasks.retain(|task, _| !nodes.contains(&task.node));
        self.outputs.retain(|task, _| !nodes.contains(&task.node));
        for (node, generation) in again {
            self.task(TaskRef::node(node)).generation = generation + 1;
        }
    }

    fn take_step(&mut self, event: &Event) {
        match event {
            Event::StepIntended(step) => {
                let key = step.key.0.to_string();
                let view = self.task(step.task);
                match view.steps.iter_mut().find(|known| known.key == key) {
                    Some(known) => "open".clone_into(&mut known.state),
                    None => view.steps.push(StepView {
                        key,
                        number: step.number,
                        tool: step.tool.to_string(),
                        class: step.class.as_str().to_owned(),
                        state: "open".to_owned(),
                    }),
                }
            }
            Event::StepSettled { task, key, outcome, .. } => match outcome {
                StepOutcome::Done(_) => self.step(*task, *key, "done"),
                StepOutcome::Failed(_) => self.step(*task, *key, "failed"),
            },
            Event::StepInDoubt { task, key } => self.step(*task, *key, "in_doubt"),
            Event::StepResolved { task, key, resolution, .. } => match resolution {
                Resolution::Happened(_) => self.step(*task, *key, "done"),
                Resolution::NotHappened => {
                    let key = key.0.to_string();
                    self.task(*task).steps.retain(|step| step.key != key);
                }
                Resolution::GiveUp => self.step(*task, *key, "failed"),
            },
            _ => {}
        }
    }

    fn step(&mut self, task: TaskRef, key: StepKey, state: &str) {
        let key = key.0.to_string();
        let view = self.task(task);
        if let Some(step) = view.steps.iter_mut().find(|step| step.key == key) {
            state.clone_into(&mut step.state);
        }
    }
}

/// An attempt that is stopped leaves it open whether its last effects happened.
fn stop(view: &mut TaskView, state: &str) {
    state.clone_into(&mut view.state);
    (view.token, view.retry_at, view.parked) = (None, None, None);
    let may_repeat = [EffectClass::Pure, EffectClass::Read, EffectClass::Idempotent];
    for step in view.steps.iter_mut().filter(|step| step.state == "open") {
        if !may_repeat.iter().any(|class| class.as_str() == step.class) {
            "in_doubt".clone_into(&mut step.state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_os_core::budget::Amounts;
    use ark_os_core::error::Failure;
    use ark_os_core::event::{RunEnd, RunEnded, SkipCause, StepIntended};
    use ark_os_core::hash::Hash;
    use ark_os_core::ids::{AgentIx, Fence};
    use ark_os_core::time::Time;

    fn told(events: Vec<Event>) -> BTreeMap<TaskRef, TaskView> {
        let mut past = Past::new(RunId(7));
        past.apply(&Change { run: Some(RunId(7)), at: Time(1), events });
        past.into_tasks().into_iter().collect()
    }

    fn started(task: TaskRef) -> Event {
        Event::AttemptStarted(AttemptStarted {
            task,
            attempt: 1,
            agent: AgentIx(1),
            fence: Fence(1),
            class: EffectClass::Effectful,
            reserved: None,
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
            let states = [map, live, parked, failed].map(|task| tasks[&task].state.as_str());
            assert_eq!(states, [state, "cancelled", "cancelled", "failed"]);
            assert_eq!((&tasks[&live].token, &tasks[&parked].parked), (&None, &None));
            assert_eq!(tasks[&live].steps[0].state, "in_doubt");
        }
    }

    #[test]
    fn whoever_works_when_the_run_ends_is_cancelled() {
        let ended = RunEnded { end: RunEnd::Failed, output: None, failure: None };
        let tasks = told(vec![started(TaskRef::child(0, 4)), Event::RunEnded(Box::new(ended))]);
        let child = &tasks[&TaskRef::child(0, 4)];
        assert_eq!((child.state.as_str(), &child.token), ("cancelled", &None));
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
        let mut past = Past::new(RunId(7));
        let change = Change {
            run: Some(RunId(7)),
            at: Time(1),
            events: vec![
                Event::TaskReady { task: TaskRef::node(0) },
                Event::MapExpanded { task: TaskRef::node(1), count: 2, list: Payload::null() },
                Event::TaskReady { task: TaskRef::child(1, 1) },
                Event::TasksSkipped { tasks: vec![TaskRef::node(0)], cause: SkipCause::Failed(1) },
                Event::RunRetried { task: TaskRef::node(1), nodes: vec![1], reason: None },
            ],
        };
        past.apply(&change);
        let tasks = past.into_tasks();
        let shown: Vec<_> =
            tasks.iter().map(|(_, view)| (view.state.as_str(), view.generation)).collect();
        assert_eq!(shown, [("skipped", 0), ("pending", 1)]);
        assert_eq!(tasks[0].1.skipped.as_deref(), Some("task 1 failed"));
    }
}
