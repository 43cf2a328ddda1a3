//! The `agents` of a manifest: what is accepted, and every finding with its place.
#![allow(clippy::needless_pass_by_value, reason = "documents are written where they are read")]

use ark_os_core::agent::{AgentSpec, Behaviour, CommandSpec, HttpSpec, SecretRef};
use ark_os_core::manifest::{Manifest, parse};
use ark_os_core::plan::EffectClass;
use serde_json::{Value, json};

use crate::manifest::Skills;

fn manifest(agents: Value) -> Manifest {
    let manifest = json!({ "agents": agents });
    parse(&manifest, &Skills).unwrap_or_else(|findings| panic!("{findings}"))
}

fn agent(behaviour: Value) -> AgentSpec {
    let agents = json!([{"name": "a", "skills": ["a.b"], "behaviour": behaviour}]);
    manifest(agents).agents.remove(0)
}

fn command(command: Value) -> CommandSpec {
    match agent(json!({ "command": command })).behaviour {
        Behaviour::Command(command) => *command,
        other => panic!("{other:?}"),
    }
}

fn http(http: Value) -> HttpSpec {
    match agent(json!({ "http": http })).behaviour {
        Behaviour::Http(http) => *http,
        other => panic!("{other:?}"),
    }
}

/// The places of all findings, relative to the first agent.
fn findings(agent: Value) -> Vec<(String, &'static str)> {
    let manifest = json!({ "agents": [agent] });
    let findings = parse(&manifest, &Skills).expect_err("something is wrong");
    let places = findings.as_slice().iter().map(|it| {
        assert!(manifest.pointer(&it.pointer).is_some(), "{}", it.pointer);
        (it.pointer.trim_start_matches("/agents/0").to_owned(), it.code)
    });
    places.collect()
}

fn wrong(behaviour: Value, want: &[(&str, &str)]) {
    let got = findings(json!({"name": "a", "skills": ["a.b"], "behaviour": behaviour}));
    let got: Vec<(&str, &str)> = got.iter().map(|(at, code)| (at.as_str(), *code)).collect();
    let want: Vec<(String, &str)> =
        want.iter().map(|(at, code)| (format!("/behaviour{at}"), *code)).collect();
    let want: Vec<(&str, &str)> = want.iter().map(|(at, code)| (at.as_str(), *code)).collect();
    assert_eq!(got, want, "{behaviour}");
}

#[test]
fn a_command_is_read_as_written() {
    let read = command(json!({
        "argv": ["/usr/bin/python3", "/work/wc.py"], "profile": "strict",
        "limits": {"memory": "256MiB", "wall_time": "30s", "cpu_milli": 250, "stdout": 1000},
        "mounts": [{"source": ".", "target": "/work", "access": "read"}],
        "env": {"LANG": "C"}, "effect": "idempotent", "exit": {"retryable": [75, 1]},
    }));
    assert_eq!(read.argv, ["/usr/bin/python3", "/work/wc.py"]);
    assert_eq!((&*read.profile, read.effect), ("strict", EffectClass::Idempotent));
    assert_eq!((read.limits.memory, read.limits.wall_time_ms), (Some(256 << 20), Some(30_000)));
    assert_eq!((read.limits.cpu_milli, read.limits.stdout), (Some(250), Some(1_000)));
    assert!(!read.mounts[0].is_writable && read.mounts[0].target == "/work");
    assert_eq!((read.env["LANG"].as_str(), read.retryable_exits.len()), ("C", 2));
}

#[test]
fn what_a_command_may_do_follows_from_what_it_can_write() {
    let mount = |access: &str| json!([{"source": "d", "target": "/d", "access": access}]);
    let table = [
        (json!({"argv": ["/bin/true"]}), EffectClass::Read),
        (json!({"argv": ["/bin/true"], "mounts": mount("read")}), EffectClass::Read),
        (json!({"argv": ["/bin/true"], "mounts": mount("write")}), EffectClass::Effectful),
        (
            json!({"argv": ["/bin/true"], "mounts": mount("write"), "effect": "idempotent"}),
            EffectClass::Idempotent,
        ),
        (
            json!({"argv": ["/bin/true"], "mounts": mount("write"), "effect": "probed",
                   "probe": {"argv": ["/bin/false"]}}),
            EffectClass::Probed,
        ),
    ];
    for (value, effect) in table {
        assert_eq!(command(value.clone()).effect, effect, "{value}");
    }
}

