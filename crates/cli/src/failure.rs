//! What a command says when it cannot do what was asked: what was wrong, where, and what to do.

use std::fmt;

use ark_os_api::{ErrorPlace, Exit, Problem, codes};
use ark_os_runtime::RuntimeError;
use ark_os_sandbox::SandboxError;
use ark_os_store::StoreError;
use serde_json::{Value, json};

use crate::hints::in_commands;

/// The exit code of a run that came to this state; none: it is still under way.
pub(crate) fn exit_of_run(state: &str) -> Option<Exit> {
    match state {
        "succeeded" => Some(Exit::Done),
        "failed" | "cancelled" => Some(Exit::Failed),
        "parked" => Some(Exit::Waiting),
        _ => None,
    }
}

/// One thing that is wrong, with its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finding {
    /// `file:line:column`, where the thing came from a file.
    pub(crate) place: Option<String>,
    /// JSON pointer into the document.
    pub(crate) pointer: Option<String>,
    /// What is wrong there.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Finding {
    /// A finding at a place.
    pub(crate) fn at(place: impl Into<String>, message: impl Into<String>) -> Self {
        Finding { place: Some(place.into()), message: message.into(), ..Finding::default() }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        match self.pointer.as_deref() {
            None => Ok(()),
            Some("") => f.write_str(" (at the root)"),
            Some(pointer) => write!(f, " ({pointer})"),
        }
    }
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    exit: Exit,
    /// Boxed, because almost every result carries one.
    problem: Box<Problem>,
    findings: Vec<Finding>,
    is_closed_output: bool,
}

impl Failure {
    /// A failure with a code of the table, which gives the exit code.
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Failure {
            exit: codes::row(code).exit,
            problem: Box::new(Problem::new(code, message)),
            findings: Vec::new(),
            is_closed_output: false,
        }
    }

    /// What was given on the command line, in a file or in the environment is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure::new("usage", message)
    }

    /// What the instance answered.
    pub(crate) fn of_problem(mut problem: Problem) -> Self {
        let exit =
            codes::known(&problem.code).map_or(exit_of_status(problem.status), |row| row.exit);
        let findings = std::mem::take(&mut problem.errors).into_iter().map(|error| Finding {
            // What is in a file of the instance is in no document.
            pointer: Some(error.pointer).filter(|it| error.place.is_none() || !it.is_empty()),
            place: error.place,
            message: error.message,
            hint: error.hint.map(|hint| in_commands(&hint)),
        });
        let findings = findings.collect();
        problem.hint = problem.hint.map(|hint| in_commands(&hint));
        Failure { exit, problem: Box::new(problem), findings, is_closed_output: false }
    }

    /// Adds what to do next.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }

    /// Adds the single findings.
    pub(crate) fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings = findings;
        self
    }

    /// The same failure of another file besides.
    pub(crate) fn and(mut self, other: Failure) -> Self {
        self.problem.detail = Some(format!("{}; {}", self.message(), other.message()));
        self.findings.extend(other.findings);
        self
    }

    /// Gives every finding that points into a document its place in the document's file.
    pub(crate) fn with_places(mut self, place: impl Fn(&str) -> Option<String>) -> Self {
        for finding in &mut self.findings {
            finding.place = finding.pointer.as_deref().and_then(&place);
        }
        self
    }

    /// How the process ends.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The stable code.
    pub(crate) fn code(&self) -> &str {
        &self.problem.code
    }

    /// What went wrong.
    pub(crate) fn message(&self) -> &str {
        self.problem.detail.as_deref().unwrap_or(&self.problem.title)
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.problem.hint.as_deref()
    }

    /// The single findings.
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether nobody reads our output any more: not worth a word.
    pub(crate) fn is_closed_output(&self) -> bool {
        self.is_closed_output
    }

    /// As lines for people, without colour: the first says what, then where, then what to do.
    pub(crate) fn lines(&self) -> Vec<(Part, String)> {
        let mut lines = vec![(Part::Error, self.message().to_owned())];
        let is_one = self.findings.len() == 1;
        for finding in &self.findings {
            // The message of an instance may end with the only thing that is wrong.
            let is_said = is_one
                && finding.place.is_none()
                && finding.pointer.as_deref().is_none_or(|it| self.message().contains(it))
                && self.message().ends_with(finding.message.as_str());
            if !is_said {
                lines.push((Part::Place, finding.to_string()));
            }
            if let Some(hint) = &finding.hint {
                lines.push((Part::PlaceHint, hint.clone()));
            }
        }
        if let Some(hint) = &self.problem.hint {
            lines.push((Part::Hint, hint.clone()));
        }
        lines
    }

    /// The same failure under another code of the table.
    pub(crate) fn under_code(self, code: &str) -> Self {
        let mut failure = Failure::new(code, self.message()).with_findings(self.findings);
        failure.problem.hint = self.problem.hint;
        failure
    }

    /// As the API tells it.
    pub(crate) fn into_problem(self) -> Problem {
        let mut problem = *self.problem;
        problem.errors.extend(self.findings.into_iter().map(|finding| ErrorPlace {
            pointer: finding.pointer.unwrap_or_default(),
            place: finding.place,
            message: finding.message,
            hint: finding.hint,
        }));
        problem
    }

    /// As a problem document (RFC 9457), with the place of each finding and the exit code.
    pub(crate) fn problem(&self) -> Value {
        let mut problem = serde_json::to_value(&self.problem).unwrap_or_default();
        let Some(fields) = problem.as_object_mut() else { return problem };
        fields.insert("exit_code".to_owned(), json!(self.exit.code()));
        if !self.findings.is_empty() {
            let errors: Vec<Value> = self.findings.iter().map(finding_json).collect();
            fields.insert("errors".to_owned(), Value::Array(errors));
        }
        problem
    }
}

