//! Things that some threads put down and one task fetches, several at a time, with one waker.

use crate::sync::{Mutex, Notify, PoisonError};

/// What has come and was not fetched yet.
#[derive(Debug)]
pub(crate) struct Gathering<T> {
    items: Mutex<Vec<T>>,
    arrived: Notify,
}

impl<T> Default for Gathering<T> {
    fn default() -> Self {
        Gathering { items: Mutex::new(Vec::new()), arrived: Notify::new() }
    }
}

impl<T> Gathering<T> {
    /// Puts something down; nobody is woken for it before the next `wake`.
    pub(crate) fn put(&self, item: T) {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).push(item);
    }

    /// Wakes who fetches. A wake while nobody waits is kept for the next fetch.
    pub(crate) fn wake(&self) {
        self.arrived.notify_one();
    }

    /// What has come since the last call, in order; waits for the first. One task fetches.
    pub(crate) async fn fetch(&self) -> Vec<T> {
        loop {
            {
                let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
                if !items.is_empty() {
                    // About as many come next time: they are not moved while they gather.
                    let room = Vec::with_capacity(items.len());
                    return std::mem::replace(&mut *items, room);
                }
            }
            self.arrived.notified().await;
        }
    }
}
