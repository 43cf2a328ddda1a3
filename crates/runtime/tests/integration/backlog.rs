//! Runs that wait on disk: shown, stopped and ended like any other, through stops and crashes.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ark_os_core::ids::RunId;
use ark_os_core::priority::Priority;
use ark_os_core::run::RunState;
use ark_os_core::text::Text;
use ark_os_core::{Command, Event};
use ark_os_runtime::{Handle, RunRequest};
use ark_os_store::views::RunFilter;

use crate::faulty_files::{Fault, FaultyFiles};
use crate::world::{Gate, PATIENCE, World, history, over, request, run, skill, until};

const PLACES: u32 = 4;
const RUNS: usize = 300;

/// Agents that work when the gate is open, and few places in memory.
fn gated() -> (World, Gate) {
    let gate = Gate::default();
    let held = gate.clone();
    let mut world = World::new([skill(move |_, _| {
        held.pass();
        Ok(b"{}".to_vec())
    })]);
    world.settings.runs_resident_max = PLACES;
    // One at work and a place for emergencies: as long as agents are free, more are called in.
    world.settings.concurrent_tasks_max = 2;
    (world, gate)
}

async fn submit(handle: &Handle, count: usize) -> Vec<RunId> {
    let mut runs = Vec::new();
    for _ in 0..count {
        runs.push(handle.submit(request()).await.unwrap().run);
    }
    runs
}

async fn on_disk(handle: &Handle) -> usize {
    handle.read(|kernel| kernel.state().backlog().len()).await.unwrap()
}

async fn state(handle: &Handle, run: RunId) -> Option<RunState> {
    handle.read(move |kernel| Some(kernel.summary(run)?.state)).await.unwrap()
}

#[tokio::test]
async fn what_waits_on_disk_survives_a_crash_and_everything_ends_once() {
    let (world, gate) = gated();
    let instance = world.start();
    let handle = instance.handle();
    let runs = submit(&handle, RUNS).await;
    assert_eq!(on_disk(&handle).await, RUNS - PLACES as usize);
    let last = *runs.last().unwrap();
    assert_eq!(state(&handle, last).await, Some(RunState::Accepted));
    assert_eq!(handle.wait(last, Duration::from_millis(1)).await.unwrap(), None);
    let seen = handle.read(|kernel| kernel.newest()).await.unwrap();
    until(&handle, move |handle| *handle.viewed().borrow() >= seen).await;
    let filter = RunFilter {
        namespace: Text::from("default"),
        states: vec![RunState::Accepted],
        ..RunFilter::default()
    };
    let page = handle.queries().runs(&filter, None, 1_000).unwrap();
    assert_eq!(page.items.len(), RUNS - PLACES as usize, "the views say so too");
    assert_eq!(handle.metrics().runs_waiting.value() as usize, RUNS - PLACES as usize);
    drop(handle);
    drop(instance);

    let instance = world.start();
    let handle = instance.handle();
    assert_eq!(on_disk(&handle).await, RUNS - PLACES as usize);
    gate.open();
    for run in &runs {
        assert_eq!(over(&handle, *run).await.state, RunState::Succeeded);
    }
    for (at, run) in runs.iter().enumerate().step_by(37) {
        let events = history(&handle, *run).await;
        let events = events.iter().flat_map(|record| &record.change.events);
        let loads = events.filter(|event| matches!(event, Event::RunLoaded { .. })).count();
        assert_eq!(loads, usize::from(at >= PLACES as usize), "run {at} is loaded once");
    }
    drop(handle);
    instance.stop().unwrap();
}

#[tokio::test]
async fn a_waiting_run_is_stopped_paused_and_timed_like_any_other() {
    let (world, gate) = gated();
    let instance = world.start();
    let handle = instance.handle();
    let runs = submit(&handle, 20).await;
    let (cancelled, paused) = (runs[10], runs[11]);
    let reason = || Text::from("test");
    handle.command(Command::CancelRun { run: cancelled, reason: reason() }).await.unwrap();
    assert_eq!(over(&handle, cancelled).await.state, RunState::Cancelled);
    let again = handle.command(Command::CancelRun { run: cancelled, reason: reason() }).await;
    assert_eq!(again.unwrap_err().code(), "run_over");
    handle.command(Command::PauseRun { run: paused, reason: reason() }).await.unwrap();
    assert_eq!(state(&handle, paused).await, Some(RunState::Paused));
    let resume = Command::ResumeRun { run: runs[12], reason: reason() };
    assert_eq!(handle.command(resume).await.unwrap_err().code(), "run_not_paused");

    let due = RunRequest { deadline: Some(Duration::from_millis(30)), ..request() };
    let due = handle.submit(due).await.unwrap().run;
    let outcome = over(&handle, due).await;
    assert_eq!(&*outcome.failure.unwrap().code, "deadline_exceeded");
    let echo = RunRequest::task("echo", b"1".to_vec());
    let urgent = RunRequest { priority: Priority::Emergency, ..echo };
    assert_eq!(run(&handle, urgent).await.state, RunState::Succeeded, "nobody is before it");
    assert!(on_disk(&handle).await > 0);

    gate.open();
    for run in runs.iter().filter(|run| ![cancelled, paused].contains(run)) {
        assert_eq!(over(&handle, *run).await.state, RunState::Succeeded);
    }
    handle.command(Command::ResumeRun { run: paused, reason: reason() }).await.unwrap();
    assert_eq!(over(&handle, paused).await.state, RunState::Succeeded);
    drop(handle);
    instance.stop().unwrap();
}

