//! `ark-os run`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ark_os_api::{Exit, FleetView, GraphView, RunView};
use ark_os_runtime::Components;
use ark_os_runtime::skills::SkillSet;
use serde_json::json;
use tokio::sync::oneshot;

use crate::agents;
use crate::client::{Client, InstanceRecord, segment};
use crate::config::{Config, Given, Origin, load};
use crate::failure::{Failure, exit_of_run};
use crate::logs;
use crate::node::{Node, Stop, fleet_summary, interrupted};
use crate::progress::{Curtain, Display, Names, Style, follow};
use crate::session::Session;
use crate::show;
use crate::submission::{Prepared, Submission};
use crate::threads::{pause, spawn};
use crate::tokio_tasks;

/// How often we look whether the process that holds the data directory has told its address.
const LOOKS_MAX: u32 = 100;
/// Between two looks: together 5 s, far longer than a start takes.
const LOOK: Duration = Duration::from_millis(50);

/// Submit a run and follow it to its end
///
/// Uses the instance that runs on the data directory; where none does, starts one in this process
/// and stops it afterwards: that one has the agents that FILE declares, too. Prints the run's id first. Ctrl-C detaches: the run goes on where its
/// instance runs on, and with the next start where `run` had started it itself (what runs comes to
/// its end first; Ctrl-C again stops at once). The exit code is the run's outcome: 0, 1, or 7 where
/// it is parked or not over.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    submission: Submission,
    /// Follow a run that was submitted before, instead of a new one
    #[arg(long, value_name = "RUN", conflicts_with_all = [
        "file", "task", "workflow", "inputs", "priority", "deadline", "budget", "key",
    ])]
    attach: Option<String>,
    /// Agents of an instance that is started here [default: 100]
    #[arg(long, value_name = "N")]
    agents: Option<String>,
    /// Manifest file with agents of an instance that is started here; may be repeated
    #[arg(long, value_name = "FILE")]
    manifest: Vec<String>,
    /// Log level of an instance that is started here [default: warn]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Configuration file (TOML) of an instance that is started here
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
}

/// What is to be followed.
enum Target {
    New(Box<Prepared>),
    Old(String),
}

impl Run {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        if session.reach.is_by_address(&session.environment) {
            let client = session.client()?;
            let target = self.target(&session.components, false)?;
            return attached(session, &client, &target);
        }
        let config = self.config(session)?;
        let mut ready = None;
        for _ in 0..LOOKS_MAX {
            if let Some(client) = running(session, &config.data_dir)? {
                let target = self.target(&session.components, false)?;
                return attached(session, &client, &target);
            }
            // Checked before anything is started: a typing error makes no data directory.
            let (target, components) = match ready.take() {
                Some(ready) => ready,
                None => self.ours(session, &config)?,
            };
            match embedded(session, &config, &components, &target) {
                // Another process is faster by a moment: it will tell its address.
                Err(failure) if failure.code() == "data_directory_in_use" => pause(LOOK),
                done => return done,
            }
            ready = Some((target, components));
        }
        let message = format!(
            "another process holds the data directory `{}` and serves nobody",
            config.data_dir.display()
        );
        Err(Failure::new("data_directory_in_use", message)
            .with_hint("wait for it, or use another directory with --data-dir"))
    }

    /// What is to be followed, and what an instance is made of that has the agents of the manifests
    /// and of the file itself.
    fn ours(&self, session: &Session, config: &Config) -> Result<(Target, Components), Failure> {
        let besides = self.submission.file();
        let mut components = agents::components(&session.components, config, besides)?;
        let target = self.target(&components, true)?;
        if let Target::New(prepared) = &target
            && let Some(file) = prepared.source()
        {
            agents::install(&mut components, config, prepared.agents(), file)?;
        }
        Ok((target, components))
    }

    fn target(&self, components: &Components, is_ours: bool) -> Result<Target, Failure> {
        match &self.attach {
            Some(run) => Ok(Target::Old(run.clone())),
            None => {
                let prepared = self.submission.prepare(&components.skills, is_ours)?;
                Ok(Target::New(Box::new(prepared)))
            }
        }
    }

    fn config(&self, session: &Session) -> Result<Config, Failure> {
        let data_dir = session.reach.data_dir.as_ref().map(|dir| dir.display().to_string());
        let options = [
            ("system.initial_agent_count", "--agents", self.agents.clone()),
            ("system.manifests", "--manifest", listed(&self.manifest)),
            ("monitoring.log_level", "--log-level", self.log_level.clone()),
            ("system.data_dir", "--data-dir", data_dir),
        ];
        let given: Vec<_> = options
            .into_iter()
            .filter_map(|(key, option, value)| Some(Given { key, option, value: value? }))
            .collect();
        let layered = load(&session.environment, self.config.as_deref(), &given)?;
        let is_default = |key: &str| {
            let mut entries = layered.entries.iter();
            entries.any(|entry| entry.key == key && entry.origin == Origin::Default)
        };
        let mut config = layered.config.clone();
        config.make_absolute();
        if is_default("monitoring.log_level") {
            // The run's progress is what people want to see here.
            config.log_level = "warn".to_owned();
        }
        if is_default("server.listen") {
            config.listen.set_port(0);
        }
        Ok(config)
    }
}

