//! Native attempts: worker threads, waiting attempts, and what an attempt may ask of its host.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use ark_os_core::budget::Amounts;
use ark_os_core::command::{AttemptOutcome, FinishAttempt};
use ark_os_core::error::Failure;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, PtId};
use ark_os_core::payload::Payload;
use ark_os_core::{Command, Kind};

use crate::RuntimeError;
use crate::clock::Clock;
use crate::data::{Payloads, Schemas};
use crate::handle::Message;
use crate::kernel::Input;
use crate::metrics::Metrics;
use crate::skills::{Skill, SkillError};
use crate::threads::spawn;

mod host;

use host::AttemptHost;
pub(crate) use host::Stop;

/// Threads given up on before nothing more is started: each may hold memory for ever.
const ABANDONED_MAX: u64 = 64;
/// How long an idle thread sleeps before it looks whether it is to stop.
const IDLE: Duration = Duration::from_millis(500);

/// What the host of a native attempt reports as used: one call; nothing else is metered in process.
const ATTEMPT_SPENT: Amounts = Amounts { calls: 1, ..Amounts::ZERO };

/// An attempt ready to be worked on.
#[derive(Clone)]
pub(crate) struct Assignment {
    pub(crate) pt: PtId,
    pub(crate) agent: AgentIx,
    pub(crate) attempt: u32,
    pub(crate) skill: Arc<dyn Skill>,
    pub(crate) input: Arc<[u8]>,
    pub(crate) input_hash: Hash,
    /// For a reduce: what it gathers.
    pub(crate) items: Vec<Payload>,
    /// The task's own schema of its output.
    pub(crate) output_schema: Option<ark_os_core::text::Text>,
    /// Tells it to stop.
    pub(crate) stop: Arc<Stop>,
    /// The record that started it.
    pub(crate) cause: u64,
}

/// What all attempts share.
pub(crate) struct Shop {
    pub(crate) payloads: Arc<Payloads>,
    pub(crate) schemas: Arc<Schemas>,
    pub(crate) to_loop: Sender<Message>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}

struct Line {
    waiting: VecDeque<Assignment>,
    idle: usize,
    stopping: bool,
}

/// The worker threads.
pub(crate) struct Workers {
    line: Arc<(Mutex<Line>, Condvar)>,
    shop: Arc<Shop>,
    threads: usize,
}

impl Workers {
    pub(crate) fn start(threads: usize, shop: Arc<Shop>) -> Result<Self, RuntimeError> {
        let line = Line { waiting: VecDeque::new(), idle: 0, stopping: false };
        let workers = Workers { line: Arc::new((Mutex::new(line), Condvar::new())), shop, threads };
        for _ in 0..workers.threads {
            workers.hire()?;
        }
        Ok(workers)
    }

    fn hire(&self) -> Result<(), RuntimeError> {
        let (line, shop) = (self.line.clone(), self.shop.clone());
        spawn("ark-worker", move || {
            while let Some(assignment) = next(&line) {
                let stop = assignment.stop.clone();
                let input = work(&shop, &assignment);
                // The loop is gone only when the instance stops.
                let _ = shop.to_loop.send(Message::One(input));
                if stop.is_replaced() {
                    return;
                }
            }
        })?;
        Ok(())
    }

    /// Puts an attempt in line for a thread.
    pub(crate) fn assign(&self, assignment: Assignment) {
        let (line, arrived) = &*self.line;
        line.lock().unwrap_or_else(PoisonError::into_inner).waiting.push_back(assignment);
        arrived.notify_one();
    }

    /// A thread is stuck in an attempt that is over: another takes its place.
    pub(crate) fn abandon(&self, stop: &Stop) -> Result<(), RuntimeError> {
        stop.replace();
        self.shop.metrics.threads_abandoned.inc();
        if self.shop.metrics.threads_abandoned.value() > ABANDONED_MAX {
            let message = "too many attempts hang; their threads cannot be taken back";
            return Err(RuntimeError::new(Kind::Internal, "threads_exhausted", message)
                .with_hint("restart the instance; nothing that was accepted is lost"));
        }
        self.hire()
    }

    /// Lets the threads end when they have nothing to do. One that hangs ends with the process.
    pub(crate) fn stop(&self) {
        let (line, arrived) = &*self.line;
        line.lock().unwrap_or_else(PoisonError::into_inner).stopping = true;
        arrived.notify_all();
    }
}

fn next(line: &(Mutex<Line>, Condvar)) -> Option<Assignment> {
    let (mutex, arrived) = line;
    let mut line = mutex.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if line.stopping {
            return None;
        }
        if let Some(assignment) = line.waiting.pop_front() {
            return Some(assignment);
        }
        line.idle += 1;
        line = arrived.wait_timeout(line, IDLE).unwrap_or_else(PoisonError::into_inner).0;
        line.idle -= 1;
    }
}

/// Works on an attempt to its end: the agent's panic is its own, not the host's.
pub(crate) fn work<R>(shop: &Shop, assignment: &Assignment) -> Input<R> {
    let begun = shop.clock.instant();
    let host = AttemptHost::new(shop, assignment);
    let answer = catch_unwind(AssertUnwindSafe(|| {
        if assignment.stop.is_asked() {
            return Err(SkillError::cancelled());
        }
        assignment.skill.run(&host, &assignment.input)
    }));
    let took = shop.clock.instant().duration_since(begun);
    shop.metrics.attempt.observe(took);
    let blobs = host.saved();
    let outcome = match answer {
        Err(_) => {
            let reason = Failure::retryable("agent_panicked", "the agent panicked");
            return Input::Command {
                command: Command::LoseAttempt { pt: assignment.pt, reason },
                cause: assignment.cause,
                reply: None,
            };
        }
        Ok(Err(error)) => AttemptOutcome::Failed(failure_of(&error)),
        Ok(Ok(output)) => accept(shop, assignment, output, blobs),
    };
    let finish = FinishAttempt {
        pt: assignment.pt,
        agent: assignment.agent,
        outcome,
        input: assignment.input_hash,
        spent: ATTEMPT_SPENT,
        micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    };
    Input::Command {
        command: Command::FinishAttempt(Box::new(finish)),
        cause: assignment.cause,
        reply: None,
    }
}

/// The host's checks of an output: size, JSON, the skill's schema, the task's own.
fn accept(
    shop: &Shop,
    assignment: &Assignment,
    output: Vec<u8>,
    blobs: Vec<Hash>,
) -> AttemptOutcome {
    let spec = assignment.skill.spec();
    let refused = |code: &str, message: String| {
        AttemptOutcome::Refused(Failure::retryable(code, message))
    };
    if output.len() > spec.output_bytes_max {
        let message = format!("{} bytes, more than {}", output.len(), spec.output_bytes_max);
        return refused("output_too_large", message);
    }
    let schemas = [Some(spec.output_schema), assignment.output_schema.as_deref()];
    for schema in schemas.into_iter().flatten() {
        if let Err(violations) = shop.schemas.validate(schema, &output) {
            let first = violations.into_iter().next();
            let message = first.map_or_else(String::new, |it| format!("{}: {}", it.pointer, it.message));
            return refused("output_invalid", message);
        }
    }
    match shop.payloads.save(output) {
        Ok(output) => AttemptOutcome::Succeeded { output, blobs },
        Err(error) => AttemptOutcome::Failed(Failure::retryable("blob_not_stored", error.to_string())),
    }
}

fn failure_of(error: &SkillError) -> Failure {
    let message = match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    };
    Failure::new(error.code(), message, error.is_retryable())
}
