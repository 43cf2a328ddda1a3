//! The step `api`: schemathesis asks running instances of the development build whatever their own OpenAPI
//! description allows, and what it forbids.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use super::Session;
use crate::place::Place;
use crate::shell::{self, Failed, answers, say};

/// The version whose checks the exceptions in `tools/schemathesis` are written for.
pub(super) const VERSION: &str = "4.32.5";
/// Generated questions an operation and phase: some minutes in all.
const EXAMPLES: &str = "20";
const CONFIG: &str = "tools/schemathesis/schemathesis.toml";
/// What is asked of an instance of its own: a measure freezes the intake, or puts everybody out of work, for all questions
/// that come after.
const MEASURES: &str = "^/api/v1/measures";

pub(super) fn run(session: &mut Session<'_>) -> Result<Option<String>, Failed> {
    let place = session.place;
    let program = program(place).ok_or_else(|| {
        Failed::new("there is no schemathesis: `cargo xtask test --step setup`".into())
    })?;
    let all_else = ask(place, &program, "--exclude-path-regex");
    all_else.and(ask(place, &program, "--include-path-regex")).map(|()| None)
}

/// Asks a new instance whatever is chosen by the path of the measures.
fn ask(place: &Place, program: &Path, choice: &str) -> Result<(), Failed> {
    let dir = place.tools().join("api");
    // What an earlier run left; its absence is what we want.
    let _ = std::fs::remove_dir_all(&dir);
    let mut instance = Instance::start(place, &dir)?;
    let token = std::fs::read_to_string(dir.join("token"))
        .map_err(|error| Failed::new(format!("the instance's token is unreadable: {error}")))?;
    let mut command = shell::command(program, &place.root);
    command.args(["--config-file", CONFIG, "run"]);
    command.arg(format!("{}/api/v1/openapi.json", instance.endpoint));
    command.args([choice, MEASURES, "--max-examples", EXAMPLES, "--header"]);
    command.arg(format!("Authorization: Bearer {}", token.trim()));
    let asked = shell::run(command);
    let lives = instance.child.try_wait().is_ok_and(|status| status.is_none());
    drop(instance);
    asked?;
    match lives {
        true => Ok(()),
        false => Err(Failed::new("the instance did not outlive its questions".into())),
    }
}

/// Puts schemathesis into an environment of its own.
pub(super) fn provide(place: &Place) -> Result<(), Failed> {
    if program(place).is_some() {
        return Ok(());
    }
    let own = place.tools().join("schemathesis");
    let mut make = shell::command("python3", &place.root);
    make.args(["-m", "venv"]).arg(&own);
    let made = shell::run(make).and_then(|()| {
        let mut pip = shell::command(own.join("bin/python3"), &place.root);
        pip.args(["-m", "pip", "install", "--quiet"]).arg(format!("schemathesis=={VERSION}"));
        shell::run(pip)
    });
    made.map_err(|failed| {
        Failed::new(format!(
            "schemathesis is missing ({failed}): the step `api` will fail (it takes Python 3 with venv and pip)"
        ))
    })
}

fn program(place: &Place) -> Option<PathBuf> {
    let own = place.tools().join("schemathesis/bin/schemathesis");
    answers(&own, &["--version"], &place.root).then_some(own)
}

/// An instance of its own, on a free port; it goes when this is dropped.
struct Instance {
    child: Child,
    endpoint: String,
    /// Kept open: what else it says is short, and must not meet a broken pipe.
    _said: Option<BufReader<ChildStdout>>,
}

impl Instance {
    fn start(place: &Place, dir: &Path) -> Result<Self, Failed> {
        let mut command = shell::command(place.debug_binary("ark-os"), &place.root);
        command.args([
            "start",
            "--agents",
            "30",
            "--listen",
            "127.0.0.1:0",
            "--log-level",
            "error",
        ]);
        command.arg("--data-dir").arg(dir).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| Failed::new(format!("the instance did not start: {error}")))?;
        let mut line = String::new();
        let mut said = child.stdout.take().map(BufReader::new);
        if let Some(said) = &mut said {
            // An unreadable line is told below as one that names no endpoint.
            let _ = said.read_line(&mut line);
        }
        let endpoint = line.trim().strip_prefix("ready at ").map(str::to_owned);
        let instance =
            Instance { child, endpoint: endpoint.clone().unwrap_or_default(), _said: said };
        match endpoint {
            Some(endpoint) => {
                say(&format!("asking {endpoint}"));
                Ok(instance)
            }
            None => Err(Failed::new(format!("the instance said `{}`", line.trim()))),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It is ours, and nothing of it is kept.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
