//! Data from task to task: inputs, lists of maps, outputs of runs.

use std::sync::atomic::Ordering;

use ark_os_core::command::Prepared;
use ark_os_core::hash::Hash;
use ark_os_core::ids::TaskRef;
use ark_os_core::limits::{INLINE_BYTES_MAX, MAP_CHILDREN_MAX};
use ark_os_core::payload::Payload;
use ark_os_core::run::TaskState;
use ark_os_runtime::data::{gather, input_of, items_of, prepare};
use serde_json::{Value, json};

use super::fixture::{Fixture, workflow};

fn input(fixture: &Fixture, task: TaskRef) -> Result<Value, (String, String)> {
    let input = input_of(&fixture.run, task, &fixture.payloads)
        .map_err(|failure| (failure.code.to_string(), failure.message.to_string()))?;
    assert_eq!(input.hash, Hash::of(&input.json));
    Ok(serde_json::from_slice(&input.json).unwrap())
}

fn output(fixture: &Fixture) -> Value {
    let output = gather(&fixture.run, &fixture.payloads).unwrap();
    serde_json::from_slice(&fixture.payloads.load(&output).unwrap()).unwrap()
}

#[test]
fn literals_and_the_run_input_are_passed_on_as_they_are() {
    let tasks = json!([
        {"name": "literal", "input": {"a": [1, "$${x}"]}},
        {"name": "whole", "input": "${input}"},
    ]);
    let text = b" {\"z\": 1.50,\n\"a\": 2} ";
    let fixture = Fixture::of(workflow(tasks, None), text);
    assert_eq!(input(&fixture, fixture.task("literal")), Ok(json!({"a": [1, "${x}"]})));
    let whole = input_of(&fixture.run, fixture.task("whole"), &fixture.payloads).unwrap();
    assert_eq!(&*whole.json, text);
    let Payload::Inline(bytes) = &fixture.run.input else { panic!("it is small") };
    assert_eq!(bytes.0.as_ptr(), whole.json.as_ptr(), "shared, not copied");
}

#[test]
fn references_see_outputs_fallbacks_and_nulls() {
    let tasks = json!([
        {"name": "a"},
        {"name": "skipped", "when": "input.yes"},
        {"name": "lax", "on_failure": "continue"},
        {"name": "primary", "on_failure": "fallback: spare"},
        {"name": "spare", "input": "${tasks.primary.error.code}"},
        {"name": "z", "input": {
            "a": "${tasks.a.output.x[1]}", "text": "n=${tasks.a.output.x[0]}", "in": "${input.k}",
            "skipped": "${tasks.skipped.output.deep}", "lax": "${tasks.lax.output}",
            "code": "${tasks.lax.error.code}", "none": "${tasks.a.error}",
            "primary": "${tasks.primary.output.s}",
        }},
        {"name": "whole", "input": "${tasks.a.output}"},
        {"name": "part", "input": "${tasks.a.output.x}"},
        {"name": "bad", "input": {"p": ["${tasks.a.output.y}"]}},
        {"name": "bare", "input": "${input.no}"},
    ]);
    let mut fixture = Fixture::new(tasks, &json!({"k": "v", "yes": false}));
    fixture.done("a", &json!({"x": [7, {"y": true}]}));
    fixture.state("skipped", TaskState::Skipped);
    fixture.failed("lax", "sad");
    fixture.failed("primary", "broken");
    assert_eq!(input(&fixture, fixture.task("spare")), Ok(json!("broken")));
    fixture.done("spare", &json!({"s": "spare"}));
    let want = json!({"a": {"y": true}, "text": "n=7", "in": "v", "skipped": null, "lax": null,
        "code": "sad", "none": null, "primary": "spare"});
    assert_eq!(input(&fixture, fixture.task("z")), Ok(want));
    assert_eq!(input(&fixture, fixture.task("whole")), Ok(json!({"x": [7, {"y": true}]})));
    assert_eq!(input(&fixture, fixture.task("part")), Ok(json!([7, {"y": true}])));
    let (code, message) = input(&fixture, fixture.task("bad")).unwrap_err();
    assert_eq!(code, "input_unresolved");
    assert!(message.contains("input of task `bad` at `/p/0`"), "{message}");
    assert!(message.contains("tasks.a.output.y"), "{message}");
    let (_, message) = input(&fixture, fixture.task("bare")).unwrap_err();
    assert!(message.contains("`input.no`"), "{message}");
}

