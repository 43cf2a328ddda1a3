//! Waiting for messages: as a task, or as the thread of an attempt.

use std::sync::Arc;
use std::time::Duration;

use ark_os_core::ids::AgentIx;

use super::bell::Bell;
use super::shard::Wait;
use super::{Envelope, Messages, refusals};
use crate::RuntimeError;

/// How long a thread waits without a look at anything else: a cancelled attempt is heard soon, and
/// leases are renewed.
const LOOK: Duration = Duration::from_millis(100);

/// Somebody waits at a mailbox until this is dropped.
struct Waiting<'a> {
    messages: &'a Messages,
    agent: AgentIx,
    bell: Arc<Bell>,
}

impl Messages {
    /// Waits until there is something to take, at most so long, and takes it.
    ///
    /// # Errors
    /// Too many wait at this mailbox.
    pub async fn take_within(
        &self,
        agent: AgentIx,
        max: usize,
        patience: Duration,
    ) -> Result<Vec<Arc<Envelope>>, RuntimeError> {
        let until = self.clock.instant() + patience;
        loop {
            let taken = self.take(agent, max);
            let left = until.saturating_duration_since(self.clock.instant());
            if !taken.is_empty() || left.is_zero() {
                return Ok(taken);
            }
            self.arrival(agent, 0, left).await?;
        }
    }

    /// Waits until something came after a place, at most so long.
    ///
    /// # Errors
    /// Too many wait at this mailbox.
    pub async fn arrival(
        &self,
        agent: AgentIx,
        after: u64,
        patience: Duration,
    ) -> Result<(), RuntimeError> {
        if let Some(waiting) = self.wait_at(agent, after)? {
            // In time or not, whoever waited looks.
            let _ = tokio::time::timeout(patience, waiting.bell.heard()).await;
        }
        Ok(())
    }

    /// As `take_within` for a thread, which asks every moment whether it is still to wait. A durable
    /// message does not count as taken yet: whoever takes it says when it has.
    ///
    /// # Errors
    /// Too many wait at this mailbox.
    pub fn take_on_thread(
        &self,
        agent: AgentIx,
        patience: Duration,
        mut goes_on: impl FnMut() -> bool,
    ) -> Result<Option<Arc<Envelope>>, RuntimeError> {
        let until = self.clock.instant() + patience;
        loop {
            let mut taken = Vec::new();
            self.take_into(agent, 1, &mut taken);
            let taken = taken.pop();
            let left = until.saturating_duration_since(self.clock.instant());
            if taken.is_some() || left.is_zero() || !goes_on() {
                return Ok(taken);
            }
            if let Some(waiting) = self.wait_at(agent, 0)? {
                waiting.bell.hear(left.min(LOOK));
            }
        }
    }

    /// None: there is something already.
    fn wait_at(&self, agent: AgentIx, after: u64) -> Result<Option<Waiting<'_>>, RuntimeError> {
        let bell = Arc::new(Bell::default());
        match self.shard(agent).wait(agent.0, &bell, after, self.clock.now()) {
            Wait::Ready => Ok(None),
            Wait::Listed => Ok(Some(Waiting { messages: self, agent, bell })),
            Wait::Crowded => Err(refusals::crowded()),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.messages.shard(self.agent).leave(self.agent.0, &self.bell);
    }
}
