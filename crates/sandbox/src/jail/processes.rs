//! The processes of a job, as `/proc` shows them to whoever runs it: what they hold that no limit of the
//! kernel counts.

use std::fs;
use std::path::PathBuf;

use rustix::process::Pid;

/// Processes looked at: more than any profile allows.
const PROCESSES_MAX: usize = 8192;

/// A process and everybody below it. The first process of a namespace is the parent of whoever has lost
/// theirs, so nobody of a job is missed but who comes or goes meanwhile.
pub(super) fn all(first: Pid) -> Vec<i32> {
    let mut found = vec![first.as_raw_nonzero().get()];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        for thread in threads(pid) {
            let children = fs::read_to_string(thread.join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|it| it.parse::<i32>().ok()));
        }
        if found.len() > PROCESSES_MAX {
            break;
        }
    }
    found
}

/// The directories of a process's threads; each may have a table of open files of its own.
pub(super) fn threads(pid: i32) -> Vec<PathBuf> {
    entries(PathBuf::from(format!("/proc/{pid}/task")))
}

/// The paths in a directory; none if it is gone.
pub(super) fn entries(dir: PathBuf) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Memory that belongs to no file, in bytes: what the process wrote, whatever it has been made since.
pub(super) fn private_bytes(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0)
    };
    kib("RssAnon:").saturating_add(kib("VmSwap:")).saturating_mul(1024)
}

/// A file without a name that a process has mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    /// Where the kernel shows it to root.
    pub(super) file: PathBuf,
    pub(super) inode: u64,
    /// Where it was, as the process saw it.
    pub(super) path: PathBuf,
}

/// What a process has mapped of files that are deleted.
pub(super) fn mapped_and_deleted(pid: i32) -> Vec<Mapped> {
    let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    let maps = String::from_utf8_lossy(&maps);
    maps.lines().filter_map(|line| deleted(pid, line)).collect()
}

fn deleted(pid: i32, line: &str) -> Option<Mapped> {
    let (front, path) = line.strip_suffix(" (deleted)")?.split_once('/')?;
    let mut fields = front.split_whitespace();
    let range = fields.next()?;
    let inode = fields.nth(3)?.parse().ok()?;
    let file = PathBuf::from(format!("/proc/{pid}/map_files/{range}"));
    Some(Mapped { file, inode, path: PathBuf::from(format!("/{path}")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_file_is_told_from_others_in_the_list_of_what_is_mapped() {
        let line = "7f0a-7f0b rw-s 00000000 08:01 4711                       /w/a b (deleted)";
        let found = deleted(9, line).unwrap();
        assert_eq!((found.inode, found.path), (4711, PathBuf::from("/w/a b")));
        assert_eq!(found.file, PathBuf::from("/proc/9/map_files/7f0a-7f0b"));
        assert_eq!(deleted(9, "7f0a-7f0b rw-s 00000000 08:01 4711   /w/a"), None);
        assert_eq!(deleted(9, "7f0a-7f0b rw-p 00000000 00:00 0 [stack]"), None);
    }

    #[test]
    fn this_process_is_among_its_own_and_has_memory() {
        let own = rustix::process::getpid();
        assert!(all(own).contains(&own.as_raw_nonzero().get()));
        assert!(private_bytes(own.as_raw_nonzero().get()) > 0);
    }
}
