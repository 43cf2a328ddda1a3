//! The second verifier as a process that is asked again and again.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::json;

/// The process.
#[derive(Debug)]
pub struct Python {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// Why it does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the second verifier does not answer: {0}")]
pub struct PythonError(String);

impl From<std::io::Error> for PythonError {
    fn from(error: std::io::Error) -> Self {
        PythonError(error.to_string())
    }
}

impl Python {
    /// Starts it.
    ///
    /// # Errors
    /// There is no such interpreter.
    #[expect(clippy::disallowed_methods, reason = "the second verifier is another program")]
    pub fn start(interpreter: &Path, script: &Path) -> Result<Self, PythonError> {
        let mut command = Command::new(interpreter);
        command.arg("-B").arg(script).arg("--batch");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = child.stdin.take();
        let answers = child.stdout.take().ok_or_else(|| PythonError("it has no output".into()))?;
        Ok(Python { child, requests, answers: BufReader::new(answers) })
    }

    /// Its verdict: `ok`, or the class and the line of the fault.
    ///
    /// # Errors
    /// It is gone.
    pub fn judge(
        &mut self,
        bundle: &[u8],
        key: Option<&str>,
        kept: Option<&str>,
    ) -> Result<String, PythonError> {
        let request = json!({"bytes": bundle.len(), "key": key, "kept": kept});
        let Some(requests) = &mut self.requests else {
            return Err(PythonError("it is over".into()));
        };
        requests.write_all(format!("{request}\n").as_bytes())?;
        requests.write_all(bundle)?;
        requests.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        if answer.is_empty() {
            return Err(PythonError("it has ended; its last words stand above".into()));
        }
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Python {
    /// It ends with its input.
    fn drop(&mut self) {
        self.requests = None;
        // It was not asked for anything that could still fail.
        let _ = self.child.wait();
    }
}
