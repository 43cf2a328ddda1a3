//! The primitives of everything that threads share, named in one place: `tests/models.rs` compiles
//! the files that use them a second time, over loom's, and tries every order of their steps.

pub(crate) use std::sync::atomic::{AtomicU8, Ordering};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(crate) use tokio::sync::Notify;
