//! What is written reads back.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::text::Document;

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9 ._:#'\"{}-]{0,12}",
        "(yes|null|~|true|1e3|0x1f|\\.inf|- a|a: b|# c|[|]|a\nb|a\n\n b\n| a|\u{85}|\u{2028}|\u{7f}|\t|\r\n)",
        any::<String>(),
    ]
}

fn any_value(has_null: bool) -> impl Strategy<Value = Value> {
    let null = if has_null { Just(Value::Null).boxed() } else { Just(json!(true)).boxed() };
    let leaf = prop_oneof![
        null,
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |it| it.is_finite()).prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any_text(), inner, 0..5)
                .prop_map(|map| Value::Object(Map::from_iter(map))),
        ]
    })
}

fn reads_back(value: &Value, format: Format) -> Result<(), TestCaseError> {
    let text = write(value, format).map_err(TestCaseError::fail)?;
    let read = Document::read(format, &text);
    let read = read.map_err(|fault| TestCaseError::fail(format!("{fault:?}\n{text}")))?;
    prop_assert_eq!(&read.value, value, "{}", text);
    Ok(())
}

proptest! {
    #[test]
    fn whatever_is_written_reads_back_the_same(value in any_value(true)) {
        reads_back(&value, Format::Json)?;
        reads_back(&value, Format::Yaml)?;
    }

    #[test]
    fn toml_reads_back_what_it_can_say(value in any_value(false)) {
        reads_back(&json!({ "value": value }), Format::Toml)?;
    }
}

#[test]
fn fields_come_in_the_order_in_which_people_write_them() {
    let value = json!({"agents": [{"skills": ["a.b"], "behaviour": "worker", "name": "x",
        "x-note": "a\nb", "zzz": 1}], "name": "n", "workflows": []});
    let want = "name: n\nagents:\n  - name: x\n    skills:\n      - a.b\n    behaviour: worker\n    \
                x-note: |-\n      a\n      b\n    zzz: 1\nworkflows: []\n";
    assert_eq!(write(&value, Format::Yaml).unwrap(), want);
}

#[test]
fn toml_says_what_it_cannot_say() {
    let failure = write(&json!({"a": [{"b": null}]}), Format::Toml).unwrap_err();
    assert!(failure.contains("`/a/0/b`"), "{failure}");
    assert!(write(&json!([1]), Format::Toml).is_err());
    assert!(write(&json!({ "a": u64::MAX }), Format::Toml).is_err());
}

#[test]
fn a_key_of_any_length_reads_back() {
    // Found by the fuzzer: readers give up on a key without a mark after 1024 characters.
    for chars in [999, 1_000, 1_001, 1_024, 20_000] {
        let key = "k: ".repeat(chars / 3 + 1);
        let value = json!({ "a": [{ key.clone(): 1, "b": 2 }], key: { "c": [true] } });
        let text = write(&value, Format::Yaml).unwrap();
        let again = Document::read(Format::Yaml, &text).map(|it| it.value);
        assert_eq!(again.unwrap(), value, "{chars}");
    }
}
