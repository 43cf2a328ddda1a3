//! Reading one task of a workflow, apart from what it has to do with other tasks.

use std::sync::Arc;

use serde_json::Value;

use super::fields::{Dots, Fields, name};
use super::findings::{Pointer, Report, code, shown};
use super::limits::{
    ATTEMPTS_MAX, CONDITION_BYTES_MAX, DESCRIPTION_BYTES_MAX, SCHEMA_BYTES_MAX, TEMPLATE_BYTES_MAX,
};
use super::template::Template;
use super::{SkillShape, amounts, conditions, shape};
use crate::limits::{MAP_CHILDREN_MAX, PLAN_TASKS_MAX};
use crate::payload::Bytes;
use crate::plan::{MapSpec, OnFailure, Retry, Shape, TaskSpec, Workflow};
use crate::text::Text;

/// A task that was read but not linked yet. What could not be read has its default, so that
/// the other checks can go on.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) at: Pointer,
    pub(super) spec: TaskSpec,
    pub(super) skill: Option<SkillShape>,
    /// Where its input stands, or would.
    pub(super) input_at: Pointer,
    /// Whether the manifest gives an input.
    pub(super) is_input_given: bool,
    pub(super) input: Option<Template>,
    pub(super) over: Option<Template>,
    /// Of a wait: the moment at which it ends.
    pub(super) until: Option<Template>,
    /// Of its limit: what it is counted under.
    pub(super) key: Option<Template>,
    /// Tasks that have to be over first: of `after`, `reduce` and `when`.
    pub(super) after: Vec<Named>,
    pub(super) reduce: Option<Named>,
    pub(super) fallback: Option<Named>,
    pub(super) output_schema: Option<Value>,
}

/// A task's name where another task says it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) at: Pointer,
}

impl Draft {
    /// A task that a plan has already: it has nothing to link any more.
    pub(super) fn known(spec: &TaskSpec) -> Self {
        let schema = spec.output_schema.as_ref();
        Draft {
            at: Pointer::root(),
            spec: TaskSpec { needs: Vec::new(), feeds: Vec::new(), ..spec.clone() },
            skill: None,
            input_at: Pointer::root(),
            is_input_given: false,
            input: None,
            over: None,
            until: None,
            key: None,
            after: Vec::new(),
            reduce: None,
            fallback: None,
            output_schema: schema.and_then(|text| serde_json::from_str(text).ok()),
        }
    }

    pub(super) fn map(&self) -> Option<&MapSpec> {
        match &self.spec.shape {
            Shape::Map(map) => Some(map),
            Shape::Single | Shape::Reduce(_) | Shape::Wait(_) | Shape::Child(_) => None,
        }
    }

    /// Who takes the input: the skill, or the workflow that is run.
    pub(super) fn taker(&self) -> &str {
        self.spec.child().map_or(&self.spec.skill, |child| &child.name)
    }

    pub(super) fn until_at(&self) -> Pointer {
        self.at.key("wait").key("until")
    }

    pub(super) fn key_at(&self) -> Pointer {
        self.at.key("limit").key("key")
    }

    pub(super) fn over_at(&self) -> Pointer {
        self.at.key("map").key("over")
    }
}

