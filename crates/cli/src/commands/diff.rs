//! `ark-os diff`.

use ark_os_api::{DiffView, Exit, Json, RunSide, TaskSide, ValueChange};

use crate::client::segment;
use crate::failure::Failure;
use crate::session::Session;
use crate::show::took;
use crate::terminal::one_line;

/// Characters of a value that are shown; `--json` shows the whole of it.
const VALUE_CHARS_MAX: usize = 60;

/// Compare two runs: inputs, tasks, outputs, attempts, durations, costs
///
/// Exit code 0: workflow, input, states and outputs are the same; 1: they differ. Attempts,
/// durations and costs are told and do not count.
#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// A run
    a: String,
    /// The run that it is compared with
    b: String,
}

impl Diff {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let path = format!("/runs/{}/diff/{}", segment(&self.a), segment(&self.b));
        let view: DiffView = session.client()?.get(&path)?;
        session.output.answer(&view, |_| lines(&view))?;
        Ok(if view.same { Exit::Done } else { Exit::Failed })
    }
}

fn lines(view: &DiffView) -> Vec<String> {
    let mut lines = vec![format!("a {}", side(&view.a)), format!("b {}", side(&view.b))];
    if view.a.workflow_hash != view.b.workflow_hash {
        lines.push("workflow: differs".to_owned());
    }
    lines.push(format!("input: {}", verdict(&view.input)));
    lines.extend(view.input.iter().map(change));
    for task in &view.tasks {
        let state = |side: &Option<TaskSide>| side.as_ref().map_or("–".to_owned(), of_task);
        let (a, b) = (state(&task.a), state(&task.b));
        lines.push(format!("task {}: {a} | {b}", one_line(&task.name)));
        lines.extend(task.output.iter().map(change));
    }
    if view.more_tasks > 0 {
        lines.push(format!("{} more tasks differ", view.more_tasks));
    }
    lines.push(format!("tasks: {} the same", view.same_tasks));
    lines.push(format!("output: {}", verdict(&view.output)));
    lines.extend(view.output.iter().map(change));
    if view.cut {
        lines.push("more places differ: there are too many for one answer".to_owned());
    }
    lines
}

fn verdict(changes: &[ValueChange]) -> &'static str {
    if changes.is_empty() { "the same" } else { "differs" }
}

fn side(side: &RunSide) -> String {
    let mut text = format!("{} {} {}", side.run, one_line(&side.workflow), side.state);
    if let Some(ms) = side.duration_ms {
        text.push_str(&format!(", {}", took(ms)));
    }
    text.push_str(&format!(", {} attempts", side.attempts));
    if let Some(source) = &side.forked_from {
        text.push_str(&format!(", forked from {source}"));
    }
    text
}

fn of_task(side: &TaskSide) -> String {
    let mut text = side.state.clone();
    if side.reused {
        text.push_str(", reused");
    } else if side.attempts > 1 {
        text.push_str(&format!(", {} attempts", side.attempts));
    }
    text.extend(side.duration_ms.map(|ms| format!(", {}", took(ms))));
    text
}

fn change(change: &ValueChange) -> String {
    let value = |it: &Option<Json>| {
        let Some(it) = it else { return "–".to_owned() };
        let text = one_line(it.get());
        let cut: String = text.chars().take(VALUE_CHARS_MAX).collect();
        if cut.len() < text.len() { format!("{cut}…") } else { cut }
    };
    let path = if change.path.is_empty() { "/" } else { &change.path };
    format!("  {} {} | {}", one_line(path), value(&change.a), value(&change.b))
}
