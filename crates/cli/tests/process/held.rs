//! Holding one system call of the node, or of what it has jailed, long enough to kill the node just
//! before that call. Every thread and process is watched from its first instruction; what is jailed
//! is not killed with the node, it has to end by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Where a node is killed: somebody is about to make this call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    /// The name of a thread, or what a process does for a jail.
    pub(crate) role: String,
    pub(crate) call: String,
    /// Of that thread or process, from 1.
    pub(crate) count: usize,
    /// So many others may do it before.
    pub(crate) passes: usize,
}

impl Spot {
    /// What starts a node that is watched like that.
    pub(crate) fn tracer(&self, log: &Path, hold_ms: u64) -> Vec<String> {
        let Spot { call, count, .. } = self;
        let hold = format!("inject={call}:delay_enter={}:when={count}", hold_ms * 1_000);
        let mut tracer = tracer(&[call.as_str()], log);
        tracer.extend(["-s".into(), "0".into(), "-e".into(), hold]);
        tracer
    }

    pub(crate) fn is_made(&self, made: &Made) -> bool {
        (&made.role, &made.call, made.count) == (&self.role, &self.call, self.count)
    }
}

/// What starts a program and writes these calls of all its threads and processes into a log.
pub(crate) fn tracer(calls: &[&str], log: &Path) -> Vec<String> {
    // Programs that are executed tell the processes from each other.
    let trace = format!("trace=execve,{}", calls.join(","));
    let options = ["strace", "-f", "--seccomp-bpf", "-Y", "-qq", "-e", "signal=none", "-e"];
    let mut tracer: Vec<_> = options.map(str::to_owned).to_vec();
    tracer.extend([trace, "-o".into(), log.display().to_string()]);
    tracer
}

/// A call that somebody made or is about to make.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) pid: i32,
    pub(crate) role: String,
    pub(crate) call: String,
    pub(crate) arguments: String,
    pub(crate) count: usize,
}

/// Whether somebody has still not made a call that was told, or never will: it was held until now.
pub(crate) fn is_held(path: &Path, made: &Made) -> bool {
    let text = std::fs::read_to_string(path).unwrap();
    let mut roles = Roles::default();
    let is_it = |line: &&str| {
        roles
            .read(line)
            .is_some_and(|it| (it.pid, &it.call, it.count) == (made.pid, &made.call, made.count))
    };
    let mut lines = text.lines();
    let begun = lines.find(is_it);
    let is_of = |line: &&str| pid_of(line) == Some(made.pid);
    // Who is killed in a call has the result `?`.
    let is_over =
        |line: &str| line.contains("+++ exited") || line.replace(" = ?", "").contains(" = ");
    begun.into_iter().chain(lines.filter(is_of)).all(|line| !is_over(line))
}

fn pid_of(line: &str) -> Option<i32> {
    line.split_once('<')?.0.trim().parse().ok()
}

/// The log of a tracer, read while it grows.
#[derive(Default)]
pub(crate) struct Log {
    file: Option<File>,
    /// The line that has no end yet.
    line: String,
    /// Whether that line has been told already.
    is_told: bool,
    roles: Roles,
    /// The process that was started.
    pub(crate) first: Option<i32>,
}

impl Log {
    /// What has come since the last time.
    pub(crate) fn more(&mut self, path: &Path) -> Vec<Made> {
        if self.file.is_none() {
            self.file = File::open(path).ok();
        }
        let mut text = String::new();
        if let Some(file) = &mut self.file {
            // A character may be cut where the log ends: strace writes none that could be.
            file.read_to_string(&mut text).unwrap();
        }
        let mut made = Vec::new();
        for piece in text.split_inclusive('\n') {
            self.line.push_str(piece);
            if !self.is_told {
                let told = self.roles.read(&self.line);
                self.is_told = told.is_some();
                self.first = self.first.or(told.as_ref().map(|it| it.pid));
                made.extend(told);
            }
            if piece.ends_with('\n') {
                self.line.clear();
                self.is_told = false;
            }
        }
        made
    }
}

