//! Hostile input: always an answer, never a fault of ours.

use proptest::prelude::*;
use serde_json::Value;
use tempfile::tempdir;

use super::support::World;

const POSTS: [&str; 10] = [
    "/api/v1/tasks",
    "/api/v1/runs",
    "/api/v1/tasks/batch",
    "/api/v1/runs/run_00000000000000000000000001/cancel",
    "/api/v1/runs/run_00000000000000000000000001/retry",
    "/api/v1/runs/run_00000000000000000000000001/steps/0000000000000000000000000000000000000000000000000000000000000000/resolve",
    "/api/v1/tasks/task_00000000000000000000000001_0/unpark",
    "/api/v1/agents/micro-00000/online",
    "/api/v1/agents/nobody/offline",
    "/api/v1/admin/shutdown",
];

fn check(world: &World, path: &str, body: &[u8]) {
    let answer = world.post(path, body);
    let is_fine = matches!(answer.status, 200..=299 | 400..=499);
    assert!(
        is_fine,
        "{path} {:?}: {} {}",
        String::from_utf8_lossy(body),
        answer.status,
        answer.text()
    );
    if answer.status >= 400 {
        assert!(answer.json()["code"].is_string());
    }
    if path.ends_with("batch") {
        for line in answer.lines() {
            assert!(line["status"].as_u64().unwrap() < 500, "{line}");
        }
    }
}

#[test]
fn nasty_json_is_refused_with_a_place() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let deep = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
    let mut bodies: Vec<Vec<u8>> = [
        "", "null", "[]", "0", "\"\"", "{", "{}}", "{\"skill\":}", "{\"skill\":\"echo\",}",
        r#"{"skill":"echo","skill":"echo"}"#,
        r#"{"skill":"echo","input":1e999999}"#,
        r#"{"skill":"echo","input":123456789012345678901234567890}"#,
        r#"{"skill":"echo","input":"\ud800"}"#,
        r#"{"skill":"echo","priority":"\u0000"}"#,
        r#"{"skill":"echo","namespace":"../../etc"}"#,
        r#"{"skill":"echo","deadline":"99999999999999999999s"}"#,
        r#"{"skill":"echo","budget":{"calls":18446744073709551616}}"#,
        r#"{"skill":"echo","retry":{"attempts":1e9}}"#,
        r#"{"skill":"echo","output_schema":{"$ref":"http://127.0.0.1/x"}}"#,
        r#"{"skill":"","input":1}"#,
        r#"{"skill":"hash","input":{"a":1e400}}"#,
        r#"{"skill":"json.transform","input":1e400}"#,
        r#"{"workflow":{"name":"w","version":"1","tasks":[]}}"#,
        r#"{"workflow":{"name":"w","version":"1","tasks":[{"name":"a","skill":"echo","after":["a"]}]}}"#,
        r#"{"workflow":1e999}"#, r#"{"task":{"skill":"echo"},"workflow":{}}"#,
        r#"{"reason":17}"#, r#"{"drain_timeout":"x"}"#, r#"{"happened":null,"reason":""}"#,
    ]
    .map(|body| body.as_bytes().to_vec())
    .to_vec();
    bodies.push(deep("[", "]", 100_000).into_bytes());
    bodies.push(
        format!(
            r#"{{"skill":"echo","input":{}}}"#,
            deep("{\"a\":", "}", 5_000).replace("{}", "{\"a\":1}")
        )
        .into_bytes(),
    );
    bodies.push(format!(r#"{{"skill":"echo","input":{}}}"#, deep("[", "]", 100_000)).into_bytes());
    bodies.push(format!(r#"{{"workflow":{}}}"#, deep("[", "]", 100_000)).into_bytes());
    bodies.push(b"{\"skill\":\"\xff\xfe\"}".to_vec());
    bodies.push(b"{\"skill\":\"echo\",\"input\":\"\xc3\x28\"}".to_vec());
    bodies.push(vec![0; 10_000]);
    for path in POSTS {
        for body in &bodies {
            check(&world, path, body);
        }
    }
    let problem = world
        .post("/api/v1/tasks", r#"{"skill":"echo","priority":3}"#)
        .problem(400, "request_invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/priority");
    // Whatever was taken of it has not hurt the instance.
    assert_eq!(world.task(r#"{"skill":"echo","input":"still here"}"#)["output"], "still here");
    world.stop();
}

#[test]
fn arbitrary_bodies_never_are_a_fault_of_ours() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let fragments = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\n",
        "null",
        "true",
        "1",
        "-0",
        "1e9",
        "\"skill\"",
        "\"echo\"",
        "\"input\"",
        "\"task\"",
        "\"workflow\"",
        "\"tasks\"",
        "\"name\"",
        "\"key\"",
        "\"budget\"",
        "\"deadline\"",
        "\"30s\"",
        "\"reason\"",
        " ",
        "{\"skill\":\"echo\"}",
        "é",
        "\u{0}",
    ]);
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec(fragments, 0..40).prop_map(|parts| parts.concat().into_bytes()),
    ];
    let config =
        ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(body in body, path in prop::sample::select(POSTS.to_vec()))| {
        check(&world, path, &body);
    });
    world.stop();
}

#[test]
fn a_value_that_not_everybody_can_read_is_refused_wherever_it_is_kept_as_it_is() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    assert_eq!(world.get("/api/v1/agents/micro-00000").status, 200);
    let run = world.post("/api/v1/tasks", r#"{"skill":"sleep","input":{"ms":60000}}"#).json();
    let run = run["run"].as_str().unwrap();
    let message = |data: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"1","source":"/outside/ci","type":"t","to":"agent:micro-00000","data":{data}}}"#
        )
    };
    let resolved = |it: &str| format!(r#"{{"reason":"seen","happened":{it}}}"#);
    let signal = format!("/api/v1/runs/{run}/signals/go");
    let resolve = format!("/api/v1/runs/{run}/steps/{}/resolve", "0".repeat(64));
    let deep = format!("{}1{}", "[".repeat(129), "]".repeat(129));
    for (value, code) in [(r#"{"b":["\ud800"]}"#, "json_invalid"), (&deep, "input_too_deep")] {
        for (path, body, pointer) in [
            ("/api/v1/messages", message(value), "/data"),
            (&signal, value.to_owned(), ""),
            (&resolve, resolved(value), "/happened"),
        ] {
            let problem = world.post(path, body).problem(400, code);
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        }
    }
    // Bytes may be anything: as JSON they would make the page unreadable.
    let bytes = message("1").replace(r#""data":1"#, r#""data_base64":"Ilx1ZDgwMCI=""#);
    assert_eq!(world.post("/api/v1/messages", bytes).status, 202);
    let seen = world.get("/api/v1/agents/micro-00000/messages").json();
    let seen = &seen["items"][0]["message"];
    assert_eq!((&seen["data_base64"], &seen["data"]), (&"Ilx1ZDgwMCI=".into(), &Value::Null));
    world.stop();
}
