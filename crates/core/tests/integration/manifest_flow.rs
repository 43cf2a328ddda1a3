//! Waits, child runs and added tasks as manifests say them, and every finding with its place.

use ark_os_core::manifest::{children_of, not_run_by_others, parse, parse_added};
use ark_os_core::plan::{Shape, WaitOn, Workflow};
use serde_json::{Value, json};

use crate::manifest::Skills;

fn first(manifest: &Value) -> Workflow {
    let manifest = parse(manifest, &Skills).unwrap_or_else(|findings| panic!("{findings}"));
    Workflow::clone(&manifest.workflows[0])
}

fn tasks(tasks: &Value) -> Value {
    json!({"workflows": [{"name": "w", "tasks": tasks}]})
}

/// Pointer and code of every finding.
fn places(manifest: &Value) -> Vec<(String, &'static str)> {
    let findings = parse(manifest, &Skills).expect_err("something is wrong");
    findings.as_slice().iter().map(|it| (it.pointer.clone(), it.code)).collect()
}

#[test]
fn waits_are_read_as_written() {
    let workflow = first(&tasks(&json!([
        {"name": "a", "skill": "echo"},
        {"name": "f", "wait": {"for": "90s"}},
        {"name": "u", "wait": {"until": "${tasks.a.output.at}"}},
        {"name": "s", "wait": {"signal": "go.on", "timeout": "30d", "on_timeout": "continue"},
         "output_schema": {"type": "object"}, "on_failure": "continue", "when": "input.go"},
    ])));
    let shapes: Vec<_> = workflow.tasks.iter().map(|it| it.wait().cloned()).collect();
    assert!(shapes[0].is_none() && workflow.tasks[1..].iter().all(|it| !it.is_work()));
    assert_eq!(shapes[1].as_ref().unwrap().on, WaitOn::For(90_000));
    assert_eq!(workflow.tasks[2].needs, [0], "a reference is a dependency");
    let signal = shapes[3].as_ref().unwrap();
    assert_eq!(signal.on, WaitOn::Signal("go.on".into()));
    assert_eq!((signal.timeout_ms, signal.goes_on), (Some(30 * 86_400_000), true));
    assert_eq!(workflow.waits_for("go.on").count(), 1);
    let back: Workflow = minicbor::decode(&minicbor::to_vec(&workflow).unwrap()).unwrap();
    assert_eq!(back, workflow);
}

#[test]
fn what_is_wrong_with_a_wait_is_told_at_its_place() {
    let table = [
        (json!({}), "/wait", "conflicting_fields"),
        (json!({"for": "1s", "signal": "x"}), "/wait", "conflicting_fields"),
        (json!({"for": 5}), "/wait/for", "invalid_value"),
        (json!({"for": "1s", "timeout": "1s"}), "/wait/timeout", "conflicting_fields"),
        (json!({"until": "tomorrow"}), "/wait/until", "invalid_value"),
        (json!({"until": "${tasks.no.output}"}), "/wait/until", "unknown_task"),
        (json!({"signal": "a b"}), "/wait/signal", "invalid_name"),
        (json!({"signal": "x", "timeout": "0s"}), "/wait/timeout", "out_of_range"),
        (
            json!({"signal": "x", "on_timeout": "continue"}),
            "/wait/on_timeout",
            "conflicting_fields",
        ),
        (
            json!({"signal": "x", "timeout": "1s", "on_timeout": "no"}),
            "/wait/on_timeout",
            "invalid_value",
        ),
        (json!({"singal": "x"}), "/wait/singal", "unknown_field"),
        (json!("1s"), "/wait", "wrong_type"),
    ];
    for (wait, at, code) in table {
        let found = places(&tasks(&json!([{"name": "w", "wait": wait}])));
        let at = format!("/workflows/0/tasks/0{at}");
        assert!(found.contains(&(at.clone(), code)), "{wait}: {found:?} has no {code} at {at}");
    }
    for field in ["skill", "input", "retry", "timeout", "budget", "map", "reduce", "deadline"] {
        let mut task = json!({"name": "w", "wait": {"for": "1s"}});
        task[field] = json!("1s");
        let found = places(&tasks(&json!([task])));
        let at = format!("/workflows/0/tasks/0/{field}");
        assert!(found.contains(&(at, "conflicting_fields")), "{field}: {found:?}");
    }
}

#[test]
fn waits_for_one_signal_expect_the_same() {
    let wait = |schema: Value| json!({"signal": "x"}).as_object().map(|it| (it.clone(), schema));
    let (signal, _) = wait(json!(null)).unwrap();
    let two = |schema: Value| {
        tasks(&json!([
            {"name": "a", "wait": signal, "output_schema": {"type": "object"}},
            {"name": "b", "wait": signal, "output_schema": schema},
        ]))
    };
    assert!(parse(&two(json!({"type": "object"})), &Skills).is_ok());
    let found = places(&two(json!({"type": "string"})));
    assert_eq!(found, [("/workflows/0/tasks/1".to_owned(), "conflicting_fields")]);
}

/// `outer` runs `inner`, twice, and stands before it.
fn family(inner_input: &Value) -> Value {
    json!({"workflows": [
        {"name": "outer", "tasks": [
            {"name": "a", "run": {"workflow": "inner", "input": {"n": 1}, "on_parent_cancel": "detach"},
             "budget": {"tokens": 5}, "deadline": "1h"},
            {"name": "b", "after": ["a"], "run": {"workflow": "inner", "input": {"n": "${input.n}"}}}]},
        {"name": "inner", "input": inner_input, "tasks": [{"name": "t", "skill": "echo"}]},
    ]})
}

