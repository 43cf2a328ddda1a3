//! Sets up what the tests need beyond the Rust toolchain. What cannot be had here is said, with
//! the tests that will then refuse; nothing is skipped in silence.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use super::Session;
use crate::place::Place;
use crate::shell::{self, Failed, answers, say};

/// The version that is known to build with the project's own toolchain.
const NEXTEST_VERSION: &str = "0.9.143";

/// A program of the system, the package that holds it, and the tests that refuse without it.
struct Tool {
    program: &'static str,
    /// What it answers with its version.
    version: &'static str,
    package: &'static str,
    tests: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        program: "node",
        package: "nodejs",
        version: "--version",
        tests: "the TypeScript client of workers",
    },
    Tool {
        program: "npm",
        package: "npm",
        version: "--version",
        tests: "the TypeScript client's package",
    },
    Tool { program: "git", version: "--version", package: "git", tests: "the audit's history" },
    Tool {
        program: "strace",
        version: "--version",
        package: "strace",
        tests: "the crash sweep of the real binary",
    },
    Tool {
        program: "tmux",
        version: "-V",
        package: "tmux",
        tests: "the live view in a real terminal",
    },
];

/// Installs what is missing and may be installed.
pub(super) fn run(session: &mut Session<'_>) -> Result<Option<String>, Failed> {
    let missing: Vec<String> = TOOLS
        .iter()
        .filter(|tool| !present(tool, session.place))
        .filter_map(|tool| install(tool, session.place).err())
        .chain(provide_nextest(session.place).err())
        .chain(provide_cryptography(session.place).err())
        .chain(super::api::provide(session.place).err())
        .map(|failed| failed.to_string())
        .collect();
    missing.iter().for_each(|line| say(line));
    Ok((!missing.is_empty()).then(|| missing.join("; ")))
}

fn present(tool: &Tool, place: &Place) -> bool {
    answers(tool.program, &[tool.version], &place.root)
}

fn install(tool: &Tool, place: &Place) -> Result<(), Failed> {
    let refuse = |why: &str| {
        Failed::new(format!(
            "`{}` is missing and {why}: {} will refuse (install the package `{}`)",
            tool.program, tool.tests, tool.package
        ))
    };
    if !answers("apt-get", &["--version"], &place.root) {
        return Err(refuse("there is no apt-get"));
    }
    if !is_root() {
        return Err(refuse("this user may not install packages"));
    }
    let apt = |args: &[&str]| {
        let mut command = shell::command("apt-get", &place.root);
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        shell::run(command)
    };
    let get = ["install", "--yes", "--no-install-recommends", tool.package];
    if apt(&get).is_err() {
        // A fresh machine has no package lists yet.
        apt(&["update"]).and_then(|()| apt(&get)).map_err(|_| refuse("apt-get failed"))?;
    }
    if present(tool, place) { Ok(()) } else { Err(refuse("apt-get did not bring it")) }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Builds nextest into the target directory if the machine has none.
fn provide_nextest(place: &Place) -> Result<(), Failed> {
    if test_runner(place).is_some() {
        return Ok(());
    }
    let mut command = shell::command("cargo", &place.root);
    // An unoptimised build is ready in a third of the time, and its own work is waiting.
    command.args(["install", "cargo-nextest", "--locked", "--debug"]);
    command.args(["--version", NEXTEST_VERSION, "--root"]).arg(place.tools());
    shell::run(command).map_err(|failed| {
        Failed::new(format!("nextest is missing ({failed}): `cargo test` runs the tests instead"))
    })
}

/// Python with the one package that the second verifier of proof bundles needs: the machine's, or one of our own.
fn provide_cryptography(place: &Place) -> Result<(), Failed> {
    if python(place).is_some() {
        return Ok(());
    }
    let refuse = |why: &str| {
        Failed::new(format!(
            "Python 3.9 with `cryptography` is missing ({why}): the step `proofs` will fail (install the package \
             `python3-cryptography`)"
        ))
    };
    let own = place.tools().join("python");
    let mut make = shell::command("python3", &place.root);
    make.args(["-m", "venv"]).arg(&own);
    let made = shell::run(make).and_then(|()| {
        let mut pip = shell::command(own.join("bin").join("python3"), &place.root);
        pip.args(["-m", "pip", "install", "--quiet", "cryptography"]);
        shell::run(pip)
    });
    if made.is_err() && is_root() {
        let package = Tool {
            program: "python3",
            version: "--version",
            package: "python3-cryptography",
            tests: "the step `proofs`",
        };
        install(&package, place)?;
    }
    if python(place).is_some() { Ok(()) } else { Err(refuse("neither pip nor apt-get brought it")) }
}

/// A Python that has `cryptography`.
pub(super) fn python(place: &Place) -> Option<PathBuf> {
    let own = place.tools().join("python").join("bin").join("python3");
    let import = ["-c", "import cryptography.hazmat.primitives.asymmetric.ed25519"];
    [own, PathBuf::from("python3")].into_iter().find(|python| answers(python, &import, &place.root))
}

/// `cargo nextest`, from the machine or from the target directory.
pub(super) fn test_runner(place: &Place) -> Option<Command> {
    if answers("cargo", &["nextest", "--version"], &place.root) {
        let mut command = shell::command("cargo", &place.root);
        command.arg("nextest");
        return Some(command);
    }
    let own = place.tools().join("bin").join("cargo-nextest");
    own.is_file().then(|| {
        let mut command = shell::command(own, &place.root);
        command.arg("nextest");
        command
    })
}
