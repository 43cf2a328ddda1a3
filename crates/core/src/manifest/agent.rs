//! Reading the `agents` of a manifest: names, skills, limits; how they work is below.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::SkillShape;
use super::fields::{Dots, Fields, name};
use super::findings::{Pointer, Report, code};
use super::limits::{
    AGENTS_PER_MANIFEST_MAX, CALL_MS_MAX, CONCURRENCY_MAX, DESCRIPTION_BYTES_MAX, PAIR_BYTES_MAX,
    PAIRS_MAX, SKILLS_PER_AGENT_MAX,
};
use super::task::read_schema;
use crate::agent::{AgentSpec, Behaviour, SkillOffer};
use crate::plan::EffectClass;
use crate::text::Text;

mod command;
mod http;

/// Reads the agents of a manifest; their skills are known to whatever is read after them.
pub(super) fn read_all(list: &[Value], at: &Pointer, report: &mut Report<'_>) -> Vec<AgentSpec> {
    if list.len() > AGENTS_PER_MANIFEST_MAX {
        let text = format!("a manifest has at most {AGENTS_PER_MANIFEST_MAX} agents");
        report.add(at, code::OUT_OF_RANGE, text);
        return Vec::new();
    }
    let mut names: BTreeSet<Text> = BTreeSet::new();
    let mut agents = Vec::with_capacity(list.len());
    for (i, value) in list.iter().enumerate() {
        let at = at.index(i);
        let Some(agent) = read(value, &at, report) else { continue };
        if !agent.name.is_empty() && !names.insert(agent.name.clone()) {
            let message = format!("there is another agent `{}` before this one", agent.name);
            report.add(&at.key("name"), code::DUPLICATE_NAME, message);
        }
        agents.push(agent);
    }
    agents
}

