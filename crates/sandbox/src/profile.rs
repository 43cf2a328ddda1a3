//! Profiles: how much a job may use, and how surely that is held.

mod span;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::SandboxError;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Below this the launcher's own first process would not fit.
const MEMORY_BYTES_MIN: u64 = 16 * MIB;
/// One page: a file system in memory is counted in them.
const TMP_BYTES_MIN: u64 = 4 * KIB;
/// One hundredth of a processor: below it the kernel's quota has no resolution.
const CPU_MILLI_MIN: u32 = 10;
/// More processes than any tool that was tried starts at once (linkers, test runners).
const PROCESSES_MAX: u32 = 4096;
/// A descriptor table of one process; the kernel's own default for the hard limit.
const OPEN_FILES_MAX: u32 = 4096;
/// Standard input, output and error, and as many again to load a program with.
const OPEN_FILES_MIN: u32 = 8;
/// What is kept in memory of one stream of output.
const OUTPUT_BYTES_MAX: u64 = 256 * MIB;

/// How surely a limit is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// For each process alone (`setrlimit`): a job of many processes may use it many times.
    Process,
    /// For the whole tree of processes.
    Tree,
}

/// Which system calls are let through; each is a data file of this crate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// What ordinary programs need: files, memory, threads, children, pipes. No sockets, no
    /// namespaces, no mounts, no tracing, no keys, no devices.
    #[default]
    Default,
}

/// What a job may use. The default is the documented profile `default`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Memory, with what lies in `/tmp`.
    pub memory_bytes: u64,
    /// Thousandths of a processor.
    pub cpu_milli: u32,
    /// Processes and threads at a time.
    pub processes: u32,
    /// Processor time.
    #[serde(with = "span")]
    pub cpu_time: Duration,
    /// Time from the start to the end.
    #[serde(with = "span")]
    pub wall_time: Duration,
    /// Bytes on standard output; a job that writes more is ended.
    pub stdout_bytes: u64,
    /// Bytes kept of standard error; what comes after them is dropped.
    pub stderr_bytes: u64,
    /// Bytes in the private `/tmp`; in writable mounts together as many may be added.
    pub tmp_bytes: u64,
    /// Files and directories in the private `/tmp`; in writable mounts together as many may be added.
    pub tmp_inodes: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Open files of one process.
    pub open_files: u32,
    /// The least with which the limit of memory is to be held.
    pub memory_strength: Strength,
    /// The least with which the limits of the processor are to be held.
    pub cpu_strength: Strength,
    /// Which system calls are let through.
    pub seccomp: Filter,
}

impl Default for Profile {
    fn default() -> Self {
        Profile {
            memory_bytes: 512 * MIB,
            cpu_milli: 500,
            processes: 64,
            cpu_time: Duration::from_secs(30),
            wall_time: Duration::from_secs(60),
            stdout_bytes: MIB,
            stderr_bytes: 64 * KIB,
            tmp_bytes: 64 * MIB,
            tmp_inodes: 16 * KIB,
            file_bytes: 64 * MIB,
            open_files: 256,
            memory_strength: Strength::Process,
            cpu_strength: Strength::Process,
            seccomp: Filter::Default,
        }
    }
}

/// Limits that somebody else sets on top of a profile; what is not set is the profile's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// See [`Profile::memory_bytes`].
    pub memory_bytes: Option<u64>,
    /// See [`Profile::cpu_milli`].
    pub cpu_milli: Option<u32>,
    /// See [`Profile::processes`].
    pub processes: Option<u32>,
    /// See [`Profile::cpu_time`].
    #[serde(with = "span::optional")]
    pub cpu_time: Option<Duration>,
    /// See [`Profile::wall_time`].
    #[serde(with = "span::optional")]
    pub wall_time: Option<Duration>,
    /// See [`Profile::stdout_bytes`].
    pub stdout_bytes: Option<u64>,
    /// See [`Profile::stderr_bytes`].
    pub stderr_bytes: Option<u64>,
    /// See [`Profile::tmp_bytes`].
    pub tmp_bytes: Option<u64>,
    /// See [`Profile::file_bytes`].
    pub file_bytes: Option<u64>,
}

