//! What a worker says of the tasks in its hands: that it still works, that it is done, that it failed.

use std::sync::Arc;

use ark_os_core::Command;
use ark_os_core::budget::Amounts;
use ark_os_core::command::{AttemptOutcome, FinishAttempt};
use ark_os_core::error::Failure;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{Fence, PtId};
use ark_os_core::limits::ERROR_BYTES_MAX;
use ark_os_core::step::{StepKey, StepOutcome};
use ark_os_core::text::beginning;
use ark_os_core::time::Time;

use super::claim::micros_since;
use super::desk::{Fate, Held};
use super::reply::{Asked, Batch, RemoteReply};
use super::{Remotes, Work, Worker};
use crate::RuntimeError;
use crate::handle::Message;
use crate::kernel::Input;
use crate::reply::Reply;
use crate::threads;
use crate::workers::{Unusable, check_output};

/// What the host of a remote attempt reports as used: one call, and one step.
const ATTEMPT_SPENT: Amounts = Amounts { calls: 1, ..Amounts::ZERO };
const STEP_SPENT: Amounts = Amounts { steps: 1, ..Amounts::ZERO };
/// Characters of a worker's own error code.
const CODE_CHARS_MAX: usize = 100;
/// Bytes of an output that takes long enough to check and store to be done where nobody else waits.
const LONG_OUTPUT_BYTES: usize = 16 << 10;

/// A token in a worker's hands, as it names it.
#[derive(Clone, Debug)]
pub struct Extension {
    /// The progress token.
    pub pt: PtId,
    /// A partial proof of progress.
    pub checkpoint: Option<String>,
}

/// The end of a task, as its worker presents it.
#[derive(Clone, Debug)]
pub enum Presented {
    /// It is done.
    Output(Box<str>),
    /// It is done, and this is why nobody could use what came out.
    Unusable(String),
    /// It could not be done.
    Failed {
        /// The worker's own code.
        code: String,
        /// Why.
        message: String,
        /// Whether another attempt may succeed.
        retryable: bool,
        /// Whether nobody knows if it happened.
        unknown: bool,
    },
}

/// What a worker is told of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// It holds it until then.
    Held(Time),
    /// What became of it; `true`: it had been told before.
    Over(Fate, bool),
}

impl Remotes {
    /// Renews the leases of what a worker has in hand; one answer a token, in order.
    ///
    /// # Errors
    /// There is no such worker, or the session is not its newest.
    pub async fn extend(
        &self,
        name: &str,
        session: &str,
        tokens: Vec<Extension>,
    ) -> Result<Vec<Told>, RuntimeError> {
        let worker = self.of_session(name, session)?;
        let asked: Vec<PtId> = tokens.iter().map(|token| token.pt).collect();
        let batch = worker.renew(tokens);
        worker.answered(&batch).await;
        let desk = worker.desk();
        let told = asked.iter().map(|pt| match desk.in_hand(pt) {
            Some((held, _)) => Told::Held(held.lease_until),
            None => Told::Over(desk.fate(pt), true),
        });
        Ok(told.collect())
    }

    /// Records the ends of tasks; one answer a token, in order, when they are durable. What was said
    /// before is answered as it was then.
    ///
    /// # Errors
    /// There is no such worker, or the session is not its newest.
    pub async fn finish(
        &self,
        name: &str,
        session: &str,
        ends: Vec<(PtId, Presented)>,
    ) -> Result<Vec<Told>, RuntimeError> {
        let worker = self.of_session(name, session)?;
        let tokens: Vec<PtId> = ends.iter().map(|(pt, _)| *pt).collect();
        let (batch, fresh) = worker.present(ends);
        worker.answered(&batch).await;
        // The same end may have been presented by a request before this one.
        worker.settled(&tokens).await;
        let desk = worker.desk();
        let told = tokens.iter().zip(fresh).map(|(pt, fresh)| match desk.in_hand(pt) {
            Some((held, _)) => Told::Held(held.lease_until),
            None => Told::Over(desk.fate(pt), !fresh),
        });
        Ok(told.collect())
    }
}

