//! Answers of the loop to what was done for a worker: they change its desk on the loop's thread, so
//! nothing is lost when the request that asked is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ark_os_core::command::AttemptOutcome;
use ark_os_core::error::Failure;
use ark_os_core::ids::PtId;
use ark_os_core::step::StepOutcome;
use ark_os_core::time::Time;

use super::Worker;
use super::desk::Fate;
use super::finish::finish_of;
use crate::handle::Message;
use crate::kernel::Answer;

/// Commands sent together: whoever waits for the last of their answers is woken once.
#[derive(Debug)]
pub(super) struct Batch {
    left: AtomicUsize,
}

impl Batch {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Batch { left: AtomicUsize::new(count) })
    }

    pub(super) fn is_answered(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }
}

/// What was asked.
#[derive(Debug)]
pub(super) enum Asked {
    /// Whether the effect may begin.
    Intent,
    /// To record an end, which then is the attempt's fate, and whether it is a result.
    Finish { fate: Fate, has_worked: bool },
    /// To renew the lease, until then.
    Renew(Time),
    /// Something whose answer changes nothing.
    Other,
}

/// Whom to answer.
#[derive(Debug)]
pub(crate) struct RemoteReply {
    worker: Arc<Worker>,
    pt: PtId,
    /// None: answered.
    asked: Option<Asked>,
    batch: Arc<Batch>,
}

impl RemoteReply {
    pub(super) fn new(worker: &Arc<Worker>, pt: PtId, asked: Asked, batch: &Arc<Batch>) -> Self {
        RemoteReply { worker: worker.clone(), pt, asked: Some(asked), batch: batch.clone() }
    }

    /// The loop's answer.
    pub(crate) fn answer(mut self, answer: Answer) {
        if let Some(asked) = self.asked.take() {
            self.note(asked, Some(answer));
        }
    }

    fn note(&self, asked: Asked, answer: Option<Answer>) {
        let is_done = matches!(answer, Some(Answer::Done));
        match (asked, answer) {
            (Asked::Intent, Some(answer)) => self.intended(answer),
            (Asked::Finish { fate, has_worked }, _) => {
                let fate = if is_done { fate } else { Fate::Stale };
                self.worker.desk().count(&fate, has_worked);
                self.worker.close(self.pt, fate);
            }
            (Asked::Renew(until), _) if is_done => self.worker.desk().renew(&self.pt, until),
            (Asked::Intent, None) => self.worker.close(self.pt, Fate::Stale),
            (Asked::Renew(_) | Asked::Other, _) => {}
        }
    }

    fn intended(&self, answer: Answer) {
        let now = self.worker.shop.clock.instant();
        let failed = |failure| self.finish(AttemptOutcome::Failed(failure));
        match answer {
            Answer::Intended(key) => self.worker.desk().hand_over(self.pt, key, now),
            // An earlier attempt did it, and crashed before its task was done.
            Answer::Recorded(_, StepOutcome::Done(output)) => {
                self.finish(AttemptOutcome::Succeeded { output, blobs: Vec::new() });
            }
            Answer::Recorded(_, StepOutcome::Failed(failure)) => failed(failure),
            Answer::Rejected(refused) if refused.code() == "stale_fence" => {
                self.worker.close(self.pt, Fate::Stale);
            }
            Answer::Rejected(refused) => {
                failed(Failure::fatal(refused.code(), refused.to_string()));
            }
            _ => failed(Failure::fatal("internal", "read the loop's answer to a step")),
        }
    }

    /// The attempt ends without the worker ever having seen it.
    fn finish(&self, outcome: AttemptOutcome) {
        let Some(work) = self.worker.desk().begin_unseen_finish(&self.pt) else { return };
        let asked = Asked::Finish { fate: Fate::Cancelled, has_worked: false };
        let reply = RemoteReply::new(&self.worker, self.pt, asked, &Batch::new(1));
        let input = finish_of(&work, outcome, 0, reply);
        // The loop is gone only when the instance stops.
        let _ = self.worker.shop.to_loop.send(Message::One(input));
    }
}

impl Drop for RemoteReply {
    /// What the loop never answered concerns an attempt that is over, or an instance that stops.
    fn drop(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.note(asked, None);
        }
        if self.batch.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.worker.changed.notify_waiters();
        }
    }
}
