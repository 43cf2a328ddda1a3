//! `ark-os list`.

use ark_os_api::{
    AgentView, DeploymentView, DeploymentsView, Exit, Page, RunView, TaskView, WorkerView,
    WorkflowView,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::table;
use crate::session::Session;
use crate::show;
use crate::terminal::{Tone, one_line, tone_of};

/// List runs, the tasks or children of a run, agents, remote workers, workflows or deployments
///
/// A list comes in pages; the last line tells how to get the next one.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Runs, newest first
    Runs {
        /// Only those in this state
        #[arg(long)]
        state: Option<String>,
        /// Only those of this workflow
        #[arg(long, value_name = "NAME")]
        workflow: Option<String>,
        #[command(flatten)]
        part: Part,
    },
    /// Tasks of a run
    Tasks {
        /// The run
        run: String,
        #[command(flatten)]
        part: Part,
    },
    /// The runs that a run's tasks asked for
    Children {
        /// The run
        run: String,
        #[command(flatten)]
        part: Part,
    },
    /// Agents of the fleet
    Agents {
        #[command(flatten)]
        part: Part,
    },
    /// Remote workers, with what they have in hand
    Workers {
        #[command(flatten)]
        part: Part,
    },
    /// Workflows that are deployed, and versions that were let in since the start
    Workflows {
        #[command(flatten)]
        part: Part,
    },
    /// The last deployments, newest first, with what became of them
    Deployments {},
}

/// Which part of a list.
#[derive(Debug, clap::Args)]
struct Part {
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

impl List {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let list = Listing { session, client: &client };
        match self.what {
            What::Runs { state, workflow, part } => {
                let query = part.query(&[("state", state), ("workflow", workflow)]);
                list.print(&format!("/runs{query}"), &RUNS, run_row)
            }
            What::Tasks { run, part } => {
                let path = format!("/runs/{}/tasks{}", segment(&run), part.query(&[]));
                list.print(&path, &TASKS, task_row)
            }
            What::Children { run, part } => {
                let path = format!("/runs/{}/children{}", segment(&run), part.query(&[]));
                list.print(&path, &RUNS, run_row)
            }
            What::Agents { part } => {
                list.print(&format!("/agents{}", part.query(&[])), &AGENTS, agent_row)
            }
            What::Workers { part } => {
                list.print(&format!("/workers{}", part.query(&[])), &WORKERS, worker_row)
            }
            What::Workflows { part } => {
                list.print(&format!("/workflows{}", part.query(&[])), &WORKFLOWS, workflow_row)
            }
            What::Deployments {} => list.print_deployments(),
        }
    }
}

impl Part {
    fn query(&self, filters: &[(&str, Option<String>)]) -> String {
        let mut query = Vec::new();
        for (name, value) in filters {
            query.extend(value.as_deref().map(|value| format!("{name}={}", segment(value))));
        }
        query.extend(self.limit.map(|limit| format!("limit={limit}")));
        query.extend(self.cursor.as_deref().map(|cursor| format!("cursor={}", segment(cursor))));
        if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) }
    }
}

struct Listing<'a> {
    session: &'a Session,
    client: &'a Client,
}

type Row = Vec<(Tone, String)>;

impl Listing<'_> {
    fn print<T: Serialize + DeserializeOwned>(
        &self,
        path: &str,
        head: &[&str],
        row: impl Fn(&T) -> Row,
    ) -> Result<Exit, Failure> {
        let page: Page<T> = self.client.get(path)?;
        self.session.output.answer(&page, |terminal| {
            let rows: Vec<_> = page.items.iter().map(row).collect();
            table(terminal, head, &rows)
        })?;
        if let Some(next) = &page.next {
            self.session.output.note(&format!("more: --cursor {next}"));
        }
        Ok(Exit::Done)
    }
}

impl Listing<'_> {
    fn print_deployments(&self) -> Result<Exit, Failure> {
        let known: DeploymentsView = self.client.get("/deployments")?;
        self.session.output.answer(&known, |terminal| {
            let rows: Vec<_> = known.deployments.iter().map(deployment_row).collect();
            table(terminal, &DEPLOYMENTS, &rows)
        })?;
        Ok(Exit::Done)
    }
}

const RUNS: [&str; 6] = ["run", "state", "workflow", "tasks", "accepted", "took"];
const TASKS: [&str; 6] = ["task", "name", "state", "skill", "attempt", "agent"];
const AGENTS: [&str; 6] = ["agent", "layer", "standing", "busy", "supervisor", "restarts"];
const WORKERS: [&str; 7] = ["worker", "layer", "state", "in hand", "queued", "silent", "skills"];
const WORKFLOWS: [&str; 6] = ["admission", "name", "version", "tasks", "deployed", "hash"];

const DEPLOYMENTS: [&str; 5] = ["version", "state", "began", "reason", "rolled back"];

fn deployment_row(it: &DeploymentView) -> Row {
    vec![
        plain(it.version),
        state(&it.state),
        plain(it.began.map(|began| began.to_string()).unwrap_or_default()),
        plain(one_line(&it.reason)),
        plain(one_line(it.rolled_back.as_deref().unwrap_or_default())),
    ]
}

fn plain(text: impl std::fmt::Display) -> (Tone, String) {
    (Tone::Plain, text.to_string())
}

fn state(text: &str) -> (Tone, String) {
    (tone_of(text), text.to_owned())
}

fn run_row(run: &RunView) -> Row {
    let tasks = &run.tasks;
    let over = tasks.succeeded + tasks.failed + tasks.cancelled + tasks.skipped;
    let took = run.ended.map(|ended| show::took(ended.0.saturating_sub(run.accepted.0)));
    vec![
        plain(&run.id),
        state(&run.state),
        plain(&run.workflow),
        plain(format!("{over}/{}", tasks.total)),
        plain(run.accepted),
        plain(took.unwrap_or_default()),
    ]
}

fn task_row(task: &TaskView) -> Row {
    vec![
        plain(&task.id),
        plain(task.name.as_deref().unwrap_or_default()),
        state(&task.state),
        plain(task.skill.as_deref().or(task.waits_for.as_deref()).unwrap_or_default()),
        plain(task.attempt),
        plain(task.agent.as_deref().unwrap_or_default()),
    ]
}

fn agent_row(agent: &AgentView) -> Row {
    vec![
        plain(&agent.id),
        plain(&agent.layer),
        state(&agent.standing),
        plain(format!("{}/{}", agent.busy, agent.concurrency)),
        plain(agent.supervisor.as_deref().unwrap_or_default()),
        plain(agent.restarts),
    ]
}

fn worker_row(worker: &WorkerView) -> Row {
    vec![
        plain(&worker.worker),
        plain(&worker.layer),
        state(&worker.state),
        plain(format!("{}/{}", worker.under_way, worker.concurrency)),
        plain(worker.queued),
        plain(show::took(worker.silent_ms)),
        plain(worker.skills.join(" ")),
    ]
}

fn workflow_row(workflow: &WorkflowView) -> Row {
    let admission = Some(workflow.admission).filter(|it| *it > 0);
    vec![
        plain(admission.map_or_else(|| "none yet".to_owned(), |it| it.to_string())),
        plain(&workflow.name),
        plain(&workflow.version),
        plain(workflow.tasks),
        plain(if workflow.deployed { "yes" } else { "no" }),
        (Tone::Faint, workflow.hash.get(..16).unwrap_or(&workflow.hash).to_owned()),
    ]
}
