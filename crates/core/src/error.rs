//! Errors of the core: why a command was rejected, and how a task failed.

use minicbor::Encode;
use serde::{Deserialize, Serialize};

use crate::text::Text;

mod encoding;

/// What the caller would do differently about an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request is wrong; mend it.
    Invalid,
    /// No such thing.
    NotFound,
    /// Refused by the present state.
    Conflict,
    /// Not allowed.
    Denied,
    /// A limit or budget is used up; wait or raise it.
    Exhausted,
    /// Not now; try again.
    Unavailable,
    /// Stored bytes do not verify.
    Corrupt,
    /// Shutting down or stopped.
    Closed,
    /// A fault of ours.
    Internal,
}

/// A command that changes nothing, and why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Rejected {
    kind: Kind,
    code: &'static str,
    message: String,
    hint: Option<&'static str>,
    retry_ms: Option<u64>,
}

impl Rejected {
    /// A rejection with a stable code of the table in `docs/errors.md`.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Rejected { kind, code, message: message.into(), hint: None, retry_ms: None }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// Adds after what time it may go well, at the latest.
    #[must_use]
    pub fn retry_in(mut self, ms: u64) -> Self {
        self.retry_ms = Some(ms);
        self
    }

    /// After what time it may go well at the latest, where that is known.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// Whether the same may go well in a moment, without anybody doing anything.
    pub(crate) fn is_passing(&self) -> bool {
        // A freeze of the intake lasts for hours.
        let is_brief = self.code != "intake_frozen";
        matches!(self.kind, Kind::Closed | Kind::Unavailable) && is_brief
            || self.code == "overloaded"
    }

    /// What the caller would do differently.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What to do next, where there is something to say.
    pub fn advice(&self) -> Option<&'static str> {
        self.hint
    }
}

/// Why an attempt, a task or a run failed; recorded, so bounded by `ERROR_BYTES_MAX`.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Serialize, Deserialize)]
#[cbor(map)]
pub struct Failure {
    /// Stable code in `snake_case`, the agent's own or one of ours.
    #[n(0)]
    pub code: Text,
    /// What went wrong.
    #[n(1)]
    pub message: Text,
    /// Whether another attempt may succeed.
    #[n(2)]
    pub retryable: bool,
    /// The failures of earlier attempts, oldest first, at most `CAUSES_MAX`.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Failure>,
}

impl Failure {
    /// A failure that no further attempt can mend.
    pub fn fatal(code: &str, message: impl Into<String>) -> Self {
        Failure::new(code, message, false)
    }

    /// A failure that another attempt may mend.
    pub fn retryable(code: &str, message: impl Into<String>) -> Self {
        Failure::new(code, message, true)
    }

    /// A failure; its message is cut at `ERROR_BYTES_MAX`.
    pub fn new(code: &str, message: impl Into<String>, retryable: bool) -> Self {
        let mut message = message.into();
        if message.len() > crate::limits::ERROR_BYTES_MAX {
            let mut end = crate::limits::ERROR_BYTES_MAX;
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
        }
        Failure { code: code.into(), message: message.into(), retryable, causes: Vec::new() }
    }
}
