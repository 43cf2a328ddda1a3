//! Where groups of version 2 can be made: below the group of this process, so that whatever limits it
//! limits its jobs too.

use std::fs;
use std::path::Path;

use super::hierarchy::{Controller, Place, Version};

/// The group into which this process steps aside.
const ASIDE: &str = "ark-os-aside";

/// The same place, or the one that is used instead.
///
/// In version 2 a group that has processes cannot have groups with controllers, unless it is the root. Where
/// this process is alone in its group it steps aside into one below. Else the group above is taken,
/// which is how a service manager delegates (`Delegate=yes` with `DelegateSubgroup=`).
pub(super) fn place(place: &Place) -> Result<Place, String> {
    let is_aside = place.dir.file_name().is_some_and(|name| name == ASIDE);
    let own = match place.dir.parent() {
        Some(above) if is_aside => above,
        _ => &place.dir,
    };
    let found = divided(own).or_else(|why| if steps_aside(own) { divided(own) } else { Err(why) });
    let found = found.or_else(|why| own.parent().and_then(|above| divided(above).ok()).ok_or(why));
    let (dir, controllers) = found?;
    Ok(Place { version: Version::Two, dir, controllers })
}

/// A group with the controllers that groups in it can have.
fn divided(dir: &Path) -> Result<(std::path::PathBuf, Vec<Controller>), String> {
    let offered = fs::read_to_string(dir.join("cgroup.controllers"))
        .map_err(|error| format!("is not delegated to this process: {error}"))?;
    let has = |it: &Controller| offered.split_whitespace().any(|name| name == it.name());
    let mut controllers: Vec<_> = Controller::ALL.into_iter().filter(has).collect();
    if controllers.is_empty() {
        return Err("has no controllers".to_owned());
    }
    let wanted: Vec<_> = controllers.iter().map(|it| format!("+{}", it.name())).collect();
    fs::write(dir.join("cgroup.subtree_control"), wanted.join(" "))
        .map_err(|error| format!("is not delegated to this process: {error}"))?;
    controllers.push(Controller::Cpuacct);
    Ok((dir.to_owned(), controllers))
}

/// Leaves a group for one below it, if nobody else is in it.
fn steps_aside(dir: &Path) -> bool {
    let own = std::process::id().to_string();
    let here = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    if here.trim() != own {
        return false;
    }
    let aside = dir.join(ASIDE);
    let made = fs::create_dir(&aside).is_ok() || aside.is_dir();
    made && fs::write(aside.join("cgroup.procs"), own).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(dir: &Path) -> Place {
        Place { version: Version::Two, dir: dir.to_owned(), controllers: Vec::new() }
    }

    /// A group in whose stead nothing can be made, and one above it.
    fn groups() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("leaf");
        fs::create_dir_all(own.join("cgroup.subtree_control")).unwrap();
        for group in [dir.path(), &own] {
            fs::write(group.join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
        }
        (dir, own)
    }

    #[test]
    fn a_group_that_has_processes_is_left_for_the_one_above() {
        let (dir, own) = groups();
        fs::write(own.join("cgroup.procs"), "1\n2\n").unwrap();
        let place = place(&at(&own)).unwrap();
        assert_eq!(place.dir, dir.path());
        assert_eq!(place.controllers.len(), 4);
        let asked = fs::read_to_string(dir.path().join("cgroup.subtree_control")).unwrap();
        assert_eq!(asked, "+memory +pids +cpu");
        assert!(!own.join(ASIDE).exists());
    }

    #[test]
    fn who_is_alone_in_a_group_steps_aside_and_jobs_stay_below_it() {
        let (_dir, own) = groups();
        let me = std::process::id().to_string();
        fs::write(own.join("cgroup.procs"), &me).unwrap();
        assert!(steps_aside(&own));
        assert_eq!(fs::read_to_string(own.join(ASIDE).join("cgroup.procs")).unwrap(), me);
        fs::remove_dir(own.join("cgroup.subtree_control")).unwrap();
        assert_eq!(place(&at(&own.join(ASIDE))).unwrap().dir, own);
    }
}
