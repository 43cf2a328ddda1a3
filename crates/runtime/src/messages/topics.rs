//! Topics: whoever has subscribed to a name gets what is sent to it.

use std::sync::{Arc, PoisonError, RwLock};

use ark_os_core::ids::AgentIx;
use ark_os_core::text::Text;
use rustc_hash::FxHashMap;

/// Topics with subscribers at one time.
const TOPICS_MAX: usize = 4_096;
/// Subscribers of one topic: every message is put into so many mailboxes.
const SUBSCRIBERS_MAX: usize = 2_000;
/// Subscriptions in all: 4 MiB.
const SUBSCRIPTIONS_MAX: usize = 1_000_000;

/// Who has subscribed to what. Kept while the instance runs.
#[derive(Debug, Default)]
pub(super) struct Topics {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_name: FxHashMap<Text, Arc<[AgentIx]>>,
    subscriptions: usize,
}

/// There is no room for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crowded;

impl Topics {
    pub(super) fn subscribers(&self, topic: &str) -> Arc<[AgentIx]> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.by_name.get(topic).cloned().unwrap_or_default()
    }

    /// Whether the agent had not subscribed before.
    pub(super) fn subscribe(&self, topic: &Text, agent: AgentIx) -> Result<bool, Crowded> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let now = inner.by_name.get(topic).cloned();
        let is_new = now.is_none();
        let now = now.unwrap_or_default();
        if now.contains(&agent) {
            return Ok(false);
        }
        if now.len() >= SUBSCRIBERS_MAX
            || inner.subscriptions >= SUBSCRIPTIONS_MAX
            || is_new && inner.by_name.len() >= TOPICS_MAX
        {
            return Err(Crowded);
        }
        let then = now.iter().copied().chain([agent]).collect();
        inner.by_name.insert(topic.clone(), then);
        inner.subscriptions += 1;
        Ok(true)
    }

    /// Whether the agent had subscribed.
    pub(super) fn unsubscribe(&self, topic: &str, agent: AgentIx) -> bool {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let Some(now) = inner.by_name.get(topic).cloned() else { return false };
        if !now.contains(&agent) {
            return false;
        }
        let then: Arc<[AgentIx]> = now.iter().copied().filter(|it| *it != agent).collect();
        inner.subscriptions = inner.subscriptions.saturating_sub(1);
        if then.is_empty() {
            inner.by_name.remove(topic);
        } else if let Some(subscribers) = inner.by_name.get_mut(topic) {
            *subscribers = then;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_there_while_somebody_listens_and_a_crowded_one_takes_nobody_more() {
        let topics = Topics::default();
        let topic = Text::from("builds.done");
        for agent in (0..SUBSCRIBERS_MAX as u32).map(AgentIx) {
            assert_eq!(topics.subscribe(&topic, agent), Ok(true));
        }
        assert_eq!(topics.subscribe(&topic, AgentIx(0)), Ok(false));
        assert_eq!(topics.subscribe(&topic, AgentIx(u32::MAX)), Err(Crowded));
        assert!(topics.unsubscribe(&topic, AgentIx(1)) && !topics.unsubscribe(&topic, AgentIx(1)));
        assert_eq!(topics.subscribers(&topic).len(), SUBSCRIBERS_MAX - 1);
        for agent in (0..SUBSCRIBERS_MAX as u32).map(AgentIx) {
            topics.unsubscribe(&topic, agent);
        }
        assert!(topics.inner.read().unwrap().by_name.is_empty());
    }
}