#[test]
fn a_map_goes_over_a_list_and_each_child_gets_its_item() {
    let tasks = json!([
        {"name": "list"},
        {"name": "plain", "map": {"over": "${tasks.list.output.items}"}},
        {"name": "mixed", "map": {"over": "${tasks.list.output.items}", "collect": true},
            "input": {"n": "${index}", "it": "${item.v}", "all": "${input}"}},
        {"name": "sum", "reduce": "plain"},
        {"name": "after", "input": {"count": "${tasks.plain.output.count}",
            "all": "${tasks.mixed.output}", "first": "${tasks.mixed.outputs[1].x}"}},
    ]);
    let mut fixture = Fixture::new(tasks, &json!("in"));
    fixture.done("list", &json!({"items": [{"v": 1}, {"v": [2]}, {"v": null}]}));
    for name in ["plain", "mixed"] {
        let prepared = prepare(&fixture.run, fixture.node(name), &fixture.payloads);
        let Prepared::List { count: 3, list } = prepared else { panic!("{prepared:?}") };
        fixture.fan(name, list, &[Some(json!({"x": 0})), None, Some(json!({"x": 2}))]);
    }
    let (plain, mixed) = (fixture.node("plain"), fixture.node("mixed"));
    assert_eq!(input(&fixture, TaskRef::child(plain, 1)), Ok(json!({"v": [2]})));
    let want = json!({"n": 2, "it": null, "all": "in"});
    assert_eq!(input(&fixture, TaskRef::child(mixed, 2)), Ok(want));
    assert_eq!(input(&fixture, TaskRef::child(mixed, 3)).unwrap_err().0, "input_unresolved");
    fixture.done("plain", &json!({"count": 3}));
    fixture.done("mixed", &json!({"count": 3}));
    let want = json!({"count": 3, "all": [{"x": 0}, null, {"x": 2}], "first": null});
    assert_eq!(input(&fixture, fixture.task("after")), Ok(want));
    let items = items_of(&fixture.run, fixture.node("sum"));
    let items: Vec<_> = items.iter().map(|it| fixture.payloads.load(it).unwrap()).collect();
    assert_eq!(items, [&b"{\"x\":0}"[..], b"{\"x\":2}"].map(|it| it.into()));
    assert!(items_of(&fixture.run, fixture.node("list")).is_empty());
}

#[test]
fn a_large_list_becomes_one_blob_that_is_read_once() {
    let tasks = json!([{"name": "m", "map": {"over": "${input.items}"}}]);
    let items: Vec<_> = (0..MAP_CHILDREN_MAX).map(|n| json!({"number": n})).collect();
    let mut fixture = Fixture::new(tasks, &json!({"items": items}));
    let prepared = prepare(&fixture.run, 0, &fixture.payloads);
    let Prepared::List { count: MAP_CHILDREN_MAX, list } = prepared else { panic!() };
    assert!(matches!(list, Payload::Blob { .. }));
    let loads = fixture.blobs.loads.load(Ordering::Relaxed);
    fixture.fan("m", list, &[]);
    for child in 0..MAP_CHILDREN_MAX {
        assert_eq!(input(&fixture, TaskRef::child(0, child)), Ok(json!({"number": child})));
    }
    assert_eq!(fixture.blobs.loads.load(Ordering::Relaxed), loads);
}

#[test]
fn a_list_that_is_the_run_input_itself_is_not_stored_twice() {
    let tasks = json!([{"name": "m", "map": {"over": "${input}"}}]);
    let text = json!(vec!["x".repeat(100); 1_000]).to_string();
    let fixture = Fixture::of(workflow(tasks, None), text.as_bytes());
    assert!(text.len() > INLINE_BYTES_MAX);
    let prepared = prepare(&fixture.run, 0, &fixture.payloads);
    let Prepared::List { count: 1_000, list } = prepared else { panic!("{prepared:?}") };
    assert_eq!((list, fixture.blobs.len()), (fixture.run.input.clone(), 1));
}

