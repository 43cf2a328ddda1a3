//! `ark-os config`.

use std::path::PathBuf;

use ark_os_api::Exit;
use serde_json::json;

use crate::config::{Given, Layered, load};
use crate::failure::Failure;
use crate::output::table;
use crate::session::Session;
use crate::terminal::{Terminal, Tone};

/// Look at the configuration
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Show(Show),
}

/// Show each value and where it came from
///
/// Command line over environment over file over default. The file is --config, else ARK_OS_CONFIG,
/// else `config.toml` in the user's configuration directory.
#[derive(Debug, clap::Args)]
struct Show {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Tell what each key is for, too
    #[arg(long)]
    about: bool,
}

impl Config {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let Action::Show(show) = self.action;
        let given = session.reach.data_dir.as_ref().map(|dir| Given {
            key: "system.data_dir",
            option: "--data-dir",
            value: dir.display().to_string(),
        });
        let given: Vec<_> = given.into_iter().collect();
        let layered = load(&session.environment, show.config.as_deref(), &given)?;
        let values: Vec<_> = layered
            .entries
            .iter()
            .map(|entry| {
                json!({
                    "key": entry.key, "value": entry.value, "origin": entry.origin.to_string(),
                    "variable": entry.variable, "about": entry.about,
                })
            })
            .collect();
        let document = json!({ "file": layered.file, "values": values });
        session.output.answer(&document, |terminal| show.lines(&layered, terminal))?;
        Ok(Exit::Done)
    }
}

impl Show {
    fn lines(&self, layered: &Layered, terminal: &Terminal) -> Vec<String> {
        let row = |entry: &crate::config::Entry| {
            let shown = if entry.value.is_empty() { "(none)" } else { &entry.value };
            let mut row = vec![
                (Tone::Strong, entry.key.to_owned()),
                (Tone::Plain, shown.to_owned()),
                (Tone::Plain, entry.origin.to_string()),
                (Tone::Faint, entry.variable.to_owned()),
            ];
            if self.about {
                row.push((Tone::Plain, entry.about.to_owned()));
            }
            row
        };
        let rows: Vec<_> = layered.entries.iter().map(row).collect();
        let head = ["key", "value", "from", "variable", "about"];
        let columns = if self.about { 5 } else { 4 };
        table(terminal, head.get(..columns).unwrap_or(&head), &rows)
    }
}
