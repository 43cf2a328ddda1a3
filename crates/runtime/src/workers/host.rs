//! What an attempt may ask of its host while it works.

use std::cell::{OnceCell, RefCell};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use ark_os_core::Command;
use ark_os_core::budget::Amounts;
use ark_os_core::command::IntendStep;
use ark_os_core::error::Failure;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{PtId, TaskId};
use ark_os_core::payload::Payload;
use ark_os_core::step::{Finding, StepKey, StepOutcome};
use ark_os_core::text::{Text, beginning};

use super::post::Mail;
use super::{Assignment, Shop, Unusable, check};
use crate::handle::Message;
use crate::kernel::{Answer, Input};
use crate::reply::Reply;
use crate::skills::{AttemptInfo, Cost, Effect, Host, Post, ProbeAnswer, SkillError, StepCall};

/// Characters of a result that cannot be used, for whoever has to say what came of its step.
const RESULT_CHARS_MAX: usize = 500;
/// Tag of a blob's name.
const BLOB_TAG: &str = "sha256:";

pub(super) struct AttemptHost<'a> {
    shop: &'a Shop,
    assignment: &'a Assignment,
    renewed: RefCell<Instant>,
    saved: Mutex<Vec<Hash>>,
    steps: RefCell<u32>,
    mail: OnceCell<Mail<'a>>,
}

impl<'a> AttemptHost<'a> {
    pub(super) fn new(shop: &'a Shop, assignment: &'a Assignment) -> Self {
        AttemptHost {
            shop,
            assignment,
            renewed: RefCell::new(shop.clock.instant()),
            saved: Mutex::new(Vec::new()),
            steps: RefCell::new(0),
            mail: OnceCell::new(),
        }
    }

