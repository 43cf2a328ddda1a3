//! One agent's mailbox: bounded, in the order of priorities, with a rule for what does not fit.
//!
//! Pure: it knows no threads, no clock and not what a message is.

use std::collections::VecDeque;

use ark_os_core::priority::{Priority, Turn};
use ark_os_core::time::Time;

/// One place in so many is kept for emergency and critical messages, so that a mailbox full of
/// ordinary ones does not keep them out; at least one.
const URGENT_PART: usize = 16;

/// What becomes of a message for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The sender is told to come back.
    #[default]
    PushBack,
    /// The oldest of the least urgent ones makes room, if it is not more urgent.
    DropOldest,
    /// The new one is dropped.
    DropNewest,
}

impl Overflow {
    /// All rules.
    pub const ALL: [Overflow; 3] = [Overflow::PushBack, Overflow::DropOldest, Overflow::DropNewest];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Overflow::PushBack => "push-back",
            Overflow::DropOldest => "drop-oldest",
            Overflow::DropNewest => "drop-newest",
        }
    }
}

/// How much a mailbox holds, and what becomes of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxRule {
    /// Messages that it holds.
    pub messages_max: usize,
    /// Bytes of their bodies together.
    pub bytes_max: usize,
    /// What becomes of those beyond.
    pub overflow: Overflow,
}

/// What a mailbox has to know of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slip {
    pub(crate) priority: Priority,
    pub(crate) expires: Time,
    pub(crate) bytes: usize,
}

/// A message and when it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mail<T> {
    pub(crate) slip: Slip,
    pub(crate) came: Time,
    /// Grows from message to message.
    pub(crate) order: u64,
    pub(crate) item: T,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is in.
    In,
    /// It is in, and so many older ones made room.
    InFor(u32),
    /// It was dropped by the rule.
    Dropped,
    /// There is no room: the sender is to come back.
    Full,
}

/// A mailbox.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    /// A line for each priority, first come first served.
    lines: [VecDeque<Mail<T>>; 6],
    messages: usize,
    bytes: usize,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Mailbox { lines: Default::default(), messages: 0, bytes: 0 }
    }
}

