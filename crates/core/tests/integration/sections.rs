//! The sections of a manifest beside workflows: fleet, agents, groups, skills, limits, schedules.
#![allow(clippy::needless_pass_by_value, reason = "documents are written where they are read")]

use ark_os_core::agent::Behaviour;
use ark_os_core::fleet::spec::GroupSpec;
use ark_os_core::layer::Layer;
use ark_os_core::manifest::{
    CatchUpRule, Declared, Manifest, OverlapRule, Stage, Subject, difference, over_capacity, parse,
};
use ark_os_core::plan::EffectClass;
use ark_os_core::priority::Priority;
use serde_json::{Value, json};

use crate::manifest::Skills;

fn manifest(value: Value) -> Manifest {
    parse(&value, &Skills).unwrap_or_else(|findings| panic!("{findings}"))
}

fn wrong(value: Value, want: &[(&str, &str)]) {
    let findings = parse(&value, &Skills).expect_err("something is wrong");
    let got: Vec<(&str, &str)> =
        findings.as_slice().iter().map(|it| (it.pointer.as_str(), it.code)).collect();
    assert_eq!(got, want, "{findings}");
    for finding in findings.as_slice() {
        assert!(value.pointer(&finding.pointer).is_some(), "{}", finding.pointer);
    }
}

fn fleet() -> Value {
    json!({
        "$schema": "manifest.schema.json", "name": "newsroom", "description": "Writes.",
        "x-owner": {"team": "news"}, "fleet": {"agents": 20},
        "skills": [{"name": "text.write", "effect": "idempotent", "input": {"type": "object"}}],
        "agents": [
            {"name": "chief", "layer": "stack-chief"},
            {"name": "scanner", "skills": ["files.scan", "echo"], "behaviour": "native"},
        ],
        "groups": [
            {"name": "writers", "count": 12, "layer": "micro", "supervisor": "chief",
             "skills": ["text.write"], "behaviour": {"worker": {}}, "x-note": [1]},
            {"name": "editors", "count": 1, "skills": ["text.write", "text.edit"],
             "supervisor": "chief", "behaviour": "worker", "concurrency": 3},
        ],
        "limits": {"concurrency": {"skills": {"text.write": 30}, "agents": {"writers": 2}}},
        "workflows": [{"name": "news", "tasks": [{"name": "w", "skill": "text.write", "input": {}}]}],
        "schedules": [
            {"name": "nightly", "cron": "30 3 * * mon-fri", "zone": "Europe/Berlin",
             "workflow": "news", "input": {"a": 1}, "priority": "low", "overlap": "queue",
             "catch_up": {"all": {"max": 5}}, "deadline": "1h", "jitter": "30s", "paused": true,
             "budget": {"calls": 5}},
            {"name": "hourly", "cron": "0 0 * * * *", "workflow": "news"},
        ],
    })
}

#[test]
fn every_section_reads_as_written() {
    let read = manifest(fleet());
    assert_eq!((read.name.as_deref(), read.profile), (Some("newsroom"), Some(20)));
    assert_eq!(
        (read.agents[0].layer, read.agents[1].layer),
        (Layer::StackChief, Layer::Specialist)
    );
    assert_eq!(read.agents[1].skills[0].class, EffectClass::Pure, "as it is built in");
    assert!(matches!(read.groups[0].behaviour, Behaviour::Worker(_)));
    let classes = read.groups[1].skills.iter().map(|it| it.class);
    let classes: Vec<EffectClass> = classes.collect();
    assert_eq!(classes, [EffectClass::Idempotent, EffectClass::Effectful], "contract, and none");
    assert_eq!(read.groups[1].skills[0].input, Some(json!({"type": "object"})));
    let (first, second) = (&read.schedules[0], &read.schedules[1]);
    assert_eq!((first.catch_up, first.overlap), (CatchUpRule::All(5), OverlapRule::Queue));
    assert_eq!(
        (first.deadline_ms, first.jitter_ms, first.is_paused),
        (Some(3_600_000), Some(30_000), true)
    );
    assert_eq!(
        (&*second.zone, second.priority, second.catch_up),
        ("UTC", Priority::Normal, CatchUpRule::One)
    );
    let members: Vec<String> = read.members().map(|(at, _)| at).collect();
    assert_eq!(members, ["/agents/0", "/agents/1", "/groups/0", "/groups/1"]);
}

