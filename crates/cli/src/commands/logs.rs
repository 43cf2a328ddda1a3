//! `ark-os logs`.

use ark_os_api::{Exit, RunView};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{Client, RunEvent, StreamEvent, segment};
use crate::failure::{Failure, exit_of_run};
use crate::progress::{Names, describe};
use crate::session::Session;
use crate::terminal::Tone;

/// Events asked for at a time; as many as the instance gives.
const PAGE: u32 = 500;

/// Show the events of a run
///
/// With --json every event is a line of its own, with all its fields. Those that only renew leases
/// or record steps are told there alone.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// The run
    run: String,
    /// Go on until the run is over
    #[arg(long, short)]
    follow: bool,
    /// Begin after this event's id
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

impl Logs {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let mut names = Names::new(client.clone());
        if self.follow {
            self.follow(session, &client, &mut names)?;
        } else {
            self.pages(session, &client, &mut names)?;
        }
        Ok(Exit::Done)
    }

    fn pages(&self, session: &Session, client: &Client, names: &mut Names) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Listed {
            items: Vec<Box<RawValue>>,
            next: Option<String>,
        }
        let run = segment(&self.run);
        let mut after = self.after.clone();
        loop {
            let cursor = after.as_deref().map(|it| format!("&after={}", segment(it)));
            let path = format!("/runs/{run}/events?limit={PAGE}{}", cursor.unwrap_or_default());
            let page: Listed = client.get(&path)?;
            for item in &page.items {
                let text = item.get().to_owned();
                let event = serde_json::from_str::<RunEvent>(&text).map_err(|error| {
                    Failure::new("internal", format!("cannot understand an event: {error}"))
                })?;
                print(session, &RunEvent { text, ..event }, names)?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    fn follow(&self, session: &Session, client: &Client, names: &mut Names) -> Result<(), Failure> {
        let mut stream = client.events(&segment(&self.run), self.after.as_deref())?;
        while let Some(event) = stream.next()? {
            let StreamEvent::Event(event) = event else { continue };
            print(session, &event, names)?;
            if event.kind == "run_ended" {
                // It may have been retried since: then there is more to come.
                let view: RunView = client.get(&format!("/runs/{}", segment(&self.run)))?;
                if exit_of_run(&view.state).is_some() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn print(session: &Session, event: &RunEvent, names: &mut Names) -> Result<(), Failure> {
    if session.output.is_json() {
        return session.output.line(&event.text);
    }
    match describe(event, names) {
        Some(text) => {
            let at = session.output.terminal().out(Tone::Faint, &event.at);
            session.output.line(&format!("{at} {text}"))
        }
        None => Ok(()),
    }
}
