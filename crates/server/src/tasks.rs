//! The one place that starts tasks, and threads for what blocks.

use std::future::Future;

use ark_os_core::Kind;
use ark_os_runtime::RuntimeError;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

/// Starts a task. It ends by itself or with the runtime; who needs its result awaits it.
#[expect(clippy::disallowed_methods, reason = "the one place that starts tasks")]
pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(task)
}

/// Waits for a turn at work of which only so much is done at one time.
///
/// # Errors
/// None: a semaphore that is never closed gives every turn.
pub(crate) async fn turn(
    turns: &'static Semaphore,
) -> Result<SemaphorePermit<'static>, RuntimeError> {
    turns.acquire().await.map_err(|_| RuntimeError::closed())
}

/// Does what blocks (views, journal, blobs) on a thread for it.
///
/// # Errors
/// The work's own error; `internal` if it panicked.
#[expect(clippy::disallowed_methods, reason = "the one place that lends threads to what blocks")]
pub(crate) async fn blocking<T: Send + 'static, E: Into<RuntimeError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, RuntimeError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(lost) => {
            tracing::error!(error = %lost, "a reading thread is lost");
            Err(RuntimeError::new(Kind::Internal, "internal", "read what was asked for"))
        }
    }
}
