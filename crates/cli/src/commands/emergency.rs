//! `ark-os emergency`.

use ark_os_api::{Exit, Lift, MeasureRequest, MeasureView, Page};
use clap::Subcommand;

use crate::failure::Failure;
use crate::output::table;
use crate::session::Session;
use crate::terminal::Tone;

/// Use CECCA's emergency powers: each measure has a reason and an end
///
/// What a measure did is undone when its time is over. One seat of CECCA or a person takes it; lifting
/// it before needs the majority of CECCA's seats, or a person.
#[derive(Debug, clap::Args)]
pub(crate) struct Emergency {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Take no new runs; what was accepted goes on
    Freeze {
        #[command(flatten)]
        terms: Terms,
    },
    /// Give an agent, or all of a declared group, no work
    Quarantine {
        /// The agent, or the group
        agent: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// Put another mode in force
    Mode {
        /// The mode
        #[arg(value_parser = ["autonomous", "supervised", "interactive"])]
        mode: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// Show the measures in force
    List,
    /// Lift a measure before its end, or vote for it
    Lift {
        /// Its number
        id: u64,
        /// Why; it is recorded
        #[arg(long)]
        reason: String,
        /// Vote as this seat of CECCA
        #[arg(long = "as", value_name = "AGENT")]
        seat: Option<String>,
    },
}

/// Why, how long, and by whom
#[derive(Debug, clap::Args)]
struct Terms {
    /// Why; it is recorded
    #[arg(long)]
    reason: String,
    /// How long, such as 30m or 1h; at most 30d
    #[arg(long = "for", value_name = "TIME", default_value = "1h")]
    lasts: String,
    /// Take it as this seat of CECCA
    #[arg(long = "as", value_name = "AGENT")]
    seat: Option<String>,
}

impl Emergency {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let request = |measure: &str, agent, mode, terms: Terms| MeasureRequest {
            measure: measure.to_owned(),
            agent,
            mode,
            reason: terms.reason,
            lasts: terms.lasts,
            seat: terms.seat,
        };
        match self.verb {
            Verb::Freeze { terms } => take(session, &request("freeze", None, None, terms)),
            Verb::Quarantine { agent, terms } => {
                take(session, &request("quarantine", Some(agent), None, terms))
            }
            Verb::Mode { mode, terms } => take(session, &request("mode", None, Some(mode), terms)),
            Verb::List => show(session, &session.client()?.get("/measures")?),
            Verb::Lift { id, reason, seat } => {
                let path = format!("/measures/{id}/lift");
                show(session, &session.client()?.post(&path, &Lift { reason, seat }, None)?)
            }
        }
    }
}

fn take(session: &Session, request: &MeasureRequest) -> Result<Exit, Failure> {
    let taken: MeasureView = session.client()?.post("/measures", request, None)?;
    session.output.answer(&taken, |_| {
        vec![format!("measure {} is in force until {}", taken.id, taken.until)]
    })?;
    Ok(Exit::Done)
}

fn show(session: &Session, page: &Page<MeasureView>) -> Result<Exit, Failure> {
    session.output.answer(page, |terminal| {
        let rows: Vec<_> = page.items.iter().map(row).collect();
        table(terminal, &["measure", "what", "until", "votes", "reason"], &rows)
    })?;
    Ok(Exit::Done)
}

fn row(it: &MeasureView) -> Vec<(Tone, String)> {
    let about = it.agent.as_deref().or(it.mode.as_deref()).unwrap_or_default();
    let what = format!("{} {about}", it.measure);
    let plain = |text: String| (Tone::Plain, text);
    vec![
        plain(it.id.to_string()),
        plain(what.trim().to_owned()),
        plain(it.until.to_string()),
        plain(it.votes.len().to_string()),
        plain(it.reason.clone()),
    ]
}
