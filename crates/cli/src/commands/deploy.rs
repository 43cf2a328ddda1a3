//! `ark-os deploy`.

use std::path::PathBuf;
use std::time::Duration;

use ark_os_api::{Deploy as Request, DeploymentView, Exit};
use ark_os_core::limits::HEALTH_MS;
use ark_os_core::manifest::{Change, parse_duration_ms};
use serde_json::json;

use super::noa::change_lines;
use crate::client::Client;
use crate::failure::Failure;
use crate::fleet_manifest::{Compared, post};
use crate::manifest_file::ManifestFile;
use crate::session::Session;
use crate::terminal::{Terminal, Tone};
use crate::threads::pause;

/// Beyond the time of the health checks, after which the instance takes a deployment back by itself.
const OVER_TIME: Duration = Duration::from_secs(30);
/// Between two looks at a deployment.
const LOOK: Duration = Duration::from_millis(50);

/// Put the agents and workflows of a manifest in the place of those that are deployed
///
/// New agents are checked layer by layer while everything goes on as before; then everything changes at once, or
/// nothing does. Says first what is different from the running fleet. With --dry-run the instance says what it would
/// refuse, but looks at nobody's health. With --wait the exit code is 1 where the deployment was taken back.
#[derive(Debug, clap::Args)]
pub(crate) struct Deploy {
    /// The manifest (YAML, JSON or TOML; `-` reads standard input)
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// Say what would change, and change nothing
    #[arg(long, conflicts_with_all = ["wait", "timeout"])]
    dry_run: bool,
    /// Wait until it is over
    #[arg(long)]
    wait: bool,
    /// Time for the new agents to be found healthy, or it is taken back [default: 60s]
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// Why; it is recorded
    #[arg(long)]
    reason: Option<String>,
}

impl Deploy {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let health = match self.timeout.as_deref() {
            Some(text) => parse_duration_ms(text).ok_or_else(|| {
                Failure::usage(format!("`{text}` is no duration"))
                    .with_hint("write it like `30s` or `5m`")
            })?,
            None => HEALTH_MS,
        };
        let file = ManifestFile::read(&self.manifest)?;
        let client = session.client()?;
        let compared = Compared::of(session, &client, (&self.manifest, &file))?;
        let changes = &compared.changes;
        let request = Request {
            health_timeout: self.timeout,
            reason: self.reason,
            dry_run: self.dry_run,
            ..compared.request(&file)?
        };
        if self.dry_run {
            // Also what would be refused is told.
            let looked_at = post(&client, &request, &file);
            let document = json!({ "changes": changes });
            session.output.answer(&document, |terminal| lines(changes, terminal))?;
            return looked_at.map(|_| Exit::Done);
        }
        let begun = post(&client, &request, &file)?;
        let it = match self.wait {
            true => over(&client, begun, Duration::from_millis(health) + OVER_TIME)?,
            false => begun,
        };
        session.output.answer(&json!({ "changes": changes, "deployment": it }), |terminal| {
            let mut lines = lines(changes, terminal);
            lines.push(outcome(&it, terminal));
            lines
        })?;
        Ok(if it.state == "rolled_back" { Exit::Failed } else { Exit::Done })
    }
}

/// Looks until a deployment is over.
fn over(
    client: &Client,
    mut it: DeploymentView,
    patience: Duration,
) -> Result<DeploymentView, Failure> {
    let looks = patience.as_millis() / LOOK.as_millis();
    for _ in 0..looks {
        if it.state != "deploying" {
            return Ok(it);
        }
        pause(LOOK);
        it = client.get(&format!("/deployments/{}", it.version))?;
    }
    let message = format!("deployment {} is still under way", it.version);
    Err(Failure::new("wait_exceeded", message)
        .with_hint("`ark-os list deployments` shows how far it is"))
}

fn lines(changes: &[Change], terminal: &Terminal) -> Vec<String> {
    match change_lines(changes, terminal) {
        lines if lines.is_empty() => vec!["no difference".to_owned()],
        lines => lines,
    }
}

fn outcome(it: &DeploymentView, terminal: &Terminal) -> String {
    let version = it.version;
    let (tone, line) = match (&*it.state, it.rolled_back.as_deref()) {
        ("deployed", _) => (Tone::Good, format!("version {version} is deployed")),
        ("deploying", _) => (Tone::Faint, format!("version {version} is on its way")),
        (_, Some(why)) => (Tone::Bad, format!("version {version} was taken back: {why}")),
        (state, None) => (Tone::Faint, format!("version {version} is {state}")),
    };
    terminal.out(tone, &crate::terminal::one_line(&line))
}
