//! Workflows as `docs/workflows.md` shows them, and what people do to a run that waits.

use serde_json::json;

use crate::support::Home;

/// The examples of the page, in order.
fn examples() -> Vec<String> {
    let page = format!("{}/../../docs/workflows.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```yaml\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn every_example_of_the_page_is_a_workflow() {
    let home = Home::new();
    let examples = examples();
    assert!(examples.len() >= 3, "the page lost its examples");
    for (number, example) in examples.iter().enumerate() {
        let file = home.file(&format!("example-{number}.yaml"), example);
        home.call(&["graph", file.to_str().unwrap()]).expect(0);
    }
}

#[test]
fn the_first_examples_of_the_page_run_to_their_end() {
    let home = Home::new();
    for (number, example) in examples().iter().take(2).enumerate() {
        let file = home.file(&format!("example-{number}.yaml"), example);
        let input: &[&str] = if number == 0 { &["--input", "name=Ann"] } else { &[] };
        let run = [&["run", file.to_str().unwrap(), "--json"], input].concat();
        home.call(&run).expect(0);
    }
}

#[test]
fn a_run_that_waits_is_told_by_a_signal_and_says_for_what_it_waits() {
    let home = Home::new();
    let instance = home.start(&[]);
    let file = home.file(
        "ask.yaml",
        "workflows:\n  - name: ask\n    tasks:\n      - { name: said, wait: { signal: answer, timeout: 1h } }\n",
    );
    let run = home.call(&["submit", file.to_str().unwrap()]).expect(0).out.trim().to_owned();
    let shown = home.call(&["get", &run]).expect(0).out;
    assert!(shown.contains("waits for: signal answer"), "{shown}");
    let data = home.file("answer.json", r#"{"yes": true}"#);
    let data = format!("@{}", data.display());
    home.call(&["signal", &run, "question"]).expect(5);
    home.call(&["signal", &run, "answer", "--data", "{"]).expect(2);
    home.call(&["signal", &run, "answer", "--data", &data, "--key", "k"]).expect(0);
    home.call(&["signal", &run, "answer", "--data", &data, "--key", "k"]).expect(0);
    let view = home.call(&["run", "--attach", &run, "--json"]).expect(0);
    assert!(view.out.contains(r#""yes":true"#) || view.out.contains(r#""yes": true"#), "{view:?}");
    let over = home.call(&["--json", "signal", &run, "answer"]).expect(5).problem();
    assert_eq!(over["code"], json!("run_over"));
    drop(instance);
}

#[test]
fn a_run_is_forked_with_another_input_and_compared_with_its_source() {
    let home = Home::new();
    let instance = home.start(&[]);
    let file = home.file(
        "two.yaml",
        "workflows:\n  - name: two\n    tasks:\n      - { name: same, skill: echo, input: 1 }\n      \
         - { name: own, skill: echo, after: [same], input: \"${input.n}\" }\n",
    );
    let file = file.to_str().unwrap();
    let ran = home.call(&["run", file, "-i", "n:=1", "--json"]).expect(0);
    let run = ran.json_lines()[0]["run"].as_str().unwrap().to_owned();
    let forked = home.call(&["--json", "fork", &run, "-i", "n:=2", "--reason", "two"]).expect(0);
    let forked = forked.json();
    assert_eq!(forked["reused"], json!(["same"]), "{forked}");
    let fork = forked["run"].as_str().unwrap();
    home.call(&["run", "--attach", fork]).expect(0);
    assert!(home.call(&["get", fork]).expect(0).out.contains(&run), "it says where it is from");
    let diff = home.call(&["diff", &run, fork]).expect(1).out;
    assert!(diff.contains("/n 1 | 2") && diff.contains("task own"), "{diff}");
    let other = home.call(&["fork", &run, "--file", file]).expect(0).out;
    home.call(&["run", "--attach", other.trim()]).expect(0);
    home.call(&["diff", &run, other.trim()]).expect(0);
    home.call(&["fork", &run, "--at", "1", "--task", "own"]).expect(2);
    home.call(&["fork", &run, "--at", "1.99"]).expect(5);
    drop(instance);
}

#[test]
fn a_fork_with_another_file_names_its_workflow_and_says_where_it_is_wrong() {
    let home = Home::new();
    let instance = home.start(&[]);
    let one = home.file(
        "one.yaml",
        "workflows:\n  - name: one\n    tasks:\n      - { name: t, skill: echo, input: 1 }\n",
    );
    let ran = home.call(&["run", one.to_str().unwrap(), "--json"]).expect(0);
    let run = ran.json_lines()[0]["run"].as_str().unwrap().to_owned();
    let two = "workflows:\n  - name: a\n    tasks:\n      - { name: t, skill: echo, input: 1 }\n  \
               - name: b\n    input: { type: object, properties: { n: { type: integer } } }\n    \
               tasks:\n      - { name: t, skill: echo, input: \"${input.n}\" }\n";
    let two = home.file("two.yaml", two);
    let two = two.to_str().unwrap();
    let unclear = home.call(&["--json", "fork", &run, "--file", two]).expect(2).problem();
    assert_eq!(unclear["code"], json!("workflow_ambiguous"));
    assert!(unclear["hint"].as_str().unwrap().contains("--workflow"), "{unclear}");
    let fork = ["fork", &run, "--file", two, "--workflow", "b", "-i", "n=2", "--key", "k"];
    let more = ["--budget", "calls=5", "--deadline", "1h"];
    let first = home.call(&[&fork[..], &more[..]].concat()).expect(0).out;
    assert_eq!(
        first,
        home.call(&[&fork[..], &more[..]].concat()).expect(0).out,
        "one fork for one key"
    );
    home.call(&[&fork[..], &["--deadline", "2h"]].concat()).expect(5);
    let shown = home.call(&["run", "--attach", first.trim(), "--json"]).expect(0).out;
    assert!(shown.contains("\"output\":2") || shown.contains("\"output\": 2"), "{shown}");

    let wrong = home.file(
        "wrong.yaml",
        "workflows:\n  - name: one\n    tasks:\n      - { name: t, skill: ecko, input: 1 }\n",
    );
    let told = home.call(&["fork", &run, "--file", wrong.to_str().unwrap()]).expect(2).err;
    assert!(told.contains("wrong.yaml:4:27"), "{told}");
    let named = home.call(&["--json", "fork", &run, "--workflow", two]).expect(2).problem();
    assert!(named["hint"].as_str().unwrap().contains("--file"), "{named}");
    home.call(&["fork", &run, "--workflow", "nobody"]).expect(5);
    drop(instance);
}

#[test]
fn what_is_null_in_one_run_and_not_there_in_the_other_is_told_apart() {
    let home = Home::new();
    let instance = home.start(&[]);
    let submit = |input: &[&str]| {
        let run = [&["run", "--task", "echo", "--json"], input].concat();
        let ran = home.call(&run).expect(0);
        ran.json_lines()[0]["run"].as_str().unwrap().to_owned()
    };
    let (null, none) = (submit(&["-i", "a:=1", "-i", "n:=null"]), submit(&["-i", "a:=1"]));
    let diff = home.call(&["diff", &null, &none]).expect(1).out;
    assert!(diff.contains("/n null | –"), "{diff}");
    drop(instance);
}
