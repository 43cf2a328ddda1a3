//! Attempts: the threads that work on them, waiting attempts, and what one may ask of its host.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use ark_os_core::budget::Amounts;
use ark_os_core::command::{AttemptOutcome, FinishAttempt};
use ark_os_core::error::Failure;
use ark_os_core::event::Admission;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, PtId};
use ark_os_core::layer::Layer;
use ark_os_core::payload::Payload;
use ark_os_core::plan::Workflow;
use ark_os_core::{Command, Kind};

use crate::RuntimeError;
use crate::clock::Clock;
use crate::data::{Payloads, Schemas};
use crate::handle::Message;
use crate::kernel::Input;
use crate::messages::Messages;
use crate::metrics::Metrics;
use crate::plans::Plans;
use crate::skills::{Cost, Skill, SkillError};
use crate::threads::{spawn, spawn_small};

mod expansion;
mod host;
mod in_flight;
mod lane;
mod line;
mod post;
mod stop;

use host::AttemptHost;
pub(crate) use in_flight::InFlight;
use lane::Lane;
use line::Line;
pub(crate) use stop::{Caught, Stop};

/// Threads that may be stuck at one time before the instance stops: each may hold memory for ever.
const LOST_MAX: usize = 64;
/// The longest wait that a skill may ask for; its task's timeout ends most of them sooner.
const DELAY_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What the host of a native attempt reports as used: one call; nothing else is metered in process.
const ATTEMPT_SPENT: Amounts = Amounts { calls: 1, ..Amounts::ZERO };

/// An attempt ready to be worked on.
#[derive(Clone)]
pub(crate) struct Assignment {
    pub(crate) pt: PtId,
    pub(crate) agent: AgentIx,
    pub(crate) attempt: u32,
    /// The layer of who works.
    pub(crate) layer: Layer,
    pub(crate) skill: Arc<dyn Skill>,
    pub(crate) input: Arc<[u8]>,
    pub(crate) input_hash: Hash,
    /// For a reduce: what it gathers.
    pub(crate) items: Vec<Payload>,
    /// The task's own schema of its output.
    pub(crate) output_schema: Option<ark_os_core::text::Text>,
    /// The plan, if the task may add to it.
    pub(crate) expands: Option<Arc<Workflow>>,
    /// Tells it to stop.
    pub(crate) stop: Arc<Stop>,
    /// The record that started it.
    pub(crate) cause: u64,
    /// Under which its run was let in.
    pub(crate) admission: Option<Arc<Admission>>,
}

/// What all attempts share.
pub(crate) struct Shop {
    pub(crate) payloads: Arc<Payloads>,
    pub(crate) schemas: Arc<Schemas>,
    /// What tasks that are added are checked against.
    pub(crate) plans: Arc<Plans>,
    pub(crate) to_loop: Sender<Message>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    /// The lease of a progress token.
    pub(crate) lease: Duration,
    /// Effects under way in this process.
    pub(crate) in_flight: InFlight,
    /// The mailboxes of the fleet.
    pub(crate) messages: Arc<Messages>,
}

impl Shop {
    /// A lease is renewed when this much of it is over, so that two renewals may be late.
    pub(crate) fn renew_after(&self) -> Duration {
        self.lease / 3
    }

    /// How long a stopped attempt may go on before its thread counts as hung.
    pub(crate) fn stop_patience(&self) -> Duration {
        self.lease / 2
    }
}

/// How many threads there are.
#[derive(Clone, Copy)]
pub(crate) struct Threads {
    /// For work that takes a processor.
    pub(crate) workers: usize,
    /// For work that waits for somebody else, at most.
    pub(crate) external_max: usize,
}

/// The threads on which attempts are worked on.
pub(crate) struct Workers {
    line: Arc<Line<Assignment>>,
    lane: Arc<Lane<Assignment>>,
    shop: Arc<Shop>,
    /// Threads that were replaced and are not back.
    lost: Arc<AtomicUsize>,
}

impl Workers {
    pub(crate) fn start(threads: Threads, shop: Arc<Shop>) -> Result<Self, RuntimeError> {
        let lane = Arc::new(Lane::new(threads.external_max));
        let workers = Workers { line: Arc::new(Line::new()), lane, shop, lost: Arc::default() };
        for _ in 0..threads.workers {
            workers.hire()?;
        }
        Ok(workers)
    }

    fn hire(&self) -> Result<(), RuntimeError> {
        let (line, shop, lost) = (self.line.clone(), self.shop.clone(), self.lost.clone());
        spawn("ark-worker", move || {
            while let Some(assignment) = line.next() {
                if carry_out(&shop, &lost, &assignment) {
                    return;
                }
            }
        })?;
        Ok(())
    }

    /// Another thread for the lane, where one is wanted and allowed.
    fn hire_external(&self) -> Result<(), RuntimeError> {
        if !self.lane.wants_thread() {
            return Ok(());
        }
        let (lane, shop, lost) = (self.lane.clone(), self.shop.clone(), self.lost.clone());
        let hired = spawn_small("ark-external", move || {
            while let Some(assignment) = lane.next() {
                if carry_out(&shop, &lost, &assignment) {
                    return;
                }
            }
        });
        match hired {
            Ok(_) => Ok(()),
            Err(error) => self.lane.give_back_thread().ok_or(error),
        }
    }

    /// Puts an attempt in line for a thread.
    pub(crate) fn assign(&self, assignment: Assignment) -> Result<(), RuntimeError> {
        if assignment.skill.spec().cost != Cost::External {
            self.line.push(assignment);
            return Ok(());
        }
        self.lane.push(assignment);
        self.hire_external()
    }