#[test]
fn a_service_is_read_as_written_and_effectful_where_nothing_is_said() {
    let read = http(json!({"url": "https://example.org/notify"}));
    assert_eq!((read.effect, read.timeout_ms), (EffectClass::Effectful, 30_000));
    assert!(!read.allows_private && read.response_bytes_max == 1 << 20);
    assert_eq!(Vec::from_iter(&read.retry_statuses), [&429, &503], "a gateway's 502 says nothing");
    let read = http(json!({
        "url": "https://example.org/notify", "effect": "probed", "timeout": "10s",
        "response_bytes_max": "2MiB", "retry_statuses": [503], "headers": {"X": "y"},
        "secret_headers": {"Authorization": "env:NOTIFY_TOKEN", "X-Key": "file:/run/key"},
        "ca_file": "/etc/ca.pem", "allow_private": true,
        "probe": {"url": "https://example.org/notify/{key}"},
    }));
    assert_eq!((read.effect, read.timeout_ms), (EffectClass::Probed, 10_000));
    assert_eq!(read.secret_headers["Authorization"], SecretRef::Env("NOTIFY_TOKEN".into()));
    assert_eq!(read.secret_headers["X-Key"], SecretRef::File("/run/key".into()));
    assert_eq!(read.probe.unwrap().settle_after_ms, 10_000, "a call takes no longer");
    let read = http(json!({"url": "http://[::1]:80/x", "effect": "idempotent",
                           "secret_headers": {"A": "env:B"}}));
    assert_eq!(read.retry_statuses.len(), 4);
}

#[test]
fn workflows_may_use_the_skills_of_their_own_manifest() {
    let agents = json!([{
        "name": "counter", "concurrency": 8,
        "skills": [{"name": "text.count", "input": {"type": "object", "required": ["text"],
                    "properties": {"text": {"type": "string"}}}}],
        "behaviour": {"command": {"argv": ["/usr/bin/wc"]}},
    }]);
    let task = |input: Value| json!([{"name": "t", "skill": "text.count", "input": input}]);
    let whole = |input: Value| json!({"workflows": [{"name": "w", "tasks": task(input)}], "agents": agents});
    let read = parse(&whole(json!({"text": "x"})), &Skills).unwrap();
    assert_eq!((read.workflows.len(), read.agents[0].concurrency), (1, Some(8)));
    let findings = parse(&whole(json!({"text": 5})), &Skills).unwrap_err();
    assert_eq!(findings.as_slice()[0].pointer, "/workflows/0/tasks/0/input/text");
    let near = json!({"workflows": [{"name": "w", "tasks": [{"name": "t", "skill": "text.cuont"}]}],
                      "agents": agents});
    let findings = parse(&near, &Skills).unwrap_err();
    assert_eq!(findings.as_slice()[0].hint.as_deref(), Some("did you mean `text.count`?"));
}

#[test]
fn skills_have_one_owner_and_agents_a_name_of_their_own() {
    let agent = |name: &str, skill: &str| {
        json!({"name": name, "skills": [skill],
               "behaviour": {"command": {"argv": ["/bin/true"]}}})
    };
    let of = |agents: Value| {
        let findings = parse(&json!({ "agents": agents }), &Skills).unwrap_err();
        let places = findings.as_slice().iter().map(|it| (it.pointer.clone(), it.code));
        places.collect::<Vec<_>>()
    };
    let duplicate = |at: &str| (at.to_owned(), "duplicate_name");
    assert_eq!(of(json!([agent("a", "echo")])), [duplicate("/agents/0/skills/0")]);
    assert_eq!(of(json!([agent("a", "x"), agent("b", "x")])), [duplicate("/agents/1/skills/0")]);
    assert_eq!(of(json!([agent("a", "x"), agent("a", "y")])), [duplicate("/agents/1/name")]);
}

#[test]
fn every_fault_of_an_agent_has_its_place() {
    let found = findings(json!({"name": "a b", "skill": "x", "concurrency": 0}));
    let found: Vec<_> = found.iter().map(|(at, code)| (at.as_str(), *code)).collect();
    assert_eq!(
        found,
        [
            ("", "missing_field"),
            ("", "missing_field"),
            ("/concurrency", "out_of_range"),
            ("/name", "invalid_name"),
            ("/skill", "unknown_field"),
        ]
    );
    wrong(json!({}), &[("", "missing_field")]);
    wrong(json!({"llm": {}}), &[("/llm", "unsupported_section")]);
    let both = json!({"command": {"argv": ["/bin/true"]}, "http": {"url": "https://x"}});
    wrong(both, &[("/http", "conflicting_fields")]);
}

