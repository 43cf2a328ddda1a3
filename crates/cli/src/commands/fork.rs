//! `ark-os fork`.

use std::path::PathBuf;

use ark_os_api::{Exit, Fork as Body, Forked};

use crate::client::segment;
use crate::failure::Failure;
use crate::session::Session;
use crate::submission::{fork_input, fork_workflow};

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
    /// Another workflow: a file with just one (YAML, JSON or TOML)
    #[arg(long, value_name = "FILE")]
    workflow: Option<PathBuf>,
    /// Another skill in the place of one, repeatable: `old.skill=new.skill`
    #[arg(long = "skill", value_name = "OLD=NEW")]
    skills: Vec<String>,
    /// emergency, critical, high, normal, low or maintenance
    #[arg(long)]
    priority: Option<String>,
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
        let body = Body {
            at: self.at,
            task: self.task,
            input: fork_input(&self.inputs)?,
            workflow: self.workflow.as_deref().map(fork_workflow).transpose()?,
            skills: skills.collect::<Result<_, _>>()?,
            priority: self.priority,
            reason: self.reason,
            ..Body::default()
        };
        let path = format!("/runs/{}/fork", segment(&self.run));
        let forked: Forked = session.client()?.post(&path, &body, None)?;
        session.output.answer(&forked, |_| vec![forked.run.clone()])?;
        session.output.note(&format!("reused: {}", list(&forked.reused)));
        session.output.note(&format!("anew: {}", list(&forked.anew)));
        Ok(Exit::Done)
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
