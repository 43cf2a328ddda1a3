//! Commands: a program in the jail, with the input on its standard input and one JSON value on its
//! standard output. Nothing ever runs outside the jail: where it cannot hold the profile, the task
//! fails with `sandbox_unavailable`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ark_os_core::agent::{CommandProbe, CommandSpec};
use ark_os_core::budget::Amounts;
use ark_os_core::fleet::profile::Resources;
use ark_os_core::layer::Layer;
use ark_os_core::plan::EffectClass;
use ark_os_core::text::{beginning, ending};
use ark_os_sandbox::{Access, Exit, Finished, Job, Kind, Limits, Mount, Profile, SandboxError};
use serde::de::IgnoredAny;

use super::{Effects, Fault, OwnDirs};
use crate::skills::{Effect, Host, JailSource, ProbeAnswer, SkillError};

mod setup;

/// Characters of the end of standard error that a failure repeats.
const STDERR_CHARS_MAX: usize = 1_000;
/// Characters of an output that is none.
const STDOUT_CHARS_MAX: usize = 200;
/// The probe's word for: it did not happen.
const EXIT_NOT_HAPPENED: i32 = 3;
/// Where programs are looked for by what a command itself starts.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// In which the rows of the layers are written.
const MEGABYTE: u64 = 1_000_000;
/// Processor time between the limit and its enforcement: reserved, so that no job is over.
const CPU_MARGIN: Duration = Duration::from_secs(2);

/// A program in the jail.
pub(super) struct Program {
    jail: JailSource,
    profile: Profile,
    argv: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    mounts: Vec<Mount>,
    workdir: PathBuf,
    class: EffectClass,
    retryable_exits: BTreeSet<i32>,
    probe: Option<CommandProbe>,
}