pub(super) fn read(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Option<Draft> {
    let fields = Fields::open(value, at, &shape::TASK, report)?;
    fields.text("description", DESCRIPTION_BYTES_MAX, report);
    let task = fields.required_name("name", Dots::Refused, report).unwrap_or_default();
    let (wait, run) = (fields.value("wait"), fields.value("run"));
    let (skill_name, skill) = match wait.as_ref().or(run.as_ref()) {
        Some(_) => ("", None),
        None => read_skill(&fields, report),
    };
    let mut draft = Draft {
        at: at.clone(),
        spec: TaskSpec::new(task, skill_name),
        skill,
        input_at: at.key("input"),
        is_input_given: fields.value("input").is_some(),
        input: None,
        over: None,
        until: None,
        key: None,
        after: read_after(&fields, report),
        reduce: None,
        fallback: None,
        output_schema: None,
    };
    draft.output_schema = read_limits(&fields, &mut draft.spec, report);
    read_condition(&fields, &mut draft, report);
    if let Some((value, at)) = wait {
        let (spec, until) = super::wait::read(value, &at, report);
        (draft.spec.shape, draft.until) = (Shape::Wait(spec), until);
        super::wait::check_beside(&fields, &draft, report);
    } else if let Some((value, at)) = run {
        super::child_run::check_beside(&fields, report);
        if let Some(fields) = super::child_run::read(value, &at, &mut draft, report) {
            read_input(&fields, &mut draft, report);
        }
    } else {
        read_shape(&fields, &mut draft, report);
        read_input(&fields, &mut draft, report);
    }
    super::limited::read(&fields, &mut draft, report);
    read_failure(&fields, &mut draft, report);
    draft.spec.expands = fields.flag("expands", report).filter(|expands| *expands);
    if draft.spec.expands.is_some()
        && (!matches!(draft.spec.shape, Shape::Single) || draft.reduce.is_some())
    {
        let message = "only one task that is worked on can add others";
        report.add(&at.key("expands"), code::CONFLICTING_FIELDS, message);
    }
    Some(draft)
}

/// The plan of one task. Findings in `options` keep its pointers.
pub(super) fn read_single(skill: &str, options: &Value, report: &mut Report<'_>) -> Workflow {
    let mut workflow = Workflow::single(skill);
    if report.shape(skill).is_none() {
        unknown_skill(skill, &Pointer::root().key("skill"), report);
    }
    let Some(spec) = workflow.tasks.first_mut().filter(|_| !options.is_null()) else {
        return workflow;
    };
    if let Some(fields) = Fields::open(options, &Pointer::root(), &shape::SINGLE, report) {
        read_limits(&fields, spec, report);
    }
    workflow
}

/// Reads what limits a task; the answer is the output schema.
fn read_limits(fields: &Fields<'_>, spec: &mut TaskSpec, report: &mut Report<'_>) -> Option<Value> {
    spec.timeout_ms = fields.duration("timeout", 1, report);
    spec.deadline_ms = fields.duration("deadline", 1, report);
    if let Some((value, at)) = fields.value("retry") {
        spec.retry = read_retry(value, &at, report);
    }
    if let Some((value, at)) = fields.value("budget") {
        spec.budget = amounts::read(value, &at, report);
    }
    let (value, at) = fields.value("output_schema")?;
    spec.output_schema = read_schema(value, &at, report);
    spec.output_schema.as_ref().map(|_| value.clone())
}

/// A JSON Schema as text.
pub(super) fn read_schema(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Option<Text> {
    if !value.is_object() && !value.is_boolean() {
        report.wrong_type(at, "a JSON Schema is an object", value);
        return None;
    }
    let text = value.to_string();
    if text.len() > SCHEMA_BYTES_MAX {
        let message = format!("the schema has {} bytes, at most {SCHEMA_BYTES_MAX}", text.len());
        report.add(at, code::TOO_LONG, message);
        return None;
    }
    if let Err(message) = report.skills().check_schema(value) {
        report.add(at, code::INVALID_SCHEMA, format!("not a JSON Schema: {message}"));
        return None;
    }
    Some(Text::from(text))
}

/// A template and its text.
pub(super) fn read_template(
    value: &Value,
    at: &Pointer,
    report: &mut Report<'_>,
) -> Option<(Template, Bytes)> {
    let text = value.to_string();
    if text.len() > TEMPLATE_BYTES_MAX {
        let message =
            format!("the template has {} bytes, at most {TEMPLATE_BYTES_MAX}", text.len());
        report.add_hint(at, code::TOO_LONG, message, "pass large data in the run's input");
        return None;
    }
    match Template::parse(value) {
        Ok(template) => Some((template, Bytes(Arc::from(text.into_bytes())))),
        Err(faults) => {
            for (below, message) in faults {
                report.add_hint(
                    &at.join(&below),
                    code::INVALID_TEMPLATE,
                    message,
                    "a literal `${` is written `$${`",
                );
            }
            None
        }
    }
}

fn read_skill<'v>(fields: &Fields<'v>, report: &mut Report<'_>) -> (&'v str, Option<SkillShape>) {
    let Some(skill) = fields.required_name("skill", Dots::Allowed, report) else {
        return ("", None);
    };
    let shape = report.shape(skill);
    if shape.is_none() {
        unknown_skill(skill, &fields.at().key("skill"), report);
    }
    (skill, shape)
}

fn unknown_skill(skill: &str, at: &Pointer, report: &mut Report<'_>) {
    let (skills, own) = (report.skills(), report.known_skills());
    // Asked for only if a suggestion is made at all.
    let names = std::iter::once_with(|| skills.names()).flatten().chain(own);
    let message = format!("no agent has the skill `{}`", shown(skill));
    report.unknown(at, code::UNKNOWN_SKILL, message, skill, names);
}

fn read_after(fields: &Fields<'_>, report: &mut Report<'_>) -> Vec<Named> {
    let Some((list, at)) = fields.list("after", report) else { return Vec::new() };
    if list.len() > PLAN_TASKS_MAX {
        let message = format!("`after` names at most {PLAN_TASKS_MAX} tasks");
        report.add(&at, code::OUT_OF_RANGE, message);
        return Vec::new();
    }
    let mut after = Vec::new();
    for (i, value) in list.iter().enumerate() {
        let at = at.index(i);
        let found = name(value, &at, Dots::Refused, report);
        after.extend(found.map(|name| Named { name: name.to_owned(), at }));
    }
    after
}

fn read_condition(fields: &Fields<'_>, draft: &mut Draft, report: &mut Report<'_>) {
    let Some(cel) = fields.text("when", CONDITION_BYTES_MAX, report) else { return };
    let at = fields.at().key("when");
    if cel.trim().is_empty() {
        report.add(&at, code::INVALID_CONDITION, "the condition is empty");
        return;
    }
    if let Err(message) = report.skills().check_condition(cel) {
        report.add(&at, code::INVALID_CONDITION, format!("not a condition: {message}"));
        return;
    }
    draft.spec.when = Some(Text::from(cel));
    let tasks = conditions::tasks_in(cel).into_iter();
    draft.after.extend(tasks.map(|name| Named { name, at: at.clone() }));
}

fn read_shape(fields: &Fields<'_>, draft: &mut Draft, report: &mut Report<'_>) {
    if let Some((value, at)) = fields.value("map") {
        let (over, spec) = read_map(value, &at, report);
        draft.over = over;
        draft.spec.shape = Shape::Map(spec);
        if fields.value("reduce").is_some() {
            let message = "a task is a `map` or a `reduce`, not both";
            report.add(&fields.at().key("reduce"), code::CONFLICTING_FIELDS, message);
        }
        return;
    }
    let Some((value, at)) = fields.value("reduce") else { return };
    if let Some(name) = name(value, &at, Dots::Refused, report) {
        let named = Named { name: name.to_owned(), at };
        draft.after.push(named.clone());
        draft.reduce = Some(named);
    }
}

fn read_map(value: &Value, at: &Pointer, report: &mut Report<'_>) -> (Option<Template>, MapSpec) {
    let mut spec = MapSpec {
        over: Bytes(Arc::from(&b"[]"[..])),
        parallel_max: 0,
        failures_max: 0,
        collect: false,
    };
    let Some(fields) = Fields::open(value, at, &shape::MAP, report) else { return (None, spec) };
    let children = u64::from(MAP_CHILDREN_MAX);
    let mut count = |key, least| {
        let count = fields.count(key, least..=children, report);
        count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0)
    };
    spec.parallel_max = count("parallel", 1);
    spec.failures_max = count("max_failures", 0);
    spec.collect = fields.flag("collect", report).unwrap_or(false);
    let Some((value, at)) = fields.required("over", report) else { return (None, spec) };
    let Some((template, text)) = read_template(value, &at, report) else { return (None, spec) };
    spec.over = text;
    if value.as_array().is_some_and(|list| list.len() > MAP_CHILDREN_MAX as usize) {
        let message = format!("a map has at most {MAP_CHILDREN_MAX} children");
        report.add(&at, code::OUT_OF_RANGE, message);
    }
    (Some(template), spec)
}