#[test]
fn what_is_no_list_fails_the_preparation() {
    let tasks = json!([
        {"name": "m", "map": {"over": "${input.x}"}},
        {"name": "e", "map": {"over": []}},
    ]);
    let long = vec![0; MAP_CHILDREN_MAX as usize + 1];
    for (x, want) in [
        (json!({"x": 1}), "list_unresolved"),
        (json!({"x": {"0": 1}}), "list_unresolved"),
        (json!({}), "list_unresolved"),
        (json!({"x": long}), "map_too_large"),
    ] {
        let fixture = Fixture::new(tasks.clone(), &x);
        let Prepared::Failed(failure) = prepare(&fixture.run, 0, &fixture.payloads) else {
            panic!()
        };
        assert_eq!((&*failure.code, failure.retryable), (want, false), "{failure:?}");
        assert!(failure.message.contains("list of map `m`"), "{failure:?}");
        let empty = prepare(&fixture.run, 1, &fixture.payloads);
        assert!(matches!(empty, Prepared::List { count: 0, .. }));
    }
}

#[test]
fn the_condition_comes_before_the_list() {
    let tasks = json!([{"name": "m", "when": "has(input.x)", "map": {"over": "${input.x}"}}]);
    let fixture = Fixture::new(tasks.clone(), &json!({}));
    assert!(matches!(prepare(&fixture.run, 0, &fixture.payloads), Prepared::Skip));
    let fixture = Fixture::new(tasks, &json!({"x": [1]}));
    assert!(matches!(prepare(&fixture.run, 0, &fixture.payloads), Prepared::List { count: 1, .. }));
}

#[test]
fn a_run_gives_its_only_sink_its_sinks_or_what_it_says() {
    let two = json!([{"name": "a"}, {"name": "b \"q\"".replace(' ', "-").replace('"', "")}]);
    let mut fixture =
        Fixture::new(json!([{"name": "a"}, {"name": "b", "after": ["a"]}]), &json!(0));
    fixture.done("a", &json!(1));
    fixture.done("b", &json!({"x": 2}));
    assert_eq!(output(&fixture), json!({"x": 2}));

    let mut fixture = Fixture::new(two.clone(), &json!(0));
    fixture.done("a", &json!(1));
    fixture.state("b-q", TaskState::Skipped);
    assert_eq!(output(&fixture), json!({"a": 1, "b-q": null}));

    let says = json!({"from": "${tasks.a.output}", "in": "${input}"});
    let mut fixture = Fixture::of(workflow(two, Some(says)), b"\"i\"");
    fixture.done("a", &json!([1]));
    assert_eq!(output(&fixture), json!({"from": [1], "in": "i"}));
}

#[test]
fn a_sink_that_failed_gives_its_fallback_or_null() {
    let tasks = json!([{"name": "p", "on_failure": "fallback: s"}, {"name": "s"}]);
    let mut fixture = Fixture::new(tasks, &json!(0));
    fixture.failed("p", "x");
    fixture.done("s", &json!("spare"));
    assert_eq!(output(&fixture), json!("spare"));
    let mut fixture = Fixture::new(json!([{"name": "c", "on_failure": "continue"}]), &json!(0));
    fixture.failed("c", "x");
    assert_eq!(output(&fixture), Value::Null);
}

#[test]
fn a_lost_blob_is_said_so() {
    let tasks = json!([{"name": "a", "input": "${input}"}]);
    let mut fixture = Fixture::new(tasks, &json!(0));
    fixture.run.input = Payload::Blob { hash: Hash::of(b"lost"), len: 20_000 };
    let (code, message) = input(&fixture, fixture.task("a")).unwrap_err();
    assert_eq!(code, "payload_lost", "{message}");
    fixture.run.input = Payload::Blob { hash: Hash::of(b"lost"), len: u64::MAX };
    assert_eq!(input(&fixture, fixture.task("a")).unwrap_err().0, "payload_too_large");
}
