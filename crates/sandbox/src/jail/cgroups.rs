//! Control groups: limits that hold for a whole tree of processes, where this process may make them.
//!
//! A group's name says which process made it, so that whatever a crashed instance left behind can be
//! told from the groups of one that lives.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::delegated;
use super::hierarchy::{self, Controller, Place, Version};
use crate::clock::Watch;
use crate::error::SandboxError;
use crate::machine::{Mechanism, Reaped};
use crate::profile::Profile;

const PREFIX: &str = "ark-os-jail-";
/// The span that a share of a processor refers to: short enough that a job does not stand still for
/// long, long enough that switching costs nothing.
const PERIOD_US: u64 = 50_000;
/// The first process, which the profile does not count, and the launcher until it has ended.
const OWN_PROCESSES: u64 = 2;
/// How long processes that were left behind may take to die of a kill, all together: a moment, unless
/// they hang in the kernel. Less than a second.
const END_PATIENCE: Duration = Duration::from_millis(500);

/// Where groups are made; nowhere if this process may make none.
#[derive(Debug)]
pub(super) struct Cgroups {
    places: Vec<Place>,
    /// Why there is no place for a controller.
    reasons: Vec<(Controller, String)>,
    maker: String,
    /// Groups that could not be removed when their job was over.
    stuck: Mutex<Vec<PathBuf>>,
}

impl Cgroups {
    /// Finds where groups can be made, by making one.
    pub(super) fn find() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let all = hierarchy::places(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        Cgroups::of(all, maker(std::process::id()).unwrap_or_default())
    }

    fn of(all: Vec<Place>, maker: String) -> Self {
        let mut places: Vec<Place> = Vec::new();
        let mut reasons: Vec<(Controller, String)> = Vec::new();
        for place in all {
            match usable(&place, &maker) {
                Ok(place) => places.push(place),
                Err(reason) => {
                    let named = if place.controllers.is_empty() {
                        Controller::ALL.to_vec()
                    } else {
                        place.controllers
                    };
                    reasons.extend(named.into_iter().map(|it| (it, reason.clone())));
                }
            }
        }
        Cgroups { places, reasons, maker, stuck: Mutex::default() }
    }

    fn place(&self, controller: Controller) -> Option<&Place> {
        self.places.iter().find(|place| place.controllers.contains(&controller))
    }

    pub(super) fn counts_memory(&self) -> bool {
        self.place(Controller::Memory).is_some()
    }

    pub(super) fn divides_cpu(&self) -> bool {
        self.place(Controller::Cpu).is_some()
    }

    pub(super) fn counts_cpu(&self) -> bool {
        self.place(Controller::Cpuacct).is_some()
    }

    /// Why a controller cannot be used.
    pub(super) fn why_not(&self, controller: &str) -> String {
        let reason = self.reasons.iter().find(|(it, _)| it.name() == controller);
        match reason {
            Some((_, reason)) => format!("the control group `{controller}` {reason}"),
            None => format!("there is no control group `{controller}`"),
        }
    }

    pub(super) fn mechanisms(&self) -> impl Iterator<Item = Mechanism> {
        Controller::ALL.into_iter().map(|controller| {
            let place = self.place(controller);
            let detail = match place {
                Some(Place { version: Version::One, .. }) => "version 1".to_owned(),
                Some(Place { version: Version::Two, .. }) => "version 2".to_owned(),
                None => self.why_not(controller.name()),
            };
            Mechanism {
                name: format!("control group {}", controller.name()),
                present: place.is_some(),
                required: false,
                detail: Some(detail),
            }
        })
    }

    /// Makes the groups of one job, with its limits.
    pub(super) fn make(&self, profile: &Profile) -> Result<Group, SandboxError> {
        self.retry_stuck();
        // One count for the process, which may have opened more than one jail.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", self.maker);
        let mut group = Group { places: Vec::new() };
        for place in &self.places {
            let place = Place { dir: place.dir.join(&name), ..place.clone() };
            let made = fs::create_dir(&place.dir).and_then(|()| {
                // What was made is removed again, whatever goes wrong later.
                group.places.push(place.clone());
                limit(&place, profile)
            });
            if let Err(error) = made {
                self.remove(group);
                return Err(SandboxError::internal(format!(
                    "make the control group `{}`: {error}",
                    place.dir.display()
                )));
            }
        }
        Ok(group)
    }

