//! Whom the loop answers: one caller, or a line of a batch.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::RuntimeError;
use crate::kernel::{Answer, Recipient};
use crate::remote::RemoteReply;

mod gathering;

use gathering::Gathering;

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
    /// What was done for a remote worker; boxed, so that the others stay small.
    Remote(Box<RemoteReply>),
}

impl Recipient for Reply {
    /// A line of a batch counts as there: its batch holds what it waits for within a window.
    fn is_gone(&self) -> bool {
        match self {
            Reply::One(tx) => tx.is_closed(),
            Reply::Line { .. } | Reply::Step(_) | Reply::Remote(_) => false,
        }
    }
}

/// Answers to the lines of a batch, gathered until somebody fetches them.
#[derive(Debug, Default)]
pub struct Lines {
    answers: Gathering<(u32, Result<Answer, RuntimeError>)>,
}

impl Lines {
    pub(crate) fn put(&self, line: u32, answer: Answer) {
        self.answers.put((line, Ok(answer)));
    }

    /// Answers a line that was not even submitted.
    pub(crate) fn refuse(&self, line: u32, error: RuntimeError) {
        self.answers.put((line, Err(error)));
        self.wake();
    }

    pub(crate) fn wake(&self) {
        self.answers.wake();
    }

    /// Answers that have come since the last call, in the order they came; waits for the first.
    pub async fn fetch(&self) -> Vec<(u32, Result<Answer, RuntimeError>)> {
        self.answers.fetch().await
    }
}
