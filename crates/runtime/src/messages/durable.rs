//! Durable messages: sent in a step, taken in a step.

use std::sync::Arc;
use std::time::Duration;

use ark_os_core::State;
use ark_os_core::step::{StepOutcome, StepStanding};

use super::receipts::Known;
use super::recorded::durable_id;
use super::{Envelope, MessageId, MessageKind, Messages, Outgoing, Sender, refusals};
use crate::RuntimeError;
use crate::data::Payloads;

/// The tool of the step that sends a durable message.
pub(crate) const SEND: &str = "message";
/// The tool of the step that takes one.
pub(crate) const TAKE: &str = "message.take";

/// How long a thread waits without a look at anything else.
const LOOK: Duration = Duration::from_millis(100);

/// How the wait for an addressee ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// It has the message for good.
    Taken,
    /// It did not take it in its time to live.
    Expired,
    /// Who waits was stopped.
    Stopped,
}

impl Messages {
    /// Sends a durable message under the key of its step, if that was not done before, and waits
    /// until its addressee has it.
    ///
    /// # Errors
    /// As `send`.
    pub(crate) fn deliver(
        &self,
        sender: &Sender,
        message: Outgoing,
        mut goes_on: impl FnMut() -> bool,
    ) -> Result<Delivered, RuntimeError> {
        if !matches!(message.kind, MessageKind::Notification | MessageKind::Alert) {
            return Err(refusals::not_durable());
        }
        let Some(id) = message.id.clone() else { return Err(refusals::not_durable()) };
        let until = self.clock.instant() + Duration::from_millis(message.ttl_ms);
        let bell = match self.receipts.open(&id) {
            Known::Taken => return Ok(Delivered::Taken),
            Known::Sent(bell) => bell,
            Known::New(bell) => {
                let sent = self.send(sender, message);
                if !sent.as_ref().is_ok_and(|sent| sent.delivered == 1) {
                    self.receipts.close(&id);
                    return sent.map(|_| Delivered::Expired);
                }
                bell
            }
            Known::Full => return Err(refusals::too_many_durable()),
        };
        loop {
            let left = until.saturating_duration_since(self.clock.instant());
            if bell.hear(left.min(LOOK)) || self.receipts.is_taken(&id) {
                return Ok(Delivered::Taken);
            }
            if left.is_zero() {
                self.receipts.withdraw(&id, &bell);
                return Ok(Delivered::Expired);
            }
            if !goes_on() {
                self.receipts.withdraw(&id, &bell);
                return Ok(Delivered::Stopped);
            }
        }
    }

    /// The sender's step is settled, or cannot be: nobody has to wait for that.
    pub(crate) fn settled(&self, id: &MessageId) {
        self.receipts.close(id);
    }

    /// The addressee has recorded a durable message. Waits until its sender has recorded that, so
    /// that nobody sends it again once the addressee goes on.
    pub(crate) fn took(&self, envelope: &Envelope, mut goes_on: impl FnMut() -> bool) {
        let Some(bell) = self.receipts.take(&envelope.id) else { return };
        while !bell.hear(LOOK) && goes_on() {}
    }

    /// After a restart: what attempts took durably before is not taken by others again.
    pub(crate) fn recall(&self, state: &State, payloads: &Payloads) {
        for run in state.run_ids() {
            let Some(run) = state.run(run) else { continue };
            for task in run.live_tasks(|task| !task.steps.is_empty()) {
                let steps = run.task(task).map(|task| task.steps.as_slice()).unwrap_or_default();
                for step in steps.iter().filter(|step| &*step.tool == TAKE) {
                    let StepStanding::Settled(StepOutcome::Done(payload)) = &step.standing else {
                        continue;
                    };
                    // What cannot be read now cannot be answered to its attempt either.
                    let id = payloads.load(payload).ok().and_then(|json| durable_id(&json));
                    if let Some(id) = id {
                        self.receipts.take(&id);
                    }
                }
            }
        }
    }

    /// Without those that somebody else has already: a sender that was interrupted sent them again.
    pub(super) fn without_doubles(&self, taken: &mut Vec<Arc<Envelope>>, from: usize) {
        let mut at = 0;
        taken.retain(|envelope| {
            at += 1;
            at <= from || !envelope.durable || !self.receipts.is_taken(&envelope.id)
        });
    }
}
