//! Reading one workflow: its own fields, its tasks, and the plan they make together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::child_run::{Known, children_first};
use super::fields::{Dots, Fields};
use super::findings::{Pointer, Report, code};
use super::limits::{DESCRIPTION_BYTES_MAX, PLAN_BYTES_MAX, VERSION_BYTES_MAX};
use super::links::{self, Names};
use super::shape;
use super::task::{self, Draft, read_schema, read_template};
use super::types::Plan;
use super::wait;
use crate::hash::Hash;
use crate::limits::PLAN_TASKS_MAX;
use crate::plan::Workflow;
use crate::text::Text;

/// The version of a workflow that names none.
const FIRST_VERSION: &str = "1";

/// Reads the workflows of a manifest. With findings the answer may lack some.
pub(super) fn read_all(
    list: &[Value],
    at: &Pointer,
    report: &mut Report<'_>,
) -> Vec<Arc<Workflow>> {
    let mut seen: BTreeSet<(Text, Text)> = BTreeSet::new();
    let mut workflows: BTreeMap<usize, Arc<Workflow>> = BTreeMap::new();
    let name = |value: &Value| value.get("name").and_then(Value::as_str).map(str::to_owned);
    report.name_workflows(list.iter().filter_map(name));
    for i in children_first(list) {
        let (Some(value), at) = (list.get(i), at.index(i)) else { continue };
        let Some(workflow) = read(value, &at, report) else { continue };
        let key = (workflow.name.clone(), workflow.version.clone());
        if !workflow.name.is_empty() && !seen.insert(key) {
            let message = format!(
                "there is another workflow `{}` of version `{}` before this one",
                workflow.name, workflow.version
            );
            report.add(&at.key("name"), code::DUPLICATE_NAME, message);
        }
        let workflow = workflow.sealed();
        let input = value.get("input").cloned();
        let known = Known::new(workflow.clone(), input, report);
        report.know(known);
        workflows.insert(i, workflow);
    }
    workflows.into_values().collect()
}

fn read(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Option<Workflow> {
    let fields = Fields::open(value, at, &shape::WORKFLOW, report)?;
    fields.text("description", DESCRIPTION_BYTES_MAX, report);
    let name = fields.required_name("name", Dots::Allowed, report).unwrap_or_default();
    let version = read_version(&fields, report);
    let input = fields.value("input");
    let input_schema = input.as_ref().and_then(|(value, at)| read_schema(value, at, report));
    let mut drafts = read_tasks(&fields, report);
    let names = Names::of(&drafts, report);
    links::link(&mut drafts, &names, report);
    wait::check_signals(&drafts, report);
    let output_at = at.key("output");
    let output = fields.value("output").and_then(|(value, at)| read_template(value, &at, report));
    let plan = Plan {
        drafts: &drafts,
        names: &names,
        input_schema: input_schema.as_ref().and(input.as_ref()).map(|(schema, _)| *schema),
    };
    plan.check(output.as_ref().map(|(template, _)| (template, &output_at)), report);
    let workflow = Workflow {
        name: Text::from(name),
        version,
        input_schema,
        tasks: drafts.into_iter().map(|draft| draft.spec).collect(),
        output: output.map(|(_, text)| text),
        hash: Hash::ZERO,
    };
    check_size(&workflow, at, report);
    Some(workflow)
}

/// A text, or a whole number as YAML reads `version: 2`.
fn read_version(fields: &Fields<'_>, report: &mut Report<'_>) -> Text {
    match fields.value("version") {
        None => Text::from(FIRST_VERSION),
        Some((Value::Number(number), _)) if number.is_u64() => Text::from(number.to_string()),
        Some(_) => {
            let version = fields.text("version", VERSION_BYTES_MAX, report);
            Text::from(version.unwrap_or(FIRST_VERSION))
        }
    }
}

fn read_tasks(fields: &Fields<'_>, report: &mut Report<'_>) -> Vec<Draft> {
    let Some((list, at)) = fields.required_list("tasks", report) else { return Vec::new() };
    if list.is_empty() || list.len() > PLAN_TASKS_MAX {
        report.add_hint(
            &at,
            code::OUT_OF_RANGE,
            format!("a plan has 1 to {PLAN_TASKS_MAX} tasks, not {}", list.len()),
            "a `map` is one task with up to 10 000 children",
        );
        return Vec::new();
    }
    let tasks = list.iter().enumerate();
    tasks.filter_map(|(i, value)| task::read(value, &at.index(i), report)).collect()
}

fn check_size(workflow: &Workflow, at: &Pointer, report: &mut Report<'_>) {
    // Writing into a Vec cannot fail.
    let bytes = minicbor::to_vec(workflow).map_or(0, |text| text.len());
    if bytes > PLAN_BYTES_MAX {
        let message = format!("the plan has {bytes} bytes as recorded, at most {PLAN_BYTES_MAX}");
        report.add_hint(at, code::TOO_LONG, message, "pass large data in the run's input");
    }
}
