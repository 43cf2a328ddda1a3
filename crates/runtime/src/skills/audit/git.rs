//! `audit.history`: what version control remembers of a tree. `git` runs in a jail that shows it the
//! repository's own directory, read-only, and nothing else of the host; what it prints is foreign
//! data, counted by `churn`. Where there is no repository, no git or no jail, the answer says so and
//! the audit goes on.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use ark_os_sandbox::{Access, Exit, Finished, Job, Mount, Profile};
use serde::Deserialize;

use super::churn;
use super::paths;
use super::records::{HistoryDetail, HistorySummary};
use crate::skills::wire;
use crate::skills::{Cost, EffectClass, Host, JailSource, Skill, SkillError, SkillSpec};

/// What is looked at when nothing else is asked for.
const DAYS: u64 = 365;
const DAYS_MAX: u64 = 36_500;
/// Of the log: 3 KiB for each commit that is read.
const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Objects are inflated and compared in memory, and packs are mapped.
const MEMORY_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// After this the log counts as cut.
const WALL_TIME: Duration = Duration::from_secs(120);
/// For one commit. A repository may name a pipe in its settings, which git would wait at for ever.
const FIRST_WALL_TIME: Duration = Duration::from_secs(10);
const SECONDS_PER_DAY: u64 = 86_400;
/// A summary and a reference.
const OUTPUT_BYTES_MAX: usize = 16 * 1024;
/// Where the jail shows the repository.
const REPOSITORY: &str = "/repository";
/// Where distributions and people put git.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Asks git, in the jail.
#[derive(Debug)]
pub(in crate::skills) struct HistorySkill {
    jail: JailSource,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    root: String,
    days: Option<u64>,
}

/// Why there is no history, in words.
struct NoHistory(String);

impl HistorySkill {
    pub(in crate::skills) fn new(jail: JailSource) -> Self {
        Self { jail }
    }
}

impl Skill for HistorySkill {
    fn spec(&self) -> &SkillSpec {
        static SPEC: SkillSpec = SkillSpec {
            name: Cow::Borrowed("audit.history"),
            summary: Cow::Borrowed(
                "counts who changed which files of a git repository, by git in the jail",
            ),
            class: EffectClass::Read,
            cost: Cost::Blocking,
            output_bytes_max: OUTPUT_BYTES_MAX,
            input_schema: Cow::Borrowed(
                r#"{"type":"object","required":["root"],"additionalProperties":false,
                "properties":{"root":{"type":"string","minLength":1},
                "days":{"type":"integer","minimum":1,"maximum":36500}}}"#,
            ),
            output_schema: Cow::Borrowed(
                r#"{"type":"object","required":["commits","authors"],"properties":{
                "why_none":{"type":["string","null"]},"commits":{"type":"integer"},
                "authors":{"type":"integer"},"detail":{"type":["string","null"]}}}"#,
            ),
            concurrency_max: None,
        };
        &SPEC
    }

    fn run(&self, host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let input: Input = wire::read(input)?;
        let days = input.days.unwrap_or(DAYS);
        if days == 0 || days > DAYS_MAX {
            let message = format!("use `days`: it is between 1 and {DAYS_MAX}");
            return Err(SkillError::limit(message));
        }
        let root = paths::path_of(&input.root).ok_or_else(|| {
            SkillError::invalid_input("read `root`: it is not the text of a path")
        })?;
        let log = repository(&root).and_then(|place| {
            let git = Git { host, jail: &self.jail, place };
            git.log(days)
        });
        // A stop is no reason: the attempt ends as cancelled.
        if host.is_cancelled() {
            return Err(SkillError::cancelled());
        }
        let summary = match log {
            Err(NoHistory(why)) => {
                HistorySummary { why_none: Some(why), ..HistorySummary::default() }
            }
            Ok((log, is_cut)) => {
                let detail = churn::history_of_log(&log, days, is_cut)?;
                let counted: HistoryDetail = wire::read(&detail)?;
                HistorySummary {
                    why_none: None,
                    commits: counted.commits,
                    authors: counted.authors.total,
                    detail: Some(host.save(&detail)?),
                }
            }
        };
        wire::answer(&summary)
    }
}

