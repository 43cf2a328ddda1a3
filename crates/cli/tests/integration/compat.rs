//! What was promised is kept, or recorded as deprecated.

use serde_json::Value;

use crate::support::Home;

#[test]
fn nothing_that_was_promised_is_gone_without_a_record() {
    let home = Home::new();
    let done = home.call(&["compat", "check"]);
    assert_eq!(done.code, 0, "put it back, or record it in docs/deprecations.toml:\n{}", done.out);
    let found = home.call(&["--json", "compat", "check"]).expect(0).json();
    assert_eq!(found["broken"], Value::Array(Vec::new()));
}

#[test]
fn what_an_earlier_version_had_and_this_one_has_not_is_told_unless_it_is_recorded() {
    let home = Home::new();
    let mut registry = home.call(&["compat", "export"]).expect(0).json();
    let entries = registry["entries"].as_array_mut().unwrap();
    for known in [
        "command ark-os ledger verify",
        "flag ark-os run --input",
        "repeatable-flag ark-os run --input",
        "route GET /api/v1/runs",
        "config system.mode",
        "variable ARK_OS_MODE",
        "error run_not_found 404 5",
        "event 0 InstanceStarted",
        "skill echo",
        "field manifest.workflows",
        "requires-flag ark-os resolve --reason",
        "one-of ark-os resolve --give-up|--happened|--not-happened",
        "closed RunSubmission",
        "pattern manifest/agent.name ^[A-Za-z0-9_-]{1,100}$",
        "either manifest agents",
        "sure-field RunView.id",
        "type POST/api/v1/runs#body RunSubmission",
        "value manifest/agent.layer micro",
        "limit manifest/agent.concurrency maximum 1000000",
    ] {
        assert!(entries.iter().any(|it| it == known), "{known}");
    }
    entries.push("command ark-os dance".into());
    let path = home.file("registry.json", &registry.to_string());
    let args = ["--json", "compat", "check", "--against", path.to_str().unwrap()];
    let found = home.call(&args).expect(6).json();
    assert_eq!(found["broken"], serde_json::json!(["command ark-os dance"]));
    let record =
        "[[deprecated]]\nentry = \"command ark-os dance\"\nsince = \"1\"\nwhy = \"tired\"\n";
    let records = home.file("deprecations.toml", record);
    let args = [&args[..], &["--deprecations", records.to_str().unwrap()]].concat();
    let found = home.call(&args).expect(0).json();
    assert_eq!(found["deprecated"], serde_json::json!(["command ark-os dance"]));
    for (option, other) in
        [("--against", "ark-os compat export"), ("--deprecations", "[[deprecated]]")]
    {
        let problem =
            home.call(&["--json", "compat", "check", option, "/no/such/file"]).expect(2).problem();
        assert!(problem["detail"].as_str().unwrap().contains("`/no/such/file`"), "{problem}");
        assert!(problem["hint"].as_str().unwrap().contains(other), "{problem}");
    }
}

#[test]
fn every_line_that_is_taken_out_of_this_version_is_found_by_the_one_before() {
    let home = Home::new();
    let registry = home.call(&["compat", "export"]).expect(0).json();
    // What this version has and another has not: that other one, checked against this.
    let entries = registry["entries"].as_array().unwrap();
    assert!(entries.len() > 1_000, "{}", entries.len());
    let renamed: Vec<String> = entries
        .iter()
        .map(|it| it.as_str().unwrap().replace("command ark-os scale", "command ark-os grow"))
        .collect();
    let earlier = serde_json::json!({ "format": 2, "version": "0.0.9", "entries": renamed });
    let path = home.file("earlier.json", &earlier.to_string());
    let args = ["--json", "compat", "check", "--against", path.to_str().unwrap()];
    let found = home.call(&args).expect(6).json();
    assert_eq!(found["broken"], serde_json::json!(["command ark-os grow"]));
    assert_eq!(found["added"], 1);
}
