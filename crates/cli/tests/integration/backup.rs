//! Backups of running, killed and stopped instances, and what is made of them elsewhere.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::support::Home;

/// How many runs are accepted at least before something happens to the instance.
const RUNS_MIN: usize = 5;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The ids of all runs that a data directory knows, asked of an instance that is started on it.
fn known(home: &Home, data: &Path) -> BTreeSet<String> {
    let node = home.start(&["--agents", "6", "--data-dir", text(data)]);
    let mut ids = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let args = ["--data-dir", text(data), "--json", "list", "runs", "--limit", "100"];
        let more: &[&str] = if cursor.is_empty() { &[] } else { &["--cursor", &cursor] };
        let page = home.call(&[&args, more].concat()).expect(0).json();
        let items = page["items"].as_array().unwrap();
        ids.extend(items.iter().map(|run| run["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    home.call(&["--data-dir", text(data), "shutdown", "--now"]).expect(0);
    drop(node);
    ids
}

fn submit(home: &Home, at: usize) -> Option<String> {
    let input = format!("text={at}");
    let done = home.call(&["--json", "submit", "--task", "echo", "-i", &input]);
    (done.code == 0).then(|| done.json()["run"].as_str().unwrap().to_owned())
}

#[test]
fn what_was_accepted_before_a_backup_under_load_is_there_where_it_is_put_back() {
    let home = Home::new();
    let node = home.start(&["--agents", "6"]);
    let (backup, elsewhere) = (home.path().join("backup"), home.path().join("elsewhere"));
    let over = AtomicBool::new(false);
    let accepted = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let runs = (0..).map_while(|at| submit(&home, at));
            runs.take_while(|_| !over.load(Ordering::Relaxed)).count()
        });
        let first: BTreeSet<String> = (0..RUNS_MIN).map(|at| submit(&home, at).unwrap()).collect();
        let done = home.call(&["--json", "backup", text(&backup)]).expect(0).json();
        assert_eq!(done["instance_ran"], true, "{done}");
        let second: BTreeSet<String> = (0..RUNS_MIN).map(|at| submit(&home, at).unwrap()).collect();
        home.call(&["backup", text(&backup)]).expect(0);
        node.signal(rustix::process::Signal::KILL);
        over.store(true, Ordering::Relaxed);
        load.join().unwrap();
        first.union(&second).cloned().collect::<BTreeSet<_>>()
    });
    assert_eq!(accepted.len(), 2 * RUNS_MIN);
    let args = ["restore", text(&backup), "--data-dir", text(&elsewhere)];
    let done = home.call(&args).expect(0);
    assert!(done.out.contains("restored into"), "{}", done.out);
    let there = known(&home, &elsewhere);
    assert!(there.is_superset(&accepted), "{accepted:?} are not all of {there:?}");
    // Nothing is put over what is there.
    let refused = home.call(&args).expect(5);
    assert!(refused.err.contains("is not empty"), "{}", refused.err);
}

#[test]
fn a_backup_of_a_killed_instance_has_everything_that_it_accepted() {
    let home = Home::new();
    let node = home.start(&["--agents", "6"]);
    let accepted: BTreeSet<String> = (0..RUNS_MIN).map(|at| submit(&home, at).unwrap()).collect();
    node.signal(rustix::process::Signal::KILL);
    node.wait();
    let backup = home.path().join("backup");
    let done = home.call(&["--json", "backup", text(&backup)]).expect(0).json();
    assert_eq!(done["instance_ran"], false, "{done}");
    home.call(&["ledger", "verify", text(&backup)]).expect(0);
    let elsewhere = home.path().join("elsewhere");
    home.call(&["restore", text(&backup), "--data-dir", text(&elsewhere)]).expect(0);
    assert_eq!(known(&home, &elsewhere), accepted);
}

/// Every file of a backup, but for the two that only say again what its list says.
fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !["ledger.pub", "archive.note"].iter().any(|name| path.ends_with(name)) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_damaged_backup_is_refused_with_the_file_s_name_and_nothing_is_put_back() {
    let home = Home::new();
    let long = "x".repeat(20_000);
    home.call(&["run", "--task", "echo", "-i", &format!("text={long}")]).expect(0);
    let backup = home.path().join("backup");
    home.call(&["backup", text(&backup)]).expect(0);
    home.call(&["restore", text(&backup), "--check"]).expect(0);
    let files = files(&backup);
    assert!(files.len() >= 4, "{files:?}");
    let elsewhere = home.path().join("elsewhere");
    for path in &files {
        let whole = std::fs::read(path).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        std::fs::write(path, damaged).unwrap();
        for args in [["--data-dir", text(&elsewhere)].as_slice(), &["--check"]] {
            let refused = home.call(&[&["restore", text(&backup)], args].concat()).expect(6);
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(refused.err.contains(name), "{name}: {}", refused.err);
        }
        assert!(!elsewhere.exists(), "nothing is left of an attempt");
        std::fs::write(path, whole).unwrap();
    }
    home.call(&["restore", text(&backup), "--data-dir", text(&elsewhere)]).expect(0);
}

