//! Runs whose records were archived: shown as before, and named when the archive was taken away.

use std::path::Path;

use tempfile::tempdir;

use super::support::World;

/// Some segments' worth.
const RUNS: usize = 120;
/// The keeper looks every second; this is a minute.
const LOOKS_MAX: u32 = 3_000;

/// An instance whose oldest segments are in the archive, and the first run, whose records are there.
fn archived(dir: &Path) -> (World, String) {
    let world = World::with(dir, |settings, _| settings.segment_bytes = 16 << 10);
    let mut first = String::new();
    for at in 0..RUNS {
        let run = world.task(r#"{"skill":"echo","input":{"text":"a little"}}"#);
        if at == 0 {
            first = run["run"].as_str().unwrap().to_owned();
        }
    }
    world.stop();
    let world = World::with(dir, |settings, _| {
        settings.segment_bytes = 16 << 10;
        settings.live_bytes_max = 0;
    });
    let archived = || world.handle.metrics().segments_archived.value() > 0;
    for _ in 0..LOOKS_MAX {
        if archived() {
            break;
        }
        world.task(r#"{"skill":"sleep","input":{"ms":20}}"#);
    }
    assert!(archived(), "nothing was archived in time");
    (world, first)
}

#[test]
fn a_history_that_was_taken_away_is_gone_until_it_is_put_back_and_its_run_is_still_known() {
    let dir = tempdir().unwrap();
    let (world, first) = archived(dir.path());
    let run = format!("/api/v1/runs/{first}");
    let paths = [format!("{run}/events"), format!("{run}/trace")];
    std::fs::rename(dir.path().join("archive"), dir.path().join("away")).unwrap();
    for path in &paths {
        let problem = world.get(path).problem(410, "history_archived");
        assert!(problem["hint"].as_str().unwrap().contains("put the archived segments back"));
    }
    let known = world.get(&run);
    assert_eq!((known.status, &known.json()["state"]), (200, &"succeeded".into()));
    let mut listed = 0;
    let mut page = world.get("/api/v1/runs?limit=50").json();
    loop {
        let items = page["items"].as_array().unwrap();
        listed += items.iter().filter(|item| item["id"] == first.as_str()).count();
        let Some(next) = page["next"].as_str() else { break };
        page = world.get(&format!("/api/v1/runs?limit=50&cursor={next}")).json();
    }
    assert_eq!(listed, 1, "lists need no history");

    std::fs::rename(dir.path().join("away"), dir.path().join("archive")).unwrap();
    for path in &paths {
        let answer = world.get(path);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(!answer.json()["items"].as_array().unwrap().is_empty());
    }
    world.stop();
}

#[test]
fn a_run_whose_archived_history_is_damaged_is_still_known() {
    let dir = tempdir().unwrap();
    let (world, first) = archived(dir.path());
    let run = format!("/api/v1/runs/{first}");
    let (archive, away) = (dir.path().join("archive"), dir.path().join("away"));
    std::fs::rename(&archive, &away).unwrap();
    world.get(&format!("{run}/events")).problem(410, "history_archived");
    std::fs::create_dir(&archive).unwrap();
    for entry in std::fs::read_dir(&away).unwrap().map(Result::unwrap) {
        let bytes = std::fs::read(entry.path()).unwrap();
        std::fs::write(archive.join(entry.file_name()), vec![7; bytes.len()]).unwrap();
    }
    world.get(&format!("{run}/events")).problem(500, "journal_corrupt");
    let known = world.get(&run);
    assert_eq!((known.status, &known.json()["state"]), (200, &"succeeded".into()));
    world.stop();
}
