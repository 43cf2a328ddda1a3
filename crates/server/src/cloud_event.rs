//! Messages as CloudEvents 1.0, and back.

use std::sync::Arc;

use ark_os_api::{CloudEvent, Json, Stamp};
use ark_os_core::priority::Priority;
use ark_os_core::text::Text;
use ark_os_runtime::messages::{
    Address, Directory, Envelope, MessageId, MessageKind, Outgoing, Party, TTL_MS,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::json::{is_shallow, is_whole, whole};
use crate::problems::Refusal;

/// The version of the specification.
const VERSION: &str = "1.0";
/// The `type` of a message whose sender did not say.
const ABOUT: &str = "ark_os.message";
const AGENTS: &str = "/agents/";
const OUTSIDE: &str = "/outside/";

/// A message and who says that it sends it.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) from: Party,
    pub(crate) message: Outgoing,
}

/// Reads an event.
///
/// # Errors
/// A field that is wrong, by its pointer.
pub(crate) fn read(event: CloudEvent, directory: &Directory) -> Result<Incoming, Refusal> {
    if event.specversion != VERSION {
        return Err(wrong("specversion", "it is `1.0`"));
    }
    if event.authority.is_some() {
        return Err(wrong("authority", "it is that of the token; leave it out"));
    }
    if event.durable.is_some() {
        return Err(wrong("durable", "only the step of an attempt sends a durable message"));
    }
    let from = party(&event.source, directory)?;
    let to = Address::parse(&event.to, directory).ok_or_else(|| nobody(&event.to))?;
    let body = body(&event)?;
    let kind = event.kind.as_deref().map_or(Ok(MessageKind::default()), |kind| {
        MessageKind::parse(kind).ok_or_else(|| {
            wrong("kind", "it is request, response, notification, alert or heartbeat")
        })
    })?;
    let priority = event.priority.as_deref().map_or(Ok(Priority::Normal), |priority| {
        let found = Priority::ALL.into_iter().find(|it| it.as_str() == priority);
        found.ok_or_else(|| {
            wrong("priority", "it is emergency, critical, high, normal, low or maintenance")
        })
    })?;
    if event.id.is_empty() || event.about.is_empty() {
        return Err(wrong(if event.id.is_empty() { "id" } else { "type" }, "it is not empty"));
    }
    let message = Outgoing {
        to,
        kind,
        id: Some(MessageId::parse(&event.id)),
        correlation: event.correlation.as_deref().map(MessageId::parse),
        about: Some(Text::from(event.about)),
        subject: event.subject.map(Text::from),
        trace: event.traceparent.map(Text::from),
        priority,
        ttl_ms: event.ttlms.unwrap_or(TTL_MS),
        media: event.datacontenttype.map(Text::from),
        body,
        durable: false,
    };
    Ok(Incoming { from, message })
}

fn party(source: &str, directory: &Directory) -> Result<Party, Refusal> {
    if let Some(name) = source.strip_prefix(AGENTS) {
        return match directory.find(name) {
            Some(agent) => Ok(Party::Agent(agent)),
            None => Err(wrong("source", "there is no such agent")),
        };
    }
    let name = source.strip_prefix(OUTSIDE).filter(|name| ark_os_runtime::messages::is_name(name));
    let rule = "it is `/agents/NAME`, or `/outside/NAME` with letters, digits, `.`, `_` and `-`";
    name.map(|name| Party::Outside(Text::from(name))).ok_or_else(|| wrong("source", rule))
}

fn body(event: &CloudEvent) -> Result<Arc<[u8]>, Refusal> {
    match (&event.data, &event.data_base64) {
        (None, None) => Ok(Arc::default()),
        (Some(_), Some(_)) => Err(wrong("data_base64", "there is `data` already")),
        (None, Some(text)) => {
            let bytes = STANDARD.decode(text).map_err(|_| wrong("data_base64", "it is base64"))?;
            Ok(bytes.into())
        }
        (Some(data), None) if is_json(event.datacontenttype.as_deref()) => {
            whole(data.get(), "/data")?;
            Ok(data.get().as_bytes().into())
        }
        (Some(data), None) => {
            let text: String = serde_json::from_str(data.get())
                .map_err(|_| wrong("data", "it is a string where the media type is not JSON"))?;
            Ok(text.into_bytes().into())
        }
    }
}

