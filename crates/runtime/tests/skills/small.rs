//! The small skills.

use std::time::Duration;

use ark_os_runtime::skills::{Cost, EffectClass, SkillError, SkillSet};
use serde_json::{Value, json};

use super::host::{FakeHost, run};

fn answer(skill: &str, input: Value) -> Value {
    run(&FakeHost { attempt: 1, ..FakeHost::default() }, skill, &input).unwrap()
}

fn code(skill: &str, input: Value) -> String {
    let host = FakeHost { attempt: 1, ..FakeHost::default() };
    run(&host, skill, &input).unwrap_err().code().to_owned()
}

#[test]
fn the_set_names_its_skills_in_order_and_their_schemas_are_json() {
    let set = SkillSet::builtin();
    let names: Vec<_> = set.names().collect();
    let expected = [
        "audit.chunk",
        "audit.diff",
        "audit.history",
        "audit.inventory",
        "audit.report",
        "echo",
        "fail",
        "file.write",
        "hash",
        "json.transform",
        "list.count",
        "list.range",
        "list.sum",
        "sleep",
        "text.template",
    ];
    assert_eq!(names, expected);
    for skill in set.iter() {
        let spec = skill.spec();
        for schema in [&spec.input_schema, &spec.output_schema] {
            let schema: Value = serde_json::from_str(schema).unwrap();
            jsonschema::meta::validate(&schema).unwrap_or_else(|e| panic!("{}: {e}", spec.name));
        }
        assert!(!spec.summary.is_empty() && spec.output_bytes_max > 0);
        assert!(spec.class != EffectClass::Idempotent || spec.cost == Cost::Blocking);
    }
    assert!(set.find("nope").is_none());
}

#[test]
fn echo_answers_its_very_bytes() {
    let set = SkillSet::builtin();
    let input = b"  {\"b\": 1,\n \"a\": 2}";
    assert_eq!(set.find("echo").unwrap().run(&FakeHost::default(), input).unwrap(), input);
}

