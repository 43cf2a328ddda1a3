//! A part of all mailboxes under one lock. A mailbox is there while it holds something, or somebody
//! waits at it: an idle agent costs nothing.

use std::sync::Arc;

use ark_os_core::time::Time;
use rustc_hash::FxHashMap;

use super::bell::Bell;
use super::mailbox::{Mail, Mailbox, MailboxRule, Put, Slip};
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// Who may wait at one mailbox at a time: an agent has as many attempts at work as it has tokens,
/// and each waits once.
pub(crate) const WAITERS_MAX: usize = 64;
/// Empty mailboxes kept for the next message, so that a conversation does not allocate each time.
const SPARE_MAX: usize = 64;
/// Messages for which a spare mailbox may have room: 2 KiB.
const SPARE_MESSAGES_MAX: usize = 32;
/// Bytes of all bodies in one shard: a sender learns that there is no room before memory does.
pub(crate) const SHARD_BYTES_MAX: usize = 8 << 20;

/// The mailboxes of some agents, by number.
#[derive(Debug)]
pub(crate) struct Shard<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    slots: FxHashMap<u32, Box<Slot<T>>>,
    #[expect(clippy::vec_box, reason = "they go from here into the map, and back, without a move")]
    spare: Vec<Box<Slot<T>>>,
    bytes: usize,
    /// Nothing here is over before this.
    soonest: Time,
    order: u64,
    tally: Tally,
}

#[derive(Debug)]
struct Slot<T> {
    mail: Mailbox<T>,
    bells: Vec<Arc<Bell>>,
}

/// What happened here since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Put into a mailbox.
    pub delivered: u64,
    /// Taken out by their addressees.
    pub taken: u64,
    /// Dropped to make room.
    pub dropped_oldest: u64,
    /// Dropped for want of room.
    pub dropped_newest: u64,
    /// Told to come back.
    pub pushed_back: u64,
    /// Over before anybody took them.
    pub expired: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.delivered += other.delivered;
        self.taken += other.taken;
        self.dropped_oldest += other.dropped_oldest;
        self.dropped_newest += other.dropped_newest;
        self.pushed_back += other.pushed_back;
        self.expired += other.expired;
    }
}

/// What somebody finds who wants to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// There is something: nothing to wait for.
    Ready,
    /// The bell will be rung.
    Listed,
    /// Too many wait already.
    Crowded,
}

impl<T> Default for Shard<T> {
    fn default() -> Self {
        Shard {
            inner: Mutex::new(Inner {
                slots: FxHashMap::default(),
                spare: Vec::new(),
                bytes: 0,
                soonest: Time(u64::MAX),
                order: 0,
                tally: Tally::default(),
            }),
        }
    }
}

impl<T> Shard<T> {
    /// Puts a message into an agent's mailbox and rings for who waits at it.
    pub(crate) fn put(
        &self,
        agent: u32,
        slip: Slip,
        item: T,
        rule: &MailboxRule,
        now: Time,
    ) -> Put {
        let mut inner = self.lock();
        let (put, bells) = inner.put(agent, slip, item, rule, now);
        drop(inner);
        bells.iter().for_each(|bell| bell.ring());
        put
    }

