//! The one place that starts threads: each has a name, and a panic in it is told. Also work that
//! would hold up the tasks of an async runtime.

use std::thread::{Builder, JoinHandle};

use ark_os_core::Kind;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::RuntimeError;

/// What a thread in the background gives up: it still has about a tenth of a busy processor.
const BACKGROUND_NICE: i32 = 10;
/// Enough for a TLS handshake and for reading JSON as deep as any is read.
const SMALL_STACK_BYTES: usize = 512 * 1024;

/// Starts a named thread.
///
/// # Errors
/// The system gives no more threads.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, RuntimeError> {
    start(Builder::new(), name, work)
}

/// Starts a named thread that mostly waits, of which there are many.
///
/// # Errors
/// The system gives no more threads.
pub(crate) fn spawn_small<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, RuntimeError> {
    start(Builder::new().stack_size(SMALL_STACK_BYTES), name, work)
}

#[expect(clippy::disallowed_methods, reason = "the sanctioned place")]
fn start<T: Send + 'static>(
    builder: Builder,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, RuntimeError> {
    builder.name(name.to_owned()).spawn(work).map_err(|error| {
        RuntimeError::new(Kind::Unavailable, "no_thread", format!("start the thread `{name}`"))
            .with_source(error)
    })
}

/// Lets other threads of the machine go before this one, for work that nobody waits for.
pub(crate) fn stand_back() {
    // One that may not be slowed down works as fast as the others.
    let _ = rustix::process::nice(BACKGROUND_NICE);
}

/// Does work that takes long on a thread where no task waits for it. Its caller bounds how much.
///
/// # Errors
/// It panicked, or the runtime is shutting down.
#[expect(clippy::disallowed_methods, reason = "the sanctioned place")]
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RuntimeError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        RuntimeError::new(Kind::Internal, "internal", "do a task's long work").with_source(error)
    })
}

/// Does work that takes long on this thread; others take over its tasks where there are any.
pub(crate) fn in_place<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