    /// Removes the groups of a job that is over. The kernel may hold one a little longer: it is
    /// tried again before the next job.
    pub(super) fn remove(&self, group: Group) {
        let stuck = group.places.into_iter().map(|place| place.dir).filter(|dir| !is_removed(dir));
        let stuck: Vec<_> = stuck.collect();
        if !stuck.is_empty() {
            self.stuck().extend(stuck);
        }
    }

    fn stuck(&self) -> std::sync::MutexGuard<'_, Vec<PathBuf>> {
        // A list of paths is whole whoever panicked over it.
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retry_stuck(&self) -> usize {
        let mut stuck = self.stuck();
        let before = stuck.len();
        stuck.retain(|dir| !is_removed(dir));
        before - stuck.len()
    }

    /// Removes what instances that are gone left behind, and what was stuck.
    pub(super) fn reap(&self) -> Reaped {
        let mut reaped = Reaped { groups: self.retry_stuck(), ..Reaped::default() };
        let left: Vec<_> = self.places.iter().flat_map(|place| left_over(&place.dir)).collect();
        let ended: Vec<_> = left.iter().flat_map(|dir| end_all(dir)).collect();
        reaped.processes = ended.len();
        await_ends(&ended);
        let (gone, kept): (Vec<_>, Vec<_>) = left.into_iter().partition(|dir| is_removed(dir));
        reaped.groups += gone.len();
        // They are tried again before the next job.
        let mut stuck = self.stuck();
        stuck.extend(kept);
        reaped.kept = stuck.len();
        reaped
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        self.retry_stuck();
    }
}

/// The groups of one job.
#[derive(Debug)]
pub(super) struct Group {
    places: Vec<Place>,
}

impl Group {
    /// The files that a process writes itself into. It moves its only thread, which spares the
    /// kernel from stopping every process of the machine for a moment.
    pub(super) fn joins(&self) -> impl Iterator<Item = PathBuf> {
        self.places.iter().map(|place| match place.version {
            Version::One => place.dir.join("tasks"),
            Version::Two => place.dir.join("cgroup.procs"),
        })
    }

    fn read(&self, controller: Controller, one: &str, two: &str) -> Option<String> {
        let place = self.places.iter().find(|place| place.controllers.contains(&controller))?;
        let file = match place.version {
            Version::One => one,
            Version::Two => two,
        };
        fs::read_to_string(place.dir.join(file)).ok()
    }

    pub(super) fn counts_memory(&self) -> bool {
        self.places.iter().any(|place| place.controllers.contains(&Controller::Memory))
    }

    /// Whether the kernel ended a process of the job for want of memory.
    pub(super) fn is_out_of_memory(&self) -> bool {
        let text = self.read(Controller::Memory, "memory.oom_control", "memory.events");
        text.and_then(|text| field(&text, "oom_kill")).is_some_and(|times| times > 0)
    }

    pub(super) fn memory_peak(&self) -> Option<u64> {
        number(&self.read(Controller::Memory, "memory.max_usage_in_bytes", "memory.peak")?)
    }

    pub(super) fn processes_peak(&self) -> Option<u64> {
        let peak = number(&self.read(Controller::Pids, "pids.peak", "pids.peak")?)?;
        Some(peak.saturating_sub(OWN_PROCESSES))
    }

    pub(super) fn cpu_time(&self) -> Option<Duration> {
        let text = self.read(Controller::Cpuacct, "cpuacct.usage", "cpu.stat")?;
        match number(&text) {
            Some(nanos) => Some(Duration::from_nanos(nanos)),
            None => field(&text, "usage_usec").map(Duration::from_micros),
        }
    }
}

/// The same place if groups can be made there and have their controllers.
fn usable(place: &Place, maker: &str) -> Result<Place, String> {
    let place = match place.version {
        Version::One => place.clone(),
        Version::Two => delegated::place(place)?,
    };
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let trial = place.dir.join(format!("{PREFIX}{maker}-trial{number}"));
    fs::create_dir(&trial).map_err(|error| format!("cannot be divided: {error}"))?;
    let has_files = limit(&Place { dir: trial.clone(), ..place.clone() }, &Profile::default());
    let _ = fs::remove_dir(&trial);
    has_files.map_err(|error| format!("cannot be limited: {error}"))?;
    Ok(place)
}

