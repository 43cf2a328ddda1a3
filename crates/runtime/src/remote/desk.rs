//! What one worker has before it: tasks that wait for its claim, tasks in its hands, and what became
//! of those before. Plain data under a lock: who changes it says what time it is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ark_os_core::ids::PtId;
use ark_os_core::step::StepKey;
use ark_os_core::time::Time;
use rustc_hash::FxHashMap;

use super::Work;

/// Ends of attempts that a worker can ask about again: what it may have in flight when a connection
/// breaks, four times over.
const FATES_MAX: usize = 4_096;

/// How a worker stands, as far as this process knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    /// It takes work.
    Ready,
    /// It left work unclaimed: nothing more until its next claim.
    Idle,
    /// Not heard of for two intervals: nothing more until it is.
    Suspect,
    /// Not heard of for three: what it had is done by others.
    Offline,
    /// It goes when its hands are empty.
    Leaving,
}

impl Presence {
    /// As a word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Presence::Ready => "ready",
            Presence::Idle => "idle",
            Presence::Suspect => "suspect",
            Presence::Offline => "offline",
            Presence::Leaving => "leaving",
        }
    }
}

/// Where a task of a worker is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// It waits for a claim.
    Queued,
    /// A claim took it; the intent of its effect becomes durable.
    Intending(u64),
    /// In the worker's hands since this claim, under this key.
    InHand(u64, StepKey),
    /// Its result is being recorded.
    Finishing,
}

/// A task of a worker.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) work: Arc<Work>,
    pub(super) phase: Phase,
    /// Since when it is there.
    pub(super) since: Instant,
    /// Until when its token is held unless it is renewed.
    pub(super) lease_until: Time,
}

/// What became of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Its result, or its failure, was recorded.
    Accepted,
    /// Its output cannot be one.
    Refused {
        /// The error code.
        code: String,
        /// In words.
        message: String,
    },
    /// Its run or task is over, or somebody stopped it.
    Cancelled,
    /// Its token is not in use any more.
    Stale,
}

/// One worker's.
#[derive(Debug)]
pub(super) struct Desk {
    /// The secret of the session.
    pub(super) session: String,
    pub(super) presence: Presence,
    /// When it was last heard of.
    pub(super) seen: Instant,
    /// Counts claims; what a claim took is known by it.
    turn: u64,
    /// The number of the newest claim that had one, and its turn.
    numbered: Option<(u64, u64)>,
    queue: VecDeque<PtId>,
    held: FxHashMap<PtId, Held>,
    fates: FxHashMap<PtId, Fate>,
    fate_order: VecDeque<PtId>,
    pub(super) completed: u64,
    pub(super) failed: u64,
}

impl Desk {
    pub(super) fn new(session: String, now: Instant) -> Self {
        Desk {
            session,
            presence: Presence::Ready,
            seen: now,
            turn: 0,
            numbered: None,
            queue: VecDeque::new(),
            held: FxHashMap::default(),
            fates: FxHashMap::default(),
            fate_order: VecDeque::new(),
            completed: 0,
            failed: 0,
        }
    }

    /// Puts a task where the next claim finds it.
    pub(super) fn assign(&mut self, work: Arc<Work>, now: Instant) {
        let (pt, lease_until) = (work.pt, work.lease_until);
        self.held.insert(pt, Held { work, phase: Phase::Queued, since: now, lease_until });
        self.queue.push_back(pt);
    }

    /// A claim begins: its turn, and whether it repeats the one before.
    pub(super) fn begin_claim(&mut self, number: Option<u64>) -> (u64, bool) {
        if let (Some(number), Some((known, turn))) = (number, self.numbered)
            && known == number
            && turn == self.turn
        {
            return (turn, true);
        }
        self.turn += 1;
        self.numbered = number.map(|number| (number, self.turn));
        (self.turn, false)
    }

    /// Whether no claim has begun after this one.
    pub(super) fn is_newest(&self, turn: u64) -> bool {
        self.turn == turn
    }