/// Who is who in a log.
#[derive(Default)]
struct Roles {
    launchers: BTreeSet<i32>,
    programs: BTreeSet<i32>,
    counts: BTreeMap<(i32, String), usize>,
}

impl Roles {
    /// `123<ark-http> sendto(7, …`, of which the end may not be there yet.
    fn read(&mut self, line: &str) -> Option<Made> {
        let (who, what) = line.split_once("> ")?;
        let (pid, name) = who.split_once('<')?;
        let (call, arguments) = what.trim_start().split_once('(')?;
        if !call.chars().all(|it| it.is_ascii_alphanumeric() || it == '_') {
            return None;
        }
        let pid = pid.trim().parse().ok()?;
        let role = self.role(pid, name, call).to_owned();
        let count = self.counts.entry((pid, call.to_owned())).or_default();
        *count += 1;
        let (call, arguments) = (call.to_owned(), arguments.to_owned());
        Some(Made { pid, role, call, arguments, count: *count })
    }

    fn role<'a>(&mut self, pid: i32, name: &'a str, call: &str) -> &'a str {
        let is_execute = call == "execve";
        match name {
            // It starts the launcher, which still bears the name of the thread that made it.
            _ if is_execute && name.starts_with("ark-") => {
                self.launchers.insert(pid);
                "launcher"
            }
            "exe" if is_execute => {
                self.programs.insert(pid);
                "program"
            }
            "exe" if self.launchers.contains(&pid) => "launcher",
            "exe" if !self.programs.contains(&pid) => "first",
            _ if name.starts_with("ark-") || name == "strace" => name,
            _ => "program",
        }
    }
}

#[test]
fn a_call_that_has_come_to_its_end_was_not_held() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let made = Made {
        pid: 9,
        role: "first".into(),
        call: "write".into(),
        arguments: String::new(),
        count: 2,
    };
    let before = "9<exe> write(3, \"\"..., 1) = 1\n8<exe> write(3, \"\"..., 1) = 1\n9<exe> write(";
    for (after, expected) in [
        ("", true),
        ("3, 1 <unfinished ...>\n8<exe> write(3, 1) = 1\n", true),
        ("3, 1) = ?\n9<exe> +++ killed by SIGKILL +++\n", true),
        ("3, 1) = 1 (DELAYED)\n", false),
        ("3, 1 <unfinished ...>\n9<exe> <... write resumed>) = 1\n", false),
        ("3, 1) = ?\n9<exe> +++ exited with 0 +++\n", false),
    ] {
        std::fs::write(&path, [before, after].concat()).unwrap();
        assert_eq!(is_held(&path, &made), expected, "{after}");
    }
}

#[test]
fn a_call_is_told_as_soon_as_it_begins_and_only_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = Log::default();
    assert!(log.more(&path).is_empty(), "there is no log yet");
    std::fs::write(&path, "7<strace> execve(\"x\") = 0\n9<ark-external> execve(\"y\"").unwrap();
    let seen = log.more(&path);
    assert_eq!(seen.iter().map(|it| it.role.as_str()).collect::<Vec<_>>(), ["strace", "launcher"]);
    assert_eq!(log.first, Some(7));
    let mut file = File::options().append(true).open(&path).unwrap();
    let more = " <unfinished ...>\n9<exe> <... execve resumed>) = 0\n9<exe>  write(3, 1) = 1\n8<exe> write(";
    std::io::Write::write_all(&mut file, more.as_bytes()).unwrap();
    let seen = log.more(&path);
    assert_eq!(seen.iter().map(|it| it.role.as_str()).collect::<Vec<_>>(), ["launcher", "first"]);
    assert_eq!(seen.iter().map(|it| it.count).collect::<Vec<_>>(), [1, 1]);
}
