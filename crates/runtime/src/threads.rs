//! The one place that starts threads: each has a name, and a panic in it is told.

use std::thread::{Builder, JoinHandle};

use ark_os_core::Kind;

use crate::RuntimeError;

/// Starts a named thread.
///
/// # Errors
/// The system gives no more threads.
#[expect(clippy::disallowed_methods, reason = "the sanctioned place")]
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, RuntimeError> {
    Builder::new().name(name.to_owned()).spawn(work).map_err(|error| {
        RuntimeError::new(Kind::Unavailable, "no_thread", format!("start the thread `{name}`"))
            .with_source(error)
    })
}
