//! `ark-os start`.

use std::path::PathBuf;
use std::time::Duration;

use ark_os_api::Exit;
use ark_os_runtime::Components;
use ark_os_server::LogRing;
use serde_json::json;

use crate::agents;
use crate::commands::run::{listed, running};
use crate::config::{Config, Given};
use crate::failure::Failure;
use crate::logs;
use crate::node::{Node, Running, Source, fleet_summary};
use crate::session::Session;
use crate::threads::pause;
use crate::tokio_tasks;

/// Between two looks at whether a lock is free.
const LOOK: Duration = Duration::from_millis(50);
/// Together a second: what the end of a large process takes.
const LOOKS_MAX: u32 = 20;

/// Start an instance; prints its address when it is ready
///
/// Works with nothing else installed. Runs that were in flight go on. It stops at SIGTERM, Ctrl-C
/// or `ark-os shutdown`: what runs comes to its end first; a second signal stops it at once.
/// Only one instance runs on a data directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// autonomous, supervised or interactive [default: supervised]
    #[arg(long)]
    mode: Option<String>,
    /// Agents of the fleet [default: 100]
    #[arg(long, value_name = "N")]
    agents: Option<String>,
    /// Manifest file with agents; may be repeated
    #[arg(long, value_name = "FILE")]
    manifest: Vec<String>,
    /// Address of the API; port 0 takes a free one [default: 127.0.0.1:7341]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Name under which callers from elsewhere reach the API; may be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// error, warn, info, debug, trace or off [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Start {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let data_dir = session.reach.data_dir.as_ref().map(|dir| dir.display().to_string());
        let options = [
            ("system.mode", "--mode", self.mode),
            ("system.initial_agent_count", "--agents", self.agents),
            ("server.listen", "--listen", self.listen),
            ("server.hosts", "--host", listed(&self.host)),
            ("system.manifests", "--manifest", listed(&self.manifest)),
            ("monitoring.log_level", "--log-level", self.log_level),
            ("system.data_dir", "--data-dir", data_dir),
        ];
        let given: Vec<_> = options
            .into_iter()
            .filter_map(|(key, option, value)| Some(Given { key, option, value: value? }))
            .collect();
        let environment = session.environment.clone();
        let source = Source { environment, file: self.config, given };
        let layered = source.read()?;
        let config = layered.config.clone();
        // Checked before anything is started: a typing error makes no data directory.
        let components = agents::components(&session.components, &config, None)?;
        let logs = logs::start(&config, session.output.terminal())?;
        tokio_tasks::run(async {
            // The hang-up of its terminal ends what was started on one.
            let is_service = !session.output.terminal().is_live();
            let running = Some(Running::new(source, layered, is_service));
            let mut node = begin(session, &config, (&components, running), logs).await?;
            let agents = node.agents().await?;
            let address = node.address();
            let ready = json!({
                "endpoint": address.endpoint, "pid": address.pid, "data_dir": address.data_dir,
                "agents": agents, "mode": config.mode.as_str(),
            });
            session.output.answer(&ready, |_| {
                vec![
                    format!("ready at {}", address.endpoint),
                    fleet_summary(agents),
                    format!("{} mode, data in {}", config.mode, address.data_dir.display()),
                ]
            })?;
            let stop = node.asked_to_stop().await;
            let drained = node.stop(stop).await?;
            let how = if drained {
                "stopped; all that was worked on came to its end"
            } else {
                "stopped; what ran goes on at the next start"
            };
            session.output.note(how);
            Ok(Exit::Done)
        })
    }
}

/// The kernel gives a lock back when the process that had it is gone altogether, which takes a killed
/// one a moment; one that answers has it for good.
async fn begin(
    session: &Session,
    config: &Config,
    (components, settings): (&Components, Option<Running>),
    logs: LogRing,
) -> Result<Node, Failure> {
    for _ in 0..LOOKS_MAX {
        match Node::start(config, components.clone(), logs.clone(), settings.clone()).await {
            Err(failure)
                if failure.code() == "data_directory_in_use"
                    && running(session, &config.data_dir)?.is_none() => {}
            done => return done,
        }
        pause(LOOK);
    }
    Node::start(config, components.clone(), logs.clone(), settings).await
}
