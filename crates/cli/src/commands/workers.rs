//! `ark-os workers`.

use std::path::PathBuf;

use ark_os_api::Exit;

use crate::config::Config;
use crate::conformance::{self, Checked, Subject};
use crate::failure::Failure;
use crate::session::Session;
use crate::terminal::Tone;

/// Remote workers: test one against the protocol
///
/// `ark-os list workers` shows those of a running instance.
#[derive(Debug, clap::Args)]
pub(crate) struct Workers {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Conformance(Conformance),
}

/// Test a worker against the protocol
///
/// Starts an instance of its own on a free port and COMMAND as a worker, with ARK_OS_ENDPOINT and
/// ARK_OS_TOKEN in its environment, and checks what passes between them, lost answers and refusals
/// included. The worker offers `conformance.echo`, `conformance.fail` and `conformance.work`
/// (docs/workers.md says what they do). Exit code 6 if a check fails.
#[derive(Debug, clap::Args)]
struct Conformance {
    /// Only this check; may be given more than once. `registers` is always made
    #[arg(long, value_name = "NAME")]
    check: Vec<String>,
    /// Start no worker: print where the instance is and wait for one that is started by hand
    #[arg(long, conflicts_with = "command")]
    listen: bool,
    /// Where the instance's data lies for the time of the test [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Program and arguments of the worker
    #[arg(last = true, required_unless_present = "listen", value_name = "COMMAND")]
    command: Vec<String>,
}

impl Workers {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        match self.what {
            What::Conformance(conformance) => conformance.carry_out(session),
        }
    }
}

impl Conformance {
    fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        if let Some(name) =
            self.check.iter().find(|name| !conformance::check_names().any(|it| it == *name))
        {
            let names: Vec<_> = conformance::check_names().collect();
            return Err(Failure::new("usage", format!("there is no check `{name}`"))
                .with_hint(format!("the checks are {}", names.join(", "))));
        }
        let below = self.directory.unwrap_or_else(std::env::temp_dir);
        let directory = below.join(format!("ark-os-conformance-{}", std::process::id()));
        let subject = Subject { command: self.command, directory };
        let output = &session.output;
        let tell = |checked: &Checked| {
            if !output.is_json() {
                // Somebody who does not read the lines gets the exit code all the same.
                let _ = output.line(&line(session, checked));
            }
        };
        let report = conformance::run(
            (&subject, Config::defaults(&session.environment)),
            &self.check,
            &tell,
        )?;
        if output.is_json() {
            output.document(&report)?;
        }
        Ok(if report.passed { Exit::Done } else { Exit::Unverified })
    }
}

fn line(session: &Session, checked: &Checked) -> String {
    let tone = match checked.outcome {
        "passed" => Tone::Good,
        "failed" => Tone::Bad,
        _ => Tone::Faint,
    };
    let outcome = session.output.terminal().out(tone, &format!("{:<8}", checked.outcome));
    format!("{outcome} {:<13} {}: {}", checked.check, checked.what, checked.detail)
}
