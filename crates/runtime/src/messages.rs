//! Messages between agents: direct, to a layer, a stack or the fleet, to a topic; requests with
//! answers and deadlines. In process and in memory: at most once, and gone with the process.
//!
//! INVARIANT: nothing grows. Mailboxes, topics, requests under way and bodies have limits; what does
//! not fit is pushed back on its sender or dropped by the declared rule, and counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ark_os_core::Event;
use ark_os_core::authority::{Authority, Scopes};
use ark_os_core::fleet::Fleet;
use ark_os_core::ids::AgentIx;
use ark_os_core::text::Text;
use ark_os_core::time::Time;

use crate::RuntimeError;
use crate::clock::Clock;
use crate::metrics::Number;

mod address;
mod asking;
mod asks;
mod bell;
mod directory;
mod durable;
mod envelope;
mod mailbox;
mod receipts;
mod recorded;
mod refusals;
mod shard;
#[cfg(test)]
mod tests;
mod topics;
mod waiting;

pub use address::{Address, NAME_BYTES_MAX, Party, is_name};
pub use asking::{Answer, Asking};
pub use directory::Directory;
pub(crate) use durable::{Delivered, SEND, TAKE};
pub use envelope::{
    BODY_BYTES_MAX, Envelope, FIELD_BYTES_MAX, MessageId, MessageKind, Outgoing, TTL_MS, TTL_MS_MAX,
};
pub use mailbox::{MailboxRule, Overflow};
pub use shard::Tally;

use asks::{Asks, Claim};
use mailbox::{Put, Slip};
use receipts::Receipts;
use shard::Shard;
use topics::Topics;

/// Parts of all mailboxes, each under a lock of its own: many more than processors, so that two
/// threads seldom want the same.
const SHARDS: usize = 32;
/// Bits of an id for the messages of one sender, and for the senders of one start.
const ID_BITS: u32 = 40;
/// Messages taken or shown in one go.
pub const TAKEN_MAX: usize = 1_000;

/// How an instance's mailboxes are.
pub const MAILBOX: MailboxRule =
    MailboxRule { messages_max: 256, bytes_max: 1 << 20, overflow: Overflow::PushBack };

/// The mailboxes of a fleet, and everything that goes through them.
#[derive(Debug)]
pub struct Messages {
    shards: [Shard<Arc<Envelope>>; SHARDS],
    directory: RwLock<Arc<Directory>>,
    topics: Topics,
    asks: Asks,
    receipts: Receipts,
    rule: MailboxRule,
    clock: Clock,
    begun: Time,
    senders: AtomicU64,
    sent: Number,
    denied: Number,
    unclaimed: Number,
    unanswered: Number,
}

/// What happened to messages since the start, and how many wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// Accepted from their senders.
    pub sent: u64,
    /// Copies, by what became of them.
    pub tally: Tally,
    /// Refused for want of authority.
    pub denied: u64,
    /// Answers for which nobody waited any more.
    pub unclaimed: u64,
    /// Answers that did not come in time.
    pub unanswered: u64,
    /// Messages in mailboxes.
    pub waiting: u64,
    /// Mailboxes that are there.
    pub mailboxes: u64,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub id: MessageId,
    /// Whom it was for.
    pub addressees: u32,
    /// Who has it.
    pub delivered: u32,
    /// For whom there was no room and it was dropped by the rule.
    pub dropped: u32,
    /// For whom there was no room: to be sent again.
    pub pushed_back: u32,
}

/// Somebody who may send: who he is, and what his authority covers.
#[derive(Debug)]
pub struct Sender {
    party: Party,
    subject: Text,
    /// None: every message.
    scopes: Option<Scopes>,
    expires: Time,
    stem: u64,
    next: AtomicU64,
}

impl Sender {
    /// Who he is.
    pub fn party(&self) -> &Party {
        &self.party
    }

    fn covers(&self, scope: impl FnOnce() -> String) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.covers(&scope()))
    }
}

impl Messages {
    pub(crate) fn new(fleet: &Fleet, rule: MailboxRule, clock: Clock) -> Self {
        Messages {
            shards: Default::default(),
            directory: RwLock::new(Arc::new(Directory::of(fleet))),
            topics: Topics::default(),
            asks: Asks::default(),
            receipts: Receipts::default(),
            rule,
            clock,
            begun: clock.now(),
            senders: AtomicU64::new(0),
            sent: Number::default(),
            denied: Number::default(),
            unclaimed: Number::default(),
            unanswered: Number::default(),
        }
    }

