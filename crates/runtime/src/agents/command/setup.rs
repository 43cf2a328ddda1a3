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
    for asked in asked(&spec.limits, &named) {
        if let Some(why) = asked.fault() {
            faults.push(Fault::at(format!("/limits/{}", asked.name), why));
        }
    }
    named.stricter(&limits(&spec.limits))
}

/// A limit of a manifest, under the manifest's name.
struct Asked {
    name: &'static str,
    value: Option<u64>,
    /// What the jail takes.
    least: u64,
    /// What the profile gives.
    most: u64,
    unit: Unit,
}

/// How a manifest writes a limit.
#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Count,
    Millis,
}

impl Asked {
    /// What is silently cut would fail in the middle of the work.
    fn fault(&self) -> Option<String> {
        let (name, shown) = (self.name, |amount| self.unit.shown(amount));
        match self.value? {
            value if value > self.most => {
                Some(format!("`{name}` is more than its profile gives: {}", shown(self.most)))
            }
            value if value < self.least => Some(format!(
                "`{name}` is less than the jail takes: {} at least",
                shown(self.least)
            )),
            _ => None,
        }
    }
}

impl Unit {
    /// An amount as a manifest would say it, in the largest unit that it is a whole number of.
    fn shown(self, amount: u64) -> String {
        let units: &[(&str, u64)] = match self {
            Unit::Bytes => &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)],
            Unit::Count => &[("", 1)],
            Unit::Millis => &[("s", 1_000), ("ms", 1)],
        };
        let fits = |(_, size): &&(&str, u64)| amount >= *size && amount.is_multiple_of(*size);
        let (unit, size) = units.iter().find(fits).copied().unwrap_or(("", 1));
        format!("{}{unit}", amount / size)
    }
}

fn asked(asked: &CommandLimits, profile: &Profile) -> [Asked; 7] {
    let row = |name, value, unit, of: &dyn Fn(&Profile) -> u64| Asked {
        name,
        value,
        least: of(&Profile::LEAST),
        most: of(profile),
        unit,
    };
    [
        row("memory", asked.memory, Unit::Bytes, &|it| it.memory_bytes),
        row("cpu_milli", asked.cpu_milli, Unit::Count, &|it| it.cpu_milli.into()),
        row("processes", asked.processes, Unit::Count, &|it| it.processes.into()),
        row("cpu_time", asked.cpu_time_ms, Unit::Millis, &|it| super::millis(it.cpu_time)),
        row("wall_time", asked.wall_time_ms, Unit::Millis, &|it| super::millis(it.wall_time)),
        row("stdout", asked.stdout, Unit::Bytes, &|it| it.stdout_bytes),
        row("tmp", asked.tmp, Unit::Bytes, &|it| it.tmp_bytes),
    ]
}

/// The limits of a manifest in the jail's words.
fn limits(asked: &CommandLimits) -> Limits {
    let small = |value: Option<u64>| value.map(|value| u32::try_from(value).unwrap_or(u32::MAX));
    let time = |value: Option<u64>| value.map(Duration::from_millis);
    Limits {
        memory_bytes: asked.memory,
        cpu_milli: small(asked.cpu_milli),
        processes: small(asked.processes),
        cpu_time: time(asked.cpu_time_ms),
        wall_time: time(asked.wall_time_ms),
        stdout_bytes: asked.stdout,
        tmp_bytes: asked.tmp,
        ..Limits::default()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_refused_by_the_manifests_name_and_with_the_bound_that_holds() {
        let least = CommandLimits {
            memory: Some(16 << 20),
            cpu_milli: Some(10),
            processes: Some(1),
            cpu_time_ms: Some(1),
            wall_time_ms: Some(1),
            stdout: Some(0),
            tmp: Some(4096),
        };
        let more = CommandLimits {
            memory: Some(100 << 30),
            cpu_milli: Some(u64::MAX),
            processes: Some(65),
            cpu_time_ms: Some(30_001),
            wall_time_ms: Some(60_001),
            stdout: Some((1 << 20) + 1),
            tmp: Some((64 << 20) + 1),
        };
        let less = CommandLimits {
            memory: Some((16 << 20) - 1),
            cpu_milli: Some(9),
            processes: Some(0),
            cpu_time_ms: Some(0),
            wall_time_ms: Some(0),
            stdout: None,
            tmp: Some(0),
        };
        let told = |limits: &CommandLimits| -> Vec<String> {
            asked(limits, &Profile::default()).iter().filter_map(Asked::fault).collect()
        };
        assert_eq!(told(&least), Vec::<String>::new());
        Profile::default().stricter(&limits(&least)).validate().unwrap();
        assert_eq!(
            told(&more),
            [
                "`memory` is more than its profile gives: 512MiB",
                "`cpu_milli` is more than its profile gives: 500",
                "`processes` is more than its profile gives: 64",
                "`cpu_time` is more than its profile gives: 30s",
                "`wall_time` is more than its profile gives: 60s",
                "`stdout` is more than its profile gives: 1MiB",
                "`tmp` is more than its profile gives: 64MiB",
            ]
        );
        assert_eq!(
            told(&less),
            [
                "`memory` is less than the jail takes: 16MiB at least",
                "`cpu_milli` is less than the jail takes: 10 at least",
                "`processes` is less than the jail takes: 1 at least",
                "`cpu_time` is less than the jail takes: 1ms at least",
                "`wall_time` is less than the jail takes: 1ms at least",
                "`tmp` is less than the jail takes: 4KiB at least",
            ]
        );
    }
}
