//! `ark-os message`.

use std::time::Duration;

use ark_os_api::{CloudEvent, Exit, Json, MailboxView, MessageAnswers, MessageSent, TakenMessages};
use ark_os_core::manifest::parse_duration_ms;
use ark_os_runtime::clock::Clock;
use clap::Subcommand;

use crate::client::segment;
use crate::failure::Failure;
use crate::session::Session;
use crate::terminal::{Tone, one_line};

/// How long `tail` waits for the next message in one request.
const WAIT: &str = "30s";
/// The longest wait for an answer: the client gives up an answer of the instance after a minute.
const WITHIN_MAX: Duration = Duration::from_secs(50);

/// Send messages to agents, ask them, and see what waits in their mailboxes
#[derive(Debug, clap::Args)]
pub(crate) struct Message {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Send(Send),
    Ask(Ask),
    Tail(Tail),
}

/// Send a message: at most once, and recorded nowhere
#[derive(Debug, clap::Args)]
struct Send {
    #[command(flatten)]
    letter: Letter,
    /// What it is for
    #[arg(long, default_value = "notification", value_parser = ["request", "response", "notification", "alert", "heartbeat"])]
    kind: String,
    /// Answer the message of this id
    #[arg(long, value_name = "ID", conflicts_with = "kind")]
    answers: Option<String>,
}

/// Ask, and wait for the answers
///
/// Exits with 7 if the one who was asked, or any of several, did not answer in time.
#[derive(Debug, clap::Args)]
struct Ask {
    #[command(flatten)]
    letter: Letter,
    /// How long to wait, at most 50s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = within)]
    within: Duration,
}

/// A message as it is written on the command line
#[derive(Debug, clap::Args)]
struct Letter {
    /// To whom: agent:NAME, layer:NAME, stack:N, fleet, topic:NAME, or to answer outside:NAME
    to: String,
    /// What to say: JSON, or any other text
    data: Option<String>,
    /// What it is about
    #[arg(long = "type", value_name = "TYPE", default_value = "ark_os.message")]
    about: String,
    /// How urgent it is
    #[arg(long, default_value = "normal", value_parser = ["emergency", "critical", "high", "normal", "low", "maintenance"])]
    priority: String,
    /// How long it is of use
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    ttl: Duration,
    /// Send it in this agent's name
    #[arg(long = "as", value_name = "AGENT")]
    agent: Option<String>,
}

/// Show the messages in an agent's mailbox, and those that come
///
/// Nothing is taken out, and what the agent takes at once may not be seen.
#[derive(Debug, clap::Args)]
struct Tail {
    /// The agent
    agent: String,
    /// Take them out, in the agent's stead
    #[arg(long)]
    take: bool,
    /// Show what is there, and do not wait for more
    #[arg(long)]
    once: bool,
}

impl Message {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        match self.verb {
            Verb::Send(send) => send.carry_out(session),
            Verb::Ask(ask) => ask.carry_out(session),
            Verb::Tail(tail) => tail.carry_out(session),
        }
    }
}

impl Send {
    fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let kind = if self.answers.is_some() { "response" } else { &self.kind };
        let event = CloudEvent { correlation: self.answers.clone(), ..self.letter.event(kind) };
        let sent: MessageSent = session.client()?.post("/messages", &event, None)?;
        session.output.answer(&sent, |_| {
            let MessageSent { id, delivered, addressees, dropped, pushed_back } = &sent;
            let mut line = format!("{id} delivered to {delivered} of {addressees}");
            for (count, what) in [(dropped, "dropped"), (pushed_back, "pushed back")] {
                if *count > 0 {
                    line.push_str(&format!(", {count} {what}"));
                }
            }
            vec![line]
        })?;
        Ok(Exit::Done)
    }
}

impl Ask {
    fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let event = self.letter.event("request");
        let path = format!("/messages?reply={}ms", self.within.as_millis());
        let answers: MessageAnswers = session.client()?.post(&path, &event, None)?;
        session.output.answer(&answers, |_| {
            let line = |it: &ark_os_api::MessageAnswer| match &it.answer {
                Some(answer) => format!("{} {}", it.agent, data_of(answer)),
                None => format!("{} {}", it.agent, it.outcome.replace('_', " ")),
            };
            answers.answers.iter().map(line).collect()
        })?;
        let is_missing = answers.answers.iter().any(|it| it.answer.is_none());
        Ok(if is_missing { Exit::Waiting } else { Exit::Done })
    }
}

impl Letter {
    fn event(self, kind: &str) -> CloudEvent {
        // One process sends one message.
        let id = format!("cli-{}-{}", Clock::new().now().0, std::process::id());
        let source = match &self.agent {
            Some(agent) => format!("/agents/{agent}"),
            None => "/outside/local-operator".to_owned(),
        };
        let (media, data) = match self.data {
            None => (None, None),
            Some(text) => match serde_json::from_str::<Json>(&text) {
                Ok(json) => (None, Some(json)),
                Err(_) => {
                    let text = serde_json::value::to_raw_value(&text).ok();
                    (Some("text/plain".to_owned()), text)
                }
            },
        };
        CloudEvent {
            specversion: "1.0".to_owned(),
            id,
            source,
            about: self.about,
            subject: None,
            time: None,
            datacontenttype: media,
            data,
            data_base64: None,
            to: self.to,
            kind: Some(kind.to_owned()),
            correlation: None,
            traceparent: None,
            priority: Some(self.priority),
            ttlms: Some(u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX)),
            authority: None,
            durable: None,
        }
    }
}

impl Tail {
    fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let mailbox = format!("/agents/{}/messages", segment(&self.agent));
        let wait = if self.once { "false" } else { WAIT };
        let mut after = 0;
        loop {
            let events = if self.take {
                let path = format!("{mailbox}/take?wait={wait}");
                client.post::<TakenMessages>(&path, &(), None)?.items
            } else {
                let view: MailboxView =
                    client.get(&format!("{mailbox}?after={after}&wait={wait}"))?;
                after = view.items.last().map_or(after, |it| it.place);
                view.items.into_iter().map(|it| it.message).collect()
            };
            for event in &events {
                print(session, event)?;
            }
            if self.once && (events.is_empty() || !self.take) {
                return Ok(Exit::Done);
            }
        }
    }
}

fn print(session: &Session, event: &CloudEvent) -> Result<(), Failure> {
    if session.output.is_json() {
        return session.output.json_line(event);
    }
    let at = event.time.as_deref().unwrap_or_default();
    let at = session.output.terminal().out(Tone::Faint, at);
    let kind = event.kind.as_deref().unwrap_or("notification");
    let line = format!("{} {kind} {} {}", event.id, event.source, event.about);
    session.output.line(&format!("{at} {} {}", one_line(&line), data_of(event)))
}

fn data_of(event: &CloudEvent) -> String {
    let data = event.data.as_ref().map(|it| it.get()).or(event.data_base64.as_deref());
    one_line(data.unwrap_or_default())
}

fn within(text: &str) -> Result<Duration, String> {
    let within = time(text)?;
    if within <= WITHIN_MAX { Ok(within) } else { Err("nobody waits longer than 50s".to_owned()) }
}

fn time(text: &str) -> Result<Duration, String> {
    let found = parse_duration_ms(text).filter(|ms| *ms > 0).map(Duration::from_millis);
    found.ok_or_else(|| "write it like `500ms`, `5s` or `1m30s`".to_owned())
}
