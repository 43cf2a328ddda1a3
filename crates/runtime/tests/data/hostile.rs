//! Whatever JSON comes, there is an answer or a typed failure.

use std::sync::Arc;

use ark_os_core::command::Prepared;
use ark_os_core::ids::TaskRef;
use ark_os_core::payload::{Bytes, Payload};
use ark_os_core::plan::{InputForm, MapSpec, Shape, Workflow};
use ark_os_core::run::TaskState;
use ark_os_runtime::data::{Condition, Schemas, gather, input_of, prepare};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixture::{Fixture, workflow};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,4}",
        "\\PC{0,8}",
        Just("${input}".to_owned()),
        Just("${tasks.a.output}".to_owned()),
        Just("${tasks.a.output[0].x}".to_owned()),
        Just("${tasks.a.error.code}${index}".to_owned()),
        Just("${tasks.m.outputs[1].a}".to_owned()),
        Just("x${item.a}y".to_owned()),
        Just("${item}".to_owned()),
        Just("${tasks.gone.output}".to_owned()),
        Just("$${x}${".to_owned()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 30, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[ax]|\\PC{0,3}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A plan whose every template is this one.
fn plan(template: &[u8]) -> Arc<Workflow> {
    let tasks = json!([{"name": "a"}, {"name": "m", "map": {"over": []}}, {"name": "t"}]);
    let mut plan = (*workflow(tasks, None)).clone();
    let bytes = Bytes(Arc::from(template));
    for spec in &mut plan.tasks {
        spec.input = bytes.clone();
        spec.input_form = InputForm::Template;
    }
    let over = bytes.clone();
    plan.tasks[1].shape =
        Shape::Map(MapSpec { over, parallel_max: 0, failures_max: 0, collect: true });
    plan.output = Some(bytes);
    plan.sealed()
}

/// Asks everything that can be asked; nothing may panic, and what succeeds is JSON.
fn ask(fixture: &Fixture) {
    let fixed = &fixture.payloads;
    for task in [TaskRef::node(2), TaskRef::child(1, 0), TaskRef::child(1, 9), TaskRef::node(9)] {
        if let Ok(input) = input_of(&fixture.run, task, fixed) {
            serde_json::from_slice::<serde::de::IgnoredAny>(&input.json).unwrap();
        }
    }
    for node in 0..4 {
        if let Prepared::List { count, list } = prepare(&fixture.run, node, fixed) {
            assert_eq!(fixed.list_len(&list), Ok(count));
        }
    }
    if let Ok(output) = gather(&fixture.run, fixed) {
        let output = fixed.load(&output).unwrap();
        serde_json::from_slice::<serde::de::IgnoredAny>(&output).unwrap();
    }
}

/// Every value inside this one with the path that leads to it.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    match value {
        Value::Array(list) => {
            for (ix, item) in list.iter().enumerate() {
                paths(item, &format!("{path}[{ix}]"), found);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                paths(item, &format!("{path}[{}]", Value::from(key.as_str())), found);
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn templates_and_inputs_never_panic(
        template in value(), input in value(), output in value(), items in prop::collection::vec(value(), 0..3),
    ) {
        let mut fixture = Fixture::of(plan(template.to_string().as_bytes()), input.to_string().as_bytes());
        fixture.done("a", &output);
        let list = fixture.payloads.save(json!(items).to_string().into_bytes()).unwrap();
        fixture.fan("m", list, &[Some(output), None]);
        ask(&fixture);
        fixture.state("m", TaskState::Succeeded);
        ask(&fixture);
    }

    #[test]
    fn a_part_cut_out_of_a_text_is_the_part_of_the_value(
        input in value(), shown in any::<bool>(), wrong in "(\\[[0-3]\\]|\\.[ax]){1,3}",
    ) {
        let spaced = if shown { serde_json::to_string_pretty(&input) } else { serde_json::to_string(&input) };
        let text = spaced.unwrap();
        // What is compared is what the text reads as, floats included.
        let input: Value = serde_json::from_str(&text).unwrap();
        let mut all = vec![wrong];
        paths(&input, "", &mut all);
        for path in all {
            let mut fixture = Fixture::of(plan(json!(format!("${{input{path}}}")).to_string().as_bytes()), text.as_bytes());
            let cut = input_of(&fixture.run, TaskRef::node(2), &fixture.payloads);
            fixture.run.workflow = plan(json!([format!("${{input{path}}}")]).to_string().as_bytes());
            let walked = input_of(&fixture.run, TaskRef::node(2), &fixture.payloads);
            prop_assert_eq!(cut.is_ok(), walked.is_ok(), "{}", path);
            if let (Ok(cut), Ok(walked)) = (cut, walked) {
                let cut: Value = serde_json::from_slice(&cut.json).unwrap();
                let cut = json!([cut]).to_string();
                prop_assert_eq!(cut.as_bytes(), &*walked.json, "{}", path);
            }
        }
    }

    #[test]
    fn texts_that_may_not_be_json_never_panic(
        template in prop::collection::vec(any::<u8>(), 0..40),
        input in "[\\[\\]{}\",:0-9a-z\\\\ -]{0,30}",
    ) {
        let mut fixture = Fixture::of(plan(&template), input.as_bytes());
        fixture.run.tasks[0].state = TaskState::Succeeded;
        fixture.run.tasks[0].output = Some(Payload::inline(input.as_bytes()));
        for template in [&b"\"${input.a[0]}\""[..], b"[\"${tasks.a.output}\"]", b"\"${input}\""] {
            let run = plan(template);
            fixture.run.workflow = run;
            let _ = input_of(&fixture.run, TaskRef::node(2), &fixture.payloads);
            let _ = prepare(&fixture.run, 1, &fixture.payloads);
            let _ = gather(&fixture.run, &fixture.payloads);
        }
    }

    #[test]
    fn conditions_never_panic(
        cel in "(input|tasks\\.a\\.output|x|1|'s'|\\[|\\]|\\(|\\)|\\.|a|==|\\+|&&|!|-|\\?|:|all|map|size|has|,| |\\{|\\}|%|in){0,14}",
        input in value(),
    ) {
        let mut fixture = Fixture::of(plan(b"1"), input.to_string().as_bytes());
        fixture.done("a", &input);
        if Condition::compile(&cel).is_ok() {
            let mut plan = (*fixture.run.workflow).clone();
            plan.tasks[2].when = Some(cel.into());
            fixture.run.workflow = plan.sealed();
            let _ = prepare(&fixture.run, 2, &fixture.payloads);
        }
    }

    #[test]
    fn schemas_never_panic(schema in value(), json in value()) {
        let _ = Schemas::new().validate(&schema.to_string(), json.to_string().as_bytes());
    }
}

#[test]
fn deep_json_is_a_failure_and_not_a_crash() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for template in
        ["\"${input}\"", "\"${input[0]}\"", "{\"a\":\"${input}\"}", "\"x${input}\"", &deep]
    {
        let mut fixture = Fixture::of(plan(template.as_bytes()), deep.as_bytes());
        let mut plan = (*fixture.run.workflow).clone();
        plan.tasks[2].when = Some("size(input) > 0".into());
        fixture.run.workflow = plan.sealed();
        ask(&fixture);
        let prepared = prepare(&fixture.run, 2, &fixture.payloads);
        assert!(matches!(prepared, Prepared::Failed(_)));
    }
}

#[test]
fn references_cannot_multiply_a_value_beyond_memory() {
    let template = json!(vec!["${input}"; 1_000]).to_string();
    let input = json!("x".repeat(1_000_000)).to_string();
    let fixture = Fixture::of(plan(template.as_bytes()), input.as_bytes());
    let failure = input_of(&fixture.run, TaskRef::node(2), &fixture.payloads).unwrap_err();
    assert_eq!(&*failure.code, "input_unresolved");
    assert!(failure.message.contains("bytes"), "{failure:?}");
}

#[test]
fn what_the_loop_and_its_workers_share_can_be_shared() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<ark_os_runtime::data::Payloads>();
    is_shared::<Schemas>();
    is_shared::<ark_os_runtime::data::Catalogue>();
}
