//! The task runner as a process: what a shell sees of `tidy` on a clean and on a broken tree.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail loudly, and starting the real binary is its purpose"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A small workspace of its own below cargo's directory for this test's files.
fn workspace(name: &str, source: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(root.join("crates/api/src")).unwrap();
    fs::write(root.join("Cargo.toml"), "[workspace]\nmembers = [\"crates/*\"]\n").unwrap();
    let manifest = "[package]\nname = \"ark-os-api\"\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
        publish.workspace = true\n[lints]\nworkspace = true\n";
    fs::write(root.join("crates/api/Cargo.toml"), manifest).unwrap();
    fs::write(root.join("crates/api/src/lib.rs"), source).unwrap();
    root
}

fn xtask(root: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(args).current_dir(root).output().unwrap()
}

#[test]
fn a_clean_tree_ends_with_zero_and_says_nothing() {
    let root = workspace("clean", "//! Promises: the wire types.\n");
    let output = xtask(&root, &["tidy"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn all_findings_come_in_one_answer_with_their_places_and_end_with_one() {
    let root = workspace("broken", "pub struct TaskManager;\npub fn get_task() {}\n");
    let output = xtask(&root, &["tidy"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let places: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("crates/api/src/lib.rs:")).collect();
    assert_eq!(places.len(), 3, "{text}");
    assert!(places.iter().all(|line| line.contains(": ") && line.ends_with(')')), "{text}");
    assert!(text.ends_with("xtask: tidy: 3 findings\n"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_unknown_task_is_bad_usage_and_shows_the_tasks() {
    let root = workspace("usage", "//! Promises: the wire types.\n");
    let output = xtask(&root, &["tidi"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("cargo xtask <task>"));
    assert_eq!(output.status.code(), Some(2));
}
