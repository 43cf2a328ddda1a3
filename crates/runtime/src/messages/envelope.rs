//! A message: its envelope and its body.

use std::fmt;
use std::sync::Arc;

use ark_os_core::ids::RunId;
use ark_os_core::priority::Priority;
use ark_os_core::text::Text;
use ark_os_core::time::Time;

use super::address::{Address, Party};

/// Bytes of a body: what is larger is saved as a blob, and its name sent.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an id that somebody else gave, a type or a media type.
pub const FIELD_BYTES_MAX: usize = 200;
/// Time to live where the sender does not say: what nobody took for a minute is news no more.
pub const TTL_MS: u64 = 60_000;
/// The longest time to live.
pub const TTL_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
const ID_TAG: &str = "msg_";
const RUN_TAG: &str = "run_";

/// The name of a message: one of ours, or what its sender called it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MessageId {
    /// Given here.
    Ours(u128),
    /// Given by the sender.
    Theirs(Text),
}

impl MessageId {
    /// Reads an id; a text that is none of ours is its sender's.
    pub fn parse(text: &str) -> Self {
        // The digits are those of a run's id.
        let digits = text.strip_prefix(ID_TAG).map(|digits| format!("{RUN_TAG}{digits}"));
        match digits.and_then(|digits| RunId::parse(&digits)) {
            // One that would be written otherwise is not one of ours.
            Some(RunId(id)) if MessageId::Ours(id).to_string() == text => MessageId::Ours(id),
            _ => MessageId::Theirs(Text::from(text)),
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageId::Ours(id) => {
                let digits = RunId(*id).to_string();
                write!(f, "{ID_TAG}{}", digits.trim_start_matches(RUN_TAG))
            }
            MessageId::Theirs(text) => f.write_str(text),
        }
    }
}

/// What a message is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Wants an answer.
    Request,
    /// Is one.
    Response,
    /// Tells something.
    #[default]
    Notification,
    /// Tells something that somebody should look at.
    Alert,
    /// Tells that its sender lives.
    Heartbeat,
}

impl MessageKind {
    /// All kinds.
    pub const ALL: [MessageKind; 5] = [
        MessageKind::Request,
        MessageKind::Response,
        MessageKind::Notification,
        MessageKind::Alert,
        MessageKind::Heartbeat,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            MessageKind::Request => "request",
            MessageKind::Response => "response",
            MessageKind::Notification => "notification",
            MessageKind::Alert => "alert",
            MessageKind::Heartbeat => "heartbeat",
        }
    }

    /// The kind of this name.
    pub fn parse(text: &str) -> Option<Self> {
        MessageKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A message as its sender hands it in.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// To whom.
    pub to: Address,
    /// What it is for.
    pub kind: MessageKind,
    /// Its id; none: one of ours.
    pub id: Option<MessageId>,
    /// The request that it answers, or whatever it belongs to.
    pub correlation: Option<MessageId>,
    /// What it is about, in the sender's words.
    pub about: Option<Text>,
    /// What in particular.
    pub subject: Option<Text>,
    /// W3C trace context (`traceparent`).
    pub trace: Option<Text>,
    /// How urgent it is.
    pub priority: Priority,
    /// How long it is of use, in milliseconds.
    pub ttl_ms: u64,
    /// The media type of its body; none: JSON.
    pub media: Option<Text>,
    /// Its body.
    pub body: Arc<[u8]>,
    /// Whether it is recorded; only the step of an attempt sends such a message.
    pub durable: bool,
}

impl Outgoing {
    /// A notification with a JSON body.
    pub fn new(to: Address, body: impl Into<Arc<[u8]>>) -> Self {
        Outgoing {
            to,
            kind: MessageKind::Notification,
            id: None,
            correlation: None,
            about: None,
            subject: None,
            trace: None,
            priority: Priority::Normal,
            ttl_ms: TTL_MS,
            media: None,
            body: body.into(),
            durable: false,
        }
    }

    /// The answer to a message, as urgent as it.
    pub fn answering(request: &Envelope, body: impl Into<Arc<[u8]>>) -> Self {
        Outgoing {
            kind: MessageKind::Response,
            correlation: Some(request.id.clone()),
            trace: request.trace.clone(),
            priority: request.priority,
            ..Outgoing::new(request.from.address(), body)
        }
    }

    /// The same of another kind.
    #[must_use]
    pub fn of_kind(self, kind: MessageKind) -> Self {
        Outgoing { kind, ..self }
    }
}

/// A message on its way. Shared by all whom it reaches.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Its id.
    pub id: MessageId,
    /// Who sent it.
    pub from: Party,
    /// To whom, as the sender wrote.
    pub to: Address,
    /// What it is for.
    pub kind: MessageKind,
    /// The request that it answers, or whatever it belongs to.
    pub correlation: Option<MessageId>,
    /// What it is about, in the sender's words.
    pub about: Option<Text>,
    /// What in particular.
    pub subject: Option<Text>,
    /// W3C trace context.
    pub trace: Option<Text>,
    /// How urgent it is.
    pub priority: Priority,
    /// When it was sent.
    pub sent: Time,
    /// When it is over.
    pub expires: Time,
    /// Under whose authority it was sent.
    pub authority: Text,
    /// The media type of its body; none: JSON.
    pub media: Option<Text>,
    /// Its body.
    pub body: Arc<[u8]>,
    /// Whether it is recorded.
    pub durable: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_foreign_ones_stay_as_they_are() {
        for id in [MessageId::Ours(0), MessageId::Ours(u128::MAX), MessageId::Ours(7 << 64)] {
            assert_eq!(MessageId::parse(&id.to_string()), id);
        }
        for text in
            ["", "a", "msg_", "msg_0000000000000000000000000o", "run_00000000000000000000000000"]
        {
            assert_eq!(MessageId::parse(text), MessageId::Theirs(Text::from(text)));
            assert_eq!(MessageId::parse(text).to_string(), text);
        }
    }
}
