//! The border to the machine: arguments, environment, child processes, the clock and printing.
//! Everything else in the task runner is plain functions over text.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A task did not succeed; the text says what and what to do.
#[derive(Debug)]
pub(crate) struct Failed {
    message: String,
}

impl Failed {
    pub(crate) fn new(message: String) -> Self {
        Self { message }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Which stream of a child is read here as well as shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tee {
    Stdout,
    Stderr,
}

/// Prints one line or block to standard output: the one place of the task runner that prints.
pub(crate) fn say(text: &str) {
    // Whoever closed the pipe (`| head`) has seen enough; the exit code still tells the rest.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// The arguments after the program's name.
#[expect(clippy::disallowed_methods, reason = "the task runner's border to its caller")]
pub(crate) fn arguments() -> Vec<String> {
    std::env::args().skip(1).collect()
}

/// One variable of the environment.
#[expect(clippy::disallowed_methods, reason = "the task runner's border to its caller")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A child process to be, in the given directory.
#[expect(clippy::disallowed_methods, reason = "running tools is what a task runner is for")]
pub(crate) fn command(program: impl AsRef<Path>, root: &Path) -> Command {
    let mut command = Command::new(program.as_ref());
    command.current_dir(root);
    command
}

/// How long `work` takes, beside its answer.
#[expect(clippy::disallowed_methods, reason = "the task runner times its steps for people")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = std::time::Instant::now();
    let answer = work();
    (answer, start.elapsed())
}

/// Is this program on the PATH and does it answer to the arguments?
pub(crate) fn answers(program: impl AsRef<Path>, args: &[&str], root: &Path) -> bool {
    command(program, root)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a command with the caller's own streams.
pub(crate) fn run(mut command: Command) -> Result<(), Failed> {
    let shown = show(&command);
    let status = command.status().map_err(|error| not_started(&shown, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failed::new(format!("`{shown}` ended with {status}")))
    }
}

/// Runs a command and gives its standard output; standard error is the caller's.
pub(crate) fn output(mut command: Command) -> Result<String, Failed> {
    let shown = show(&command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| not_started(&shown, &error))?;
    let mut text = String::new();
    if let Some(mut stream) = child.stdout.take() {
        stream.read_to_string(&mut text).map_err(|error| {
            Failed::new(format!("the output of `{shown}` is unreadable: {error}"))
        })?;
    }
    let status = child.wait().map_err(|error| not_started(&shown, &error))?;
    if status.success() {
        Ok(text)
    } else {
        Err(Failed::new(format!("`{shown}` ended with {status}")))
    }
}

/// Runs a command, shows one of its streams line by line while it runs, and gives each line to
/// `each`.
pub(crate) fn run_seen(
    mut command: Command,
    tee: Tee,
    mut each: impl FnMut(&str),
) -> Result<(), Failed> {
    let shown = show(&command);
    match tee {
        Tee::Stdout => command.stdout(Stdio::piped()),
        Tee::Stderr => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().map_err(|error| not_started(&shown, &error))?;
    let stream: Option<Box<dyn Read>> = match tee {
        Tee::Stdout => child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read>),
        Tee::Stderr => child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read>),
    };
    for line in stream.into_iter().flat_map(|stream| BufReader::new(stream).split(b'\n')) {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line);
        say(&line);
        each(&line);
    }
    let status = child.wait().map_err(|error| not_started(&shown, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failed::new(format!("`{shown}` ended with {status}")))
    }
}

fn not_started(shown: &str, error: &std::io::Error) -> Failed {
    Failed::new(format!("`{shown}` could not be run: {error}"))
}

fn show(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}