/// The input of a map's children is the item, of any other task `null`, where nothing is said.
fn read_input(fields: &Fields<'_>, draft: &mut Draft, report: &mut Report<'_>) {
    let item = Value::from("${item}");
    let (value, at) = match (fields.value("input"), draft.map()) {
        (Some((value, at)), _) => (value, at),
        (None, Some(_)) => (&item, fields.at().clone()),
        (None, None) => (&Value::Null, fields.at().clone()),
    };
    let Some((template, text)) = read_template(value, &at, report) else { return };
    draft.spec.input_form = template.form();
    draft.spec.input = match template.as_literal() {
        // With the escapes undone the text itself is the input.
        Some(literal) => Bytes(Arc::from(literal.to_string().into_bytes())),
        None => text,
    };
    draft.input = Some(template);
}

fn read_failure(fields: &Fields<'_>, draft: &mut Draft, report: &mut Report<'_>) {
    let Some((value, at)) = fields.value("on_failure") else { return };
    const RULE: &str = "`on_failure` is `fail`, `continue` or `fallback: TASK`";
    match value {
        Value::String(text) => match (text.as_str(), text.strip_prefix("fallback:")) {
            ("fail", _) => draft.spec.on_failure = OnFailure::Fail,
            ("continue", _) => draft.spec.on_failure = OnFailure::Continue,
            (_, Some(task)) => draft.fallback = read_fallback(&task.trim().into(), &at, report),
            _ => report.add(&at, code::INVALID_VALUE, format!("{RULE}, not `{}`", shown(text))),
        },
        Value::Object(_) => {
            let Some(fields) = Fields::open(value, &at, &shape::FALLBACK, report) else { return };
            let Some((task, at)) = fields.required("fallback", report) else { return };
            draft.fallback = read_fallback(task, &at, report);
        }
        other => report.wrong_type(&at, RULE, other),
    }
}

