//! What a mount's source is. It is found once, when the mount is made; whenever it is opened later, no
//! link is followed, and it has to be the same directory or file as then. Who may write above a
//! source could else put a link in its place, and have anything of the host mounted for another.

use std::path::{Path, PathBuf};

use crate::error::SandboxError;

/// One directory or file of this machine, wherever it lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// The path without links, and what is there.
///
/// # Errors
///
/// `sandbox_invalid` if nothing is there, or something that is never shown to a job.
pub(crate) fn resolved(source: &Path) -> Result<(PathBuf, Pin), SandboxError> {
    let path = std::fs::canonicalize(source).map_err(|error| refused(source, error))?;
    let pin = pinned(&path)?;
    Ok((path, pin))
}

/// The same for something below a directory, of which no part may be a link.
///
/// # Errors
///
/// As [`resolved`], and if a part of `name` is a link or leads out of the directory.
pub(crate) fn resolved_within(dir: &Path, name: &Path) -> Result<(PathBuf, Pin), SandboxError> {
    let is_below = name.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !is_below {
        return Err(refused(name, "it is not a path below a directory"));
    }
    let path = std::fs::canonicalize(dir).map_err(|error| refused(dir, error))?.join(name);
    let pin = pinned(&path)?;
    Ok((path, pin))
}

pub(crate) fn refused(source: &Path, why: impl std::fmt::Display) -> SandboxError {
    SandboxError::invalid(format!("mount `{}`: {why}", source.display()))
}

#[cfg(not(target_os = "linux"))]
fn pinned(_path: &Path) -> Result<Pin, SandboxError> {
    Ok(Pin::default())
}

#[cfg(target_os = "linux")]
fn pinned(path: &Path) -> Result<Pin, SandboxError> {
    let (file, pin) = open(path).map_err(|error| refused(path, error))?;
    match linux::never_shown(&file, pin).map_err(|error| refused(path, error))? {
        None => Ok(pin),
        Some(why) => Err(refused(path, why)),
    }
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{open, open_same};

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{AsFd, OwnedFd};
    use std::path::Path;

    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, Stat, fstat, fstatfs, openat2, stat};
    use rustix::io::Errno;

    use super::Pin;

    /// Views of the kernel's own state, which is the host's: `proc`, `sysfs`, both cgroup systems,
    /// `devpts`, `debugfs`, `tracefs`, `securityfs`, `bpf`, `configfs`, `efivarfs`, `pstore`, `mqueue`,
    /// `selinuxfs`, `smackfs`, `apparmorfs`, `fusectl`, `binfmt_misc`, `nsfs`, `resctrl`, `xenfs`, `binder`,
    /// `hugetlbfs`.
    const KERNEL_VIEWS: [u64; 23] = [
        0x9fa0,
        0x6265_6572,
        0x0027_e0eb,
        0x6367_7270,
        0x1cd1,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0xcafe_4a11,
        0x6265_6570,
        0xde5e_81e4,
        0x6165_676c,
        0x1980_0202,
        0xf97c_ff8c,
        0x4341_5d53,
        0x5a3c_69f0,
        0x6573_5543,
        0x4249_4e4d,
        0x6e73_6673,
        0x0765_5821,
        0xabba_1974,
        0x6c6f_6f70,
        0x9584_58f6,
    ];

    /// Opens what is there for looking only, following no link.
    pub(crate) fn open(path: &Path) -> Result<(OwnedFd, Pin), Errno> {
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let file = openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
        let pin = pin_of(&fstat(&file)?);
        Ok((file, pin))
    }

    /// The same, if it is what was pinned; nothing if something else is there now.
    pub(crate) fn open_same(path: &Path, pin: Pin) -> Result<Option<OwnedFd>, Errno> {
        match open(path) {
            Ok((file, found)) => Ok((found == pin).then_some(file)),
            // A link, where there was none.
            Err(Errno::LOOP) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn pin_of(stat: &Stat) -> Pin {
        Pin { device: stat.st_dev, inode: stat.st_ino }
    }

    /// Why this can be shown to no job.
    pub(super) fn never_shown(file: impl AsFd, pin: Pin) -> Result<Option<&'static str>, Errno> {
        if pin == pin_of(&stat("/")?) {
            return Ok(Some("it is the host's root"));
        }
        let kind = u64::try_from(fstatfs(file)?.f_type).unwrap_or(0);
        Ok(KERNEL_VIEWS.contains(&kind).then_some("it shows the host's kernel"))
    }
}