impl<T> Mailbox<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.messages
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages for which memory is held.
    pub(crate) fn capacity(&self) -> usize {
        self.lines.iter().map(VecDeque::capacity).sum()
    }

    /// Takes a message in, or does with it what the rule says.
    pub(crate) fn put(&mut self, mail: Mail<T>, rule: &MailboxRule) -> Put {
        let slip = mail.slip;
        if !self.has_ever_room(slip, rule) {
            return Put::Full;
        }
        let mut made_room = 0;
        if !self.has_room(slip, rule) {
            match rule.overflow {
                Overflow::PushBack => return Put::Full,
                Overflow::DropNewest => return Put::Dropped,
                Overflow::DropOldest if !self.could_have_room(slip, rule) => return Put::Dropped,
                Overflow::DropOldest => {}
            }
            while !self.has_room(slip, rule) && self.drop_oldest(slip.priority) {
                made_room += 1;
            }
        }
        self.messages += 1;
        self.bytes += slip.bytes;
        if let Some(line) = self.lines.get_mut(slip.priority as usize) {
            line.push_back(mail);
        }
        if made_room == 0 { Put::In } else { Put::InFor(made_room) }
    }

    /// Whether it would fit into an empty mailbox.
    fn has_ever_room(&self, slip: Slip, rule: &MailboxRule) -> bool {
        slip.bytes <= room(rule.bytes_max, slip.priority) && rule.messages_max > 0
    }

    pub(crate) fn has_room(&self, slip: Slip, rule: &MailboxRule) -> bool {
        self.messages < room(rule.messages_max, slip.priority)
            && self.bytes + slip.bytes <= room(rule.bytes_max, slip.priority)
    }

    /// Whether it would fit without those that may make room for it: if not, none of them has to.
    fn could_have_room(&self, slip: Slip, rule: &MailboxRule) -> bool {
        let urgent = self.lines.iter().take(slip.priority as usize);
        let messages: usize = urgent.clone().map(VecDeque::len).sum();
        let bytes: usize = urgent.flatten().map(|mail| mail.slip.bytes).sum();
        messages < room(rule.messages_max, slip.priority)
            && bytes + slip.bytes <= room(rule.bytes_max, slip.priority)
    }

    /// Drops the oldest of the least urgent messages, unless all are more urgent than this.
    fn drop_oldest(&mut self, than: Priority) -> bool {
        let lines = self.lines.iter_mut().skip(than as usize).rev();
        let Some(mail) = lines.filter_map(VecDeque::pop_front).next() else { return false };
        self.forget(&mail);
        true
    }

    fn forget(&mut self, mail: &Mail<T>) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(mail.slip.bytes);
    }

    /// The next message whose time is not over; those before it whose time is are counted.
    pub(crate) fn take(&mut self, now: Time, expired: &mut u64) -> Option<Mail<T>> {
        while self.messages > 0 {
            let line = self.next_line()?;
            let mail = self.lines.get_mut(line).and_then(VecDeque::pop_front)?;
            self.forget(&mail);
            if mail.slip.expires > now {
                return Some(mail);
            }
            *expired += 1;
        }
        None
    }

    /// The line whose first message has the next turn: emergencies, then what is critical, then by
    /// age and priority together, so that nothing waits for ever.
    fn next_line(&self) -> Option<usize> {
        let fronts = Priority::ALL.into_iter().zip(&self.lines);
        let turns = fronts.filter_map(|(priority, line)| {
            line.front().map(|mail| (Turn::new(priority, mail.came, mail.order), priority as usize))
        });
        turns.min().map(|(_, line)| line)
    }

    /// Drops what nobody will get any more; how many.
    pub(crate) fn purge(&mut self, now: Time) -> u64 {
        let (mut expired, mut bytes) = (0, 0);
        for line in &mut self.lines {
            line.retain(|mail| {
                let is_over = mail.slip.expires <= now;
                expired += usize::from(is_over);
                bytes += if is_over { mail.slip.bytes } else { 0 };
                !is_over
            });
        }
        self.messages = self.messages.saturating_sub(expired);
        self.bytes = self.bytes.saturating_sub(bytes);
        expired as u64
    }

    /// What is in it and not over, in no particular order.
    pub(crate) fn iter(&self, now: Time) -> impl Iterator<Item = &Mail<T>> {
        self.lines.iter().flatten().filter(move |mail| mail.slip.expires > now)
    }
}

