//! Problem documents (RFC 9457): what every error answer is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "type": "urn:ark-os:error:run_not_found", "title": "No such run", "status": 404,
    "detail": "no run `run_01JZ0000000000000000000000` is known", "code": "run_not_found"
}))]
pub struct Problem {
    /// `urn:ark-os:error:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's title, always the same.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time; fit after "failed to" or a sentence of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The stable code; every one has an entry in `docs/errors.md`.
    pub code: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Seconds after which to try again, as in `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// Every finding, in the order of the document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorPlace>,
}

/// One finding with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorPlace {
    /// JSON pointer (RFC 6901) into the request's body; empty where it is about a file.
    pub pointer: String,
    /// `file:line:column`, a variable or an option, where it is about the instance's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What is wrong there.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of the table's row for `code`.
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        let row = crate::codes::row(code);
        Problem {
            kind: format!("urn:ark-os:error:{code}"),
            title: row.title.to_owned(),
            status: row.status,
            detail: Some(detail.into()),
            code: code.to_owned(),
            hint: None,
            retry_after: None,
            errors: Vec::new(),
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a finding with its place.
    #[must_use]
    pub fn with_error(mut self, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let (pointer, message) = (pointer.into(), message.into());
        self.errors.push(ErrorPlace { pointer, place: None, message, hint: None });
        self
    }
}
