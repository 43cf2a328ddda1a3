//! A bell: whoever waits for something hears it, be it a thread or a task.

use std::time::Duration;

use crate::sync::{Condvar, Mutex, Notify, PoisonError};

/// Rung once is enough: what is rung while nobody listens is heard by who comes. One waits.
#[derive(Debug)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    thread: Condvar,
    task: Notify,
}

impl Default for Bell {
    fn default() -> Self {
        Bell { rung: Mutex::new(false), thread: Condvar::new(), task: Notify::new() }
    }
}

impl Bell {
    pub(crate) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.thread.notify_all();
        self.task.notify_one();
    }

    /// A task waits.
    pub(crate) async fn heard(&self) {
        self.task.notified().await;
    }

    /// A thread waits, at most so long; whether it was rung since the last time.
    pub(crate) fn hear(&self, patience: Duration) -> bool {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rung = match *rung {
            true => rung,
            false => {
                let waited = self.thread.wait_timeout(rung, patience);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        std::mem::take(&mut *rung)
    }
}
