//! A journal that was put back from an older copy, or that is not there at all: what an instance makes of the
//! rest of its data directory then.

use std::path::Path;

use ark_os_core::run::RunState;
use ark_os_runtime::Instance;
use ark_os_store::views::RunFilter;

use crate::world::{World, history, over, request, run, skill};

fn world() -> World {
    World::new([skill(|_, _| Ok(b"{}".to_vec()))])
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn views_that_are_ahead_of_a_journal_put_back_from_a_copy_are_made_anew() {
    let world = world();
    let dir = &world.settings.data_dir;
    let copy = tempfile::tempdir().unwrap();
    let instance = world.start();
    let before = run(&instance.handle(), request()).await.run;
    instance.stop().unwrap();
    copy_dir(&dir.join("journal"), copy.path());
    let instance = world.start();
    let mut lost = Vec::new();
    for _ in 0..20 {
        lost.push(run(&instance.handle(), request()).await.run);
    }
    instance.stop().unwrap();

    std::fs::remove_dir_all(dir.join("journal")).unwrap();
    copy_dir(copy.path(), &dir.join("journal"));
    let instance = world.start();
    let handle = instance.handle();
    let after = run(&handle, request()).await.run;
    for run in [before, after] {
        assert!(!history(&handle, run).await.is_empty(), "what is in the journal is in the views");
        assert_eq!(over(&handle, run).await.state, RunState::Succeeded);
    }
    for run in lost {
        assert!(handle.queries().run(run).unwrap().is_none(), "nobody is told of what is gone");
    }
    let filter = RunFilter { namespace: "default".into(), ..RunFilter::default() };
    assert_eq!(handle.queries().runs(&filter, None, 100).unwrap().items.len(), 2);
    drop(handle);
    instance.stop().unwrap();
}

/// Why an instance does not start.
fn refusal(world: &World) -> String {
    let started = Instance::start(world.settings.clone(), world.components.clone());
    let error = started.expect_err("it must not start");
    assert_eq!(error.code(), "journal_corrupt", "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("put `journal/` back")), "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_journal_that_is_not_there_is_missed_and_not_begun_again() {
    let world = world();
    let dir = &world.settings.data_dir;
    let instance = world.start();
    let kept = run(&instance.handle(), request()).await.run;
    instance.stop().unwrap();
    let away = dir.join("away");
    // As when the file system that it is on was not mounted.
    std::fs::rename(dir.join("journal"), &away).unwrap();
    std::fs::create_dir(dir.join("journal")).unwrap();
    assert!(refusal(&world).contains("a snapshot of"));
    assert!(refusal(&world).contains("a snapshot of"), "nothing was put in its place");

    std::fs::rename(dir.join("snapshots"), dir.join("no-snapshots")).unwrap();
    assert!(refusal(&world).contains("the views know of"));
    assert!(refusal(&world).contains("the views know of"), "not by a second start either");

    std::fs::remove_dir_all(dir.join("journal")).unwrap();
    std::fs::rename(away, dir.join("journal")).unwrap();
    let instance = world.start();
    assert_eq!(over(&instance.handle(), kept).await.state, RunState::Succeeded);
    instance.stop().unwrap();
}