    /// Mailboxes without an instance, to measure them.
    pub fn of_fleet(fleet: &Fleet, rule: MailboxRule) -> Self {
        Messages::new(fleet, rule, Clock::new())
    }

    /// Follows what happens to the fleet: who is in it, and who stands ready.
    pub(crate) fn follow(&self, events: &[Event], fleet: &Fleet) {
        for event in events {
            match event {
                Event::InstanceStarted(_)
                | Event::FleetScaled { .. }
                | Event::DeploymentStarted(_)
                | Event::DeploymentFinished { .. }
                | Event::DeploymentRolledBack { .. } => self.relist(fleet),
                Event::AgentJoined(it) => self.follow_worker(&it.group.name, fleet),
                Event::AgentLeft(it) => self.follow_worker(&it.name, fleet),
                Event::AgentChanged { agent, standing, .. } => self.lines().note(*agent, *standing),
                _ => {}
            }
        }
    }

    fn relist(&self, fleet: &Fleet) {
        let directory = Arc::new(Directory::of(fleet));
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = directory;
    }

    fn follow_worker(&self, name: &str, fleet: &Fleet) {
        {
            let mut lines = self.directory.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(directory) = Arc::get_mut(&mut lines) {
                return directory.follow_worker(name, fleet);
            }
        }
        // Somebody reads the one that is there.
        self.relist(fleet);
    }

    /// Who there is to write to.
    pub fn directory(&self) -> Arc<Directory> {
        self.lines().clone()
    }

    fn lines(&self) -> RwLockReadGuard<'_, Arc<Directory>> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody who sends under this authority.
    pub fn sender(&self, party: Party, authority: &Authority) -> Sender {
        let every = Scopes::parse(["message:*"]).unwrap_or_default();
        let scopes = authority.scopes();
        Sender {
            party,
            subject: authority.subject().clone(),
            scopes: (every.is_empty() || !every.is_within(scopes)).then(|| scopes.clone()),
            expires: authority.expires(),
            stem: self.senders.fetch_add(1, Ordering::Relaxed),
            next: AtomicU64::new(0),
        }
    }

    /// Whether somebody may send and read as this agent: `message:as.` and its name.
    ///
    /// # Errors
    /// He may not.
    pub fn may_act_as(&self, sender: &Sender, agent: AgentIx) -> Result<(), RuntimeError> {
        let name = self.lines().name(agent);
        match sender.covers(|| format!("message:as.{name}")) {
            true => Ok(()),
            false => Err(self.deny(refusals::not_as(&sender.subject, &name))),
        }
    }

    /// Sends a message: into the mailbox of its addressee, or of each of its addressees.
    ///
    /// # Errors
    /// It is not well formed, its sender may not send it, nobody has the address, or the one addressee
    /// has no room.
    pub fn send(&self, sender: &Sender, message: Outgoing) -> Result<Sent, RuntimeError> {
        let now = self.clock.now();
        self.admit(sender, &message, now)?;
        let envelope = Arc::new(self.envelope(sender, message, now));
        self.dispatch(&envelope, now)
    }

    fn dispatch(&self, envelope: &Arc<Envelope>, now: Time) -> Result<Sent, RuntimeError> {
        match &envelope.to {
            Address::Agent(agent) => self.direct(*agent, envelope, now),
            Address::Outside(name) => {
                let claimed = self.answer(envelope)?;
                if claimed {
                    return Ok(sent(envelope, 1, 1));
                }
                self.unclaimed.inc();
                Err(refusals::nobody_waits(name))
            }
            to => {
                let addressees = self.addressees(to, &envelope.from);
                Ok(self.spread(envelope, &addressees, now, |_, _| {}))
            }
        }
    }

    /// Whom a broadcast is for.
    fn addressees(&self, to: &Address, from: &Party) -> Vec<AgentIx> {
        match to {
            Address::Topic(topic) => {
                let subscribers = self.topics.subscribers(topic);
                let others = subscribers.iter().filter(|it| *from != Party::Agent(**it));
                others.copied().collect()
            }
            to => self.directory().active(to, from),
        }
    }

