//! Durable messages on their way: who sent one learns when its addressee has it for good, and who
//! has it learns when its sender will not send it again.
//!
//! A durable message is two steps: one of its sender's attempt, which is settled when the message is
//! taken, and one of its addressee's, whose recorded result is the message. Whoever of the two is
//! interrupted finds here, or in what is recorded, how far the other has come.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

use super::bell::Bell;
use super::envelope::MessageId;

/// Messages of which it is remembered that they were taken: a sender that was interrupted is back
/// within that many others. About 100 bytes each.
const TAKEN_KEPT_MAX: usize = 65_536;
/// Messages under way: each is a step of an attempt that waits. About 200 bytes each.
const OPEN_MAX: usize = 65_536;

/// All durable messages under way.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Sent, and not settled by their senders.
    open: FxHashMap<MessageId, Open>,
    taken: FxHashSet<MessageId>,
    order: VecDeque<MessageId>,
}

#[derive(Debug)]
struct Open {
    sender: Arc<Bell>,
    taker: Option<Arc<Bell>>,
}

/// What is known of a message that is about to be sent.
#[derive(Debug)]
pub(crate) enum Known {
    /// Its addressee has it.
    Taken,
    /// It was sent before, and may be in the mailbox still; the bell is rung when it is taken.
    Sent(Arc<Bell>),
    /// It is new.
    New(Arc<Bell>),
    /// Too many are under way.
    Full,
}

impl Receipts {
    /// A sender is about to send, perhaps not for the first time.
    pub(crate) fn open(&self, id: &MessageId) -> Known {
        let mut inner = self.lock();
        if inner.taken.contains(id) {
            return Known::Taken;
        }
        let bell = Arc::new(Bell::default());
        if let Some(open) = inner.open.get_mut(id) {
            // Who sent it before waits no more.
            open.sender = bell.clone();
            return Known::Sent(bell);
        }
        if inner.open.len() >= OPEN_MAX {
            return Known::Full;
        }
        inner.open.insert(id.clone(), Open { sender: bell.clone(), taker: None });
        Known::New(bell)
    }

    pub(crate) fn is_taken(&self, id: &MessageId) -> bool {
        self.lock().taken.contains(id)
    }

    /// Its addressee has it for good. A bell that is rung when the sender has recorded that; none:
    /// nobody is about to.
    pub(crate) fn take(&self, id: &MessageId) -> Option<Arc<Bell>> {
        let mut inner = self.lock();
        if inner.taken.insert(id.clone()) {
            inner.order.push_back(id.clone());
            if inner.order.len() > TAKEN_KEPT_MAX
                && let Some(oldest) = inner.order.pop_front()
            {
                inner.taken.remove(&oldest);
            }
        }
        let open = inner.open.get_mut(id)?;
        let bell = Arc::new(Bell::default());
        open.taker = Some(bell.clone());
        open.sender.ring();
        Some(bell)
    }

    /// Who waited at this bell gives it up, unless somebody else waits in its place: whoever takes the
    /// message later waits for nobody.
    pub(crate) fn withdraw(&self, id: &MessageId, sender: &Arc<Bell>) {
        let mut inner = self.lock();
        let is_its = inner.open.get(id).is_some_and(|open| Arc::ptr_eq(&open.sender, sender));
        if is_its
            && let Some(open) = inner.open.remove(id)
            && let Some(taker) = open.taker
        {
            taker.ring();
        }
    }

    /// Its sender has recorded that it is taken, or never will.
    pub(crate) fn close(&self, id: &MessageId) {
        if let Some(open) = self.lock().open.remove(id)
            && let Some(taker) = open.taker
        {
            taker.ring();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ark_os_core::text::Text;

    use super::*;

    fn id(name: &str) -> MessageId {
        MessageId::Theirs(Text::from(name))
    }

    #[test]
    fn each_side_hears_how_far_the_other_is() {
        let receipts = Receipts::default();
        let Known::New(sender) = receipts.open(&id("a")) else { panic!("it is new") };
        assert!(matches!(receipts.open(&id("a")), Known::Sent(_)));
        let Known::Sent(again) = receipts.open(&id("a")) else { panic!("it was sent") };
        let taker = receipts.take(&id("a")).unwrap();
        assert!(again.hear(Duration::ZERO) && !sender.hear(Duration::ZERO));
        assert!(matches!(receipts.open(&id("a")), Known::Taken));
        assert!(!taker.hear(Duration::ZERO));
        receipts.close(&id("a"));
        assert!(taker.hear(Duration::ZERO));
        assert!(receipts.take(&id("a")).is_none() && receipts.is_taken(&id("a")));
    }

    #[test]
    fn whoever_gives_up_lets_the_other_side_go_on_but_not_in_the_place_of_who_waits_now() {
        let receipts = Receipts::default();
        let Known::New(first) = receipts.open(&id("a")) else { panic!("it is new") };
        let Known::Sent(second) = receipts.open(&id("a")) else { panic!("it was sent") };
        receipts.withdraw(&id("a"), &first);
        let taker = receipts.take(&id("a")).unwrap();
        receipts.withdraw(&id("a"), &second);
        assert!(taker.hear(Duration::ZERO));
        assert!(receipts.lock().open.is_empty());
    }

    #[test]
    fn only_so_many_are_under_way() {
        let receipts = Receipts::default();
        for number in 0..OPEN_MAX {
            assert!(matches!(receipts.open(&id(&number.to_string())), Known::New(_)));
        }
        assert!(matches!(receipts.open(&id("more")), Known::Full));
        assert!(matches!(receipts.open(&id("0")), Known::Sent(_)));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let receipts = Receipts::default();
        for number in 0..=TAKEN_KEPT_MAX {
            receipts.take(&id(&number.to_string()));
        }
        assert!(!receipts.is_taken(&id("0")) && receipts.is_taken(&id("1")));
        assert_eq!(receipts.lock().taken.len(), TAKEN_KEPT_MAX);
    }
}
