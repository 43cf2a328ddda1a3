//! Snapshots and the archive of a real instance: a start reads what came after, and nothing is lost with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ark_os_core::State;
use ark_os_core::run::RunState;
use ark_os_core::time::Time;
use ark_os_runtime::RunRequest;
use ark_os_runtime::instance::VIEWS_FILE;
use ark_os_runtime::keeper::{Keeper, Retention};
use ark_os_runtime::kernel::record::decode;
use ark_os_runtime::opening::open_journal;
use ark_os_store::{Anchor, DiskFiles, Files, Journal, LedgerKey, Segments, Settings, Snapshots};

use crate::world::{Gate, World, history, over, pass, request, run, skill};

/// Some segments' worth of runs.
pub(crate) const RUNS: usize = 150;

pub(crate) fn small(world: &mut World) {
    world.settings.segment_bytes = 16 << 10;
}

pub(crate) fn names(dir: &Path, what: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir.join(what)) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

/// A data directory without its instance.
pub(crate) struct Offline {
    pub(crate) journal: Journal,
    pub(crate) state: State,
    from: Option<Anchor>,
    snapshots: Snapshots,
    key: LedgerKey,
}

pub(crate) fn offline(dir: &Path, segment_bytes: u64) -> Offline {
    let files: Arc<dyn Files> = Arc::new(DiskFiles::new(dir).unwrap());
    let key = LedgerKey::load(&*files).unwrap();
    let snapshots = Snapshots::new(files.clone(), key.public().clone());
    let settings = Settings { segment_bytes };
    let opened = open_journal(&snapshots, &Segments::new(files), settings, &key).unwrap();
    assert!(opened.refused.is_empty(), "{:?}", opened.refused);
    let mut recovered = opened.recovered;
    let (from, mut state) = opened.from.map_or((None, State::default()), |it| (Some(it.0), it.1));
    while let Some(record) = recovered.next().unwrap() {
        state.apply(&decode(&record).unwrap(), &mut Vec::new());
    }
    Offline { journal: opened.journal, state, from, snapshots, key }
}

impl Offline {
    pub(crate) fn keeper(&self, retention: Retention) -> Keeper {
        let (key, reader) = (self.key.clone(), self.journal.reader());
        let from = (self.from.as_ref(), &self.state);
        Keeper::new(self.snapshots.clone(), key, reader, retention, from)
    }
}

