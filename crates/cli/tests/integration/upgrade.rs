//! Data directories of earlier versions: `fixtures/data-*`, each with how it was made. What is there stays readable
//! for ever; a format that is not known yet is refused and nothing is touched.

use std::path::{Path, PathBuf};

use crate::support::{Home, await_that};

/// Records, and runs, of a fixture.
const EXPECTED: [(&str, u64, usize); 1] = [("data-v1", 111, 82)];

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join("fixtures")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { _ = std::fs::copy(&path, target).unwrap() }
    }
}

/// A home with a fixture as its data directory.
fn home(name: &str) -> Home {
    let home = Home::new();
    copy(&fixtures().join(name).join("data"), &home.data());
    home
}

fn state(home: &Home, run: &str) -> String {
    home.call(&["--json", "get", run]).expect(0).json()["state"].as_str().unwrap().to_owned()
}

/// The one run of a workflow that is in this state.
fn find(home: &Home, workflow: &str, state: &str) -> String {
    let args = ["--json", "list", "runs", "--state", state, "--limit", "200"];
    let page = home.call(&args).expect(0).json();
    let runs = page["items"].as_array().unwrap();
    let found: Vec<_> = runs.iter().filter(|run| run["workflow"] == workflow).collect();
    assert_eq!(found.len(), 1, "{workflow} {state}: {page}");
    found[0]["id"].as_str().unwrap().to_owned()
}

/// Goes on with everything in it that is not over, and adds something.
fn goes_on(home: &Home, fixture: &Path, runs: usize) {
    let work = fixture.join("work.yaml");
    let work = work.to_str().unwrap();
    let node = home.start(&["--manifest", work]);
    let page = home.call(&["--json", "list", "runs", "--limit", "500"]).expect(0).json();
    assert_eq!(page["items"].as_array().unwrap().len(), runs);
    // An old run is explained as far back as the archive.
    let id = std::fs::read_to_string(fixture.join("many.id")).unwrap();
    assert!(home.call(&["get", id.trim(), "--output"]).expect(0).out.contains('3'));
    assert!(home.call(&["trace", id.trim()]).expect(0).out.contains("each"));
    find(home, "waits", "cancelled");
    let paused = find(home, "waits", "paused");
    home.call(&["resume", &paused]).expect(0);
    await_that("the paused run ends", || state(home, &paused) == "succeeded");
    let doubt = find(home, "doubt", "parked");
    home.call(&["cancel", &doubt, "--reason", "the fixture is done"]).expect(0);
    home.call(&["run", work, "--workflow", "many", "-i", "list:=[1,2]"]).expect(0);
    let bundle = home.path().join("bundle.json");
    let bundle = bundle.to_str().unwrap();
    home.call(&["shutdown"]).expect(0);
    node.wait();
    home.call(&["ledger", "prove", id.trim(), "--out", bundle]).expect(0);
    let key = home.data().join("ledger.pub");
    home.call(&["ledger", "verify", bundle, "--key", key.to_str().unwrap()]).expect(0);
    home.call(&["ledger", "verify"]).expect(0);
    std::fs::remove_file(bundle).unwrap();
}

#[test]
fn every_format_that_was_released_opens_goes_on_and_verifies() {
    let listed = std::fs::read_dir(fixtures()).unwrap();
    assert_eq!(listed.count(), EXPECTED.len(), "every fixture is expected to hold something");
    for (name, records, runs) in EXPECTED {
        let fixture = fixtures().join(name);
        let home = home(name);
        let verified = home.call(&["--json", "ledger", "verify"]).expect(0).json();
        assert_eq!(verified["records"], records);
        goes_on(&home, &fixture, runs);
        // The same from the records alone.
        let home = self::home(name);
        std::fs::remove_dir_all(home.data().join("snapshots")).unwrap();
        std::fs::remove_file(home.data().join("views.db")).unwrap();
        goes_on(&home, &fixture, runs);
        home.call(&["views", "rebuild"]).expect(0);
        let backup = home.path().join("backup");
        home.call(&["backup", backup.to_str().unwrap()]).expect(0);
        home.call(&["restore", backup.to_str().unwrap(), "--check"]).expect(0);
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn a_data_directory_of_a_newer_version_is_refused_and_not_touched() {
    let home = home("data-v1");
    let journal = home.data().join("journal");
    let newest = std::fs::read_dir(&journal).unwrap().map(|it| it.unwrap().path()).max().unwrap();
    let mut before = std::fs::read(&newest).unwrap();
    // Behind eight bytes that say what the file is stand the format and the length of the header, which ends with
    // a checksum.
    before[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let length = u32::from_le_bytes(before[12..16].try_into().unwrap()) as usize;
    let crc = crc32c(&before[..length - 4]);
    before[length - 4..length].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&newest, &before).unwrap();
    let refused = home.call(&["start", "--listen", "127.0.0.1:0"]).expect(5);
    assert!(refused.err.contains("a newer version of ark-os wrote it"), "{}", refused.err);
    assert!(refused.err.contains("use that version or a later one"), "{}", refused.err);
    // Nobody can say that it verifies.
    let unverified = home.call(&["ledger", "verify"]).expect(6);
    assert!(unverified.out.contains("a newer version of ark-os wrote it"), "{}", unverified.out);
    assert_eq!(std::fs::read(&newest).unwrap(), before);
}
