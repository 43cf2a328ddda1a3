//! Lines that are not answered to the caller yet, in order.

use std::collections::VecDeque;
use std::time::Instant;

use ark_os_api::Problem;
use ark_os_core::ids::RunId;
use ark_os_runtime::Outcome;

/// A line on its way.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its number, from 1.
    pub(super) line: u32,
    pub(super) key: Option<Box<str>>,
    /// When it was handed over.
    pub(super) since: Instant,
    pub(super) answered: Option<Answered>,
}

/// What came of a line.
#[derive(Debug)]
pub(super) enum Answered {
    Accepted { run: RunId, existing: bool },
    Over(Box<Outcome>),
    Refused(Box<Problem>),
}

/// Slots by consecutive numbers; answers come in any order and leave in that of the lines.
#[derive(Debug, Default)]
pub(super) struct Window {
    slots: VecDeque<Slot>,
    /// Number of the first slot.
    first: u32,
    unanswered: usize,
}

impl Window {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// The number that the next slot will have.
    pub(super) fn next(&self) -> u32 {
        self.first + self.slots.len() as u32
    }

    /// When the first line was handed over.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.slots.front().map(|slot| slot.since)
    }

    pub(super) fn extend(&mut self, slots: Vec<Slot>) {
        self.unanswered += slots.iter().filter(|slot| slot.answered.is_none()).count();
        self.slots.extend(slots);
    }

    /// A line's answer has come. One that was given up on before stays so.
    pub(super) fn answer(&mut self, number: u32, answered: Answered) {
        let Some(ix) = number.checked_sub(self.first) else { return };
        let Some(slot) = self.slots.get_mut(ix as usize) else { return };
        if slot.answered.is_none() {
            slot.answered = Some(answered);
            self.unanswered = self.unanswered.saturating_sub(1);
        }
    }

    pub(super) fn answer_all(&mut self, problem: impl Fn() -> Problem) {
        self.expire(|_| true, problem);
    }

    /// Gives up on the lines of which `is_late` holds; they stand in the order of their time.
    pub(super) fn expire(
        &mut self,
        is_late: impl Fn(Instant) -> bool,
        problem: impl Fn() -> Problem,
    ) {
        for slot in self.slots.iter_mut().take_while(|slot| is_late(slot.since)) {
            if slot.answered.is_none() {
                slot.answered = Some(Answered::Refused(Box::new(problem())));
                self.unanswered = self.unanswered.saturating_sub(1);
            }
        }
    }

    /// The first line, if it is answered.
    pub(super) fn pop(&mut self) -> Option<Slot> {
        self.slots.front()?.answered.as_ref()?;
        self.first += 1;
        self.slots.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_os_runtime::clock::instant;

    fn slot(line: u32) -> Slot {
        Slot { line, key: None, since: instant(), answered: None }
    }

    #[test]
    fn answers_leave_in_the_order_of_the_lines() {
        let mut window = Window::default();
        window.extend(vec![slot(1), slot(3), slot(4)]);
        let accepted = || Answered::Accepted { run: RunId(1), existing: false };
        window.answer(1, accepted());
        assert!(window.pop().is_none());
        window.answer(0, accepted());
        assert_eq!(window.pop().map(|slot| slot.line), Some(1));
        assert_eq!(window.pop().map(|slot| slot.line), Some(3));
        assert_eq!((window.unanswered(), window.next()), (1, 3));
        window.answer_all(|| Problem::new("instance_stopped", ""));
        window.answer(2, accepted());
        let last = window.pop().unwrap();
        assert!(matches!(last.answered, Some(Answered::Refused(_))));
        assert_eq!((window.unanswered(), window.len()), (0, 0));
    }
}