#[test]
fn a_manifest_is_a_fleet_in_the_order_of_its_layers() {
    let spec = manifest(fleet()).fleet_spec();
    let names: Vec<&str> = spec.groups.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["chief", "editors", "scanner", "writers"]);
    let GroupSpec { layer, count, supervisor, skills, concurrency, behaviour, .. } =
        &spec.groups[3];
    assert_eq!((*layer, *count, supervisor.as_deref()), (Layer::Micro, 12, Some("chief")));
    assert_eq!((skills.len(), *concurrency, behaviour.is_some()), (1, Some(2), true));
    assert!(spec.groups[2].behaviour.is_none(), "native work is the same everywhere");
    let skills: Vec<_> =
        spec.skills.iter().map(|it| (&*it.name, it.class, it.concurrency_max)).collect();
    assert_eq!(
        skills,
        [
            ("echo", EffectClass::Pure, None),
            ("files.scan", EffectClass::Pure, None),
            ("text.edit", EffectClass::Effectful, None),
            ("text.write", EffectClass::Idempotent, Some(30)),
        ]
    );
    let mut other = fleet();
    other["groups"][1]["behaviour"] = json!({"worker": {}});
    assert_eq!(manifest(other).fleet_spec(), spec, "two ways to write the same");
    let mut other = fleet();
    other["skills"][0]["input"] = json!({"type": ["array", "object"]});
    assert_ne!(manifest(other).fleet_spec(), spec, "another contract is other work");
}

#[test]
fn who_stands_above_whom_is_checked() {
    let agent = |name: &str, layer: &str, above: &str| json!({"name": name, "layer": layer, "supervisor": above, "x": 0});
    let table = [
        (
            json!([agent("a", "board", "b"), agent("b", "board", "a")]),
            vec![("/agents/0/supervisor", "cycle"), ("/agents/1/supervisor", "cycle")],
        ),
        (json!([agent("a", "board", "a")]), vec![("/agents/0/supervisor", "cycle")]),
        (json!([agent("a", "board", "c")]), vec![("/agents/0/supervisor", "unknown_agent")]),
        (
            json!([{"name": "a", "layer": "board"}, agent("b", "board", "a"), agent("c", "cecca", "a")]),
            vec![
                ("/agents/1/supervisor", "layer_not_above"),
                ("/agents/2/supervisor", "layer_not_above"),
            ],
        ),
        (
            json!([{"name": "micro-00001", "layer": "board"}]),
            vec![("/agents/0/name", "invalid_name")],
        ),
        (
            json!([{"name": "a", "layer": "boss"}]),
            vec![
                ("/agents/0", "missing_field"),
                ("/agents/0", "missing_field"),
                ("/agents/0/layer", "invalid_value"),
            ],
        ),
        (
            json!([{"name": "a", "layer": "board", "skills": ["echo"]}]),
            vec![("/agents/0/skills", "layer_does_not_work")],
        ),
        (
            json!([{"name": "a", "behaviour": "native", "skills": []}]),
            vec![("/agents/0/skills", "out_of_range")],
        ),
    ];
    for (mut agents, want) in table {
        for agent in agents.as_array_mut().unwrap() {
            agent.as_object_mut().unwrap().remove("x");
        }
        wrong(json!({ "agents": agents }), &want);
    }
    let groups = json!([{"name": "g", "count": 2, "layer": "board"}]);
    let agents =
        json!([{"name": "g-00001", "layer": "board"}, {"name": "g-00002", "layer": "board"}]);
    wrong(json!({ "agents": agents, "groups": groups }), &[("/agents/0/name", "duplicate_name")]);
    let agents = json!([{"name": "g", "layer": "board"}]);
    wrong(json!({ "agents": agents, "groups": groups }), &[("/groups/0/name", "duplicate_name")]);
}

#[test]
fn skills_are_shared_by_remote_workers_and_nobody_else() {
    let worker =
        |name: &str, skill: Value| json!({"name": name, "skills": [skill], "behaviour": "worker"});
    let http = json!({"name": "h", "skills": ["a.b"], "behaviour": {"http": {"url": "https://a.example"}}});
    let shared =
        manifest(json!({"agents": [worker("a", json!("a.b")), worker("b", json!("a.b"))]}));
    assert_eq!(shared.fleet_spec().skills.len(), 1);
    wrong(
        json!({"agents": [worker("a", json!("a.b")), http]}),
        &[("/agents/1/skills/0", "duplicate_name")],
    );
    wrong(
        json!({"agents": [worker("a", json!("echo"))]}),
        &[("/agents/0/skills/0", "duplicate_name")],
    );
    let typed = json!({"name": "a.b", "input": {"type": "array"}});
    wrong(
        json!({"agents": [worker("a", json!("a.b")), worker("b", typed.clone())]}),
        &[("/agents/1/skills/0/name", "conflicting_fields")],
    );
    let native = json!({"name": "n", "skills": ["a.b"], "behaviour": "native"});
    wrong(json!({"agents": [native]}), &[("/agents/0/skills/0", "unknown_skill")]);
    let contracts = json!([{"name": "a.b", "effect": "read"}, {"name": "a.b"}, {"name": "echo"}]);
    wrong(
        json!({"skills": contracts, "agents": [http, worker("x", typed)]}),
        &[
            ("/agents/0/skills/0", "effect_above_contract"),
            ("/agents/1/skills/0/name", "conflicting_fields"),
            ("/agents/1/skills/0/name", "duplicate_name"),
            ("/skills/1/name", "duplicate_name"),
            ("/skills/2/name", "duplicate_name"),
        ],
    );
    wrong(
        json!({"skills": [{"name": "a.b", "preconditions": ["true"]}], "agents": []}),
        &[("/skills/0/preconditions", "unsupported_section")],
    );
}

