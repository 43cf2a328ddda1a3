//! `ark-os fork`.

use std::path::PathBuf;

use ark_os_api::{Exit, Fork as Body, Forked, Json};
use serde_json::json;

use crate::client::segment;
use crate::failure::Failure;
use crate::session::Session;
use crate::submission::{Source, budget_of, check_deadline, fork_input, is_workflow_name, raw};

/// Begin a new run from a point of another one's history, reusing what was done before it
///
/// Tasks that were done before the point are as they were, if their definition is the same, all
/// that they need is reused too, and they do not look at an input that was changed; the others run
/// anew, under a new grant, budget and fences. Without --at and --task the point is the newest.
#[derive(Debug, clap::Args)]
pub(crate) struct Fork {
    /// The run
    run: String,
    /// After this event: its id such as `123.4`, or the number of its record
    #[arg(long, value_name = "EVENT", conflicts_with = "task")]
    at: Option<String>,
    /// Before this task began, by its name or number
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// Another input in the place of all of the old one, repeatable: `key=text`, `key:=JSON`, or `@FILE` with a whole object
    #[arg(long = "input", short = 'i', value_name = "KEY=VALUE")]
    inputs: Vec<String>,
    /// A file with another workflow (YAML, JSON or TOML); `-` reads standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Which workflow of the file, if it has several; without a file, one that is deployed
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Another skill in the place of one, repeatable: `old.skill=new.skill`
    #[arg(long = "skill", value_name = "OLD=NEW")]
    skills: Vec<String>,
    /// emergency, critical, high, normal, low or maintenance
    #[arg(long)]
    priority: Option<String>,
    /// Time for the whole run, such as `30s`
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,
    /// What the run may use up, such as `0.50usd`, or `calls=100,cpu=30s,cost=0.50usd`; else as much as its source might
    #[arg(long, value_name = "AMOUNTS")]
    budget: Option<String>,
    /// Idempotency key: the same key and request give the same fork
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Why; it is recorded
    #[arg(long)]
    reason: Option<String>,
}

impl Fork {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let pair = |text: &String| {
            let (old, new) = text.split_once('=')?;
            Some((old.to_owned(), new.to_owned()))
        };
        let skills = self.skills.iter().map(|text| {
            pair(text).ok_or_else(|| {
                Failure::usage(format!("`{text}` names no two skills"))
                    .with_hint("write it like `old.skill=new.skill`")
            })
        });
        check_deadline(self.deadline.as_deref())?;
        let skill_set = &session.components.skills;
        let source = self.file.as_deref();
        let source = source
            .map(|path| Source::read(path, self.workflow.as_deref(), skill_set, false))
            .transpose()?;
        let workflow = match (&source, self.workflow.as_deref()) {
            (Some(source), _) => Some(source.manifest()?),
            (None, Some(name)) => Some(deployed(name)?),
            (None, None) => None,
        };
        let body = Body {
            at: self.at,
            task: self.task,
            input: fork_input(&self.inputs, source.as_ref().and_then(Source::schema))?,
            workflow,
            skills: skills.collect::<Result<_, _>>()?,
            priority: self.priority,
            deadline: self.deadline,
            budget: self.budget.as_deref().map(budget_of).transpose()?,
            reason: self.reason,
        };
        let path = format!("/runs/{}/fork", segment(&self.run));
        let forked = session.client()?.post(&path, &body, self.key.as_deref());
        let forked: Forked = forked.map_err(|failure| match &source {
            Some(source) => source.placed(failure),
            None => failure,
        })?;
        session.output.answer(&forked, |_| vec![forked.run.clone()])?;
        session.output.note(&format!("reused: {}", list(&forked.reused)));
        session.output.note(&format!("anew: {}", list(&forked.anew)));
        Ok(Exit::Done)
    }
}

/// A workflow that is deployed, by its name.
fn deployed(name: &str) -> Result<Json, Failure> {
    match is_workflow_name(name) {
        true => raw(&json!(name)),
        false => Err(Failure::usage(format!("`{name}` is no name of a workflow"))
            .with_hint("name a file with --file")),
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_is_named_whatever_folder_has_its_name() {
        assert!(std::path::Path::new("src").exists());
        assert_eq!(deployed("src").unwrap().get(), "\"src\"");
        for file in ["report.yaml", "a/b", "-", ""] {
            assert_eq!(deployed(file).unwrap_err().code(), "usage", "{file}");
        }
    }
}
