//! Where a mount may appear, told before any job: what `root` would find out at each.

use std::fs::symlink_metadata;
use std::path::Path;

use super::trees::SYSTEM;
use crate::error::SandboxError;

/// Whether something can be mounted at this place in a job of this machine. The system's own
/// directories are read-only: below them only a place that is there, and not through a link.
///
/// # Errors
///
/// `sandbox_invalid`, saying what is in the way.
pub fn check_target(target: &Path, is_dir: bool) -> Result<(), SandboxError> {
    let invalid =
        |why: String| Err(SandboxError::invalid(format!("mount at `{}`: {why}", target.display())));
    let Some(system) = SYSTEM.iter().map(Path::new).find(|dir| target.starts_with(dir)) else {
        return Ok(());
    };
    if symlink_metadata(system).is_err() {
        // This machine has none: it is as any other place.
        return Ok(());
    }
    let mut places: Vec<&Path> =
        target.ancestors().take_while(|place| place.starts_with(system)).collect();
    places.reverse();
    for place in places {
        let shown = place.display();
        match symlink_metadata(place) {
            Err(_) => return invalid(format!("`{shown}` is not there, and cannot be made")),
            Ok(it) if it.is_symlink() => return invalid(format!("`{shown}` is a link")),
            Ok(it) if place != target && !it.is_dir() => {
                return invalid(format!("`{shown}` is no directory"));
            }
            Ok(it) if place == target && it.is_dir() != is_dir => {
                return invalid("a directory and a file do not fit each other".to_owned());
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_the_system_only_places_that_are_there_can_be_mounted_at() {
        for (target, is_dir) in [("/work/x", true), ("/etc/app", true), ("/usr/bin", true)] {
            check_target(Path::new(target), is_dir).unwrap();
        }
        for (target, is_dir) in
            [("/usr/no/such", true), ("/usr/bin", false), ("/usr/bin/env", true)]
        {
            assert!(check_target(Path::new(target), is_dir).is_err(), "{target}");
        }
        if symlink_metadata("/bin").unwrap().is_symlink() {
            assert!(check_target(Path::new("/bin/x"), true).is_err());
        }
    }
}
