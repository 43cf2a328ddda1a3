//! Reading a task that is a run of its own, and the order in which workflows that run each other are
//! read: each after those that it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::SkillShape;
use super::fields::{Dots, Fields};
use super::findings::{Pointer, Report, code, shown};
use super::limits::VERSION_BYTES_MAX;
use super::shape;
use super::task::Draft;
use crate::limits::CHILD_DEPTH_MAX;
use crate::plan::{ChildSpec, EffectClass, Shape, Workflow};
use crate::text::Text;

/// What such a task cannot have: its work is that of the child.
const OF_WORK: [&str; 8] =
    ["skill", "input", "map", "reduce", "wait", "timeout", "retry", "output_schema"];

/// A workflow that others may run.
#[derive(Clone, Debug)]
pub(super) struct Known {
    workflow: Arc<Workflow>,
    input: Option<Value>,
    /// Runs one above the other that it makes, itself included.
    depth: u32,
}

impl Known {
    pub(super) fn new(workflow: Arc<Workflow>, input: Option<Value>, report: &Report<'_>) -> Self {
        let below = workflow.tasks.iter().filter_map(|task| report.workflow(&task.child()?.hash));
        let depth = below.map(|known| known.depth).max().unwrap_or(0) + 1;
        Known { workflow, input, depth }
    }

    pub(super) fn workflow(&self) -> &Arc<Workflow> {
        &self.workflow
    }
}

/// Names of the workflows that the tasks of this one run, as they stand.
pub fn children_of(workflow: &Value) -> Vec<&str> {
    let tasks = workflow.get("tasks").and_then(Value::as_array).into_iter().flatten();
    tasks.filter_map(|task| task.get("run")?.get("workflow")?.as_str()).collect()
}

/// The workflows that no other of them runs.
pub fn not_run_by_others(workflows: &[Arc<Workflow>]) -> Vec<Arc<Workflow>> {
    let tasks = workflows.iter().flat_map(|workflow| &workflow.tasks);
    let run: BTreeSet<_> = tasks.filter_map(|task| Some(task.child()?.hash)).collect();
    workflows.iter().filter(|workflow| !run.contains(&workflow.hash)).cloned().collect()
}

/// The workflows of a list, each after those that it runs; those in a circle come last.
pub(super) fn children_first(list: &[Value]) -> Vec<usize> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, workflow) in list.iter().enumerate() {
        let name = workflow.get("name").and_then(Value::as_str).unwrap_or_default();
        by_name.entry(name).or_default().push(i);
    }
    let below = |i: &usize| -> Vec<usize> {
        let names = list.get(*i).map(children_of).unwrap_or_default();
        names.iter().filter_map(|name| by_name.get(name)).flatten().copied().collect()
    };
    let mut order: Vec<usize> = Vec::with_capacity(list.len());
    let mut left: Vec<usize> = (0..list.len()).collect();
    // As many rounds as they are deep at most; there are few of them.
    loop {
        let (ready, waits): (Vec<usize>, Vec<usize>) =
            left.iter().copied().partition(|i| below(i).iter().all(|it| order.contains(it)));
        left = waits;
        if ready.is_empty() {
            order.append(&mut left);
            return order;
        }
        order.extend(ready);
    }
}

/// Reads `run` into a draft; the fields have its input.
pub(super) fn read<'v>(
    value: &'v Value,
    at: &Pointer,
    draft: &mut Draft,
    report: &mut Report<'_>,
) -> Option<Fields<'v>> {
    let fields = Fields::open(value, at, &shape::CHILD_RUN, report)?;
    draft.input_at = at.key("input");
    draft.is_input_given = fields.value("input").is_some();
    let name = fields.required_name("workflow", Dots::Allowed, report)?;
    let version = fields.text("version", VERSION_BYTES_MAX, report);
    let is_detached = match fields.value("on_parent_cancel") {
        None => false,
        Some((Value::String(rule), _)) if rule == "cancel" => false,
        Some((Value::String(rule), _)) if rule == "detach" => true,
        Some((other, at)) => {
            let message = format!(
                "`on_parent_cancel` is `cancel` or `detach`, not `{}`",
                shown(&other.to_string())
            );
            report.add(&at, code::INVALID_VALUE, message);
            false
        }
    };
    let child = find((name, version), &at.key("workflow"), report)?;
    if child.depth >= CHILD_DEPTH_MAX {
        let message = format!("runs would stand more than {CHILD_DEPTH_MAX} above each other");
        report.add(at, code::OUT_OF_RANGE, message);
    }
    draft.spec.shape = Shape::Child(ChildSpec::new(&child.workflow, is_detached));
    let input_schema = child.input.as_ref().map(without_defaulted);
    draft.skill = Some(SkillShape { class: EffectClass::Pure, input_schema, output_schema: None });
    Some(fields)
}

/// The workflow that is meant.
fn find(
    (name, version): (&str, Option<&str>),
    at: &Pointer,
    report: &mut Report<'_>,
) -> Option<Known> {
    let fits = |known: &&Known| version.is_none_or(|it| &*known.workflow.version == it);
    let found: Vec<Known> = report.workflows(name).iter().filter(fits).cloned().collect();
    match (found.as_slice(), found.len()) {
        ([one], 1) => return Some(one.clone()),
        (_, 0) if report.is_named(name) => {
            let message = match version {
                Some(version) => format!("there is no version `{}` of it", shown(version)),
                None => "workflows would run each other, or it has errors".to_owned(),
            };
            report.add(at, code::CYCLE, format!("`{name}` cannot be run here: {message}"));
        }
        (_, 0) => {
            let message = format!("the manifest has no workflow `{}`", shown(name));
            let names = report.workflow_names();
            let names = names.iter().map(Text::as_str);
            report.unknown(at, code::UNKNOWN_WORKFLOW, message, name, names);
        }
        _ => {
            let message = format!("there are several versions of `{name}`");
            report.add_hint(at, code::CONFLICTING_FIELDS, message, "say which with `version`");
        }
    }
    None
}

/// What has a default need not be given.
fn without_defaulted(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let has_default = |schema: &Value, name: &Value| {
        let name = name.as_str().unwrap_or_default();
        schema.get("properties").and_then(|it| it.get(name)?.get("default")).is_some()
    };
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let left: Vec<Value> = required.into_iter().filter(|it| !has_default(&schema, it)).collect();
    if let Some(map) = schema.as_object_mut() {
        map.insert("required".to_owned(), json!(left));
    }
    schema
}

/// What stands beside `run` and is for work.
pub(super) fn check_beside(fields: &Fields<'_>, report: &mut Report<'_>) {
    for key in OF_WORK.iter().filter(|key| fields.value(key).is_some()) {
        let message = format!("a task that is a run of its own has no `{key}`");
        report.add(&fields.at().key(key), code::CONFLICTING_FIELDS, message);
    }
}
