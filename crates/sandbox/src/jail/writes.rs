//! What a job puts into its writable mounts. No limit of the kernel counts that: the file system's
//! free space says cheaply whether there may be too much, and only then it is looked for.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, StatVfs, fstat, fstatvfs, openat, stat, statat,
    statvfs,
};
use rustix::process::Pid;

use super::processes::{self, Mapped};
use crate::clock::wall_seconds;
use crate::job::{Access, Job, Mount};
use crate::pin;

/// A job is ended when it leaves less than one part in this many of a file system free: others live
/// there too.
const RESERVE_PART: u64 = 50;
/// Entries looked at in one search, so that it ends. What is there beyond them is not found.
const ENTRIES_MAX: u64 = 1_000_000;
/// Levels that are searched: deeper ones are counted as passing the limit.
const DEPTH_MAX: usize = 128;
/// What is left of the limit when a search found less; not less than one part in this many, so that not
/// every look is a search.
const ROOM_PART: u64 = 8;

/// The writable mounts of a job, as they were at its start.
#[derive(Debug)]
pub(super) struct Writes {
    places: Vec<Place>,
    bytes_max: u64,
    files_max: u64,
    /// The most that one file of the job can have.
    file_bytes: u64,
    since: i64,
    /// How much may go before the next search.
    room: Room,
}

#[derive(Debug)]
struct Place {
    source: OwnedFd,
    target: PathBuf,
    what: What,
    /// What was free at the start.
    before: Free,
    /// The most that was free since the last search.
    looked: Free,
}

/// What was mounted.
#[derive(Clone, Copy, Debug)]
enum What {
    /// A directory, in this file system: the job can make files there.
    Dir(FileSystem),
    /// One file, which had so many blocks at the start.
    File { blocks: i64 },
}

/// Which file system something is in: its own number, or the device where it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileSystem {
    id: u64,
    device: u64,
}

impl FileSystem {
    fn of(stat: &Stat, all: &StatVfs) -> Self {
        FileSystem { id: all.f_fsid, device: if all.f_fsid == 0 { stat.st_dev } else { 0 } }
    }
}

/// What is free in a file system.
#[derive(Clone, Copy, Debug)]
struct Free {
    bytes: u64,
    files: u64,
    /// Less than this is left alone.
    reserve: u64,
}

#[derive(Clone, Copy, Debug)]
struct Room {
    bytes: u64,
    files: u64,
}

/// What has changed since the start.
#[derive(Clone, Debug, Default)]
struct Changed {
    bytes: u64,
    files: u64,
    entries: u64,
}

impl Changed {
    fn add(&mut self, stat: &Stat) {
        self.add_blocks(stat.st_blocks);
        self.files += 1;
    }

    fn add_blocks(&mut self, blocks: i64) {
        let blocks = u64::try_from(blocks).unwrap_or(0);
        self.bytes = self.bytes.saturating_add(blocks.saturating_mul(512));
    }
}

impl Writes {
    /// Looks at the mounts of a job before it starts. One that cannot be opened is the launcher's to
    /// refuse.
    pub(super) fn of(job: &Job) -> Self {
        let writable = job.mounts.iter().filter(|mount| mount.access == Access::Write);
        let (bytes_max, files_max) = (job.profile.tmp_bytes, job.profile.tmp_inodes);
        Writes {
            places: writable.filter_map(place).collect(),
            bytes_max,
            files_max,
            file_bytes: job.profile.file_bytes,
            since: wall_seconds(),
            room: Room { bytes: bytes_max, files: files_max },
        }
    }

    /// Whether the job has written more than it may.
    pub(super) fn are_too_many(&mut self, first: Option<Pid>) -> bool {
        let mut suspect = false;
        for place in &mut self.places {
            let Ok(stat) = fstatvfs(&place.source) else { continue };
            let now = Free::of(&stat);
            if now.bytes < now.reserve.min(place.before.bytes / 2) {
                return true;
            }
            // What others gave back hides nothing of what the job takes after it.
            place.looked.bytes = place.looked.bytes.max(now.bytes);
            place.looked.files = place.looked.files.max(now.files);
            let bytes = place.looked.bytes - now.bytes;
            let files = place.looked.files - now.files;
            suspect |= bytes > self.room.bytes || files > self.room.files;
        }
        suspect && self.search_all(first)
    }

