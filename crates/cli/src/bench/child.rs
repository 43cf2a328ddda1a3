//! The server under measurement: a child process of this very binary.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::BenchError;
use super::client::Target;

/// How long a node may take to be ready.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// How often the record of the node is looked for.
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// What a node writes when it is ready.
const RECORD: &str = "instance.json";

/// A running node; it is killed and its data removed when this is dropped.
#[derive(Debug)]
pub(super) struct Node {
    process: Child,
    directory: PathBuf,
    agents: u32,
    pub(super) target: Target,
    /// From the start of the process to its being ready.
    pub(super) ready: Duration,
}

impl Node {
    /// Starts a node in a fresh data directory below `below`.
    pub(super) fn start(below: &Path, agents: u32) -> Result<Self, BenchError> {
        Node::start_with(below, agents, &[])
    }

    /// The same, with variables of the configuration.
    pub(super) fn start_with(
        below: &Path,
        agents: u32,
        variables: &[(&str, &str)],
    ) -> Result<Self, BenchError> {
        Node::on(fresh_directory(below, agents)?, agents, variables)
    }

    /// Starts a node on a data directory that is removed with it.
    pub(super) fn open(directory: PathBuf, agents: u32) -> Result<Self, BenchError> {
        Node::on(directory, agents, &[])
    }

    fn on(directory: PathBuf, agents: u32, variables: &[(&str, &str)]) -> Result<Self, BenchError> {
        let begun = now();
        let process = spawn(&directory, agents, variables)?;
        let mut node = Node {
            process,
            directory,
            agents,
            target: Target { address: String::new(), token: String::new() },
            ready: Duration::ZERO,
        };
        node.wait_until_ready(begun)?;
        Ok(node)
    }

    /// Kills the process as `kill -9` does and starts another on its data.
    pub(super) fn crash_and_restart(
        &mut self,
        variables: &[(&str, &str)],
    ) -> Result<(), BenchError> {
        self.process.kill().map_err(BenchError::io("kill the node"))?;
        self.process.wait().map_err(BenchError::io("wait for the killed node"))?;
        let record = self.directory.join(RECORD);
        std::fs::remove_file(record).map_err(BenchError::io("remove the record of the node"))?;
        let begun = now();
        self.process = spawn(&self.directory, self.agents, variables)?;
        self.wait_until_ready(begun)
    }

    fn wait_until_ready(&mut self, begun: Instant) -> Result<(), BenchError> {
        while now().duration_since(begun) < READY_PATIENCE {
            if let Some(target) = self.look() {
                self.ready = now().duration_since(begun);
                self.target = target;
                return Ok(());
            }
            if self.process.try_wait().is_ok_and(|status| status.is_some()) {
                return Err(BenchError::new("the node ended before it was ready"));
            }
            pause(LOOK_EVERY);
        }
        Err(BenchError::new("the node was not ready in time"))
    }

    /// The endpoint and token, once the node has written them down.
    fn look(&self) -> Option<Target> {
        let record = std::fs::read(self.directory.join(RECORD)).ok()?;
        let record: serde_json::Value = serde_json::from_slice(&record).ok()?;
        let address = record.get("endpoint")?.as_str()?.strip_prefix("http://")?;
        let token = std::fs::read_to_string(self.directory.join("token")).ok()?;
        Some(Target { address: address.to_owned(), token: token.trim().to_owned() })
    }

    /// Asks the process to stop, waits for it and starts another on its data; how long the stop took.
    pub(super) fn stop_and_restart(&mut self) -> Result<Duration, BenchError> {
        let begun = now();
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| BenchError::new("the node has no process id"))?;
        kill_process(pid, Signal::TERM)
            .map_err(|error| BenchError::io("stop the node")(error.into()))?;
        self.process.wait().map_err(BenchError::io("wait for the node's end"))?;
        let stopped = now();
        self.process = spawn(&self.directory, self.agents, &[])?;
        self.wait_until_ready(stopped)?;
        Ok(stopped.duration_since(begun))
    }

    /// Resident memory in KiB.
    pub(super) fn resident_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that was resident since the start, or since [`Node::forget_peak`].
    pub(super) fn peak_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// From now on the peak counts anew.
    pub(super) fn forget_peak(&self) -> Result<(), BenchError> {
        std::fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5")
            .map_err(BenchError::io("begin a new peak of the node's memory"))
    }

    /// Time on the processor so far, in milliseconds: the kernel counts in hundredths of a second.
    pub(super) fn cpu_ms(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()));
        let stat = stat.unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields = after_name.split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
        ticks * 10
    }

    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Bytes of the files of one directory of the node's data.
    pub(super) fn bytes_of(&self, name: &str) -> u64 {
        let files = std::fs::read_dir(self.directory.join(name)).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|it| it.len()).sum()
    }

    /// The largest file of one directory of the node's data.
    pub(super) fn largest_in(&self, name: &str) -> Option<PathBuf> {
        let files = std::fs::read_dir(self.directory.join(name)).into_iter().flatten().flatten();
        let largest = files.max_by_key(|file| file.metadata().map_or(0, |it| it.len()));
        largest.map(|file| file.path())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself; its data is a measurement's, nobody needs it.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// An empty data directory below `below`.
pub(super) fn fresh_directory(below: &Path, agents: u32) -> Result<PathBuf, BenchError> {
    let directory = below.join(format!("ark-os-bench-{}-{agents}", std::process::id()));
    // A left-over of a measurement that was killed.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).map_err(BenchError::io("make a data directory"))?;
    Ok(directory)
}

#[expect(clippy::disallowed_methods, reason = "the node under measurement is a process of its own")]
fn spawn(directory: &Path, agents: u32, variables: &[(&str, &str)]) -> Result<Child, BenchError> {
    let program = std::env::current_exe().map_err(BenchError::io("find this program"))?;
    Command::new(program)
        .args(["start", "--listen", "127.0.0.1:0", "--log-level", "warn"])
        .args(["--agents", &agents.to_string()])
        .arg("--data-dir")
        .arg(directory)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(BenchError::io("start the node"))
}

/// Whole milliseconds, as they are reported.
pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The clock of a measurement.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a measurement waits for a process")]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}
