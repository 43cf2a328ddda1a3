//! The examples of the audit, by the real binary: history by git in the jail, HTML, and what
//! changed between two audits.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::Home;

const DAY: u64 = 86_400;
/// The first commit's moment.
const BEGIN: u64 = 1_700_000_000;

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/audit").join(name);
    path.to_str().unwrap().to_owned()
}

/// A repository made by real commits.
struct Repository {
    path: PathBuf,
    at: u64,
}

impl Repository {
    fn new(path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        let made = Repository { path, at: BEGIN };
        made.git(&["init", "-q", "-b", "main"]);
        made
    }

    fn git(&self, args: &[&str]) {
        let at = format!("@{} +0000", self.at);
        let done = Command::new("git")
            .current_dir(&self.path)
            .args(["-c", "user.email=ann@acme.example", "-c", "commit.gpgsign=false"])
            .args(args)
            .envs([("GIT_AUTHOR_DATE", at.as_str()), ("GIT_COMMITTER_DATE", at.as_str())])
            .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")])
            .status()
            .expect("these tests need git");
        assert!(done.success(), "git {args:?}");
    }

    fn commit(&mut self, author: &str, days_later: u64) {
        self.at += days_later * DAY;
        self.git(&["add", "-A"]);
        self.git(&["-c", &format!("user.name={author}"), "commit", "-q", "-m", "x"]);
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path.join(path), text).unwrap();
    }
}

fn audit(home: &Home, tree: &Path, out: &str) -> (Value, String, String) {
    let (tree, out) = (format!("path={}", tree.display()), home.path().join(out));
    let out_is = format!("out={}", out.display());
    home.call(&["run", &example("audit.yaml"), "--input", &tree, "--input", &out_is]).expect(0);
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    (serde_json::from_str(&read("audit.json")).unwrap(), read("audit.md"), read("audit.html"))
}

/// Whether this machine can hold a jail; elsewhere the audit has to say that it has none.
fn has_jail(home: &Home) -> bool {
    home.call(&["sandbox", "probe"]).code == 0
}

#[test]
fn history_of_a_real_repository_is_counted_by_git_in_the_jail() {
    let home = Home::new();
    let mut repository = Repository::new(home.path().join("tree"));
    repository.write("old.rs", "fn old() {}\n");
    repository.commit("Zoe", 0);
    repository.write("main.rs", "fn main() {}\n");
    repository.write("gone.rs", "fn gone() {}\n");
    repository.commit("Ann", 400);
    repository.write("main.rs", "fn main() {\n    work();\n}\n");
    std::fs::remove_file(repository.path.join("gone.rs")).unwrap();
    repository.commit("Bob", 40);
    repository.git(&["mv", "main.rs", "moved.rs"]);
    repository.commit("Ann", 1);
    let (report, markdown, html) = audit(&home, &repository.path, "out");
    let history = &report["history"];
    if !has_jail(&home) {
        assert!(history["why_none"].as_str().unwrap().contains("confine"), "{history}");
        return;
    }
    // Zoe's commit lies before the 365 days that end with the newest.
    assert_eq!(
        (history["commits"].as_u64(), history["newest"].as_str()),
        (Some(3), Some("2025-01-28"))
    );
    let listed = |list: &Value, field: &str| -> Vec<(String, u64)> {
        let row =
            |it: &Value| (it[field].as_str().unwrap().to_owned(), it["commits"].as_u64().unwrap());
        list.as_array().unwrap().iter().map(row).collect()
    };
    let pair = |name: &str, count| (name.to_owned(), count);
    assert_eq!(listed(&history["most_changed"], "path"), [pair("moved.rs", 3)]);
    assert_eq!(listed(&history["authors"]["listed"], "name"), [pair("Ann", 2), pair("Bob", 1)]);
    let ages = history["ages"].as_array().unwrap();
    assert_eq!(ages.last().unwrap()["files"], 1, "old.rs rested longer: {ages:?}");
    assert!(markdown.contains("| `Ann` | 2 |"), "{markdown}");
    assert!(html.contains("<title id=\"c"), "no chart");
    assert!(
        !(report.to_string() + &markdown + &html).contains("acme.example"),
        "an address came out"
    );
}