    /// Looks for everything that changed since the start, with a name or without one.
    fn search_all(&mut self, first: Option<Pid>) -> bool {
        let mut changed = Changed::default();
        let mut places = self.places.iter();
        let is_over = places.any(|place| self.search_place(place, &mut changed))
            || first.is_some_and(|first| self.nameless(first, &mut changed));
        // It was not all the job's: the next suspicion begins with what is left to it.
        for place in &mut self.places {
            if let Ok(stat) = fstatvfs(&place.source) {
                place.looked = Free::of(&stat);
            }
        }
        let left = |max: u64, used: u64| max.saturating_sub(used).max(max / ROOM_PART);
        self.room = Room {
            bytes: left(self.bytes_max, changed.bytes),
            files: left(self.files_max, changed.files),
        };
        is_over
    }

    fn is_over(&self, changed: &Changed) -> bool {
        changed.bytes > self.bytes_max || changed.files > self.files_max
    }

    fn search_place(&self, place: &Place, changed: &mut Changed) -> bool {
        match place.what {
            What::Dir(_) => self.search(place.source.as_fd(), changed, 0),
            What::File { blocks } => {
                let now = fstat(&place.source).map_or(0, |stat| stat.st_blocks);
                changed.add_blocks(now.saturating_sub(blocks));
                self.is_over(changed)
            }
        }
    }

    /// Adds up what changed below a directory, until it is too much. No link is followed.
    fn search(&self, dir: impl AsFd, changed: &mut Changed, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return true;
        }
        let Ok(entries) = Dir::read_from(dir.as_fd()) else { return false };
        for entry in entries.flatten() {
            let name: CString = entry.file_name().to_owned();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            changed.entries += 1;
            if changed.entries > ENTRIES_MAX {
                return false;
            }
            let Ok(stat) = statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if stat.st_ctime >= self.since {
                changed.add(&stat);
            }
            if self.is_over(changed) {
                return true;
            }
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let Ok(below) = openat(&dir, &name, flags, Mode::empty()) else { continue };
                if self.search(&below, changed, depth + 1) {
                    return true;
                }
            }
        }
        false
    }

    /// Adds what has no name any more and lives because a process has it open or mapped.
    fn nameless(&self, first: Pid, changed: &mut Changed) -> bool {
        let all = processes::all(first);
        let mut seen = BTreeSet::new();
        for thread in all.iter().flat_map(|pid| processes::threads(*pid)) {
            for file in processes::entries(thread.join("fd")) {
                self.add_nameless(&file, &mut seen, changed);
            }
            if self.is_over(changed) {
                return true;
            }
        }
        for mapped in all.iter().flat_map(|pid| processes::mapped_and_deleted(*pid)) {
            self.add_mapped(&mapped, &mut seen, changed);
        }
        self.is_over(changed)
    }

    fn add_nameless(&self, file: &Path, seen: &mut BTreeSet<u64>, changed: &mut Changed) -> bool {
        let Ok(stat) = stat(file) else { return false };
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_file || stat.st_nlink > 0 {
            return true;
        }
        let Ok(all) = statvfs(file) else { return true };
        let its = FileSystem::of(&stat, &all);
        let mut places = self.places.iter();
        let is_ours = places.any(|place| matches!(place.what, What::Dir(ours) if ours == its));
        if is_ours && seen.insert(stat.st_ino) {
            changed.add(&stat);
        }
        true
    }

    /// Only root may look at what is mapped; for others it is as large as a file can be.
    fn add_mapped(&self, mapped: &Mapped, seen: &mut BTreeSet<u64>, changed: &mut Changed) {
        if !self.places.iter().any(|place| mapped.path.starts_with(&place.target)) {
            return;
        }
        if !self.add_nameless(&mapped.file, seen, changed) && seen.insert(mapped.inode) {
            changed.bytes = changed.bytes.saturating_add(self.file_bytes);
            changed.files += 1;
        }
    }
}

fn place(mount: &Mount) -> Option<Place> {
    let source = pin::open_same(mount.source(), mount.pin()).ok()??;
    let stat = fstat(&source).ok()?;
    let all = fstatvfs(&source).ok()?;
    let (source, what) = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let dir = openat(&source, ".", flags, Mode::empty()).ok()?;
            (dir, What::Dir(FileSystem::of(&stat, &all)))
        }
        FileType::RegularFile => (source, What::File { blocks: stat.st_blocks }),
        // Nothing that is written there stays in a file system.
        _ => return None,
    };
    let before = Free::of(&all);
    Some(Place { source, target: mount.target.clone(), what, before, looked: before })
}

impl Free {
    fn of(stat: &StatVfs) -> Self {
        Free {
            bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            files: stat.f_favail,
            reserve: (stat.f_blocks / RESERVE_PART).saturating_mul(stat.f_frsize),
        }
    }
}