    /// Blobs that the attempt stored.
    pub(super) fn saved(&self) -> Vec<Hash> {
        std::mem::take(&mut *self.saved.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn assigned(&self) -> &Assignment {
        self.assignment
    }

    /// Its messages, which whoever asked for `post` has.
    pub(super) fn mail(&self) -> Result<&Mail<'a>, SkillError> {
        self.mail.get().ok_or_else(|| SkillError::permanent("internal", "find the attempt's mail"))
    }

    /// Sends a command and waits for its durable answer.
    fn ask(&self, command: Command) -> Result<Answer, SkillError> {
        let (tx, rx) = sync_channel(1);
        let reply = Some(Reply::Step(tx));
        let input = Input::Command { command, cause: self.assignment.cause, reply };
        let gone = |_| SkillError::retryable("instance_stopped", "the instance is stopping");
        self.shop.to_loop.send(Message::One(input)).map_err(|_| gone(()))?;
        rx.recv().map_err(|_| gone(()))
    }

    /// Has the effect, if the attempt was not stopped meanwhile, and records what came of it.
    fn perform(
        &self,
        key: StepKey,
        call: &StepCall<'_>,
        effect: &mut dyn Effect,
    ) -> Result<Vec<u8>, SkillError> {
        let entered = self.shop.in_flight.enter(key);
        if self.is_cancelled() {
            return Err(SkillError::cancelled());
        }
        let result = effect.perform(&key.0.to_string()).and_then(|bytes| self.usable(call, bytes));
        drop(entered);
        let outcome = match &result {
            // The step stays open: whoever comes next finds it so.
            Err(error) if error.is_outcome_unknown() => return result,
            Ok(bytes) => StepOutcome::Done(self.payload(bytes)?),
            Err(error) => StepOutcome::Failed(Failure::new(
                error.code(),
                error.message(),
                error.is_retryable(),
            )),
        };
        let spent = effect.spent().plus(Amounts { steps: 1, ..Amounts::ZERO });
        let settle = Command::SettleStep { pt: self.assignment.pt, key, outcome, spent };
        match self.ask(settle)? {
            Answer::Rejected(rejected) => Err(refused(&rejected)),
            _ => result,
        }
    }

    /// Asks whether an effect happened that an earlier attempt left open, and goes on from there.
    fn probe(
        &self,
        key: StepKey,
        call: &StepCall<'_>,
        effect: &mut dyn Effect,
    ) -> Result<Vec<u8>, SkillError> {
        let due = self.shop.clock.instant() + effect.settle_after();
        let is_quiet = self.shop.in_flight.wait(key, || {
            self.progress(0, 0);
            (!self.is_cancelled()).then(|| self.shop.clock.instant() >= due)
        });
        if !is_quiet {
            return Err(SkillError::cancelled());
        }
        let answer = match effect.probe(&key.0.to_string()) {
            Err(error) if error.is_retryable() => return Err(error),
            Ok(ProbeAnswer::Happened(bytes)) => match self.usable(call, bytes) {
                Ok(bytes) => ProbeAnswer::Happened(bytes),
                Err(_) => ProbeAnswer::Unknown,
            },
            answer => answer.unwrap_or(ProbeAnswer::Unknown),
        };
        let finding = match &answer {
            ProbeAnswer::Happened(bytes) => Finding::Happened(self.payload(bytes)?),
            ProbeAnswer::NotHappened => Finding::NotHappened,
            ProbeAnswer::Unknown => Finding::Unknown,
        };
        let (pt, agent) = (self.assignment.pt, self.assignment.agent);
        match (self.ask(Command::ReportProbe { pt, agent, key, finding })?, answer) {
            (Answer::Rejected(rejected), _) => Err(refused(&rejected)),
            (Answer::Intended(key), _) => self.perform(key, call, effect),
            (_, ProbeAnswer::Happened(bytes)) => Ok(bytes),
            _ => {
                let message = "go on: nobody can tell whether its effect happened";
                Err(SkillError::permanent("step_in_doubt", message))
            }
        }
    }

    /// An effect that may not be repeated happened, and its result is not one that the task can have:
    /// recorded as done it would fail the task for good, recorded as failed it would be a lie.
    fn usable(&self, call: &StepCall<'_>, bytes: Vec<u8>) -> Result<Vec<u8>, SkillError> {
        if !call.is_output || call.class.is_repeatable() {
            return Ok(bytes);
        }
        let Err(Unusable { code, message }) = check(self.shop, self.assignment, &bytes) else {
            return Ok(bytes);
        };
        let told = beginning(&String::from_utf8_lossy(&bytes), RESULT_CHARS_MAX);
        let message = format!("use its result: {message}; it answered: {told}");
        Err(SkillError::unknown(code, message))
    }

    fn payload(&self, bytes: &[u8]) -> Result<Payload, SkillError> {
        let stored = self.shop.payloads.save(bytes.to_vec());
        // The effect has happened and cannot be recorded: to the next attempt its step is open.
        stored.map_err(|error| SkillError::unknown("blob_not_stored", error.to_string()))
    }

    fn recorded(&self, outcome: &StepOutcome) -> Result<Vec<u8>, SkillError> {
        match outcome {
            StepOutcome::Done(payload) => self
                .shop
                .payloads
                .load(payload)
                .map(|bytes| bytes.to_vec())
                .map_err(|error| SkillError::retryable("blob_unreadable", error.to_string())),
            StepOutcome::Failed(failure) if failure.retryable => {
                Err(SkillError::retryable(&*failure.code, &*failure.message))
            }
            StepOutcome::Failed(failure) => {
                Err(SkillError::permanent(&*failure.code, &*failure.message))
            }
        }
    }
}

/// Renews an attempt's lease, if a part of it is over since the last time.
pub(super) fn renew(shop: &Shop, assignment: &Assignment, renewed: &RefCell<Instant>) {
    let now = shop.clock.instant();
    let mut renewed = renewed.borrow_mut();
    if now.duration_since(*renewed) < shop.renew_after() {
        return;
    }
    *renewed = now;
    let (pt, agent) = (assignment.pt, assignment.agent);
    let command = Command::RenewLease { pt, agent };
    let input = Input::Command { command, cause: assignment.cause, reply: None };
    // The loop is gone only when the instance stops.
    let _ = shop.to_loop.send(Message::One(input));
}

fn refused(rejected: &ark_os_core::Rejected) -> SkillError {
    SkillError::permanent(rejected.code(), rejected.to_string())
}

impl Host for AttemptHost<'_> {
    fn is_cancelled(&self) -> bool {
        self.assignment.stop.is_asked()
    }

