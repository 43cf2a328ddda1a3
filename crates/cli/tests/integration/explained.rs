//! `trace` and `graph`: what people and programs see of a run, and of a file that nobody ran.

use serde_json::Value;

use crate::support::Home;

const AUDIT: &str = r#"
workflows:
  - name: review
    version: "2"
    tasks:
      - { name: files, skill: list.range, input: { count: 4 } }
      - name: read
        skill: echo
        map: { over: "${tasks.files.output}" }
        input: { n: "${item}" }
      - { name: sum, skill: list.sum, reduce: read, input: { field: /n } }
      - { name: deep, skill: model.think, when: 'input.deep == "yes" && 1 < 2', input: "${tasks.files.output}", on_failure: { fallback: shallow } }
      - { name: shallow, skill: echo, after: [files] }
      - { name: report, skill: text.join, input: ["${tasks.sum.output}", "${tasks.deep.output}"] }
"#;

/// What a run of this machine differs in from that of another: times and numbers of records.
fn neutral(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if !c.is_ascii_digit() {
            out.push(c);
            continue;
        }
        while rest.next_if(|c| c.is_ascii_digit() || *c == '.').is_some() {}
        out.push('N');
    }
    out
}

#[test]
fn a_file_with_agents_of_its_own_is_drawn_without_an_instance() {
    let home = Home::new();
    for name in ["wordcount", "deliver"] {
        let file = format!("{}/../../examples/agents/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        home.call(&["graph", &file]).expect(0);
    }
}

#[test]
fn a_file_that_nobody_ran_is_drawn_without_an_instance() {
    let home = Home::new();
    let file = home.file("review.yaml", AUDIT);
    let file = file.to_str().unwrap();
    let plain = home.call(&["graph", file]).expect(0).out;
    assert!(plain.is_ascii() && plain.lines().all(|line| line.len() <= 80), "{plain}");
    insta::assert_snapshot!("graph_of_a_file", plain);
    let mut command = home.command(&["graph", file]);
    let drawn =
        crate::support::done(command.env("LANG", "de_DE.UTF-8").output().unwrap()).expect(0);
    insta::assert_snapshot!("graph_of_a_file_in_utf8", drawn.out);
    insta::assert_snapshot!(
        "graph_of_a_file_in_dot",
        home.call(&["graph", file, "--format", "dot"]).expect(0).out
    );
    let mermaid = home.call(&["graph", file, "--format", "mermaid"]).expect(0).out;
    insta::assert_snapshot!("graph_of_a_file_in_mermaid", mermaid);
    let json = home.call(&["--json", "graph", file]).expect(0).json();
    assert_eq!(json["critical_path"], serde_json::json!(["files", "read", "sum", "report"]));
    assert!(!home.data().exists(), "nothing was started");
    home.call(&["graph", "/no/such/file.yaml"]).expect(2);
    let broken = home.file("broken.yaml", "workflows:\n  - { name: b, tasks: [] }\n");
    assert!(
        home.call(&["graph", broken.to_str().unwrap()]).expect(2).err.contains("broken.yaml:2")
    );
}

#[test]
fn dot_that_graphviz_reads_is_drawn_by_it() {
    // Where Graphviz is not installed the tests of the text itself have to do.
    let is_there = std::process::Command::new("dot").arg("-V").output().is_ok();
    if !is_there {
        return;
    }
    let home = Home::new();
    let file = home.file("review.yaml", AUDIT);
    let dot = home.call(&["graph", file.to_str().unwrap(), "--format", "dot"]).expect(0).out;
    let path = home.file("review.dot", &dot);
    let drawn = std::process::Command::new("dot").arg("-Tplain").arg(&path).output().unwrap();
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let nodes = String::from_utf8(drawn.stdout).unwrap();
    assert_eq!(nodes.lines().filter(|line| line.starts_with("node ")).count(), 6, "{nodes}");
}

const SMALL: &str = r#"
workflows:
  - name: small
    version: "1"
    tasks:
      - { name: numbers, skill: list.range, input: { count: 3 } }
      - name: each
        skill: echo
        map: { over: "${tasks.numbers.output}" }
        input: { n: "${item}" }
      - { name: sum, skill: list.sum, reduce: each, input: { field: /n } }
      - name: shaky
        skill: fail
        on_failure: continue
        retry: { attempts: 2, backoff: 1ms, max: 1ms }
        input: { error: { code: bad.thing, message: broken, retryable: true } }
"#;

#[test]
fn a_run_is_explained_line_by_line() {
    let home = Home::new();
    let _node = home.start(&["--agents", "12"]);
    let file = home.file("small.yaml", SMALL);
    let run =
        home.call(&["--json", "run", file.to_str().unwrap()]).expect(0).json_lines()[0]["run"]
            .as_str()
            .unwrap()
            .to_owned();
    let trace = home.call(&["trace", &run]).expect(0);
    assert_eq!(trace.err, "");
    assert!(trace.out.is_ascii(), "{}", trace.out);
    assert!(trace.out.lines().all(|line| line.len() <= 80), "{}", trace.out);
    let mut said: Vec<String> = trace
        .out
        .lines()
        .skip(2)
        .map(|line| {
            // What comes behind depends on how long numbers and times are.
            let words = neutral(line.get(30..).unwrap());
            words.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
        })
        .collect();
    // Within one moment the order is the machine's.
    said.sort();
    insta::assert_snapshot!("trace_of_a_run", said.join("\n"));

    let rows = home.call(&["--json", "trace", &run]).expect(0).json_lines();
    assert_eq!(rows.len(), trace.out.lines().count() - 2);
    assert_eq!(rows.last().unwrap()["kind"], "ended");
    let expanded = home.call(&["--json", "trace", &run, "--expand"]).expect(0).json_lines();
    assert_eq!(expanded.len(), rows.len() + 6, "three children, each a task and an attempt");
    let first = home.call(&["--json", "trace", &run, "--limit", "3"]).expect(0).json_lines();
    let rest = ["--json", "trace", &run, "--after", first[2]["id"].as_str().unwrap()];
    let rest = home.call(&rest).expect(0).json_lines();
    let both: Vec<Value> = first.into_iter().chain(rest).collect();
    assert_eq!(both, rows);
    let note = home.call(&["trace", &run, "--limit", "3"]).expect(0).err;
    assert!(note.starts_with("more: --after "), "{note}");
    let of_task = home.call(&["trace", &run, "--task", "shaky", "--depth", "3"]).expect(0).out;
    assert_eq!(of_task.matches("shaky #").count(), 2, "{of_task}");
    home.call(&["trace", &run, "--task", "nobody"]).expect(5);
    home.call(&["trace", "run_00000000000000000000000000"]).expect(5);
    home.call(&["trace", &run, "--depth", "9"]).expect(2);

    let graph = neutral(&home.call(&["graph", &run]).expect(0).out);
    assert!(graph.contains("map N/N") && graph.contains("failed (N attempts)"), "{graph}");
    assert_eq!(
        home.call(&["graph", &run, "--format", "json"]).expect(0).json()["state"],
        "succeeded"
    );
    home.call(&["graph", &run, "--workflow", "x"]).expect(2);
}