fn is_json(media: Option<&str>) -> bool {
    let Some(media) = media else { return true };
    let kind = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.ends_with("/json") || kind.ends_with("+json")
}

fn wrong(field: &str, message: &str) -> Refusal {
    Refusal::new("message_invalid", format!("accept `/{field}`: {message}"))
        .at(format!("/{field}"), message)
}

fn nobody(to: &str) -> Refusal {
    let shown: String = to.chars().take(100).collect();
    Refusal::new("addressee_not_found", format!("nobody has the address `{shown}`"))
        .hint("write `agent:NAME`, `layer:NAME`, `stack:N`, `fleet` or `topic:NAME`")
        .at("/to", "nobody has this address")
}

/// Shows a message.
pub(crate) fn show(envelope: &Envelope, directory: &Directory) -> CloudEvent {
    let source = match &envelope.from {
        Party::Agent(agent) => format!("{AGENTS}{}", directory.name(*agent)),
        Party::Outside(name) => format!("{OUTSIDE}{name}"),
    };
    let (data, data_base64) = data(envelope);
    let text = |text: &Option<Text>| text.as_ref().map(Text::to_string);
    CloudEvent {
        specversion: VERSION.to_owned(),
        id: envelope.id.to_string(),
        source,
        about: text(&envelope.about).unwrap_or_else(|| ABOUT.to_owned()),
        subject: text(&envelope.subject),
        time: Some(Stamp(envelope.sent.0).to_string()),
        datacontenttype: text(&envelope.media),
        data,
        data_base64,
        to: envelope.to.text(directory),
        kind: Some(envelope.kind.as_str().to_owned()),
        correlation: envelope.correlation.as_ref().map(MessageId::to_string),
        traceparent: text(&envelope.trace),
        priority: Some(envelope.priority.as_str().to_owned()),
        ttlms: Some(envelope.expires.0.saturating_sub(envelope.sent.0)),
        authority: Some(envelope.authority.to_string()),
        durable: envelope.durable.then_some(true),
    }
}

/// The body as JSON where it is, as a string where it is text, else as base64.
fn data(envelope: &Envelope) -> (Option<Json>, Option<String>) {
    if envelope.body.is_empty() {
        return (None, None);
    }
    let json = match (is_json(envelope.media.as_deref()), std::str::from_utf8(&envelope.body)) {
        (_, Err(_)) => None,
        // What not everybody can read would spoil the whole page.
        (true, Ok(text)) if !is_shallow(text) || !is_whole(text) => None,
        (true, Ok(text)) => serde_json::from_str(text).ok(),
        (false, Ok(text)) => serde_json::value::to_raw_value(text).ok(),
    };
    match json {
        Some(json) => (Some(json), None),
        None => (None, Some(STANDARD.encode(&envelope.body))),
    }
}

#[cfg(test)]
mod tests {
    use ark_os_core::authority::{Authority, RevocationId, Scopes};
    use ark_os_core::fleet::Fleet;
    use ark_os_core::ids::AgentIx;
    use ark_os_runtime::messages::{MAILBOX, Messages};
    use proptest::option;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn fleet() -> Messages {
        Messages::of_fleet(&Fleet::new(8, &[], 4, None), MAILBOX)
    }

