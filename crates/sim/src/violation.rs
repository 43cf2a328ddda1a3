//! What the simulator found: which promise was broken, when and how.

use std::fmt;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// The invariant of the architecture, or `liveness`.
    pub invariant: &'static str,
    /// What was seen.
    pub message: String,
}

impl Violation {
    /// A broken promise.
    pub fn new(invariant: &'static str, message: impl Into<String>) -> Self {
        Violation { invariant, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.message)
    }
}

/// What a check finds.
pub(crate) type Check = Result<(), Violation>;

/// Fails with a message unless the condition holds.
pub(crate) fn ensure(
    holds: bool,
    invariant: &'static str,
    message: impl FnOnce() -> String,
) -> Check {
    if holds { Ok(()) } else { Err(Violation::new(invariant, message())) }
}
