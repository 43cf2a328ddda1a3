//! The output of a task that adds others: `{"output": …, "tasks": […]}`.

use ark_os_core::command::AttemptOutcome;
use ark_os_core::hash::Hash;
use ark_os_core::manifest::parse_added;
use ark_os_core::plan::{TaskSpec, Workflow};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Assignment, Shop};

/// What such a task answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expansion {
    /// The output; none: `null`.
    #[serde(default)]
    output: Option<Box<RawValue>>,
    /// Tasks as in a manifest.
    #[serde(default)]
    tasks: Option<Value>,
}

/// Checks an output and the tasks that it brings.
pub(super) fn accept(
    shop: &Shop,
    assignment: &Assignment,
    (plan, answer): (&Workflow, Vec<u8>),
    blobs: Vec<Hash>,
) -> AttemptOutcome {
    let refused = |message: String| super::refused(assignment, "tasks_refused", message);
    let expansion: Expansion = match serde_json::from_slice(&answer) {
        Ok(expansion) => expansion,
        Err(error) => return refused(format!("not an object of `output` and `tasks`: {error}")),
    };
    let tasks = match tasks_of(shop, assignment, plan, expansion.tasks) {
        Ok(tasks) => tasks,
        Err(message) => return refused(message),
    };
    let output = expansion.output.map_or_else(|| b"null".to_vec(), |it| it.get().into());
    match super::accept(shop, assignment, output, blobs) {
        AttemptOutcome::Succeeded { output, blobs } => {
            let base = plan.tasks.len() as u32;
            AttemptOutcome::Expanded { output, blobs, tasks, base }
        }
        other => other,
    }
}

fn tasks_of(
    shop: &Shop,
    assignment: &Assignment,
    plan: &Workflow,
    tasks: Option<Value>,
) -> Result<Vec<TaskSpec>, String> {
    let Some(tasks) = tasks.filter(|tasks| !tasks.is_null()) else { return Ok(Vec::new()) };
    let node = assignment.pt.task.node;
    parse_added(&tasks, plan, node, &*shop.plans.catalogue()).map_err(|findings| {
        let first = findings.as_slice().first();
        let told = first.map_or_else(String::new, |it| format!("{}: {}", it.pointer, it.message));
        match findings.as_slice().len() + findings.more() {
            0 | 1 => told,
            count => format!("{told} (the first of {count} findings)"),
        }
    })
}
