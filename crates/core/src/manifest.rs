//! Manifests: foreign JSON in, validated plans out, or every finding with its place at once.
//!
//! [`parse`] reads a manifest, [`single_task`] makes the plan of one task. Nothing that passed
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

use crate::agent::{AgentSpec, SkillContract};
use crate::limits::AGENTS_MAX;
use crate::plan::{EffectClass, Workflow};
use crate::text::Text;

mod added;
mod agent;
mod amounts;
mod child_run;
mod concurrency;
mod conditions;
mod defaults;
mod deployed;
mod difference;
mod duration;
mod expression;
mod fields;
mod findings;
mod hierarchy;
mod limited;
pub mod limits;
mod links;
mod moment;
mod resolve;
mod rooted;
mod schedules;
mod schema;
pub mod shape;
mod skills;
mod task;
mod template;
mod types;
mod wait;
mod workflow;

pub use added::parse_added;
pub use amounts::parse_cost_micros;
pub use child_run::{children_of, not_run_by_others};
pub use concurrency::ConcurrencyLimits;
pub use defaults::with_defaults;
pub use difference::{
    Becomes, Change, Declared, FieldChange, Subject, WorkflowVersion, difference,
};
pub use duration::parse_duration_ms;
pub use expression::{Expression, PathStep, Root};
pub use findings::{CODES, Finding, Findings, Stage};
pub use hierarchy::over_capacity;
pub use limits::*;
pub use moment::parse_moment_ms;
pub use resolve::{ResolveError, Scope};
pub use rooted::rooted;
pub use schedules::{CatchUpRule, OverlapRule, ScheduleEntry};
pub use template::{Reference, Template};

use fields::{Dots, Fields};
use findings::{Pointer, Report, code};
use skills::Offers;

/// A manifest that passed every check.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Manifest {
    /// What the deployment is called.
    pub name: Option<Text>,
    /// What it is for.
    pub description: Option<Text>,
    /// Agents of the built-in profile; none: as the instance was started.
    pub profile: Option<u32>,
    /// Its agents.
    pub agents: Vec<AgentSpec>,
    /// Its groups of agents that are alike.
    pub groups: Vec<AgentSpec>,
    /// What its skills promise.
    pub skills: Vec<SkillContract>,
    /// Its workflows, in the order of the manifest.
    pub workflows: Vec<Arc<Workflow>>,
    /// How much may happen at one time.
    pub limits: ConcurrencyLimits,
    /// Runs that begin by the calendar.
    pub schedules: Vec<ScheduleEntry>,
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
    /// The skill with this name, if it is built in: a manifest cannot declare another one. What remote
    /// workers have brought is none.
    fn builtin(&self, name: &str) -> Option<SkillShape> {
        self.skill(name)
    }
    /// All names, to suggest one.
    fn names(&self) -> Vec<String>;
    /// Whether `cel` compiles as a condition, or why not.
    fn check_condition(&self, cel: &str) -> Result<(), String>;
    /// Whether `schema` is a JSON Schema, or why not.
    fn check_schema(&self, schema: &Value) -> Result<(), String>;
}

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
    let fields = Fields::open(value, &Pointer::root(), &shape::MANIFEST, report);
    fields.map(|fields| read_fields(&fields, report)).unwrap_or_default()
}

/// What is referred to is read before what refers to it: skills, agents, workflows, schedules.
fn read_fields(fields: &Fields<'_>, report: &mut Report<'_>) -> Manifest {
    fields.text("$schema", URL_BYTES_MAX, report);
    let name = fields.value("name");
    let name = name.and_then(|(value, at)| fields::name(value, &at, Dots::Refused, report));
    let profile = fields.value("fleet").and_then(|(value, at)| {
        let fields = Fields::open(value, &at, &shape::FLEET, report)?;
        let agents = fields.count("agents", 1..=u64::from(AGENTS_MAX), report)?;
        u32::try_from(agents).ok()
    });
    let skills = fields.list("skills", report);
    let skills = skills.map(|(list, at)| skills::read_contracts(list, &at, report));
    let skills = skills.unwrap_or_default();
    let mut offers = Offers::under(&skills);
    let mut read = |section, shape, report: &mut Report<'_>| match fields.list(section, report) {
        Some((list, at)) => agent::read_all(list, &at, shape, &mut offers, report),
        None => Vec::new(),
    };
    let mut members = read("agents", &shape::AGENT, report);
    let agents_count = members.len();
    members.extend(read("groups", &shape::GROUP, report));
    hierarchy::check(&members, profile, report);
    let limits = fields.value("limits");
    let limits = limits.map(|(value, at)| concurrency::read(value, &at, &members, report));
    let is_fleet = ["agents", "groups", "fleet"].iter().any(|it| fields.value(it).is_some());
    let list = match is_fleet {
        true => fields.list("workflows", report),
        false => fields.required_list("workflows", report),
    };
    let workflows = list.map(|(list, at)| read_workflows(list, &at, report)).unwrap_or_default();
    let schedules = fields.list("schedules", report);
    let schedules = schedules.map(|(list, at)| schedules::read_all(list, &at, &workflows, report));
    let mut agents: Vec<AgentSpec> = members.into_iter().map(|(agent, _)| agent).collect();
    let groups = agents.split_off(agents_count.min(agents.len()));
    Manifest {
        name: name.map(Text::from),
        description: fields.text("description", DESCRIPTION_BYTES_MAX, report).map(Text::from),
        profile,
        agents,
        groups,
        skills,
        workflows,
        limits: limits.unwrap_or_default(),
        schedules: schedules.unwrap_or_default(),
    }
}

fn read_workflows(list: &[Value], at: &Pointer, report: &mut Report<'_>) -> Vec<Arc<Workflow>> {
    if list.is_empty() || list.len() > WORKFLOWS_PER_MANIFEST_MAX {
        let text = format!("a manifest has 1 to {WORKFLOWS_PER_MANIFEST_MAX} workflows");
        report.add(at, code::OUT_OF_RANGE, text);
        return Vec::new();
    }
    workflow::read_all(list, at, report)
}