#[test]
fn sleep_waits_by_its_delay_and_not_in_its_run() {
    let set = SkillSet::builtin();
    let sleep = set.find("sleep").unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    assert_eq!(sleep.delay(br#"{"ms": 86400000}"#).unwrap(), Some(day));
    assert_eq!(answer("sleep", json!({"ms": 86_400_000})), json!({"slept_ms": 86_400_000}));
    assert_eq!(sleep.delay(br#"{"ms": 86400001}"#).unwrap_err().code(), SkillError::LIMIT);
    assert_eq!(sleep.delay(br#"{"ms": -1}"#).unwrap_err().code(), SkillError::INVALID_INPUT);
    assert_eq!(set.find("echo").unwrap().delay(b"{}").unwrap(), None);
}

#[test]
fn fail_counts_attempts_over_all_retries() {
    for (attempt, succeeds) in [(1, false), (2, false), (3, true), (4, true)] {
        let host = FakeHost { attempt, ..FakeHost::default() };
        let answer = run(&host, "fail", &json!({"times": 2}));
        assert_eq!(answer.is_ok(), succeeds, "attempt {attempt}");
        assert!(answer.map_or_else(|error| error.is_retryable(), |_| true));
    }
}

#[test]
fn fail_gives_the_chosen_error() {
    let host = FakeHost { attempt: 9, ..FakeHost::default() };
    let error = json!({"code": "store.full", "message": "put it", "retryable": true});
    let error = run(&host, "fail", &json!({"error": error})).unwrap_err();
    let parts = (error.code(), error.message(), error.is_retryable(), error.hint());
    assert_eq!(parts, ("store.full", "put it", true, None));
    let error = run(&host, "fail", &json!({"error": {"code": "a", "message": ""}})).unwrap_err();
    assert!(!error.is_retryable());
    for input in [
        json!({}),
        json!({"times": 1, "error": {"code": "a", "message": ""}}),
        json!({"error": {"code": "Bad Code", "message": ""}}),
        json!({"error": {"code": "a..b", "message": ""}}),
        json!({"times": -1}),
        json!({"extra": 1}),
    ] {
        assert_eq!(code("fail", input.clone()), SkillError::INVALID_INPUT, "{input}");
    }
}

#[test]
fn hash_digests_texts_and_values_in_one_form() {
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(answer("hash", json!({"text": "abc"})), json!({"sha256": abc}));
    let host = FakeHost::default();
    let set = SkillSet::builtin();
    let hash = |text: &str| set.find("hash").unwrap().run(&host, text.as_bytes()).unwrap();
    assert_eq!(hash(r#"{"value":{"b":1,"a":[2]}}"#), hash(r#"{ "value": {"a": [2], "b": 1} }"#));
    assert_ne!(hash(r#"{"value":null}"#), hash(r#"{"value":"null"}"#));
    assert_eq!(code("hash", json!({})), SkillError::INVALID_INPUT);
    assert_eq!(code("hash", json!({"text": "a", "value": 1})), SkillError::INVALID_INPUT);
}

#[test]
fn transform_builds_from_references() {
    let input = json!({
        "value": {"user": {"name": "Ada", "age": 36}, "tags": ["x"]},
        "template": {"$merge": [{"$pick": ["name"], "from": {"$": "/user"}}, {"first": {"$": "/tags/0"}}]},
    });
    assert_eq!(answer("json.transform", input), json!({"name": "Ada", "first": "x"}));
    let deep = (0..70).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(code("json.transform", json!({"template": deep})), SkillError::LIMIT);
}

#[test]
fn templates_render_within_their_limits() {
    let input = json!({
        "template": "{% for n in names %}{{ loop.index }}. {{ n|upper }}\n{% endfor %}",
        "values": {"names": ["a", "<b>"]},
    });
    assert_eq!(answer("text.template", input), json!({"text": "1. A\n2. <B>\n"}));
    let cases = [
        ("{{ missing }}", "text_template.invalid"),
        ("{% if %}", "text_template.invalid"),
        ("{{ 1|indent(1000000000) }}", "text_template.invalid"),
        ("{% include 'x' %}", "text_template.invalid"),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            SkillError::LIMIT,
        ),
        ("{{ 'x' * 600000 }}", SkillError::LIMIT),
    ];
    for (template, expected) in cases {
        assert_eq!(code("text.template", json!({"template": template})), expected, "{template}");
    }
}

#[test]
fn ranges_are_numbers_or_copies_and_bounded() {
    assert_eq!(answer("list.range", json!({"count": 3})), json!([0, 1, 2]));
    assert_eq!(
        answer("list.range", json!({"count": 2, "value": {"a": 1}})),
        json!([{"a": 1}, {"a": 1}])
    );
    assert_eq!(answer("list.range", json!({"count": 0})), json!([]));
    assert_eq!(answer("list.range", json!({"count": 10_000})).as_array().unwrap().len(), 10_000);
    assert_eq!(code("list.range", json!({"count": 10_001})), SkillError::LIMIT);
    let value = "x".repeat(1000);
    assert_eq!(code("list.range", json!({"count": 2000, "value": value})), SkillError::LIMIT);
}

fn reduce(skill: &str, input: Value, items: &[Value]) -> Result<Value, SkillError> {
    let items = items.iter().map(|item| serde_json::to_vec(item).unwrap()).collect();
    run(&FakeHost { items, ..FakeHost::default() }, skill, &input)
}

#[test]
fn reduces_count_and_add_up() {
    let items = [json!({"n": 1}), json!({"n": 2}), json!({"n": 39})];
    assert_eq!(reduce("list.count", json!(null), &items).unwrap(), json!({"count": 3}));
    let sum = reduce("list.sum", json!({"field": "/n"}), &items).unwrap();
    assert_eq!(sum, json!({"sum": 42, "count": 3}));
    let sum = reduce("list.sum", json!(null), &[json!(u64::MAX), json!(-1), json!(1)]).unwrap();
    assert_eq!(sum, json!({"sum": u64::MAX, "count": 3}), "whole numbers add up exactly");
    let sum = reduce("list.sum", json!({}), &[json!(1), json!(0.5)]).unwrap();
    assert_eq!(sum, json!({"sum": 1.5, "count": 2}));
    assert_eq!(reduce("list.sum", json!({}), &[]).unwrap(), json!({"sum": 0, "count": 0}));
}

#[test]
fn sums_refuse_what_is_no_number() {
    let error = reduce("list.sum", json!({"field": "/n"}), &[json!({"n": "1"})]).unwrap_err();
    assert_eq!(error.code(), "list_sum.no_number");
    let error = reduce("list.sum", json!({}), &[json!(u64::MAX), json!(u64::MAX)]).unwrap_err();
    assert_eq!(error.code(), "list_sum.overflow");
}

#[test]
fn a_cancelled_reduce_stops() {
    let host = FakeHost { items: vec![b"1".to_vec(); 3], ..FakeHost::default() };
    host.cancel_after.set(Some(0));
    assert_eq!(run(&host, "list.sum", &json!({})).unwrap_err().code(), SkillError::CANCELLED);
}

#[test]
fn files_are_written_whole_and_twice_is_once() {
    use ark_os_runtime::skills::Host;
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a/b");
    let host = FakeHost::default();
    let blob = host.save(b"from a blob").unwrap();
    let input = json!({"dir": out, "files": [{"name": "x.md", "text": "é|`"}, {"name": "y", "blob": blob}]});
    let first = run(&host, "file.write", &input).unwrap();
    assert_eq!(run(&host, "file.write", &input).unwrap(), first);
    assert_eq!(std::fs::read_to_string(out.join("x.md")).unwrap(), "é|`");
    assert_eq!(std::fs::read(out.join("y")).unwrap(), b"from a blob");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 2, "nothing else is left behind");
    assert_eq!(first["written"][1]["bytes"], 11);
    let sha256 = run(&host, "hash", &json!({"text": "from a blob"})).unwrap()["sha256"].clone();
    assert_eq!(first["written"][1]["sha256"], sha256);
}

#[test]
fn files_stay_in_their_directory() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    for name in ["../x", "a/b", "..", ".", "", "/etc/x", "a\\b"] {
        let input = json!({"dir": out, "files": [{"name": name, "text": ""}]});
        assert_eq!(code("file.write", input), SkillError::INVALID_INPUT, "{name}");
    }
    let twice =
        json!({"dir": out, "files": [{"name": "a", "text": ""}, {"name": "a", "text": ""}]});
    assert_eq!(code("file.write", twice), SkillError::INVALID_INPUT);
    let neither = json!({"dir": out, "files": [{"name": "a"}]});
    assert_eq!(code("file.write", neither), SkillError::INVALID_INPUT);
    assert!(!out.exists(), "a refused input changes nothing");
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_file_is_replaced_and_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    std::fs::write(&outside, "safe").unwrap();
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    std::os::unix::fs::symlink(&outside, out.join("x")).unwrap();
    answer("file.write", json!({"dir": out, "files": [{"name": "x", "text": "new"}]}));
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "safe");
    assert_eq!(std::fs::read_to_string(out.join("x")).unwrap(), "new");
}

#[test]
fn a_file_that_cannot_be_written_may_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let input = json!({"dir": blocked, "files": [{"name": "x", "text": ""}]});
    let error = run(&FakeHost::default(), "file.write", &input).unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), (SkillError::IO, true));
}

#[test]
fn inputs_that_are_no_json_or_have_unknown_fields_are_refused() {
    let set = SkillSet::builtin();
    let host = FakeHost { attempt: 1, ..FakeHost::default() };
    for skill in set.iter().filter(|s| !matches!(&*s.spec().name, "echo" | "list.count")) {
        for input in [&b"\xff{"[..], b"", b"{\"nope\":1}", b"[[[[", b"7"] {
            let error = skill.run(&host, input).unwrap_err();
            assert_eq!(error.code(), SkillError::INVALID_INPUT, "{}", skill.spec().name);
        }
    }
}
