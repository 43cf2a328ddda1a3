//! The one place of the house that starts child processes: the launcher, and nothing else.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use crate::error::SandboxError;
use crate::machine::Settings;
use crate::plan::{self, LAUNCHER_NAME, Order};

/// A launcher at work.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) launcher: Child,
    pub(super) control: UnixStream,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// Starts the launcher and tells it what to do.
pub(super) fn launch(
    settings: &Settings,
    order: &Order,
    stdin: &[u8],
) -> Result<Launched, SandboxError> {
    let failed = |error: std::io::Error| {
        SandboxError::internal(format!(
            "start the launcher `{}`: {error}",
            settings.launcher.display()
        ))
    };
    let (mut control, theirs) = UnixStream::pair().map_err(failed)?;
    #[expect(clippy::disallowed_methods, reason = "the sanctioned place")]
    let mut command = Command::new(&settings.launcher);
    command
        .arg0(LAUNCHER_NAME)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut launcher = command.spawn().map_err(failed)?;
    // The command still holds the launcher's end of the socket.
    drop(command);
    let (Some(stdout), Some(stderr)) = (launcher.stdout.take(), launcher.stderr.take()) else {
        return Err(SandboxError::internal("start the launcher: it has no output"));
    };
    // A launcher that ends before it has read everything says why on the socket.
    let _ = plan::send(&mut control, order).and_then(|()| control.write_all(stdin));
    Ok(Launched { launcher, control, stdout, stderr })
}
