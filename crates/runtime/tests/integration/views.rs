//! Views that cannot be written: the instance stops and says so, and loses nothing.

use ark_os_core::run::RunState;
use ark_os_runtime::RunRequest;
use ark_os_runtime::handle::Stopped;
use ark_os_runtime::instance::VIEWS_FILE;

use crate::world::{PATIENCE, World, history, over, request, run, skill};

#[tokio::test]
async fn an_instance_whose_views_do_not_follow_stops_and_the_next_start_has_everything() {
    let world = World::new([skill(|_, _| Ok(b"{}".to_vec()))]);
    let instance = world.start();
    let handle = instance.handle();
    history(&handle, run(&handle, request()).await.run).await;

    let views = world.settings.data_dir.join(VIEWS_FILE);
    let vandal = rusqlite::Connection::open(&views).unwrap();
    vandal.busy_timeout(PATIENCE).unwrap();
    vandal.execute_batch("DROP TABLE position").unwrap();
    drop(vandal);
    let keyed = RunRequest { key: Some("accepted".to_owned()), ..request() };
    let accepted = handle.submit(keyed.clone()).await.unwrap();
    let stopped = tokio::time::timeout(PATIENCE, handle.stopped()).await.expect("it stops");
    assert!(matches!(&stopped, Stopped::Failed { code: "views_failed", .. }), "{stopped:?}");
    assert_eq!(handle.submit(request()).await.unwrap_err().code(), "instance_stopped");
    instance.stop().unwrap_err();
    drop(handle);

    // What `ark-os views rebuild` begins with.
    for end in ["", "-wal", "-shm"] {
        let file = world.settings.data_dir.join(format!("{VIEWS_FILE}{end}"));
        if file.exists() {
            std::fs::remove_file(file).unwrap();
        }
    }
    let instance = world.start();
    let handle = instance.handle();
    let again = handle.submit(keyed).await.unwrap();
    assert_eq!((again.run, again.existing), (accepted.run, true));
    assert_eq!(over(&handle, accepted.run).await.state, RunState::Succeeded);
    instance.stop().unwrap();
}
