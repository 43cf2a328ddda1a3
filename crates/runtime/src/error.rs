//! What can go wrong between the program and its instance.

use ark_os_core::{Kind, Rejected};
use ark_os_store::StoreError;

/// An error of the runtime, with a stable code, and a hint where there is something to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct RuntimeError {
    kind: Kind,
    code: &'static str,
    message: String,
    hint: Option<Box<str>>,
    retry_ms: Option<u64>,
    places: Vec<Place>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// One finding of a check, with its place.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Place {
    /// JSON pointer into what was given.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl RuntimeError {
    /// An error with a stable code of the table in `docs/errors.md`.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        let (hint, retry_ms, places) = (None, None, Vec::new());
        RuntimeError { kind, code, message, hint, retry_ms, places, source: None }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into());
        self
    }

    /// Adds the findings of a check.
    #[must_use]
    pub fn with_places(mut self, places: Vec<Place>) -> Self {
        self.places = places;
        self
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The instance is gone: stopped, or failed and waiting for a restart.
    pub fn closed() -> Self {
        RuntimeError::new(Kind::Closed, "instance_stopped", "reach the instance: it has stopped")
            .with_hint("start it again; what was accepted is kept")
    }

    /// What the caller would do differently.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// After what time it may go well at the latest, where that is known.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// The findings of a check, in the order of the document.
    pub fn places(&self) -> &[Place] {
        &self.places
    }
}

impl From<Rejected> for RuntimeError {
    fn from(rejected: Rejected) -> Self {
        let error = RuntimeError::new(rejected.kind(), rejected.code(), rejected.to_string());
        let error = RuntimeError { retry_ms: rejected.retry_ms(), ..error };
        match rejected.advice() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl From<StoreError> for RuntimeError {
    fn from(error: StoreError) -> Self {
        use ark_os_store::ErrorKind;
        let (kind, code) = match error.kind() {
            ErrorKind::Invalid => (Kind::Invalid, "store_invalid"),
            ErrorKind::NotFound => (Kind::NotFound, "store_not_found"),
            ErrorKind::Conflict => (Kind::Conflict, "data_directory_in_use"),
            ErrorKind::Exhausted => (Kind::Exhausted, "store_full"),
            ErrorKind::Unavailable => (Kind::Unavailable, "store_unavailable"),
            ErrorKind::Corrupt => (Kind::Corrupt, "journal_corrupt"),
            ErrorKind::Newer => (Kind::Conflict, "format_newer"),
            ErrorKind::Archived => (Kind::NotFound, "history_archived"),
            ErrorKind::Closed => (Kind::Closed, "instance_stopped"),
            ErrorKind::Internal => (Kind::Internal, "internal"),
        };
        let mut wrapped = RuntimeError::new(kind, code, error.to_string());
        if let Some(hint) = error.hint() {
            wrapped = wrapped.with_hint(hint);
        }
        wrapped.with_source(error)
    }
}
