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
    home.call(&["start", "--listen", "127.0.0.1:0"]).expect(6);
    home.call(&["doctor"]).expect(5);
}

#[test]
fn a_checkpoint_of_another_journal_is_no_proof_for_this_one() {
    let (home, other) = (worked(), worked());
    let note = home.file("note", &other.call(&["ledger", "checkpoint"]).expect(0).out);
    let refused = home.call(&["ledger", "verify", "--kept", note.to_str().unwrap()]).expect(6);
    assert!(refused.out.contains("not signed by this log's key"), "{}", refused.out);
    home.call(&["ledger", "verify", "/no/such/directory"]).expect(5);
    home.call(&["ledger", "verify", "--key", "/no/such/file"]).expect(2);
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
