//! `ark-os sandbox`.

use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;

use ark_os_api::Exit;
use ark_os_sandbox::{
    Access, Exit as End, Finished, Jail, Job, Mount, Probe, Profile, STDIN_BYTES_MAX, Settings,
};
use serde_json::json;

use crate::failure::Failure;
use crate::session::Session;
use crate::terminal::{Terminal, Tone};

/// Run programs in a jail, and see what this machine has for one
#[derive(Debug, clap::Args)]
pub(crate) struct Sandbox {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Run(Run),
    Probe(ProbeMachine),
}

/// Run a program in a jail: no network, a read-only root, a private /tmp, bounded resources
///
/// It sees the system's programs and libraries, what is mounted for it, and nothing else; its
/// environment is what `--env` says. Standard input is passed on. Ends with 0 if the program did, with 1 if
/// it failed or was ended, with 5 if this machine cannot hold the profile; then nothing was run.
#[derive(Debug, clap::Args)]
struct Run {
    /// `default`, `strict` (every limit for the whole tree of processes), or a JSON file
    #[arg(long, value_name = "PROFILE", default_value = "default")]
    profile: String,
    /// Something of this machine for it to see: SOURCE:TARGET to read, SOURCE:TARGET:rw to change
    #[arg(long, value_name = "MOUNT")]
    mount: Vec<String>,
    /// A variable of its environment
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Where it starts
    #[arg(long, value_name = "DIR", default_value = "/tmp")]
    workdir: PathBuf,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Say what confines programs on this machine, and what is missing
#[derive(Debug, clap::Args)]
struct ProbeMachine {}

impl Sandbox {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let jail = Jail::open(Settings::default())?;
        // Nobody else may come by for a long time to clear up after a call that was killed.
        jail.reap();
        match self.action {
            Action::Run(run) => run.carry_out(session, &jail),
            Action::Probe(ProbeMachine {}) => {
                let probe = jail.probe();
                session.output.answer(probe, |terminal| lines(probe, terminal))?;
                Ok(if probe.available { Exit::Done } else { Exit::Refused })
            }
        }
    }
}

impl Run {
    fn carry_out(self, session: &Session, jail: &Jail) -> Result<Exit, Failure> {
        let mut job = Job::new(profile(&self.profile)?, self.command);
        job.mounts = self.mount.iter().map(|text| mount(text)).collect::<Result<_, _>>()?;
        job.env = self.env.iter().map(|text| variable(text)).collect::<Result<_, _>>()?;
        job.workdir = self.workdir;
        // Before anything is read: what is refused here would be refused with any input.
        let held = jail.check(&job.profile)?;
        let stdin = std::io::stdin().lock();
        if !stdin.is_terminal() {
            job.stdin = bounded(stdin, STDIN_BYTES_MAX)?;
        }
        let finished = jail.run(&job, &|| false)?;
        let exit = if finished.exit == End::Code(0) { Exit::Done } else { Exit::Failed };
        if session.output.is_json() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            session.output.document(&json!({
                "exit": finished.exit,
                "stdout": text(&finished.stdout),
                "stderr": text(&finished.stderr),
                "stderr_cut": finished.stderr_cut,
                "usage": {
                    "wall_ms": millis(finished.usage.wall),
                    "cpu_ms": millis(finished.usage.cpu),
                    "memory_peak_bytes": finished.usage.memory_peak,
                    "processes_peak": finished.usage.processes_peak,
                },
                "held": held,
            }))?;
            return Ok(exit);
        }
        session.output.bytes(&finished.stdout)?;
        // What the program said is passed on as it is; nobody may be there to read it.
        let _ = std::io::stderr().write_all(&finished.stderr);
        if let Some(why) = ended(&finished) {
            session.output.note(&why);
        }
        Ok(exit)
    }
}

