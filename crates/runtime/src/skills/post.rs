//! What an attempt may do with messages while it works.

use std::sync::Arc;
use std::time::Duration;

use ark_os_core::ids::AgentIx;

use super::SkillError;
use crate::messages::{Address, Answer, Envelope, Outgoing, Sent};

/// Messages in the name of the agent that works on the attempt, under the run's authority.
/// Work on the loop's own thread sends and takes what is there, and never waits.
pub trait Post {
    /// The agent that works.
    fn agent(&self) -> AgentIx;
    /// Reads an address: `agent:micro-00042`, `layer:specialist`, `stack:3`, `fleet`, `topic:NAME`.
    fn address(&self, text: &str) -> Result<Address, SkillError>;
    /// Sends: at most once, and recorded nowhere. A `durable` notification or alert to one agent is a
    /// step of the attempt instead, of the tool `message`: this returns when the agent has it for
    /// good, or fails, and is tried again, if that takes longer than its time to live.
    fn send(&self, message: Outgoing) -> Result<Sent, SkillError>;
    /// Asks, and waits until all who were asked have answered, at most so long.
    fn ask(
        &self,
        message: Outgoing,
        within: Duration,
    ) -> Result<Vec<(AgentIx, Answer)>, SkillError>;
    /// The next message to the agent, waited for at most so long. A durable one counts as taken: if
    /// this attempt is lost from here on, nobody gets it again.
    fn receive(&self, within: Duration) -> Result<Option<Arc<Envelope>>, SkillError>;
    /// The same as a step of the tool `message.take`, whose recorded result is the message: another
    /// attempt at this task gets it again at this place, and nobody else. An error if none comes.
    fn receive_recorded(&self, within: Duration) -> Result<Arc<Envelope>, SkillError>;
    /// From now on the agent gets what is sent to a topic, or gets it no more; whether that is new.
    fn subscribe(&self, topic: &str, listens: bool) -> Result<bool, SkillError>;
}
