//! What is run, what it is given, and how it ended.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::SandboxError;
use crate::pin::{self, Pin};
use crate::profile::Profile;

/// Arguments and environment together: what the kernel takes with an 8 MiB stack.
const WORDS_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Each mount is a few system calls at the start and an entry in every later path look-up.
const MOUNTS_MAX: usize = 64;
/// What is copied into memory before the start.
pub const STDIN_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Where nothing of the caller's can be put: the jail's own.
const TAKEN: [&str; 3] = ["/proc", "/dev", "/sys"];

/// What a mount may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Reading and executing.
    Read,
    /// Changing too.
    Write,
}

/// A file or directory of the host that the job sees.
///
/// It is looked up when the mount is made. A job sees exactly that directory or file: once something
/// else has its place, jobs with this mount are refused.
///
/// Inside, what belongs to the owner of the source belongs to the job: it may do there what that
/// owner may, within `access`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where the job sees it.
    pub target: PathBuf,
    /// What the job may do there.
    pub access: Access,
    source: PathBuf,
    pin: Pin,
}

impl Mount {
    /// Shows what is at `source` now; links in the path are followed now and never again.
    ///
    /// # Errors
    ///
    /// `sandbox_invalid` if nothing is there, or the host's root, or a view of the host's kernel.
    pub fn new(
        source: impl AsRef<Path>,
        target: impl Into<PathBuf>,
        access: Access,
    ) -> Result<Mount, SandboxError> {
        let (source, pin) = pin::resolved(source.as_ref())?;
        Ok(Mount { target: target.into(), access, source, pin })
    }

    /// The same for `name` below `dir`, for a directory with foreign content: no part of `name` may be
    /// a link.
    ///
    /// # Errors
    ///
    /// As [`Mount::new`], and if a part of `name` is a link or leads out of `dir`.
    pub fn within(
        dir: impl AsRef<Path>,
        name: impl AsRef<Path>,
        target: impl Into<PathBuf>,
        access: Access,
    ) -> Result<Mount, SandboxError> {
        let (source, pin) = pin::resolved_within(dir.as_ref(), name.as_ref())?;
        Ok(Mount { target: target.into(), access, source, pin })
    }

    /// Where it is on the host, without links.
    pub fn source(&self) -> &Path {
        &self.source
    }

    pub(crate) fn pin(&self) -> Pin {
        self.pin
    }
}

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// How much it may use.
    pub profile: Profile,
    /// The program and its arguments; a name without a slash is looked up in the `PATH` of `env`.
    pub argv: Vec<OsString>,
    /// Its whole environment; nothing is inherited.
    pub env: Vec<(OsString, OsString)>,
    /// What it reads.
    pub stdin: Vec<u8>,
    /// Where it starts.
    pub workdir: PathBuf,
    /// What it sees of the host beside the system's programs and libraries.
    pub mounts: Vec<Mount>,
}

impl Job {
    /// A job that runs this in `/tmp`, with nothing else.
    pub fn new<I, A>(profile: Profile, argv: I) -> Self
    where
        I: IntoIterator<Item = A>,
        A: Into<OsString>,
    {
        Job {
            profile,
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            stdin: Vec::new(),
            workdir: PathBuf::from("/tmp"),
            mounts: Vec::new(),
        }
    }

    /// Whether it can be run as it is written, on a machine that can hold its profile. A job whose words
    /// are known early can be looked at before anything starts; running it looks again.
    ///
    /// # Errors
    ///
    /// `sandbox_invalid`, saying what is wrong.
    pub fn validate(&self) -> Result<(), SandboxError> {
        self.profile.validate()?;
        self.validate_words()?;
        if self.stdin.len() > STDIN_BYTES_MAX {
            return Err(SandboxError::invalid(format!(
                "standard input has {} bytes, more than {STDIN_BYTES_MAX}",
                self.stdin.len()
            )));
        }
        if !is_plain(&self.workdir) {
            return Err(SandboxError::invalid(format!(
                "the working directory `{}` is not an absolute path without `..`",
                self.workdir.display()
            )));
        }
        if self.mounts.len() > MOUNTS_MAX {
            return Err(SandboxError::invalid(format!("more than {MOUNTS_MAX} mounts")));
        }
        self.mounts.iter().try_for_each(Mount::validate)
    }

    fn validate_words(&self) -> Result<(), SandboxError> {
        if self.argv.first().is_none_or(|program| program.is_empty()) {
            return Err(SandboxError::invalid("no program is named"));
        }
        let pairs = self.env.iter().flat_map(|(name, value)| [name, value]);
        let mut bytes = 0_usize;
        for word in self.argv.iter().chain(pairs) {
            if has_byte(word, 0) {
                return Err(SandboxError::invalid(format!("{word:?} contains a null byte")));
            }
            bytes = bytes.saturating_add(word.len() + 1);
        }
        if bytes > WORDS_BYTES_MAX {
            return Err(SandboxError::invalid(format!(
                "arguments and environment have {bytes} bytes, more than {WORDS_BYTES_MAX}"
            )));
        }
        match self.env.iter().find(|(name, _)| name.is_empty() || has_byte(name, b'=')) {
            None => Ok(()),
            Some((name, _)) => {
                Err(SandboxError::invalid(format!("{name:?} is not a name of a variable")))
            }
        }
    }
}