impl Worker {
    /// Waits until the loop has answered everything of a batch.
    async fn answered(&self, batch: &Batch) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if batch.is_answered() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until none of these is being recorded.
    async fn settled(&self, tokens: &[PtId]) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let is_settled = {
                let desk = self.desk();
                !tokens.iter().any(|pt| desk.is_finishing(pt))
            };
            if is_settled {
                return;
            }
            changed.await;
        }
    }

    fn renew(self: &Arc<Self>, tokens: Vec<Extension>) -> Arc<Batch> {
        let in_hand: Vec<(Arc<Work>, Option<String>)> = {
            let desk = self.desk();
            let held = |token: Extension| {
                let (held, _) = desk.in_hand(&token.pt)?;
                Some((held.work.clone(), token.checkpoint))
            };
            tokens.into_iter().filter_map(held).collect()
        };
        let reports = in_hand.iter().filter(|(_, checkpoint)| checkpoint.is_some()).count();
        let batch = Batch::new(in_hand.len() + reports);
        let lease = u64::try_from(self.terms.lease.as_millis()).unwrap_or(u64::MAX);
        for (work, checkpoint) in in_hand {
            let (pt, agent) = (work.pt, work.agent);
            if let Some(mark) = checkpoint {
                let checkpoint = Some(Hash::of(mark.as_bytes()));
                self.ask(Command::ReportProgress { pt, agent, checkpoint }, Asked::Other, &batch);
            }
            let until = self.shop.clock.now().plus(lease);
            self.ask(Command::RenewLease { pt, agent }, Asked::Renew(until), &batch);
        }
        batch
    }

    fn ask(self: &Arc<Self>, command: Command, asked: Asked, batch: &Arc<Batch>) {
        let pt = match &command {
            Command::RenewLease { pt, .. } | Command::ReportProgress { pt, .. } => *pt,
            _ => return,
        };
        let reply = Some(Reply::Remote(Box::new(RemoteReply::new(self, pt, asked, batch))));
        let input = Input::Command { command, cause: 0, reply };
        // The loop is gone only when the instance stops; the reply knows when it is dropped.
        let _ = self.shop.to_loop.send(Message::One(input));
    }

    /// Sends what is presented under tokens in hand; for each whether it is the first time.
    fn present(self: &Arc<Self>, ends: Vec<(PtId, Presented)>) -> (Arc<Batch>, Vec<bool>) {
        let mut fresh = Vec::with_capacity(ends.len());
        let mut taken = Vec::with_capacity(ends.len());
        {
            let mut desk = self.desk();
            for (pt, end) in ends {
                let found = desk.in_hand(&pt).map(|(held, key)| (held.clone(), key));
                fresh.push(found.is_some());
                let Some((held, key)) = found else { continue };
                desk.begin_finish(&pt);
                taken.push((held, key, end));
            }
        }
        let batch = Batch::new(taken.len());
        for (held, key, end) in taken {
            let is_long = matches!(&end, Presented::Output(it) if it.len() > LONG_OUTPUT_BYTES);
            let record = || self.record(&held, key, end, &batch);
            if is_long { threads::in_place(record) } else { record() }
        }
        (batch, fresh)
    }

    /// Settles the step and ends the attempt.
    fn record(self: &Arc<Self>, held: &Held, key: StepKey, end: Presented, batch: &Arc<Batch>) {
        let work = &held.work;
        let took = micros_since(held.since, self.now());
        self.shop.metrics.attempt.observe(std::time::Duration::from_micros(took));
        let Judged { step, attempt, fate } = self.judge(work, end);
        if let Some(outcome) = step {
            let command = Command::SettleStep { pt: work.pt, key, outcome, spent: STEP_SPENT };
            let input = Input::Command { command, cause: work.cause, reply: None };
            // As below.
            let _ = self.shop.to_loop.send(Message::One(input));
        }
        let has_worked = matches!(attempt, AttemptOutcome::Succeeded { .. });
        let reply = RemoteReply::new(self, work.pt, Asked::Finish { fate, has_worked }, batch);
        let input = finish_of(work, attempt, took, reply);
        // The loop is gone only when the instance stops; the reply knows when it is dropped.
        let _ = self.shop.to_loop.send(Message::One(input));
    }

    /// What an end means for the step, for the attempt and for whoever presents it.
    fn judge(&self, work: &Work, end: Presented) -> Judged {
        let is_repeatable = work.skill.class.is_repeatable();
        match end {
            Presented::Output(output) => {
                let bytes = output.as_bytes();
                let schemas = [Some(&*work.skill.output_schema), work.output_schema.as_deref()];
                if let Err(Unusable { code, message }) = check_output(&self.shop, schemas, bytes) {
                    return refused(is_repeatable, code, message);
                }
                match self.shop.payloads.save(bytes.to_vec()) {
                    Ok(output) => Judged {
                        step: Some(StepOutcome::Done(output.clone())),
                        attempt: AttemptOutcome::Succeeded { output, blobs: Vec::new() },
                        fate: Fate::Accepted,
                    },
                    // It has happened and cannot be recorded: its step stays open.
                    Err(error) => unknown(Failure::retryable("blob_not_stored", error.to_string())),
                }
            }
            Presented::Unusable(message) => refused(is_repeatable, "output_invalid", message),
            Presented::Failed { code, message, retryable, unknown: is_unknown } => {
                let message = beginning(&message, ERROR_BYTES_MAX);
                let failure = Failure::new(&worker_code(&code), message, retryable);
                match is_unknown {
                    true => unknown(Failure { retryable: true, ..failure }),
                    false => Judged {
                        step: Some(StepOutcome::Failed(failure.clone())),
                        attempt: AttemptOutcome::Failed(failure),
                        fate: Fate::Accepted,
                    },
                }
            }
        }
    }
}

