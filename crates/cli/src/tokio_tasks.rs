//! The one place of this crate that starts the asynchronous runtime, and lends its threads to what blocks.

use std::future::Future;

use crate::failure::Failure;

/// Threads of the asynchronous runtime: it only moves bytes; agents and the loop have their own.
const THREADS: usize = 2;

/// Runs a future to its end. Threads that still block then are left behind.
pub(crate) fn run<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("ark-io")
        .enable_all()
        .build()
        .map_err(|error| Failure::new("no_thread", format!("cannot start threads: {error}")))?;
    let done = runtime.block_on(future);
    runtime.shutdown_background();
    done
}

/// Does what blocks on a thread for it; it ends there even if nobody waits any more.
///
/// # Errors
/// The work's own error; `internal` if it panicked.
#[expect(clippy::disallowed_methods, reason = "the one place that lends threads to what blocks")]
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let lost = |_| Err(Failure::new("internal", "a reading thread is lost"));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(lost)
}
