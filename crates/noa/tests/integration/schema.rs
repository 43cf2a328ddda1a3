//! What the schema refuses no reader accepts, and what is of the wrong form both refuse.

use std::path::{Path, PathBuf};

use ark_os_core::manifest::shape::json_schema;
use ark_os_core::manifest::{Findings, SkillCatalogue, SkillShape, parse};
use ark_os_core::plan::EffectClass;
use ark_os_noa::{Document, Format};
use ark_os_runtime::data::Catalogue;
use ark_os_runtime::skills::SkillSet;
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn validator() -> Validator {
    jsonschema::validator_for(&json_schema()).expect("the schema is one")
}

/// The built-in skills.
fn catalogue() -> Catalogue {
    Catalogue::new(&SkillSet::builtin())
}

fn read(value: &Value) -> Result<(), Findings> {
    parse(value, &catalogue()).map(|_| ())
}

/// Every manifest of the tree.
fn examples() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for folder in ["examples/agents", "examples/audit", "examples/manifests", "config"] {
        let Ok(entries) = std::fs::read_dir(root().join(folder)) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let ending = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
            if !matches!(ending, "yaml" | "json" | "toml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let document = Document::read(Format::of_ending(ending), &text);
            let document = document.unwrap_or_else(|fault| panic!("{}: {fault:?}", path.display()));
            found.push((path.display().to_string(), document.value));
        }
    }
    assert!(found.len() >= 6, "{} examples", found.len());
    found
}

/// One of everything that the format has.
fn everything() -> Value {
    let text = include_str!("everything.yaml");
    Document::read(Format::Yaml, text).unwrap().value
}

#[test]
fn the_published_schema_is_the_generated_one() {
    let path = root().join("docs/manifest.schema.json");
    let text = std::fs::read_to_string(path).unwrap();
    let published: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        published,
        json_schema(),
        "write it anew: ark-os noa schema > docs/manifest.schema.json"
    );
    let meta = jsonschema::meta::validate(&published);
    assert!(meta.is_ok(), "{:?}", meta.err());
}

#[test]
fn schema_and_reader_accept_every_example() {
    let validator = validator();
    for (name, value) in examples().into_iter().chain([("everything".to_owned(), everything())]) {
        let faults: Vec<String> = validator.iter_errors(&value).map(|it| it.to_string()).collect();
        assert!(faults.is_empty(), "{name}: {faults:?}");
        assert!(read(&value).is_ok(), "{name}: {}", read(&value).unwrap_err());
    }
}

/// Each is of the wrong form in one place.
#[test]
fn schema_and_reader_refuse_what_is_of_the_wrong_form() {
    let validator = validator();
    for (pointer, value) in [
        ("/name", json!("a b")),
        ("/name", json!(7)),
        ("/fleet/agents", json!(0)),
        ("/fleet/agent", json!(1)),
        ("/agents/0/layer", json!("boss")),
        ("/agents/0/count", json!(1)),
        ("/agents", json!({})),
        ("/agents/1/behaviour", json!("llm")),
        ("/agents/1/behaviour", json!({"llm": {}})),
        ("/agents/1/behaviour", json!({})),
        ("/agents/1/behaviour", json!({"native": {}, "worker": {}})),
        ("/agents/1/skills/0", json!("a b")),
        ("/agents/1/skills/0", json!({"name": "echo", "in": {}})),
        ("/agents/2/behaviour/command/argv", json!([])),
        ("/agents/2/behaviour/command/argv", json!("/bin/true")),
        ("/agents/2/behaviour/command/mounts/0/access", json!("rw")),
        ("/agents/2/behaviour/command/limits/memory", json!("1GB")),
        ("/agents/2/behaviour/command/exit/retryable/0", json!(0)),
        ("/agents/3/behaviour/http/timeout", json!(30)),
        ("/agents/3/behaviour/http/timeout", json!("1m1h")),
        ("/agents/3/behaviour/http/effect", json!("pure")),
        ("/agents/3/behaviour/http/secret_headers/X-Key", json!("secret")),
        ("/agents/3/behaviour/http/headers", json!([])),
        ("/groups/0/count", json!(1_001)),
        ("/groups/0/count", json!("7")),
        ("/groups/0/concurrency", json!(0)),
        ("/skills/0/effect", json!("harmless")),
        ("/skills/0/input", json!("text")),
        ("/workflows", json!([])),
        ("/workflows/0/tasks", json!([])),
        ("/workflows/0/version", json!([1])),
        ("/workflows/0/tasks/0/name", json!("a.b")),
        ("/workflows/0/tasks/0/retry/attempts", json!(12)),
        ("/workflows/0/tasks/0/budget/cost", json!("1eur")),
        ("/workflows/0/tasks/0/budget/gold", json!(1)),
        ("/workflows/0/tasks/0/on_failure", json!("explode")),
        ("/workflows/0/tasks/1/map/parallel", json!(0)),
        ("/workflows/0/tasks/1/after", json!("a")),
        ("/limits/concurrency/skills/echo", json!("many")),
        ("/schedules/0/overlap", json!("both")),
        ("/schedules/0/catch_up", json!("some")),
        ("/schedules/0/catch_up", json!({"all": {"max": 0}})),
        ("/schedules/0/paused", json!("no")),
        ("/tools", json!([])),
        ("/surprise", json!(null)),
    ] {
        let mut manifest = everything();
        put(&mut manifest, pointer, value.clone());
        assert!(!validator.is_valid(&manifest), "the schema takes {value} at {pointer}");
        let findings = read(&manifest).expect_err(pointer);
        let is_near = |it: &str| pointer.starts_with(it) || it.starts_with(pointer);
        let is_told = findings.as_slice().iter().any(|it| is_near(&it.pointer));
        assert!(is_told, "{pointer}: {findings}");
    }
}

