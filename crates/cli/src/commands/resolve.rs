//! `ark-os resolve`.

use ark_os_api::{Exit, Page, Resolution, RunView, TaskView};

use super::json_given;
use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::session::Session;

/// Tasks and runs asked for at a time, as many as the instance gives.
const PAGE: u32 = 500;

/// Say what became of a step in doubt, so that its task can go on
///
/// A crash left open whether the step's effect happened. Look at the system it acted on, then say
/// so; nothing is repeated by guessing. `ark-os get TASK` shows the steps of a task with their keys.
#[derive(Debug, clap::Args)]
pub(crate) struct Resolve {
    /// The step's key or its beginning, or the id of a task with just one step in doubt
    step: String,
    /// The step's run [default: looked for among the parked runs]
    #[arg(long)]
    run: Option<String>,
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
        let doubt = self.find(&session.client()?)?;
        let happened =
            self.outcome.happened.as_deref().map(|text| json_given(text, "result")).transpose()?;
        let resolution = Resolution {
            happened,
            not_happened: self.outcome.not_happened,
            give_up: self.outcome.give_up,
            reason: self.reason,
        };
        let path = format!("/runs/{}/steps/{}/resolve", segment(&doubt.run), segment(&doubt.key));
        super::change(session, &path, &resolution)
    }

    /// The one step in doubt that is meant.
    fn find(&self, client: &Client) -> Result<Doubt, Failure> {
        let mut found = Vec::new();
        if self.step.starts_with("task_") {
            let task: TaskView = client.get(&format!("/tasks/{}", segment(&self.step)))?;
            found.extend(doubts(&task));
        } else if let Some(run) = &self.run {
            found = in_run(client, run)?;
            found.retain(|doubt| doubt.key.starts_with(&self.step));
        } else {
            for run in all::<RunView>(client, "/runs?state=parked&")? {
                let doubts = in_run(client, &run.id)?.into_iter();
                found.extend(doubts.filter(|doubt| doubt.key.starts_with(&self.step)));
            }
        }
        let count = found.len();
        match (found.pop(), count) {
            (Some(doubt), 1) => Ok(doubt),
            (_, 0) => {
                let message = format!("no step `{}` is in doubt", self.step);
                Err(Failure::new("step_not_found", message)
                    .with_hint("`ark-os list runs --state parked` shows what waits for somebody"))
            }
            _ => Err(Failure::usage(format!("{count} steps in doubt fit `{}`", self.step))
                .with_hint("give the whole key; `ark-os get TASK` shows it")),
        }
    }
}

/// A step in doubt.
struct Doubt {
    run: String,
    key: String,
}

fn doubts(task: &TaskView) -> impl Iterator<Item = Doubt> {
    let open = task.steps.iter().filter(|step| step.state == "in_doubt");
    open.map(|step| Doubt { run: task.run.clone(), key: step.key.clone() })
}

fn in_run(client: &Client, run: &str) -> Result<Vec<Doubt>, Failure> {
    let tasks = all::<TaskView>(client, &format!("/runs/{}/tasks?", segment(run)))?;
    Ok(tasks.iter().flat_map(doubts).collect())
}

/// All pages of a list; `path` ends where parameters go on.
fn all<T: serde::de::DeserializeOwned>(client: &Client, path: &str) -> Result<Vec<T>, Failure> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: Page<T> = client.get(&format!("{path}limit={PAGE}{cursor}"))?;
        items.extend(page.items);
        match page.next {
            Some(next) => cursor = format!("&cursor={}", segment(&next)),
            None => return Ok(items),
        }
    }
}