    /// Takes waiting tasks for a claim, at most `max` and about so many bytes of input.
    pub(super) fn take(&mut self, turn: u64, limits: Limits, now: Instant) -> Vec<Arc<Work>> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < limits.tasks {
            let Some(pt) = self.queue.front() else { break };
            let Some(held) = self.held.get_mut(pt) else {
                self.queue.pop_front();
                continue;
            };
            bytes += held.work.input.len();
            if bytes > limits.bytes && !taken.is_empty() {
                break;
            }
            (held.phase, held.since) = (Phase::Intending(turn), now);
            taken.push(held.work.clone());
            self.queue.pop_front();
        }
        taken
    }

    /// Whether tasks of this claim are not in hand yet.
    pub(super) fn is_intending(&self, turn: u64) -> bool {
        self.held.values().any(|held| held.phase == Phase::Intending(turn))
    }

    /// The effect of a task may begin.
    pub(super) fn hand_over(&mut self, pt: PtId, key: StepKey, now: Instant) {
        if let Some(held) = self.held.get_mut(&pt)
            && let Phase::Intending(turn) = held.phase
        {
            (held.phase, held.since) = (Phase::InHand(turn, key), now);
        }
    }

    /// What is in hand of a claim, oldest first.
    pub(super) fn claimed(&self, turn: u64) -> Vec<(Held, StepKey)> {
        let of_turn = |held: &Held| match held.phase {
            Phase::InHand(of, key) if of == turn => Some((held.clone(), key)),
            _ => None,
        };
        let mut claimed: Vec<_> = self.held.values().filter_map(of_turn).collect();
        claimed.sort_by_key(|(held, _)| held.work.pt.fence);
        claimed
    }

    /// What is in hand under a token.
    pub(super) fn in_hand(&self, pt: &PtId) -> Option<(&Held, StepKey)> {
        match self.held.get(pt) {
            Some(held) => match held.phase {
                Phase::InHand(_, key) => Some((held, key)),
                _ => None,
            },
            None => None,
        }
    }

    /// A result is about to be recorded: nobody else may present one.
    pub(super) fn begin_finish(&mut self, pt: &PtId) {
        if let Some(held) = self.held.get_mut(pt) {
            held.phase = Phase::Finishing;
        }
    }

    /// The same for a task whose effect was never begun.
    pub(super) fn begin_unseen_finish(&mut self, pt: &PtId) -> Option<Arc<Work>> {
        let held = self.held.get_mut(pt)?;
        held.phase = Phase::Finishing;
        Some(held.work.clone())
    }

    pub(super) fn is_finishing(&self, pt: &PtId) -> bool {
        self.held.get(pt).is_some_and(|held| held.phase == Phase::Finishing)
    }

    /// A lease was renewed.
    pub(super) fn renew(&mut self, pt: &PtId, until: Time) {
        if let Some(held) = self.held.get_mut(pt) {
            held.lease_until = until;
        }
    }

    /// An attempt is over for this worker. What is known of it already stays so.
    pub(super) fn close(&mut self, pt: PtId, fate: Fate) {
        let Some(held) = self.held.remove(&pt) else { return };
        if held.phase == Phase::Queued {
            self.queue.retain(|queued| *queued != pt);
            return;
        }
        while self.fate_order.len() >= FATES_MAX {
            if let Some(oldest) = self.fate_order.pop_front() {
                self.fates.remove(&oldest);
            }
        }
        self.fate_order.push_back(pt);
        self.fates.insert(pt, fate);
    }

    /// An end that this worker presented was looked at.
    pub(super) fn count(&mut self, fate: &Fate, has_worked: bool) {
        match fate {
            Fate::Accepted if has_worked => self.completed += 1,
            Fate::Accepted | Fate::Refused { .. } => self.failed += 1,
            Fate::Cancelled | Fate::Stale => {}
        }
    }

    /// What became of an attempt that was this worker's; one that nothing is known of is stale.
    pub(super) fn fate(&self, pt: &PtId) -> Fate {
        self.fates.get(pt).cloned().unwrap_or(Fate::Stale)
    }

    /// Tokens of tasks that wait for a claim, or have waited for so long.
    pub(super) fn unclaimed(&self, for_so_long: Duration, now: Instant) -> Vec<PtId> {
        let is_late = |pt: &&PtId| {
            let held = self.held.get(*pt);
            held.is_some_and(|held| now.saturating_duration_since(held.since) >= for_so_long)
        };
        self.queue.iter().filter(is_late).copied().collect()
    }

    /// Tokens of everything that it has, in order.
    pub(super) fn tokens(&self) -> Vec<PtId> {
        let mut tokens: Vec<PtId> = self.held.keys().copied().collect();
        tokens.sort_unstable();
        tokens
    }

    /// How many tasks wait for a claim.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// How many a claim has taken.
    pub(super) fn under_way(&self) -> usize {
        self.held.len().saturating_sub(self.queue.len())
    }
}

/// What one claim may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) tasks: usize,
    pub(super) bytes: usize,
}