#[test]
fn limits_and_schedules_name_what_is_there() {
    let mut value = fleet();
    value["limits"]["concurrency"] = json!({"skills": {"text.writ": 1, "text.write": 0}, "agents": {"editors": 1, "nobody": 1, "chief": "2"}, "keys": {}});
    value["schedules"] = json!([
        {"name": "a", "cron": "every day", "workflow": "news", "catch_up": "never", "deadline": "-3", "jitter": "5x", "budget": {"calls": -1}},
        {"name": "a", "cron": "* * * * *", "workflow": "old", "zone": "Mars City", "catch_up": "all", "overlap": 1},
        {"name": "b", "cron": "* * * * *", "workflow": "news", "catch_up": {"all": {"max": 0}}},
        {"name": "b", "cron": "* * * * *", "workflow": "news"},
    ]);
    wrong(
        value,
        &[
            ("/limits/concurrency/agents/chief", "wrong_type"),
            ("/limits/concurrency/agents/editors", "conflicting_fields"),
            ("/limits/concurrency/agents/nobody", "unknown_agent"),
            ("/limits/concurrency/keys", "unsupported_section"),
            ("/limits/concurrency/skills/text.writ", "unknown_skill"),
            ("/limits/concurrency/skills/text.write", "out_of_range"),
            ("/schedules/0/budget/calls", "out_of_range"),
            ("/schedules/0/catch_up", "invalid_value"),
            ("/schedules/0/cron", "invalid_value"),
            ("/schedules/0/deadline", "invalid_value"),
            ("/schedules/0/jitter", "invalid_value"),
            ("/schedules/1/catch_up", "invalid_value"),
            ("/schedules/1/name", "duplicate_name"),
            ("/schedules/1/overlap", "wrong_type"),
            ("/schedules/1/workflow", "unknown_workflow"),
            ("/schedules/1/zone", "invalid_value"),
            ("/schedules/2/catch_up/all/max", "out_of_range"),
            ("/schedules/3/name", "duplicate_name"),
        ],
    );
}

#[test]
fn there_is_room_for_so_many_agents() {
    let groups: Vec<Value> = (0..200)
        .map(|i| json!({"name": format!("g{i}"), "count": 1000, "skills": ["echo"], "behaviour": "native"}))
        .collect();
    let mut value = json!({ "groups": groups });
    let read = manifest(value.clone());
    assert!(over_capacity(&read, 0, 200_000).is_none());
    let finding = over_capacity(&read, 1, 200_000).unwrap();
    assert_eq!((finding.stage(), finding.code), (Stage::Capacity, "capacity_exceeded"));
    value["fleet"] = json!({"agents": 1});
    wrong(value, &[("", "capacity_exceeded")]);
    wrong(
        json!({"groups": [{"name": "g", "count": 1001, "skills": ["echo"], "behaviour": "native"}]}),
        &[("/groups/0/count", "out_of_range")],
    );
}

#[test]
fn a_difference_names_what_changes_in_the_order_of_layers() {
    let current = Declared::from(&manifest(fleet()));
    assert_eq!(difference(&current, &current), []);
    let mut value = fleet();
    value["fleet"] = Value::Null;
    value.as_object_mut().unwrap().remove("fleet");
    value["groups"][0]["count"] = json!(13);
    value["groups"][0]["concurrency"] = json!(2);
    value["limits"] = json!({});
    value["agents"] = json!([{"name": "top", "layer": "board"}, {"name": "chief", "layer": "stack-chief", "supervisor": "top"}]);
    value["workflows"][0]["version"] = json!(2);
    value["schedules"].as_array_mut().unwrap().remove(1);
    let wanted = Declared::from(&manifest(value));
    let changes = difference(&current, &wanted);
    let told: Vec<String> = changes
        .iter()
        .map(|change| {
            let fields: Vec<&str> = change.fields.iter().map(|it| it.field).collect();
            format!(
                "{:?} {} {:?} {}",
                change.becomes,
                change.subject.as_str(),
                change.name,
                fields.join(",")
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "Added agents \"top\" count,layer",
            "Changed agents \"chief\" supervisor",
            "Removed agents \"scanner\" count,layer,skills",
            "Changed agents \"writers\" count",
            "Removed skill \"echo\" effect",
            "Removed skill \"files.scan\" effect",
            "Changed skill \"text.write\" concurrency",
            "Changed workflow \"news\" version",
            "Removed schedule \"hourly\" catch_up,cron,input,overlap,paused,priority,workflow,zone",
        ]
    );
    assert_eq!(changes[3].fields[0].from.as_deref(), Some("12"));
    assert!(changes.iter().all(|it| (it.subject == Subject::Agents) == it.layer.is_some()));
    let mut grown = current.clone();
    grown.profile = Some(30);
    assert_eq!(difference(&current, &grown).len(), 1);
    let back = difference(&wanted, &current);
    assert_eq!(back.iter().filter(|it| it.subject != Subject::Profile).count(), changes.len());
}
