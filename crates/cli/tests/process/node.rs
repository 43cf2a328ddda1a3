//! A node as a process of its own: started, watched by strace, killed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::client::Client;
use super::support::{await_some, command};

/// A node under strace on a busy machine takes a second; this is only to end a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Enough agents for every layer and two micros.
const AGENTS: &str = "8";
/// Enough of them for every effect of a session at one time.
const AGENTS_FOR_EFFECTS: &str = "16";
/// Whoever holds the token may have every effect.
const SCOPES: &str = "*,effect:probed,effect:effectful";
/// The smallest segments, so that a short session begins several.
const SEGMENT_BYTES: &str = "1048576";

/// The node with the counting sink.
pub(crate) fn counting_node() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_ark-os")).parent().unwrap().to_owned();
    let node = target.join("examples").join("counting_node");
    assert!(node.is_file(), "`cargo build -p ark-os --examples` makes {}", node.display());
    node
}

/// A data directory with everything that belongs to its node.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    program: PathBuf,
    /// What it is started with besides.
    arguments: Vec<OsString>,
    /// What its operator may do, where the program itself does not say so.
    scopes: Option<&'static str>,
    /// What else its environment says.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Every node that was ready here.
    pub(crate) nodes: RefCell<BTreeSet<i32>>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let (program, arguments) = (counting_node(), ["--agents", AGENTS].map(OsString::from));
        let dir = tempfile::tempdir().unwrap();
        Home::of(dir, program, arguments.into(), None)
    }

    /// The home of the program as it is delivered, which has the agents of a manifest.
    pub(crate) fn with_manifest(manifest: impl FnOnce(&Path) -> Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("manifest.yaml");
        // What is JSON is YAML too.
        std::fs::write(&file, manifest(dir.path()).to_string()).unwrap();
        let mut arguments =
            ["--agents", AGENTS_FOR_EFFECTS, "--manifest"].map(OsString::from).to_vec();
        arguments.push(file.into());
        let program = env!("CARGO_BIN_EXE_ark-os").into();
        Home::of(dir, program, arguments, Some(SCOPES))
    }

    fn of(
        dir: tempfile::TempDir,
        program: PathBuf,
        arguments: Vec<OsString>,
        scopes: Option<&'static str>,
    ) -> Self {
        let (settings, nodes) = (Vec::new(), RefCell::default());
        Home { dir, program, arguments, scopes, settings, nodes }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the node said on standard error, in all its lives.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    fn record(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.data().join("instance.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Starts a node here. `tracer` is a program with arguments that starts it, if any.
    pub(crate) fn start(&self, tracer: &[String]) -> Node {
        let node = &self.program;
        let mut command = match tracer.split_first() {
            Some((program, arguments)) => {
                let mut command = command(program);
                command.args(arguments).arg(node);
                command
            }
            None => command(node),
        };
        let log = File::options().create(true).append(true).open(self.file("log")).unwrap();
        let before = self.record();
        let process = command
            .args(["start", "--mode", "autonomous", "--listen", "127.0.0.1:0"])
            .args(["--log-level", "warn", "--data-dir"])
            .arg(self.data())
            .args(&self.arguments)
            .envs(self.scopes.map(|scopes| ("ARK_OS_OPERATOR_SCOPES", scopes)))
            .env("ARK_OS_STORE_SEGMENT_BYTES", SEGMENT_BYTES)
            .envs(self.settings.iter().cloned())
            .env_remove("ARK_OS_ENDPOINT")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Node { process, before, pid: None, tracers: Vec::new() }
    }
}

/// One life of a node.
pub(crate) struct Node {
    process: Child,
    /// What the data directory told of its last life.
    before: Option<Value>,
    /// Known when it is ready. Under strace it is not the child that we wait for.
    pid: Option<i32>,
    tracers: Vec<Child>,
}

impl Node {
    /// Waits until it is ready; none: it ended before.
    pub(crate) fn ready(&mut self, home: &Home) -> Option<Client> {
        let look = || {
            if let Some(record) = home.record().filter(|it| Some(it) != self.before.as_ref()) {
                return Some(Some(record));
            }
            self.process.try_wait().unwrap().map(|_| None)
        };
        let record = await_some(PATIENCE, look)
            .unwrap_or_else(|| panic!("the node is not ready in time\n{}", home.log()))?;
        self.pid = record["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        home.nodes.borrow_mut().extend(self.pid);
        let token = std::fs::read_to_string(home.data().join("token")).ok()?;
        let endpoint = record["endpoint"].as_str().unwrap();
        Some(Client::new(endpoint, token.trim(), &home.data()))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.expect("the node is ready")
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> ExitStatus {
        let status = await_some(PATIENCE, || self.process.try_wait().unwrap());
        let status = status.expect("the node ends in time");
        for tracer in &mut self.tracers {
            tracer.wait().unwrap();
        }
        status
    }

    /// Kills it, wherever it is.
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
        let status = self.ended();
        assert!(status.signal() == Some(9) || status.code() == Some(137), "{status}");
    }

    /// The same with its tracer, which ends when everybody has ended whom it watches.
    pub(crate) fn died_of_kill(self, home: &Home) {
        let status = self.ended();
        let is_killed = status.signal() == Some(9) || status.code() == Some(137);
        assert!(is_killed, "it ended by itself: {status}\n{}", home.log());
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.pid.unwrap_or(self.process.id().cast_signed());
        // One that has ended by itself needs no signal.
        let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
    }

    /// The threads whose names begin so. One that has just been started has the name of the process until
    /// it names itself.
    fn threads(&self, name: &str) -> Vec<String> {
        let pid = self.pid().to_string();
        let named = || {
            let names = self.names();
            let main = names.get(&pid).cloned();
            let is_named =
                |(id, name): (&String, &String)| *id == pid || Some(name) != main.as_ref();
            names.iter().all(is_named).then_some(names)
        };
        let names = await_some(PATIENCE, named).expect("every thread has a name");
        names.into_iter().filter(|(_, it)| it.starts_with(name)).map(|(id, _)| id).collect()
    }

    /// The name of each thread.
    fn names(&self) -> BTreeMap<String, String> {
        let tasks = PathBuf::from(format!("/proc/{}/task", self.pid()));
        let Ok(entries) = std::fs::read_dir(tasks) else { return BTreeMap::new() };
        let named = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
            Some((entry.file_name().into_string().unwrap(), name))
        });
        named.collect()
    }

    /// Lets strace watch the threads of this name, and waits until it does.
    pub(crate) fn watch(&mut self, threads: &str, options: &[String], log: &Path) {
        let found = self.threads(threads);
        if found.is_empty() {
            return;
        }
        let mut strace = command("strace");
        strace.args(options).args(["-qq", "-y", "-s", "0", "-o"]).arg(log);
        for thread in &found {
            strace.args(["-p", thread]);
        }
        strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let tracer = strace.spawn().expect("strace is installed (`cargo xtask test` does it)");
        self.watched(&found, tracer);
    }

    /// Lets strace write down what all threads do.
    pub(crate) fn record(&mut self, options: &[String], log: &Path) {
        let mut strace = command("strace");
        strace.args(options).args(["-f", "-Y", "-qq", "-o"]).arg(log);
        strace.args(["-p", &self.pid().to_string()]);
        strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let tracer = strace.spawn().expect("strace is installed (`cargo xtask test` does it)");
        let found = self.threads("");
        self.watched(&found, tracer);
    }

    fn watched(&mut self, threads: &[String], tracer: Child) {
        let pid = self.pid();
        let is_watched = |thread: &String| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/status"));
            // A thread that is gone need not be watched.
            let Ok(status) = status else { return true };
            !status.lines().any(|line| line == "TracerPid:\t0")
        };
        self.tracers.push(tracer);
        let all = await_some(PATIENCE, || threads.iter().all(is_watched).then_some(()));
        all.expect("strace may watch the node");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A test that fails leaves no process behind.
        if let Ok(None) = self.process.try_wait() {
            self.signal(Signal::KILL);
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        for tracer in &mut self.tracers {
            let _ = tracer.kill();
            let _ = tracer.wait();
        }
    }
}