fn put(manifest: &mut Value, pointer: &str, value: Value) {
    let (above, key) = pointer.rsplit_once('/').unwrap();
    match manifest.pointer_mut(above).unwrap_or_else(|| panic!("{pointer}")) {
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        Value::Object(map) => drop(map.insert(key.to_owned(), value)),
        other => panic!("{pointer}: {other}"),
    }
}

/// The pointers of everything in a value.
fn pointers(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), value)];
    while let Some((at, value)) = open.pop() {
        match value {
            Value::Array(list) => {
                open.extend(list.iter().enumerate().map(|(i, it)| (format!("{at}/{i}"), it)));
            }
            Value::Object(map) => {
                let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
                open.extend(map.iter().map(|(key, it)| (format!("{at}/{}", escaped(key)), it)));
            }
            _ => {}
        }
        found.push(at);
    }
    found
}

fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!(true)),
        Just(json!(0)),
        Just(json!(1)),
        Just(json!(1_000_000)),
        Just(json!(1.5)),
        Just(json!("")),
        Just(json!("a")),
        Just(json!("a.b")),
        Just(json!("30s")),
        Just(json!("0.5usd")),
        Just(json!("native")),
        Just(json!([])),
        Just(json!(["a"])),
        Just(json!({})),
        Just(json!({"a": 1})),
        Just(json!({"x-a": 1})),
    ]
}

#[derive(Clone, Debug)]
enum Change {
    Replace(Value),
    Remove,
    Add(&'static str, Value),
}

fn change() -> impl Strategy<Value = Change> {
    let field = prop::sample::select(&["name", "effect", "x-note", "surprise", "input", "a"][..]);
    prop_oneof![
        odd().prop_map(Change::Replace),
        Just(Change::Remove),
        (field, odd()).prop_map(|(field, value)| Change::Add(field, value)),
    ]
}

fn apply(manifest: &mut Value, at: &str, change: Change) {
    match change {
        Change::Replace(value) => *manifest.pointer_mut(at).unwrap() = value,
        Change::Add(field, value) => {
            if let Some(Value::Object(map)) = manifest.pointer_mut(at) {
                map.insert(field.to_owned(), value);
            }
        }
        Change::Remove => {
            let Some((above, key)) = at.rsplit_once('/') else { return };
            match manifest.pointer_mut(above) {
                Some(Value::Array(list)) => drop(list.remove(key.parse::<usize>().unwrap())),
                Some(Value::Object(map)) => {
                    drop(map.remove(&key.replace("~1", "/").replace("~0", "~")));
                }
                _ => {}
            }
        }
    }
}

/// Findings about form that the schema must share. What an agent lacks depends on its layer, what a
/// probe lacks on the effect, and those the schema does not say.
fn is_form(findings: &Findings) -> bool {
    findings.as_slice().iter().any(|it| match it.code {
        "unknown_field" | "wrong_type" | "unsupported_section" => true,
        "missing_field" => {
            let is_conditional = ["`skills`", "`behaviour`", "`probe`"];
            !is_conditional.iter().any(|part| it.message.contains(part))
        }
        _ => false,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn schema_and_reader_agree_about_changed_manifests(
        place in any::<prop::sample::Index>(),
        change in change(),
    ) {
        thread_local!(static VALIDATOR: Validator = validator());
        let mut manifest = everything();
        let at = place.get(&pointers(&manifest)).clone();
        apply(&mut manifest, &at, change.clone());
        let is_valid = VALIDATOR.with(|it| it.is_valid(&manifest));
        let read = parse(&manifest, &Lenient(catalogue()));
        match read {
            Ok(_) => prop_assert!(is_valid, "only the schema refuses {change:?} at {at}"),
            Err(findings) if is_form(&findings) => {
                prop_assert!(!is_valid, "only the reader refuses {change:?} at {at}: {findings}");
            }
            Err(_) => {}
        }
    }
}

/// Skills are there whatever they are called, so that only the form is judged.
struct Lenient(Catalogue);

impl SkillCatalogue for Lenient {
    fn skill(&self, name: &str) -> Option<SkillShape> {
        let any = SkillShape { class: EffectClass::Pure, input_schema: None, output_schema: None };
        self.0.skill(name).map(|_| any)
    }

    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn check_condition(&self, cel: &str) -> Result<(), String> {
        self.0.check_condition(cel)
    }

    fn check_schema(&self, _schema: &Value) -> Result<(), String> {
        Ok(())
    }
}
