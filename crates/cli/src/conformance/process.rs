//! The worker under test: a child process, and the clock of the test.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::Failure;
use crate::threads::pause;

/// How often an end is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A worker's process; killed when this is dropped.
#[derive(Debug)]
pub(super) struct WorkerProcess(Child);

impl WorkerProcess {
    /// Starts it with the address and token in its environment.
    #[expect(clippy::disallowed_methods, reason = "the worker under test is a process of its own")]
    pub(super) fn start(
        command: &[String],
        endpoint: &str,
        token: &str,
    ) -> Result<WorkerProcess, Failure> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Failure::new("usage", "no command to run"));
        };
        let child = Command::new(program)
            .args(arguments)
            .env("ARK_OS_ENDPOINT", endpoint)
            .env("ARK_OS_TOKEN", token)
            .stdin(Stdio::null())
            // What it prints is not the test's answer.
            .stdout(Stdio::from(std::io::stderr()))
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| Failure::new("usage", format!("cannot run `{program}`: {error}")))?;
        Ok(WorkerProcess(child))
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // One that is gone has ended.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Its end, if it comes in time.
    pub(super) fn ended_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let until = now() + patience;
        loop {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Some(status);
            }
            if now() >= until {
                return None;
            }
            pause(LOOK_EVERY);
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The clock of the test.
#[expect(clippy::disallowed_methods, reason = "the test measures a process outside")]
pub(super) fn now() -> Instant {
    Instant::now()
}
