//! Answers between the batch that makes them and the connection that sends them.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use tokio::sync::Notify;

/// Bytes of answers that wait for the caller; beyond it nothing more is read from it. So much, that
/// a caller who sends 100 000 lines before it reads an answer is served.
const WAITING_BYTES_MAX: usize = 16 << 20;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    text: Mutex<Vec<u8>>,
    waiting: AtomicUsize,
    /// Nothing more is put in.
    finished: AtomicBool,
    /// Nobody fetches any more.
    abandoned: AtomicBool,
    /// Something was put in, or it is finished.
    filled: Notify,
    /// Something was fetched, or it is abandoned.
    emptied: Notify,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        // A list of bytes is whole whatever panicked.
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves answers in; `more` is empty afterwards and keeps its memory.
    pub(super) fn put(&self, more: &mut Vec<u8>) {
        if more.is_empty() {
            return;
        }
        let mut text = self.lock();
        if text.is_empty() {
            std::mem::swap(&mut *text, more);
        } else {
            text.append(more);
        }
        self.waiting.store(text.len(), Ordering::Release);
        drop(text);
        self.filled.notify_one();
    }

    /// The last answers.
    pub(super) fn finish(&self, more: &mut Vec<u8>) {
        self.put(more);
        self.finished.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    pub(super) fn has_space(&self) -> bool {
        self.waiting.load(Ordering::Acquire) < WAITING_BYTES_MAX
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Something was fetched, or nobody fetches any more.
    pub(super) async fn changed(&self) {
        self.emptied.notified().await;
    }

    fn take(&self) -> Vec<u8> {
        let mut text = self.lock();
        self.waiting.store(0, Ordering::Release);
        std::mem::take(&mut *text)
    }

    async fn fetch(&self) -> Option<Bytes> {
        loop {
            // Read before the text: what was put in before the end is still found.
            let finished = self.finished.load(Ordering::Acquire);
            let text = self.take();
            if !text.is_empty() {
                self.emptied.notify_one();
                return Some(Bytes::from(text));
            }
            if finished {
                return None;
            }
            self.filled.notified().await;
        }
    }
}

struct Fetching(Arc<Outbox>);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.abandoned.store(true, Ordering::Release);
        self.0.emptied.notify_one();
    }
}

/// The outbox as the body of an answer.
pub(super) fn stream(
    outbox: Arc<Outbox>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    unfold(Fetching(outbox), |fetching| async move {
        fetching.0.fetch().await.map(|text| (Ok(text), fetching))
    })
}
