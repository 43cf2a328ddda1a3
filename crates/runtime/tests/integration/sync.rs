//! The primitives of the runtime's `sync`, as loom has them: the models compile the runtime's own
//! files over these.

pub(crate) use loom::sync::atomic::{AtomicU8, Ordering};
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
pub(crate) use std::sync::PoisonError;

use loom::future::AtomicWaker;
use loom::sync::atomic::AtomicBool;

/// Tokio's `Notify` for one waiter: a wake-up while nobody waits is kept.
#[derive(Debug)]
pub(crate) struct Notify {
    permit: AtomicBool,
    waker: AtomicWaker,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Notify { permit: AtomicBool::new(false), waker: AtomicWaker::new() }
    }

    pub(crate) fn notify_one(&self) {
        // A read and a write in one, as Tokio's: a plain store could fall behind a waiter's swap.
        self.permit.swap(true, Ordering::AcqRel);
        self.waker.wake();
    }

    pub(crate) fn notified(&self) -> impl Future<Output = ()> + '_ {
        std::future::poll_fn(|context| {
            self.waker.register_by_ref(context.waker());
            if self.permit.swap(false, Ordering::AcqRel) {
                std::task::Poll::Ready(())
            } else {
                std::task::Poll::Pending
            }
        })
    }
}
