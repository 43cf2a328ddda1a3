//! `apply` for the events of a run as a whole.

use super::apply::Scope;
use crate::event::{Event, RunEnded};
use crate::ids::TaskRef;
use crate::priority::Priority;
use crate::run::{Phase, Run, TaskState};
use crate::time::Time;
use crate::timers::Timer;

impl Scope<'_> {
    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::RunWaited { layer } => self.run.waits_for = Some(*layer),
            Event::RunStarted { .. } => self.start(),
            Event::RunRecovered => self.recover(),
            Event::RunPaused { .. } => self.pause(),
            Event::RunResumed { .. } => self.resume(),
            Event::RunPrioritized { priority, .. } => self.prioritize(*priority),
            Event::TaskReused(reused) => self.run.reuse(reused),
            Event::RunParked => self.run.parked = true,
            Event::RunGathering => self.gather(),
            Event::RunEnded(ended) => self.end(ended),
            Event::RunRetried { nodes, .. } => self.retry(nodes),
            Event::StepIntended(step) => self.intend(step),
            Event::StepSettled { task, key, outcome, spent } => {
                self.settle(*task, *key, outcome.clone(), *spent);
            }
            Event::StepInDoubt { task, key } => self.doubt(*task, *key),
            Event::StepProbed { task, key, finding } => self.probe(*task, *key, finding),
            Event::StepResolved { task, key, resolution, .. } => {
                self.resolve(*task, *key, resolution);
            }
            Event::TaskWaiting { task, until } => self.begin_wait(*task, *until),
            Event::SignalReceived(signal) => self.keep_signal(signal),
            Event::TasksAdded(added) => {
                self.run.extend(added.task.node, &added.nodes, &added.skills);
            }
            Event::ChildRequested { task, child } => self.request_child(*task, child),
            Event::ChildEnded(ended) => self.end_child(ended),
            Event::WaitEnded { task, output, signal } => self.end_wait(*task, output, *signal),
            other => self.apply_to_task(other),
        }
    }

    fn start(&mut self) {
        self.run.phase = Phase::Running;
        self.run.waits_for = None;
        self.run.pending = None;
    }

    fn gather(&mut self) {
        self.run.phase = Phase::Gathering;
        self.run.parked = false;
        self.effects.push(crate::effect::Effect::Gather {
            run: self.run.id,
            generation: self.run.generation,
        });
    }

    /// Timers and places in line are made again; attempts were ended by events of their own.
    fn recover(&mut self) {
        let id = self.run.id;
        self.timers.set(self.run.deadline.unwrap_or(Time::NEVER), Timer::RunDeadline(id));
        for node in 0..self.run.tasks.len() as u32 {
            self.set_task_deadline(node);
        }
        for task in self.run.live_tasks(|task| task.state == TaskState::Waiting) {
            if let Some(retry_at) = self.run.task(task).map(|task| task.retry_at) {
                self.timers.set(retry_at, Timer::Retry(id, task));
            }
        }
        for node in 0..self.run.tasks.len() as u32 {
            if self.run.node(node).is_some_and(|task| task.state == TaskState::Preparing) {
                self.ask_to_prepare(node);
            }
        }
        if self.run.phase == Phase::Gathering {
            self.gather();
        }
        self.line_up_all();
    }

    fn pause(&mut self) {
        self.run.paused = true;
        for task in self.run.live_tasks(|task| task.turn.is_some()) {
            self.step_out(task);
        }
    }

    fn resume(&mut self) {
        self.run.paused = false;
        self.line_up_all();
    }

    /// What waits takes its new place in line, as if it had always been as urgent.
    fn prioritize(&mut self, priority: Priority) {
        self.run.priority = priority;
        for task in self.run.live_tasks(|task| task.turn.is_some()) {
            self.step_out(task);
            self.line_up(task);
        }
    }

    /// Everything that is ready and not in line gets in line.
    fn line_up_all(&mut self) {
        for task in self.run.live_tasks(|task| task.state == TaskState::Ready) {
            self.line_up(task);
        }
        for node in 0..self.run.tasks.len() as u32 {
            self.refill(node);
        }
    }

    fn end(&mut self, ended: &RunEnded) {
        for task in self.run.active_tasks() {
            self.stop(task);
        }
        for task in self.run.live_tasks(|task| task.turn.is_some()) {
            self.step_out(task);
        }
        for task in self.run.live_tasks(|task| task.state == TaskState::Waiting) {
            self.clear_retry(task);
        }
        for node in 0..self.run.tasks.len() as u32 {
            self.clear_task_deadline(node);
        }
        let id = self.run.id;
        self.timers.clear(self.run.deadline.unwrap_or(Time::NEVER), Timer::RunDeadline(id));
        let run = &mut *self.run;
        run.output = ended.output.clone().or_else(|| sink_output(run));
        run.phase = Phase::Ended(ended.end);
        run.failure = ended.failure.clone();
        run.ended = Some(self.at);
        run.proof = ended.proof.unwrap_or(run.proof);
        run.waits_for = None;
        run.parked = false;
        run.paused = false;
    }

    fn retry(&mut self, nodes: &[u32]) {
        self.run.begin_again(nodes);
        let deadline = self.run.deadline.unwrap_or(Time::NEVER);
        if deadline > self.at {
            self.timers.set(deadline, Timer::RunDeadline(self.run.id));
        }
    }

    /// Ends an attempt because its run ended: the agent is told, the token comes back.
    pub(super) fn stop(&mut self, task: TaskRef) {
        let Some(fence) =
            self.run.task(task).and_then(|task| task.active.as_ref()).map(|a| a.fence)
        else {
            return;
        };
        self.effects.push(crate::effect::Effect::StopAttempt {
            pt: crate::ids::PtId { run: self.run.id, task, fence },
        });
        self.release(task, None);
        self.doubt_open_steps(task);
        self.set_state(task, TaskState::Cancelled);
    }
}

fn sink_output(run: &Run) -> Option<crate::payload::Payload> {
    if run.workflow.output.is_some() {
        return None;
    }
    run.node(run.sole_sink()?)?.output.clone()
}
