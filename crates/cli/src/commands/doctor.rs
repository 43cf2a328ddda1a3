//! `ark-os doctor`.

mod directory;
mod machine;

use std::path::{Path, PathBuf};

use ark_os_api::Exit;
use serde_json::{Value, json};

use crate::client::{Client, InstanceRecord, Reach};
use crate::config::{Given, load};
use crate::failure::Failure;
use crate::node::absolute;
use crate::output::counted;
use crate::session::Session;
use crate::terminal::{Terminal, Tone};

/// Check the machine and the data directory, and say what does not work or works less well
///
/// Changes nothing; writes one file into the data directory to measure the disk, and removes it.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// As it should be.
    Good,
    /// It works, with less.
    Less,
    /// It does not work.
    Bad,
    /// Nothing to judge.
    Note,
}

impl Health {
    fn word(self) -> &'static str {
        match self {
            Health::Good => "ok",
            Health::Less => "degraded",
            Health::Bad => "problem",
            Health::Note => "note",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Health::Good => Tone::Good,
            Health::Less => Tone::Warning,
            Health::Bad => Tone::Bad,
            Health::Note => Tone::Faint,
        }
    }
}

/// One thing that was looked at.
struct Check {
    name: &'static str,
    health: Health,
    found: String,
    hint: Option<String>,
}

impl Check {
    fn new(name: &'static str, health: Health, found: impl Into<String>) -> Self {
        Check { name, health, found: found.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "health": self.health.word(), "found": self.found, "hint": self.hint,
        })
    }
}

impl Doctor {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let given = session.reach.data_dir.as_ref().map(|dir| Given {
            key: "system.data_dir",
            option: "--data-dir",
            value: dir.display().to_string(),
        });
        let given: Vec<_> = given.into_iter().collect();
        let config = load(&session.environment, self.config.as_deref(), &given)?.config;
        let data_dir = absolute(&config.data_dir);
        let mut checks = vec![Check::new("version", Health::Note, env!("CARGO_PKG_VERSION"))];
        checks.extend(directory::checks(&data_dir, config.archive_dir.as_deref(), config.listen));
        checks.extend(instance(session, &data_dir));
        checks.extend(machine::checks());
        checks.extend(planes());
        let bad = checks.iter().any(|check| check.health == Health::Bad);
        let document = json!({
            "data_dir": data_dir,
            "healthy": !bad,
            "checks": checks.iter().map(Check::json).collect::<Vec<_>>(),
        });
        session.output.answer(&document, |terminal| lines(&checks, terminal))?;
        Ok(if bad { Exit::Refused } else { Exit::Done })
    }
}

/// How the instance on this directory is, if there is one that answers.
fn instance(session: &Session, data_dir: &Path) -> Option<Check> {
    let name = "instance";
    InstanceRecord::load(data_dir)?;
    let data_dir = Some(data_dir.to_owned());
    let reach = Reach { data_dir, endpoint: None, ..session.reach.clone() };
    let address = reach.address(&session.environment).ok()?;
    let asked = Client::new(address).get::<ark_os_api::Health>("/health");
    Some(match asked {
        Ok(it) => {
            let runs = counted(it.runs_live, "run");
            let found = format!("{}, in {} mode, {runs} under way", it.status, it.mode);
            match it.status.as_str() {
                "ok" => Check::new(name, Health::Good, found),
                "frozen" => Check::new(name, Health::Less, found)
                    .hint("no new run is taken; `ark-os emergency list` shows why and until when"),
                "degraded" => Check::new(name, Health::Less, found)
                    .hint("`ark-os monitor` shows what needs somebody"),
                _ => Check::new(name, Health::Less, found),
            }
        }
        // The record is that of a process that is gone.
        Err(failure) if failure.code() == "instance_unreachable" => return None,
        Err(failure) => Check::new(name, Health::Less, failure.message().to_owned()),
    })
}

/// The three planes, each with what it is today.
fn planes() -> [Check; 3] {
    [
        Check::new(
            "execution plane",
            Health::Less,
            "serves native agents over REST; it does not check its own program against a signed \
             manifest, and has no WebAssembly host",
        )
        .hint("minisign, fs-verity and capnp are not used by this version; none is missed"),
        Check::new(
            "orchestrator plane",
            Health::Good,
            "progress tokens and proofs of progress on every task, fenced and journaled",
        ),
        machine::sandbox_plane(),
    ]
}

fn lines(checks: &[Check], terminal: &Terminal) -> Vec<String> {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for check in checks {
        let word = format!("{:<8}", check.health.word());
        let word = terminal.out(check.health.tone(), &word);
        lines.push(format!("{word} {:<width$}  {}", check.name, check.found));
        if let Some(hint) = &check.hint {
            lines.push(format!("{:9}{:width$}  hint: {hint}", "", ""));
        }
    }
    lines
}
