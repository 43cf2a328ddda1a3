//! Told to end while it works: what runs comes to its end, and everything else goes on at the next
//! start.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use super::points::{COMMITTER, Point, lose_unsynced};
use super::script::Script;
use super::work::{Kind, SESSION};

/// What a node does when it ends: the last records, the checkpoint over all of them, the unused space
/// given back, the views closed, its address taken away.
const LAST_CALLS: [(&str, &str, usize); 8] = [
    (COMMITTER, "pwrite64", 1),
    (COMMITTER, "fdatasync", 1),
    (COMMITTER, "pwrite64", 2),
    (COMMITTER, "fdatasync", 2),
    (COMMITTER, "ftruncate", 1),
    (COMMITTER, "fdatasync", 3),
    ("ark-views", "pwrite64", 1),
    ("", "unlink", 1),
];
/// Rounds of work that are under way when the node is told to end.
const ROUNDS: usize = 5;

#[test]
fn told_to_end_under_load_the_node_drains_and_loses_nothing() {
    let mut script = Script::new();
    for _ in 0..2 {
        let mut node = script.home.start(&[]);
        let client = script.ready(&mut node);
        // Work that never ends by itself would be drained for as long as is allowed.
        let load: Vec<Kind> = SESSION.into_iter().filter(|it| *it != Kind::Cancel).collect();
        for _ in 0..ROUNDS {
            script.plan(&load);
        }
        for work in script.works.iter_mut().filter(|work| !work.is_over()) {
            work.submit(&client, &script.sink).expect("the node stays");
        }
        node.signal(Signal::TERM);
        let status = node.ended();
        assert_eq!(status.code(), Some(0), "{}", script.home.log());
        script.verify_offline();
        assert!(script.works.iter().all(super::work::Work::is_acknowledged));
    }
    script.conclude();
}

#[test]
fn killed_while_it_ends_the_node_loses_nothing() {
    let mut script = Script::new();
    let mut killed = Vec::new();
    for (threads, call, count) in LAST_CALLS {
        let point = Point { threads: Some(threads), call: call.to_owned(), count };
        let log = script.home.file("watched");
        let mut node = script.home.start(&[]);
        let client = script.ready(&mut node);
        script.play(&client, 1).expect("the node stays");
        node.watch(threads, &point.options(), &log);
        node.signal(Signal::TERM);
        let status = node.ended();
        match (status.signal(), status.code()) {
            (Some(9), _) => killed.push((threads, call, count)),
            (None, Some(0)) => {}
            _ => panic!("{status} {}", script.home.log()),
        }
        if point.is_sync() {
            lose_unsynced(&log);
        }
        script.verify_after_crash();
    }
    script.conclude();
    eprintln!("killed at {killed:?}");
    assert!(killed.len() >= LAST_CALLS.len() / 2, "only killed at {killed:?}");
}
