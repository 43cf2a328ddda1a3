//! `ark-os escalations`.

use ark_os_api::{EscalationAnswer, EscalationView, Exit, Page};
use clap::Subcommand;

use crate::client::segment;
use crate::failure::Failure;
use crate::output::table;
use crate::session::Session;
use crate::show::resolve;
use crate::terminal::{Terminal, Tone};

/// See and answer what the fleet could not mend by itself
#[derive(Debug, clap::Args)]
pub(crate) struct Escalations {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List them: to whom each was told, until when
    List {
        /// open or closed [default: open]
        #[arg(long, value_parser = ["open", "closed"])]
        state: Option<String>,
        /// Only those that wait for a person
        #[arg(long, conflicts_with = "state")]
        human: bool,
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one, with all that was tried
    Show {
        /// Its number
        id: u64,
    },
    /// Say what is to be done about it, and have it done
    Answer {
        /// Its number
        id: u64,
        /// About a task: dismiss, unpark or cancel; about an agent: dismiss, release or offline
        #[arg(long, value_parser = ["dismiss", "unpark", "cancel", "release", "offline"])]
        action: String,
        /// Why; it is recorded
        #[arg(long)]
        reason: String,
    },
}

const HEAD: [&str; 6] = ["escalation", "class", "about", "to", "deadline", "message"];

impl Escalations {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let view: EscalationView = match self.verb {
            Verb::List { state, human, limit, cursor } => {
                let to = human.then_some("human");
                let mut query = Vec::new();
                query.extend(state.as_deref().map(|state| format!("state={state}")));
                query.extend(to.map(|to| format!("to={to}")));
                query.extend(limit.map(|limit| format!("limit={limit}")));
                query.extend(cursor.as_deref().map(|it| format!("cursor={}", segment(it))));
                return list(session, &format!("/escalations?{}", query.join("&")));
            }
            Verb::Show { id } => client.get(&format!("/escalations/{id}"))?,
            Verb::Answer { id, action, reason } => {
                let answer = EscalationAnswer { action, reason };
                client.post(&format!("/escalations/{id}/answer"), &answer, None)?
            }
        };
        session.output.answer(&view, |_| lines(&view))?;
        Ok(Exit::Done)
    }
}

fn list(session: &Session, path: &str) -> Result<Exit, Failure> {
    let page: Page<EscalationView> = session.client()?.get(path)?;
    session.output.answer(&page, |terminal| rows(terminal, &page.items))?;
    if let Some(next) = &page.next {
        session.output.note(&format!("more: --cursor {next}"));
    }
    Ok(Exit::Done)
}

fn rows(terminal: &Terminal, items: &[EscalationView]) -> Vec<String> {
    let plain = |text: String| (Tone::Plain, text);
    let row = |it: &EscalationView| {
        vec![
            plain(it.id.to_string()),
            plain(it.class.clone()),
            plain(about(it).to_owned()),
            plain(it.to.clone()),
            plain(it.deadline.map(|it| it.to_string()).unwrap_or_default()),
            plain(it.message.clone()),
        ]
    };
    table(terminal, &HEAD, &items.iter().map(row).collect::<Vec<_>>())
}

fn about(it: &EscalationView) -> &str {
    it.task.as_deref().or(it.agent.as_deref()).unwrap_or_default()
}

fn lines(it: &EscalationView) -> Vec<String> {
    let mut lines = vec![
        format!("escalation {} {} {}: {}", it.id, it.state, it.class, it.message),
        format!("about {}, raised {}", about(it), it.raised),
    ];
    lines.push(match (&it.action, &it.deadline) {
        (Some(action), _) => format!("{action}: {}", it.reason.as_deref().unwrap_or_default()),
        (None, Some(deadline)) => format!("to {} until {deadline}", it.to),
        (None, None) => format!("to {}", it.to),
    });
    if let (None, Some(task)) = (&it.action, it.task.as_ref().filter(|_| it.class == "in_doubt")) {
        lines.push(format!("find out, then: {}", resolve(task)));
    }
    let passed = it.passed.iter();
    lines.extend(passed.map(|it| format!("  {} not seen to in time by {}", it.at, it.by)));
    for rung in &it.ladder {
        let by = rung.by.as_deref().unwrap_or("the runtime");
        let helped = match rung.healthy {
            Some(true) => "helped",
            Some(false) => "did not help",
            None => "not looked at",
        };
        let check = match (rung.healthy, &rung.check) {
            (Some(_), Some(check)) => format!(" (looked at {check})"),
            (None, Some(check)) => format!(" before {check}"),
            (_, None) => String::new(),
        };
        lines.push(format!("  {} {} by {by}: {helped}{check}", rung.at, rung.remedy));
    }
    lines
}
