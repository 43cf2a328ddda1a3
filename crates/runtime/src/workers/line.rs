//! The line in which work waits for a thread. Its length is bounded by the attempts that the core
//! lets run at one time.

use std::collections::VecDeque;

use crate::sync::{Condvar, Mutex, PoisonError};

/// Work that waits for a thread, first come first served.
pub(crate) struct Line<T> {
    queue: Mutex<Queue<T>>,
    arrived: Condvar,
}

struct Queue<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> Line<T> {
    pub(crate) fn new() -> Self {
        let queue = Queue { waiting: VecDeque::new(), closed: false };
        Line { queue: Mutex::new(queue), arrived: Condvar::new() }
    }

    /// Puts work at the end of the line.
    pub(crate) fn push(&self, work: T) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).waiting.push_back(work);
        self.arrived.notify_one();
    }

    /// The next work, waited for; none: the line is closed, whatever still waits in it.
    pub(crate) fn next(&self) -> Option<T> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if queue.closed {
                return None;
            }
            if let Some(work) = queue.waiting.pop_front() {
                return Some(work);
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets every thread go that waits or comes.
    pub(crate) fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.arrived.notify_all();
    }
}
