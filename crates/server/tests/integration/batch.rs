//! The batch: order, errors in the middle, broken connections, many lines.

use std::collections::BTreeSet;
use std::io::{BufReader, Write};

use serde_json::json;
use tempfile::tempdir;

use super::support::{TOKEN, World, head, read_chunk, read_head};

#[test]
fn answers_come_in_the_order_of_the_lines_and_errors_stop_nothing() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let lines = concat!(
        "{\"key\":\"a\",\"skill\":\"sleep\",\"input\":{\"ms\":150}}\n",
        "{\"key\":\"b\",\"skill\":\"echo\",\"input\":{\"n\":2}}\n",
        "\n",
        "{\"skill\":\"echo\",\"what\":1}\n",
        "{\"key\":\"c\",\"skill\":\"nope\"}\n",
        "not json\n",
        "{\"skill\":\"fail\",\"input\":{\"error\":{\"code\":\"mine.broken\",\"message\":\"no\",\"retryable\":false}}}\r\n",
        "{\"skill\":\"echo\",\"input\":\"last without a newline\"}",
    );
    let answer = world.post("/api/v1/tasks/batch?wait=30s", lines);
    assert_eq!(
        (answer.status, answer.headers["content-type"].as_str()),
        (200, "application/x-ndjson")
    );
    let lines = answer.lines();
    let numbers: Vec<_> = lines.iter().map(|it| it["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 4, 5, 6, 7, 8]);
    let statuses: Vec<_> = lines.iter().map(|it| it["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 200, 400, 400, 400, 200, 200], "{lines:#?}");
    assert_eq!((&lines[0]["key"], &lines[0]["state"]), (&json!("a"), &json!("succeeded")));
    assert_eq!((&lines[1]["key"], &lines[1]["output"]), (&json!("b"), &json!({"n": 2})));
    assert_eq!(lines[2]["problem"]["errors"][0]["pointer"], "/what");
    assert_eq!(
        (&lines[3]["key"], &lines[3]["problem"]["code"]),
        (&json!("c"), &json!("manifest_invalid"))
    );
    assert_eq!(lines[4]["problem"]["code"], "json_invalid");
    assert_eq!(lines[5]["state"], "failed");
    assert_eq!(lines[6]["output"], "last without a newline");
    world.stop();
}

#[test]
fn without_waiting_every_line_is_durably_accepted() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let lines = "{\"skill\":\"echo\",\"input\":1}\n".repeat(3);
    let answers = world.post("/api/v1/tasks/batch", lines).lines();
    assert_eq!(answers.len(), 3);
    for answer in &answers {
        assert_eq!((&answer["status"], &answer["existing"]), (&json!(202), &json!(false)));
        let run = answer["run"].as_str().unwrap();
        let shown = world.get(&format!("/api/v1/runs/{run}?wait=30s")).json();
        assert_eq!(shown["output"], 1);
    }
    world.stop();
}

#[test]
fn lines_that_are_not_over_in_time_are_told_so() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let lines = "{\"key\":\"slow\",\"skill\":\"sleep\",\"input\":{\"ms\":60000}}\n";
    let answers = world.post("/api/v1/tasks/batch?wait=100ms", lines).lines();
    assert_eq!(
        (&answers[0]["status"], &answers[0]["problem"]["code"]),
        (&json!(504), &json!("wait_exceeded"))
    );
    // Sent again with its key, the line leads to its run.
    let again = world.post("/api/v1/tasks/batch", lines).lines();
    assert_eq!((&again[0]["status"], &again[0]["existing"]), (&json!(202), &json!(true)));
    let run = again[0]["run"].as_str().unwrap();
    assert_eq!(world.post(&format!("/api/v1/runs/{run}/cancel"), "").status, 200);
    world.stop();
}

#[test]
fn a_broken_connection_is_resubmitted_and_nothing_runs_twice() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let line = |n: u32| format!("{{\"key\":\"k{n}\",\"skill\":\"echo\",\"input\":{n}}}\n");
    let mut stream = world.connect();
    let headers = [("Authorization", format!("Bearer {TOKEN}"))];
    let opening = head(world.address, "POST", "/api/v1/tasks/batch?wait=true", &headers, None);
    stream.write_all(opening.as_bytes()).unwrap();
    let first: String = (0..50).map(line).collect();
    stream.write_all(format!("{:x}\r\n{first}\r\n", first.len()).as_bytes()).unwrap();
    // Some answers have come when the connection breaks in the middle of a line.
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    assert_eq!(read_head(&mut reader).0, 200);
    let early = read_chunk(&mut reader).unwrap();
    let early: Vec<serde_json::Value> = String::from_utf8(early)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    stream.write_all(b"20\r\n{\"key\":\"k99\",\"skill\":\"ec").unwrap();
    drop((reader, stream));

    let all: String = (0..60).map(line).collect();
    let answers = world.post("/api/v1/tasks/batch?wait=30s", all).lines();
    assert_eq!(answers.len(), 60);
    for (answer, early) in answers.iter().zip(&early) {
        assert_eq!(answer["run"], early["run"], "the same run as before");
    }
    let runs: BTreeSet<_> = answers.iter().map(|it| it["run"].to_string()).collect();
    assert_eq!(runs.len(), 60);
    let listed = world.get("/api/v1/runs?limit=500").json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 60);
    world.stop();
}

#[test]
fn a_caller_that_sends_everything_first_is_served() {
    const LINES: u64 = 30_000;
    let dir = tempdir().unwrap();
    let world = World::with(dir.path(), |settings, _| settings.agents = 100);
    let lines = "{\"skill\":\"echo\",\"input\":{\"n\":1}}\n".repeat(LINES as usize);
    let answers = world.post("/api/v1/tasks/batch?wait=true", lines).lines();
    assert_eq!(answers.len() as u64, LINES);
    for (line, answer) in (1..).zip(&answers) {
        assert_eq!((&answer["line"], &answer["status"]), (&json!(line), &json!(200)), "{answer}");
    }
    world.stop();
}

#[test]
fn large_outputs_are_shown_and_larger_ones_named() {
    let dir = tempdir().unwrap();
    let world = World::start(dir.path());
    let text =
        |bytes: usize| format!("{{\"skill\":\"echo\",\"input\":\"{}\"}}\n", "x".repeat(bytes));
    let answers =
        world.post("/api/v1/tasks/batch?wait=30s", text(50_000) + &text(2_000_000)).lines();
    assert_eq!(answers[0]["output"].as_str().map(str::len), Some(50_000), "{:.300}", answers[0]);
    if answers[1]["state"] == "succeeded" {
        assert_eq!(answers[1]["output_blob"]["bytes"], 2_000_002, "{:.300}", answers[1]);
        let run = answers[1]["run"].as_str().unwrap();
        assert_eq!(world.get(&format!("/api/v1/runs/{run}/output")).body.len(), 2_000_002);
        let shown = world.get(&format!("/api/v1/runs/{run}")).json();
        assert!(shown["output"].is_null() && shown["output_blob"]["bytes"] == 2_000_002);
    }
    world.stop();
}
