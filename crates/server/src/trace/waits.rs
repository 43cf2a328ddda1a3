//! Rows of tasks that wait, and of signals.

use ark_os_core::Event;
use ark_os_core::event::SignalReceived;
use ark_os_core::payload::Payload;

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
            _ => {}
        }
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

fn payload_in_short(payload: &Payload) -> String {
    payload.hash().to_string()
}
