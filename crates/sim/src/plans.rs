//! Plans out of chance: valid manifests of every shape, through the front door that people use.

use std::sync::Arc;

use ark_os_core::fleet::SkillInfo;
use ark_os_core::manifest::{SkillCatalogue, SkillShape, parse};
use ark_os_core::plan::{EffectClass, LimitSpec, Workflow};
use ark_os_core::text::Text;
use ark_os_runtime::data::Catalogue;
use serde_json::{Map, Value, json};

use crate::rng::Rng;

/// The skills of the simulated agents, one of each effect class and a narrow one.
pub(crate) const SKILLS: [(&str, EffectClass, Option<u32>); 6] = [
    ("pure.work", EffectClass::Pure, None),
    ("pure.narrow", EffectClass::Pure, Some(2)),
    ("read.look", EffectClass::Read, None),
    ("idem.put", EffectClass::Idempotent, None),
    ("probe.send", EffectClass::Probed, None),
    ("fire.once", EffectClass::Effectful, Some(8)),
];
/// What remote workers do, each beside a skill of the instance's own that it may be asked for in place of.
const FAR_SKILLS: [(&str, EffectClass, &str); 2] = [
    ("far.put", EffectClass::Idempotent, "idem.put"),
    ("far.send", EffectClass::Effectful, "fire.once"),
];
/// How often each skill is asked for.
const SKILL_WEIGHTS: [u64; 6] = [8, 2, 1, 3, 1, 2];
/// Longest list that an agent answers with, and so the widest map.
pub(crate) const LIST_MAX: u64 = 300;

/// What the instance tells the core about its skills.
pub(crate) fn skill_infos() -> Vec<SkillInfo> {
    let info = |(name, class, concurrency_max): &(&str, EffectClass, Option<u32>)| SkillInfo {
        name: Text::from(*name),
        class: *class,
        concurrency_max: *concurrency_max,
    };
    SKILLS.iter().map(info).collect()
}

/// What remote workers offer.
pub(crate) fn far_skills() -> Vec<SkillInfo> {
    let info = |(name, class, _): (&str, EffectClass, &str)| SkillInfo {
        name: Text::from(name),
        class,
        concurrency_max: None,
    };
    FAR_SKILLS.into_iter().map(info).collect()
}

/// Half of what workers could do is asked of them.
fn make_far(rng: &mut Rng, task: &mut Value) {
    let Some(map) = task.as_object_mut() else { return };
    let asked = map.get("skill").and_then(Value::as_str);
    let far = FAR_SKILLS.into_iter().find(|(_, _, near)| Some(*near) == asked);
    if let Some((name, ..)) = far.filter(|_| rng.per_mille(500)) {
        map.insert("skill".into(), name.into());
    }
}

/// What manifests are checked against.
pub(crate) fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let near = SKILLS.into_iter().map(|(name, class, _)| (name, class));
    let far = FAR_SKILLS.into_iter().map(|(name, class, _)| (name, class));
    for (name, class) in near.chain(far) {
        let shape = SkillShape { class, input_schema: None, output_schema: None };
        catalogue.insert(name, shape);
    }
    catalogue
}

/// Signals that plans wait for.
pub(crate) const SIGNALS: [&str; 2] = ["go", "on"];

/// Some tasks only wait. What they had as work goes, but not what they come after.
fn make_wait(rng: &mut Rng, task: &mut Value) {
    let Some(map) = task.as_object_mut() else { return };
    if map.contains_key("map") || map.contains_key("reduce") || !rng.per_mille(300) {
        return;
    }
    for key in ["skill", "input", "retry", "timeout", "deadline", "budget"] {
        map.remove(key);
    }
    let mut wait = Map::new();
    match (rng.below(5), rng.pick(&SIGNALS)) {
        (0, _) => _ = wait.insert("for".into(), format!("{}ms", rng.below(30_000)).into()),
        (1, _) => _ = wait.insert("until".into(), "2023-11-14T22:13:40Z".into()),
        (_, name) => {
            wait.insert("signal".into(), name.copied().unwrap_or("go").into());
            if rng.per_mille(400) {
                wait.insert("timeout".into(), format!("{}s", rng.range(1, 90)).into());
                let rule = if rng.per_mille(500) { "continue" } else { "fail" };
                wait.insert("on_timeout".into(), rule.into());
            }
        }
    }
    map.insert("wait".into(), Value::Object(wait));
}