impl Program {
    /// Sets a command up; what a former instance left running of one ends here. A machine without a jail is told of when
    /// it runs: others may do meanwhile.
    pub(super) fn open(
        spec: &CommandSpec,
        base: &Path,
        own: &OwnDirs,
        jail: JailSource,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let profile = setup::profile(spec, &mut faults);
        let mounts = setup::mounts(spec, base, own, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        jail.clear();
        let first = mounts.first().filter(|mount| mount.source().is_dir());
        let workdir = match (&spec.workdir, first) {
            (Some(workdir), _) => PathBuf::from(workdir),
            (None, Some(mount)) => mount.target.clone(),
            (None, None) => PathBuf::from("/tmp"),
        };
        let mut env = spec.env.clone();
        env.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
        Ok(Program {
            jail,
            profile,
            argv: spec.argv.iter().map(OsString::from).collect(),
            env: env.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            mounts,
            workdir,
            class: spec.effect,
            retryable_exits: spec.retryable_exits.clone(),
            probe: spec.probe.clone(),
        })
    }

    /// The stricter of the profile and the row of who works holds.
    fn job(&self, argv: &[OsString], key: &str, host: &dyn Host) -> Job {
        let attempt = host.attempt();
        let own = [
            ("ARK_OS_STEP_KEY", key.to_owned()),
            ("ARK_OS_RUN", attempt.run),
            ("ARK_OS_TASK", attempt.task),
            ("ARK_OS_ATTEMPT", attempt.number.to_string()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.into(), value.into()));
        Job {
            env: self.env.iter().cloned().chain(own).collect(),
            workdir: self.workdir.clone(),
            mounts: self.mounts.clone(),
            ..Job::new(self.profile.stricter(&row(attempt.layer)), argv.iter().cloned())
        }
    }

    /// Where a path of the jail lies on this machine: behind a mount where there is one, else it is shown
    /// as it is.
    fn on_host(&self, path: &Path) -> PathBuf {
        let above = self.mounts.iter().filter(|mount| path.starts_with(&mount.target));
        let mount = above.max_by_key(|mount| mount.target.components().count());
        let below = mount.and_then(|mount| Some((mount, path.strip_prefix(&mount.target).ok()?)));
        match below {
            Some((mount, rest)) if rest.as_os_str().is_empty() => mount.source().to_path_buf(),
            Some((mount, rest)) => mount.source().join(rest),
            None => path.to_path_buf(),
        }
    }

    fn run(&self, job: &Job, host: &dyn Host) -> Result<Finished, SkillError> {
        let finished = self.jail.demand()?.run(job, &|| {
            host.progress(0, 0);
            host.is_cancelled()
        });
        finished.map_err(|error| self.refused(&error))
    }

    /// How a job that came to an end means to its effect.
    fn outcome(&self, finished: &Finished) -> Result<Vec<u8>, SkillError> {
        let how = match finished.exit {
            Exit::Code(0) => return self.output(finished),
            Exit::Code(code) => {
                let message = self.told(&format!("exit code {code}"), finished);
                return Err(match self.retryable_exits.contains(&code) {
                    true => SkillError::retryable("command.failed", message),
                    false => SkillError::permanent("command.failed", message),
                });
            }
            Exit::Stopped if self.class.is_repeatable() => return Err(SkillError::cancelled()),
            Exit::Stopped => "the attempt was cancelled",
            Exit::Signal(_) => "a signal ended it",
            Exit::WallTime => "it took longer than its profile allows",
            Exit::CpuTime => "it used more processor time than its profile allows",
            Exit::Memory => "it needed more memory than its profile allows",
            Exit::Output => "it wrote more than its profile allows",
            Exit::Files => "it stored more than its profile allows",
        };
        let message = self.told(how, finished);
        // Whoever is killed may have done something before.
        match (self.class.is_repeatable(), finished.exit) {
            (false, _) => Err(SkillError::unknown("command.killed", message)),
            (true, Exit::Signal(_) | Exit::WallTime) => {
                Err(SkillError::retryable("command.killed", message))
            }
            (true, _) => Err(SkillError::permanent("command.killed", message)),
        }
    }

    fn output(&self, finished: &Finished) -> Result<Vec<u8>, SkillError> {
        let output = finished.stdout.trim_ascii();
        if serde_json::from_slice::<IgnoredAny>(output).is_ok() {
            return Ok(output.to_vec());
        }
        let told = beginning(&String::from_utf8_lossy(output), STDOUT_CHARS_MAX);
        let how = format!("exit code 0, but its output is not one JSON value (`{told}`)");
        let message = self.told(&how, finished);
        // It happened: whoever may not repeat it needs its result from elsewhere.
        Err(match self.class.is_repeatable() {
            true => SkillError::permanent("command.output_invalid", message),
            false => SkillError::unknown("command.output_invalid", message),
        })
    }

    /// What happened, and the end of what the program said about it.
    fn told(&self, how: &str, finished: &Finished) -> String {
        let program = self.argv.first().map(|it| it.to_string_lossy()).unwrap_or_default();
        let tail = ending(&String::from_utf8_lossy(&finished.stderr), STDERR_CHARS_MAX);
        let gap = if tail.is_empty() { "" } else { ": " };
        format!("run `{program}`: {how}{gap}{tail}")
    }

    /// Why a job was not run, or not to its end.
    fn refused(&self, error: &SandboxError) -> SkillError {
        let message = format!("run the command: {error}");
        let told = match error.kind() {
            Kind::Internal if self.class.is_repeatable() => {
                SkillError::retryable(error.code(), message)
            }
            Kind::Internal => SkillError::unknown(error.code(), message),
            _ => SkillError::permanent(error.code(), message),
        };
        match error.hint() {
            Some(hint) => told.with_hint(hint),
            None => told,
        }
    }
}

impl Effects for Program {
    fn class(&self) -> EffectClass {
        self.class
    }

    fn output_bytes_max(&self) -> usize {
        usize::try_from(self.profile.stdout_bytes).unwrap_or(usize::MAX)
    }

