//! Rows of tasks that wait, and of signals.

use std::sync::Arc;

use ark_os_api::TraceRow;
use ark_os_core::Event;
use ark_os_core::event::{AttemptStarted, ChildEnded, SignalReceived};
use ark_os_core::payload::Payload;
use ark_os_core::text::Text;

use super::Tracer;
use super::open::Began;
use super::rows::{About, Making, details, field};
use crate::words;

impl Making<'_> {
    pub(super) fn of_wait(&mut self, event: &Event) {
        match event {
            Event::TaskWaiting { task, until } => {
                self.prepared(*task);
                // It is a task that began now, unless it was prepared before.
                self.open(*task);
                let mut row = self.point("waiting", 3);
                row.text = Some(self.tracer.awaited(task.node));
                row.details.extend(until.and_then(words::moment).map(|at| field("until", at)));
                self.put(About::Task(*task), row);
            }
            Event::SignalReceived(signal) => self.signal(signal),
            Event::WaitEnded { task, output, signal } => {
                let mut row = self.closed(*task, "succeeded", None);
                row.text = signal.map(|number| format!("signal {number} came"));
                row.details.extend([field("output", output.hash().to_string())]);
                row.details.extend(signal.map(|number| field("signal", number)));
                self.put(About::Task(*task), row);
            }
            Event::ChildRequested { task, child } => {
                self.prepared(*task);
                self.open(*task);
                let mut row = self.point("waiting", 3);
                row.text = Some(child.run.to_string());
                row.details = details([field("child", child.run)]);
                row.details.extend(
                    child.input.iter().map(|input| field("input", input.hash().to_string())),
                );
                self.put(About::Task(*task), row);
            }
            Event::ChildEnded(ended) => self.child_ended(ended),
            Event::TasksAdded(added) => {
                let plan = self.tracer.plan.take();
                self.tracer.plan =
                    plan.map(|it| Arc::new(it.extended(added.task.node, &added.nodes)));
                let names: Vec<&str> = added.nodes.iter().map(|it| &*it.name).collect();
                let mut row = self.point("tasks_added", 3);
                row.text = Some(names.join(", "));
                row.details = details([field("tasks", names.len())]);
                self.put(About::Task(added.task), row);
            }
            _ => {}
        }
    }

    /// Of a child that did not succeed, the task's failure tells.
    fn child_ended(&mut self, ended: &ChildEnded) {
        let Some(output) = &ended.output else { return };
        let mut row = self.closed(ended.task, "succeeded", None);
        row.text = Some(ended.run.to_string());
        row.details.extend([field("child", ended.run), field("output", output.hash().to_string())]);
        self.put(About::Task(ended.task), row);
    }

    /// Before an attempt under a limit that held its task up: the wait, which is nobody's work.
    pub(super) fn was_held(&mut self, started: &AttemptStarted, queued: Began) {
        let Some(until) = started.held_until.filter(|until| *until >= queued.at) else { return };
        let mut row = self.span("waiting", 3, queued);
        let held_ms = until.0.saturating_sub(queued.at.0);
        (row.duration_ms, row.idle_ms) = (Some(held_ms), Some(held_ms));
        self.tracer.tell_limit(started.task.node, &mut row);
        self.put(About::Task(started.task), row);
    }

    fn signal(&mut self, signal: &SignalReceived) {
        let mut row = self.point("signal", 1);
        row.text = Some(signal.name.to_string());
        row.details = details([
            field("signal", signal.number),
            field("payload", payload_in_short(&signal.payload)),
        ]);
        row.details.extend(signal.key.as_ref().map(|key| field("key", &key.key)));
        self.put(About::Run, row);
    }
}

impl Tracer {
    /// Which limit a task waits for.
    pub(super) fn tell_limit(&self, node: u32, row: &mut TraceRow) {
        let spec = self.plan.as_ref().and_then(|plan| plan.tasks.get(node as usize));
        let name = spec.and_then(|spec| spec.limit.as_ref()).map(|limit| &limit.name);
        let key = self.keys.get(&node);
        let words = [name, key].into_iter().flatten().map(Text::as_str);
        let words: Vec<&str> = words.filter(|it| !it.is_empty()).collect();
        row.text = Some(format!("the limit {}", words.join(" ")));
        row.details.extend(name.map(|name| field("limit", name)));
        row.details.extend(key.map(|key| field("key", key)));
    }
}

fn payload_in_short(payload: &Payload) -> String {
    payload.hash().to_string()
}
