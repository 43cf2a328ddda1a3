//! The three formats, and where everything stands.

use serde_json::json;

use super::*;

fn parsed(ending: &str, text: &str) -> Document {
    Document::read(Format::of_ending(ending), text).unwrap_or_else(|fault| panic!("{fault:?}"))
}

fn place(document: &Document, pointer: &str) -> String {
    let (line, column) = document.line_column(pointer);
    format!("{line}:{column}")
}

fn fault(ending: &str, text: &str) -> String {
    let Fault { line, column, message, .. } =
        Document::read(Format::of_ending(ending), text).unwrap_err();
    format!("{line}:{column}: {message}")
}

#[test]
fn the_three_formats_say_the_same() {
    let yaml = parsed("yaml", "a:\n  - x: 1\n    y: [true, null, 1.5]\n  - \"2\"\n");
    let json = parsed("json", r#"{"a": [{"x": 1, "y": [true, null, 1.5]}, "2"]}"#);
    assert_eq!(yaml.value, json.value);
    assert_eq!(yaml.value, json!({ "a": [{ "x": 1, "y": [true, null, 1.5] }, "2"] }));
    let toml = parsed("toml", "a = [{ x = 1 }, \"2\"]\n");
    assert_eq!(toml.value, json!({ "a": [{ "x": 1 }, "2"] }));
}

#[test]
fn every_value_has_its_line_and_column() {
    let yaml = parsed("yaml", "a:\n  - x: 1\n    y: [true, 7]\n  - \"2\"\n");
    for (pointer, want) in [
        ("/a", "1:1"),
        ("/a/0", "2:5"),
        ("/a/0/x", "2:8"),
        ("/a/0/y/1", "3:15"),
        ("/a/1", "4:5"),
        ("/a/1/deeper/still", "4:5"),
        ("/b", "1:1"),
    ] {
        assert_eq!(place(&yaml, pointer), want, "{pointer}");
    }
    let json = parsed("json", "{\n  \"a/b\": [1,\n   {\"c\": 2}]}");
    assert_eq!(place(&json, "/a~1b/1/c"), "3:10");
    assert_eq!(place(&json, "/a~1b/0"), "2:11");
    let toml = parsed("toml", "[[workflows]]\nname = \"x\"\n");
    assert_eq!(place(&toml, "/workflows/0/name"), "2:8");
}

#[test]
fn what_reads_in_two_ways_is_refused_with_its_place() {
    let table = [
        ("yaml", "a: 1\nb: 2\na: 3\n", "3:1: the key `a` is there twice"),
        ("yaml", "1: x\n", "1:1: a key is a string, not a number"),
        ("yaml", "a: [1\n", "2:1: "),
        ("yaml", "a: !secret x\n", "1:4: the tag `!secret` is not supported"),
        ("yaml", "a: .nan\n", "1:4: `.nan` is no number that JSON has"),
        ("yaml", "a: &x [*x]\n", "1:8: the alias names a value that is not complete"),
        ("yaml", "a: 1\n---\nb: 2\n", "2:1: a second document begins"),
        ("yaml", "", "1:1: the file is empty"),
        ("yaml", "a: &b {x: 1}\nc:\n  <<: *b\n", "3:3: merge keys are not supported"),
        ("json", "{\"a\": 1, \"a\": 2}", "1:10: the key `a` is there twice"),
        ("json", "{\"a\": }", "1:7: expected value"),
        ("toml", "a = \n", "1:5: "),
        ("toml", "a = 1\na = 2\n", "2:1: duplicate key"),
    ];
    for (ending, text, want) in table {
        let found = fault(ending, text);
        assert!(found.starts_with(want), "{text:?}: {found}");
    }
}

#[test]
fn bombs_of_aliases_and_depth_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..10 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
    }
    assert!(fault("yaml", &bomb).contains("more than 200000 values"), "{}", fault("yaml", &bomb));
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    assert!(fault("yaml", &deep).contains("recursion limit"), "{}", fault("yaml", &deep));
    let flat = format!("{}{}", "[".repeat(150), "]".repeat(150));
    assert!(fault("yaml", &flat).contains("nested deeper"), "{}", fault("yaml", &flat));
    assert!(fault("json", &deep).contains("recursion limit"), "{}", fault("json", &deep));
    let deep = format!("a = {deep}");
    assert!(fault("toml", &deep).contains("1:"), "{}", fault("toml", &deep));
}

#[test]
fn bombs_of_bytes_are_refused_and_long_keys_take_no_more_room_than_they_have() {
    let long = "x".repeat(4 << 20);
    let bomb = format!("a: &x \"{long}\"\nb:\n{}", "  - *x\n".repeat(50_000));
    assert!(fault("yaml", &bomb).contains("bytes of text"), "{}", fault("yaml", &bomb));
    let nested = format!("a: {}\"{long}\"{}", "&x [".repeat(50), "]".repeat(50));
    assert!(fault("yaml", &nested).contains("bytes of text"), "{}", fault("yaml", &nested));
    let keyed = format!("a: &x {{\"{long}\": 1}}\nb: [{}]\n", "*x, ".repeat(50_000));
    assert!(fault("yaml", &keyed).contains("bytes of text"), "{}", fault("yaml", &keyed));
    // With a pointer for each item these would be 800 GB.
    let items = vec!["7"; 190_000].join(",");
    for ending in ["json", "yaml"] {
        let keyed = parsed(ending, &format!("{{\n\"k\": {{\"{long}\":\n[{items}]}}}}"));
        assert_eq!(keyed.value.pointer(&format!("/k/{long}/189999")), Some(&json!(7)));
        assert!(place(&keyed, &format!("/k/{long}/189999")).starts_with("2:"));
    }
}

#[test]
fn scalars_mean_what_yaml_1_2_says() {
    let text = "[yes, on, ~, NULL, True, 0x1F, 0o17, 010, +7, -3, 1e3, .5, 1_000, 12:30, !!str 5, '5', 18446744073709551615]";
    let want = json!([
        "yes",
        "on",
        null,
        null,
        true,
        31,
        15,
        10,
        7,
        -3,
        1000.0,
        0.5,
        "1_000",
        "12:30",
        "5",
        "5",
        18_446_744_073_709_551_615_u64
    ]);
    assert_eq!(parsed("yaml", text).value, want);
}

#[test]
fn a_finding_has_its_place_in_toml_as_in_the_others() {
    let text = "name = \"x\"\n\n[fleet]\nagents = 7\n\n[[agents]]\nname = \"a\"\n\n  \
                [agents.behaviour.http]\n  url = \"u\"\n  headers = { a = \"b\" }\n\n[[agents]]\nname = \"b\"\n";
    let toml = parsed("toml", text);
    for (pointer, want) in [
        ("/name", "1:8"),
        ("/fleet", "3:1"),
        ("/fleet/agents", "4:10"),
        ("/agents/0", "6:1"),
        ("/agents/0/name", "7:8"),
        ("/agents/0/behaviour/http", "9:3"),
        ("/agents/0/behaviour/http/headers/a", "11:19"),
        ("/agents/1", "13:1"),
        ("/agents/1/behaviour", "13:1"),
    ] {
        assert_eq!(place(&toml, pointer), want, "{pointer}");
    }
}
