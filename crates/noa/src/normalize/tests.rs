//! What heals, what stays, and that nobody may do more afterwards.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn heals(value: &Value) -> (Value, Vec<(&'static str, String)>) {
    let done = normalize(value);
    let rules = done.heals.iter().map(|it| (it.rule, it.pointer.clone()));
    let rules = rules.collect();
    (done.value, rules)
}

#[test]
fn what_is_written_differently_becomes_what_the_format_has() {
    let value = json!({
        "agents": {
            "writer": {"desc": "writes", "skills": "text.write; text.edit", "Layer": "Micro",
                       "reports_to": " chief ", "behaviour": " Worker", "concurrency": "4"},
            "chief": {"layer": "Stack Chief", "supervisor": null},
        },
        "workflows": [{"name": " w ", "tasks": [
            {"name": "a", "skill": "text.write", "timeout": "5 minutes", "depends_on": "b"},
            {"name": "b", "skill": "text.edit", "retry": {"backoff": "1.5 sec", "attempts": "3"}},
        ]}],
    });
    let want = json!({
        "agents": [
            {"name": "chief", "layer": "stack-chief"},
            {"name": "writer", "description": "writes", "skills": ["text.write", "text.edit"],
             "layer": "micro", "supervisor": "chief", "behaviour": "worker", "concurrency": 4},
        ],
        "workflows": [{"name": "w", "tasks": [
            {"name": "a", "skill": "text.write", "timeout": "5m", "after": ["b"]},
            {"name": "b", "skill": "text.edit", "retry": {"backoff": "1s500ms", "attempts": 3}},
        ]}],
    });
    let (healed, rules) = heals(&value);
    assert_eq!(healed, want);
    let ids: BTreeSet<&str> = rules.iter().map(|(rule, _)| *rule).collect();
    let known: BTreeSet<&str> = RULES.iter().map(|(rule, _)| *rule).collect();
    assert!(ids.is_subset(&known), "{ids:?}");
    assert!(rules.contains(&("duration", "/workflows/0/tasks/0/timeout".to_owned())));
}

#[test]
fn what_is_not_understood_stays_and_is_told() {
    let value = json!({
        "agents": [{"name": "a", "colour": "red", "tier": "board", "effect_class": "read",
                    "summary": "x", "description": "y", "x-note": null, "Behaviour": "native"}],
        "Groups": [], "strange": {"deep": [1, null]},
    });
    let done = normalize(&value);
    assert_eq!(done.value, value, "nothing is thrown away, nothing guessed");
    let kept: Vec<_> = done.kept.iter().map(|it| (it.pointer.as_str(), it.reason)).collect();
    assert_eq!(
        kept,
        [
            (
                "/Groups",
                Some("this field decides what may be done, so its name is for a person to mend")
            ),
            ("/strange", None),
            (
                "/agents/0/Behaviour",
                Some("this field decides what may be done, so its name is for a person to mend")
            ),
            ("/agents/0/colour", None),
            ("/agents/0/effect_class", None),
            ("/agents/0/summary", Some("the field that it seems to mean is there already")),
            (
                "/agents/0/tier",
                Some("it would raise the authority above that of an agent that names no layer")
            ),
        ]
    );
}

#[test]
fn amounts_read_as_written_or_not_at_all() {
    for (text, want) in [
        ("5 minutes", Some("5m")),
        ("1 hour 30 min", Some("1h30m")),
        ("1 hour, and 30 min", Some("1h30m")),
        ("90S", Some("1m30s")),
        ("1.5h", Some("1h30m")),
        ("0 sec", Some("0s")),
        ("30", None),
        ("5 M", None),
        ("1.0001 ms", None),
        ("1. h", None),
        ("-5 s", None),
        ("soon", None),
        ("99999 days", None),
    ] {
        let done = normalize(&json!({"workflows": [{"tasks": [{"timeout": text}]}]}));
        let want = want.unwrap_or(text);
        assert_eq!(done.value["workflows"][0]["tasks"][0]["timeout"], json!(want), "{text}");
    }
    for (text, want) in
        [("256 mib", "256MiB"), ("1 GB", "1 GB"), ("12 bytes", "12B"), ("64KiB", "64KiB")]
    {
        let limits = json!({"command": {"limits": {"memory": text}}});
        let done = normalize(&json!({"agents": [{"behaviour": limits}]}));
        let memory = done.value.pointer("/agents/0/behaviour/command/limits/memory");
        assert_eq!(memory, Some(&json!(want)), "{text}");
    }
}