fn read_fallback(task: &Value, at: &Pointer, report: &mut Report<'_>) -> Option<Named> {
    let name = name(task, at, Dots::Refused, report)?;
    Some(Named { name: name.to_owned(), at: at.clone() })
}

fn read_retry(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Retry {
    let mut retry = Retry::default();
    let Some(fields) = Fields::open(value, at, &shape::RETRY, report) else { return retry };
    if let Some(attempts) = fields.count("attempts", 1..=ATTEMPTS_MAX, report) {
        retry.attempts = u32::try_from(attempts).unwrap_or(retry.attempts);
    }
    if let Some(backoff_ms) = fields.duration("backoff", 0, report) {
        retry.backoff_ms = backoff_ms;
        // A longer first pause than the default bound is meant as written.
        retry.backoff_ms_max = retry.backoff_ms_max.max(backoff_ms);
    }
    if let Some(max_ms) = fields.duration("max", 0, report) {
        if fields.value("backoff").is_some() && max_ms < retry.backoff_ms {
            let message = "`max` is shorter than the first pause, `backoff`";
            report.add(&at.key("max"), code::OUT_OF_RANGE, message);
        }
        retry.backoff_ms = retry.backoff_ms.min(max_ms);
        retry.backoff_ms_max = max_ms;
    }
    retry
}