/// As the configuration reads a list.
pub(super) fn listed(values: &[String]) -> Option<String> {
    (!values.is_empty()).then(|| values.join(","))
}

/// The instance that runs on a data directory, if one does.
pub(super) fn running(session: &Session, data_dir: &Path) -> Result<Option<Client>, Failure> {
    if InstanceRecord::load(data_dir).is_none() {
        return Ok(None);
    }
    let mut reach = session.reach.clone();
    reach.data_dir = Some(data_dir.to_path_buf());
    let client = Client::new(reach.address(&session.environment)?);
    Ok(client.is_alive().then_some(client))
}

/// Says so where relative paths of the input mean something else to the instance than here.
pub(super) fn warn_about_paths(session: &Session, client: &Client, prepared: &Prepared) {
    let address = client.address();
    let record = InstanceRecord::load(&address.data_dir);
    let Some(record) = record.filter(|record| record.endpoint == address.endpoint) else { return };
    let (Some(there), Ok(here)) = (record.working_dir, std::env::current_dir()) else { return };
    let paths = prepared.relative_paths();
    if there != here && !paths.is_empty() {
        session.output.note(&format!(
            "warning: `{}` is taken relative to `{}`, where the running instance was started; give \
             an absolute path to be sure",
            paths.join("`, `"),
            there.display()
        ));
    }
}

/// Runs it on an instance that goes on without us.
fn attached(session: &Session, client: &Client, target: &Target) -> Result<Exit, Failure> {
    if let Target::New(prepared) = target {
        warn_about_paths(session, client, prepared);
    }
    let run = begin(session, client, target)?;
    tokio_tasks::run(async {
        let (following, curtain) = following(session, client, &run)?;
        tokio::select! {
            view = following => finished(session, &view.map_err(|_| lost())??),
            detached = interrupted() => {
                detached?;
                curtain.fall();
                session.output.note(&format!("detached; `ark-os run --attach {run}` follows it again"));
                Ok(Exit::Waiting)
            }
        }
    })
}

/// Runs it on an instance of our own.
fn embedded(
    session: &Session,
    config: &Config,
    components: &Components,
    target: &Target,
) -> Result<Exit, Failure> {
    tokio_tasks::run(async {
        let logs = logs::start(config, session.output.terminal())?;
        let mut node = Node::start(config, components.clone(), logs, None).await?;
        let client = Client::new(node.address().clone());
        let ended =
            followed(session, config, &mut node, &client, (target, &components.skills)).await;
        match ended {
            Ok(Ended::Over(view)) => {
                node.stop(Stop::Drain(config.drain_timeout)).await?;
                finished(session, &view)
            }
            Ok(Ended::Stopped(run, stop)) => {
                session
                    .output
                    .note("detaching: what runs comes to its end; Ctrl-C again stops at once");
                node.stop(stop).await?;
                session.output.note(&format!("`ark-os run --attach {run}` follows it again"));
                Ok(Exit::Waiting)
            }
            Err(failure) => {
                // The first failure is the one to tell.
                let _ = node.stop(Stop::Now).await;
                Err(failure)
            }
        }
    })
}

