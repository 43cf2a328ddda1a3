//! Templates: what they accept, what they refer to and what becomes of them.

use std::borrow::Cow;

use ark_os_core::error::Kind;
use ark_os_core::manifest::{
    RESOLVED_DEPTH_MAX, Root, Scope, TEMPLATE_DEPTH_MAX, TEMPLATE_REFERENCES_MAX, Template,
};
use ark_os_core::plan::InputForm;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A run whose input and task `a` are given; `skipped` has no output, `map` has three children of
/// which the second failed.
struct Run {
    input: Value,
    a: Value,
}

impl Scope for Run {
    fn value(&self, root: &Root) -> Option<Cow<'_, Value>> {
        match root {
            Root::Input => Some(Cow::Borrowed(&self.input)),
            Root::Output(task) if &**task == "a" => Some(Cow::Borrowed(&self.a)),
            Root::Output(task) if &**task == "owned" => Some(Cow::Owned(self.a.clone())),
            Root::Output(task) if &**task == "skipped" => Some(Cow::Owned(Value::Null)),
            Root::Error(task) if &**task == "a" => Some(Cow::Owned(Value::Null)),
            Root::Outputs(task) if &**task == "map" => {
                Some(Cow::Owned(json!([{"n": 1}, null, {"n": 3}])))
            }
            Root::Item => Some(Cow::Owned(json!({"path": "x/y"}))),
            Root::Index => Some(Cow::Owned(json!(7))),
            _ => None,
        }
    }
}

fn run() -> Run {
    Run {
        input: json!({"a": {"b": [10, 20]}, "odd key}": "odd", "n": 1.50, "big": u64::MAX, "t": "é", "z": null}),
        a: json!({"files": ["f", {"deep": true}]}),
    }
}

fn resolve(template: &Value) -> Result<Value, (String, String)> {
    let template = Template::parse(template).expect("a template");
    template.resolve(&run()).map_err(|e| (e.pointer().to_owned(), e.to_string()))
}

#[test]
fn references_become_values_and_texts() {
    let table = [
        (json!("${input.a.b}"), json!([10, 20])),
        (json!("${ input.a.b[1] }"), json!(20)),
        (json!("${input[\"odd key}\"]}"), json!("odd")),
        (json!("${tasks.a.output.files[1].deep}"), json!(true)),
        (json!("${tasks.owned.output.files[0]}"), json!("f")),
        (
            json!("n=${input.n} b=${input.a.b} t=${input.t} z=${input.z}"),
            json!("n=1.5 b=[10,20] t=é z=null"),
        ),
        (
            json!({"k": ["${item.path}", "${index}"], "plain": 1}),
            json!({"k": ["x/y", 7], "plain": 1}),
        ),
        (json!({"${input.t}": "${input.t}"}), json!({"${input.t}": "é"})),
        (json!("$${input}"), json!("${input}")),
        (json!("$$${input.t} $ $$ ${input.t}$"), json!("$${input.t} $ $$ é$")),
        (json!("${input.big}"), json!(u64::MAX)),
        (json!(null), json!(null)),
        (json!(""), json!("")),
    ];
    for (template, want) in table {
        assert_eq!(resolve(&template), Ok(want), "{template}");
    }
}

#[test]
fn null_outputs_of_tasks_give_null_all_the_way() {
    for (template, want) in [
        (json!("${tasks.skipped.output}"), json!(null)),
        (json!("${tasks.skipped.output.a.b[3]}"), json!(null)),
        (json!("${tasks.a.error.code}"), json!(null)),
        (json!("${tasks.map.outputs[1].n}"), json!(null)),
        (json!("${tasks.map.outputs[2].n}"), json!(3)),
        (json!("x${tasks.skipped.output.a}"), json!("xnull")),
    ] {
        assert_eq!(resolve(&template), Ok(want), "{template}");
    }
}

