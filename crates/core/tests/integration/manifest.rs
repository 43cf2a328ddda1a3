//! Manifests: what is accepted, and every finding with its place.

use std::collections::BTreeSet;

use ark_os_core::manifest::{
    CODES, FINDINGS_MAX, Findings, Manifest, SkillCatalogue, SkillShape, parse, single_task,
};
use ark_os_core::plan::graph::topological_order;
use ark_os_core::plan::{EffectClass, InputForm, OnFailure, Retry, Shape, Workflow};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::template::any_json;

/// A few skills; conditions with `bad` in them and schemas with a `bad` keyword are refused.
pub(crate) struct Skills;

impl SkillCatalogue for Skills {
    fn skill(&self, name: &str) -> Option<SkillShape> {
        let (input, output) = match name {
            "echo" | "list.count" => (None, None),
            "files.scan" => (
                json!({"type": "object", "required": ["dir"], "additionalProperties": false,
                       "properties": {"dir": {"type": "string"}, "depth": {"type": "integer"},
                                      "mode": {"enum": ["fast", "full"]}}}),
                json!({"type": "object", "required": ["files"], "additionalProperties": false,
                       "properties": {"count": {"type": "integer"},
                                      "files": {"type": "array", "items": {"type": "object",
                                          "additionalProperties": false,
                                          "properties": {"path": {"type": "string"}}}}}}),
            )
                .into_some(),
            "text.upper" => (
                json!({"type": "object", "required": ["text"],
                       "properties": {"text": {"type": "string"}}}),
                json!({"type": "string"}),
            )
                .into_some(),
            _ => return None,
        };
        Some(SkillShape { class: EffectClass::Pure, input_schema: input, output_schema: output })
    }

    fn names(&self) -> Vec<String> {
        ["echo", "files.scan", "list.count", "text.upper"].map(str::to_owned).to_vec()
    }

    fn check_condition(&self, cel: &str) -> Result<(), String> {
        if cel.contains("bad") { Err("syntax".to_owned()) } else { Ok(()) }
    }

    fn check_schema(&self, schema: &Value) -> Result<(), String> {
        if schema.get("bad").is_some() { Err("keyword".to_owned()) } else { Ok(()) }
    }
}

trait IntoSome {
    fn into_some(self) -> (Option<Value>, Option<Value>);
}

impl IntoSome for (Value, Value) {
    fn into_some(self) -> (Option<Value>, Option<Value>) {
        (Some(self.0), Some(self.1))
    }
}

fn with_tasks(tasks: Value) -> Value {
    let mut manifest = json!({"workflows": [{"name": "w"}]});
    manifest["workflows"][0]["tasks"] = tasks;
    manifest
}

fn workflow(manifest: &Value) -> Workflow {
    let manifest = parse(manifest, &Skills).unwrap_or_else(|findings| panic!("{findings}"));
    Workflow::clone(&manifest.workflows[0])
}

fn places(result: Result<Manifest, Findings>) -> Vec<(String, &'static str)> {
    let findings = result.expect_err("something is wrong");
    findings.as_slice().iter().map(|f| (f.pointer.clone(), f.code)).collect()
}

/// Compares all findings of a list of tasks; places are relative to `/workflows/0/tasks`.
fn check(tasks: Value, want: &[(&str, &str)]) {
    let manifest = with_tasks(tasks);
    let got = places(parse(&manifest, &Skills));
    let want: Vec<(String, &str)> =
        want.iter().map(|(at, code)| (format!("/workflows/0/tasks{at}"), *code)).collect();
    assert_eq!(got, want, "{manifest}");
    for (at, _) in got {
        assert!(manifest.pointer(&at).is_some(), "{at}");
    }
}

