//! Reading the `agents` and `groups` of a manifest: names, places in the hierarchy, skills, limits;
//! how they work is below.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fields::{Dots, Fields};
use super::findings::{Pointer, Report, code};
use super::limits::{
    AGENTS_PER_MANIFEST_MAX, CALL_MS_MAX, CONCURRENCY_MAX, DESCRIPTION_BYTES_MAX, PAIR_BYTES_MAX,
    PAIRS_MAX, SKILLS_PER_AGENT_MAX,
};
use super::shape;
use super::skills::Offers;
use crate::agent::{AgentSpec, Behaviour, SkillOffer, WorkerSpec};
use crate::hash::Hash;
use crate::layer::Layer;
use crate::limits::GROUP_AGENTS_MAX;
use crate::plan::EffectClass;
use crate::text::Text;

mod command;
mod http;

/// The layer of an agent that names none: expert work.
const LAYER: Layer = Layer::Specialist;

/// Reads agents or groups; their skills are known to whatever is read after them.
pub(super) fn read_all(
    list: &[Value],
    at: &Pointer,
    shape: &'static shape::Shape,
    offers: &mut Offers,
    report: &mut Report<'_>,
) -> Vec<(AgentSpec, Pointer)> {
    if list.len() > AGENTS_PER_MANIFEST_MAX {
        let text = format!("a manifest has at most {AGENTS_PER_MANIFEST_MAX} of these");
        report.add(at, code::OUT_OF_RANGE, text);
        return Vec::new();
    }
    let mut agents = Vec::with_capacity(list.len());
    for (i, value) in list.iter().enumerate() {
        let at = at.index(i);
        let Some(fields) = Fields::open(value, &at, shape, report) else { continue };
        agents.extend(read(&fields, offers, report).map(|agent| (agent, at)));
    }
    agents
}

fn read(fields: &Fields<'_>, offers: &mut Offers, report: &mut Report<'_>) -> Option<AgentSpec> {
    let name = fields.required_name("name", Dots::Refused, report).unwrap_or_default();
    let description = fields.text("description", DESCRIPTION_BYTES_MAX, report).map(Text::from);
    let count = read_count(fields, report);
    let layer = match fields.value("layer") {
        Some(_) => fields.word("layer", report).and_then(Layer::parse).unwrap_or(LAYER),
        None => LAYER,
    };
    let supervisor = fields.value("supervisor");
    let supervisor =
        supervisor.and_then(|(value, at)| super::fields::name(value, &at, Dots::Refused, report));
    let concurrency = fields.count("concurrency", 1..=CONCURRENCY_MAX, report);
    let behaviour = read_behaviour(fields, layer, report);
    check_work(fields, layer, report);
    let skills = match fields.bounded_list("skills", report) {
        Some((list, at)) => offers.read(list, &at, behaviour.as_ref(), report),
        None => Vec::new(),
    };
    let behaviour = behaviour?;
    let digest = digest(fields.value("behaviour").map(|(value, _)| value), &skills);
    Some(AgentSpec {
        name: Text::from(name),
        description,
        count,
        layer,
        supervisor: supervisor.map(Text::from),
        skills,
        concurrency: concurrency.and_then(|it| u32::try_from(it).ok()),
        behaviour,
        digest,
    })
}

/// How many of them there are, where the shape has a count.
fn read_count(fields: &Fields<'_>, report: &mut Report<'_>) -> u32 {
    if !fields.may_have("count") {
        return 1;
    }
    fields.required("count", report);
    let count = fields.count("count", 1..=u64::from(GROUP_AGENTS_MAX), report);
    count.and_then(|it| u32::try_from(it).ok()).unwrap_or(1)
}

/// Who works on tasks has skills; nobody could ask anybody else for theirs.
fn check_work(fields: &Fields<'_>, layer: Layer, report: &mut Report<'_>) {
    let skills = fields.value("skills");
    let has_some =
        skills.as_ref().is_some_and(|(list, _)| list.as_array().is_none_or(|it| !it.is_empty()));
    match (layer.works(), skills, has_some) {
        (true, None, _) => {
            report.add(fields.at(), code::MISSING_FIELD, "field `skills` is missing");
        }
        (true, Some((_, at)), false) => {
            let text = format!("an agent has 1 to {SKILLS_PER_AGENT_MAX} skills");
            report.add(&at, code::OUT_OF_RANGE, text);
        }
        (false, Some((_, at)), true) => {
            let message = format!(
                "agents of the layer `{layer}` work on no tasks: nobody could use their skills"
            );
            let hint = "give the skills to a specialist or micro that it supervises";
            report.add_hint(&at, code::LAYER_DOES_NOT_WORK, message, hint);
        }
        _ => {}
    }
}

fn read_behaviour(fields: &Fields<'_>, layer: Layer, report: &mut Report<'_>) -> Option<Behaviour> {
    let Some((value, at)) = fields.value("behaviour") else {
        if layer.works() {
            fields.required("behaviour", report);
            return None;
        }
        return Some(Behaviour::Native);
    };
    match value.as_str() {
        Some("native") => return Some(Behaviour::Native),
        Some("worker") => return Some(Behaviour::Worker(WorkerSpec::default())),
        Some(_) => {
            let rule = "`behaviour` is `native`, `worker`, or an object of `command` or `http`";
            report.add(&at, code::INVALID_VALUE, rule);
            return None;
        }
        None => {}
    }
    let fields = Fields::open(value, &at, &shape::BEHAVIOUR, report)?;
    let ways = shape::BEHAVIOUR.names().filter_map(|way| Some((way, fields.value(way)?)));
    let mut ways = ways.collect::<Vec<_>>().into_iter();
    let Some((way, (value, way_at))) = ways.next() else {
        let later = shape::BEHAVIOUR.later.iter().any(|way| fields.value(way).is_some());
        if later {
            return None;
        }
        let names: Vec<String> = shape::BEHAVIOUR.names().map(|it| format!("`{it}`")).collect();
        let message = format!("one of {} is missing", names.join(", "));
        report.add(&at, code::MISSING_FIELD, message);
        return None;
    };
    if let Some((_, (_, at))) = ways.next() {
        report.add(&at, code::CONFLICTING_FIELDS, "an agent works in one way");
        return None;
    }
    match way {
        "native" => Fields::open(value, &way_at, &shape::NATIVE, report).map(|_| Behaviour::Native),
        "worker" => {
            let fields = Fields::open(value, &way_at, &shape::WORKER, report)?;
            let effect = read_effect(&fields, report);
            Some(Behaviour::Worker(WorkerSpec { effect }))
        }
        "command" => command::read(value, &way_at, report).map(Behaviour::Command),
        _ => http::read(value, &way_at, report).map(Behaviour::Http),
    }
}

/// What it is and does, in one number: the same words give the same digest, in whatever order.
fn digest(behaviour: Option<&Value>, skills: &[SkillOffer]) -> Hash {
    let behaviour = match behaviour.and_then(Value::as_str) {
        Some(way) => json!({ way: {} }),
        None => behaviour.cloned().unwrap_or_default(),
    };
    let skills: BTreeMap<&str, Value> = skills
        .iter()
        .map(|it| (&*it.name, json!([it.input, it.output, it.class.as_str()])))
        .collect();
    Hash::of(json!([behaviour, skills]).to_string().as_bytes())
}

/// The class of an agent's effects, `pure` apart: what happens outside this process is never that.
pub(super) fn read_effect(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<EffectClass> {
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