#[test]
fn every_fault_of_a_command_has_its_place() {
    let table: [(Value, &[(&str, &str)]); 9] = [
        (json!({"argv": []}), &[("/argv", "out_of_range")]),
        (json!({"argv": ["python3"]}), &[("/argv/0", "invalid_value")]),
        (json!({"argv": ["/bin/a\0"]}), &[("/argv/0", "invalid_value")]),
        (
            json!({"argv": ["/b"], "effect": "pure", "shell": true}),
            &[("/effect", "invalid_value"), ("/shell", "unknown_field")],
        ),
        (json!({"argv": ["/b"], "effect": "probed"}), &[("", "missing_field")]),
        (json!({"argv": ["/b"], "probe": {"argv": ["/b"]}}), &[("/probe", "conflicting_fields")]),
        (
            json!({"argv": ["/b"], "limits": {"memory": "256MB", "wall_time": "9000h", "disk": 1}}),
            &[
                ("/limits/disk", "unknown_field"),
                ("/limits/memory", "invalid_value"),
                ("/limits/wall_time", "out_of_range"),
            ],
        ),
        (
            json!({"argv": ["/b"], "env": {"ARK_OS_RUN": "x", "1A": "x", "A": 1},
                   "exit": {"retryable": [0]}}),
            &[
                ("/env/1A", "invalid_value"),
                ("/env/A", "wrong_type"),
                ("/env/ARK_OS_RUN", "invalid_value"),
                ("/exit/retryable", "out_of_range"),
            ],
        ),
        (
            json!({"argv": ["/b"], "workdir": "work",
                   "mounts": [{"source": "", "target": "/a/../b", "access": "rw"}]}),
            &[
                ("/mounts/0/access", "invalid_value"),
                ("/mounts/0/source", "invalid_value"),
                ("/mounts/0/target", "invalid_value"),
                ("/workdir", "invalid_value"),
            ],
        ),
    ];
    for (command, want) in table {
        let want: Vec<(String, &str)> =
            want.iter().map(|(at, code)| (format!("/command{at}"), *code)).collect();
        let want: Vec<(&str, &str)> = want.iter().map(|(at, code)| (at.as_str(), *code)).collect();
        wrong(json!({ "command": command }), &want);
    }
}

#[test]
fn every_fault_of_a_service_has_its_place() {
    let url = "https://example.org/x";
    let table: [(Value, &[(&str, &str)]); 10] = [
        (json!({}), &[("", "missing_field")]),
        (json!({"url": "ftp://example.org"}), &[("/url", "invalid_value")]),
        (json!({"url": "https://user:pw@example.org/"}), &[("/url", "invalid_value")]),
        (json!({"url": "https:///x"}), &[("/url", "invalid_value")]),
        (json!({"url": "https://example.org/#a"}), &[("/url", "invalid_value")]),
        (json!({"url": url, "retry_statuses": [200]}), &[("/retry_statuses", "out_of_range")]),
        (
            json!({"url": url, "headers": {"Idempotency-Key": "x", "a b": "x", "c": "\n"}}),
            &[
                ("/headers/Idempotency-Key", "invalid_value"),
                ("/headers/a b", "invalid_value"),
                ("/headers/c", "invalid_value"),
            ],
        ),
        (
            json!({"url": url, "secret_headers": {"Authorization": "Bearer abc"}}),
            &[("/secret_headers/Authorization", "invalid_value")],
        ),
        (
            json!({"url": "http://example.org/x", "secret_headers": {"A": "env:B"}}),
            &[("/secret_headers", "conflicting_fields")],
        ),
        (
            json!({"url": url, "effect": "probed", "probe": {"url": url}}),
            &[("/probe/url", "invalid_value")],
        ),
    ];
    for (http, want) in table {
        let want: Vec<(String, &str)> =
            want.iter().map(|(at, code)| (format!("/http{at}"), *code)).collect();
        let want: Vec<(&str, &str)> = want.iter().map(|(at, code)| (at.as_str(), *code)).collect();
        wrong(json!({ "http": http }), &want);
    }
}
