//! `ark-os signal`.

use ark_os_api::{Exit, Json};
use serde_json::Value;

use super::json_given;
use crate::client::segment;
use crate::failure::Failure;
use crate::output::field_text;
use crate::session::Session;
use crate::submission::raw;

/// Tell a run something that a task of it waits for, now or later
///
/// Each signal ends one wait, in the order in which they come; one that comes before its wait is
/// kept. `ark-os get RUN` names the signals that a run waits for.
#[derive(Debug, clap::Args)]
pub(crate) struct Signal {
    /// The run
    run: String,
    /// The signal, as the workflow names it
    name: String,
    /// What it says: JSON, or `@FILE` with JSON [default: null]
    #[arg(long, value_name = "JSON|@FILE")]
    data: Option<String>,
    /// Idempotency key: sent again under it, the signal counts once
    #[arg(long)]
    key: Option<String>,
}

impl Signal {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let payload = match &self.data {
            Some(text) => json_given(text, "data")?,
            None => raw(&Value::Null)?,
        };
        let path = format!("/runs/{}/signals/{}", segment(&self.run), segment(&self.name));
        let answer: Json = session.client()?.post(&path, &payload, self.key.as_deref())?;
        session.output.answer(&answer, |_| {
            let value: Value = serde_json::from_str(answer.get()).unwrap_or_default();
            vec![format!("{} {}", field_text(&value, "id"), field_text(&value, "state"))]
        })?;
        Ok(Exit::Done)
    }
}