#[test]
fn nothing_that_a_hostile_repository_names_is_run_or_followed() {
    let home = Home::new();
    let mut repository = Repository::new(home.path().join("tree"));
    let trap = home.path().join("trap");
    repository.write("a.txt", "one\n");
    repository.write(".gitattributes", "* diff=trap filter=trap\n");
    repository.commit("Ann", 0);
    repository.write("a.txt", "two\n");
    repository.commit("Ann", 1);
    let run = format!("touch {}", trap.display());
    let config = format!(
        "[core]\nfsmonitor={run}\npager={run}\nhooksPath={home}\nsshCommand={run}\nalternateRefsCommand={run}\n\
         [pager]\nlog={run}\n[diff]\nexternal={run}\n[diff \"trap\"]\ntextconv={run}\ncommand={run}\n\
         [gpg]\nprogram={run}\n[log]\nshowSignature=true\n[alias]\nlog=!{run}\n[include]\npath=/etc/shadow\n",
        home = home.path().display()
    );
    std::fs::write(repository.path.join(".git/config"), config).unwrap();
    let (report, ..) = audit(&home, &repository.path, "out");
    assert!(!trap.exists(), "the repository ran a program");
    if has_jail(&home) {
        assert_eq!(report["history"]["commits"], 2, "{}", report["history"]);
    }

    // Git waits at a pipe for ever; the audit does not.
    let pipe = repository.path.join(".git/ff");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    std::fs::write(repository.path.join(".git/config"), "[include]\npath=ff\n").unwrap();
    let (report, ..) = audit(&home, &repository.path, "pipe");
    if has_jail(&home) {
        assert_eq!(report["history"]["why_none"], "git did not answer in time");
    }

    // The objects of another repository, and a pointer to it.
    let other = home.path().join("other");
    std::fs::rename(&repository.path, &other).unwrap();
    std::fs::create_dir(&repository.path).unwrap();
    std::fs::write(repository.path.join(".git"), format!("gitdir: {}/.git\n", other.display()))
        .unwrap();
    let (report, ..) = audit(&home, &repository.path, "pointer");
    assert!(report["history"]["why_none"].as_str().unwrap().contains("elsewhere"), "{report}");
    std::fs::remove_file(repository.path.join(".git")).unwrap();
    std::fs::create_dir(repository.path.join(".git")).unwrap();
    for part in ["objects", "refs"] {
        let there = other.join(".git").join(part);
        std::os::unix::fs::symlink(there, repository.path.join(".git").join(part)).unwrap();
    }
    repository.write(".git/HEAD", "ref: refs/heads/main\n");
    let (report, ..) = audit(&home, &repository.path, "links");
    assert_eq!(report["history"]["commits"], 0, "another repository was read");
    assert!(report["history"]["why_none"].is_string());
}

#[test]
fn two_audits_are_told_apart() {
    let home = Home::new();
    let tree = home.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("a.rs"), "fn a() {}\n").unwrap();
    let (report, ..) = audit(&home, &tree, "before");
    let why = report["history"]["why_none"].as_str().unwrap();
    assert_eq!(why, "the tree is not the top of a git repository");
    std::fs::write(tree.join("b.rs"), "fn b() {} // TODO: c\n").unwrap();
    audit(&home, &tree, "after");
    let paths = ["before", "after"]
        .map(|side| format!("{side}={}", home.path().join(side).join("audit.json").display()));
    let file = example("diff.yaml");
    let args = ["--json", "run", &file, "--input", &paths[0], "--input", &paths[1]];
    let done = home.call(&args).expect(0);
    let summary = &done.json_lines().pop().unwrap()["output"]["summary"];
    let counts =
        ["files_added", "files_removed", "code", "todos_new"].map(|it| summary[it].as_i64());
    assert_eq!(counts, [Some(1), Some(0), Some(1), Some(1)]);
    let markdown = std::fs::read_to_string(home.path().join("audit-diff/audit-diff.md")).unwrap();
    assert!(markdown.contains("| `b.rs` | 21 B |"), "{markdown}");
}
