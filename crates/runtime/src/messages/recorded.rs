//! A message as the step records it that takes it.

use ark_os_core::Kind;
use ark_os_core::priority::Priority;
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Address, Directory, Envelope, MessageId, MessageKind, Party};
use crate::RuntimeError;

/// Names stand for agents: a fleet may number them otherwise after a restart.
#[derive(Debug, Serialize, Deserialize)]
struct Recorded {
    id: String,
    from: String,
    to: String,
    kind: String,
    correlation: Option<String>,
    about: Option<Text>,
    subject: Option<Text>,
    trace: Option<Text>,
    priority: Priority,
    sent: Time,
    expires: Time,
    authority: Text,
    media: Option<Text>,
    body: String,
    durable: bool,
}

impl Envelope {
    /// What is recorded.
    pub(crate) fn to_json(&self, directory: &Directory) -> Vec<u8> {
        let recorded = Recorded {
            id: self.id.to_string(),
            from: self.from.address().text(directory),
            to: self.to.text(directory),
            kind: self.kind.as_str().to_owned(),
            correlation: self.correlation.as_ref().map(MessageId::to_string),
            about: self.about.clone(),
            subject: self.subject.clone(),
            trace: self.trace.clone(),
            priority: self.priority,
            sent: self.sent,
            expires: self.expires,
            authority: self.authority.clone(),
            media: self.media.clone(),
            body: STANDARD.encode(&self.body),
            durable: self.durable,
        };
        // Plain data always has a JSON form.
        serde_json::to_vec(&recorded).unwrap_or_default()
    }

    /// Reads what was recorded.
    ///
    /// # Errors
    /// It is none, or from or to somebody who is not in the fleet any more.
    pub(crate) fn from_json(json: &[u8], directory: &Directory) -> Result<Self, RuntimeError> {
        let recorded: Recorded = serde_json::from_slice(json).map_err(|_| unreadable())?;
        let address = |text: &str| Address::parse(text, directory).ok_or_else(unreadable);
        let from = match address(&recorded.from)? {
            Address::Agent(agent) => Party::Agent(agent),
            Address::Outside(name) => Party::Outside(name),
            _ => return Err(unreadable()),
        };
        Ok(Envelope {
            id: MessageId::parse(&recorded.id),
            from,
            to: address(&recorded.to)?,
            kind: MessageKind::parse(&recorded.kind).ok_or_else(unreadable)?,
            correlation: recorded.correlation.as_deref().map(MessageId::parse),
            about: recorded.about,
            subject: recorded.subject,
            trace: recorded.trace,
            priority: recorded.priority,
            sent: recorded.sent,
            expires: recorded.expires,
            authority: recorded.authority,
            media: recorded.media,
            body: STANDARD.decode(&recorded.body).map_err(|_| unreadable())?.into(),
            durable: recorded.durable,
        })
    }
}

/// The id of a durable message that was recorded; none: it is no such message.
pub(super) fn durable_id(json: &[u8]) -> Option<MessageId> {
    let recorded: Recorded = serde_json::from_slice(json).ok()?;
    recorded.durable.then(|| MessageId::parse(&recorded.id))
}

fn unreadable() -> RuntimeError {
    let message = "read a recorded message: its sender or addressee is not in the fleet any more";
    RuntimeError::new(Kind::NotFound, "addressee_not_found", message)
}
