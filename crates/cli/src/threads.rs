//! The one place of this crate that starts threads and waits without an event.

use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::failure::Failure;

/// Starts a named thread.
#[expect(clippy::disallowed_methods, reason = "the sanctioned place")]
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| Failure::new("no_thread", format!("cannot start a thread: {error}")))
}

/// Waits for another process, which has no way to tell us.
pub(crate) fn pause(time: Duration) {
    std::thread::park_timeout(time);
}