/// How a run that is followed ends.
type Following = oneshot::Receiver<Result<RunView, Failure>>;

enum Ended {
    Over(Box<RunView>),
    Stopped(String, Stop),
}

async fn followed(
    session: &Session,
    config: &Config,
    node: &mut Node,
    client: &Client,
    (target, skills): (&Target, &SkillSet),
) -> Result<Ended, Failure> {
    // The client blocks this thread; the server has threads of its own.
    let run = begin(session, client, target)?;
    session.output.note(&fleet_summary(config.agents));
    if let Target::Old(_) = target {
        warn_about_skills(session, client, skills, &run)?;
    }
    let (following, curtain) = following(session, client, &run)?;
    tokio::select! {
        view = following => Ok(Ended::Over(Box::new(view.map_err(|_| lost())??))),
        stop = node.asked_to_stop() => {
            curtain.fall();
            Ok(Ended::Stopped(run, stop))
        }
    }
}

/// Says so where a run of an earlier instance waits for agents that ours lacks.
fn warn_about_skills(
    session: &Session,
    client: &Client,
    skills: &SkillSet,
    run: &str,
) -> Result<(), Failure> {
    let graph: GraphView = client.get(&format!("/runs/{}/graph", segment(run)))?;
    let fleet: FleetView = client.get("/fleet")?;
    let declared: BTreeSet<&str> =
        fleet.groups.iter().flat_map(|group| &group.skills).map(|skill| &**skill).collect();
    // Waits and child runs need nobody.
    let needed = graph.nodes.iter().map(|node| &*node.skill).filter(|skill| !skill.is_empty());
    let needed: BTreeSet<&str> = needed.collect();
    let is_here = |skill: &str| skills.find(skill).is_some() || declared.contains(skill);
    for skill in needed.into_iter().filter(|skill| !is_here(skill)) {
        session.output.note(&format!(
            "warning: no agent here has the skill `{skill}`, and its tasks wait; attach with \
             `--manifest FILE` of who has it"
        ));
    }
    Ok(())
}

/// Submits what is new, and prints the run's id.
fn begin(session: &Session, client: &Client, target: &Target) -> Result<String, Failure> {
    let run = match target {
        Target::New(prepared) => prepared.submit(client)?.run,
        Target::Old(run) => client.get::<RunView>(&format!("/runs/{}", segment(run)))?.id,
    };
    match session.output.is_json() {
        true => session.output.json_line(&json!({ "run": run }))?,
        false => session.output.line(&run)?,
    }
    Ok(run)
}

/// Follows the run on a thread of its own, because reading a stream blocks.
fn following(
    session: &Session,
    client: &Client,
    run: &str,
) -> Result<(Following, Curtain), Failure> {
    let view: RunView = client.get(&format!("/runs/{}", segment(run)))?;
    let (tx, rx) = oneshot::channel();
    let (client, run, output) = (client.clone(), run.to_owned(), session.output);
    let names = Names::new(client.clone());
    let mut display = Display::new(output, Style::of(&output), names, view.tasks.total);
    let curtain = display.curtain();
    spawn("ark-follow", move || {
        // Who asked may have gone on without us.
        let _ = tx.send(follow(&client, &run, &mut display));
    })?;
    Ok((rx, curtain))
}

fn lost() -> Failure {
    Failure::new("internal", "the thread that followed the run is gone")
}

fn finished(session: &Session, view: &RunView) -> Result<Exit, Failure> {
    match session.output.is_json() {
        true => session.output.json_line(view)?,
        false => {
            let lines = show::outcome(&session.output.terminal(), view);
            lines.iter().try_for_each(|line| session.output.line(line))?;
        }
    }
    Ok(exit_of_run(&view.state).unwrap_or(Exit::Waiting))
}
