//! Why a job was not run.

use thiserror::Error;

/// What the caller would do differently about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The job cannot be run as it is written; mend it.
    Invalid,
    /// The program is not there or cannot be executed inside.
    NotFound,
    /// This machine cannot hold the profile.
    Unavailable,
    /// Setting up went wrong, for want of memory or processes; another try may do.
    Internal,
}

/// A job was not run, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct SandboxError {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

impl SandboxError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        SandboxError { kind, message: message.into(), hint: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        SandboxError::new(Kind::Invalid, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        SandboxError::new(Kind::Unavailable, message)
            .with_hint("`ark-os sandbox probe` shows what this machine has and lacks")
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        SandboxError::new(Kind::Internal, message)
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the caller would do differently.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self.kind {
            Kind::Invalid => "sandbox_invalid",
            Kind::NotFound => "program_not_found",
            Kind::Unavailable => "sandbox_unavailable",
            Kind::Internal => "sandbox_failed",
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}