/// What one agent may do, read from the fields that the format has, however their values are
/// spelled; by other code than the product's.
#[derive(Debug, Default, PartialEq)]
struct Authority {
    layer: usize,
    skills: BTreeSet<String>,
    concurrency: Option<u64>,
    effect: Option<usize>,
    writes: usize,
    is_private: bool,
    count: u64,
}

const LAYERS: [&str; 6] = ["micro", "specialist", "stackchief", "executive", "board", "cecca"];
const EFFECTS: [&str; 4] = ["read", "idempotent", "probed", "effectful"];

fn letters(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    text.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_lowercase()
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn authority_of(agent: &Value) -> Authority {
    let skills = match &agent["skills"] {
        Value::String(text) => text.split([',', ';']).map(|it| it.trim().to_owned()).collect(),
        Value::Array(list) => {
            let names = list.iter().map(|it| it.as_str().or(it["name"].as_str()));
            names.flatten().map(|it| it.trim().to_owned()).collect()
        }
        _ => BTreeSet::new(),
    };
    let ways = ["http", "command", "worker"].map(|way| &agent["behaviour"][way]);
    let effect =
        ways.iter().find_map(|way| EFFECTS.iter().position(|it| *it == letters(&way["effect"])));
    let mounts = agent["behaviour"]["command"]["mounts"].as_array().cloned().unwrap_or_default();
    let private = &agent["behaviour"]["http"]["allow_private"];
    Authority {
        layer: LAYERS.iter().position(|it| *it == letters(&agent["layer"])).unwrap_or(1),
        skills,
        concurrency: number(&agent["concurrency"]),
        effect,
        writes: mounts.iter().filter(|it| letters(&it["access"]) == "write").count(),
        is_private: private.as_bool() == Some(true) || letters(private) == "true",
        count: number(&agent["count"]).unwrap_or(1),
    }
}

fn authorities(manifest: &Value) -> BTreeMap<String, Authority> {
    let mut found = BTreeMap::new();
    for section in ["agents", "groups"] {
        match &manifest[section] {
            Value::Array(list) => found.extend(list.iter().map(|agent| {
                let name = agent["name"].as_str().unwrap_or_default().trim().to_owned();
                (name, authority_of(agent))
            })),
            Value::Object(map) => found.extend(
                map.iter().map(|(name, agent)| (name.trim().to_owned(), authority_of(agent))),
            ),
            _ => {}
        }
    }
    found
}

fn is_within(after: &Authority, before: &Authority) -> bool {
    after.layer <= before.layer
        && after.skills.is_subset(&before.skills)
        && after.concurrency == before.concurrency
        && after.effect == before.effect
        && after.writes <= before.writes
        && after.is_private <= before.is_private
        && after.count == before.count
}

fn spelled(words: &'static [&'static str]) -> impl Strategy<Value = Value> {
    (prop::sample::select(words), any::<[bool; 3]>()).prop_map(|(word, [upper, space, snake])| {
        let mut text = if upper { word.to_uppercase() } else { word.to_owned() };
        if space {
            text = format!(" {text} ");
        }
        json!(if snake { text.replace('-', "_") } else { text })
    })
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!("")),
        Just(json!("7")),
        Just(json!(7)),
        Just(json!("true")),
        Just(json!(true)),
        Just(json!("a.b; c.d")),
        Just(json!(["a.b", {"name": " c.d "}])),
        Just(json!("5 minutes")),
        Just(json!({"a": null})),
        Just(json!({"http": {"url": "u", "effect": "Read", "allowPrivate": true}})),
        Just(json!({"http": {"url": "u", "effect": "effectful ", "allow_private": "True"}})),
        Just(json!({"command": {"argv": "x", "mounts": {"access": "write"},
                                "Effect": "read"}})),
        Just(json!({"command": {"argv": ["x"], "mounts": [{"access": "Write"},
                                {"Access": "write"}]}})),
        spelled(&["cecca", "board", "stack-chief", "specialist", "micro", "nobody"]),
        spelled(&["native", "worker", "read"]),
    ]
}

