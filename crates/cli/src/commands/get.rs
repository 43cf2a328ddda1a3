//! `ark-os get`.

use ark_os_api::{Exit, RunView};
use serde::Deserialize;
use serde_json::Value;

use crate::client::{Client, segment};
use crate::failure::Failure;
use crate::output::{outline, pretty};
use crate::session::Session;
use crate::show;

/// Lines of an outline; `--json` shows all.
const LINES_MAX: usize = 500;

/// Show one run, task, agent or workflow
///
/// The id tells what it is; say it before the id where it does not: `ark-os get workflow audit`.
#[derive(Debug, clap::Args)]
#[command(override_usage = "ark-os get [OPTIONS] [run|task|agent|workflow] <ID>")]
pub(crate) struct Get {
    /// `run`, `task`, `agent` or `workflow`, and the id or name
    #[arg(num_args = 1..=2, required = true, value_name = "ID")]
    what: Vec<String>,
    /// Of a run: print its output alone, as it is
    #[arg(long)]
    output: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Run,
    Task,
    Agent,
    Workflow,
}

impl Get {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let (kind, id) = match self.what.as_slice() {
            [kind, id] => (kind_of(kind)?, id),
            [id] => (kind_of_id(id), id),
            _ => return Err(Failure::usage("name one thing")),
        };
        let client = session.client()?;
        if self.output {
            if kind != Kind::Run {
                return Err(Failure::usage("only a run has an output of its own"));
            }
            let bytes = client.fetch(&format!("/runs/{}/output", segment(id)))?;
            session.output.bytes(&bytes)?;
            return Ok(Exit::Done);
        }
        match kind {
            Kind::Run => run(session, &client, id),
            Kind::Task => whole(session, &client, &format!("/tasks/{}", segment(id))),
            Kind::Agent => whole(session, &client, &format!("/agents/{}", segment(id))),
            Kind::Workflow => workflow(session, &client, id),
        }
    }
}

fn kind_of(word: &str) -> Result<Kind, Failure> {
    match word {
        "run" | "runs" => Ok(Kind::Run),
        "task" | "tasks" => Ok(Kind::Task),
        "agent" | "agents" => Ok(Kind::Agent),
        "workflow" | "workflows" => Ok(Kind::Workflow),
        _ => Err(Failure::usage(format!("there is nothing of the kind `{word}`"))
            .with_hint("use run, task, agent or workflow")),
    }
}

fn kind_of_id(id: &str) -> Kind {
    let layers = ark_os_core::layer::Layer::ALL;
    let is_agent = |layer: ark_os_core::layer::Layer| {
        let rest = id.strip_prefix(layer.as_str()).and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    if id.starts_with("run_") {
        Kind::Run
    } else if id.starts_with("task_") {
        Kind::Task
    } else if layers.into_iter().any(is_agent) {
        Kind::Agent
    } else {
        Kind::Workflow
    }
}

fn run(session: &Session, client: &Client, id: &str) -> Result<Exit, Failure> {
    let view: RunView = client.get(&format!("/runs/{}", segment(id)))?;
    session.output.answer(&view, |terminal| show::run(terminal, &view))?;
    Ok(Exit::Done)
}

fn whole(session: &Session, client: &Client, path: &str) -> Result<Exit, Failure> {
    let bytes = client.fetch(path)?;
    let text = String::from_utf8_lossy(&bytes);
    print(session, &text)
}

/// Names are not unique: every version that was let in or is deployed is told.
fn workflow(session: &Session, client: &Client, name: &str) -> Result<Exit, Failure> {
    #[derive(Deserialize)]
    struct Listed {
        items: Vec<Value>,
        next: Option<String>,
    }
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: Listed = client.get(&format!("/workflows{cursor}"))?;
        let is_it = |it: &Value| it["name"] == name || it["hash"] == name;
        found.extend(page.items.into_iter().filter(is_it));
        match page.next {
            Some(next) => cursor = format!("?cursor={}", segment(&next)),
            None => break,
        }
    }
    if found.is_empty() {
        return Err(Failure::new(
            "store_not_found",
            format!("no workflow `{name}` is deployed, or was let in since the start"),
        )
        .with_hint("`ark-os list workflows` shows what there is"));
    }
    print(session, &Value::Array(found).to_string())
}

fn print(session: &Session, text: &str) -> Result<Exit, Failure> {
    match serde_json::from_str::<Value>(text) {
        Ok(value) if !session.output.is_json() => {
            outline(&value, LINES_MAX).iter().try_for_each(|line| session.output.line(line))?;
        }
        _ => session.output.line(&pretty(text))?,
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_what_it_is() {
        assert_eq!(kind_of_id("run_01J"), Kind::Run);
        assert_eq!(kind_of_id("task_01J_2.3"), Kind::Task);
        assert_eq!(kind_of_id("stack-chief-00003"), Kind::Agent);
        assert_eq!(kind_of_id("micro-service"), Kind::Workflow);
    }
}
