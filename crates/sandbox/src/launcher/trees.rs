//! Opening what the job will see of the host: detached copies of mounts, with their attributes set
//! before anything can be reached through them.

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, fstat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::owners::Owners;
use super::{Result, failed, lacking};
use crate::error::Kind;
use crate::kernel::{Attributes, set_attributes};
use crate::pin::{self, Pin};
use crate::plan::{Bind, Plan, Refused};

/// The system's programs and libraries. `/etc` and `/var` are not among them: they have what was
/// configured for this machine.
pub(super) const SYSTEM: [&str; 8] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];
/// What programs of `/usr` look up elsewhere: where libraries are, which of several programs is meant.
const SYSTEM_ETC: [&str; 2] = ["/etc/ld.so.cache", "/etc/alternatives"];
/// Devices without a state of their own.
const DEVICES: [&str; 5] = ["/dev/null", ZERO, "/dev/full", "/dev/random", "/dev/urandom"];
/// Who may write to it can map it as memory that belongs to no process. It is there only where that memory is
/// counted or Landlock keeps it from being written to: a read-only mount does not.
const ZERO: &str = "/dev/zero";

/// Something to be attached below the new root.
pub(super) struct Tree {
    pub(super) mount: OwnedFd,
    pub(super) target: PathBuf,
    pub(super) is_dir: bool,
}

/// Something of the new root.
pub(super) enum Piece {
    Mount(Tree),
    /// A symbolic link of the host's root, as in systems where `/bin` is `/usr/bin`.
    Link {
        at: PathBuf,
        to: PathBuf,
    },
}

/// Opens everything that the job sees.
pub(super) fn open(plan: &Plan, is_root: bool) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let system = Attributes { below: true, read_only: true, programs: true, devices: false };
    for path in SYSTEM.iter().chain(&SYSTEM_ETC).map(Path::new) {
        if let Ok(to) = std::fs::read_link(path) {
            pieces.push(Piece::Link { at: path.to_owned(), to });
        } else if let Some(mount) = opened(path, system)? {
            pieces.push(Piece::Mount(mount));
        }
    }
    let device = Attributes { below: true, read_only: true, programs: false, devices: true };
    let has_zero = plan.landlock || plan.bounds.memory_bytes.is_none();
    for path in DEVICES.into_iter().filter(|path| has_zero || *path != ZERO) {
        let mount = opened(Path::new(path), device)?;
        let mount = mount.ok_or_else(|| {
            Refused::new(Kind::Unavailable, format!("open `{path}`: there is none"))
        })?;
        pieces.push(Piece::Mount(mount));
    }
    let mut owners = is_root.then(Owners::default);
    for bind in &plan.mounts {
        pieces.push(Piece::Mount(of_job(bind, owners.as_mut())?));
    }
    Ok(pieces)
}

/// A copy of the one mount that was pinned, and of nothing that somebody mounted below it.
fn of_job(bind: &Bind, owners: Option<&mut Owners>) -> Result<Tree> {
    let source = Path::new(OsStr::from_bytes(&bind.source));
    let refused = |why: &dyn fmt::Display, kind| {
        Refused::new(kind, format!("mount `{}`: {why}", source.display()))
    };
    let pin = Pin { device: bind.device, inode: bind.inode };
    let file = match pin::open_same(source, pin) {
        Ok(Some(file)) => file,
        Ok(None) => return Err(refused(&"it is not what was there before", Kind::Invalid)),
        Err(Errno::NOENT) => return Err(refused(&"there is none", Kind::Invalid)),
        Err(error @ (Errno::ACCESS | Errno::NOTDIR)) => {
            return Err(refused(&error, Kind::Invalid));
        }
        Err(error) => return Err(refused(&error, Kind::Unavailable)),
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = open_tree(&file, "", flags).map_err(|error| {
        // In a user namespace nothing can be separated from what is mounted below it.
        let kind = if error == Errno::INVAL { Kind::Invalid } else { Kind::Unavailable };
        refused(&error, kind)
    })?;
    let read_only = !bind.write;
    let attributes = Attributes { below: true, read_only, programs: true, devices: false };
    let target = Path::new(OsStr::from_bytes(&bind.target));
    protected(mount, target, attributes, owners)
}

/// A copy of everything mounted at this path of the system, which may be spread over several file
/// systems, for the same path inside; nothing if nothing is there.
fn opened(path: &Path, attributes: Attributes) -> Result<Option<Tree>> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    match open_tree(CWD, path, flags) {
        Ok(mount) => protected(mount, path, attributes, None).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => {
            let what = format!("mount `{}`: {error}", path.display());
            Err(Refused::new(Kind::Unavailable, what))
        }
    }
}

/// The copy with its attributes, before anything can be reached through it.
fn protected(
    mount: OwnedFd,
    target: &Path,
    attributes: Attributes,
    owners: Option<&mut Owners>,
) -> Result<Tree> {
    let stat = fstat(&mount).map_err(failed("look at a mount"))?;
    let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let lent = match owners {
        Some(owners) => owners.lent(stat.st_uid, stat.st_gid)?,
        None => None,
    };
    match set_attributes(&mount, attributes, lent) {
        Ok(()) => {}
        // A file system that cannot show other owners is shown as it is: files that are not
        // the job's stay closed to it.
        Err(Errno::INVAL) if lent.is_some() => {
            set_attributes(&mount, attributes, None).map_err(lacking("protect a mount"))?;
        }
        Err(error) => return Err(lacking("protect a mount")(error)),
    }
    Ok(Tree { mount, target: target.to_owned(), is_dir })
}
