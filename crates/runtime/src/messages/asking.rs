//! Asking: a request, and one answer or none from each whom it is for.

use std::sync::Arc;
use std::time::Duration;

use ark_os_core::ids::AgentIx;

use super::asks::{Gather, Unheard};
use super::mailbox::Put;
use super::{Address, Envelope, MessageId, MessageKind, Messages, Outgoing, Sender, refusals};
use crate::RuntimeError;

/// Agents whose answers one request waits for: each takes a few hundred bytes until it is over.
const ASKED_MAX: usize = 10_000;

/// What came of a request at one addressee.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It answered.
    Answered(Arc<Envelope>),
    /// It did not answer in time.
    TimedOut,
    /// The request did not reach it: its mailbox was full.
    NotReached,
}

/// A request under way. Whoever drops it waits for the answers no more.
#[derive(Debug)]
pub struct Asking<'a> {
    messages: &'a Messages,
    id: MessageId,
    asked: Vec<(AgentIx, bool)>,
    gather: Arc<Gather>,
}

impl Messages {
    /// Sends a request, and counts the answers from then on.
    ///
    /// # Errors
    /// As `send`; or too many are asked, or wait.
    pub fn ask(&self, sender: &Sender, message: Outgoing) -> Result<Asking<'_>, RuntimeError> {
        let now = self.clock.now();
        let message = message.of_kind(MessageKind::Request);
        self.admit(sender, &message, now)?;
        let envelope = Arc::new(self.envelope(sender, message, now));
        let agents = match &envelope.to {
            Address::Agent(agent) => vec![*agent],
            to => self.addressees(to, &envelope.from),
        };
        if agents.len() > ASKED_MAX {
            return Err(refusals::too_many_asked(agents.len()));
        }
        let opened = self.asks.open(envelope.id.clone(), &agents);
        let gather = opened.map_err(|unheard| match unheard {
            Unheard::Taken => refusals::id_in_use(),
            Unheard::Crowded => refusals::crowded(),
        })?;
        let id = envelope.id.clone();
        let mut asking = Asking { messages: self, id, asked: Vec::new(), gather };
        if let Address::Agent(agent) = envelope.to {
            // Told to the one who asks one.
            let sent = self.direct(agent, &envelope, now)?;
            asking.note(agent, sent.delivered > 0);
        } else {
            self.spread(&envelope, &agents, now, |agent, put| {
                asking.note(agent, matches!(put, Put::In | Put::InFor(_)));
            });
        }
        Ok(asking)
    }
}

impl Asking<'_> {
    fn note(&mut self, agent: AgentIx, is_reached: bool) {
        self.asked.push((agent, is_reached));
        if !is_reached {
            self.gather.give_up(agent);
        }
    }

    /// The id of the request.
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// A task waits until all have answered, or as long as it has patience.
    pub async fn over(&self, patience: Duration) {
        if !self.gather.is_over() {
            // In time or not, the answers tell.
            let _ = tokio::time::timeout(patience, self.gather.bell.heard()).await;
        }
    }

    /// A thread waits a moment; whether all have answered.
    pub fn is_over_within(&self, patience: Duration) -> bool {
        self.gather.is_over() || {
            self.gather.bell.hear(patience);
            self.gather.is_over()
        }
    }

    /// What has come by now, of each who was asked.
    pub fn answers(&self) -> Vec<(AgentIx, Answer)> {
        let answer = |(agent, is_reached): &(AgentIx, bool)| {
            let answer = match (self.gather.answer(*agent), is_reached) {
                (Some(answer), _) => Answer::Answered(answer),
                (None, true) => {
                    self.messages.unanswered.inc();
                    Answer::TimedOut
                }
                (None, false) => Answer::NotReached,
            };
            (*agent, answer)
        };
        self.asked.iter().map(answer).collect()
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.messages.asks.close(&self.id);
    }
}
