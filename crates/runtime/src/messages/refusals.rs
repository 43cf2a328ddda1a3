//! Why a message is not sent: every error of this room, in words.

use ark_os_core::Kind;

use super::directory::Barred;
use super::envelope::{
    BODY_BYTES_MAX, FIELD_BYTES_MAX, MessageId, MessageKind, Outgoing, TTL_MS_MAX,
};
use super::{Address, is_name};
use crate::RuntimeError;

/// Bytes of a W3C `traceparent`.
const TRACE_BYTES_MAX: usize = 55;

/// Whether a message is well formed.
pub(super) fn check(message: &Outgoing) -> Result<(), RuntimeError> {
    if message.body.len() > BODY_BYTES_MAX {
        let message = format!("send a body of {} bytes", message.body.len());
        return Err(RuntimeError::new(Kind::Invalid, "message_too_large", message)
            .with_hint("a body has at most 65536 bytes; save what is larger and send its name"));
    }
    let fault = fault_of(message);
    fault.map_or(Ok(()), |fault| Err(invalid(fault)))
}

fn fault_of(message: &Outgoing) -> Option<&'static str> {
    let is_long = |text: Option<&str>| text.is_some_and(|text| text.len() > FIELD_BYTES_MAX);
    if message.ttl_ms == 0 || message.ttl_ms > TTL_MS_MAX {
        return Some("its time to live is 1 ms to 24 h");
    }
    let texts = [&message.about, &message.subject, &message.media];
    if texts.into_iter().any(|text| is_long(text.as_deref())) {
        return Some("its type, subject and media type have at most 200 bytes each");
    }
    if is_long(theirs(message.id.as_ref())) || is_long(theirs(message.correlation.as_ref())) {
        return Some("its id and correlation have at most 200 bytes each");
    }
    if message.trace.as_ref().is_some_and(|trace| trace.len() > TRACE_BYTES_MAX) {
        return Some("its trace context is no `traceparent`");
    }
    if message.durable && !matches!(message.to, Address::Agent(_)) {
        return Some("a durable one goes to one agent");
    }
    match (&message.to, message.kind, &message.correlation) {
        (_, MessageKind::Response, None) => Some("an answer names what it answers"),
        (Address::Agent(_) | Address::Outside(_), MessageKind::Response, _) => None,
        (_, MessageKind::Response, _) => Some("an answer goes to one, who asked"),
        (Address::Outside(_), _, _) => Some("whoever is outside gets answers only"),
        (Address::Topic(topic), _, _) if !is_name(topic) => Some("its topic is no name"),
        _ => None,
    }
}

fn theirs(id: Option<&MessageId>) -> Option<&str> {
    match id {
        Some(MessageId::Theirs(text)) => Some(text),
        _ => None,
    }
}

pub(super) fn not_durable() -> RuntimeError {
    invalid("a durable one is a notification or an alert to one agent, from an attempt's step")
}

pub(super) fn too_many_durable() -> RuntimeError {
    let message = "send a durable message: too many are under way";
    RuntimeError::new(Kind::Exhausted, "overloaded", message)
        .with_hint("try again when others have been taken")
}

fn invalid(fault: &str) -> RuntimeError {
    RuntimeError::new(Kind::Invalid, "message_invalid", format!("send the message: {fault}"))
}

pub(super) fn no_topic(topic: &str) -> RuntimeError {
    let shown: String = topic.chars().take(100).collect();
    RuntimeError::new(Kind::Invalid, "message_invalid", format!("use the topic `{shown}`"))
        .with_hint("a topic is dotted names of letters, digits, `_` and `-`, at most 100 bytes")
}

pub(super) fn no_agent() -> RuntimeError {
    RuntimeError::new(Kind::NotFound, "agent_not_found", "find the addressee in the fleet")
}

pub(super) fn full(name: &str) -> RuntimeError {
    RuntimeError::new(
        Kind::Exhausted,
        "mailbox_full",
        format!("put a message to `{name}`: its mailbox is full"),
    )
    .with_hint("send it again when the agent has taken some; nothing was dropped")
}

pub(super) fn nobody_waits(name: &str) -> RuntimeError {
    let message = format!("answer `{name}`: it waits for this answer no more");
    RuntimeError::new(Kind::NotFound, "addressee_not_found", message)
}

pub(super) fn no_subscription(topic: &str) -> RuntimeError {
    let message = format!("subscribe to `{topic}`: there are too many subscriptions");
    RuntimeError::new(Kind::Exhausted, "too_many_subscriptions", message)
        .with_hint("unsubscribe who does not listen any more")
}

pub(super) fn crowded() -> RuntimeError {
    RuntimeError::new(Kind::Exhausted, "overloaded", "wait for messages: too many wait already")
        .with_hint("try again in a moment")
}

pub(super) fn id_in_use() -> RuntimeError {
    RuntimeError::new(
        Kind::Conflict,
        "message_exists",
        "ask: somebody waits for the answers to a message of this id",
    )
    .with_hint("leave the id out, and one is given")
}

pub(super) fn too_many_asked(count: usize) -> RuntimeError {
    let message = format!("ask {count} agents at once");
    RuntimeError::new(Kind::Invalid, "too_many_addressees", message)
        .with_hint("at most 10000 are waited for; ask a layer or a stack, or send without waiting")
}

fn denied(message: String) -> RuntimeError {
    RuntimeError::new(Kind::Denied, "message_denied", message)
}

pub(super) fn not_covered(subject: &str, scope: &str) -> RuntimeError {
    denied(format!("send for `{subject}`: its authority does not cover `{scope}`"))
        .with_hint("whoever granted it can widen it")
}

pub(super) fn not_as(subject: &str, name: &str) -> RuntimeError {
    denied(format!(
        "let `{subject}` act as `{name}`: its authority does not cover `message:as.{name}`"
    ))
    .with_hint("whoever granted it can widen it")
}

pub(super) fn expired(subject: &str) -> RuntimeError {
    denied(format!("send for `{subject}`: its authority has expired"))
}

pub(super) fn unexpected(request: &MessageId) -> RuntimeError {
    denied(format!("answer `{request}`: its sender does not wait for this answer"))
        .with_hint("only who was asked answers, and once")
}

pub(super) fn barred(barred: Barred, from: &str, to: &str) -> RuntimeError {
    let error = denied(format!("let `{from}` write to `{to}`"));
    match barred {
        Barred::Unrelated => error.with_hint(
            "an agent writes to who is below or above it, and to the peers of its stack; \
             CECCA and the board write to everybody",
        ),
        Barred::TooLow => {
            error.with_hint("CECCA and the board write to a whole layer or the fleet")
        }
    }
}
