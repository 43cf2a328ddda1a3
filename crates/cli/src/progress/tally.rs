//! What events mean for people: which task, how far the run is.

use std::collections::BTreeMap;

use ark_os_api::TaskView;
use serde_json::Value;

use crate::client::{Client, RunEvent, segment};
use crate::output::{counted, field, field_text};
use crate::terminal::one_line;

/// Names of the tasks of one run, asked for once each.
#[derive(Debug)]
pub(crate) struct Names {
    client: Client,
    /// By the text of the plan node's task id.
    known: BTreeMap<String, String>,
}

impl Names {
    pub(crate) fn new(client: Client) -> Self {
        Names { client, known: BTreeMap::new() }
    }

    /// `chunks[17]` for `task_01J…_1.17`.
    pub(crate) fn name(&mut self, task: &str) -> String {
        let (node, child) = split(task);
        if !self.known.contains_key(node) {
            let view = self.client.get::<TaskView>(&format!("/tasks/{}", segment(node)));
            // A plan that is not at hand any more: the number has to do.
            let number = node.rsplit_once('_').map_or(node, |(_, number)| number);
            let name = view.ok().and_then(|view| view.name).unwrap_or_else(|| format!("#{number}"));
            self.known.insert(node.to_owned(), one_line(&name));
        }
        let name = self.known.get(node).map_or(node, String::as_str);
        match child {
            Some(child) => format!("{name}[{child}]"),
            None => name.to_owned(),
        }
    }
}

/// The plan node's id, and the number of the child.
fn split(task: &str) -> (&str, Option<&str>) {
    match task.rsplit_once('.') {
        Some((node, child)) => (node, Some(child)),
        None => (task, None),
    }
}

/// Whether a task is one of many of a map.
pub(super) fn is_child(task: &str) -> bool {
    split(task).1.is_some()
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Tasks that are known of.
    pub(super) total: u64,
    /// Tasks that are over.
    pub(super) over: u64,
}

impl Tally {
    /// Counts an event.
    pub(super) fn count(&mut self, event: &RunEvent) {
        match event.kind.as_str() {
            // A map counts its children instead of itself.
            "map_expanded" => self.total = (self.total + event.count).saturating_sub(1),
            "task_succeeded" | "task_failed" => self.over += 1,
            "tasks_skipped" | "tasks_cancelled" => self.over += event.tasks.len() as u64,
            _ => {}
        }
        self.total = self.total.max(self.over);
    }
}

/// An event in words, without its time; none: not worth a line on its own.
pub(crate) fn describe(event: &RunEvent, names: &mut Names) -> Option<String> {
    let fields = event.fields();
    let text = |name: &str| field_text(&fields, name);
    let failure = || {
        let failure = field(&fields, "failure");
        format!("{}: {}", field_text(failure, "code"), field_text(failure, "message"))
    };
    let task = event.task.as_deref().map(|task| names.name(task)).unwrap_or_default();
    Some(match event.kind.as_str() {
        "run_accepted" => "accepted".to_owned(),
        "run_waited" => format!("waits: nobody holds the step of layer {}", text("layer")),
        "run_started" => "admitted by every layer".to_owned(),
        "run_recovered" => "goes on after a restart of the instance".to_owned(),
        "run_paused" => format!("paused: {}", text("reason")),
        "run_resumed" => "resumed".to_owned(),
        "run_parked" => "parked: somebody has to act".to_owned(),
        "run_ended" if field(&fields, "failure").is_object() => {
            format!("{}: {}", text("end"), failure())
        }
        "run_ended" => text("end"),
        "run_retried" => format!("goes on from {task}"),
        "map_expanded" => format!("{task}: {}", counted(event.count, "task")),
        "attempt_started" => format!("{task} started by {}", agent(field(&fields, "agent"))),
        "attempt_ended" => {
            let again =
                if field(&fields, "retry_at").is_null() { "" } else { "; will be tried again" };
            format!("{task} attempt {}: {}{again}", text("end"), failure())
        }
        "task_succeeded" => format!("{task} succeeded"),
        "map_done" => format!("{task} complete"),
        "task_failed" => format!("{task} failed: {}", failure()),
        "tasks_skipped" => format!("{} skipped: {}", many(&event.tasks, names), text("because")),
        "tasks_cancelled" => format!("{} cancelled", many(&event.tasks, names)),
        "task_parked" => format!("{task} parked ({}): {}", text("reason"), text("message")),
        "task_unparked" => format!("{task} stands in line again"),
        "step_in_doubt" => format!("{task} step {} is in doubt", text("step")),
        "step_probed" => {
            let is_there = |name: &str| !field(&fields, name).is_null();
            let said = match (is_there("not_happened"), is_there("unknown")) {
                (true, _) => "it did not happen",
                (_, true) => "nobody can tell",
                _ => "it happened",
            };
            format!("{task} step {} was asked about: {said}", text("step"))
        }
        "step_resolved" => format!("{task} step {} was resolved: {}", text("step"), text("reason")),
        _ => return None,
    })
}

fn agent(value: &Value) -> String {
    match value {
        Value::String(name) => one_line(name),
        other => format!("agent {other}"),
    }
}

fn many(tasks: &[String], names: &mut Names) -> String {
    match tasks {
        [one] => names.name(one),
        many => counted(many.len(), "task"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, tasks: usize, count: u64) -> RunEvent {
        let text = serde_json::json!({
            "id": "1.0", "at": "t", "type": kind, "count": count, "tasks": vec!["task_x_0"; tasks]
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_map_counts_its_children_instead_of_itself() {
        let mut tally = Tally { total: 4, over: 0 };
        tally.count(&event("map_expanded", 0, 100));
        assert_eq!(tally, Tally { total: 103, over: 0 });
        tally.count(&event("task_succeeded", 0, 0));
        tally.count(&event("tasks_skipped", 3, 0));
        assert_eq!(tally, Tally { total: 103, over: 4 });
    }

    #[test]
    fn ids_of_children_name_their_map() {
        assert_eq!(split("task_01J_2.17"), ("task_01J_2", Some("17")));
        assert_eq!(split("task_01J_2"), ("task_01J_2", None));
    }
}