fn audit() -> Value {
    json!({"workflows": [{
        "name": "audit.tree", "version": "1.2", "description": "audits a tree",
        "input": {"type": "object", "additionalProperties": false,
                  "properties": {"path": {"type": "string"}, "deep": {"type": "boolean"}}},
        "tasks": [
            {"name": "scan", "skill": "files.scan", "input": {"dir": "${input.path}", "mode": "full"},
             "timeout": "10m", "deadline": "1h", "on_failure": "fallback: rescan"},
            {"name": "rescan", "skill": "files.scan", "input": {"dir": "${input.path}"}},
            {"name": "each", "skill": "text.upper", "when": "input.deep && tasks.scan.output.count > 0",
             "map": {"over": "${tasks.scan.output.files}", "parallel": 8, "max_failures": 2},
             "input": {"text": "${index}: ${item.path}"},
             "retry": {"attempts": 5, "backoff": "1s", "max": "1m"},
             "budget": {"tokens": 10, "cost": "0.50usd", "cpu": "2s", "bytes": 4, "calls": 5, "steps": 6}},
            {"name": "count", "skill": "list.count", "reduce": "each", "on_failure": "continue",
             "output_schema": {"type": "integer"}},
            {"name": "report", "skill": "echo", "after": ["count"],
             "input": {"n": "${tasks.count.output}", "files": "${tasks.scan.output}"}},
        ],
        "output": {"report": "${tasks.report.output}", "of": "${input.path}"},
    }]})
}