#[test]
fn a_child_is_a_part_of_its_parents_plan() {
    let manifest = family(&json!({"type": "object", "required": ["n", "m"],
        "properties": {"n": {"type": "integer"}, "m": {"type": "integer", "default": 1}}}));
    let read = parse(&manifest, &Skills).unwrap();
    let (outer, inner) = (&read.workflows[0], &read.workflows[1]);
    let child = outer.tasks[0].child().unwrap();
    assert_eq!((&*child.name, child.hash, child.is_detached), ("inner", inner.hash, true));
    assert_eq!(child.workflow().unwrap(), *inner);
    assert!(!outer.tasks[1].child().unwrap().is_detached);
    assert_eq!(not_run_by_others(&read.workflows), std::slice::from_ref(outer));
    assert_eq!(children_of(&manifest["workflows"][0]), ["inner", "inner"]);
    let mut other = manifest;
    other["workflows"][1]["tasks"][0]["input"] = json!(7);
    assert_ne!(first(&other).hash, outer.hash, "another child is another version of the parent");
}

#[test]
fn what_is_wrong_with_a_child_is_told_at_its_place() {
    let strict =
        json!({"type": "object", "required": ["m"], "properties": {"m": {"type": "integer"}}});
    let found = places(&family(&strict));
    let input = "/workflows/0/tasks/0/run/input".to_owned();
    assert!(found.contains(&(input, "missing_input")), "{found:?}");
    let run = |value: Value| {
        let mut manifest = family(&json!(true));
        manifest["workflows"][0]["tasks"][1]["run"] = value;
        places(&manifest)
    };
    let at = |below: &str| format!("/workflows/0/tasks/1/run{below}");
    let table = [
        (json!({"workflow": "iner"}), "/workflow", "unknown_workflow"),
        (json!({"workflow": "outer"}), "/workflow", "cycle"),
        (json!({"workflow": "inner", "version": "9"}), "/workflow", "cycle"),
        (
            json!({"workflow": "inner", "on_parent_cancel": "x"}),
            "/on_parent_cancel",
            "invalid_value",
        ),
        (json!({"input": 1}), "", "missing_field"),
        (json!("inner"), "", "wrong_type"),
    ];
    for (value, below, code) in table {
        let found = run(value.clone());
        assert!(found.contains(&(at(below), code)), "{value}: {found:?}");
    }
    let mut deep = vec![json!({"name": "w0", "tasks": [{"name": "t", "skill": "echo"}]})];
    for i in 1..8 {
        let below = format!("w{}", i - 1);
        deep.push(
            json!({"name": format!("w{i}"), "tasks": [{"name": "t", "run": {"workflow": below}}]}),
        );
    }
    let found = places(&json!({"workflows": deep}));
    assert_eq!(found[0].1, "out_of_range", "{found:?}");
    let mutual = json!({"workflows": [
        {"name": "a", "tasks": [{"name": "t", "run": {"workflow": "b"}}]},
        {"name": "b", "tasks": [{"name": "t", "run": {"workflow": "a"}}]}]});
    assert!(places(&mutual).iter().any(|(_, code)| *code == "cycle"));
}

#[test]
fn added_tasks_come_in_an_order_and_need_only_what_is_over_or_with_them() {
    let plan = first(&tasks(&json!([
        {"name": "before", "skill": "echo"},
        {"name": "adder", "skill": "echo", "after": ["before"], "expands": true},
        {"name": "beside", "skill": "echo"},
        {"name": "behind", "skill": "echo", "after": ["adder"]},
    ])));
    let add = |list: Value| parse_added(&list, &plan, 1, &Skills);
    let added = add(json!([
        {"name": "late", "skill": "echo", "after": ["early"], "input": "${tasks.before.output}"},
        {"name": "early", "skill": "echo", "input": "${tasks.adder.output}"},
        {"name": "each", "skill": "echo", "map": {"over": "${tasks.early.output}"}},
        {"name": "sum", "skill": "list.count", "reduce": "each"},
    ]))
    .unwrap();
    let shown: Vec<_> = added.iter().map(|it| (&*it.name, it.needs.clone())).collect();
    assert_eq!(shown[0], ("early", vec![1]));
    assert!(shown.iter().zip(4u32..).all(|((_, needs), node)| needs.iter().all(|it| *it < node)));
    let whole = plan.extended(1, &added);
    assert_eq!(whole.tasks[3].needs, [1, 4, 5, 6, 7], "whoever is behind waits for all of it");
    let sum = whole.tasks.iter().find(|it| &*it.name == "sum").unwrap();
    assert_eq!(sum.shape, Shape::Reduce(whole.node("each").unwrap()));
    assert!(whole.tasks[4..].iter().all(|it| it.added_by == Some(1)));
    for (list, code) in [
        (json!([{"name": "x", "skill": "echo", "after": ["beside"]}]), "unknown_task"),
        (json!([{"name": "x", "skill": "echo", "after": ["behind"]}]), "unknown_task"),
        (json!([{"name": "behind", "skill": "echo"}]), "duplicate_name"),
        (json!([{"name": "x", "skill": "ecko"}]), "unknown_skill"),
        (json!([{"name": "x", "run": {"workflow": "w"}}]), "unknown_workflow"),
        (
            json!([{"name": "x", "skill": "echo", "on_failure": {"fallback": "beside"}}]),
            "conflicting_fields",
        ),
        (json!({"name": "x"}), "wrong_type"),
        (
            json!([{"name": "x", "skill": "echo", "after": ["y"]}, {"name": "y", "skill": "echo", "after": ["x"]}]),
            "cycle",
        ),
    ] {
        let findings = add(list.clone()).expect_err("something is wrong");
        assert!(findings.as_slice().iter().any(|it| it.code == code), "{list}: {findings}");
    }
}