impl Profile {
    /// The names of the built-in profiles.
    pub const NAMES: [&'static str; 2] = ["default", "strict"];

    /// The least that a job may be given; a profile with less of anything is refused.
    pub const LEAST: Profile = Profile {
        memory_bytes: MEMORY_BYTES_MIN,
        cpu_milli: CPU_MILLI_MIN,
        processes: 1,
        cpu_time: Duration::from_millis(1),
        wall_time: Duration::from_millis(1),
        stdout_bytes: 0,
        stderr_bytes: 0,
        tmp_bytes: TMP_BYTES_MIN,
        tmp_inodes: 1,
        file_bytes: 1,
        open_files: OPEN_FILES_MIN,
        memory_strength: Strength::Process,
        cpu_strength: Strength::Process,
        seccomp: Filter::Default,
    };

    /// A built-in profile: `default`, or `strict`, which has the same limits and demands that each
    /// be held for the whole tree.
    pub fn named(name: &str) -> Option<Profile> {
        match name {
            "default" => Some(Profile::default()),
            "strict" => Some(Profile {
                memory_strength: Strength::Tree,
                cpu_strength: Strength::Tree,
                ..Profile::default()
            }),
            _ => None,
        }
    }

    /// The same profile with each limit the smaller of the two; nothing is ever loosened.
    #[must_use]
    pub fn stricter(&self, other: &Limits) -> Profile {
        fn least<T: Ord + Copy>(own: T, other: Option<T>) -> T {
            other.map_or(own, |other| own.min(other))
        }
        Profile {
            memory_bytes: least(self.memory_bytes, other.memory_bytes),
            cpu_milli: least(self.cpu_milli, other.cpu_milli),
            processes: least(self.processes, other.processes),
            cpu_time: least(self.cpu_time, other.cpu_time),
            wall_time: least(self.wall_time, other.wall_time),
            stdout_bytes: least(self.stdout_bytes, other.stdout_bytes),
            stderr_bytes: least(self.stderr_bytes, other.stderr_bytes),
            tmp_bytes: least(self.tmp_bytes, other.tmp_bytes),
            file_bytes: least(self.file_bytes, other.file_bytes),
            ..self.clone()
        }
    }

    /// Whether every limit is one that can be held on some machine: what narrowed it may ask for less
    /// than any program needs.
    ///
    /// # Errors
    ///
    /// `sandbox_invalid`, naming the limit.
    pub fn validate(&self) -> Result<(), SandboxError> {
        let least = &Profile::LEAST;
        let span_max = u64::from(u32::MAX);
        let ranges: [(&str, u64, u64, u64); 11] = [
            ("memory_bytes", self.memory_bytes, least.memory_bytes, i64::MAX as u64),
            ("cpu_milli", self.cpu_milli.into(), least.cpu_milli.into(), 1_000_000),
            ("processes", self.processes.into(), least.processes.into(), PROCESSES_MAX.into()),
            ("cpu_time", millis(self.cpu_time), millis(least.cpu_time), span_max),
            ("wall_time", millis(self.wall_time), millis(least.wall_time), span_max),
            ("stdout_bytes", self.stdout_bytes, least.stdout_bytes, OUTPUT_BYTES_MAX),
            ("stderr_bytes", self.stderr_bytes, least.stderr_bytes, OUTPUT_BYTES_MAX),
            ("tmp_bytes", self.tmp_bytes, least.tmp_bytes, i64::MAX as u64),
            ("tmp_inodes", self.tmp_inodes, least.tmp_inodes, i32::MAX as u64),
            ("file_bytes", self.file_bytes, least.file_bytes, i64::MAX as u64),
            ("open_files", self.open_files.into(), least.open_files.into(), OPEN_FILES_MAX.into()),
        ];
        match ranges.iter().find(|(_, value, least, most)| value < least || value > most) {
            None => Ok(()),
            Some((name, value, least, most)) => Err(SandboxError::invalid(format!(
                "the profile's `{name}` is {value}, not between {least} and {most}"
            ))),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_only_narrow() {
        let profile = Profile::default();
        let limits = Limits {
            memory_bytes: Some(u64::MAX),
            cpu_milli: Some(100),
            wall_time: Some(Duration::from_secs(1)),
            ..Limits::default()
        };
        let narrowed = profile.stricter(&limits);
        assert_eq!(narrowed.memory_bytes, profile.memory_bytes);
        assert_eq!((narrowed.cpu_milli, narrowed.wall_time), (100, Duration::from_secs(1)));
        assert_eq!(profile.stricter(&Limits::default()), profile);
    }

    #[test]
    fn a_profile_is_plain_data_and_unknown_keys_are_refused() {
        let text =
            r#"{"memory_bytes": 33554432, "wall_time": "1500ms", "memory_strength": "tree"}"#;
        let profile: Profile = serde_json::from_str(text).unwrap();
        assert_eq!(profile.wall_time, Duration::from_millis(1500));
        assert_eq!(profile.memory_strength, Strength::Tree);
        assert_eq!(profile.processes, Profile::default().processes);
        let again: Profile =
            serde_json::from_str(&serde_json::to_string(&profile).unwrap()).unwrap();
        assert_eq!(again, profile);
        assert!(serde_json::from_str::<Profile>(r#"{"memory": 1}"#).is_err());
    }

    #[test]
    fn every_name_is_a_valid_profile() {
        for name in Profile::NAMES {
            Profile::named(name).unwrap().validate().unwrap();
        }
        assert_eq!(Profile::named("bare"), None);
    }

    #[test]
    fn limits_that_cannot_be_held_are_refused_by_name() {
        let profile = Profile { memory_bytes: 1, ..Profile::default() };
        assert!(profile.validate().unwrap_err().to_string().contains("memory_bytes"));
        let profile = Profile { wall_time: Duration::ZERO, ..Profile::default() };
        assert!(profile.validate().unwrap_err().to_string().contains("wall_time"));
    }
}
