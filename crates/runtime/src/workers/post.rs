//! Messages of an attempt: in its agent's name, under the authority that its run was let in with.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ark_os_core::Kind;
use ark_os_core::ids::AgentIx;
use ark_os_core::plan::EffectClass;
use ark_os_core::text::Text;

use super::host::{AttemptHost, renew};
use super::{Assignment, Shop};
use crate::RuntimeError;
use crate::messages::{
    Address, Answer, Delivered, Envelope, MessageId, Outgoing, Party, SEND, Sender, Sent, TAKE,
};
use crate::skills::{Cost, Host, Post, SkillError, StepCall};

/// How long a thread waits for answers without a look at anything else.
const LOOK: Duration = Duration::from_millis(100);

/// What an attempt has for its messages.
pub(super) struct Mail<'a> {
    shop: &'a Shop,
    assignment: &'a Assignment,
    sender: Sender,
    renewed: RefCell<Instant>,
}

impl<'a> Mail<'a> {
    pub(super) fn new(shop: &'a Shop, assignment: &'a Assignment) -> Result<Self, SkillError> {
        let authority = assignment.admission.as_ref().and_then(|it| it.authorities.last());
        let authority = authority.ok_or_else(|| {
            SkillError::permanent("message_denied", "send: the run has no authority")
        })?;
        let party = Party::Agent(assignment.agent);
        let sender = shop.messages.sender(party, authority);
        let renewed = RefCell::new(shop.clock.instant());
        Ok(Mail { shop, assignment, sender, renewed })
    }

    /// While it waits, the attempt keeps its lease and hears that it is cancelled.
    fn goes_on(&self) -> bool {
        renew(self.shop, self.assignment, &self.renewed);
        !self.assignment.stop.is_asked()
    }

    fn is_on_the_loop(&self) -> bool {
        self.assignment.skill.spec().cost == Cost::Tiny
    }

    /// Nobody waits on the loop's own thread.
    fn patience(&self, within: Duration) -> Duration {
        if self.is_on_the_loop() { Duration::ZERO } else { within }
    }

    /// What is done in a step waits for the loop.
    fn may_wait(&self) -> Result<(), SkillError> {
        match self.is_on_the_loop() {
            true => Err(SkillError::permanent(
                "skill.no_steps",
                "record a message: work on the loop's own thread has no steps",
            )),
            false => Ok(()),
        }
    }

    fn take(&self, within: Duration) -> Result<Option<Arc<Envelope>>, SkillError> {
        let (agent, patience) = (self.assignment.agent, self.patience(within));
        self.shop
            .messages
            .take_on_thread(agent, patience, || self.goes_on())
            .map_err(|error| told(&error))
    }

    /// Sends a durable message under the key of its step.
    fn deliver(&self, message: &Outgoing, key: &str) -> Result<Vec<u8>, SkillError> {
        let id = Some(MessageId::Theirs(Text::from(key)));
        let message = Outgoing { id, ..message.clone() };
        match self
            .shop
            .messages
            .deliver(&self.sender, message, || self.goes_on())
            .map_err(|error| told(&error))?
        {
            // Another attempt finds its step settled, and what it was.
            Delivered::Taken => serde_json::to_vec(key).map_err(|_| unreadable()),
            Delivered::Expired => Err(SkillError::retryable(
                "message_not_taken",
                "deliver a durable message: its addressee did not take it in time",
            )),
            Delivered::Stopped => Err(SkillError::unknown("skill.cancelled", "deliver a message")),
        }
    }
}