/// Writes the limits of a profile into a group.
fn limit(place: &Place, profile: &Profile) -> io::Result<()> {
    let write = |file: &str, value: String| fs::write(place.dir.join(file), value);
    let processes = u64::from(profile.processes) + OWN_PROCESSES;
    let quota = u64::from(profile.cpu_milli).saturating_mul(PERIOD_US) / 1000;
    for controller in &place.controllers {
        match (controller, place.version) {
            (Controller::Memory, Version::One) => {
                write("memory.limit_in_bytes", profile.memory_bytes.to_string())?;
                // Without a swap file there is nothing to limit, and no such file.
                let swap = "memory.memsw.limit_in_bytes";
                if place.dir.join(swap).exists() {
                    write(swap, profile.memory_bytes.to_string())?;
                }
            }
            (Controller::Memory, Version::Two) => {
                write("memory.max", profile.memory_bytes.to_string())?;
                write("memory.oom.group", "1".to_owned())?;
                if place.dir.join("memory.swap.max").exists() {
                    write("memory.swap.max", "0".to_owned())?;
                }
            }
            (Controller::Pids, _) => write("pids.max", processes.to_string())?,
            (Controller::Cpu, Version::One) => {
                write("cpu.cfs_period_us", PERIOD_US.to_string())?;
                write("cpu.cfs_quota_us", quota.to_string())?;
            }
            (Controller::Cpu, Version::Two) => write("cpu.max", format!("{quota} {PERIOD_US}"))?,
            (Controller::Cpuacct, _) => {}
        }
    }
    Ok(())
}

fn is_removed(dir: &Path) -> bool {
    match fs::remove_dir(dir) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// A process, told from all that had or will have its number.
fn maker(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything; the start time is the 20th field after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let started = fields.split_whitespace().nth(19)?;
    Some(format!("{pid}-{started}"))
}

/// The groups below a directory whose makers are gone.
fn left_over(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let of_the_dead = |name: &str| {
        let Some(made_by) = name.strip_prefix(PREFIX) else { return false };
        let Some((made_by, _)) = made_by.rsplit_once('-') else { return false };
        let pid = made_by.split('-').next().and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| maker(pid).as_deref() != Some(made_by))
    };
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(of_the_dead))
        .map(|entry| entry.path())
        .collect()
}

/// Ends every process of a group that nobody watches any more.
fn end_all(dir: &Path) -> Vec<OwnedFd> {
    let listed = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let pids = listed.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw);
    let processes = pids.filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    processes.filter(|process| pidfd_send_signal(process, Signal::KILL).is_ok()).collect()
}

/// Waits until processes that were told to end have ended: their groups can be removed then. One
/// whose file system hangs is not waited for longer.
fn await_ends(processes: &[OwnedFd]) {
    let since = Watch::start();
    for process in processes {
        let left = END_PATIENCE.saturating_sub(since.so_far());
        let left = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::new(process, PollFlags::IN)];
        // Whoever is not waited for ends later; its group is tried again.
        let _ = poll(&mut fds, Some(&left));
    }
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The number after a name, in a file of one such pair a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| number(line.strip_prefix(name)?.strip_prefix(' ')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(dir: &Path) -> Place {
        let all = vec![Controller::Memory, Controller::Pids, Controller::Cpu];
        Place { version: Version::Two, dir: dir.to_owned(), controllers: all }
    }

    #[test]
    fn version_two_is_limited_and_read_in_its_own_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("memory.swap.max"), "max").unwrap();
        limit(&v2(dir.path()), &Profile::default()).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("memory.max"), "536870912");
        assert_eq!((read("memory.oom.group"), read("memory.swap.max")), ("1".into(), "0".into()));
        assert_eq!((read("pids.max"), read("cpu.max")), ("66".into(), "25000 50000".into()));
        let controllers = Controller::ALL.to_vec();
        let group = Group { places: vec![Place { controllers, ..v2(dir.path()) }] };
        fs::write(dir.path().join("memory.events"), "oom 1\noom_kill 0\n").unwrap();
        assert!(!group.is_out_of_memory());
        fs::write(dir.path().join("memory.events"), "oom 1\noom_kill 2\n").unwrap();
        fs::write(dir.path().join("cpu.stat"), "usage_usec 1500\nuser_usec 1\n").unwrap();
        assert!(group.is_out_of_memory());
        assert_eq!(group.cpu_time(), Some(Duration::from_micros(1500)));
    }

    #[test]
    fn only_groups_of_the_dead_are_left_over() {
        let dir = tempfile::tempdir().unwrap();
        let me = maker(std::process::id()).unwrap();
        let dead = format!("{}-1", std::process::id());
        for name in [format!("{PREFIX}{me}-0"), format!("{PREFIX}{dead}-7"), "other".to_owned()] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert_eq!(left_over(dir.path()), [dir.path().join(format!("{PREFIX}{dead}-7"))]);
    }
}