#[test]
fn missing_paths_are_named() {
    let table = [
        (json!(["${input.a.c}"]), "/0", "there is no `input.a.c`: `input.a` is an object"),
        (
            json!({"x/y": "- ${input.a.b[2]}"}),
            "/x~1y",
            "there is no `input.a.b[2]`: `input.a.b` is a list of 2",
        ),
        (json!("${input.z.x}"), "", "there is no `input.z.x`: `input.z` is null"),
        (json!("${input.t[0]}"), "", "`input.t` is a text"),
        (json!("${tasks.a.output.nope.x}"), "", "there is no `tasks.a.output.nope`"),
        (json!("${tasks.b.output}"), "", "there is no `tasks.b.output` here"),
        (json!("${tasks.map.outputs[9]}"), "", "`tasks.map.outputs` is a list of 3"),
    ];
    for (template, pointer, part) in table {
        let (at, message) = resolve(&template).unwrap_err();
        assert_eq!(at, pointer);
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn faults_come_all_at_once_with_their_places() {
    let faults = Template::parse(
        &json!({"a": "${", "b": ["ok", "${inputs}", "${input.x"], "c": "${input} ${item +}"}),
    )
    .unwrap_err();
    let places: Vec<&str> = faults.iter().map(|(at, _)| at.as_str()).collect();
    assert_eq!(places, ["/a", "/b/1", "/b/2", "/c"]);
    assert!(faults[2].1.contains("`}` is missing"), "{}", faults[2].1);
}

#[test]
fn forms_tell_the_cheap_cases() {
    for (template, form) in [
        (json!({"a": [1, "x"]}), InputForm::Literal),
        (json!("$${input}"), InputForm::Literal),
        (json!("${input}"), InputForm::RunInput),
        (json!("${ input }"), InputForm::RunInput),
        (json!("${input.a}"), InputForm::Template),
        (json!("${input} "), InputForm::Template),
        (json!(["${input}"]), InputForm::Template),
    ] {
        assert_eq!(Template::parse(&template).unwrap().form(), form, "{template}");
    }
    let literal = Template::parse(&json!({"a": "$${x}"})).unwrap();
    assert_eq!(literal.as_literal(), Some(&json!({"a": "${x}"})));
    let whole = Template::parse(&json!("${tasks.a.output}")).unwrap();
    assert_eq!(whole.as_expression().unwrap().to_string(), "tasks.a.output");
}

#[test]
fn references_carry_their_places() {
    let template =
        Template::parse(&json!({"a": ["x", "${input.b} ${tasks.c.output}"], "b": "${item}"}))
            .unwrap();
    let found: Vec<(String, String)> = template
        .references()
        .iter()
        .map(|r| (r.pointer.clone(), r.expression.to_string()))
        .collect();
    let want = [("/a/1", "input.b"), ("/a/1", "tasks.c.output"), ("/b", "item")];
    assert_eq!(found, want.map(|(at, text)| (at.to_owned(), text.to_owned())));
}

fn nested(levels: usize, leaf: Value) -> Value {
    (0..levels).fold(leaf, |value, _| json!([value]))
}

#[test]
fn templates_are_limited_in_depth_and_references() {
    assert!(Template::parse(&nested(TEMPLATE_DEPTH_MAX, json!("${input}"))).is_ok());
    assert!(Template::parse(&nested(TEMPLATE_DEPTH_MAX + 1, json!(1))).is_err());
    let many = "${index}".repeat(TEMPLATE_REFERENCES_MAX);
    assert!(Template::parse(&json!(many)).is_ok());
    assert!(Template::parse(&json!([many, "${index}"])).is_err());
}

#[test]
fn results_are_limited_in_size_and_depth() {
    let large = Run { input: json!("x".repeat(1024 * 1024)), a: Value::Null };
    let few = Template::parse(&json!(vec!["${input}"; 15])).unwrap();
    assert!(few.resolve(&large).is_ok());
    for many in [json!(vec!["${input}"; 17]), json!("${input}".repeat(17))] {
        let error = Template::parse(&many).unwrap().resolve(&large).unwrap_err();
        assert_eq!(error.kind(), Kind::Exhausted);
    }
    let deep = Run { input: nested(RESOLVED_DEPTH_MAX - 10, json!(1)), a: Value::Null };
    let shallow = Template::parse(&nested(10, json!("${input}"))).unwrap();
    assert!(shallow.resolve(&deep).is_ok());
    let deeper = Template::parse(&nested(11, json!("${input}"))).unwrap();
    assert_eq!(deeper.resolve(&deep).unwrap_err().kind(), Kind::Exhausted);
}

pub(crate) fn any_json(text: &'static str) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((text, inner), 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Writes a value as a template that means just that value.
fn escaped(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(text.replace("${", "$${")),
        Value::Array(list) => list.iter().map(escaped).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(k, v)| (k.clone(), escaped(v))).collect())
        }
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn escaped_values_mean_themselves(value in any_json("[a${}x\"é]{0,8}")) {
        let template = Template::parse(&escaped(&value)).expect("no references");
        prop_assert_eq!(template.form(), InputForm::Literal);
        prop_assert_eq!(template.as_literal(), Some(&value));
        prop_assert_eq!(template.resolve(&run()).expect("a literal"), value);
    }

    #[test]
    fn any_value_passes_through_untouched(value in any_json("[a${}x\"é]{0,8}")) {
        let scope = Run { input: json!({"v": value}), a: Value::Null };
        let template = Template::parse(&json!({"k": ["${input.v}"]})).unwrap();
        let got = template.resolve(&scope).expect("it is there");
        // Compared as text: numbers keep their form.
        prop_assert_eq!(got.to_string(), json!({"k": [value]}).to_string());
    }

    #[test]
    fn no_text_makes_templates_panic(value in any_json(r#"(\$|\{|\}|input|tasks|\.|\[|\]|"|\\|a|0|é| ){0,12}"#)) {
        match Template::parse(&value) {
            Ok(template) => {
                for reference in template.references() {
                    prop_assert!(value.pointer(&reference.pointer).is_some());
                }
                let _ = template.resolve(&run());
            }
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                for (at, _) in faults {
                    prop_assert!(value.pointer(&at).is_some(), "{}", at);
                }
            }
        }
    }
}
