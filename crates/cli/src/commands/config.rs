//! `ark-os config`.

use std::path::PathBuf;

use ark_os_api::{ConfigReload, ConfigView, Exit, Reason, SettingView};
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
    Reload(Reload),
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
    /// What the running instance has, and what of the file waits for a restart or a reload
    #[arg(long, conflicts_with = "config")]
    running: bool,
    /// Tell what each key is for, too
    #[arg(long)]
    about: bool,
}

/// Have the running instance read its configuration again
///
/// It reads what its start read: the same file, its own environment and options. Log level, drain
/// timeout, the limits of agents, attempts, runs in memory and time, and the namespaces' budget change at once, and the journal
/// has who changed what. Everything else needs a restart: it is named, stays as it was, and the exit code is 5.
/// SIGHUP does the same, and tells the log.
#[derive(Debug, clap::Args)]
struct Reload {
    /// Why; it is recorded
    #[arg(long)]
    reason: Option<String>,
}

impl Config {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        match self.action {
            Action::Show(show) if show.running => show.of_running(session),
            Action::Show(show) => show.of_files(session),
            Action::Reload(reload) => reload.carry_out(session),
        }
    }
}

impl Reload {
    fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let request = Reason { reason: self.reason };
        let found: ConfigReload = session.client()?.post("/admin/reload", &request, None)?;
        session.output.answer(&found, |terminal| {
            let mut lines = Vec::new();
            for it in &found.changed {
                lines.push(format!("{}: {} → {} ({})", it.key, it.from, it.to, it.origin));
            }
            for it in &found.refused {
                let why = it.reason.as_deref().unwrap_or_default();
                let line = format!("{} {why}: {} → {} ({})", it.key, it.from, it.to, it.origin);
                lines.push(terminal.out(Tone::Warning, &line));
            }
            if lines.is_empty() {
                lines.push("nothing is different".to_owned());
            }
            lines
        })?;
        Ok(if found.refused.is_empty() { Exit::Done } else { Exit::Refused })
    }
}

impl Show {
    fn of_running(&self, session: &Session) -> Result<Exit, Failure> {
        let view: ConfigView = session.client()?.get("/admin/config")?;
        session.output.answer(&view, |terminal| {
            let row = |it: &SettingView| {
                let shown = if it.value.is_empty() { "(none)" } else { &it.value };
                let when = if it.live { "reload" } else { "restart" };
                let changes = match &it.written {
                    None => (Tone::Faint, if it.live { "live" } else { when }.to_owned()),
                    Some(written) => {
                        let written = if written.is_empty() { "(none)" } else { written };
                        let at = it.written_at.as_deref().unwrap_or_default();
                        (Tone::Warning, format!("waits for {when}: {written} ({at})"))
                    }
                };
                vec![
                    (Tone::Strong, it.key.clone()),
                    (Tone::Plain, shown.to_owned()),
                    (Tone::Plain, it.origin.clone()),
                    changes,
                ]
            };
            let rows: Vec<_> = view.values.iter().map(row).collect();
            table(terminal, &["key", "value", "from", "changes"], &rows)
        })?;
        if let Some(fault) = &view.fault {
            session.output.note(&format!(
                "what is written now cannot be read: {fault}; `ark-os config reload` says where, and changes nothing"
            ));
        }
        Ok(Exit::Done)
    }

    fn of_files(&self, session: &Session) -> Result<Exit, Failure> {
        let show = self;
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