#[tokio::test]
async fn a_start_after_a_clean_stop_reads_nothing_of_before() {
    let gate = Gate::default();
    let hold = gate.clone();
    let mut world = World::new([
        skill(|_, _| Ok(b"{}".to_vec())),
        skill(move |_, _| {
            hold.pass();
            Ok(b"{}".to_vec())
        })
        .named("held"),
    ]);
    small(&mut world);
    let instance = world.start();
    let handle = instance.handle();
    let first = run(&handle, request()).await.run;
    for _ in 0..RUNS {
        run(&handle, request()).await;
    }
    let held = RunRequest::task("held", b"{}".to_vec());
    let held = handle.submit(held).await.unwrap().run;
    gate.open();
    drop(handle);
    instance.stop().unwrap();

    let dir = &world.settings.data_dir;
    let all = offline(dir, world.settings.segment_bytes);
    assert_eq!(all.from.as_ref().map(Anchor::size), Some(all.journal.next_seq() - 1));
    drop(all);
    let segments = names(dir, "journal");
    assert!(segments.len() > 2, "{segments:?}");
    let mut bytes = std::fs::read(&segments[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segments[0], bytes).unwrap();
    let instance = world.start();
    let handle = instance.handle();
    assert_eq!(over(&handle, held).await.state, RunState::Succeeded);
    assert_eq!(run(&handle, request()).await.state, RunState::Succeeded);
    assert_eq!(handle.history(first, 0, 10).unwrap_err().code(), "journal_corrupt");
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_snapshot_made_beside_the_loop_and_the_records_behind_it_give_the_state_of_all() {
    let mut world = World::new([skill(|_, _| Ok(b"{}".to_vec()))]);
    small(&mut world);
    world.settings.snapshot_records = 1;
    let instance = world.start();
    let handle = instance.handle();
    while handle.metrics().snapshots.value() < 2 {
        run(&handle, request()).await;
        pass(&handle, 20).await;
    }
    run(&handle, request()).await;
    drop(handle);
    // As a crash would end it.
    drop(instance);
    let dir = &world.settings.data_dir;
    let from_snapshot = offline(dir, world.settings.segment_bytes);
    let size = from_snapshot.from.as_ref().map(Anchor::size).unwrap();
    assert!(0 < size && size < from_snapshot.journal.next_seq() - 1);
    let (digest, changes) = (from_snapshot.state.digest(), from_snapshot.state.changes());
    drop(from_snapshot);
    std::fs::remove_dir_all(dir.join("snapshots")).unwrap();
    let whole = offline(dir, world.settings.segment_bytes);
    assert_eq!((whole.from, whole.state.changes()), (None, changes));
    assert_eq!(whole.state.digest(), digest);
    drop(whole.journal);
    let instance = world.start();
    assert_eq!(run(&instance.handle(), request()).await.state, RunState::Succeeded);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_damaged_snapshot_costs_a_replay_and_nothing_else() {
    let mut world = World::new([skill(|_, _| Ok(b"{}".to_vec()))]);
    small(&mut world);
    let mut runs = Vec::new();
    for _ in 0..3 {
        let instance = world.start();
        runs.push(run(&instance.handle(), request()).await.run);
        instance.stop().unwrap();
        let snapshots = names(&world.settings.data_dir, "snapshots");
        assert!(snapshots.len() <= 2, "{snapshots:?}");
        let newest = snapshots.last().unwrap();
        let mut bytes = std::fs::read(newest).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(newest, bytes).unwrap();
    }
    let instance = world.start();
    for run in runs {
        assert_eq!(over(&instance.handle(), run).await.state, RunState::Succeeded);
    }
    instance.stop().unwrap();
}

#[tokio::test]
async fn only_segments_that_no_start_and_no_run_needs_are_archived() {
    let mut world = World::new([skill(|_, _| Ok(b"{}".to_vec()))]);
    small(&mut world);
    world.settings.task_timeout = Duration::from_secs(7_200);
    let instance = world.start();
    let handle = instance.handle();
    let early = run(&handle, request()).await.run;
    for _ in 0..RUNS {
        run(&handle, request()).await;
    }
    let held = RunRequest::task("sleep", br#"{"ms":3600000}"#.to_vec());
    let held = handle.submit(held).await.unwrap().run;
    for _ in 0..RUNS {
        run(&handle, request()).await;
    }
    let accepted = history(&handle, held).await[0].seq;
    drop(handle);
    instance.stop().unwrap();

    let dir = &world.settings.data_dir;
    let (age, live_bytes_max) = (Duration::from_secs(86_400), u64::MAX);
    let it = offline(dir, world.settings.segment_bytes);
    assert!(it.state.run(held).is_some(), "it was under way when the instance stopped");
    let now = it.state.now();
    let sealed = it.journal.reader().sealed_segments();
    assert_eq!(it.keeper(Retention { age, live_bytes_max }).archive(now, &|| true).unwrap(), 0);
    let small = Retention { age, live_bytes_max: 0 };
    let moved = it.keeper(small).archive(now, &|| true).unwrap() as usize;
    assert!(0 < moved && moved < sealed.len(), "{moved} of {}", sealed.len());
    assert_eq!(it.keeper(small).archive(now, &|| true).unwrap(), 0);
    let old = Retention { age: Duration::ZERO, live_bytes_max };
    assert_eq!(it.keeper(old).archive(Time::NEVER, &|| true).unwrap(), 0, "a run needs the rest");
    assert!(sealed[moved] <= accepted && accepted < sealed[moved + 1]);
    drop(it);
    assert_eq!(names(dir, "archive").len(), moved);

    let instance = world.start();
    let handle = instance.handle();
    assert!(!history(&handle, early).await.is_empty());
    std::fs::rename(dir.join("archive"), dir.join("away")).unwrap();
    drop(handle);
    instance.stop().unwrap();

    let instance = world.start();
    let handle = instance.handle();
    let gone = handle.history(early, 0, 10).unwrap_err();
    assert_eq!(gone.code(), "history_archived");
    assert!(gone.to_string().contains("segment-00000000000000000001.ark"), "{gone}");
    assert_eq!(over(&handle, early).await.state, RunState::Succeeded, "its row is still there");
    assert_eq!(run(&handle, request()).await.state, RunState::Succeeded);
    assert!(!history(&handle, held).await.is_empty(), "what it needs was not archived");
    drop(handle);
    instance.stop().unwrap();

    // Views that are made anew begin behind what is absent.
    std::fs::remove_file(dir.join(VIEWS_FILE)).unwrap();
    let instance = world.start();
    let handle = instance.handle();
    assert!(handle.queries().run(early).unwrap().is_none());
    assert!(!history(&handle, held).await.is_empty());
    let late = run(&handle, request()).await.run;
    assert!(!history(&handle, late).await.is_empty());
    assert!(handle.queries().run(late).unwrap().is_some());
    drop(handle);
    instance.stop().unwrap();
    std::fs::remove_file(dir.join(VIEWS_FILE)).unwrap();
    std::fs::rename(dir.join("away"), dir.join("archive")).unwrap();
    let instance = world.start();
    let handle = instance.handle();
    assert!(!history(&handle, early).await.is_empty());
    instance.stop().unwrap();
}