impl Post for AttemptHost<'_> {
    fn agent(&self) -> AgentIx {
        self.assigned().agent
    }

    fn address(&self, text: &str) -> Result<Address, SkillError> {
        Address::parse(text, &self.mail()?.shop.messages.directory()).ok_or_else(|| {
            let shown: String = text.chars().take(100).collect();
            let message = format!("write to `{shown}`: nobody has this address");
            SkillError::permanent("addressee_not_found", message)
        })
    }

    fn send(&self, message: Outgoing) -> Result<Sent, SkillError> {
        let mail = self.mail()?;
        let messages = &mail.shop.messages;
        if !message.durable {
            return messages.send(&mail.sender, message).map_err(|error| told(&error));
        }
        mail.may_wait()?;
        let to = message.to.text(&messages.directory());
        let arguments = [to.as_bytes(), b"\n", &*message.body].concat();
        let call = StepCall::new(SEND, &arguments, EffectClass::Idempotent);
        let mut sent = None;
        let recorded = self.step(&call, &mut |key: &str| {
            sent = Some(MessageId::Theirs(Text::from(key)));
            mail.deliver(&message, key)
        });
        // Whether it could be recorded or not: its addressee waits for nothing more.
        if let Some(id) = &sent {
            messages.settled(id);
        }
        let key: String = serde_json::from_slice(&recorded?).map_err(|_| unreadable())?;
        let id = MessageId::Theirs(Text::from(key));
        messages.settled(&id);
        Ok(Sent { id, addressees: 1, delivered: 1, dropped: 0, pushed_back: 0 })
    }

    fn ask(
        &self,
        message: Outgoing,
        within: Duration,
    ) -> Result<Vec<(AgentIx, Answer)>, SkillError> {
        let mail = self.mail()?;
        let until = mail.shop.clock.instant() + mail.patience(within);
        let asking = mail.shop.messages.ask(&mail.sender, message).map_err(|error| told(&error))?;
        loop {
            let left = until.saturating_duration_since(mail.shop.clock.instant());
            if asking.is_over_within(left.min(LOOK)) || left.is_zero() {
                return Ok(asking.answers());
            }
            if !mail.goes_on() {
                return Err(SkillError::cancelled());
            }
        }
    }

    fn receive(&self, within: Duration) -> Result<Option<Arc<Envelope>>, SkillError> {
        let mail = self.mail()?;
        let taken = mail.take(within)?;
        if let Some(envelope) = taken.as_ref().filter(|it| it.durable) {
            mail.shop.messages.took(envelope, || mail.goes_on());
        }
        Ok(taken)
    }

    fn receive_recorded(&self, within: Duration) -> Result<Arc<Envelope>, SkillError> {
        let mail = self.mail()?;
        mail.may_wait()?;
        let directory = mail.shop.messages.directory();
        let call = StepCall::new(TAKE, b"{}", EffectClass::Idempotent);
        let json = self.step(&call, &mut |_: &str| match mail.take(within)? {
            Some(envelope) => Ok(envelope.to_json(&directory)),
            None => Err(SkillError::retryable(
                "message_not_received",
                "receive a message: none came in time",
            )),
        })?;
        let envelope = Envelope::from_json(&json, &directory).map_err(|error| told(&error))?;
        if envelope.durable {
            mail.shop.messages.took(&envelope, || mail.goes_on());
        }
        Ok(Arc::new(envelope))
    }

    fn subscribe(&self, topic: &str, listens: bool) -> Result<bool, SkillError> {
        let mail = self.mail()?;
        let (messages, agent) = (&mail.shop.messages, mail.assignment.agent);
        let changed = match listens {
            true => messages.subscribe(&mail.sender, agent, topic),
            false => messages.unsubscribe(&mail.sender, agent, topic),
        };
        changed.map_err(|error| told(&error))
    }
}

fn unreadable() -> SkillError {
    SkillError::permanent("internal", "read the recorded id of a message")
}

fn told(error: &RuntimeError) -> SkillError {
    let message = error.to_string();
    let told = match error.kind() {
        Kind::Exhausted | Kind::Unavailable => SkillError::retryable(error.code(), message),
        _ => SkillError::permanent(error.code(), message),
    };
    match error.hint() {
        Some(hint) => told.with_hint(hint),
        None => told,
    }
}
