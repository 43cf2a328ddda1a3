//! The lane of work that waits for somebody else: a thread for each such wait, hired when one is
//! wanted and let go when there is nothing to do, so that many waits hold up no processor's work.
//! Its length is bounded by the attempts that the core lets run at one time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, PoisonError};

/// How long a thread without work stays: bursts find it there, and quiet hours cost nothing.
const IDLE: Duration = Duration::from_secs(10);

/// Work that waits for a thread, first come first served, and who is there.
pub(super) struct Lane<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    threads_max: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl<T> Lane<T> {
    pub(super) fn new(threads_max: usize) -> Self {
        let state = State { waiting: VecDeque::new(), threads: 0, idle: 0, closed: false };
        Lane { state: Mutex::new(state), arrived: Condvar::new(), threads_max: threads_max.max(1) }
    }

    fn with<R>(&self, change: impl FnOnce(&mut State<T>) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts work at the end of the line.
    pub(super) fn push(&self, work: T) {
        self.with(|state| state.waiting.push_back(work));
        self.arrived.notify_one();
    }

    /// Whether another thread is to be hired; it counts from now on.
    pub(super) fn wants_thread(&self) -> bool {
        self.with(|state| {
            let wants = state.idle < state.waiting.len() && state.threads < self.threads_max;
            state.threads += usize::from(wants);
            wants
        })
    }

    /// The system has no thread to give; if others are there, they do the work.
    pub(super) fn give_back_thread(&self) -> Option<()> {
        self.with(|state| {
            state.threads -= 1;
            if state.threads == 0 {
                state.waiting.pop_back();
                return None;
            }
            Some(())
        })
    }

    /// A thread hangs and is not counted on any more.
    pub(super) fn lose_thread(&self) {
        self.with(|state| state.threads = state.threads.saturating_sub(1));
    }

    /// The next work, waited for a while; none: there is none, and the thread is let go.
    pub(super) fn next(&self) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_over = false;
        loop {
            let work = state.waiting.pop_front().filter(|_| !state.closed);
            if work.is_some() {
                return work;
            }
            if is_over || state.closed {
                state.threads = state.threads.saturating_sub(1);
                return None;
            }
            state.idle += 1;
            let waited = self.arrived.wait_timeout(state, IDLE);
            let (again, result) = waited.unwrap_or_else(PoisonError::into_inner);
            state = again;
            state.idle -= 1;
            is_over = result.timed_out();
        }
    }

    /// Lets every thread go that waits or comes.
    pub(super) fn close(&self) {
        self.with(|state| state.closed = true);
        self.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_threads_are_wanted_as_there_is_work_and_no_more_than_allowed() {
        let lane = Lane::new(2);
        assert!(!lane.wants_thread(), "there is no work");
        for work in 0..3 {
            lane.push(work);
        }
        assert!(lane.wants_thread() && lane.wants_thread());
        assert!(!lane.wants_thread(), "two are allowed");
        assert_eq!((lane.next(), lane.next()), (Some(0), Some(1)));
        lane.lose_thread();
        assert!(lane.wants_thread(), "one hangs, and there is work");
    }

    #[test]
    fn work_for_which_there_is_no_thread_is_given_back() {
        let lane = Lane::new(2);
        lane.push(1);
        assert!(lane.wants_thread());
        assert_eq!(lane.give_back_thread(), None, "nobody is there");
        lane.close();
        assert_eq!(lane.next(), None);
    }
}
