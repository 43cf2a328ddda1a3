//! Signals: sent at any moment, to runs of any kind, some of them again under their key.

use ark_os_core::Command;
use ark_os_core::command::SendSignal;
use ark_os_core::event::SubmissionKey;
use ark_os_core::ids::RunId;
use ark_os_core::payload::Payload;
use ark_os_core::text::Text;

use super::{Due, World};
use crate::bug::Bug;
use crate::plans::SIGNALS;
use crate::violation::Check;

impl World {
    /// Somebody sends a signal, and the next one has its time.
    pub(super) fn send_signals(&mut self) -> Check {
        if self.is_calm {
            return Ok(());
        }
        let pause = self.flow.range(1, self.profile.act_ms * 3_000);
        self.after(pause, Due::Signal);
        let run = self.flow.pick(&self.clients.runs).copied();
        let name = self.flow.pick(&SIGNALS).copied().map(Text::from);
        let name = if self.subject.is_some() { self.awaited_signal(run) } else { name };
        if let (Some(run), Some(name), true) = (run, name, self.node.is_some()) {
            let signal = self.draw_signal(run, &name);
            return self.send_signal(signal);
        }
        Ok(())
    }

    /// Each says something else, so that none can be taken for another.
    fn draw_signal(&mut self, run: RunId, name: &str) -> SendSignal {
        let number = self.flow.draw() >> 12;
        let said = match &self.subject {
            Some(subject) => subject.says(name, number).to_string(),
            None => number.to_string(),
        };
        let payload = Payload::inline(said.into_bytes());
        let key = self.flow.per_mille(500).then(|| SubmissionKey {
            key: Text::from(format!("signal-{}", self.flow.draw())),
            request: payload.hash(),
        });
        SendSignal { run, name: name.into(), payload, key }
    }

    fn send_signal(&mut self, signal: SendSignal) -> Check {
        self.note(|| format!("client: signal {signal:?}"));
        if self.has(Bug::SignalForgotten) && self.flow.per_mille(200) {
            return self.checker.signalled(signal.run, signal.payload.hash());
        }
        let is_doubted = signal.key.is_some() && self.flow.per_mille(300);
        let reply = self.ask_signal(signal.clone());
        self.send(Command::SendSignal(Box::new(signal.clone())), 0, Some(reply));
        if is_doubted {
            self.lose_signal(Box::new(signal));
        }
        Ok(())
    }

    /// Nobody answered, as it seems: it is sent again if it has a key.
    pub(super) fn lose_signal(&mut self, mut signal: Box<SendSignal>) {
        if signal.key.is_none() {
            return;
        }
        if self.has(Bug::SignalRepeated) {
            signal.key = None;
        }
        let wait = self.flow.range(10_000, 6_000_000);
        self.after(wait, Due::Late(Box::new(Command::SendSignal(signal))));
    }

    /// At the end everybody gets the signals that he waits for.
    pub(super) fn signal_all(&mut self) {
        let Some(node) = &self.node else { return };
        let state = node.lp.state();
        let awaited = state.run_ids().into_iter().flat_map(|id| {
            let names = state.run(id).map(|run| run.awaited()).unwrap_or_default();
            names.into_iter().map(move |name| (id, name))
        });
        for (run, name) in awaited.collect::<Vec<_>>() {
            let signal = self.draw_signal(run, &name);
            self.send(Command::SendSignal(Box::new(signal)), 0, None);
        }
    }
}
