//! What a job puts into its writable mounts. No limit of the kernel counts that: the file system's
//! free space says cheaply whether there may be too much, and only then it is looked for.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, StatVfs, fstatvfs, openat, statat};

use crate::clock::wall_seconds;
use crate::job::{Access, Job};

/// A job is ended when it leaves less than one part in this many of a file system free: what it
/// holds open without a name is found nowhere, and others live there too.
const RESERVE_PART: u64 = 50;
/// Entries looked at in one search; a job that made more of them has long passed its limit.
const ENTRIES_MAX: u64 = 1_000_000;
/// Levels that are searched: deeper ones are counted as passing the limit.
const DEPTH_MAX: usize = 128;

/// The writable mounts of a job, as they were at its start.
#[derive(Debug)]
pub(super) struct Writes {
    places: Vec<Place>,
    bytes_max: u64,
    files_max: u64,
    since: i64,
}

#[derive(Debug)]
struct Place {
    dir: OwnedFd,
    before: Free,
}

/// What is free in a file system.
#[derive(Clone, Copy, Debug)]
struct Free {
    bytes: u64,
    files: u64,
    /// Less than this is left alone.
    reserve: u64,
}

/// What has changed since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Changed {
    bytes: u64,
    files: u64,
    entries: u64,
}

impl Writes {
    /// Looks at the mounts of a job before it starts. One that cannot be opened is the launcher's to
    /// refuse.
    pub(super) fn of(job: &Job) -> Self {
        let writable = job.mounts.iter().filter(|mount| mount.access == Access::Write);
        let place = |mount: &crate::job::Mount| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let dir = openat(CWD, &mount.source, flags, Mode::empty()).ok()?;
            let before = Free::of(&fstatvfs(&dir).ok()?);
            Some(Place { dir, before })
        };
        Writes {
            places: writable.filter_map(place).collect(),
            bytes_max: job.profile.tmp_bytes,
            files_max: job.profile.tmp_inodes,
            since: wall_seconds(),
        }
    }

    /// Whether the job has written more than it may.
    pub(super) fn are_too_many(&mut self) -> bool {
        let mut suspect = false;
        for place in &mut self.places {
            let Ok(stat) = fstatvfs(&place.dir) else { continue };
            let now = Free::of(&stat);
            if now.bytes < now.reserve.min(place.before.bytes / 2) {
                return true;
            }
            let bytes = place.before.bytes.saturating_sub(now.bytes);
            let files = place.before.files.saturating_sub(now.files);
            suspect |= bytes > self.bytes_max || files > self.files_max;
        }
        if !suspect {
            return false;
        }
        let mut changed = Changed::default();
        let mut dirs = self.places.iter();
        let is_over = dirs.any(|place| self.search(place.dir.as_fd(), &mut changed, 0));
        if !is_over {
            // Somebody else filled the disk: the next suspicion counts from here.
            for place in &mut self.places {
                if let Ok(stat) = fstatvfs(&place.dir) {
                    place.before = Free::of(&stat);
                }
            }
        }
        is_over
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
            let Ok(stat) = statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if stat.st_ctime >= self.since {
                let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
                changed.bytes = changed.bytes.saturating_add(blocks.saturating_mul(512));
                changed.files += 1;
            }
            if changed.bytes > self.bytes_max
                || changed.files > self.files_max
                || changed.entries > ENTRIES_MAX
            {
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
