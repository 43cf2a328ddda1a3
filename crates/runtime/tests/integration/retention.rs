//! What is archived and when: what nobody needs, as soon as it is due, and no more than there is time for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ark_os_core::ids::RunId;
use ark_os_core::run::RunState;
use ark_os_core::time::Time;
use ark_os_core::{Change, Command};
use ark_os_runtime::instance::VIEWS_FILE;
use ark_os_runtime::keeper::Retention;
use ark_os_runtime::kernel::record::Appended;
use ark_os_runtime::skills::SkillError;
use ark_os_store::Batch;

use crate::keeping::{RUNS, names, offline, small};
use crate::world::{World, history, over, pass, request, run, skill, until};

/// The keeper looks every second; this is a minute.
const LOOKS_MAX: u32 = 3_000;
/// Everything that nobody needs.
const ALL: Retention = Retention { age: Duration::ZERO, live_bytes_max: 0 };

fn world() -> World {
    let mut world = World::new([skill(|_, _| Ok(b"{}".to_vec()))]);
    small(&mut world);
    world
}

/// Runs some segments' worth of runs and stops in good order.
async fn some_segments(world: &World) {
    let instance = world.start();
    for _ in 0..RUNS {
        run(&instance.handle(), request()).await;
    }
    instance.stop().unwrap();
}

/// A run that failed some segments ago, of a task that goes well once it is mended.
async fn failed_long_ago() -> (World, RunId, Arc<AtomicBool>) {
    let is_mended = Arc::new(AtomicBool::new(false));
    let seen = is_mended.clone();
    let mut world = World::new([skill(move |_, input| {
        match seen.load(Ordering::SeqCst) || input != b"{\"fails\":true}" {
            true => Ok(b"{}".to_vec()),
            false => Err(SkillError::permanent("broken", "it is broken")),
        }
    })]);
    small(&mut world);
    let instance = world.start();
    let failing = ark_os_runtime::RunRequest::task("test", b"{\"fails\":true}".to_vec());
    let outcome = run(&instance.handle(), failing).await;
    assert_eq!(outcome.state, RunState::Failed);
    instance.stop().unwrap();
    some_segments(&world).await;
    some_segments(&world).await;
    (world, outcome.run, is_mended)
}

