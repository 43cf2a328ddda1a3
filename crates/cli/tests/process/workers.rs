//! Remote workers as processes: both clients against the conformance test and their own tests, and
//! workers that break the protocol, which the test has to see.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::command;

const BINARY: &str = env!("CARGO_BIN_EXE_ark-os");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The exit code, and what was printed.
fn run(command: &mut Command) -> (i32, String) {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [done.stdout, done.stderr].concat();
    (done.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

fn conformance(checks: &[&str], worker: &[&str]) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut asked = command(BINARY);
    asked.args(["workers", "conformance", "--directory"]).arg(directory.path());
    for check in checks {
        asked.args(["--check", check]);
    }
    asked.arg("--").args(worker);
    asked.current_dir(root()).env("PYTHONPATH", root().join("clients/python/src"));
    run(&mut asked)
}

#[test]
fn the_python_client_conforms() {
    let (code, text) =
        conformance(&[], &["python3", "clients/python/examples/conformance_worker.py"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn the_python_client_for_coroutines_conforms() {
    let worker = ["python3", "clients/python/examples/conformance_worker.py", "--async"];
    let (code, text) = conformance(&[], &worker);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn the_typescript_client_conforms() {
    let (code, text) =
        conformance(&[], &["node", "clients/typescript/examples/conformance-worker.js"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn the_clients_own_tests_pass() {
    let mut python = command("python3");
    python.args(["-m", "unittest", "discover", "-s", "clients/python/tests"]);
    let mut node = command("node");
    node.args(["--test", "clients/typescript/test/"]);
    for command in [&mut python, &mut node] {
        let (code, text) = run(command.current_dir(root()).env("ARK_OS_BIN", BINARY));
        assert_eq!(code, 0, "{text}");
    }
}

#[test]
fn both_clients_install_as_packages_without_a_network() {
    let home = tempfile::tempdir().unwrap();
    let at = |command: &mut Command| {
        let (code, text) = run(command.current_dir(home.path()));
        assert_eq!(code, 0, "{command:?}: {text}");
        text
    };
    at(command("python3").args(["-m", "venv", "venv"]));
    let python = home.path().join("venv/bin/python");
    at(command(&python)
        .args(["-m", "pip", "install", "--no-index", "--quiet"])
        .arg(root().join("clients/python")));
    let seen = at(command(&python).args(["-c", "import ark_os_worker as it; print(it.__file__)"]));
    assert!(seen.contains("venv"), "{seen}");
    at(command("npm")
        .args(["pack", "--offline", "--silent"])
        .arg(root().join("clients/typescript")));
    at(command("npm").args(["install", "--offline", "--silent", "./ark-os-worker-0.1.0.tgz"]));
    let script = "import('ark-os-worker').then(({ Worker }) => console.log(typeof Worker))";
    let seen = at(command("node").args(["-e", script]));
    assert_eq!(seen.trim(), "function");
}

/// A worker that the test drives into each of its faults.
const BROKEN: &str = r#"
import sys, time
sys.path.insert(0, "clients/python/src")
from ark_os_worker import Worker, Failed
fault = sys.argv[1]
worker = Worker("broken", concurrency=4)

@worker.skill("conformance.echo", effect="read")
def echo(input):
    return input if fault != "completes" else {"not": input}

@worker.skill("conformance.fail", effect="read")
def fail(input):
    raise Failed(input["code"], "asked for", retryable=fault == "fails")

@worker.skill("conformance.work", effect="read")
def work(input, task):
    until = time.monotonic() + input["ms"] / 1000
    while time.monotonic() < until and (fault == "obeys" or not task.cancelled):
        time.sleep(0.01)
    return {"worked": input["ms"]}

if fault == "registers":
    worker.offers.pop()
if fault == "waits":
    claim = worker.claim
    def hasty(free):
        worker.wait_seconds = 0.05
        return claim(free)
    worker.claim = hasty
if fault == "extends":
    worker.extend = lambda: None
if fault == "obeys":
    worker.put_down = lambda pt: None
if fault == "leaves":
    worker.leave = lambda: None
if fault == "cut-claim":
    def claim(free, claim=worker.claim):
        worker.claims += 1
        return claim(free)
    post = worker.transport.post
    def counting(path, body, *more):
        if path.endswith("/claim"):
            worker.claims += 1
            body = dict(body, claim=worker.claims)
        return post(path, body, *more)
    worker.transport.post = counting
worker.run()
"#;

#[test]
fn a_worker_that_breaks_the_protocol_is_told_so_with_exit_code_6() {
    let home = tempfile::tempdir().unwrap();
    let script = home.path().join("broken.py");
    std::fs::write(&script, BROKEN).unwrap();
    let script = script.display().to_string();
    for fault in ["registers", "waits", "completes", "fails", "extends", "cut-claim", "leaves"] {
        let (code, text) = conformance(&["registers", fault], &["python3", &script, fault]);
        assert_eq!(code, 6, "{fault}: {text}");
        assert!(text.contains(&format!("failed   {fault}")), "{fault}: {text}");
    }
    let (code, text) = conformance(&["registers", "completes"], &["python3", &script, "none"]);
    assert_eq!(code, 0, "{text}");
}
