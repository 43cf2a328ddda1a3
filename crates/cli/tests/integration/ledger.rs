//! The ledger and the views, offline.

use std::os::unix::fs::FileExt;

use crate::support::Home;

/// A data directory with a few runs in it.
fn worked() -> Home {
    let home = Home::new();
    for text in ["one", "two"] {
        home.call(&["run", "--task", "echo", "-i", &format!("text={text}")]).expect(0);
    }
    home
}

fn segment(home: &Home) -> std::path::PathBuf {
    let mut segments = std::fs::read_dir(home.data().join("journal")).unwrap();
    segments.next().unwrap().unwrap().path()
}

fn flip(path: &std::path::Path, at: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn a_clean_journal_verifies_and_a_flipped_byte_does_not() {
    let home = worked();
    let clean = home.call(&["--json", "ledger", "verify"]).expect(0).json();
    assert_eq!((&clean["ok"], &clean["unsigned_records"]), (&true.into(), &0.into()));
    let checkpoint = home.call(&["ledger", "checkpoint"]).expect(0).out;
    let note = home.file("note", &checkpoint);
    let note = note.to_str().unwrap();
    let key = home.data().join("ledger.pub");
    let key = key.to_str().unwrap();
    home.call(&["ledger", "verify", "--kept", note, "--key", key]).expect(0);
    // The middle of what is written: the segment's first zeros come behind its last frame.
    let path = segment(&home);
    let bytes = std::fs::read(&path).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    flip(&path, written / 2);
    let broken = home.call(&["ledger", "verify"]).expect(6);
    assert!(broken.out.contains("does NOT verify"), "{}", broken.out);
    let broken =
        home.call(&["--json", "ledger", "verify", home.data().to_str().unwrap()]).expect(6);
    assert!(broken.json()["fault"]["why"].is_string());
    // A start from a snapshot does not read what lies before it; one without reads everything.
    std::fs::remove_dir_all(home.data().join("snapshots")).unwrap();
    home.call(&["start", "--listen", "127.0.0.1:0"]).expect(6);
    home.call(&["doctor"]).expect(5);
}

#[test]
fn a_bundle_that_is_not_there_is_a_mistake_of_the_caller() {
    let home = Home::new();
    let failure = home.call(&["ledger", "verify", "nosuch.json"]).expect(2).err;
    assert!(failure.contains("`nosuch.json`: No such file"), "{failure}");
}

#[test]
fn a_checkpoint_of_another_journal_is_no_proof_for_this_one() {
    let (home, other) = (worked(), worked());
    let note = home.file("note", &other.call(&["ledger", "checkpoint"]).expect(0).out);
    let refused = home.call(&["ledger", "verify", "--kept", note.to_str().unwrap()]).expect(6);
    assert!(refused.out.contains("not signed by this log's key"), "{}", refused.out);
    home.call(&["ledger", "verify", "/no/such/directory"]).expect(2);
    home.call(&["ledger", "verify", "--key", "/no/such/file"]).expect(2);
}

/// The id of the newest run.
fn newest_run(home: &Home) -> String {
    let runs = home.call(&["--json", "list", "runs"]).expect(0).json();
    runs["items"][0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_run_is_proven_with_an_instance_and_without_and_checked_without_either() {
    let home = worked();
    let keep = home.data().join("elsewhere");
    std::fs::create_dir(&keep).unwrap();
    let export = ["ledger", "checkpoint", "--export", keep.to_str().unwrap()];
    home.call(&export).expect(0);
    home.call(&export).expect(0);
    let kept = keep.join("checkpoints");
    let kept = kept.to_str().unwrap();
    let node = home.start(&["--agents", "6"]);
    let text = "x".repeat(20_000);
    home.call(&["run", "--task", "echo", "-i", &format!("text={text}")]).expect(0);
    let run = newest_run(&home);
    let live = home.data().join("live.json");
    let live = live.to_str().unwrap();
    home.call(&["ledger", "prove", &run, "--out", live, "--kept", kept]).expect(0);
    home.call(&["ledger", "prove", "run_01M7Z3JZ4GETVAH5068WE9MEW0", "--out", live]).expect(5);
    let checkpoint = home.call(&["--json", "ledger", "checkpoint"]).expect(0).json();
    home.call(&["shutdown"]).expect(0);
    drop(node);

    let whole = home.data().join("whole.json");
    let whole = whole.to_str().unwrap();
    let made = home.call(&["--json", "ledger", "prove", &run, "--out", whole, "--with-payloads"]);
    assert!(made.expect(0).json()["bytes"].as_u64().unwrap() > 20_000);
    let key = home.data().join("ledger.pub");
    let key = key.to_str().unwrap();
    let args = ["--json", "ledger", "verify", live, "--key", key, "--kept", kept];
    let told = home.call(&args).expect(0).json();
    assert_eq!((&told["run"], &told["key_was_given"]), (&run.into(), &true.into()));
    assert!(told["journal_records"].as_u64() <= checkpoint["size"].as_u64(), "{told}");
    let told = home.call(&["ledger", "verify", whole]).expect(0).out;
    assert!(told.contains("NOT checked") && told.contains("1 payloads are embedded"), "{told}");
    home.call(&["ledger", "verify", whole, "--kept", kept]).expect(6);

    flip(std::path::Path::new(whole), 3_000);
    let told = home.call(&["ledger", "verify", whole]).expect(6).out;
    assert!(told.contains("does NOT verify") && told.contains("line "), "{told}");
    // An instance that lost its newest records finds out from what was kept.
    let newer = home.file("checkpoints", &std::fs::read_to_string(kept).unwrap());
    home.call(&["ledger", "verify", "--kept", newer.to_str().unwrap()]).expect(0);
}

#[test]
fn views_are_made_anew_from_the_journal() {
    let home = worked();
    for name in ["views.db", "views.db-wal", "views.db-shm"] {
        let _ = std::fs::remove_file(home.data().join(name));
    }
    let rebuilt = home.call(&["--json", "views", "rebuild"]).expect(0).json();
    assert!(rebuilt["records"].as_u64().unwrap() >= 4, "{rebuilt}");
    let node = home.start(&["--agents", "6"]);
    let runs = home.call(&["--json", "list", "runs"]).expect(0).json();
    assert_eq!(runs["items"].as_array().unwrap().len(), 2, "{runs}");
    let busy = home.call(&["views", "rebuild"]).expect(5);
    assert!(busy.err.contains(&node.pid().to_string()), "{}", busy.err);
}