#[tokio::test]
async fn a_run_that_failed_does_not_keep_the_journal_from_the_archive_and_can_be_retried() {
    let (world, failed, is_mended) = failed_long_ago().await;

    let dir = &world.settings.data_dir;
    let it = offline(dir, world.settings.segment_bytes);
    let moved = it.keeper(ALL).archive(it.state.now(), &|| true).unwrap();
    assert!(moved > 0, "one failure is no reason to keep all that came after it");
    drop(it);
    is_mended.store(true, Ordering::SeqCst);
    let instance = world.start();
    let handle = instance.handle();
    let retry = Command::RetryRun { run: failed, task: None, reason: "mended".into() };
    handle.command(retry).await.unwrap();
    assert_eq!(over(&handle, failed).await.state, RunState::Succeeded);
    assert!(history(&handle, failed).await.len() > 2, "also what is in the archive");
    drop(handle);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_run_that_nobody_could_find_any_more_is_not_retried_before_its_archive_is_back() {
    let (world, failed, is_mended) = failed_long_ago().await;
    let dir = world.settings.data_dir.clone();
    let it = offline(&dir, world.settings.segment_bytes);
    assert!(it.keeper(ALL).archive(it.state.now(), &|| true).unwrap() > 0);
    drop(it);

    // The views are lost with the power while the archive is away.
    std::fs::rename(dir.join("archive"), dir.join("away")).unwrap();
    std::fs::remove_file(dir.join(VIEWS_FILE)).unwrap();
    is_mended.store(true, Ordering::SeqCst);
    let retry = || Command::RetryRun { run: failed, task: None, reason: "mended".into() };
    for _ in 0..2 {
        let instance = world.start();
        let refused = instance.handle().command(retry()).await.unwrap_err();
        assert_eq!(refused.code(), "history_archived");
        assert_eq!(over(&instance.handle(), failed).await.state, RunState::Failed);
        instance.stop().unwrap();
    }

    std::fs::rename(dir.join("away"), dir.join("archive")).unwrap();
    std::fs::remove_file(dir.join(VIEWS_FILE)).unwrap();
    let instance = world.start();
    let handle = instance.handle();
    handle.command(retry()).await.unwrap();
    assert_eq!(over(&handle, failed).await.state, RunState::Succeeded);
    let seen = handle.read(|kernel| kernel.newest()).await.unwrap();
    until(&handle, move |handle| *handle.viewed().borrow() >= seen).await;
    assert_eq!(handle.queries().run(failed).unwrap().unwrap().state, RunState::Succeeded);
    drop(handle);
    instance.stop().unwrap();
}

#[tokio::test]
async fn an_archive_that_cannot_be_used_delays_no_snapshot() {
    let mut world = world();
    some_segments(&world).await;
    some_segments(&world).await;
    let archive = tempfile::tempdir().unwrap();
    std::fs::write(archive.path().join("archive.owner"), "another's\n").unwrap();
    world.settings.archive_dir = Some(archive.path().to_owned());
    world.settings.audit_retention = Duration::ZERO;
    world.settings.snapshot_records = 1;
    let instance = world.start();
    let handle = instance.handle();
    while handle.metrics().keeper_failures.value() == 0 {
        pass(&handle, 20).await;
    }
    let made = handle.metrics().snapshots.value();
    let more = async {
        while handle.metrics().snapshots.value() < made + 2 {
            pass(&handle, 20).await;
        }
    };
    // What failed is tried again after a minute.
    tokio::time::timeout(Duration::from_secs(30), more).await.expect("snapshots go on");
    assert_eq!(handle.metrics().keeper_failures.value(), 1);
    drop(handle);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_restart_does_not_forget_that_the_older_snapshot_is_kept() {
    let world = world();
    some_segments(&world).await;
    some_segments(&world).await;
    let dir = &world.settings.data_dir;
    let it = offline(dir, world.settings.segment_bytes);
    let mut keeper = it.keeper(ALL);
    assert!(keeper.archive(Time::NEVER, &|| true).unwrap() > 0);
    assert_eq!(names(dir, "snapshots").len(), 2);
    drop(it);
    // The newest is damaged, and the archive far away.
    let newest = names(dir, "snapshots").pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(newest, bytes).unwrap();
    std::fs::rename(dir.join("archive"), dir.join("away")).unwrap();
    let instance = world.start();
    assert_eq!(run(&instance.handle(), request()).await.state, RunState::Succeeded);
    instance.stop().unwrap();
}

#[tokio::test]
async fn archiving_ends_when_it_is_told_to_and_goes_on_later() {
    let world = world();
    some_segments(&world).await;
    some_segments(&world).await;
    let dir = &world.settings.data_dir;
    let it = offline(dir, world.settings.segment_bytes);
    let mut keeper = it.keeper(ALL);
    let now = it.state.now();
    let calls = std::cell::Cell::new(0);
    let once = || {
        calls.set(calls.get() + 1);
        calls.get() <= 1
    };
    assert_eq!(keeper.archive(now, &|| false).unwrap(), 0);
    assert_eq!(keeper.archive(now, &once).unwrap(), 1);
    assert_eq!(names(dir, "archive").len(), 1);
    assert!(keeper.archive(now, &|| true).unwrap() > 0);
}

#[tokio::test]
async fn a_segment_that_nothing_follows_yet_is_no_failure() {
    let world = world();
    some_segments(&world).await;
    let dir = &world.settings.data_dir;
    std::fs::remove_dir_all(dir.join("snapshots")).unwrap();
    let mut it = offline(dir, world.settings.segment_bytes);
    let reader = it.journal.reader();
    // Until a checkpoint is the first thing in a segment.
    loop {
        let (seq, at) = (it.journal.next_seq(), it.state.now());
        let change = Change { run: None, at, events: Vec::new() };
        it.state.apply(&change, &mut Vec::new());
        let mut batch = Batch::new(seq);
        let appended = Appended { seq, cause: 0, namespace: "".into(), change };
        appended.encode(&mut batch).unwrap();
        it.journal.append(&mut batch).unwrap();
        it.journal.checkpoint().unwrap();
        if reader.anchor().unwrap().segment() == it.journal.next_seq() {
            break;
        }
    }
    let mut keeper = it.keeper(ALL);
    keeper.finish(&it.state).unwrap().expect("there is none yet");
    assert_eq!(keeper.floor(), Some(it.journal.next_seq()));
    let sealed = reader.sealed_segments().len() as u64;
    assert_eq!(keeper.archive(Time::NEVER, &|| true).unwrap(), sealed - 1);
}

#[tokio::test]
async fn an_instance_archives_by_itself_what_is_old_or_too_much() {
    for is_old in [true, false] {
        let mut world = world();
        let instance = world.start();
        let first = run(&instance.handle(), request()).await.run;
        instance.stop().unwrap();
        some_segments(&world).await;
        some_segments(&world).await;
        let archive = tempfile::tempdir().unwrap();
        world.settings.archive_dir = Some(archive.path().to_owned());
        match is_old {
            true => world.settings.audit_retention = Duration::ZERO,
            false => world.settings.live_bytes_max = 0,
        }
        let instance = world.start();
        let handle = instance.handle();
        for _ in 0..LOOKS_MAX {
            if handle.metrics().segments_archived.value() > 0 {
                break;
            }
            pass(&handle, 20).await;
        }
        assert!(!names(archive.path(), "").is_empty());
        assert!(names(&world.settings.data_dir, "archive").is_empty());
        assert!(!history(&handle, first).await.is_empty(), "it is read where it is now");
        assert_eq!(handle.metrics().keeper_failures.value(), 0);
        drop(handle);
        instance.stop().unwrap();
        // And by a start that has nothing else to begin with.
        std::fs::remove_dir_all(world.settings.data_dir.join("snapshots")).unwrap();
        std::fs::remove_file(world.settings.data_dir.join("views.db")).unwrap();
        let instance = world.start();
        assert_eq!(over(&instance.handle(), first).await.state, RunState::Succeeded);
        instance.stop().unwrap();
    }
}