struct Judged {
    /// None: the step stays open.
    step: Option<StepOutcome>,
    attempt: AttemptOutcome,
    fate: Fate,
}

/// Nobody knows what came of it: what may be repeated is, anything else is in doubt.
fn unknown(failure: Failure) -> Judged {
    Judged { step: None, attempt: AttemptOutcome::Failed(failure), fate: Fate::Accepted }
}

/// An output that cannot be one counts against the worker; another may do better where the effect may
/// be repeated, and else it happened and nobody knows with what result.
fn refused(is_repeatable: bool, code: &str, message: String) -> Judged {
    let failure = Failure::retryable(code, message.clone());
    let fate = Fate::Refused { code: code.to_owned(), message };
    match is_repeatable {
        true => Judged {
            step: Some(StepOutcome::Failed(failure.clone())),
            attempt: AttemptOutcome::Refused(failure),
            fate,
        },
        false => {
            let failure = Failure { retryable: false, ..failure };
            Judged { step: None, attempt: AttemptOutcome::Refused(failure), fate }
        }
    }
}

/// A code that cannot be one is replaced.
fn worker_code(code: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match code.chars().all(fits) && !code.is_empty() && code.len() <= CODE_CHARS_MAX {
        true => code.to_owned(),
        false => "worker.failed".to_owned(),
    }
}

/// The end of an attempt, for the loop.
pub(super) fn finish_of(
    work: &Work,
    outcome: AttemptOutcome,
    micros: u64,
    reply: RemoteReply,
) -> Input<Reply> {
    let finish = FinishAttempt {
        pt: work.pt,
        agent: work.agent,
        outcome,
        input: work.input_hash,
        spent: ATTEMPT_SPENT,
        micros,
    };
    let command = Command::FinishAttempt(Box::new(finish));
    Input::Command { command, cause: work.cause, reply: Some(Reply::Remote(Box::new(reply))) }
}

/// A token as a worker writes it, if both parts of it agree.
pub fn token(pt: &str, fence: u64) -> Option<PtId> {
    PtId::parse(pt).filter(|token| token.fence == Fence(fence))
}
