//! Opening what the job will see of the host: detached copies of mounts, with their attributes set
//! before anything can be reached through them.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, fstat, fstatfs, stat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::owners::Owners;
use super::{Result, failed, lacking};
use crate::error::Kind;
use crate::kernel::{Attributes, set_attributes};
use crate::plan::{Bind, Plan, Refused};

/// The system's programs and libraries. `/etc` and `/var` are not among them: they have what was
/// configured for this machine.
const SYSTEM: [&str; 8] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];
/// What programs of `/usr` look up elsewhere: where libraries are, which of several programs is meant.
const SYSTEM_ETC: [&str; 2] = ["/etc/ld.so.cache", "/etc/alternatives"];
/// Devices without a state of their own.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Views of the kernel's own state, which is the host's: `proc`, `sysfs`, both cgroup systems,
/// `devpts`, `debugfs`, `tracefs`, `securityfs`, `bpf`.
const KERNEL_VIEWS: [u64; 9] = [
    0x9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x1cd1,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11,
];

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
        } else if let Some(mount) = opened(path, Below::Too, system, None)? {
            pieces.push(Piece::Mount(mount));
        }
    }
    let device = Attributes { below: true, read_only: true, programs: false, devices: true };
    for path in DEVICES {
        let mount = opened(Path::new(path), Below::Too, device, None)?;
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

fn of_job(bind: &Bind, owners: Option<&mut Owners>) -> Result<Tree> {
    let source = Path::new(OsStr::from_bytes(&bind.source));
    let read_only = !bind.write;
    let attributes = Attributes { below: true, read_only, programs: true, devices: false };
    let invalid = |why| Refused::new(Kind::Invalid, format!("mount `{}`: {why}", source.display()));
    let tree = opened(source, Below::Not, attributes, owners)?;
    let tree = tree.ok_or_else(|| invalid("there is none"))?;
    let looking = failed("look at a mount");
    let (own, root) = (fstat(&tree.mount).map_err(&looking)?, stat("/").map_err(&looking)?);
    if (own.st_dev, own.st_ino) == (root.st_dev, root.st_ino) {
        return Err(invalid("it is the host's root"));
    }
    let is_view = fstatfs(&tree.mount)
        .map_err(&looking)
        .map(|stat| KERNEL_VIEWS.contains(&u64::try_from(stat.f_type).unwrap_or(0)))?;
    if is_view {
        return Err(invalid("it shows the host's kernel"));
    }
    Ok(Tree { target: Path::new(OsStr::from_bytes(&bind.target)).to_owned(), ..tree })
}

/// Whether what is mounted below is opened too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    /// For the system's own directories, which may be spread over several file systems.
    Too,
    /// For what a job is given: it is given that and nothing that somebody mounted there.
    Not,
}

/// A copy of the mount at this path, for the same path inside; nothing if nothing is there.
fn opened(
    path: &Path,
    below: Below,
    attributes: Attributes,
    owners: Option<&mut Owners>,
) -> Result<Option<Tree>> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if below == Below::Too {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let mount = match open_tree(CWD, path, flags) {
        Ok(mount) => mount,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => {
            let kind = match error {
                Errno::ACCESS | Errno::NOTDIR | Errno::LOOP => Kind::Invalid,
                // In a user namespace nothing can be separated from what is mounted below it.
                Errno::INVAL if below == Below::Not => Kind::Invalid,
                _ => Kind::Unavailable,
            };
            return Err(Refused::new(kind, format!("mount `{}`: {error}", path.display())));
        }
    };
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
    Ok(Some(Tree { mount, target: path.to_owned(), is_dir }))
}