fn odd_agent() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 23] = [
        "name",
        "layer",
        "Layer",
        "tier",
        "level",
        "supervisor",
        "manager",
        "boss",
        "desc",
        "description",
        "summary",
        "skills",
        "Skills",
        "capabilities",
        "concurrency",
        "Concurrency",
        "behaviour",
        "behavior",
        "Behaviour",
        "count",
        "COUNT",
        "x-a",
        "odd",
    ];
    prop::collection::btree_map(prop::sample::select(&NAMES[..]), odd_value(), 0..8).prop_map(
        |map| Value::Object(map.into_iter().map(|(key, it)| (key.to_owned(), it)).collect()),
    )
}

fn odd_manifest() -> impl Strategy<Value = Value> {
    let agents = prop_oneof![
        prop::collection::vec(odd_agent(), 0..4).prop_map(|list: Vec<Value>| {
            let named = list.into_iter().enumerate().map(|(i, mut agent)| {
                agent["name"] = json!(format!(" a{i} "));
                agent
            });
            Value::Array(named.collect())
        }),
        prop::collection::btree_map("[a-c]", odd_agent(), 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect())),
    ];
    (prop::sample::select(&["agents", "groups", "Agents"][..]), agents, odd_value()).prop_map(
        |(section, agents, odd): (&str, Value, Value)| json!({ section: agents, "odd": odd }),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nobody_may_do_more_than_was_written(manifest in odd_manifest()) {
        let done = normalize(&manifest);
        let (before, after) = (authorities(&manifest), authorities(&done.value));
        for (name, after) in after {
            let before = before.get(&name);
            prop_assert!(before.is_some(), "a new agent `{name}`: {}", done.value);
            prop_assert!(is_within(&after, before.unwrap()), "{before:?} became {after:?}");
        }
    }

    #[test]
    fn what_was_healed_is_left_alone(manifest in odd_manifest()) {
        let once = normalize(&manifest);
        let twice = normalize(&once.value);
        prop_assert_eq!(&twice.value, &once.value);
        prop_assert!(twice.heals.is_empty(), "{:?}", twice.heals);
        prop_assert_eq!(twice.kept, once.kept);
    }

    #[test]
    fn no_field_is_lost(manifest in odd_manifest()) {
        let done = normalize(&manifest);
        let gone = done.heals.iter().filter(|it| it.rule == "empty-field").count();
        let lists = done.heals.iter().filter(|it| it.rule == "entries-to-list");
        let twice: usize = lists.map(|it| named_twice(&it.from)).sum();
        prop_assert_eq!(fields(&done.value) + gone + twice, fields(&manifest), "{}", done.value);
    }
}

/// An entry's key becomes its name; where it said that name itself, once is enough.
fn named_twice(entries: &Value) -> usize {
    let entries = entries.as_object().unwrap();
    entries.values().filter(|it| it.get("name").is_some()).count()
}

fn fields(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.len() + map.values().map(fields).sum::<usize>(),
        Value::Array(list) => list.iter().map(fields).sum(),
        _ => 0,
    }
}
