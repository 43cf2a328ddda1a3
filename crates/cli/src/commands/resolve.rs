//! `ark-os resolve`.

use std::path::Path;

use ark_os_api::{Exit, Json, Resolution};

use crate::client::segment;
use crate::failure::Failure;
use crate::session::Session;

/// Largest result of a step that is read from a file; larger ones are no results of a step.
const RESULT_BYTES_MAX: u64 = 16 << 20;

/// Say what became of a step in doubt, so that its task can go on
///
/// A crash left open whether the step's effect happened. Look at the system it acted on, then say
/// so; nothing is repeated by guessing. `ark-os get TASK` shows the steps of a task with their keys.
#[derive(Debug, clap::Args)]
pub(crate) struct Resolve {
    /// The task whose step it is
    task: String,
    /// The step's key [default: the task's only step in doubt]
    #[arg(long, value_name = "KEY")]
    step: Option<String>,
    #[command(flatten)]
    outcome: Outcome,
    /// Why; it is recorded
    #[arg(long)]
    reason: String,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Outcome {
    /// It happened, with this result: JSON, or `@FILE` with JSON
    #[arg(long, value_name = "JSON|@FILE")]
    happened: Option<String>,
    /// It did not happen and may be tried again
    #[arg(long)]
    not_happened: bool,
    /// Nobody can tell: the task fails
    #[arg(long)]
    give_up: bool,
}

impl Resolve {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let happened = self.outcome.happened.as_deref().map(result_of).transpose()?;
        let resolution = Resolution {
            happened,
            not_happened: self.outcome.not_happened,
            give_up: self.outcome.give_up,
            reason: self.reason,
        };
        let path = format!("/tasks/{}/resolve", segment(&self.task));
        super::change(session, &path, &resolution)
    }
}

fn result_of(text: &str) -> Result<Json, Failure> {
    let read = match text.strip_prefix('@') {
        None => text.to_owned(),
        Some(path) => read_file(Path::new(path))?,
    };
    serde_json::from_str(&read)
        .map_err(|error| Failure::usage(format!("the result is no JSON: {error}")))
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let read = || -> std::io::Result<String> {
        if std::fs::metadata(path)?.len() > RESULT_BYTES_MAX {
            return Err(std::io::Error::other(format!("more than {RESULT_BYTES_MAX} bytes")));
        }
        std::fs::read_to_string(path)
    };
    read().map_err(|error| Failure::usage(format!("cannot read `{}`: {error}", path.display())))
}
