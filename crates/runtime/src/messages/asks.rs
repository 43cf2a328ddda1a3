//! Requests that somebody waits for, and the answers that have come to them.

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ark_os_core::ids::AgentIx;
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use super::bell::Bell;
use super::envelope::{Envelope, MessageId};

/// Parts of the table, each under a lock of its own.
const PARTS: usize = 16;
/// Requests waited for at one time in one part: 65 536 in all, about as many threads and
/// connections as wait at all.
const PART_MAX: usize = 4_096;

/// All requests that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Asks {
    parts: [Mutex<FxHashMap<MessageId, Arc<Gather>>>; PARTS],
}

/// The answers to one request.
#[derive(Debug)]
pub(super) struct Gather {
    come: Mutex<Come>,
    pub(super) bell: Arc<Bell>,
}

#[derive(Debug)]
struct Come {
    /// Whose answer is waited for.
    missing: FxHashSet<AgentIx>,
    answers: FxHashMap<AgentIx, Arc<Envelope>>,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Who waits has it.
    Taken,
    /// Who waits does not wait for this agent's answer, or has it already.
    Unexpected,
    /// Nobody waits.
    Nobody,
}

/// Why a request cannot be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unheard {
    /// Somebody waits for a request of this id.
    Taken,
    /// Too many requests are waited for.
    Crowded,
}

impl Asks {
    /// Somebody waits for the answers of these agents.
    pub(super) fn open(&self, id: MessageId, of: &[AgentIx]) -> Result<Arc<Gather>, Unheard> {
        let mut part = self.part(&id);
        if part.len() >= PART_MAX {
            return Err(Unheard::Crowded);
        }
        if part.contains_key(&id) {
            return Err(Unheard::Taken);
        }
        let come = Come { missing: of.iter().copied().collect(), answers: FxHashMap::default() };
        let gather = Arc::new(Gather { come: Mutex::new(come), bell: Arc::default() });
        part.insert(id, gather.clone());
        Ok(gather)
    }

    pub(super) fn close(&self, id: &MessageId) {
        self.part(id).remove(id);
    }

    /// Hands an answer to who waits for it.
    pub(super) fn claim(
        &self,
        id: &MessageId,
        from: Option<AgentIx>,
        answer: &Arc<Envelope>,
    ) -> Claim {
        let Some(gather) = self.part(id).get(id).cloned() else { return Claim::Nobody };
        let Some(from) = from else { return Claim::Unexpected };
        gather.put(from, answer)
    }

    fn part(&self, id: &MessageId) -> MutexGuard<'_, FxHashMap<MessageId, Arc<Gather>>> {
        let at = (FxBuildHasher.hash_one(id) >> 32) as usize % PARTS;
        let [first, ..] = &self.parts;
        self.parts.get(at).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gather {
    fn put(&self, from: AgentIx, answer: &Arc<Envelope>) -> Claim {
        let mut come = self.lock();
        if !come.missing.remove(&from) {
            return Claim::Unexpected;
        }
        come.answers.insert(from, answer.clone());
        let is_over = come.missing.is_empty();
        drop(come);
        if is_over {
            self.bell.ring();
        }
        Claim::Taken
    }

    /// This agent was not reached: nobody waits for it.
    pub(super) fn give_up(&self, agent: AgentIx) {
        let mut come = self.lock();
        come.missing.remove(&agent);
        if come.missing.is_empty() {
            self.bell.ring();
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.lock().missing.is_empty()
    }

    /// What this agent has answered.
    pub(super) fn answer(&self, agent: AgentIx) -> Option<Arc<Envelope>> {
        self.lock().answers.get(&agent).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Come> {
        self.come.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
