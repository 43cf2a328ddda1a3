//! The new root: one capped tmpfs. Its skeleton is read-only, its `/tmp` is the job's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, mkdirat, openat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};
use rustix::process::{chdir, fchdir, pivot_root};

use super::trees::{Piece, Tree};
use super::{Result, failed, lacking};
use crate::error::Kind;
use crate::kernel::{Attributes, set_attributes};
use crate::plan::{Bounds, Refused};

/// What the skeleton itself takes of the file system's size: a page for each of its small files.
const SKELETON_BYTES: u64 = 64 * 1024;
/// Directories, links and mount points of the skeleton, those of 64 mounts included.
const SKELETON_INODES: u64 = 512;

const DIR: Mode = Mode::from_raw_mode(0o755);

/// Small files that programs expect, with nothing of this machine in them.
const FILES: [(&str, &str); 4] = [
    ("etc/passwd", "agent:x:1000:1000:agent:/tmp:/bin/sh\n"),
    ("etc/group", "agent:x:1000:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
];
const DIRS: [&str; 5] = ["dev", "etc", "proc", "tmp", "var"];
const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "dev/fd"),
    ("/proc/self/fd/0", "dev/stdin"),
    ("/proc/self/fd/1", "dev/stdout"),
    ("/proc/self/fd/2", "dev/stderr"),
    ("/tmp", "dev/shm"),
    ("/tmp", "var/tmp"),
];

/// Builds the root, goes there, and leaves the host's behind.
pub(super) fn enter(bounds: &Bounds, pieces: Vec<Piece>) -> Result<()> {
    let root = tmpfs(bounds)?;
    // The host's root is covered, not changed: this mount namespace is the job's own.
    attach(root.as_fd(), CWD, "/").map_err(lacking("mount its root"))?;
    skeleton(root.as_fd()).map_err(failed("make its root"))?;
    private_tmp(root.as_fd()).map_err(lacking("mount its /tmp"))?;
    for piece in pieces {
        match piece {
            Piece::Link { at, to } => {
                let at = at.strip_prefix("/").unwrap_or(&at);
                made(symlinkat(&to, &root, at)).map_err(failed("make its root"))?;
            }
            Piece::Mount(tree) => place(root.as_fd(), &tree)?,
        }
    }
    processes(root.as_fd()).map_err(lacking("mount its /proc"))?;
    let sealed = Attributes { below: false, read_only: true, programs: false, devices: false };
    set_attributes(&root, sealed, None).map_err(lacking("seal its root"))?;
    fchdir(&root).map_err(failed("go to its root"))?;
    pivot_root(".", ".").map_err(lacking("change its root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(lacking("leave the host's root"))?;
    chdir("/").map_err(failed("go to its root"))
}

/// A file system in memory, as large as the job's `/tmp` may become.
fn tmpfs(bounds: &Bounds) -> Result<OwnedFd> {
    let options = [
        ("size", bounds.tmp_bytes.saturating_add(SKELETON_BYTES).to_string()),
        // Without it a job fills the host's memory with empty files.
        ("nr_inodes", bounds.tmp_inodes.saturating_add(SKELETON_INODES).to_string()),
        ("mode", "0755".to_owned()),
    ];
    filesystem("tmpfs", &options).map_err(lacking("make its root"))
}

fn filesystem(name: &str, options: &[(&str, String)]) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(&context, *key, value.as_str())?;
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn attach(
    mount: BorrowedFd<'_>,
    dir: BorrowedFd<'_>,
    at: impl rustix::path::Arg,
) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", dir, at, flags)
}

fn skeleton(root: BorrowedFd<'_>) -> rustix::io::Result<()> {
    for dir in DIRS {
        mkdirat(root, dir, DIR)?;
    }
    for (to, at) in LINKS {
        symlinkat(to, root, at)?;
    }
    for (at, text) in FILES {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(root, at, flags, Mode::from_raw_mode(0o444))?;
        rustix::io::write(&file, text.as_bytes())?;
    }
    Ok(())
}

/// A second view of the same file system, of one directory, which stays writable.
fn private_tmp(root: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tmp = open_tree(root, "tmp", flags)?;
    rustix::fs::chmodat(root, "tmp", Mode::from_raw_mode(0o1777), AtFlags::empty())?;
    attach(tmp.as_fd(), root, "tmp")
}

/// The processes of the new namespace, and nothing else of what `/proc` shows of the machine.
fn processes(root: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let options = [("subset", "pid".to_owned()), ("hidepid", "ptraceable".to_owned())];
    let proc = filesystem("proc", &options)?;
    let sealed = Attributes { below: false, read_only: true, programs: false, devices: false };
    set_attributes(&proc, sealed, None)?;
    attach(proc.as_fd(), root, "proc")
}

/// Attaches a mount at its place, which is made if it is not there.
fn place(root: BorrowedFd<'_>, tree: &Tree) -> Result<()> {
    let placed = point(root, &tree.target, tree.is_dir)
        .and_then(|point| attach(tree.mount.as_fd(), point.as_fd(), ""));
    placed.map_err(|error| {
        let kind = match error {
            // The place lies below another mount that does not have it, or behind a link.
            Errno::ROFS | Errno::ACCESS | Errno::NOTDIR | Errno::LOOP | Errno::ISDIR => {
                Kind::Invalid
            }
            _ => Kind::Unavailable,
        };
        Refused::new(kind, format!("mount at `{}`: {error}", tree.target.display()))
    })
}

/// The directory or file to attach to. No link is followed: one of another mount could lead anywhere.
fn point(root: BorrowedFd<'_>, path: &Path, is_dir: bool) -> rustix::io::Result<OwnedFd> {
    let look = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut here = openat(root, ".", look | OFlags::DIRECTORY, Mode::empty())?;
    let mut parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    let mut next = parts.next();
    while let Some(name) = next {
        next = parts.next();
        let wants_dir = is_dir || next.is_some();
        match openat(&here, name, look, Mode::empty()) {
            Err(Errno::NOENT) if wants_dir => mkdirat(&here, name, DIR)?,
            Err(Errno::NOENT) => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                drop(openat(&here, name, flags, Mode::from_raw_mode(0o644))?);
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let kind = if wants_dir { OFlags::DIRECTORY } else { OFlags::empty() };
        here = openat(&here, name, look | kind, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&here)?.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
    }
    Ok(here)
}

/// Something that may be there already.
fn made(answer: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match answer {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}