/// What of a limit a message may use.
fn room(limit: usize, priority: Priority) -> usize {
    match priority {
        Priority::Emergency | Priority::Critical => limit,
        _ => limit - (limit / URGENT_PART).max(1).min(limit),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(messages_max: usize, overflow: Overflow) -> MailboxRule {
        MailboxRule { messages_max, bytes_max: 1_000, overflow }
    }

    fn mail(priority: Priority, came: u64, order: u64) -> Mail<u64> {
        let slip = Slip { priority, expires: Time(came + 1_000_000), bytes: 1 };
        Mail { slip, came: Time(came), order, item: order }
    }

    fn taken(mailbox: &mut Mailbox<u64>, now: u64) -> Vec<u64> {
        let mut expired = 0;
        std::iter::from_fn(|| mailbox.take(Time(now), &mut expired)).map(|it| it.item).collect()
    }

    #[test]
    fn emergencies_come_first_and_old_low_messages_before_new_high_ones() {
        let mut mailbox = Mailbox::default();
        let rule = rule(100, Overflow::PushBack);
        for (priority, came, order) in [
            (Priority::Low, 0, 0),
            (Priority::High, 60_000, 1),
            (Priority::High, 200_000, 2),
            (Priority::Critical, 200_000, 3),
            (Priority::Emergency, 200_000, 4),
        ] {
            assert_eq!(mailbox.put(mail(priority, came, order), &rule), Put::In);
        }
        assert_eq!(taken(&mut mailbox, 200_000), [4, 3, 1, 0, 2]);
        assert!(mailbox.is_empty() && mailbox.bytes() == 0);
    }

    #[test]
    fn a_full_mailbox_does_what_its_rule_says_and_keeps_a_place_for_emergencies() {
        for (overflow, put, left) in [
            (Overflow::PushBack, Put::Full, vec![0, 1]),
            (Overflow::DropNewest, Put::Dropped, vec![0, 1]),
            (Overflow::DropOldest, Put::InFor(1), vec![1, 2]),
        ] {
            let rule = rule(3, overflow);
            let mut mailbox = Mailbox::default();
            for order in 0..2 {
                assert_eq!(mailbox.put(mail(Priority::Normal, 0, order), &rule), Put::In);
            }
            assert_eq!(mailbox.put(mail(Priority::Normal, 0, 2), &rule), put, "{overflow:?}");
            assert_eq!(mailbox.put(mail(Priority::Emergency, 0, 9), &rule), Put::In);
            let all = taken(&mut mailbox, 0);
            assert_eq!((all[0], &all[1..]), (9, &left[..]), "{overflow:?}");
        }
    }

    #[test]
    fn the_oldest_makes_no_room_for_what_is_less_urgent() {
        let rule = rule(2, Overflow::DropOldest);
        let mut mailbox = Mailbox::default();
        assert_eq!(mailbox.put(mail(Priority::High, 0, 0), &rule), Put::In);
        assert_eq!(mailbox.put(mail(Priority::Low, 0, 1), &rule), Put::Dropped);
        assert_eq!(mailbox.put(mail(Priority::High, 0, 2), &rule), Put::InFor(1));
        assert_eq!(taken(&mut mailbox, 0), [2]);
    }

    #[test]
    fn what_is_too_large_for_an_empty_mailbox_drops_nothing() {
        let rule = rule(3, Overflow::DropOldest);
        let mut mailbox = Mailbox::default();
        mailbox.put(mail(Priority::Normal, 0, 0), &rule);
        let mut large = mail(Priority::Normal, 0, 1);
        large.slip.bytes = 1_000;
        assert_eq!(mailbox.put(large, &rule), Put::Full);
        assert_eq!(taken(&mut mailbox, 0), [0]);
    }

    #[test]
    fn a_message_whose_time_is_over_is_counted_and_never_taken() {
        let rule = rule(10, Overflow::PushBack);
        let mut mailbox = Mailbox::default();
        for order in 0..3 {
            let mut mail = mail(Priority::Normal, 0, order);
            mail.slip.expires = Time(10 * (order + 1));
            mailbox.put(mail, &rule);
        }
        let mut expired = 0;
        assert_eq!(mailbox.take(Time(10), &mut expired).map(|it| it.item), Some(1));
        assert_eq!((expired, mailbox.len()), (1, 1));
        assert_eq!(mailbox.purge(Time(30)), 1);
        assert!(mailbox.is_empty());
    }

    fn any_priority() -> impl Strategy<Value = Priority> {
        (0..6usize).prop_map(|at| Priority::ALL[at])
    }

    fn any_overflow() -> impl Strategy<Value = Overflow> {
        (0..3usize).prop_map(|at| Overflow::ALL[at])
    }

    proptest! {
        #[test]
        fn nothing_grows_and_everything_is_accounted_for(
            overflow in any_overflow(),
            steps in prop::collection::vec((any_priority(), 0u64..50, 0usize..40, any::<bool>()), 1..200),
        ) {
            let rule = MailboxRule { messages_max: 8, bytes_max: 100, overflow };
            let mut mailbox = Mailbox::default();
            let (mut now, mut came, mut out, mut expired) = (0, 0u64, 0u64, 0u64);
            for (order, (priority, wait, bytes, takes)) in (0u64..).zip(steps) {
                now += wait;
                let slip = Slip { priority, expires: Time(now + 100), bytes };
                match mailbox.put(Mail { slip, came: Time(now), order, item: order }, &rule) {
                    Put::In => came += 1,
                    Put::InFor(dropped) => {
                        came += 1;
                        out += u64::from(dropped);
                    }
                    Put::Dropped | Put::Full => {}
                }
                if takes {
                    out += u64::from(mailbox.take(Time(now), &mut expired).is_some());
                }
                prop_assert!(mailbox.len() <= rule.messages_max);
                prop_assert!(mailbox.bytes() <= rule.bytes_max);
                let bytes: usize = mailbox.lines.iter().flatten().map(|it| it.slip.bytes).sum();
                prop_assert_eq!(bytes, mailbox.bytes());
                prop_assert_eq!(came, out + expired + mailbox.len() as u64);
            }
        }
    }
}