impl Mount {
    fn validate(&self) -> Result<(), SandboxError> {
        let target = self.target.display();
        if !is_plain(&self.target) || self.target == Path::new("/") {
            return Err(SandboxError::invalid(format!(
                "the mount's target `{target}` is not an absolute path below `/` without `..`"
            )));
        }
        if TAKEN.iter().any(|taken| self.target.starts_with(taken)) {
            return Err(SandboxError::invalid(format!(
                "the mount's target `{target}` is the jail's own"
            )));
        }
        if [&self.source, &self.target].iter().any(|path| has_byte(path.as_os_str(), 0)) {
            return Err(SandboxError::invalid(format!("the mount at `{target}` has a null byte")));
        }
        Ok(())
    }
}

fn is_plain(path: &Path) -> bool {
    path.has_root() && !path.components().any(|part| part == Component::ParentDir)
}

fn has_byte(word: &OsStr, byte: u8) -> bool {
    word.as_encoded_bytes().contains(&byte)
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// The program ended by itself with this code.
    Code(i32),
    /// A signal ended the program.
    Signal(i32),
    /// It was ended because it took longer than the profile allows.
    WallTime,
    /// It was ended because it used more processor time than the profile allows.
    CpuTime,
    /// It was ended because it needed more memory than the profile allows.
    Memory,
    /// It was ended because it wrote more to standard output than the profile allows.
    Output,
    /// It was ended because it put more into its writable mounts than the profile allows.
    Files,
    /// It was ended because the caller said so.
    Stopped,
}

/// What a job used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Time from start to end.
    pub wall: Duration,
    /// Processor time of all its processes.
    pub cpu: Duration,
    /// Memory at its highest: of the tree with a control group, else of its largest process.
    pub memory_peak: Option<u64>,
    /// Processes and threads at a time; known with a control group only.
    pub processes_peak: Option<u64>,
}

/// A job that was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote to standard output; no more than the profile allows.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error; no more than the profile allows.
    pub stderr: Vec<u8>,
    /// Whether it wrote more than is kept.
    pub stderr_cut: bool,
    /// What it used.
    pub usage: Usage,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(source: &str, target: &str) -> Mount {
        let pin = Pin::default();
        Mount { source: source.into(), target: target.into(), access: Access::Read, pin }
    }

    fn refused(change: impl FnOnce(&mut Job)) -> String {
        let mut job = Job::new(Profile::default(), ["true"]);
        job.validate().unwrap();
        change(&mut job);
        job.validate().unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_what_is_wrong() {
        assert!(refused(|job| job.argv.clear()).contains("no program"));
        assert!(refused(|job| job.argv.push("a\0b".into())).contains("null byte"));
        assert!(refused(|job| job.env.push(("A=B".into(), "".into()))).contains("variable"));
        assert!(refused(|job| job.workdir = "tmp".into()).contains("working directory"));
        assert!(refused(|job| job.mounts = vec![mount("/a", "/b/../proc")]).contains("target"));
        assert!(refused(|job| job.mounts = vec![mount("/a", "/proc/x")]).contains("jail's own"));
        assert!(refused(|job| job.mounts = vec![mount("/a", "/")]).contains("target"));
        assert!(refused(|job| job.argv.push("x".repeat(3 << 20).into())).contains("bytes"));
        assert!(refused(|job| job.profile.memory_bytes = 1 << 20).contains("memory_bytes"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_mount_is_what_its_path_leads_to_when_it_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap().join("real");
        std::fs::create_dir_all(real.join("in")).unwrap();
        std::os::unix::fs::symlink(&real, dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/etc", real.join("out")).unwrap();
        let by_link = Mount::new(dir.path().join("link"), "/w", Access::Read).unwrap();
        assert_eq!(by_link, Mount::new(&real, "/w", Access::Read).unwrap());
        assert_eq!(by_link.source(), real);
        let within = |name: &str| Mount::within(&real, name, "/w", Access::Read);
        assert_eq!(within("in").unwrap().source(), real.join("in"));
        for name in ["out", "out/ssl", "../link", "/etc", "none"] {
            assert!(within(name).is_err(), "{name}");
        }
        for never in ["/", "/proc", "/sys", "/no/such/place"] {
            assert!(Mount::new(never, "/w", Access::Read).is_err(), "{never}");
        }
    }
}