    fn direct(
        &self,
        agent: AgentIx,
        envelope: &Arc<Envelope>,
        now: Time,
    ) -> Result<Sent, RuntimeError> {
        if envelope.kind == MessageKind::Response && self.answer(envelope)? {
            return Ok(sent(envelope, 1, 1));
        }
        match self.put(agent, envelope, now) {
            Put::In | Put::InFor(_) => Ok(sent(envelope, 1, 1)),
            Put::Dropped => Ok(Sent { dropped: 1, ..sent(envelope, 1, 0) }),
            Put::Full => Err(refusals::full(&self.lines().name(agent))),
        }
    }

    /// Hands an answer to who waits for it; whether somebody does.
    fn answer(&self, envelope: &Arc<Envelope>) -> Result<bool, RuntimeError> {
        let Some(request) = &envelope.correlation else { return Ok(false) };
        let from = match envelope.from {
            Party::Agent(agent) => Some(agent),
            Party::Outside(_) => None,
        };
        match self.asks.claim(request, from, envelope) {
            Claim::Taken => {
                self.sent.inc();
                Ok(true)
            }
            Claim::Unexpected => Err(self.deny(refusals::unexpected(request))),
            Claim::Nobody => Ok(false),
        }
    }

    fn spread(
        &self,
        envelope: &Arc<Envelope>,
        addressees: &[AgentIx],
        now: Time,
        mut tell: impl FnMut(AgentIx, Put),
    ) -> Sent {
        self.sent.inc();
        let mut all = sent(envelope, addressees.len() as u32, 0);
        for agent in addressees {
            let put = self.store(*agent, envelope, now);
            match put {
                Put::In | Put::InFor(_) => all.delivered += 1,
                Put::Dropped => all.dropped += 1,
                Put::Full => all.pushed_back += 1,
            }
            tell(*agent, put);
        }
        all
    }

    fn put(&self, agent: AgentIx, envelope: &Arc<Envelope>, now: Time) -> Put {
        let put = self.store(agent, envelope, now);
        if put != Put::Full {
            self.sent.inc();
        }
        put
    }

    fn store(&self, agent: AgentIx, envelope: &Arc<Envelope>, now: Time) -> Put {
        let slip = Slip {
            priority: envelope.priority,
            expires: envelope.expires,
            bytes: envelope.body.len(),
        };
        self.shard(agent).put(agent.0, slip, envelope.clone(), &self.rule, now)
    }

    /// Takes up to so many messages out of an agent's mailbox, the most urgent first.
    pub fn take(&self, agent: AgentIx, max: usize) -> Vec<Arc<Envelope>> {
        let mut taken = Vec::new();
        self.take_into(agent, max, &mut taken);
        for envelope in taken.iter().filter(|envelope| envelope.durable) {
            self.receipts.take(&envelope.id);
        }
        taken
    }

    /// The same, added to what is there; a durable one does not count as taken yet.
    pub fn take_into(&self, agent: AgentIx, max: usize, taken: &mut Vec<Arc<Envelope>>) {
        let before = taken.len();
        self.shard(agent).take(agent.0, max.min(TAKEN_MAX), self.clock.now(), taken);
        if taken.iter().skip(before).any(|envelope| envelope.durable) {
            self.without_doubles(taken, before);
        }
    }

    /// Looks into an agent's mailbox without taking anything: what came after a place, in the order
    /// it came, each with its place.
    pub fn look(&self, agent: AgentIx, after: u64) -> Vec<(u64, Arc<Envelope>)> {
        let see = |mail: &mailbox::Mail<Arc<Envelope>>| (mail.order, mail.item.clone());
        let mut seen = self.shard(agent).look(agent.0, after, self.clock.now(), see);
        seen.truncate(TAKEN_MAX);
        seen
    }

    /// An agent gets what is sent to a topic from now on, for as long as the instance runs. Whether
    /// it did not before.
    ///
    /// # Errors
    /// The sender's authority does not cover it, or there is no room for another subscription.
    pub fn subscribe(
        &self,
        sender: &Sender,
        agent: AgentIx,
        topic: &str,
    ) -> Result<bool, RuntimeError> {
        self.may_subscribe(sender, agent, topic)?;
        let topic = Text::from(topic);
        self.topics.subscribe(&topic, agent).map_err(|_| refusals::no_subscription(&topic))
    }