/// Turns one byte of the last place where `text` stands in a segment.
fn damage(data_dir: &Path, text: &[u8]) {
    for entry in std::fs::read_dir(data_dir.join("journal")).unwrap() {
        let path = entry.unwrap().path();
        let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let Some(at) = bytes.windows(text.len()).rposition(|window| window == text) else {
            continue;
        };
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&[bytes[at] ^ 1]).unwrap();
        return;
    }
    panic!("the text stands in no segment");
}

#[tokio::test]
async fn a_run_whose_record_the_disk_has_lost_fails_and_says_so() {
    let (world, gate) = gated();
    let instance = world.start();
    let handle = instance.handle();
    let runs = submit(&handle, PLACES as usize + 2).await;
    let lost = RunRequest::task("test", br#"{"mark":"a text like no other"}"#.to_vec());
    let lost = handle.submit(lost).await.unwrap().run;
    damage(&world.settings.data_dir, b"a text like no other");
    gate.open();
    let outcome = over(&handle, lost).await;
    assert_eq!(outcome.state, RunState::Failed);
    assert_eq!(&*outcome.failure.unwrap().code, "record_unreadable");
    for run in &runs {
        assert_eq!(over(&handle, *run).await.state, RunState::Succeeded);
    }
    let retry = Command::RetryRun { run: lost, task: None, reason: "again".into() };
    assert_eq!(handle.command(retry).await.unwrap_err().code(), "run_not_begun");
    drop(handle);
    instance.stop().unwrap();
}

#[tokio::test]
async fn runs_on_disk_wait_on_while_there_is_no_handle_to_read_them_with() {
    let (mut world, gate) = gated();
    let files = FaultyFiles::new();
    world.components.files = Some(Arc::new(files.clone()));
    let instance = world.start();
    let handle = instance.handle();
    files.set(Fault::Handles);
    let runs = submit(&handle, PLACES as usize + 8).await;
    assert!(on_disk(&handle).await > 0);
    gate.open();
    let refused = async {
        // A record is read once more at once; the third time is later.
        while files.refused() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("it is tried again");
    files.heal();
    for run in &runs {
        assert_eq!(over(&handle, *run).await.state, RunState::Succeeded);
    }
    drop(handle);
    instance.stop().unwrap();
}

#[tokio::test]
async fn what_needs_no_record_does_not_wait_for_one_that_cannot_be_read() {
    let (mut world, gate) = gated();
    let files = FaultyFiles::new();
    world.components.files = Some(Arc::new(files.clone()));
    let instance = world.start();
    let handle = instance.handle();
    let runs = submit(&handle, PLACES as usize + 8).await;
    files.set(Fault::Handles);
    let cancelled = *runs.last().unwrap();
    let cancel = Command::CancelRun { run: cancelled, reason: "test".into() };
    // It is given up after two minutes.
    let told = tokio::time::timeout(PATIENCE, handle.command(cancel)).await;
    told.expect("it is told at once").unwrap();
    let due = RunRequest { deadline: Some(Duration::from_millis(30)), ..request() };
    let due = handle.submit(due).await.unwrap().run;
    let ended = tokio::time::timeout(PATIENCE, over(&handle, due)).await.expect("it is over");
    assert_eq!(&*ended.failure.unwrap().code, "deadline_exceeded");
    files.heal();
    assert_eq!(over(&handle, cancelled).await.state, RunState::Cancelled);
    gate.open();
    for run in runs.iter().filter(|run| **run != cancelled) {
        assert_eq!(over(&handle, *run).await.state, RunState::Succeeded);
    }
    drop(handle);
    instance.stop().unwrap();
}