fn read(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Option<AgentSpec> {
    let known = ["name", "description", "skills", "concurrency", "behaviour"];
    let fields = Fields::open(value, at, &known, report)?;
    let name = fields.required_name("name", Dots::Refused, report).unwrap_or_default();
    let description = fields.text("description", DESCRIPTION_BYTES_MAX, report).map(Text::from);
    let concurrency = fields.count("concurrency", 1..=CONCURRENCY_MAX, report);
    let behaviour = read_behaviour(&fields, report);
    // Tasks that use the skill are judged even where its agent is wrong.
    let class = behaviour.as_ref().map_or(EffectClass::Effectful, Behaviour::effect);
    let skills = read_skills(&fields, class, report);
    Some(AgentSpec {
        name: Text::from(name),
        description,
        skills,
        concurrency: concurrency.and_then(|it| u32::try_from(it).ok()),
        behaviour: behaviour?,
    })
}

fn read_skills(
    fields: &Fields<'_>,
    class: EffectClass,
    report: &mut Report<'_>,
) -> Vec<SkillOffer> {
    let Some((list, at)) = fields.required_list("skills", report) else { return Vec::new() };
    if list.is_empty() || list.len() > SKILLS_PER_AGENT_MAX {
        let text = format!("an agent has 1 to {SKILLS_PER_AGENT_MAX} skills");
        report.add(&at, code::OUT_OF_RANGE, text);
        return Vec::new();
    }
    let mut skills = Vec::with_capacity(list.len());
    for (i, value) in list.iter().enumerate() {
        let at = at.index(i);
        let Some(skill) = read_skill(value, &at, report) else { continue };
        let shape = SkillShape {
            class,
            input_schema: skill.input.clone(),
            output_schema: skill.output.clone(),
        };
        let place = if value.is_string() { at } else { at.key("name") };
        if report.offer(&skill.name, shape) {
            skills.push(skill);
        } else {
            let message = format!("somebody else has the skill `{}` already", skill.name);
            let hint = "give it a name of its own; built-in skills cannot be replaced";
            report.add_hint(&place, code::DUPLICATE_NAME, message, hint);
        }
    }
    skills
}

/// A skill by its name, or with its schemas.
fn read_skill(value: &Value, at: &Pointer, report: &mut Report<'_>) -> Option<SkillOffer> {
    if value.is_string() {
        let name = name(value, at, Dots::Allowed, report)?;
        return Some(SkillOffer { name: Text::from(name), input: None, output: None });
    }
    let fields = Fields::open(value, at, &["name", "input", "output"], report)?;
    let mut schema = |key: &str| {
        let (value, at) = fields.value(key)?;
        read_schema(value, &at, report).map(|_| value.clone())
    };
    let (input, output) = (schema("input"), schema("output"));
    let name = fields.required_name("name", Dots::Allowed, report)?;
    Some(SkillOffer { name: Text::from(name), input, output })
}

fn read_behaviour(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<Behaviour> {
    let (value, at) = fields.required("behaviour", report)?;
    let fields = Fields::open(value, &at, &["command", "http"], report)?;
    match (fields.value("command"), fields.value("http")) {
        (Some((value, at)), None) => command::read(value, &at, report).map(Behaviour::Command),
        (None, Some((value, at))) => http::read(value, &at, report).map(Behaviour::Http),
        (Some(_), Some((_, at))) => {
            report.add(&at, code::CONFLICTING_FIELDS, "an agent works in one way");
            None
        }
        (None, None) => {
            report.add(&at, code::MISSING_FIELD, "one of `command` and `http` is missing");
            None
        }
    }
}

/// The class of an agent's effects, `pure` apart: what happens outside this process is never that.
fn read_effect(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<EffectClass> {
    let (value, at) = fields.value("effect")?;
    let classes =
        [EffectClass::Read, EffectClass::Idempotent, EffectClass::Probed, EffectClass::Effectful];
    let class = classes.into_iter().find(|class| value.as_str() == Some(class.as_str()));
    if class.is_none() {
        let rule = "`effect` is `read`, `idempotent`, `probed` or `effectful`";
        report.add(&at, code::INVALID_VALUE, rule);
    }
    class
}

/// INVARIANT: a probe is there exactly where it is asked.
fn check_probe(fields: &Fields<'_>, class: EffectClass, has_probe: bool, report: &mut Report<'_>) {
    match (class == EffectClass::Probed, has_probe) {
        (true, false) => {
            let message = "a `probed` effect needs a `probe`";
            report.add(fields.at(), code::MISSING_FIELD, message);
        }
        (false, true) => {
            let message = "only a `probed` effect is ever probed";
            let hint = "set `effect: probed`, or remove the probe";
            report.add_hint(&fields.at().key("probe"), code::CONFLICTING_FIELDS, message, hint);
        }
        _ => {}
    }
}

/// Time for a call, in milliseconds.
fn read_time(
    fields: &Fields<'_>,
    key: &str,
    least_ms: u64,
    report: &mut Report<'_>,
) -> Option<u64> {
    let ms = fields.duration(key, least_ms, report)?;
    if ms > CALL_MS_MAX {
        let text = format!("`{key}` is at most {} hours", CALL_MS_MAX / 3_600_000);
        report.add(&fields.at().key(key), code::OUT_OF_RANGE, text);
        return None;
    }
    Some(ms)
}

/// An object of texts; `check` says what is wrong with a name or value.
fn read_pairs(
    fields: &Fields<'_>,
    key: &str,
    check: impl Fn(&str, &str) -> Result<(), &'static str>,
    report: &mut Report<'_>,
) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    let Some((value, at)) = fields.value(key) else { return pairs };
    let Some(map) = value.as_object() else {
        report.wrong_type(&at, &format!("`{key}` is an object of texts"), value);
        return pairs;
    };
    if map.len() > PAIRS_MAX {
        report.add(&at, code::OUT_OF_RANGE, format!("`{key}` has at most {PAIRS_MAX} entries"));
        return pairs;
    }
    for (name, value) in map {
        let at = at.key(name);
        let Some(text) = value.as_str() else {
            report.wrong_type(&at, "a text belongs here", value);
            continue;
        };
        if text.len() > PAIR_BYTES_MAX {
            report.add(&at, code::TOO_LONG, format!("at most {PAIR_BYTES_MAX} bytes"));
        } else if let Err(rule) = check(name, text) {
            report.add(&at, code::INVALID_VALUE, rule);
        } else {
            pairs.insert(name.clone(), text.to_owned());
        }
    }
    pairs
}