#[test]
fn what_came_after_a_backup_is_told_by_a_kept_checkpoint_and_another_journal_s_is_refused() {
    let home = Home::new();
    home.call(&["run", "--task", "echo", "-i", "text=one"]).expect(0);
    let backup = home.path().join("backup");
    let keep = home.path().join("new").join("keep");
    let export = ["ledger", "checkpoint", "--export", text(&keep)];
    home.call(&export).expect(0);
    home.call(&["backup", text(&backup)]).expect(0);
    let kept = keep.join("checkpoints");
    let key = home.data().join("ledger.pub");
    let check =
        ["--json", "restore", text(&backup), "--check", "--kept", text(&kept), "--key", text(&key)];
    assert_eq!(home.call(&check).expect(0).json()["records_after_backup"], 0);
    home.call(&["run", "--task", "echo", "-i", "text=two"]).expect(0);
    home.call(&export).expect(0);
    let told = home.call(&check).expect(0).json();
    assert!(told["records_after_backup"].as_u64().unwrap() > 0, "{told}");
    let other = Home::new();
    other.call(&["run", "--task", "echo", "-i", "text=one"]).expect(0);
    let note = home.file("note", &other.call(&["ledger", "checkpoint"]).expect(0).out);
    home.call(&["restore", text(&backup), "--check", "--kept", text(&note)]).expect(6);
    let foreign = other.data().join("ledger.pub");
    home.call(&["restore", text(&backup), "--check", "--key", text(&foreign)]).expect(6);
}

#[test]
fn a_backup_goes_only_where_it_destroys_nothing() {
    let home = Home::new();
    home.call(&["run", "--task", "echo", "-i", "text=one"]).expect(0);
    let refusal = |dir: &Path| -> Value {
        home.call(&["--json", "backup", text(dir)]).expect(5).problem()["code"].clone()
    };
    assert_eq!(refusal(&home.data()), "backup_refused");
    assert_eq!(refusal(&home.data().join("journal")), "backup_refused");
    assert_eq!(refusal(home.path()), "backup_refused", "it is not empty");
    home.call(&["backup", "b", "--data-dir", "/no/such/directory"]).expect(2);
    home.call(&["backup", "b", "--endpoint", "127.0.0.1:1"]).expect(2);
    home.call(&["restore", text(home.path()), "--check"]).expect(5);
    home.call(&["restore", "/no/such/directory", "--check"]).expect(2);
}

#[test]
fn nothing_starts_where_a_restore_was_cut_off_and_restoring_again_finishes_it() {
    let home = Home::new();
    home.call(&["run", "--task", "echo", "-i", "text=one"]).expect(0);
    let backup = home.path().join("backup");
    home.call(&["backup", text(&backup)]).expect(0);
    let elsewhere = home.path().join("elsewhere");
    std::fs::create_dir_all(elsewhere.join("restoring").join("blobs")).unwrap();
    let refused = home.call(&["start", "--data-dir", text(&elsewhere)]).expect(3);
    assert!(refused.err.contains("was not finished"), "{}", refused.err);
    home.call(&["restore", text(&backup), "--data-dir", text(&elsewhere)]).expect(0);
    assert_eq!(known(&home, &elsewhere).len(), 1);
}

#[test]
fn a_restore_that_was_cut_off_while_it_gave_files_their_places_is_finished_by_another() {
    let home = Home::new();
    home.call(&["run", "--task", "echo", "-i", "text=one"]).expect(0);
    let backup = home.path().join("backup");
    home.call(&["backup", text(&backup)]).expect(0);
    let elsewhere = home.path().join("elsewhere");
    let at = ["restore", text(&backup), "--data-dir", text(&elsewhere)];
    home.call(&at).expect(0);
    // As a cut leaves it: what has its place, and the mark; half of the journal is still to come.
    std::fs::create_dir(elsewhere.join("restoring")).unwrap();
    std::fs::rename(elsewhere.join("journal"), elsewhere.join("restoring/journal")).unwrap();
    home.call(&["start", "--data-dir", text(&elsewhere)]).expect(3);
    home.call(&at).expect(0);
    assert_eq!(known(&home, &elsewhere).len(), 1);
    // What is somebody else's is never taken for a part of it.
    std::fs::create_dir(elsewhere.join("restoring")).unwrap();
    std::fs::write(elsewhere.join("mine.txt"), "mine").unwrap();
    assert!(home.call(&at).expect(5).err.contains("mine.txt"));
    assert!(elsewhere.join("mine.txt").exists() && elsewhere.join("journal").exists());
}
