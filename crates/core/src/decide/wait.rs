//! Tasks that only wait: for a while, until a moment, for a signal. They hold neither agent nor token;
//! what is kept of one is its row, and a timer if there is a moment at which it ends.

use super::draft::Draft;
use crate::error::Failure;
use crate::event::Event;
use crate::ids::TaskRef;
use crate::payload::Payload;
use crate::plan::{WaitOn, WaitSpec};
use crate::run::{Signal, TaskState};
use crate::time::Time;

impl Draft<'_> {
    /// A task begins to wait, and is over at once if what it waits for is there already. It counts as
    /// moving. `until`: what its template gave.
    pub(super) fn begin_wait(&mut self, node: u32, wait: &WaitSpec, until: Option<Time>) {
        let due = match &wait.on {
            WaitOn::For(ms) => Some(self.now.plus(*ms)),
            WaitOn::Until(_) => Some(until.unwrap_or(self.now)),
            WaitOn::Signal(_) => wait.timeout_ms.map(|ms| self.now.plus(ms)),
        };
        self.push(Event::TaskWaiting { task: TaskRef::node(node), until: due });
        match &wait.on {
            WaitOn::Signal(name) => {
                let kept = self.kept_signal(name).map(|it| (it.payload.clone(), it.number));
                if let Some((payload, number)) = kept {
                    self.end_wait(node, payload, Some(number));
                }
            }
            _ if due.is_some_and(|due| due <= self.now) => {
                self.end_wait(node, Payload::null(), None);
            }
            _ => {}
        }
    }

    /// What a task waited for is there.
    pub(super) fn end_wait(&mut self, node: u32, output: Payload, signal: Option<u64>) {
        let task = TaskRef::node(node);
        self.used_signals.extend(signal);
        self.push(Event::WaitEnded { task, output, signal });
        self.after_success(task);
    }

    /// The time of a wait is up.
    pub(super) fn wait_is_due(&mut self, node: u32, wait: &WaitSpec) {
        match &wait.on {
            WaitOn::Signal(name) if !wait.goes_on => {
                let message = format!("the signal `{name}` did not come in time");
                self.fail(TaskRef::node(node), Failure::fatal("signal_timeout", message));
            }
            _ => self.end_wait(node, Payload::null(), None),
        }
    }

    /// The oldest signal of a name that is kept and not used by this decision.
    fn kept_signal(&self, name: &str) -> Option<&Signal> {
        let is_free = |it: &&Signal| &*it.name == name && !self.used_signals.contains(&it.number);
        self.run.inbox.iter().find(is_free)
    }

    /// Of the tasks that wait for a signal the one that has waited longest.
    pub(super) fn waiting_for(&self, name: &str) -> Option<u32> {
        let waits = (0u32..).zip(self.run.workflow.tasks.iter().zip(&self.run.tasks));
        let waits = waits.filter(|(_, (spec, task))| {
            task.state == TaskState::Waiting && spec.signal().is_some_and(|it| &**it == name)
        });
        let waits = waits.filter(|(node, _)| !self.over.contains(node));
        waits.min_by_key(|(node, (_, task))| (task.ready_at, *node)).map(|(node, _)| node)
    }

    /// Signals that came while a crash kept the run from going on end the waits for them.
    pub(super) fn take_kept_signals(&mut self) {
        for signal in &self.run.inbox {
            if self.ended || self.used_signals.contains(&signal.number) {
                continue;
            }
            if let Some(node) = self.waiting_for(&signal.name) {
                self.end_wait(node, signal.payload.clone(), Some(signal.number));
            }
        }
    }
}
