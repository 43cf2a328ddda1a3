//! The simulator as people call it: the engine alone, and their own workflows.

use serde_json::{Value, json};

use crate::support::Home;

const WORKFLOW: &str = r#"
workflows:
  - name: review
    input: {type: object, properties: {topic: {type: string, default: trees}}}
    tasks:
      - {name: fetch, skill: source.read}
      - name: each
        skill: echo
        map: {over: "${tasks.fetch.output.items}"}
        input: {item: "${item}", topic: "${input.topic}"}
      - {name: gather, skill: list.count, reduce: each}
      - {name: ask, wait: {signal: approved, timeout: 2d}, after: [gather]}
      - {name: publish, skill: site.put, input: {who: "${tasks.ask.output.by}"}}
agents:
  - name: reader
    behaviour: {worker: {effect: idempotent}}
    skills: [source.read, site.put]
"#;

#[test]
fn the_simulator_lives_through_a_seed_twice_alike_and_breaks_only_what_it_may() {
    let home = Home::new();
    let one = || home.call(&["--json", "orchestrator-sim", "--seed", "7"]).expect(0).json();
    let (first, second) = (one(), one());
    assert_eq!(first["fingerprint"], second["fingerprint"]);
    assert_eq!(first["violation"], Value::Null);
    let args = ["--json", "orchestrator-sim", "--seeds", "5", "--faults", "agent"];
    let calm = home.call(&args).expect(0).json();
    assert_eq!((&calm["total"]["kills"], &calm["total"]["power_losses"]), (&0.into(), &0.into()));
    assert_eq!(calm["seeds"], 5);
    let refused = home.call(&["orchestrator-sim", "--faults", "rain"]).expect(2);
    assert!(refused.err.contains("rain") && refused.err.contains("zombie"), "{}", refused.err);
}