/// Everything that is to be read, or a refusal: it is kept in memory before the start.
fn bounded(source: impl Read, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    source
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
    if bytes.len() > bytes_max {
        let message = format!("standard input has more than {bytes_max} bytes");
        return Err(Failure::new("sandbox_invalid", message)
            .with_hint("put it into a file, and show the program that with --mount"));
    }
    Ok(bytes)
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Why the program did not end well, where its own code does not say it.
fn ended(finished: &Finished) -> Option<String> {
    let why = match finished.exit {
        End::Code(0) => return None,
        End::Code(code) => format!("the program ended with {code}"),
        End::Signal(signal) => format!("signal {signal} ended the program"),
        End::WallTime => "ended: it took longer than the profile allows (`wall_time`)".to_owned(),
        End::CpuTime => "ended: it used more processor time than `cpu_time`".to_owned(),
        End::Memory => "ended: it needed more memory than `memory_bytes`".to_owned(),
        End::Output => "ended: it wrote more than `stdout_bytes`".to_owned(),
        End::Files => "ended: it wrote more into its mounts than `tmp_bytes`".to_owned(),
        End::Stopped => "ended: it was stopped".to_owned(),
    };
    Some(why)
}

fn profile(name: &str) -> Result<Profile, Failure> {
    if let Some(profile) = Profile::named(name) {
        return Ok(profile);
    }
    if !name.ends_with(".json") {
        let names = Profile::NAMES.join("`, `");
        return Err(Failure::usage(format!("no profile is called `{name}`"))
            .with_hint(format!("there are `{names}`, or give a file that ends in `.json`")));
    }
    let text = std::fs::read_to_string(name)
        .map_err(|error| Failure::usage(format!("the profile `{name}` cannot be read: {error}")))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("the profile `{name}` is wrong: {error}")))
}

fn mount(text: &str) -> Result<Mount, Failure> {
    let (places, access) = match text.strip_suffix(":rw") {
        Some(places) => (places, Access::Write),
        None => (text.strip_suffix(":ro").unwrap_or(text), Access::Read),
    };
    let (source, target) = places.split_once(':').ok_or_else(|| {
        Failure::usage(format!("`{text}` is not a mount"))
            .with_hint("write `SOURCE:TARGET`, or `SOURCE:TARGET:rw` to let it change things")
    })?;
    Ok(Mount::new(source, target, access)?)
}

fn variable(text: &str) -> Result<(OsString, OsString), Failure> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        Failure::usage(format!("`{text}` is not a variable")).with_hint("write `NAME=VALUE`")
    })?;
    Ok((name.into(), value.into()))
}

fn lines(probe: &Probe, terminal: &Terminal) -> Vec<String> {
    let width = probe.mechanisms.iter().map(|it| it.name.len()).max().unwrap_or(0);
    let mut lines: Vec<_> = probe
        .mechanisms
        .iter()
        .map(|it| {
            let (word, tone) = match (it.present, it.required) {
                (true, _) => ("present ", Tone::Good),
                (false, true) => ("missing ", Tone::Bad),
                (false, false) => ("absent  ", Tone::Warning),
            };
            let detail = it.detail.as_deref().unwrap_or_default();
            format!("{} {:<width$}  {detail}", terminal.out(tone, word), it.name)
                .trim_end()
                .to_owned()
        })
        .collect();
    lines.push(match probe.available {
        true => format!("programs can be jailed; outside they are {}", probe.user),
        false => "programs cannot be jailed here, and are refused".to_owned(),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_only_unless_they_say_otherwise() {
        let read = mount("/usr:/b").unwrap();
        assert_eq!((read.source(), &*read.target), ("/usr".as_ref(), "/b".as_ref()));
        assert_eq!(read.access, Access::Read);
        assert_eq!(mount("/usr:/b:ro").unwrap().access, Access::Read);
        assert_eq!(mount("/usr:/b:rw").unwrap().access, Access::Write);
        assert!(mount("/usr").unwrap_err().lines().len() > 1);
    }

    #[test]
    fn standard_input_has_a_limit_and_is_not_read_beyond_it() {
        assert_eq!(bounded(&b"four"[..], 4).unwrap(), b"four");
        let failure = bounded(std::io::repeat(b'x'), 4).unwrap_err();
        assert_eq!(failure.code(), "sandbox_invalid");
    }

    #[test]
    fn an_unknown_profile_is_told_with_those_there_are() {
        let lines = profile("lax").unwrap_err().lines();
        assert!(lines.iter().any(|(_, line)| line.contains("`strict`")), "{lines:?}");
    }
}
