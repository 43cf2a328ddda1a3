//! Claiming: a long poll that takes what waits on the desk, has the intent of each effect recorded,
//! and only then hands the tasks over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ark_os_core::Command;
use ark_os_core::budget::Amounts;
use ark_os_core::command::{AttemptOutcome, IntendStep};
use ark_os_core::error::Failure;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{PtId, TaskId};
use ark_os_core::plan::EffectClass;
use ark_os_core::step::StepKey;
use ark_os_core::text::Text;
use ark_os_core::time::Time;

use super::desk::{Fate, Held, Limits, Presence};
use super::finish::finish_of;
use super::reply::{Asked, Batch, RemoteReply};
use super::{Remotes, Work, Worker, fenced};
use crate::RuntimeError;
use crate::handle::Message;
use crate::kernel::Input;
use crate::threads;

/// Tasks of one claim: an answer that is read and worked off in one go.
pub const CLAIM_TASKS_MAX: u32 = 1_000;
/// Bytes of input of one claim, but for a single task with more.
const CLAIM_BYTES_MAX: usize = 16 << 20;
/// Bytes of input whose check takes long enough to be done where nobody else waits.
const LONG_CHECK_BYTES: usize = 256 << 10;

/// What a worker asks for.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Tasks at most.
    pub max: u32,
    /// How long to wait for the first.
    pub wait: Duration,
    /// Its number: the same number gives the same tasks.
    pub number: Option<u64>,
}

/// A task that is in the worker's hands.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The progress token.
    pub pt: PtId,
    /// The task.
    pub task: TaskId,
    /// From 1, over all retries.
    pub attempt: u32,
    /// The skill.
    pub skill: Text,
    /// What it may do to the world.
    pub class: EffectClass,
    /// The key of its effect.
    pub key: StepKey,
    /// JSON text.
    pub input: Arc<[u8]>,
    /// When the attempt must be over.
    pub deadline: Time,
    /// When it is taken away unless it is extended.
    pub lease_until: Time,
}

impl Remotes {
    /// The longest wait of a claim: a worker that waits is heard of often enough.
    pub fn wait_max(&self) -> Duration {
        self.terms.heartbeat
    }

    /// Takes work for a worker; waits for the first task if there is none.
    ///
    /// # Errors
    /// There is no such worker, or the session is not its newest.
    pub async fn claim(
        &self,
        name: &str,
        session: &str,
        claim: Claim,
    ) -> Result<Vec<Claimed>, RuntimeError> {
        let worker = self.of_session(name, session)?;
        self.readmit(&worker);
        let until = worker.now() + claim.wait.min(self.wait_max());
        let (turn, is_again) = worker.desk().begin_claim(claim.number);
        // A claim that waits for the same worker gives way to this one.
        worker.changed.notify_waiters();
        if !is_again {
            worker.take(turn, claim.max);
        }
        loop {
            let mut changed = std::pin::pin!(worker.changed.notified());
            changed.as_mut().enable();
            match worker.look(session, turn)? {
                Look::There(claimed) => return Ok(claimed),
                Look::GivesWay => return Ok(Vec::new()),
                Look::Intending => changed.await,
                Look::Empty if worker.take(turn, claim.max) => {}
                Look::Empty => {
                    let left = until.saturating_duration_since(worker.now());
                    if left.is_zero() || tokio::time::timeout(left, changed).await.is_err() {
                        return Ok(Vec::new());
                    }
                }
            }
        }
    }
}

/// What there is for a claim.
enum Look {
    There(Vec<Claimed>),
    /// Their intents are being recorded.
    Intending,
    Empty,
    /// A newer claim has begun, or the worker leaves.
    GivesWay,
}

impl Worker {
    fn look(&self, session: &str, turn: u64) -> Result<Look, RuntimeError> {
        let desk = self.desk();
        if !super::session::is_same(session, &desk.session) {
            return Err(fenced(&self.name));
        }
        if desk.is_intending(turn) {
            return Ok(Look::Intending);
        }
        let claimed = desk.claimed(turn);
        Ok(match claimed.is_empty() {
            false => Look::There(claimed.into_iter().map(claimed_of).collect()),
            true if !desk.is_newest(turn) || desk.presence == Presence::Leaving => Look::GivesWay,
            true => Look::Empty,
        })
    }

    /// Takes what waits, and asks for the intents; whether there was anything.
    fn take(self: &Arc<Self>, turn: u64, max: u32) -> bool {
        let limits = Limits { tasks: max as usize, bytes: CLAIM_BYTES_MAX };
        let taken = {
            let mut desk = self.desk();
            if !desk.is_newest(turn) {
                return false;
            }
            desk.take(turn, limits, self.now())
        };
        if taken.is_empty() {
            return false;
        }
        let batch = Batch::new(taken.len());
        for work in taken {
            let begin = || self.begin(&work, &batch);
            let input = match work.input.len() {
                bytes if bytes > LONG_CHECK_BYTES => threads::in_place(begin),
                _ => begin(),
            };
            // The loop is gone only when the instance stops; the reply knows when it is dropped.
            let _ = self.shop.to_loop.send(Message::One(input));
        }
        true
    }

    /// The intent of a task's effect; or its end, where the input is none for the skill.
    fn begin(self: &Arc<Self>, work: &Arc<Work>, batch: &Arc<Batch>) -> Input<crate::reply::Reply> {
        match self.arguments(work) {
            Ok(arguments) => {
                let intent = IntendStep {
                    pt: work.pt,
                    agent: work.agent,
                    number: 0,
                    tool: work.skill.name.clone(),
                    arguments,
                    class: work.skill.class,
                    reserve: Amounts::ZERO,
                };
                let reply = RemoteReply::new(self, work.pt, Asked::Intent, batch);
                let command = Command::IntendStep(Box::new(intent));
                let reply = Some(crate::reply::Reply::Remote(Box::new(reply)));
                Input::Command { command, cause: work.cause, reply }
            }
            Err(failure) => {
                self.desk().begin_unseen_finish(&work.pt);
                let asked = Asked::Finish { fate: Fate::Cancelled, has_worked: false };
                let reply = RemoteReply::new(self, work.pt, asked, batch);
                finish_of(work, AttemptOutcome::Failed(failure), 0, reply)
            }
        }
    }

    /// Digest of the input in canonical form, once it fits the skill's schema.
    fn arguments(&self, work: &Work) -> Result<Hash, Failure> {
        let invalid = |why: String| Failure::fatal("input_invalid", why);
        self.shop.schemas.validate(&work.skill.input_schema, &work.input).map_err(
            |violations| {
                let first = violations.into_iter().next();
                let said = first.map(|it| format!("{}: {}", it.pointer, it.message));
                invalid(said.unwrap_or_default())
            },
        )?;
        let value: serde_json::Value = serde_json::from_slice(&work.input)
            .map_err(|error| invalid(format!("read the input: {error}")))?;
        Ok(Hash::of(value.to_string().as_bytes()))
    }
}

fn claimed_of((held, key): (Held, StepKey)) -> Claimed {
    let Held { work, lease_until, .. } = held;
    Claimed {
        pt: work.pt,
        task: TaskId { run: work.pt.run, task: work.pt.task },
        attempt: work.attempt,
        skill: work.skill.name.clone(),
        class: work.skill.class,
        key,
        input: work.input.clone(),
        deadline: work.deadline,
        lease_until,
    }
}

/// How long somebody has waited.
pub(super) fn micros_since(since: Instant, now: Instant) -> u64 {
    let passed = now.saturating_duration_since(since).as_micros();
    u64::try_from(passed).unwrap_or(u64::MAX)
}
