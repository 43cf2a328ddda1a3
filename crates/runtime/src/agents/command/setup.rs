//! What a command's declaration comes to on this machine: its profile and its mounts, or all that is
//! wrong with them. Whatever the jail would refuse at every run is refused here, before anything
//! starts.

use std::path::Path;
use std::time::Duration;

use ark_os_core::agent::{CommandLimits, CommandSpec, MountSpec};
use ark_os_sandbox::{Access, Job, Limits, Mount, Profile, check_target};

use super::super::Fault;
use super::super::own::OwnDirs;

/// The profile that a command runs under, before the row of who works narrows it.
pub(super) fn profile(spec: &CommandSpec, faults: &mut Vec<Fault>) -> Profile {
    let Some(named) = Profile::named(&spec.profile) else {
        let names = Profile::NAMES.join("`, `");
        let why = format!("there is no profile `{}`, only `{names}`", spec.profile);
        faults.push(Fault::at("/profile", why));
        return Profile::default();
    };
    let mut profile = named.clone();
    for asked in asked(&spec.limits, &named) {
        let at = format!("/limits/{}", asked.name);
        // What is silently cut would fail in the middle of the work.
        if asked.is_more {
            let why = format!("the limit `{}` is more than its profile gives", asked.name);
            faults.push(Fault::at(at, why));
        } else if let Err(error) = named.stricter(&asked.limits).validate() {
            faults.push(Fault::at(at, error.to_string()));
        }
        profile = profile.stricter(&asked.limits);
    }
    profile
}

/// One limit of a manifest, in the jail's words.
struct Asked {
    name: &'static str,
    is_more: bool,
    limits: Limits,
}

fn asked(limits: &CommandLimits, profile: &Profile) -> [Asked; 7] {
    let none = Limits::default;
    let small = |value: Option<u64>| value.map(|value| u32::try_from(value).unwrap_or(u32::MAX));
    let time = |value: Option<u64>| value.map(Duration::from_millis);
    let asked = |name, value: Option<u64>, given: u64, limits| {
        let is_more = value.is_some_and(|value| value > given);
        Asked { name, is_more, limits }
    };
    let (memory, cpu_milli, processes) = (limits.memory, limits.cpu_milli, limits.processes);
    let (cpu_time, wall_time) = (limits.cpu_time_ms, limits.wall_time_ms);
    let millis = super::millis;
    [
        asked("memory", memory, profile.memory_bytes, Limits { memory_bytes: memory, ..none() }),
        asked(
            "cpu_milli",
            cpu_milli,
            profile.cpu_milli.into(),
            Limits { cpu_milli: small(cpu_milli), ..none() },
        ),
        asked(
            "processes",
            processes,
            profile.processes.into(),
            Limits { processes: small(processes), ..none() },
        ),
        asked(
            "cpu_time",
            cpu_time,
            millis(profile.cpu_time),
            Limits { cpu_time: time(cpu_time), ..none() },
        ),
        asked(
            "wall_time",
            wall_time,
            millis(profile.wall_time),
            Limits { wall_time: time(wall_time), ..none() },
        ),
        asked(
            "stdout",
            limits.stdout,
            profile.stdout_bytes,
            Limits { stdout_bytes: limits.stdout, ..none() },
        ),
        asked("tmp", limits.tmp, profile.tmp_bytes, Limits { tmp_bytes: limits.tmp, ..none() }),
    ]
}

/// What a command sees of the host, each source looked up once and for all.
pub(super) fn mounts(
    spec: &CommandSpec,
    base: &Path,
    own: &OwnDirs,
    faults: &mut Vec<Fault>,
) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for (i, declared) in spec.mounts.iter().enumerate() {
        match mount(declared, base, own) {
            Ok(mount) => mounts.push(mount),
            Err(fault) => faults.push(Fault { at: format!("/mounts/{i}{}", fault.at), ..fault }),
        }
    }
    mounts
}

fn mount(declared: &MountSpec, base: &Path, own: &OwnDirs) -> Result<Mount, Fault> {
    let path = base.join(&declared.source);
    let cannot = |why: String| format!("cannot mount `{}`: {why}", path.display());
    let access = if declared.is_writable { Access::Write } else { Access::Read };
    let mount = Mount::new(&path, &declared.target, access)
        .map_err(|error| Fault::at("/source", format!("cannot {error}")))?;
    own.keep_out(mount.source()).map_err(|why| Fault::at("/source", cannot(why)))?;
    let is_dir = mount.source().is_dir();
    let alone = Job { mounts: vec![mount.clone()], ..Job::new(Profile::default(), ["/"]) };
    alone.validate().map_err(|error| Fault::at("", error.to_string()))?;
    check_target(&mount.target, is_dir).map_err(|error| Fault::at("/target", error.to_string()))?;
    Ok(mount)
}