    fn progress(&self, _done: u64, _total: u64) {
        renew(self.shop, self.assignment, &self.renewed);
    }

    fn checkpoint(&self, mark: &[u8]) {
        // Work on the loop's own thread is over before the loop could hear of it, and whoever was
        // told to stop has no token to report under.
        let on_the_loop = self.assignment.skill.spec().cost == Cost::Tiny;
        if on_the_loop || self.assignment.stop.is_asked() {
            return;
        }
        let (pt, agent) = (self.assignment.pt, self.assignment.agent);
        let checkpoint = Some(Hash::of(mark));
        // Waited for, so that no further report follows the one that parks the task. A refusal is
        // none of the skill's business: its attempt is over, and it is told so when it asks.
        let _ = self.ask(Command::ReportProgress { pt, agent, checkpoint });
    }

    fn save(&self, bytes: &[u8]) -> Result<String, SkillError> {
        let hash = self
            .shop
            .payloads
            .blobs()
            .save(bytes)
            .map_err(|error| SkillError::retryable("blob_not_stored", error.to_string()))?;
        self.saved.lock().unwrap_or_else(PoisonError::into_inner).push(hash);
        Ok(format!("{BLOB_TAG}{hash}"))
    }

    fn load(&self, blob: &str) -> Result<Vec<u8>, SkillError> {
        let hash = blob.strip_prefix(BLOB_TAG).and_then(Hash::parse).ok_or_else(|| {
            SkillError::invalid_input(format!("read the blob `{blob}`: no such name"))
        })?;
        self.shop
            .payloads
            .blobs()
            .load(hash)
            .map_err(|error| SkillError::retryable("blob_unreadable", error.to_string()))
    }

    fn item_count(&self) -> usize {
        self.assignment.items.len()
    }

    fn item(&self, index: usize) -> Result<Vec<u8>, SkillError> {
        let item = self.assignment.items.get(index).ok_or_else(|| {
            SkillError::invalid_input(format!("read item {index}: there is none"))
        })?;
        self.shop
            .payloads
            .load(item)
            .map(|bytes| bytes.to_vec())
            .map_err(|error| SkillError::retryable("blob_unreadable", error.to_string()))
    }

    fn attempt(&self) -> AttemptInfo {
        let PtId { run, task, .. } = self.assignment.pt;
        AttemptInfo {
            number: self.assignment.attempt,
            run: run.to_string(),
            task: TaskId { run, task }.to_string(),
            layer: self.assignment.layer,
        }
    }

    fn post(&self) -> Result<&dyn Post, SkillError> {
        if self.mail.get().is_none() {
            // It is empty, so the new one goes in.
            let _ = self.mail.set(Mail::new(self.shop, self.assignment)?);
        }
        Ok(self)
    }

    fn step(&self, call: &StepCall<'_>, effect: &mut dyn Effect) -> Result<Vec<u8>, SkillError> {
        let number = self.steps.replace_with(|steps| steps.saturating_add(1));
        let intent = IntendStep {
            pt: self.assignment.pt,
            agent: self.assignment.agent,
            number,
            tool: Text::from(call.tool),
            arguments: Hash::of(call.arguments),
            class: call.class,
            reserve: call.reserve,
        };
        match self.ask(Command::IntendStep(Box::new(intent)))? {
            Answer::Intended(key) => self.perform(key, call, effect),
            Answer::Probe(key) => self.probe(key, call, effect),
            Answer::Recorded(_, outcome) => self.recorded(&outcome),
            Answer::Rejected(rejected) => Err(refused(&rejected)),
            _ => Err(SkillError::permanent("internal", "read the loop's answer to a step")),
        }
    }
}
