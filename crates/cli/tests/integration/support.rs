//! A home of its own for every test, and the binary in it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for another process before it fails: machines stall.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that has no way to tell us.
const LOOK: Duration = Duration::from_millis(5);

/// A user's home with a data directory.
pub(crate) struct Home {
    dir: TempDir,
}

/// What came of a call.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    /// Standard output as one JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Standard output as one JSON document a line.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Standard error as a problem document.
    pub(crate) fn problem(&self) -> Value {
        serde_json::from_str(&self.err).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails the test unless the call ended so.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Home { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A call with nothing of the test's own environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ark-os"));
        command
            .env_clear()
            .env("HOME", self.path())
            .env("ARK_OS_DATA_DIR", self.data())
            .current_dir(self.path())
            .stdin(Stdio::null())
            .args(args);
        command
    }

    /// Calls the binary and waits for its end.
    pub(crate) fn call(&self, args: &[&str]) -> Done {
        done(self.command(args).output().unwrap())
    }

    /// Text without what differs from home to home.
    pub(crate) fn neutral(&self, text: &str) -> String {
        text.replace(&self.path().display().to_string(), "HOME")
    }

    /// Starts an instance and waits until it is ready.
    pub(crate) fn start(&self, args: &[&str]) -> Node {
        self.start_at("127.0.0.1:0", args)
    }

    /// The same, at an address.
    pub(crate) fn start_at(&self, address: &str, args: &[&str]) -> Node {
        let mut all = vec!["start", "--listen", address];
        all.extend(args);
        let mut child =
            self.command(&all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        out.read_line(&mut ready).unwrap();
        Node { child: Some(child), ready, _out: out }
    }
}

pub(crate) fn done(output: Output) -> Done {
    Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A process that runs on; killed with the test.
pub(crate) struct Node {
    child: Option<Child>,
    /// The first line that it printed.
    pub(crate) ready: String,
    /// Kept open: a closed pipe would end a process that prints.
    _out: BufReader<ChildStdout>,
}

impl Node {
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end: exit code and standard error.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Looks until it is so.
pub(crate) fn await_that(what: &str, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::park_timeout(LOOK);
    }
}
