//! What can be wrong with a payload, and how it ends an attempt.

use ark_os_core::Kind;
use ark_os_core::error::Failure;

/// Why a payload could not be read or made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct DataError {
    kind: Kind,
    message: String,
}

impl DataError {
    /// An error; the message is a fragment fit after "failed to".
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        DataError { kind, message: message.into() }
    }

    /// What the caller would do differently.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// As the end of an attempt: only what the store may give a moment later is worth another.
    /// `code` is for what is wrong with the data itself.
    pub fn into_failure(self, code: &str, place: &str) -> Failure {
        let message = format!("{place}: {}", self.message);
        match self.kind {
            Kind::Unavailable | Kind::Closed => Failure::retryable("payload_unavailable", message),
            Kind::NotFound | Kind::Corrupt => Failure::fatal("payload_lost", message),
            Kind::Exhausted => Failure::fatal("payload_too_large", message),
            _ => Failure::fatal(code, message),
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        DataError::new(Kind::Invalid, message)
    }

    pub(super) fn too_large(what: &str, limit: usize) -> Self {
        DataError::new(Kind::Exhausted, format!("read {what}: it has more than {limit} bytes"))
    }
}