/// Now and then a task may add others.
fn make_expanding(rng: &mut Rng, task: &mut Value) {
    let Some(map) = task.as_object_mut() else { return };
    let is_plain = map.contains_key("skill") && !map.contains_key("map");
    let name = map.get("name").and_then(Value::as_str).unwrap_or_default();
    if is_plain && !map.contains_key("reduce") && !name.starts_with("spare") && rng.per_mille(150) {
        map.insert("expands".into(), true.into());
    }
}

/// Tasks that an expanding task adds: some that come after each other, some that stand alone.
pub(crate) fn added(rng: &mut Rng, prefix: &str) -> Value {
    let count = rng.below(4) as usize;
    let name = |i: usize| format!("{prefix}-{i}");
    let tasks = (0..count).map(|i| {
        let after: Vec<String> =
            if i > 0 && rng.per_mille(500) { vec![name(i - 1)] } else { Vec::new() };
        let mut made = task(rng, &name(i), &after);
        if rng.per_mille(200) {
            make_wait(rng, &mut made);
        }
        made
    });
    Value::Array(tasks.collect())
}

/// What the author of a limit wrote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyLimit {
    name: &'static str,
    has_key: bool,
    pub(crate) at_once: Option<u32>,
    /// How many may begin in so many milliseconds.
    pub(crate) rate: Option<(u32, u64)>,
}

impl From<&LimitSpec> for KeyLimit {
    /// Of somebody's own workflow: what its plan says is what was written.
    fn from(spec: &LimitSpec) -> Self {
        let rate = spec.rate.map(|rate| (rate.count, rate.per_ms));
        KeyLimit { name: "", has_key: spec.key.is_some(), at_once: spec.at_once, rate }
    }
}

/// Limits of the plans.
const KEY_LIMITS: [KeyLimit; 3] = [
    KeyLimit { name: "sim-alone", has_key: false, at_once: Some(1), rate: None },
    KeyLimit { name: "sim-rate", has_key: true, at_once: None, rate: Some((3, 5_000)) },
    KeyLimit { name: "sim-both", has_key: true, at_once: Some(2), rate: Some((4, 3_000)) },
];

/// The limit of this name.
pub(crate) fn key_limit(name: &str) -> Option<KeyLimit> {
    KEY_LIMITS.into_iter().find(|limit| limit.name == name)
}

/// Now and then a task is under a limit.
fn make_limited(rng: &mut Rng, task: &mut Value) {
    let Some(map) = task.as_object_mut().filter(|map| map.contains_key("skill")) else { return };
    let Some(limit) = rng.pick(&KEY_LIMITS).copied().filter(|_| rng.per_mille(200)) else { return };
    let mut said = Map::from_iter([("name".to_owned(), limit.name.into())]);
    if limit.has_key {
        said.insert("key".into(), "${input.go}".into());
    }
    if let Some(at_once) = limit.at_once {
        said.insert("at_once".into(), at_once.into());
    }
    if let Some((count, per_ms)) = limit.rate {
        said.insert("rate".into(), json!({ "count": count, "per": format!("{per_ms}ms") }));
    }
    map.insert("limit".into(), said.into());
}

/// The planted bug: a plan whose limits let through whatever comes.
pub(crate) fn unlimited(workflow: &Workflow) -> Arc<Workflow> {
    let mut wide = workflow.clone();
    for limit in wide.tasks.iter_mut().filter_map(|task| task.limit.as_mut()) {
        limit.at_once = limit.at_once.map(|_| 1_000);
        limit.rate = limit.rate.map(|rate| ark_os_core::plan::Rate { count: 1_000, ..rate });
    }
    wide.sealed()
}