    fn name() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9_-]{1,8}(\\.[a-zA-Z0-9_-]{1,8}){0,3}"
    }

    fn data() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!({})),
            (any::<i64>(), ".*").prop_map(|(n, text)| json!({"data": {"n": n, "text": text}})),
            ".{1,20}".prop_map(|it| json!({"datacontenttype": "text/plain", "data": it})),
            prop::collection::vec(any::<u8>(), 1..20).prop_map(|mut bytes| {
                bytes.push(0xff);
                let media = "application/octet-stream";
                json!({"datacontenttype": media, "data_base64": STANDARD.encode(bytes)})
            }),
        ]
    }

    fn event() -> impl Strategy<Value = Value> {
        let texts = (".{1,30}", ".{1,30}", option::of(".{1,30}"), option::of(".{1,50}"));
        let words = (option::of(".{1,30}"), 0..5usize, 0..6usize, 1..86_400_001u64);
        let target = prop_oneof![
            Just("fleet".to_owned()),
            name().prop_map(|name| format!("topic:{name}")),
            Just("agent:micro-00000".to_owned()),
            Just("layer:stack-chief".to_owned()),
            (0..9u32).prop_map(|stack| format!("stack:{stack}")),
        ];
        (texts, words, target, name(), data()).prop_map(|(texts, words, to, from, data)| {
            let (id, about, subject, trace) = texts;
            let (correlation, kind, priority, ttl) = words;
            let mut event = json!({
                "specversion": "1.0", "id": id, "source": format!("/outside/{from}"),
                "type": about, "to": to, "ttlms": ttl,
                "kind": MessageKind::ALL[kind].as_str(),
                "priority": Priority::ALL[priority].as_str(),
            });
            let given =
                [("subject", subject), ("traceparent", trace), ("correlation", correlation)];
            for (field, value) in given {
                if let Some(value) = value {
                    event[field] = value.into();
                }
            }
            event.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
            event
        })
    }

    proptest! {
        #[test]
        fn what_is_read_is_shown_again_as_it_was(event in event()) {
            let messages = fleet();
            let directory = messages.directory();
            let given: CloudEvent = serde_json::from_value(event.clone()).unwrap();
            let Incoming { from, message } = read(given, &directory).unwrap();
            let envelope = Envelope {
                id: message.id.unwrap(),
                from,
                to: message.to,
                kind: message.kind,
                correlation: message.correlation,
                about: message.about,
                subject: message.subject,
                trace: message.trace,
                priority: message.priority,
                sent: ark_os_core::time::Time(5),
                expires: ark_os_core::time::Time(5 + message.ttl_ms),
                authority: Text::from("somebody"),
                media: message.media,
                body: message.body,
                durable: false,
            };
            let mut shown = serde_json::to_value(show(&envelope, &directory)).unwrap();
            let fields = shown.as_object_mut().unwrap();
            prop_assert_eq!(fields.remove("time"), Some(json!("1970-01-01T00:00:00.005Z")));
            prop_assert_eq!(fields.remove("authority"), Some(json!("somebody")));
            prop_assert_eq!(shown, event);
        }
    }

    #[test]
    fn attributes_are_named_as_cloud_events_demand_it() {
        let messages = fleet();
        let directory = messages.directory();
        let scopes = Scopes::parse(["*"]).unwrap();
        let authority = Authority::root("x".into(), scopes, RevocationId::derive(&[b"x"]));
        let sender = messages.sender(Party::Agent(AgentIx(0)), &authority);
        let all = Outgoing {
            subject: Some("s".into()),
            correlation: Some(MessageId::Ours(1)),
            trace: Some("t".into()),
            ..Outgoing::new(Address::Agent(AgentIx(1)), b"1".to_vec())
        };
        messages.send(&sender, all).unwrap();
        let got = messages.take(AgentIx(1), 1);
        let shown = serde_json::to_value(show(&got[0], &directory)).unwrap();
        for field in shown.as_object().unwrap().keys() {
            let is_fit = field.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            assert!((is_fit && field.len() <= 20) || field == "data_base64", "{field}");
        }
        assert_eq!(shown["source"], "/agents/cecca-00000");
        assert_eq!(shown["type"], ABOUT);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        let messages = fleet();
        let good = json!({"specversion": "1.0", "id": "1", "source": "/outside/ci", "type": "a",
            "to": "fleet"});
        for (field, value, pointer) in [
            ("specversion", json!("0.3"), "/specversion"),
            ("id", json!(""), "/id"),
            ("type", json!(""), "/type"),
            ("source", json!("ci"), "/source"),
            ("source", json!("/agents/nobody"), "/source"),
            ("source", json!("/outside/a b"), "/source"),
            ("to", json!("agent:nobody"), "/to"),
            ("to", json!("topic:a..b"), "/to"),
            ("kind", json!("shout"), "/kind"),
            ("priority", json!("urgent"), "/priority"),
            ("authority", json!("root"), "/authority"),
            ("durable", json!(true), "/durable"),
            ("data_base64", json!("?"), "/data_base64"),
        ] {
            let mut event = good.clone();
            event[field] = value;
            let event = serde_json::from_value(event).unwrap();
            let Refusal(problem) = read(event, &messages.directory()).unwrap_err();
            assert_eq!(problem.errors[0].pointer, pointer);
        }
    }
}