/// What a line of a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What was wrong.
    Error,
    /// Where.
    Place,
    /// What to do about that place.
    PlaceHint,
    /// What to do.
    Hint,
}

fn finding_json(finding: &Finding) -> Value {
    let mut value = json!({ "message": finding.message });
    let Some(fields) = value.as_object_mut() else { return value };
    let optional =
        [("pointer", &finding.pointer), ("place", &finding.place), ("hint", &finding.hint)];
    for (name, text) in optional {
        if let Some(text) = text {
            fields.insert(name.to_owned(), json!(text));
        }
    }
    value
}

/// The exit code of an answer whose code this version does not know.
fn exit_of_status(status: u16) -> Exit {
    match status {
        401 | 403 => Exit::Denied,
        404 | 409 | 429 | 507 => Exit::Refused,
        400..=499 => Exit::Usage,
        503 | 504 => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

impl From<RuntimeError> for Failure {
    fn from(error: RuntimeError) -> Self {
        let findings = error.places().iter().map(|place| Finding {
            place: None,
            pointer: Some(place.pointer.clone()),
            message: place.message.clone(),
            hint: place.hint.clone(),
        });
        let failure =
            Failure::new(error.code(), error.to_string()).with_findings(findings.collect());
        match error.hint() {
            Some(hint) => failure.with_hint(in_commands(hint)),
            None => failure,
        }
    }
}

impl From<StoreError> for Failure {
    /// As the runtime tells it, which is how callers of the API see it.
    fn from(error: StoreError) -> Self {
        RuntimeError::from(error).into()
    }
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        let failure = Failure::new(error.code(), error.to_string());
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

impl From<std::io::Error> for Failure {
    /// Failures of our own output; others are wrapped where they happen, with what was tried.
    fn from(error: std::io::Error) -> Self {
        let mut failure = Failure::new("internal", format!("cannot write the output: {error}"));
        failure.is_closed_output = error.kind() == std::io::ErrorKind::BrokenPipe;
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_where_and_what_to_do() {
        let finding = Finding::at("a.toml:3:1", "unknown key `x`").hint("remove it");
        let failure = Failure::usage("the file is wrong").with_findings(vec![finding]);
        let lines = failure.with_hint("look").lines();
        let text: Vec<_> = lines.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(text, ["the file is wrong", "a.toml:3:1: unknown key `x`", "remove it", "look"]);
    }

    #[test]
    fn what_the_message_ends_with_is_not_said_again() {
        let detail = "accept `/priority`: it is `high` or `low`";
        let of = |places: &[&str]| {
            let problem = places.iter().fold(Problem::new("request_invalid", detail), |it, at| {
                it.with_error(*at, "it is `high` or `low`")
            });
            Failure::of_problem(problem).lines().len()
        };
        assert_eq!((of(&["/priority"]), of(&["/priority", "/retry"])), (1, 3));
        assert_eq!(of(&["/other"]), 2, "the place is nowhere else");
        let placed = Finding::at("a.yaml:3:1", "it is `high` or `low`");
        assert_eq!(Failure::usage(detail).with_findings(vec![placed]).lines().len(), 2);
    }
}
