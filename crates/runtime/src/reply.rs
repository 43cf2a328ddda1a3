//! Whom the loop answers: one caller, or a line of a batch.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::RuntimeError;
use crate::kernel::Answer;

/// Whom to answer.
pub(crate) enum Reply {
    /// A caller that waits for just this.
    One(oneshot::Sender<Answer>),
    /// A line of a batch: many answers, one waker.
    Line {
        /// The line's number.
        line: u32,
        /// Where answers are gathered.
        lines: Arc<Lines>,
    },
    /// An attempt's thread that waits for its step.
    Step(std::sync::mpsc::SyncSender<Answer>),
}

/// Answers to the lines of a batch, gathered until somebody fetches them.
#[derive(Debug, Default)]
pub struct Lines {
    answers: Mutex<Vec<(u32, Answer)>>,
    wrong: Mutex<Vec<(u32, RuntimeError)>>,
    arrived: Notify,
}

impl Lines {
    pub(crate) fn put(&self, line: u32, answer: Answer) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push((line, answer));
    }

    /// Answers a line that was not even submitted.
    pub(crate) fn refuse(&self, line: u32, error: RuntimeError) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push((line, error));
        self.wake();
    }

    pub(crate) fn wake(&self) {
        self.arrived.notify_one();
    }

    /// Answers that have come since the last call, in the order they came; waits for the first.
    pub async fn fetch(&self) -> Vec<(u32, Result<Answer, RuntimeError>)> {
        loop {
            let answers =
                std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner));
            let wrong =
                std::mem::take(&mut *self.wrong.lock().unwrap_or_else(PoisonError::into_inner));
            if !answers.is_empty() || !wrong.is_empty() {
                let answered = answers.into_iter().map(|(line, answer)| (line, Ok(answer)));
                let wrong = wrong.into_iter().map(|(line, error)| (line, Err(error)));
                return answered.chain(wrong).collect();
            }
            self.arrived.notified().await;
        }
    }
}