    /// An agent gets nothing more from a topic. Whether it did before.
    ///
    /// # Errors
    /// The sender's authority does not cover it.
    pub fn unsubscribe(
        &self,
        sender: &Sender,
        agent: AgentIx,
        topic: &str,
    ) -> Result<bool, RuntimeError> {
        self.may_subscribe(sender, agent, topic)?;
        Ok(self.topics.unsubscribe(topic, agent))
    }

    fn may_subscribe(
        &self,
        sender: &Sender,
        agent: AgentIx,
        topic: &str,
    ) -> Result<(), RuntimeError> {
        if !is_name(topic) {
            return Err(refusals::no_topic(topic));
        }
        if *sender.party() != Party::Agent(agent) {
            self.may_act_as(sender, agent)?;
        }
        let scope = || format!("message:topic.{topic}");
        match sender.covers(scope) {
            true => Ok(()),
            false => Err(self.deny(refusals::not_covered(&sender.subject, &scope()))),
        }
    }

    /// What happened since the start. What is over by now is dropped first, so that what waits is
    /// what somebody can still get.
    pub fn counts(&self) -> MessageCounts {
        let now = self.clock.now();
        let mut counts = MessageCounts {
            sent: self.sent.value(),
            denied: self.denied.value(),
            unclaimed: self.unclaimed.value(),
            unanswered: self.unanswered.value(),
            ..MessageCounts::default()
        };
        for shard in &self.shards {
            let (tally, messages, mailboxes) = shard.sweep(now);
            counts.tally.add(&tally);
            counts.waiting += messages;
            counts.mailboxes += mailboxes;
        }
        counts
    }

    fn shard(&self, agent: AgentIx) -> &Shard<Arc<Envelope>> {
        let [first, ..] = &self.shards;
        self.shards.get(agent.0 as usize % SHARDS).unwrap_or(first)
    }

    /// Whether it may be sent at all.
    fn admit(&self, sender: &Sender, message: &Outgoing, now: Time) -> Result<(), RuntimeError> {
        refusals::check(message)?;
        let directory = self.lines();
        if let Address::Agent(agent) = message.to
            && !directory.has(agent)
        {
            return Err(refusals::no_agent());
        }
        if now >= sender.expires {
            return Err(self.deny(refusals::expired(&sender.subject)));
        }
        let scope = || message.to.scope(&directory);
        if !sender.covers(scope) {
            return Err(self.deny(refusals::not_covered(&sender.subject, &scope())));
        }
        let Party::Agent(from) = sender.party else { return Ok(()) };
        let is_answer = message.kind == MessageKind::Response;
        directory.permits(from, &message.to, is_answer).map_err(|barred| {
            let (from, to) = (directory.name(from), message.to.text(&directory));
            self.deny(refusals::barred(barred, &from, &to))
        })
    }

    fn deny(&self, error: RuntimeError) -> RuntimeError {
        self.denied.inc();
        error
    }

    fn envelope(&self, sender: &Sender, message: Outgoing, now: Time) -> Envelope {
        let id = message.id.unwrap_or_else(|| {
            let number = sender.next.fetch_add(1, Ordering::Relaxed);
            let mask = (1 << ID_BITS) - 1;
            let begun = u128::from(self.begun.0) << (2 * ID_BITS);
            let stem = u128::from(sender.stem & mask) << ID_BITS;
            MessageId::Ours(begun | stem | u128::from(number & mask))
        });
        Envelope {
            id,
            from: sender.party.clone(),
            to: message.to,
            kind: message.kind,
            correlation: message.correlation,
            about: message.about,
            subject: message.subject,
            trace: message.trace,
            priority: message.priority,
            sent: now,
            expires: now.plus(message.ttl_ms),
            authority: sender.subject.clone(),
            media: message.media,
            body: message.body,
            durable: message.durable,
        }
    }
}

fn sent(envelope: &Envelope, addressees: u32, delivered: u32) -> Sent {
    Sent { id: envelope.id.clone(), addressees, delivered, dropped: 0, pushed_back: 0 }
}
