//! Reading the `limits` of a manifest.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::Fields;
use super::findings::{Pointer, Report, code, shown};
use super::limits::{CONCURRENCY_MAX, LIMITS_MAX};
use super::shape;
use crate::agent::AgentSpec;
use crate::text::Text;

/// How much may happen at one time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConcurrencyLimits {
    /// Tasks of a skill at one time, over the whole fleet.
    pub skills: BTreeMap<Text, u32>,
    /// Tasks of an agent, or of each agent of a group, at one time.
    pub agents: BTreeMap<Text, u32>,
}

/// Reads the section; skills and agents are those of the same manifest.
pub(super) fn read(
    value: &Value,
    at: &Pointer,
    agents: &[(AgentSpec, Pointer)],
    report: &mut Report<'_>,
) -> ConcurrencyLimits {
    let mut limits = ConcurrencyLimits::default();
    let Some(fields) = Fields::open(value, at, &shape::LIMITS, report) else { return limits };
    let Some((value, at)) = fields.value("concurrency") else { return limits };
    let Some(fields) = Fields::open(value, &at, &shape::CONCURRENCY, report) else {
        return limits;
    };
    limits.skills = read_counts(&fields, "skills", report);
    limits.agents = read_counts(&fields, "agents", report);
    let at = fields.at().key("skills");
    for name in limits.skills.keys() {
        let is_offered = agents.iter().any(|(it, _)| it.skills.iter().any(|it| it.name == *name));
        if !is_offered {
            let message = format!("no agent of this manifest offers the skill `{}`", shown(name));
            let known =
                agents.iter().flat_map(|(it, _)| it.skills.iter().map(|it| it.name.as_str()));
            report.unknown(&at.key(name), code::UNKNOWN_SKILL, message, name, known);
        }
    }
    let at = fields.at().key("agents");
    for name in limits.agents.keys() {
        let Some((agent, _)) = agents.iter().find(|(it, _)| it.name == *name) else {
            let message = format!("there is no agent or group `{}` in this manifest", shown(name));
            let known = agents.iter().map(|(it, _)| it.name.as_str());
            report.unknown(&at.key(name), code::UNKNOWN_AGENT, message, name, known);
            continue;
        };
        if agent.concurrency.is_some() {
            let message = format!("`{name}` says its `concurrency` itself");
            report.add(&at.key(name), code::CONFLICTING_FIELDS, message);
        }
    }
    limits
}

fn read_counts(fields: &Fields<'_>, key: &str, report: &mut Report<'_>) -> BTreeMap<Text, u32> {
    let mut counts = BTreeMap::new();
    let Some((value, at)) = fields.value(key) else { return counts };
    let Some(map) = value.as_object() else {
        report.wrong_type(&at, &format!("`{key}` is an object of whole numbers"), value);
        return counts;
    };
    if map.len() > LIMITS_MAX {
        report.add(&at, code::OUT_OF_RANGE, format!("`{key}` has at most {LIMITS_MAX} entries"));
        return counts;
    }
    for (name, value) in map {
        let count = value.as_u64().filter(|it| (1..=CONCURRENCY_MAX).contains(it));
        match count.and_then(|it| u32::try_from(it).ok()) {
            Some(count) => {
                counts.insert(Text::from(name.as_str()), count);
            }
            None if value.is_number() => {
                let rule = format!("a limit is a whole number from 1 to {CONCURRENCY_MAX}");
                report.add(&at.key(name), code::OUT_OF_RANGE, rule);
            }
            None => report.wrong_type(&at.key(name), "a limit is a whole number", value),
        }
    }
    counts
}