#[test]
fn a_whole_workflow_is_read_as_written() {
    let got = workflow(&audit());
    assert_eq!((&*got.name, &*got.version), ("audit.tree", "1.2"));
    let task = |name: &str| &got.tasks[got.node(name).unwrap() as usize];
    let scan = task("scan");
    assert_eq!((scan.timeout_ms, scan.deadline_ms), (Some(600_000), Some(3_600_000)));
    assert_eq!(scan.on_failure, OnFailure::Fallback(1));
    assert_eq!((scan.needs.as_slice(), scan.feeds.as_slice()), (&[][..], &[2, 4][..]));
    let rescan = task("rescan");
    assert!(rescan.is_fallback && rescan.needs.is_empty() && rescan.feeds.is_empty());
    let each = task("each");
    assert_eq!(each.needs, [0]);
    assert_eq!(each.retry, Retry { attempts: 5, backoff_ms: 1_000, backoff_ms_max: 60_000 });
    assert_eq!(
        (each.budget.cost_micros, each.budget.cpu_ms, each.budget.steps),
        (500_000, 2_000, 6)
    );
    let Shape::Map(map) = &each.shape else { panic!("a map") };
    assert_eq!((map.parallel_max, map.failures_max, map.collect), (8, 2, false));
    assert_eq!(&*map.over.0, br#""${tasks.scan.output.files}""#);
    assert_eq!(task("count").shape, Shape::Reduce(2));
    assert_eq!(task("count").on_failure, OnFailure::Continue);
    assert_eq!(task("report").needs, [0, 3]);
    assert_eq!(task("report").input_form, InputForm::Template);
}

#[test]
fn workflows_survive_their_encoding() {
    let made = workflow(&audit());
    let text = minicbor::to_vec(&made).unwrap();
    let read: Workflow = minicbor::decode(&text).unwrap();
    assert_eq!(read, made);
    assert_eq!(read.sealed().hash, made.hash);
    let mut other = audit();
    other["workflows"][0]["tasks"][0]["timeout"] = json!("11m");
    assert_ne!(workflow(&other).hash, made.hash);
}

#[test]
fn unwritten_inputs_are_null_or_the_item() {
    let got = workflow(&with_tasks(json!([
        {"name": "a", "skill": "echo"},
        {"name": "b", "skill": "echo", "map": {"over": [1, 2]}},
        {"name": "c", "skill": "echo", "input": {"k": "$${x}"}},
    ])));
    let inputs: Vec<&[u8]> = got.tasks.iter().map(|task| &*task.input.0).collect();
    assert_eq!(inputs, [&b"null"[..], br#""${item}""#, br#"{"k":"${x}"}"#]);
    assert_eq!(got.tasks[2].input_form, InputForm::Literal);
}

#[test]
fn sections_and_fields_must_be_known() {
    let manifest = json!({"workflow": [], "models": [], "workflows": [{"name": "w", "inputs": {}, "tasks": [
        {"name": "a", "skill": "echo", "afer": []}]}]});
    let findings = parse(&manifest, &Skills).unwrap_err();
    let got: Vec<_> = findings
        .as_slice()
        .iter()
        .map(|f| (f.pointer.as_str(), f.code, f.hint.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(
        got,
        [
            ("/models", "unsupported_section", ""),
            ("/workflow", "unknown_field", "did you mean `workflows`?"),
            ("/workflows/0/inputs", "unknown_field", "did you mean `input`?"),
            ("/workflows/0/tasks/0/afer", "unknown_field", "did you mean `after`?"),
        ]
    );
    for (manifest, at, code) in [
        (json!(null), "", "wrong_type"),
        (json!({}), "", "missing_field"),
        (json!({"workflows": []}), "/workflows", "out_of_range"),
        (json!({"workflows": [{"name": "w", "tasks": []}]}), "/workflows/0/tasks", "out_of_range"),
    ] {
        assert_eq!(places(parse(&manifest, &Skills)), [(at.to_owned(), code)]);
    }
}

#[test]
fn fields_are_checked_one_by_one() {
    let table = [
        (json!({"description": 1}), "/description", "wrong_type"),
        (json!({"timeout": "0s"}), "/timeout", "out_of_range"),
        (json!({"timeout": 30}), "/timeout", "invalid_value"),
        (json!({"deadline": "1x"}), "/deadline", "invalid_value"),
        (json!({"retry": {"attempts": 0}}), "/retry/attempts", "out_of_range"),
        (json!({"retry": {"attempts": 12}}), "/retry/attempts", "out_of_range"),
        (json!({"retry": {"attempts": 1.5}}), "/retry/attempts", "out_of_range"),
        (json!({"retry": {"backoff": "2s", "max": "1s"}}), "/retry/max", "out_of_range"),
        (json!({"retry": 3}), "/retry", "wrong_type"),
        (json!({"budget": {"cost": "1eur"}}), "/budget/cost", "invalid_value"),
        (
            json!({"budget": {"cost": "1usd", "cost_micros": 1}}),
            "/budget/cost_micros",
            "conflicting_fields",
        ),
        (json!({"budget": {"tokens": -1}}), "/budget/tokens", "out_of_range"),
        (json!({"when": ""}), "/when", "invalid_condition"),
        (json!({"when": "bad"}), "/when", "invalid_condition"),
        (json!({"when": "x".repeat(2_001)}), "/when", "too_long"),
        (json!({"output_schema": {"bad": 1}}), "/output_schema", "invalid_schema"),
        (json!({"output_schema": 3}), "/output_schema", "wrong_type"),
        (json!({"on_failure": "stop"}), "/on_failure", "invalid_value"),
        (json!({"on_failure": {"fall": "a"}}), "/on_failure", "missing_field"),
        (json!({"on_failure": "fallback: x"}), "/on_failure", "unknown_task"),
        (json!({"on_failure": {"fallback": "x"}}), "/on_failure/fallback", "unknown_task"),
        (json!({"map": {}}), "/map", "missing_field"),
        (json!({"map": {"over": "x ${input}"}}), "/map/over", "type_mismatch"),
        (json!({"map": {"over": {"a": 1}}}), "/map/over", "type_mismatch"),
        (json!({"map": {"over": "${item}"}}), "/map/over", "no_item"),
        (json!({"map": {"over": [], "parallel": 0}}), "/map/parallel", "out_of_range"),
        (json!({"map": {"over": [], "collect": 1}}), "/map/collect", "wrong_type"),
        (json!({"map": {"over": vec![0; 10_001]}}), "/map/over", "out_of_range"),
        (json!({"map": {"over": []}, "reduce": "t"}), "/reduce", "conflicting_fields"),
        (json!({"input": "${item}"}), "/input", "no_item"),
        (json!({"input": ["${what}"]}), "/input/0", "invalid_template"),
        (json!({"input": "x".repeat(300_000)}), "/input", "too_long"),
        (json!({"after": "x"}), "/after", "wrong_type"),
        (json!({"after": ["u.x"]}), "/after/0", "invalid_name"),
        (json!({"after": ["x"]}), "/after/0", "unknown_task"),
        (json!({"after": ["t"]}), "/after/0", "self_dependency"),
        (json!({"when": "tasks.x.output == 1"}), "/when", "unknown_task"),
        (json!({"input": "${tasks.t.output}"}), "/input", "self_dependency"),
        (json!({"input": "${tasks.x.output}"}), "/input", "unknown_task"),
    ];
    for (fields, at, code) in table {
        let mut task = json!({"name": "t", "skill": "echo"});
        for (key, value) in fields.as_object().unwrap() {
            task[key] = value.clone();
        }
        let findings = places(parse(&with_tasks(json!([task])), &Skills));
        let want = (format!("/workflows/0/tasks/0{at}"), code);
        assert!(findings.contains(&want), "{fields}: {findings:?}");
        // A misspelt field is one more; nothing else may follow from one fault.
        assert!(findings.len() == 1 || fields.to_string().contains("fall\""), "{findings:?}");
    }
}

#[test]
fn names_are_checked() {
    let task = |name: Value| json!({"name": name, "skill": "echo"});
    check(
        json!([task(json!("a")), task(json!("a")), task(json!("a.b")), task(json!("")), task(json!(1)),
               task(json!("x".repeat(101))), {"skill": "echo"}, {"name": "s"}, {"name": "u", "skill": "ecko"}, 5]),
        &[
            ("/1/name", "duplicate_name"),
            ("/2/name", "invalid_name"),
            ("/3/name", "invalid_name"),
            ("/4/name", "wrong_type"),
            ("/5/name", "invalid_name"),
            ("/6", "missing_field"),
            ("/7", "missing_field"),
            ("/8/skill", "unknown_skill"),
            ("/9", "wrong_type"),
        ],
    );
    let twice = json!({"name": "w", "tasks": [{"name": "a", "skill": "echo"}]});
    let manifest = json!({"workflows": [twice, twice]});
    assert_eq!(
        places(parse(&manifest, &Skills)),
        [("/workflows/1/name".to_owned(), "duplicate_name")]
    );
    let findings =
        parse(&with_tasks(json!([{"name": "u", "skill": "file.scan"}])), &Skills).unwrap_err();
    assert_eq!(findings.as_slice()[0].hint.as_deref(), Some("did you mean `files.scan`?"));
}

#[test]
fn cycles_are_named_with_their_path() {
    let manifest = with_tasks(json!([
        {"name": "a", "skill": "echo", "input": "${tasks.c.output}"},
        {"name": "b", "skill": "echo", "after": ["a"]},
        {"name": "c", "skill": "echo", "when": "tasks.b.output == 1"},
        {"name": "d", "skill": "echo", "after": ["e", "a"]},
        {"name": "e", "skill": "echo", "after": ["d"]},
    ]));
    let findings = parse(&manifest, &Skills).unwrap_err();
    let got: Vec<_> =
        findings.as_slice().iter().map(|f| (f.pointer.as_str(), f.message.as_str())).collect();
    assert_eq!(
        got,
        [
            ("/workflows/0/tasks/0", "tasks wait for each other: `a` → `c` → `b` → `a`"),
            ("/workflows/0/tasks/3", "tasks wait for each other: `d` → `e` → `d`"),
        ]
    );
}

#[test]
fn maps_and_reduces_fit_together() {
    let map = json!({"name": "m", "skill": "echo", "map": {"over": [1]}});
    let kept = json!({"name": "k", "skill": "echo", "map": {"over": [1], "collect": true}});
    check(
        json!([map, kept,
            {"name": "a", "skill": "echo", "reduce": "b"},
            {"name": "b", "skill": "echo", "input": "${tasks.m.outputs}"},
            {"name": "c", "skill": "echo", "reduce": "m", "input": "${tasks.m.outputs}"},
            {"name": "d", "skill": "echo", "input": ["${tasks.k.outputs[0]}", "${tasks.b.outputs}"]},
            {"name": "e", "skill": "echo", "reduce": "nobody"},
        ]),
        &[
            ("/2/reduce", "not_a_map"),
            ("/3/input", "not_collected"),
            ("/5/input/1", "not_a_map"),
            ("/6/reduce", "unknown_task"),
        ],
    );
}

#[test]
fn fallbacks_can_always_start() {
    let echo = |name: &str| json!({"name": name, "skill": "echo"});
    let falls = |name: &str, to: &str| json!({"name": name, "skill": "echo", "on_failure": {"fallback": to}});
    let after = |name: &str, after: &str| json!({"name": name, "skill": "echo", "after": [after]});
    check(json!([falls("a", "a")]), &[("/0/on_failure/fallback", "invalid_fallback")]);
    check(
        json!([falls("a", "f"), falls("b", "f"), echo("f")]),
        &[("/1/on_failure/fallback", "invalid_fallback")],
    );
    check(
        json!([falls("a", "f"), echo("f"), after("x", "f")]),
        &[("/2/after/0", "depends_on_fallback")],
    );
    check(json!([falls("a", "b"), falls("b", "a")]), &[("/0", "cycle")]);
    check(
        json!([falls("a", "m"), {"name": "m", "skill": "echo", "map": {"over": []}}]),
        &[("/0/on_failure/fallback", "invalid_fallback")],
    );
    check(
        json!([falls("a", "f"), after("f", "x"), echo("x")]),
        &[("/1/after/0", "invalid_fallback")],
    );
    let mut task = falls("a", "f");
    task["after"] = json!(["f"]);
    check(json!([task, echo("f")]), &[("/0/after/0", "depends_on_fallback")]);
    check(
        json!([{"name": "m", "skill": "echo", "map": {"over": []}, "on_failure": "fallback: f"}, echo("f"),
               {"name": "r", "skill": "echo", "reduce": "m"}]),
        &[("/2/reduce", "invalid_fallback")],
    );
    // A chain of fallbacks that look at what went wrong, and at what was over long before.
    let mut a = falls("a", "f");
    a["after"] = json!(["y"]);
    let mut f = falls("f", "g");
    f["input"] = json!("${tasks.a.error.message} ${tasks.x.output}");
    let g =
        json!({"name": "g", "skill": "echo", "input": ["${tasks.a.error}", "${tasks.f.error}"]});
    let got = workflow(&with_tasks(json!([a, f, g, echo("x"), after("y", "x"), after("z", "a")])));
    assert_eq!(got.tasks[0].needs, [4]);
    assert_eq!(got.tasks[0].feeds, [5]);
    assert_eq!(got.tasks[1].needs, [3]);
    assert!(got.tasks[2].needs.is_empty() && got.tasks[2].is_fallback);
    assert_eq!(got.tasks[1].on_failure, OnFailure::Fallback(2));
}

#[test]
fn literal_inputs_are_checked_against_the_skill() {
    let scan = |input: Value| json!({"name": "s", "skill": "files.scan", "input": input});
    check(json!([{"name": "s", "skill": "files.scan"}]), &[("/0", "missing_input")]);
    check(json!([scan(json!({}))]), &[("/0/input", "missing_input")]);
    check(json!([scan(json!("x"))]), &[("/0/input", "type_mismatch")]);
    check(json!([scan(json!({"dir": 1}))]), &[("/0/input/dir", "type_mismatch")]);
    check(json!([scan(json!({"dir": "x", "depth": 1.5}))]), &[("/0/input/depth", "type_mismatch")]);
    check(
        json!([scan(json!({"dir": "x", "depth": "${index}"}))]),
        &[("/0/input/depth", "no_item")],
    );
    check(json!([scan(json!({"dir": "x", "mode": "slow"}))]), &[("/0/input/mode", "not_in_enum")]);
    check(
        json!([scan(json!({"dir": "${input}", "mod": 1}))]),
        &[("/0/input/mod", "unknown_property")],
    );
    check(json!([scan(json!({"dir": ["${input}"]}))]), &[("/0/input/dir", "type_mismatch")]);
    check(
        json!([scan(json!({"dir": "x", "depth": "${input.d} deep"}))]),
        &[("/0/input/depth", "type_mismatch")],
    );
    let fine = [
        json!({"dir": "${input}"}),
        json!({"dir": "x${input.y}", "depth": 1.0, "mode": "${input.m}"}),
        json!("${input}"),
    ];
    for input in fine {
        workflow(&with_tasks(json!([scan(input)])));
    }
}

#[test]
fn references_are_checked_against_what_is_promised() {
    let scan = json!({"name": "s", "skill": "files.scan", "input": {"dir": "x"}});
    let upper = |text: &str| json!({"name": "u", "skill": "text.upper", "input": {"text": text}});
    check(json!([scan, upper("${tasks.s.output.count}")]), &[("/1/input/text", "type_mismatch")]);
    check(
        json!([scan, upper("${tasks.s.output.counts}")]),
        &[("/1/input/text", "unknown_property")],
    );
    check(
        json!([scan, upper("${tasks.s.output.files[0].size} b")]),
        &[("/1/input/text", "unknown_property")],
    );
    check(
        json!([scan, upper("${tasks.s.output.count.x}")]),
        &[("/1/input/text", "unknown_property")],
    );
    check(json!([scan, upper("${tasks.s.output[0]}")]), &[("/1/input/text", "unknown_property")]);
    check(
        json!([scan, {"name": "m", "skill": "echo", "map": {"over": "${tasks.s.output.count}"}}]),
        &[("/1/map/over", "type_mismatch")],
    );
    // A map's children get the item, of which the schema of the list tells the type.
    let listed = json!({"name": "l", "skill": "echo", "input": 1, "output_schema":
        {"type": "array", "items": {"type": "string"}}});
    check(
        json!([listed, {"name": "m", "skill": "text.upper", "map": {"over": "${tasks.l.output}"}}]),
        &[("/1", "type_mismatch")],
    );
    // A task that may leave `null` behind does so wherever `null` is welcome; never a text.
    let mut skipped = scan.clone();
    skipped["when"] = json!("input.x");
    check(json!([skipped, upper("${tasks.s.output}")]), &[("/1/input/text", "type_mismatch")]);
    workflow(&with_tasks(json!([scan, upper("${tasks.s.output.files[0].path}")])));
}

#[test]
fn the_run_input_is_what_its_schema_says() {
    let mut manifest = audit();
    manifest["workflows"][0]["output"] =
        json!(["${input.paht}", "${tasks.rescan.output}", "${tasks.no.output}", "${item}"]);
    manifest["workflows"][0]["tasks"][0]["input"]["dir"] = json!("${input.deep}");
    let base = "/workflows/0";
    assert_eq!(
        places(parse(&manifest, &Skills)),
        [
            (format!("{base}/output/0"), "unknown_property"),
            (format!("{base}/output/1"), "depends_on_fallback"),
            (format!("{base}/output/2"), "unknown_task"),
            (format!("{base}/output/3"), "no_item"),
            (format!("{base}/tasks/0/input/dir"), "type_mismatch"),
        ]
    );
}

#[test]
fn findings_are_capped_and_the_rest_is_counted() {
    let tasks: Vec<Value> =
        (0..1_000).map(|i| json!({"name": format!("t{i}"), "skill": "none", "x": 1})).collect();
    let findings = parse(&with_tasks(json!(tasks)), &Skills).unwrap_err();
    assert_eq!(findings.as_slice().len(), FINDINGS_MAX);
    assert_eq!(findings.more(), 2_000 - FINDINGS_MAX);
    assert_eq!(findings.as_slice()[0].pointer, "/workflows/0/tasks/0/skill");
    assert_eq!(findings.as_slice()[99].pointer, "/workflows/0/tasks/49/x");
    assert!(findings.to_string().ends_with("and 1900 more"));
}

#[test]
fn plans_are_limited_in_tasks_edges_bytes_and_depth() {
    let echo = |i: usize| json!({"name": format!("t{i}"), "skill": "echo"});
    let many: Vec<Value> = (0..1_001).map(echo).collect();
    check(json!(many), &[("", "out_of_range")]);
    let dense: Vec<Value> = (0..300)
        .map(|i| {
            let mut task = echo(i);
            task["after"] = (0..i).map(|j| json!(format!("t{j}"))).collect();
            task
        })
        .collect();
    check(json!(dense), &[("/200/after/100", "out_of_range")]);
    let large: Vec<Value> = (0..10)
        .map(|i| {
            let mut task = echo(i);
            task["input"] = json!("x".repeat(200_000));
            task
        })
        .collect();
    assert_eq!(
        places(parse(&with_tasks(json!(large)), &Skills)),
        [("/workflows/0".to_owned(), "too_long")]
    );
    let deep = (0..200).fold(json!(1), |value, _| json!([value]));
    let manifest = with_tasks(json!([{"name": "a", "skill": "echo", "input": deep}]));
    let found = places(parse(&manifest, &Skills));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1, "too_deep");
    assert!(manifest.pointer(&found[0].0).is_some());
}

#[test]
fn a_single_task_takes_its_options() {
    let plain = single_task("echo", &Value::Null, &Skills).unwrap();
    assert_eq!(*plain, *Workflow::single("echo").sealed());
    let options = json!({"timeout": "5s", "deadline": "1m", "retry": {"attempts": 1},
                         "budget": {"calls": 2}, "output_schema": {"type": "object"}});
    let made = single_task("echo", &options, &Skills).unwrap();
    let task = &made.tasks[0];
    assert_eq!(
        (task.timeout_ms, task.deadline_ms, task.retry.attempts),
        (Some(5_000), Some(60_000), 1)
    );
    assert_eq!(
        (task.budget.calls, task.output_schema.as_deref()),
        (2, Some(r#"{"type":"object"}"#))
    );
    assert_eq!(task.input_form, InputForm::RunInput);
    assert_ne!(made.hash, plain.hash);
    let findings = single_task("eco", &json!({"timeout": 5, "input": 1}), &Skills).unwrap_err();
    let got: Vec<_> = findings.as_slice().iter().map(|f| (f.pointer.as_str(), f.code)).collect();
    assert_eq!(
        got,
        [("/input", "unknown_field"), ("/skill", "unknown_skill"), ("/timeout", "invalid_value")]
    );
}

/// Objects that look like tasks, right more often than not, so that every check is reached.
fn task_like() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["a", "b", "c", "d", "e", "f"]);
    let reference = prop::sample::select(vec![
        "${input}",
        "${input.x} y",
        "${tasks.a.output}",
        "${tasks.b.output.count}",
        "${tasks.c.outputs[0]}",
        "${tasks.d.error.code}",
        "${item}",
        "${index}",
        "$${x}",
        "${",
    ]);
    let field = prop_oneof![
        4 => reference.clone().prop_map(|text| ("input", json!({"dir": text}))),
        2 => reference.clone().prop_map(|text| ("input", json!([text, 1]))),
        4 => prop::collection::vec(name.clone(), 0..3).prop_map(|names| ("after", json!(names))),
        1 => name.clone().prop_map(|name| ("reduce", json!(name))),
        2 => (reference, any::<bool>()).prop_map(|(over, collect)| ("map", json!({"over": over, "collect": collect}))),
        2 => name.clone().prop_map(|name| ("on_failure", json!({"fallback": name}))),
        1 => Just(("on_failure", json!("continue"))),
        1 => name.clone().prop_map(|name| ("when", json!(format!("tasks.{name}.output == 1")))),
        1 => any_json("[a-c]{1,3}").prop_map(|value| ("input", value)),
        1 => (prop::sample::select(vec!["timeout", "retry", "budget", "map", "x~/y", "output_schema", "after"]),
              any_json("(tokens|cost|a/b|~|over|attempts)")),
    ];
    let skill =
        prop::sample::select(vec!["echo", "echo", "echo", "files.scan", "text.upper", "nope"]);
    (name, skill, prop::collection::vec(field, 0..3)).prop_map(|(name, skill, fields)| {
        let mut task = json!({"name": name, "skill": skill});
        for (key, value) in fields {
            task[key] = value;
        }
        task
    })
}

fn assert_lawful(manifest: &Value) -> Result<(), TestCaseError> {
    match parse(manifest, &Skills) {
        Ok(read) => {
            for workflow in &read.workflows {
                for (node, task) in (0u32..).zip(&workflow.tasks) {
                    for need in &task.needs {
                        prop_assert!(workflow.tasks[*need as usize].feeds.contains(&node));
                        prop_assert!(!workflow.tasks[*need as usize].is_fallback);
                    }
                    for fed in &task.feeds {
                        prop_assert!(workflow.tasks[*fed as usize].needs.contains(&node));
                    }
                    prop_assert!(task.needs.is_sorted() && task.feeds.is_sorted());
                }
                prop_assert!(topological_order(&**workflow).is_some());
                let text = minicbor::to_vec(&**workflow).unwrap();
                let back: Workflow = minicbor::decode(&text).unwrap();
                prop_assert_eq!(&back, &**workflow);
            }
        }
        Err(findings) => {
            prop_assert!(!findings.as_slice().is_empty());
            for finding in findings.as_slice() {
                prop_assert!(manifest.pointer(&finding.pointer).is_some(), "{:?}", finding);
                prop_assert!(CODES.contains(&finding.code));
            }
        }
    }
    Ok(())
}

/// How one task says that it needs another.
#[derive(Clone, Copy, Debug)]
enum Tie {
    After,
    Input,
    Error,
    Condition,
}

fn tie() -> impl Strategy<Value = Tie> {
    prop::sample::select(vec![Tie::After, Tie::Input, Tie::Error, Tie::Condition])
}

fn tie_up(task: &mut Value, needed: &str, tie: Tie) {
    match tie {
        Tie::After => task["after"].as_array_mut().unwrap().push(json!(needed)),
        Tie::Input | Tie::Error => {
            let part = if matches!(tie, Tie::Input) { "output" } else { "error" };
            let text = format!("see ${{tasks.{needed}.{part}}}");
            task["input"].as_array_mut().unwrap().push(json!(text));
        }
        Tie::Condition => {
            let so_far = task["when"].as_str().unwrap_or("true");
            task["when"] = json!(format!("{so_far} && tasks[\"{needed}\"].output == 1"));
        }
    }
}

/// Up to 20 tasks in any order of the document, tied without a cycle, and what needs what.
fn plan() -> impl Strategy<Value = (Vec<Value>, BTreeSet<(u32, u32)>)> {
    (1usize..20).prop_flat_map(|nodes| {
        let places = Just((0..nodes).collect::<Vec<_>>()).prop_shuffle();
        let ties = prop::collection::vec((0..nodes, 0..nodes, tie()), 0..60);
        (places, ties).prop_map(move |(places, ties)| {
            let mut tasks: Vec<Value> = (0..nodes)
                .map(|i| json!({"name": format!("t-{i}"), "skill": "echo", "after": [], "input": []}))
                .collect();
            let mut edges = BTreeSet::new();
            for (a, b, tie) in ties.into_iter().filter(|(a, b, _)| a != b) {
                let (node, needed) = (places[a.max(b)], places[a.min(b)]);
                tie_up(&mut tasks[node], &format!("t-{needed}"), tie);
                edges.insert((node as u32, needed as u32));
            }
            (tasks, edges)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_json_gives_findings_at_places_that_exist(
        value in any_json("(workflows|tasks|name|skill|input|map|after|[~/é]|w){0,2}")
    ) {
        assert_lawful(&value)?;
        assert_lawful(&json!({"workflows": value}))?;
        assert_lawful(&json!({"workflows": [{"name": "w", "tasks": value}]}))?;
    }

    #[test]
    fn manifests_give_lawful_plans_or_findings(tasks in prop::collection::vec(task_like(), 0..6)) {
        assert_lawful(&with_tasks(json!(tasks)))?;
    }

    #[test]
    fn plans_without_cycles_are_read_with_just_the_ties_they_name((tasks, edges) in plan()) {
        let manifest = with_tasks(json!(tasks));
        assert_lawful(&manifest)?;
        let got = workflow(&manifest);
        let needs: BTreeSet<(u32, u32)> = (0u32..)
            .zip(&got.tasks)
            .flat_map(|(node, task)| task.needs.iter().map(move |need| (node, *need)))
            .collect();
        prop_assert_eq!(needs, edges);
    }

    #[test]
    fn one_tie_back_is_one_cycle(
        (mut tasks, edges) in plan(), pick in any::<prop::sample::Index>(), tie in tie()
    ) {
        prop_assume!(!edges.is_empty());
        let (node, needed) = *edges.iter().nth(pick.index(edges.len())).unwrap();
        tie_up(&mut tasks[needed as usize], &format!("t-{node}"), tie);
        let found = places(parse(&with_tasks(json!(tasks)), &Skills));
        prop_assert!(found.iter().all(|(_, code)| *code == "cycle"), "{:?}", found);
    }

    #[test]
    fn single_tasks_take_any_options(options in any_json("(timeout|retry|budget|1s|5){0,1}")) {
        if let Err(findings) = single_task("echo", &options, &Skills) {
            for finding in findings.as_slice() {
                prop_assert!(options.pointer(&finding.pointer).is_some(), "{:?}", finding);
            }
        }
    }
}

#[test]
fn every_code_is_listed_once_and_sorted() {
    assert!(CODES.windows(2).all(|pair| pair[0] < pair[1]), "{CODES:?}");
}
