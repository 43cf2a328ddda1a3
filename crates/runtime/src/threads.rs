//! The one place that starts threads: each has a name, and a panic in it is told. Also work that
//! would hold up the tasks of an async runtime.

use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

use ark_os_core::Kind;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::RuntimeError;

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

/// Starts a named thread that ends within the scope.
///
/// # Errors
/// The system gives no more threads.
pub(crate) fn spawn_within<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, RuntimeError> {
    let started = Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
    started.map_err(|error| not_started(name, error))
}

#[expect(clippy::disallowed_methods, reason = "the sanctioned place")]
fn start<T: Send + 'static>(
    builder: Builder,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, RuntimeError> {
    builder.name(name.to_owned()).spawn(work).map_err(|error| not_started(name, error))
}

fn not_started(name: &str, error: std::io::Error) -> RuntimeError {
    RuntimeError::new(Kind::Unavailable, "no_thread", format!("start the thread `{name}`"))
        .with_source(error)
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
