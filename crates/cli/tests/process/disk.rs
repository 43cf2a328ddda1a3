//! A disk that fails or is full: the node stops at once with a clear word, acknowledges nothing
//! that is not durable, and goes on from there when the disk is well.

use std::path::{Path, PathBuf};

use super::client::Gone;
use super::node::Node;
use super::points::{COMMITTER, Point, lose_unsynced};
use super::script::Script;
use super::support::command;

/// Exit code of a node that cannot write.
const CANNOT_WRITE: i32 = 5;
/// Sessions that a node plays at most, waiting for its disk to fail.
const SESSIONS_MAX: usize = 8;
/// A small disk: a few segments and the views.
const DISK_MIB: usize = 8;
/// Sessions that certainly do not fit on it.
const SESSIONS_TOO_MANY: usize = 60;

/// Lives in which a call of the committer fails, then one on a disk that is well.
fn fails_and_recovers(call: &str, error: &str, counts: &[usize]) {
    let mut script = Script::new();
    for count in counts {
        let point = Point { threads: Some(COMMITTER), call: call.to_owned(), count: *count };
        let log = script.home.file("watched");
        let mut node = script.home.start(&[]);
        let client = script.ready(&mut node);
        node.watch(COMMITTER, &point.options_with(&format!("error={error}")), &log);
        let played = script.play(&client, SESSIONS_MAX);
        assert!(matches!(played, Err(Gone)), "{call} {count} was never reached");
        stopped(&script, node, &["journal_failed"]);
        if point.is_sync() {
            lose_unsynced(&log);
        }
        script.verify_after_crash();
    }
    script.conclude();
}

/// It has ended by itself and said why, with one of these codes.
fn stopped(script: &Script, node: Node, codes: &[&str]) {
    let status = node.ended();
    let log = script.home.log();
    assert_eq!(status.code(), Some(CANNOT_WRITE), "{log}");
    let is_told = |code: &&str| log.contains(&format!("\"code\":\"{code}\""));
    assert!(codes.iter().any(is_told), "{log}");
    std::fs::remove_file(script.home.file("log")).unwrap();
}

#[test]
fn a_failed_sync_stops_the_node_unacknowledged_and_it_recovers() {
    fails_and_recovers("fdatasync", "EIO", &[1, 2, 3, 7, 20, 45]);
}

#[test]
fn a_failed_write_stops_the_node_unacknowledged_and_it_recovers() {
    fails_and_recovers("pwrite64", "EIO", &[1, 4, 15]);
}

#[test]
fn no_space_to_write_stops_the_node_unacknowledged_and_it_recovers() {
    fails_and_recovers("pwrite64", "ENOSPC", &[1, 6, 30]);
}

#[test]
fn no_space_for_a_new_segment_stops_the_node_unacknowledged_and_it_recovers() {
    fails_and_recovers("fallocate", "ENOSPC", &[1, 2]);
}

/// A disk of a few MiB. Who may not mount one has to be content with calls that fail as if.
struct SmallDisk {
    mounted: Option<PathBuf>,
}

impl SmallDisk {
    fn at(path: &Path) -> Self {
        std::fs::create_dir(path).unwrap();
        let size = format!("size={DISK_MIB}m,nr_inodes=10k,mode=700");
        let is_mounted = mount(&["-t", "tmpfs", "-o", &size, "none"], path);
        SmallDisk { mounted: is_mounted.then(|| path.to_path_buf()) }
    }

    /// Room for everything.
    fn grow(&self) {
        if let Some(path) = &self.mounted {
            assert!(mount(&["-o", "remount,size=512m"], path));
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Some(path) = &self.mounted {
            // What stays mounted goes with the machine's next start.
            let _ = command("umount").arg("--lazy").arg(path).status();
        }
    }
}

fn mount(options: &[&str], path: &Path) -> bool {
    let output = command("mount").args(options).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn a_disk_that_fills_up_stops_the_node_and_it_goes_on_when_there_is_room() {
    let mut script = Script::new();
    let disk = SmallDisk::at(&script.home.data());
    let mut node = script.home.start(&[]);
    let client = script.ready(&mut node);
    if disk.mounted.is_none() {
        let point = Point { threads: Some(COMMITTER), call: "fallocate".to_owned(), count: 3 };
        let log = script.home.file("watched");
        node.watch(COMMITTER, &point.options_with("error=ENOSPC"), &log);
    }
    let played = script.play(&client, SESSIONS_TOO_MANY);
    assert!(matches!(played, Err(Gone)), "the disk never was full");
    // Whichever of the two met the end of the disk first.
    stopped(&script, node, &["journal_failed", "views_failed"]);
    disk.grow();
    script.conclude();
}