    /// Takes up to `max` messages out.
    pub(crate) fn take(&self, agent: u32, max: usize, now: Time, out: &mut Vec<T>) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let Some(slot) = inner.slots.get_mut(&agent) else { return };
        let before = slot.mail.bytes();
        let count = out.len();
        let mails = std::iter::from_fn(|| slot.mail.take(now, &mut inner.tally.expired));
        out.extend(mails.take(max).map(|mail| mail.item));
        inner.tally.taken += (out.len() - count) as u64;
        inner.bytes = inner.bytes.saturating_sub(before - slot.mail.bytes());
        inner.tidy(agent);
    }

    /// Looks at what came after a place, in the order it came, without taking it.
    pub(crate) fn look<O>(
        &self,
        agent: u32,
        after: u64,
        now: Time,
        see: impl FnMut(&Mail<T>) -> O,
    ) -> Vec<O> {
        let inner = self.lock();
        let Some(slot) = inner.slots.get(&agent) else { return Vec::new() };
        let mut mails: Vec<_> = slot.mail.iter(now).filter(|mail| mail.order > after).collect();
        mails.sort_unstable_by_key(|mail| mail.order);
        mails.into_iter().map(see).collect()
    }

    /// Has the bell rung when there is something after a place.
    pub(crate) fn wait(&self, agent: u32, bell: &Arc<Bell>, after: u64, now: Time) -> Wait {
        let mut inner = self.lock();
        let slot = inner.slot(agent);
        if slot.mail.iter(now).any(|mail| mail.order > after) {
            return Wait::Ready;
        }
        if slot.bells.len() >= WAITERS_MAX {
            return Wait::Crowded;
        }
        slot.bells.push(bell.clone());
        Wait::Listed
    }

    /// Whoever had this bell waits no more.
    pub(crate) fn leave(&self, agent: u32, bell: &Arc<Bell>) {
        let mut inner = self.lock();
        if let Some(slot) = inner.slots.get_mut(&agent) {
            slot.bells.retain(|other| !Arc::ptr_eq(other, bell));
            inner.tidy(agent);
        }
    }

    /// Drops what is over everywhere; what has happened, how many messages wait, and in how many
    /// mailboxes.
    pub(crate) fn sweep(&self, now: Time) -> (Tally, u64, u64) {
        let mut inner = self.lock();
        let messages = inner.sweep(now);
        (inner.tally, messages, inner.slots.len() as u64)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inner<T> {
    fn slot(&mut self, agent: u32) -> &mut Slot<T> {
        let spare = &mut self.spare;
        self.slots.entry(agent).or_insert_with(|| {
            let fresh = || Box::new(Slot { mail: Mailbox::default(), bells: Vec::new() });
            spare.pop().unwrap_or_else(fresh)
        })
    }

    /// A mailbox that holds nothing and at which nobody waits goes.
    fn tidy(&mut self, agent: u32) {
        let slot = self.slots.get(&agent);
        let is_idle = slot.is_some_and(|slot| slot.mail.is_empty() && slot.bells.is_empty());
        if is_idle
            && let Some(slot) = self.slots.remove(&agent)
            && self.spare.len() < SPARE_MAX
            && slot.mail.capacity() <= SPARE_MESSAGES_MAX
        {
            self.spare.push(slot);
        }
    }

    /// Drops what is over everywhere; how many messages are left.
    fn sweep(&mut self, now: Time) -> u64 {
        let (mut messages, mut soonest) = (0, Time(u64::MAX));
        let (bytes, tally) = (&mut self.bytes, &mut self.tally);
        self.slots.retain(|_, slot| {
            let before = slot.mail.bytes();
            tally.expired += slot.mail.purge(now);
            *bytes = bytes.saturating_sub(before - slot.mail.bytes());
            messages += slot.mail.len() as u64;
            let ends = slot.mail.iter(now).map(|mail| mail.slip.expires);
            soonest = ends.chain([soonest]).min().unwrap_or(soonest);
            !slot.mail.is_empty() || !slot.bells.is_empty()
        });
        self.soonest = soonest;
        messages
    }

    fn put(
        &mut self,
        agent: u32,
        slip: Slip,
        item: T,
        rule: &MailboxRule,
        now: Time,
    ) -> (Put, Vec<Arc<Bell>>) {
        // What is over takes nobody's place, whosever it is.
        if self.bytes + slip.bytes > SHARD_BYTES_MAX && self.soonest <= now {
            self.sweep(now);
        }
        self.order += 1;
        let (order, room) = (self.order, SHARD_BYTES_MAX.saturating_sub(self.bytes));
        let slot = self.slot(agent);
        let before = slot.mail.bytes();
        let mut expired = 0;
        if !slot.mail.has_room(slip, rule) {
            // What is over takes nobody's place.
            expired = slot.mail.purge(now);
        }
        let put = if slip.bytes > room {
            Put::Full
        } else {
            slot.mail.put(Mail { slip, came: now, order, item }, rule)
        };
        let is_in = matches!(put, Put::In | Put::InFor(_));
        let bells = if is_in { std::mem::take(&mut slot.bells) } else { Vec::new() };
        let after = slot.mail.bytes();
        self.bytes = (self.bytes + after).saturating_sub(before);
        if is_in {
            self.soonest = self.soonest.min(slip.expires);
        }
        let tally = &mut self.tally;
        tally.expired += expired;
        match put {
            Put::In => tally.delivered += 1,
            Put::InFor(dropped) => {
                tally.delivered += 1;
                tally.dropped_oldest += u64::from(dropped);
            }
            Put::Dropped => tally.dropped_newest += 1,
            Put::Full => tally.pushed_back += 1,
        }
        if !is_in {
            self.tidy(agent);
        }
        (put, bells)
    }
}
