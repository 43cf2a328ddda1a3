//! The configuration of a running instance, read again.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Home, await_that};

const BEFORE: &str =
    "[monitoring]\nlog_level = \"warn\"\n[performance]\nmax_concurrent_tasks = 500\nworkers = 2\n";
const AFTER: &str =
    "[monitoring]\nlog_level = \"debug\"\n[performance]\nmax_concurrent_tasks = 50\nworkers = 3\n";

fn setting(home: &Home, key: &str) -> (String, String) {
    let shown = home.call(&["--json", "config", "show", "--running"]).expect(0).json();
    let values = shown["values"].as_array().unwrap();
    let entry = values.iter().find(|it| it["key"] == key).unwrap();
    let text = |field: &str| home.neutral(entry[field].as_str().unwrap());
    (text("value"), text("origin"))
}

fn pair(value: &str, origin: &str) -> (String, String) {
    (value.to_owned(), origin.to_owned())
}

/// Whether the journal has a text anywhere.
fn journal_has(home: &Home, text: &str) -> bool {
    std::fs::read_dir(home.data().join("journal")).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        bytes.windows(text.len()).any(|it| it == text.as_bytes())
    })
}

#[test]
fn what_can_change_changes_and_what_needs_a_restart_is_named_and_stays() {
    let home = Home::new();
    let file = home.file("ark.toml", BEFORE);
    let node = home.start(&["--agents", "8", "--config", file.to_str().unwrap()]);
    let same = home.call(&["--json", "config", "reload"]).expect(0).json();
    assert_eq!(
        (&same["changed"], &same["refused"]),
        (&Value::Array(vec![]), &Value::Array(vec![]))
    );
    assert!(!journal_has(&home, "max_concurrent_tasks"));
    home.file("ark.toml", AFTER);
    let args = ["--json", "config", "reload", "--reason", "less at a time"];
    let found = home.call(&args).expect(5).json();
    let keys = |name: &str| {
        let list = found[name].as_array().unwrap().iter();
        list.map(|it| it["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys("changed"), ["monitoring.log_level", "performance.max_concurrent_tasks"]);
    assert_eq!(keys("refused"), ["performance.workers"]);
    assert_eq!(found["refused"][0]["reason"], "needs a restart");
    assert_eq!(found["changed"][1]["from"], "500");
    let origin = "HOME/ark.toml:4:24";
    assert_eq!(setting(&home, "performance.max_concurrent_tasks"), pair("50", origin));
    assert_eq!(setting(&home, "performance.workers").0, "2");
    assert_eq!(setting(&home, "system.initial_agent_count"), pair("8", "--agents"));
    let shown = home.call(&["--json", "config", "show", "--running"]).expect(0).json();
    let written: Vec<(&str, &str)> = shown["values"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| Some((it["key"].as_str()?, it["written"].as_str()?)))
        .collect();
    assert_eq!(written, [("performance.workers", "3")]);
    let table = home.neutral(&home.call(&["config", "show", "--running"]).expect(0).out);
    let row = table.lines().find(|line| line.starts_with("performance.workers")).unwrap();
    assert!(
        row.ends_with("HOME/ark.toml:5:11  waits for restart: 3 (HOME/ark.toml:5:11)"),
        "{row}"
    );
    let plain = home.call(&["config", "reload"]).expect(5).out;
    assert!(plain.contains("performance.workers needs a restart: 2 → 3"), "{plain}");
    for text in ["max_concurrent_tasks", "less at a time", "operator"] {
        assert!(journal_has(&home, text), "{text}");
    }
    node.signal(Signal::TERM);
    let (code, log) = node.wait();
    assert_eq!(code, Some(0), "{log}");
    // At level `debug` requests are told, which they were not before.
    assert!(log.contains("a setting changed") && log.contains("/admin/reload"), "{log}");
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_says_where() {
    let home = Home::new();
    let file = home.file("ark.toml", BEFORE);
    let _node = home.start(&["--config", file.to_str().unwrap()]);
    let wrong = "[monitoring]\nlog_level = \"debug\"\n[performance]\nspeed = 9\nlease = \"x\"\n";
    home.file("ark.toml", wrong);
    let refused = home.call(&["--json", "config", "reload"]).expect(2).problem();
    assert_eq!(refused["code"], "settings_invalid");
    let places = refused["errors"].as_array().unwrap().iter();
    let places: Vec<_> = places.map(|it| home.neutral(it["place"].as_str().unwrap())).collect();
    assert_eq!(places, ["HOME/ark.toml:4:1", "HOME/ark.toml:5:9"], "{refused}");
    let told = home.neutral(&home.call(&["config", "reload"]).expect(2).err);
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[1].starts_with("  HOME/ark.toml:4:1: ") && lines[1].contains("`performance.speed`"),
        "{told}"
    );
    assert!(
        told.contains("\n  HOME/ark.toml:5:9: `x` is no value for `performance.lease`\n"),
        "{told}"
    );
    let hint = lines.last().unwrap();
    assert!(hint.contains("`ark-os config show --config HOME/ark.toml`"), "{told}");
    let shown = home.call(&["config", "show", "--running"]).expect(0);
    assert!(shown.err.contains("cannot be read"), "{}", shown.err);
    assert_eq!(setting(&home, "monitoring.log_level").0, "warn");
}

#[test]
fn a_hang_up_reads_the_configuration_again() {
    let home = Home::new();
    let file = home.file("ark.toml", BEFORE);
    let node = home.start(&["--config", file.to_str().unwrap()]);
    home.file("ark.toml", "[monitoring]\nlog_level = \"info\"\n");
    node.signal(Signal::HUP);
    let is_new = || setting(&home, "performance.max_concurrent_tasks") == pair("1000", "default");
    await_that("the configuration is read again", is_new);
    assert_eq!(setting(&home, "monitoring.log_level"), pair("info", "HOME/ark.toml:2:13"));
    assert!(journal_has(&home, "SIGHUP"));
    node.signal(Signal::TERM);
    let (code, log) = node.wait();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("needs a restart"), "what cannot change is told: {log}");
}

#[test]
fn a_pipe_in_the_place_of_the_file_is_told_and_holds_nothing_up() {
    let home = Home::new();
    let file = home.file("ark.toml", BEFORE);
    let node = home.start(&["--config", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RWXU).unwrap();
    // More than the threads of the server.
    for _ in 0..4 {
        let shown = home.call(&["config", "show", "--running"]).expect(0);
        assert!(home.neutral(&shown.err).contains("HOME/ark.toml` is a pipe"), "{}", shown.err);
        let refused = home.call(&["--json", "config", "reload"]).expect(2).problem();
        assert_eq!(refused["code"], "settings_invalid");
        assert!(!refused["hint"].to_string().contains("config show"), "that would hang: {refused}");
    }
    home.call(&["list", "agents"]).expect(0);
    node.signal(Signal::HUP);
    node.signal(Signal::TERM);
    let (code, log) = node.wait();
    assert_eq!(code, Some(0), "{log}");
}