/// Now and then a task is a run of one of the plans before. What it comes after stays.
fn make_child(rng: &mut Rng, before: &[Value], task: &mut Value) {
    let child = rng.pick(before).and_then(|plan| plan.get("name")).cloned();
    let (Some(map), Some(child)) = (task.as_object_mut(), child) else { return };
    let is_work = map.contains_key("skill") && !map.contains_key("map");
    if !is_work || map.contains_key("reduce") || !rng.per_mille(120) {
        return;
    }
    for key in ["skill", "input", "retry", "timeout"] {
        map.remove(key);
    }
    let list: Vec<u64> = (0..rng.below(6)).collect();
    let rule = if rng.per_mille(250) { "detach" } else { "cancel" };
    let input = json!({ "x": "${input.x}", "go": rng.per_mille(600), "list": list });
    map.insert(
        "run".into(),
        json!({ "workflow": child, "input": input, "on_parent_cancel": rule }),
    );
}

/// A workflow; the chances say which tasks only wait, and which are for remote workers. The findings if the generator makes one that is not valid, which is a fault of it.
pub(crate) fn workflow(
    rng: &mut Rng,
    number: u64,
    catalogue: &dyn SkillCatalogue,
    (waits, far): (Option<&mut Rng>, Option<&mut Rng>),
    before: &mut Vec<Value>,
) -> Result<Arc<Workflow>, String> {
    let mut tasks = match rng.weighted(&[3, 3, 2, 2, 4]) {
        0 => chain(rng),
        1 => diamond(rng),
        2 => fan(rng),
        3 => vec![task(rng, "t0", &[])],
        _ => tangle(rng),
    };
    // The list of a map is the output of work.
    let is_fan = tasks.iter().any(|task| task.get("map").is_some());
    if let Some(waits) = waits.filter(|_| !is_fan) {
        tasks.iter_mut().for_each(|task| make_wait(waits, task));
        tasks.iter_mut().for_each(|task| make_child(waits, before, task));
        tasks.iter_mut().for_each(|task| make_expanding(waits, task));
        tasks.iter_mut().for_each(|task| make_limited(waits, task));
    }
    if let Some(far) = far {
        tasks.iter_mut().for_each(|task| make_far(far, task));
    }
    let mut plan = json!({ "name": format!("plan-{number}"), "tasks": tasks });
    if rng.per_mille(200)
        && let Some(map) = plan.as_object_mut()
    {
        map.insert("output".into(), json!({ "echo": "${input.x}", "first": "${tasks.t0.output}" }));
    }
    before.push(plan);
    let manifest = json!({ "workflows": before });
    let parsed = parse(&manifest, catalogue)
        .map_err(|findings| format!("{manifest}: {:?}", findings.as_slice()))?;
    parsed.workflows.last().cloned().ok_or_else(|| "no workflow".to_owned())
}

fn name(number: usize) -> String {
    format!("t{number}")
}

fn skill(rng: &mut Rng) -> &'static str {
    SKILLS.get(rng.weighted(&SKILL_WEIGHTS)).map_or("pure.work", |skill| skill.0)
}

/// A task with everything that chance gives it, apart from maps and fallbacks.
fn task(rng: &mut Rng, name: &str, after: &[String]) -> Value {
    let mut task = Map::new();
    task.insert("name".into(), name.into());
    task.insert("skill".into(), skill(rng).into());
    if !after.is_empty() {
        task.insert("after".into(), json!(after));
    }
    let input = match (rng.below(4), rng.pick(after)) {
        (0, _) => json!("${input}"),
        (1, Some(before)) => json!({ "from": format!("${{tasks.{before}.output}}") }),
        (2, _) => json!({ "x": "${input.x}" }),
        _ => json!({ "n": rng.below(100) }),
    };
    task.insert("input".into(), input);
    if rng.per_mille(150) {
        let when = match rng.pick(after) {
            Some(before) if rng.per_mille(500) => format!("tasks.{before}.output.ok == true"),
            _ => "input.go == true".to_owned(),
        };
        task.insert("when".into(), when.into());
    }
    limits(rng, &mut task);
    Value::Object(task)
}

