//! The control-group directories of this process, version 1 or 2, as the mounts tell them.

use std::path::{Path, PathBuf};

/// What is limited or counted for a whole tree of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Pids,
    /// Divides processors.
    Cpu,
    /// Counts their time; in version 2 every group does.
    Cpuacct,
}

impl Controller {
    pub(super) const ALL: [Controller; 4] =
        [Controller::Memory, Controller::Pids, Controller::Cpu, Controller::Cpuacct];

    pub(super) fn name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Pids => "pids",
            Controller::Cpu => "cpu",
            Controller::Cpuacct => "cpuacct",
        }
    }
}

/// The two interfaces of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// Where this process is in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) version: Version,
    pub(super) dir: PathBuf,
    /// In version 1 those of the mount; in version 2 those that the group has been given.
    pub(super) controllers: Vec<Controller>,
}

/// Every place of this process, from `/proc/self/mountinfo` and `/proc/self/cgroup`.
pub(super) fn places(mountinfo: &str, cgroup: &str) -> Vec<Place> {
    mountinfo.lines().filter_map(|line| place(line, cgroup)).collect()
}

fn place(mount: &str, cgroup: &str) -> Option<Place> {
    let (front, back) = mount.split_once(" - ")?;
    let mut front = front.split(' ');
    let (root, point) = (front.nth(3)?, front.next()?);
    let mut back = back.split(' ');
    let (kind, options) = (back.next()?, back.nth(1)?);
    let (version, named): (_, Vec<_>) = match kind {
        "cgroup" => {
            let has = |it: &Controller| options.split(',').any(|option| option == it.name());
            (Version::One, Controller::ALL.into_iter().filter(has).collect())
        }
        "cgroup2" => (Version::Two, Vec::new()),
        _ => return None,
    };
    if version == Version::One && named.is_empty() {
        return None;
    }
    let own = cgroup.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (names, path) = rest.split_once(':')?;
        let is_it = match named.first() {
            Some(first) => names.split(',').any(|name| name == first.name()),
            None => names.is_empty(),
        };
        is_it.then_some(path)
    })?;
    // What is mounted may be a part of the hierarchy; a path outside of it cannot be reached.
    let below = if root == "/" { own } else { own.strip_prefix(root)? };
    let dir = Path::new(point).join(below.trim_start_matches('/'));
    Some(Place { version, dir, controllers: named })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_version_one_are_found_with_their_controllers() {
        let mounts = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
            33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
            22 27 0:21 / /proc rw,relatime - proc proc rw\n";
        let own = "4:memory:/a/b\n2:cpu,cpuacct:/\n1:name=systemd:/x\n0::/\n";
        let found = places(mounts, own);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].dir, Path::new("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(found[0].controllers, [Controller::Memory]);
        assert_eq!(found[1].dir, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(found[1].controllers, [Controller::Cpu, Controller::Cpuacct]);
    }

    #[test]
    fn the_place_of_version_two_is_below_what_is_mounted_of_it() {
        let mounts = "41 31 0:38 /user.slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = places(mounts, "0::/user.slice/run-1.scope\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].version, Version::Two);
        assert_eq!(found[0].dir, Path::new("/sys/fs/cgroup/run-1.scope"));
        assert!(places(mounts, "0::/system.slice\n").is_empty());
    }
}