    fn reserve(&self, input_bytes: u64) -> Amounts {
        let bytes = input_bytes + self.profile.stdout_bytes + self.profile.stderr_bytes;
        let cpu_ms = millis(self.profile.cpu_time + CPU_MARGIN);
        Amounts { calls: 1, bytes, cpu_ms, ..Amounts::ZERO }
    }

    /// The jail can hold the profile, and the program is where it is looked for.
    fn health(&self) -> Result<(), String> {
        let jail = self.jail.demand().map_err(|error| error.to_string())?;
        jail.check(&self.profile).map_err(|error| error.to_string())?;
        let Some(program) = self.argv.first() else { return Err("it has no program".to_owned()) };
        match self.on_host(Path::new(program)).is_file() {
            true => Ok(()),
            false => Err(format!("there is no program `{}`", program.to_string_lossy())),
        }
    }

    fn effect<'a>(&'a self, host: &'a dyn Host, input: &'a [u8]) -> Box<dyn Effect + 'a> {
        Box::new(Call { program: self, host, input, spent: Amounts::ZERO })
    }
}

/// One run of a program.
struct Call<'a> {
    program: &'a Program,
    host: &'a dyn Host,
    input: &'a [u8],
    spent: Amounts,
}

impl Effect for Call<'_> {
    fn perform(&mut self, key: &str) -> Result<Vec<u8>, SkillError> {
        let mut job = self.program.job(&self.program.argv, key, self.host);
        job.stdin = self.input.to_vec();
        let finished = self.program.run(&job, self.host)?;
        let moved = job.stdin.len() + finished.stdout.len() + finished.stderr.len();
        self.spent = Amounts {
            calls: 1,
            bytes: moved as u64,
            cpu_ms: millis(finished.usage.cpu),
            ..Amounts::ZERO
        };
        self.program.outcome(&finished)
    }

    fn probe(&mut self, key: &str) -> Result<ProbeAnswer, SkillError> {
        let Some(probe) = &self.program.probe else { return Ok(ProbeAnswer::Unknown) };
        let argv: Vec<OsString> = probe.argv.iter().map(OsString::from).collect();
        let mut job = self.program.job(&argv, key, self.host);
        job.stdin = self.input.to_vec();
        // Who only asks changes nothing.
        job.mounts.iter_mut().for_each(|mount| mount.access = Access::Read);
        let finished = match self.program.run(&job, self.host) {
            Ok(finished) => finished,
            // A question changes nothing: where it could not be put, it is put again.
            Err(error) if error.is_retryable() => {
                return Err(SkillError::retryable(error.code(), error.message()));
            }
            Err(_) => return Ok(ProbeAnswer::Unknown),
        };
        match finished.exit {
            Exit::Code(0) => Ok(match self.program.output(&finished) {
                Ok(output) => ProbeAnswer::Happened(output),
                Err(_) => ProbeAnswer::Unknown,
            }),
            Exit::Code(EXIT_NOT_HAPPENED) => Ok(ProbeAnswer::NotHappened),
            Exit::Stopped => Err(SkillError::retryable("skill.cancelled", "ask: it was cancelled")),
            _ => Ok(ProbeAnswer::Unknown),
        }
    }

    fn settle_after(&self) -> Duration {
        let probe = self.program.probe.as_ref();
        Duration::from_millis(probe.map_or(0, |probe| probe.settle_after_ms))
    }

    fn spent(&self) -> Amounts {
        self.spent
    }
}

/// The resource row of a layer, which is a ceiling for whoever works in it.
fn row(layer: Layer) -> Limits {
    let row = Resources::of(layer);
    Limits {
        memory_bytes: Some(u64::from(row.memory_mb) * MEGABYTE),
        cpu_milli: Some(row.cpu_millicores),
        tmp_bytes: Some(u64::from(row.disk_mb) * MEGABYTE),
        ..Limits::default()
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_layers_row_makes_a_profile_impossible() {
        for layer in Layer::ALL {
            Profile::default().stricter(&row(layer)).validate().unwrap();
        }
    }
}