fn limits(rng: &mut Rng, task: &mut Map<String, Value>) {
    if rng.per_mille(250) {
        task.insert("on_failure".into(), "continue".into());
    }
    if rng.per_mille(500) {
        let retry =
            json!({ "attempts": rng.range(1, 6), "backoff": format!("{}ms", rng.below(2_000)) });
        task.insert("retry".into(), retry);
    }
    if rng.per_mille(150) {
        task.insert("timeout".into(), format!("{}s", rng.range(2, 40)).into());
    }
    if rng.per_mille(60) {
        task.insert("deadline".into(), format!("{}s", rng.range(1, 120)).into());
    }
    if rng.per_mille(150) {
        task.insert("budget".into(), json!({ "tokens": rng.range(1, 500) }));
    }
}

fn chain(rng: &mut Rng) -> Vec<Value> {
    let length = if rng.per_mille(100) { rng.range(20, 40) } else { rng.range(2, 6) } as usize;
    let before = |i: usize| if i == 0 { Vec::new() } else { vec![name(i - 1)] };
    (0..length).map(|i| task(rng, &name(i), &before(i))).collect()
}

fn diamond(rng: &mut Rng) -> Vec<Value> {
    let width = rng.range(2, 6) as usize;
    let root = [name(0)];
    let mut tasks = vec![task(rng, &name(0), &[])];
    tasks.extend((1..=width).map(|i| task(rng, &name(i), &root)));
    let sides: Vec<String> = (1..=width).map(name).collect();
    tasks.push(task(rng, &name(width + 1), &sides));
    tasks
}

fn fan(rng: &mut Rng) -> Vec<Value> {
    let (list, over) = match rng.below(2) {
        0 => (Some(task(rng, "t0", &[])), "${tasks.t0.output.list}"),
        _ => (None, "${input.list}"),
    };
    let mut map = Map::new();
    map.insert("over".into(), over.into());
    if rng.per_mille(500) {
        map.insert("parallel".into(), rng.range(1, 20).into());
    }
    if rng.per_mille(600) {
        map.insert("max_failures".into(), rng.below(20).into());
    }
    map.insert("collect".into(), rng.per_mille(300).into());
    let mut each = Map::new();
    each.insert("name".into(), if list.is_some() { "t1" } else { "t0" }.into());
    let skills = ["pure.work", "pure.work", "idem.put", "pure.narrow", "fire.once"];
    each.insert("skill".into(), (*rng.pick(&skills).unwrap_or(&"pure.work")).into());
    each.insert("map".into(), Value::Object(map));
    limits(rng, &mut each);
    each.remove("deadline");
    let mapped = each.get("name").cloned().unwrap_or_default();
    let mut tasks: Vec<Value> = list.into_iter().collect();
    tasks.push(Value::Object(each));
    if rng.per_mille(700) {
        tasks.push(json!({ "name": "sum", "skill": "pure.work", "reduce": mapped }));
    }
    tasks
}

/// Any graph, with fallbacks.
fn tangle(rng: &mut Rng) -> Vec<Value> {
    let length = rng.range(3, 12) as usize;
    let mut tasks = Vec::new();
    for i in 0..length {
        let mut after: Vec<String> = Vec::new();
        for _ in 0..rng.below(4) {
            let before = name(rng.below(i as u64) as usize);
            if i > 0 && !after.contains(&before) {
                after.push(before);
            }
        }
        let mut made = task(rng, &name(i), &after);
        if rng.per_mille(200)
            && let Some(map) = made.as_object_mut()
        {
            let spare = format!("spare{i}");
            map.insert("on_failure".into(), json!({ "fallback": spare }));
            let mut other = Map::new();
            other.insert("name".into(), spare.into());
            other.insert("skill".into(), skill(rng).into());
            limits(rng, &mut other);
            tasks.push(Value::Object(other));
        }
        tasks.push(made);
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_is_valid() {
        let catalogue = catalogue();
        let mut before = Vec::new();
        for seed in 0..500 {
            if seed % 6 == 0 {
                before.clear();
            }
            let (mut waits, mut far) = (Rng::new(!seed), Rng::new(seed + 1));
            let chances = (Some(&mut waits), Some(&mut far));
            let made = workflow(&mut Rng::new(seed), seed, &catalogue, chances, &mut before);
            assert!(made.is_ok(), "seed {seed}: {made:?}");
        }
    }
}
