//! Requests that take long to prepare are not prepared on the threads that serve everybody.

use std::sync::Arc;

use ark_os_core::limits::INLINE_BYTES_MAX;
use ark_os_core::run::RunState;
use ark_os_runtime::{Lines, RunRequest};

use crate::faulty_files::FaultyFiles;
use crate::world::{PATIENCE, World, over, skill};

fn long(mark: u8) -> RunRequest {
    let text = String::from_utf8(vec![mark; INLINE_BYTES_MAX + 1]).unwrap();
    RunRequest::task("test", format!("\"{text}\"").into_bytes())
}

fn world(files: &FaultyFiles) -> World {
    let mut world = World::new([skill(|_, _| Ok(b"{}".to_vec()))]);
    world.components.files = Some(Arc::new(files.clone()));
    world
}

#[tokio::test]
async fn a_large_input_is_synced_on_a_thread_that_serves_nobody_else() {
    let files = FaultyFiles::new();
    let world = world(&files);
    let instance = world.start();
    let handle = instance.handle();
    let submitted = handle.submit(long(b'a')).await.unwrap();
    assert_eq!(over(&handle, submitted.run).await.state, RunState::Succeeded);
    let (_, outcome) = handle.submit_and_wait(long(b'b'), PATIENCE).await.unwrap();
    assert_eq!(outcome.unwrap().state, RunState::Succeeded);
    let writers = files.blob_writers();
    assert_eq!(writers.len(), 2);
    assert!(!writers.contains(&std::thread::current().id()));
    instance.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_large_line_of_a_batch_leaves_other_tasks_to_another_thread() {
    let files = FaultyFiles::new();
    let world = world(&files);
    let instance = world.start();
    let handle = instance.handle();
    let lines = Arc::new(Lines::default());
    let (at_work, submitting) = (handle.clone(), lines.clone());
    // On the runtime's only worker.
    let batch = async move {
        let requests = vec![(0, long(b'a')), (1, RunRequest::task("test", b"1".to_vec()))];
        at_work.submit_lines(requests, &submitting, false)
    };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(batch);
    tasks.join_next().await.unwrap().unwrap().unwrap();
    let mut answered = 0;
    while answered < 2 {
        let some = tokio::time::timeout(PATIENCE, lines.fetch()).await.unwrap();
        assert!(some.iter().all(|(_, answer)| answer.is_ok()));
        answered += some.len();
    }
    assert_eq!(files.blob_writers().len(), 1);
    instance.stop().unwrap();
}
