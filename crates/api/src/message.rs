//! Messages at the border: CloudEvents 1.0 in JSON, structured mode.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Json;

/// A message as a CloudEvent 1.0. `to`, `kind`, `correlation`, `priority`, `ttlms`, `authority`, `durable`
/// and `traceparent` are extension attributes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "specversion": "1.0", "id": "build-17", "source": "/outside/ci", "type": "build.done",
    "to": "topic:builds.done", "kind": "notification", "priority": "normal", "ttlms": 60000,
    "datacontenttype": "application/json", "data": {"build": 17}
}))]
pub struct CloudEvent {
    /// `1.0`.
    pub specversion: String,
    /// Names it among those of its source. One of ours begins with `msg_`.
    pub id: String,
    /// Who sends: `/agents/NAME` or `/outside/NAME`.
    pub source: String,
    /// What it is about, in the sender's words.
    #[serde(rename = "type")]
    pub about: String,
    /// What in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it was sent. Set by the instance: what a sender writes here is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The media type of the data; absent: `application/json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// The data: JSON, or a string where the media type is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub data: Option<Json>,
    /// The data where it is neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// To whom: `agent:NAME`, `layer:NAME`, `stack:N`, `fleet`, `topic:NAME`, or to answer
    /// `outside:NAME`.
    pub to: String,
    /// `request`, `response`, `notification`, `alert` or `heartbeat`; absent: `notification`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The id of the request that it answers, or of whatever it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// W3C trace context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// `emergency`, `critical`, `high`, `normal`, `low` or `maintenance`; absent: `normal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// How long it is of use, in milliseconds; absent: a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttlms: Option<u64>,
    /// Under whose authority it was sent. Set by the instance: a sender leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// `true`: it is recorded as a step of its sender. Set by the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durable: Option<bool>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageSent {
    /// Its id.
    pub id: String,
    /// Whom it was for.
    pub addressees: u32,
    /// Who has it.
    pub delivered: u32,
    /// For whom there was no room: dropped by the mailbox's rule.
    pub dropped: u32,
    /// For whom there was no room: to be sent again.
    pub pushed_back: u32,
}

/// The answers to a request: one line for each agent that was asked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MessageAnswers {
    /// The id of the request.
    pub id: String,
    /// In the order in which they were asked.
    pub answers: Vec<MessageAnswer>,
}

/// What came of a request at one agent.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MessageAnswer {
    /// The agent.
    pub agent: String,
    /// `answered`, `timed_out`, or `not_reached` where its mailbox was full.
    pub outcome: String,
    /// What it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<CloudEvent>,
}

/// Messages in a mailbox, in the order they came.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MailboxView {
    /// What is in it.
    pub items: Vec<MailView>,
}

/// A message in a mailbox.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MailView {
    /// Its place, for `?after`.
    pub place: u64,
    /// The message.
    pub message: CloudEvent,
}

/// Messages that were taken out of a mailbox, the most urgent first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TakenMessages {
    /// The messages.
    pub items: Vec<CloudEvent>,
}

/// A topic.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"topic": "builds.done"}))]
pub struct Topic {
    /// Its name: dotted parts of letters, digits, `_` and `-`, at most 100 bytes.
    pub topic: String,
}

/// Whether an agent has subscribed to a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Subscription {
    /// The agent.
    pub agent: String,
    /// The topic.
    pub topic: String,
    /// Whether it gets what is sent to it.
    pub subscribed: bool,
    /// Whether that is new.
    pub changed: bool,
}
