//! Directories that no job sees anything of, such as the one where whoever runs the jobs keeps its
//! own keys. They are told by what they are, not by their paths.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fstat, openat, stat};
use rustix::io::Errno;

use crate::error::SandboxError;
use crate::job::Mount;
use crate::pin::{self, Pin};

/// Directories above one another that are looked at: no path that the kernel takes has more.
const DEPTH_MAX: usize = 4096;

/// Refuses a mount that is one of these, lies in one or contains one.
pub(crate) fn refuse(mounts: &[Mount], forbidden: &[PathBuf]) -> Result<(), SandboxError> {
    if mounts.is_empty() {
        return Ok(());
    }
    for dir in forbidden {
        let above_dir = std::fs::canonicalize(dir).map_err(|error| unseen(dir, &error))?;
        let above_dir = lineage(&above_dir).map_err(|error| unseen(dir, &error))?;
        let Some(own) = above_dir.first() else { continue };
        for mount in mounts {
            let source = mount.source();
            let above = lineage(source).map_err(|error| pin::refused(source, error))?;
            if above_dir.contains(&mount.pin()) || above.contains(own) {
                let why = format!("`{}` is shown to no job", dir.display());
                return Err(pin::refused(source, why));
            }
        }
    }
    Ok(())
}

fn unseen(dir: &Path, error: &dyn std::fmt::Display) -> SandboxError {
    let dir = dir.display();
    SandboxError::invalid(format!("keep mounts away from `{dir}`: it cannot be looked at: {error}"))
}

/// Itself and every directory above it.
fn lineage(path: &Path) -> Result<Vec<Pin>, Errno> {
    let root = pin::pin_of(&stat("/")?);
    let (mut here, own) = pin::open(path)?;
    let mut all = vec![own];
    let up = |from: &OwnedFd| {
        openat(from, "..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    };
    if !path.is_dir() {
        let Some(parent) = path.parent() else { return Ok(all) };
        let (dir, pin) = pin::open(parent)?;
        here = dir;
        all.push(pin);
    }
    while all.last() != Some(&root) {
        if all.len() > DEPTH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let above = up(&here)?;
        all.push(pin::pin_of(&fstat(&above)?));
        here = above;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Access;

    #[test]
    fn a_mount_that_is_or_has_or_lies_in_a_forbidden_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("home/data/journal")).unwrap();
        std::fs::create_dir_all(at("home/work")).unwrap();
        std::fs::write(at("home/data/key"), "k").unwrap();
        std::fs::write(at("home/plan"), "p").unwrap();
        std::os::unix::fs::symlink(at("home/data"), at("link")).unwrap();
        let forbidden = [at("link")];
        let tried =
            |name: &str| refuse(&[Mount::new(at(name), "/w", Access::Read).unwrap()], &forbidden);
        for name in ["", "home", "home/data", "home/data/journal", "home/data/key", "link/key"] {
            let error = tried(name).unwrap_err();
            assert_eq!(error.code(), "sandbox_invalid", "{name}: {error}");
        }
        for name in ["home/work", "home/plan"] {
            tried(name).unwrap();
        }
        let work = Mount::new(at("home/work"), "/w", Access::Read).unwrap();
        assert!(refuse(std::slice::from_ref(&work), &[at("none")]).is_err());
        refuse(&[], &[at("none")]).unwrap();
    }
}