#[test]
fn a_workflow_is_lived_through_again_by_the_command_that_the_report_names() {
    let home = Home::new();
    let file = home.file("review.yaml", WORKFLOW);
    let file = file.to_str().unwrap();
    let first = home.call(&["--json", "sim", file, "--seed", "3"]).expect(0).json();
    assert_eq!((&first["workflow"], &first["violation"]), (&json!("review"), &Value::Null));
    let runs = first["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|run| run["end"].is_string()), "{runs:?}");
    let checked = first["checked"].as_array().unwrap();
    assert!(checked.iter().any(|it| it["invariant"] == "I1"), "{checked:?}");
    assert!(first["injected"].as_object().is_some_and(|it| !it.is_empty()), "{first}");
    let again = first["again"].as_str().unwrap().to_owned();
    let words: Vec<&str> = again.split(' ').skip(1).collect();
    assert_eq!(words, ["sim", file, "--faults", "all", "--seed", "3"]);
    let second = home.call(&[&["--json"], &words[..]].concat()).expect(0).json();
    assert_eq!(first, second);
    let plain = home.call(&[&words[..], &["--steps", "2"]].concat()).expect(0).out;
    assert!(plain.contains("every promise was kept"), "{plain}");
}

#[test]
fn a_workflow_meets_the_faults_that_were_asked_for_and_no_others() {
    let home = Home::new();
    let file = home.file("review.yaml", WORKFLOW);
    let file = file.to_str().unwrap();
    let calm = ["--json", "sim", file, "--faults", "none", "--seeds", "5"];
    let calm = home.call(&calm).expect(0).json();
    assert_eq!((&calm["injected"], &calm["ends"]), (&json!({}), &json!({ "succeeded": 15 })));
    let harsh = ["--json", "sim", file, "--faults", "crash,zombie,duplicate", "--seeds", "10"];
    let harsh = home.call(&harsh).expect(0).json();
    let met = harsh["injected"].as_object().unwrap();
    assert!(met.contains_key("the process is killed"), "{met:?}");
    assert!(!met.contains_key("syncs fail") && !met.contains_key("an agent dies"), "{met:?}");
    assert_eq!(harsh["broken"], json!([]));
    let whole = home.call(&["--json", "sim", file, "--seeds", "40"]).expect(0).json();
    let met = whole["injected"].as_object().unwrap();
    for fault in ["the process is killed", "the power goes", "syncs fail", "an agent takes long"] {
        assert!(met.contains_key(fault), "{fault}: {met:?}");
    }
}

#[test]
fn a_run_that_does_not_come_to_its_end_is_told_with_exit_code_1() {
    let home = Home::new();
    let text = "workflows: [{name: w, tasks: [{name: t, wait: {for: 400d}}]}]";
    let file = home.file("w.yaml", text);
    let args = ["--json", "sim", file.to_str().unwrap(), "--faults", "none", "--seed", "1"];
    let found = home.call(&args).expect(1).json();
    assert_eq!(found["violation"]["invariant"], "liveness");
    assert!(found["runs"][0]["end"].is_null(), "{found}");
}

#[test]
fn what_a_task_answers_can_be_said_and_why_a_run_failed_is_told() {
    let home = Home::new();
    let text = "workflows: [{name: w, tasks: [{name: a, skill: x.y}, \
                {name: b, skill: echo, input: \"${tasks.a.output.n}\", when: \"tasks.a.output.n > 3\"}]}]";
    let file = home.file("w.yaml", text);
    let file = file.to_str().unwrap();
    let args = ["--json", "sim", file, "--faults", "none", "--seeds", "2"];
    let failed = home.call(&args).expect(0).json();
    assert_eq!(failed["ends"], json!({ "failed": 6 }));
    assert!(failed["first_failed"]["failure"].is_string(), "{failed}");
    let said = [&args[..], &["--output", "a={\"n\": 4}"]].concat();
    assert_eq!(home.call(&said).expect(0).json()["ends"], json!({ "succeeded": 6 }));
    home.call(&["sim", file, "--output", "nothing"]).expect(2);
    let nobody = home.call(&["sim", file, "--output", "nope=1"]).expect(2);
    assert!(nobody.err.contains("`nope`") && nobody.err.contains("x.y"), "{}", nobody.err);
    home.call(&["sim", file, "--seeds", "0"]).expect(2);
    home.call(&["orchestrator-sim", "--seeds", "0"]).expect(2);
    home.call(&["sim", "/no/such/file"]).expect(2);
}

#[test]
fn a_workflow_with_a_limit_of_its_own_is_held_to_it() {
    let home = Home::new();
    let text = "workflows: [{name: w, tasks: [{name: t, skill: echo, \
                limit: {name: crm, key: acme, at_once: 1, rate: {count: 10, per: 1m}}}]}]";
    let file = home.file("w.yaml", text);
    let args = ["--json", "sim", file.to_str().unwrap(), "--seeds", "5"];
    assert_eq!(home.call(&args).expect(0).json()["broken"], json!([]));
}

#[test]
fn an_answer_that_its_task_does_not_allow_is_refused_as_the_instance_does() {
    let home = Home::new();
    let text = "workflows: [{name: w, tasks: [{name: a, skill: x.y, retry: {attempts: 1}, \
                output_schema: {type: object, properties: {n: {type: integer}}, required: [n]}}]}]";
    let file = home.file("w.yaml", text);
    let args = ["--json", "sim", file.to_str().unwrap(), "--faults", "none", "--seeds", "2"];
    let of = |said: &str| home.call(&[&args[..], &["--output", said]].concat()).expect(0).json();
    assert_eq!(of("a={\"n\": 4}")["ends"], json!({ "succeeded": 6 }));
    let refused = of("x.y={\"n\": \"four\"}");
    assert_eq!(refused["ends"], json!({ "failed": 6 }));
    let failure = refused["first_failed"]["failure"].as_str().unwrap();
    assert!(failure.contains("/n"), "{failure}");
    assert_eq!(home.call(&args).expect(0).json()["ends"], json!({ "succeeded": 6 }));
}
