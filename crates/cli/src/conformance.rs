//! The conformance test of remote workers: a real instance on a free port, a relay before it that
//! loses answers and refuses requests where a check asks for it, and checks of what passes through.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use crate::failure::Failure;

mod checks;
mod http;
mod process;
mod relay;
mod stage;

pub(crate) use checks::check_names;
pub(crate) use stage::Stage;

/// Skills that a worker under test offers.
pub(crate) const ECHO: &str = "conformance.echo";
pub(crate) const FAIL: &str = "conformance.fail";
pub(crate) const WORK: &str = "conformance.work";

/// The lease of the instance under the test: short, so that a lost one is seen soon.
const LEASE: Duration = Duration::from_secs(2);
/// Its heartbeat: also the longest wait of a claim.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// What is tested.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// Program and arguments; empty: somebody starts the worker by hand.
    pub(crate) command: Vec<String>,
    /// Where the instance's data lies for the time of the test.
    pub(crate) directory: PathBuf,
}

/// What came of one check.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Checked {
    /// Its name.
    pub(crate) check: &'static str,
    /// What it holds a worker to.
    #[serde(skip)]
    pub(crate) what: &'static str,
    /// `passed`, `failed` or `skipped`.
    pub(crate) outcome: &'static str,
    /// What was seen.
    pub(crate) detail: String,
}

/// What came of the test.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// Whether no check failed.
    pub(crate) passed: bool,
    /// Each check, in order.
    pub(crate) checks: Vec<Checked>,
}

/// Runs every check, each told when it is over.
pub(crate) fn run(
    (subject, defaults): (&Subject, Config),
    only: &[String],
    tell: &dyn Fn(&Checked),
) -> Result<Report, Failure> {
    let mut stage = Stage::open(subject, defaults)?;
    let mut done = Vec::new();
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|it| it == name);
    // Without the first there is no worker to look at.
    let wanted = checks::ALL.iter().enumerate().filter(|(i, it)| *i == 0 || is_wanted(it.name));
    for (_, check) in wanted {
        let (outcome, detail) = match (check.look)(&mut stage) {
            Ok(checks::Seen::Passed(detail)) => ("passed", detail),
            Ok(checks::Seen::Skipped(why)) => ("skipped", why),
            Err(why) => ("failed", why),
        };
        let checked = Checked { check: check.name, what: check.what, outcome, detail };
        tell(&checked);
        done.push(checked);
    }
    stage.close();
    let passed = done.iter().all(|checked| checked.outcome != "failed");
    Ok(Report { passed, checks: done })
}
