//! Manifests: foreign JSON in, validated plans out, or every finding with its place at once.
//!
//! [`parse`] reads a manifest (agents and workflows), [`single_task`] makes the plan of one task. Nothing that passed
//! here can name a task that is not there, wait for itself, or wait for something that never
//! comes. What depends on data (conditions, templates, schemas of results) is checked again at
//! run time.
//!
//! Semantics that the checks rely on:
//! - A reference to a task (in a template or in `when`) is a dependency, as if `after` named it.
//! - A task skipped by its condition is over: its dependants run and see `null` for its output.
//! - A failed task's dependants are skipped, unless it says `on_failure: continue` (they see
//!   `null`) or names a fallback (they see the fallback's output as the task's own).
//! - A fallback is over the moment its task may start it: it needs nothing but what its task
//!   needs too. Nobody depends on a fallback; its task is not among its `needs`.

use std::sync::Arc;

use serde_json::Value;

use crate::agent::AgentSpec;
use crate::plan::{EffectClass, Workflow};

mod added;
mod agent;
mod amounts;
mod child_run;
mod conditions;
mod defaults;
mod duration;
mod expression;
mod fields;
mod findings;
mod limits;
mod links;
mod moment;
mod resolve;
mod schema;
mod task;
mod template;
mod types;
mod wait;
mod workflow;

pub use added::parse_added;
pub use amounts::parse_cost_micros;
pub use child_run::{children_of, not_run_by_others};
pub use defaults::with_defaults;
pub use duration::parse_duration_ms;
pub use expression::{Expression, PathStep, Root};
pub use findings::{CODES, Finding, Findings};
pub use limits::*;
pub use moment::parse_moment_ms;
pub use resolve::{ResolveError, Scope};
pub use template::{Reference, Template};

use fields::Fields;
use findings::{Pointer, Report, code};

/// A manifest that passed every check.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Manifest {
    /// Its agents.
    pub agents: Vec<AgentSpec>,
    /// Its workflows, in the order of the manifest.
    pub workflows: Vec<Arc<Workflow>>,
}

/// What a manifest has to know about a skill.
#[derive(Clone, PartialEq, Debug)]
pub struct SkillShape {
    /// What its work may do to the world.
    pub class: EffectClass,
    /// JSON Schema of its input; none accepts everything.
    pub input_schema: Option<Value>,
    /// JSON Schema of its output; none promises nothing.
    pub output_schema: Option<Value>,
}

/// What manifests are checked against: the skills there are, and the languages that the core
/// does not speak. Every method is pure: the same question gets the same answer during one parse.
pub trait SkillCatalogue {
    /// The skill with this name.
    fn skill(&self, name: &str) -> Option<SkillShape>;
    /// All names, to suggest one.
    fn names(&self) -> Vec<String>;
    /// Whether `cel` compiles as a condition, or why not.
    fn check_condition(&self, cel: &str) -> Result<(), String>;
    /// Whether `schema` is a JSON Schema, or why not.
    fn check_schema(&self, schema: &Value) -> Result<(), String>;
}

/// Sections that the one manifest format has and that this version does not read yet.
const LATER_SECTIONS: [&str; 5] = ["groups", "tools", "models", "policies", "schedules"];

/// Reads a manifest. All errors come in one answer, in the order of the document.
pub fn parse(value: &Value, skills: &dyn SkillCatalogue) -> Result<Manifest, Findings> {
    let mut report = Report::new(skills);
    let manifest = match is_shallow(value, &mut report) {
        true => read_sections(value, &mut report),
        false => Manifest::default(),
    };
    report.into_result(manifest)
}

/// The plan of one task, for `POST /tasks`: its input is the run's input. `options` is an object
/// with `timeout`, `deadline`, `retry`, `budget` and `output_schema` as in a task of a manifest,
/// or `null`. Findings about the skill point at `/skill`, all others into `options`.
pub fn single_task(
    skill: &str,
    options: &Value,
    skills: &dyn SkillCatalogue,
) -> Result<Arc<Workflow>, Findings> {
    let mut report = Report::new(skills);
    let nothing = Value::Null;
    let options = if is_shallow(options, &mut report) { options } else { &nothing };
    let workflow = task::read_single(skill, options, &mut report);
    report.into_result(workflow).map(Workflow::sealed)
}

/// What follows reads and writes values by recursion.
fn is_shallow(value: &Value, report: &mut Report<'_>) -> bool {
    let deep = findings::too_deep(value);
    if let Some(at) = &deep {
        let message = format!("nested deeper than {DOCUMENT_DEPTH_MAX} levels");
        report.add(at, code::TOO_DEEP, message);
    }
    deep.is_none()
}

fn read_sections(value: &Value, report: &mut Report<'_>) -> Manifest {
    let root = Pointer::root();
    let Some(map) = value.as_object() else {
        report.wrong_type(&root, "a manifest is an object with `workflows` or `agents`", value);
        return Manifest::default();
    };
    for name in LATER_SECTIONS.iter().filter(|name| map.contains_key(**name)) {
        report.add(
            &root.key(name),
            code::UNSUPPORTED_SECTION,
            format!("section `{name}` is not supported by this version"),
        );
    }
    let mut known = vec!["workflows", "agents"];
    known.extend(LATER_SECTIONS);
    let Some(fields) = Fields::open(value, &root, &known, report) else {
        return Manifest::default();
    };
    // First: the workflows may use their skills.
    let agents = fields.list("agents", report);
    let agents = agents.map(|(list, at)| agent::read_all(list, &at, report));
    let has_agents = fields.value("agents").is_some();
    let list = match has_agents {
        true => fields.list("workflows", report),
        false => fields.required_list("workflows", report),
    };
    let workflows = list.map(|(list, at)| read_workflows(list, &at, report));
    Manifest { agents: agents.unwrap_or_default(), workflows: workflows.unwrap_or_default() }
}

fn read_workflows(list: &[Value], at: &Pointer, report: &mut Report<'_>) -> Vec<Arc<Workflow>> {
    if list.is_empty() || list.len() > WORKFLOWS_PER_MANIFEST_MAX {
        let text = format!("a manifest has 1 to {WORKFLOWS_PER_MANIFEST_MAX} workflows");
        report.add(at, code::OUT_OF_RANGE, text);
        return Vec::new();
    }
    workflow::read_all(list, at, report)
}
