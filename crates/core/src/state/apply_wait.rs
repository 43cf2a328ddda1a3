//! `apply` for tasks that wait, and for signals.

use super::apply::Scope;
use crate::event::SignalReceived;
use crate::ids::TaskRef;
use crate::payload::Payload;
use crate::run::{Signal, TaskState};
use crate::time::Time;
use crate::timers::Timer;

impl Scope<'_> {
    pub(super) fn begin_wait(&mut self, task: TaskRef, until: Option<Time>) {
        let (at, until) = (self.at, until.unwrap_or(Time::NEVER));
        self.set_state(task, TaskState::Waiting);
        self.with(task, |it| {
            it.ready_at = it.ready_at.min(at);
            it.retry_at = until;
        });
        self.timers.set(until, Timer::Retry(self.run.id, task));
        self.set_task_deadline(task.node);
    }

    pub(super) fn keep_signal(&mut self, received: &SignalReceived) {
        self.run.signals = self.run.signals.max(received.number);
        self.run.inbox.push(Signal {
            number: received.number,
            name: received.name.clone(),
            payload: received.payload.clone(),
        });
    }

    /// One signal ends one wait.
    pub(super) fn end_wait(&mut self, task: TaskRef, output: &Payload, signal: Option<u64>) {
        self.clear_retry(task);
        self.run.inbox.retain(|kept| Some(kept.number) != signal);
        self.set_state(task, TaskState::Succeeded);
        self.with(task, |it| {
            it.retry_at = Time::NEVER;
            it.output = Some(output.clone());
        });
        self.settle_needs(task.node);
    }
}
