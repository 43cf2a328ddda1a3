//! Schedules from the command line.

use crate::support::{Home, await_that};

const FILE: &str = "workflows:
  - name: outer
    tasks:
      - { name: below, run: { workflow: inner } }
  - name: inner
    tasks:
      - { name: say, skill: echo, input: hello }
schedules:
  - { name: yearly, cron: \"0 0 1 1 *\", workflow: outer }
";

#[test]
fn a_schedule_of_a_file_runs_its_workflow_with_all_that_it_runs_itself() {
    let home = Home::new();
    let _node = home.start(&["--agents", "8"]);
    home.file("yearly.yaml", FILE);
    home.call(&["schedule", "add", "yearly.yaml"]).expect(0);
    let run = home.call(&["schedule", "run", "yearly"]).expect(0).out;
    home.call(&["run", "--attach", run.trim()]).expect(0);

    home.file("yearly.yaml", &FILE.replace("skill: echo", "skill: ecko"));
    let problem = home.call(&["--json", "schedule", "add", "yearly.yaml"]).expect(2).problem();
    assert!(problem.to_string().contains("yearly.yaml:7:"), "{problem}");
}

#[test]
fn schedules_of_another_namespace_are_found_there_alone() {
    let home = Home::new();
    let _node = home.start(&["--agents", "8"]);
    home.file("yearly.yaml", FILE);
    let theirs = ["schedule", "--namespace", "theirs"];
    home.call(&[&theirs[..], &["add", "yearly.yaml"]].concat()).expect(0);
    assert!(!home.call(&["schedule", "list"]).expect(0).out.contains("yearly"));
    assert!(home.call(&[&theirs[..], &["list"]].concat()).expect(0).out.contains("yearly"));
    home.call(&["schedule", "get", "yearly"]).expect(5);
    home.call(&[&theirs[..], &["pause", "yearly"]].concat()).expect(0);
    home.call(&[&theirs[..], &["delete", "yearly", "--reason", "over"]].concat()).expect(0);
}

#[test]
fn a_schedule_says_why_it_began_no_run() {
    const BUSY: &str = "workflows:
  - name: busy
    tasks:
      - { name: hold, wait: { signal: go, timeout: 1h } }
schedules:
  - { name: busy, cron: \"* * * * * *\", workflow: busy, overlap: skip }
";
    let home = Home::new();
    let _node = home.start(&["--agents", "8"]);
    home.file("busy.yaml", BUSY);
    home.call(&["schedule", "add", "busy.yaml"]).expect(0);
    let mut shown = String::new();
    await_that("a time passes without a run", || {
        shown = home.call(&["schedule", "get", "busy"]).expect(0).out;
        shown.contains("skipped   ")
    });
    assert!(shown.contains(": a run of it was not over"), "{shown}");
}