    /// A thread is stuck in an attempt that is over: another takes its place. If none can, the
    /// instance is told to stop: it would come to a halt without a word.
    pub(crate) fn abandon(&self, assignment: &Assignment) -> Result<(), RuntimeError> {
        let Err(error) = self.replace(assignment) else { return Ok(()) };
        self.shop.to_loop.send(Message::Failed(error)).map_err(|_| RuntimeError::closed())
    }

    fn replace(&self, assignment: &Assignment) -> Result<(), RuntimeError> {
        // Counted first: the thread may come back at any moment, and then takes itself off.
        let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
        if !assignment.stop.replace() {
            self.lost.fetch_sub(1, Ordering::Relaxed);
            return Ok(());
        }
        self.shop.metrics.threads_abandoned.inc();
        if lost > LOST_MAX {
            let message = format!("replace a thread that hangs: {LOST_MAX} hang already");
            return Err(RuntimeError::new(Kind::Internal, "threads_exhausted", message).with_hint(
                "find the skill that hangs, then start again; what was accepted is kept",
            ));
        }
        if assignment.skill.spec().cost != Cost::External {
            return self.hire();
        }
        self.lane.lose_thread();
        self.hire_external()
    }

    /// Lets the threads end when they have nothing to do. One that hangs ends with the process.
    pub(crate) fn stop(&self) {
        self.line.close();
        self.lane.close();
    }
}

/// Works on an attempt and tells the loop; whether another thread has taken this one's place.
fn carry_out(shop: &Shop, lost: &AtomicUsize, assignment: &Assignment) -> bool {
    // Stopped while it was in line: nobody waits for it.
    if !assignment.stop.begin() {
        return false;
    }
    let input = work(shop, assignment);
    let is_replaced = assignment.stop.end();
    if is_replaced {
        lost.fetch_sub(1, Ordering::Relaxed);
    }
    // The loop is gone only when the instance stops.
    let _ = shop.to_loop.send(Message::One(input));
    is_replaced
}

/// How long a skill wants to wait before it works. One that fails or panics here does so again
/// when it works, and is told then.
pub(crate) fn delay_of(assignment: &Assignment) -> Option<Duration> {
    let ask = || assignment.skill.delay(&assignment.input);
    let delay = catch_unwind(AssertUnwindSafe(ask)).ok()?.ok()??;
    (!delay.is_zero()).then_some(delay.min(DELAY_MAX))
}

/// Works on an attempt to its end: the agent's panic is its own, not the host's.
pub(crate) fn work<R>(shop: &Shop, assignment: &Assignment) -> Input<R> {
    let begun = shop.clock.instant();
    let host = AttemptHost::new(shop, assignment);
    let result =
        catch_unwind(AssertUnwindSafe(|| match assignment.skill.run(&host, &assignment.input) {
            Err(error) => AttemptOutcome::Failed(failure_of(&error)),
            Ok(output) => match &assignment.expands {
                None => accept(shop, assignment, output, host.saved()),
                Some(plan) => expansion::accept(shop, assignment, (plan, output), host.saved()),
            },
        }));
    let took = shop.clock.instant().duration_since(begun);
    shop.metrics.attempt.observe(took);
    let Ok(outcome) = result else {
        let reason = Failure::retryable("agent_panicked", "the agent panicked");
        return Input::Command {
            command: Command::LoseAttempt { pt: assignment.pt, reason },
            cause: assignment.cause,
            reply: None,
        };
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
    if let Err(Unusable { code, message }) = check(shop, assignment, &output) {
        return refused(assignment, code, message);
    }
    match shop.payloads.save(output) {
        Ok(output) => AttemptOutcome::Succeeded { output, blobs },
        Err(error) => {
            AttemptOutcome::Failed(Failure::retryable("blob_not_stored", error.to_string()))
        }
    }
}

/// What a service or command says is not the fault of the agent that asked it, and it was recorded: it
/// would be the same again.
fn refused(assignment: &Assignment, code: &str, message: String) -> AttemptOutcome {
    match assignment.skill.spec().cost {
        Cost::External => AttemptOutcome::Failed(Failure::fatal(code, message)),
        Cost::Tiny | Cost::Blocking => AttemptOutcome::Refused(Failure::retryable(code, message)),
    }
}

/// Why an output cannot be one.
pub(crate) struct Unusable {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

fn check(shop: &Shop, assignment: &Assignment, output: &[u8]) -> Result<(), Unusable> {
    let spec = assignment.skill.spec();
    if output.len() > spec.output_bytes_max {
        let message = format!("{} bytes, more than {}", output.len(), spec.output_bytes_max);
        return Err(Unusable { code: "output_too_large", message });
    }
    let schemas = [Some(&*spec.output_schema), assignment.output_schema.as_deref()];
    check_output(shop, schemas, output)
}

/// The host's checks of an output against the skill's schema and the task's own.
pub(crate) fn check_output(
    shop: &Shop,
    schemas: [Option<&str>; 2],
    output: &[u8],
) -> Result<(), Unusable> {
    for schema in schemas.into_iter().flatten() {
        if let Err(violations) = shop.schemas.validate(schema, output) {
            let first = violations.into_iter().next();
            let message =
                first.map_or_else(String::new, |it| format!("{}: {}", it.pointer, it.message));
            return Err(Unusable { code: "output_invalid", message });
        }
    }
    Ok(())
}

fn failure_of(error: &SkillError) -> Failure {
    let message = match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    };
    Failure::new(error.code(), message, error.is_retryable())
}