/// The repository's own directory. A pointer to one that lies elsewhere is not followed: a foreign
/// tree could name any repository of the machine.
fn repository(root: &Path) -> Result<Mount, NoHistory> {
    match fs::symlink_metadata(root.join(".git")) {
        Ok(metadata) if metadata.is_dir() => {
            // Whatever takes its place from now on is not mounted.
            Mount::within(root, ".git", REPOSITORY, Access::Read)
                .map_err(|error| NoHistory(format!("failed to {error}")))
        }
        Ok(_) => Err(NoHistory("`.git` only points to a repository elsewhere".to_owned())),
        Err(_) => Err(NoHistory("the tree is not the top of a git repository".to_owned())),
    }
}

struct Git<'a> {
    host: &'a dyn Host,
    jail: &'a JailSource,
    place: Mount,
}

impl Git<'_> {
    /// The log of the window that ends with the newest commit, and whether it is cut.
    fn log(&self, days: u64) -> Result<(Vec<u8>, bool), NoHistory> {
        let newest = self.run(FIRST_WALL_TIME, &["log", "-1", "--format=%ct"])?;
        if newest.exit == Exit::WallTime {
            return Err(NoHistory("git did not answer in time".to_owned()));
        }
        let newest = String::from_utf8_lossy(&newest.stdout).trim().parse::<u64>();
        let Ok(newest) = newest else { return Err(NoHistory("there are no commits".to_owned())) };
        let since = newest.saturating_sub(days.saturating_mul(SECONDS_PER_DAY));
        let since = format!("--since=@{since}");
        let log = ["log", "-z", "--numstat", "-M", "--no-merges", "--no-ext-diff", "--no-textconv"];
        let count = format!("--max-count={}", churn::COMMITS_MAX);
        let rest = [count.as_str(), since.as_str(), churn::FORMAT];
        let finished = self.run(WALL_TIME, &[&log[..], &rest[..]].concat())?;
        Ok((finished.stdout, finished.exit != Exit::Code(0)))
    }

    /// Ends well, or was cut by a limit; anything else is a reason for none.
    fn run(&self, wall_time: Duration, arguments: &[&str]) -> Result<Finished, NoHistory> {
        let jail =
            self.jail.open().map_err(|why| NoHistory(format!("there is no sandbox: {why}")))?;
        let mut job = job(&self.place, arguments);
        job.profile.wall_time = wall_time;
        let finished = jail.run(&job, &|| {
            self.host.progress(0, 0);
            self.host.is_cancelled()
        });
        let finished = finished.map_err(|error| match error.code() {
            "program_not_found" => NoHistory("there is no `git` on this machine".to_owned()),
            _ => NoHistory(format!("failed to {error}")),
        })?;
        match finished.exit {
            Exit::Code(0) | Exit::Output | Exit::WallTime | Exit::CpuTime => Ok(finished),
            Exit::Code(128) if is_empty_repository(&finished.stderr) => {
                Err(NoHistory("there are no commits".to_owned()))
            }
            // Not what git said: it may quote the repository.
            exit => Err(NoHistory(format!("git ended with {exit:?}"))),
        }
    }
}

fn is_empty_repository(stderr: &[u8]) -> bool {
    memchr::memmem::find(stderr, b"does not have any commits yet").is_some()
}

/// What git may do: read the repository. Whatever the repository's own settings say, it starts no
/// other program, fetches nothing and shows no other diff.
fn job(place: &Mount, arguments: &[&str]) -> Job {
    let git_dir = format!("--git-dir={REPOSITORY}");
    let mut argv = vec!["git", "--no-pager", "--no-optional-locks", &git_dir];
    for setting in [
        "safe.directory=*",
        // Without a work tree; people's names are mapped by the newest commit's own file.
        "core.bare=true",
        "core.fsmonitor=false",
        "core.hooksPath=/dev/null",
        "core.pager=cat",
        "core.attributesFile=/dev/null",
        "diff.external=",
        "log.showSignature=false",
        "protocol.allow=never",
    ] {
        argv.extend(["-c", setting]);
    }
    argv.extend(arguments);
    let profile = Profile {
        memory_bytes: MEMORY_BYTES,
        cpu_milli: 1000,
        cpu_time: WALL_TIME,
        wall_time: WALL_TIME,
        stdout_bytes: LOG_BYTES_MAX,
        ..Profile::default()
    };
    let mut job = Job::new(profile, argv);
    let variables = [
        ("PATH", PATH),
        ("HOME", "/tmp"),
        ("LC_ALL", "C"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ];
    job.env = variables.map(|(name, value)| (OsString::from(name), OsString::from(value))).to_vec();
    job.mounts = vec![place.clone()];
    job
}
