//! Schemas: violations with their places, and schemas that are none.

use ark_os_core::manifest::SkillCatalogue;
use ark_os_runtime::data::{Catalogue, Schemas, VIOLATIONS_MAX};
use serde_json::json;

#[test]
fn violations_name_their_places() {
    let schemas = Schemas::new();
    let schema = r#"{"type":"object","required":["a"],"properties":{"a":{"type":"array",
        "items":{"type":"integer"}}}}"#;
    assert_eq!(schemas.validate(schema, br#"{"a":[1,2]}"#), Ok(()));
    let found = schemas.validate(schema, br#"{"a":[1,"x",2,null]}"#).unwrap_err();
    let pointers: Vec<_> = found.iter().map(|it| it.pointer.as_str()).collect();
    assert_eq!(pointers, ["/a/1", "/a/3"]);
    assert!(found[0].message.contains("integer"), "{found:?}");
    assert_eq!(schemas.validate(schema, b"{}").unwrap_err()[0].pointer, "");
    assert!(schemas.validate(schema, b"{").unwrap_err()[0].message.contains("not JSON"));
    for all in ["true", " {} "] {
        assert_eq!(schemas.validate(all, b"[1]"), Ok(()));
        assert!(schemas.validate(all, b"[1] 2").is_err());
        assert!(schemas.validate(all, b"\"\xff\"").is_err());
    }
}

#[test]
fn violations_are_bounded() {
    let schemas = Schemas::new();
    let wrong = json!(vec!["x".repeat(10_000); 1_000]).to_string();
    let schema = r#"{"items":{"type":"integer"}}"#;
    let found = schemas.validate(schema, wrong.as_bytes()).unwrap_err();
    assert_eq!(found.len(), VIOLATIONS_MAX);
    assert!(found.iter().all(|it| it.message.len() < 1_000));
    let found = schemas.validate(r#"{"type":"integer"}"#, wrong.as_bytes()).unwrap_err();
    assert!(found[0].message.len() < 1_000);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let found = schemas.validate(schema, deep.as_bytes()).unwrap_err();
    assert!(found[0].message.contains("recursion"), "{found:?}");
}

#[test]
fn what_is_no_schema_is_refused_and_nothing_is_fetched() {
    let catalogue = Catalogue::default();
    for schema in [
        json!({"type": "thing"}),
        json!({"type": 1}),
        json!([]),
        json!(1),
        json!({"pattern": "("}),
        json!({"pattern": "(?=x)y"}),
        json!({"pattern": "((a{1000}){1000}){1000}"}),
        json!({"$ref": "https://example.com/schema"}),
        json!({"$ref": "file:///etc/passwd"}),
        json!({"$ref": "#/nowhere"}),
        json!({"required": "a"}),
    ] {
        assert!(catalogue.check_schema(&schema).is_err(), "{schema}");
        let found = Schemas::new().validate(&schema.to_string(), b"1").unwrap_err();
        assert!(found[0].message.contains("the schema is not one"), "{found:?}");
    }
    assert_eq!(catalogue.check_schema(&json!({"$ref": "#/$defs/a", "$defs": {"a": true}})), Ok(()));
}

#[test]
fn schemas_that_refer_to_themselves_end() {
    let schemas = Schemas::new();
    let tree = r##"{"type":"object","properties":{"next":{"$ref":"#"}}}"##;
    let deep = format!("{}1{}", "{\"next\":".repeat(100), "}".repeat(100));
    assert!(schemas.validate(tree, deep.as_bytes()).is_err());
    for circle in [
        r##"{"$ref":"#"}"##,
        r##"{"allOf":[{"$ref":"#"}]}"##,
        r##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}"##,
    ] {
        let _ = schemas.validate(circle, b"{\"a\":1}");
    }
}

#[test]
fn schemas_that_branch_into_themselves_answer_in_time() {
    let schemas = Schemas::new();
    let branching = r##"{"type":["object","integer"],"allOf":[{"properties":{"a":{"$ref":"#"}}},
        {"properties":{"a":{"$ref":"#"}},"title":"x"}]}"##;
    let nested = |last: &str| format!("{}{last}{}", "{\"a\":".repeat(100), "}".repeat(100));
    assert_eq!(schemas.validate(branching, nested("1").as_bytes()), Ok(()));
    assert_eq!(schemas.validate(branching, nested("\"x\"").as_bytes()).unwrap_err().len(), 1);
    let found = schemas.validate(branching, br#"{"a":{"a":"x"}}"#).unwrap_err();
    assert!(found.iter().all(|it| it.pointer == "/a/a"), "{found:?}");
}
