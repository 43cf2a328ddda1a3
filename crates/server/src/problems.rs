//! Errors as problem documents: the one place where they become answers.

use ark_os_api::codes::{self, Row};
use ark_os_api::{ErrorPlace, PROBLEM_JSON, Problem};
use ark_os_core::{Kind, Rejected};
use ark_os_runtime::RuntimeError;
use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// Seconds after which a caller that was turned away may try again. The loop takes a tenth of a
/// second for everything that may wait for it, so a second is generous.
const RETRY_AFTER_SECONDS: u32 = 1;
/// The longest such time: what ends later, such as a freeze of the intake, may be ended sooner by
/// somebody.
const RETRY_AFTER_SECONDS_MAX: u32 = 60;

/// An answer that is an error. Boxed: answers that are none shall not pay for its size.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Box<Problem>);

pub(crate) type Answered = Result<Response, Refusal>;

impl Refusal {
    pub(crate) fn new(code: &str, detail: impl Into<String>) -> Self {
        Refusal(Box::new(Problem::new(code, detail)))
    }

    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Refusal(Box::new(self.0.with_hint(hint)))
    }

    /// Adds after what time it may go well, at the latest.
    #[must_use]
    pub(crate) fn retry_in(mut self, ms: u64) -> Self {
        self.0.retry_after = Some(retry_after(Some(ms)));
        self
    }

    #[must_use]
    pub(crate) fn at(self, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal(Box::new(self.0.with_error(pointer, message)))
    }

    /// Rewrites the pointers of the findings.
    #[must_use]
    pub(crate) fn places(mut self, rewrite: impl Fn(&str) -> String) -> Self {
        for place in &mut self.0.errors {
            place.pointer = rewrite(&place.pointer);
        }
        self
    }
}

impl From<RuntimeError> for Refusal {
    fn from(error: RuntimeError) -> Self {
        Refusal(Box::new(problem(&error)))
    }
}

impl From<Rejected> for Refusal {
    fn from(rejected: Rejected) -> Self {
        RuntimeError::from(rejected).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        respond(&self.0)
    }
}

/// An error of the runtime as a problem. Faults of ours say no more than that.
pub(crate) fn problem(error: &RuntimeError) -> Problem {
    let row = row(error.code(), error.kind());
    if matches!(error.kind(), Kind::Internal) {
        tracing::error!(code = error.code(), error = %error, "a request failed");
        let mut problem = Problem::new(row.code, "the instance could not do it");
        problem.hint = Some("the log has the details".to_owned());
        return problem;
    }
    if matches!(error.kind(), Kind::Corrupt | Kind::Unavailable) {
        tracing::warn!(code = error.code(), error = %error, "a request failed");
    }
    let mut problem = Problem::new(error.code(), error.to_string());
    (problem.status, problem.title) = (row.status, row.title.to_owned());
    problem.hint = error.hint().map(str::to_owned);
    if matches!(problem.status, 429 | 503) {
        problem.retry_after = Some(retry_after(error.retry_ms()));
    }
    problem.errors = error
        .places()
        .iter()
        .map(|place| ErrorPlace {
            pointer: place.pointer.clone(),
            place: None,
            message: place.message.clone(),
            hint: place.hint.clone(),
        })
        .collect();
    problem
}

/// Seconds after which to try again, of what is known of that.
fn retry_after(ms: Option<u64>) -> u32 {
    let seconds = |ms: u64| u32::try_from(ms.div_ceil(1_000)).unwrap_or(u32::MAX);
    ms.map_or(RETRY_AFTER_SECONDS, seconds).clamp(RETRY_AFTER_SECONDS, RETRY_AFTER_SECONDS_MAX)
}

/// The table's row, or for a code that it does not have the one that stands for its kind.
fn row(code: &str, kind: Kind) -> &'static Row {
    codes::known(code).unwrap_or_else(|| {
        codes::row(match kind {
            Kind::Invalid => "request_invalid",
            Kind::NotFound => "store_not_found",
            Kind::Conflict => "run_over",
            Kind::Denied => "policy_denied",
            Kind::Exhausted => "overloaded",
            Kind::Unavailable => "store_unavailable",
            Kind::Closed => "instance_stopped",
            Kind::Corrupt => "journal_corrupt",
            Kind::Internal => "internal",
        })
    })
}

/// A problem as an answer, with the headers that its status asks for.
pub(crate) fn respond(problem: &Problem) -> Response {
    // A problem is plain data; it always has a JSON form.
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if let Some(seconds) = problem.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.status == 401 {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ark-os\""));
    }
    response
}

/// What is answered on a route that there is not.
pub(crate) async fn no_route() -> Refusal {
    Refusal::new("route_not_found", "there is no such route")
        .hint("`/api/v1/openapi.json` describes all of them")
}

/// Gives axum's answer to a wrong method the form of all others; it has `Allow` already.
pub(crate) fn wrong_method(response: &Response) -> Response {
    let problem = Problem::new("method_not_allowed", "the route has other methods")
        .with_hint("`Allow` names them");
    let mut answer = respond(&problem);
    if let Some(allow) = response.headers().get(ALLOW) {
        answer.headers_mut().insert(ALLOW, allow.clone());
    }
    answer
}

/// What is answered when we panicked.
pub(crate) fn panicked() -> Response {
    respond(&Problem::new("internal", "the instance could not do it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_to_do_is_429_with_retry_after() {
        let error = RuntimeError::new(Kind::Unavailable, "overloaded", "take more");
        let response = Refusal::from(error).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
    }

    #[test]
    fn who_knows_when_it_may_go_well_says_so_within_bounds() {
        let said = |ms: Option<u64>| {
            let frozen = Rejected::new(Kind::Unavailable, "intake_frozen", "it is frozen");
            let frozen = ms.map_or(frozen.clone(), |ms| frozen.retry_in(ms));
            let response = Refusal::from(frozen).into_response();
            response.headers()[RETRY_AFTER].to_str().unwrap().to_owned()
        };
        let told = [None, Some(0), Some(1_001), Some(u64::MAX)].map(said);
        assert_eq!(told, ["1", "1", "2", "60"]);
    }

    #[test]
    fn faults_of_ours_tell_no_details() {
        let error = RuntimeError::new(Kind::Internal, "no_such_code", "secret");
        let Refusal(problem) = error.into();
        assert_eq!((problem.status, problem.code.as_str()), (500, "internal"));
        assert!(!format!("{problem:?}").contains("secret"));
    }

    #[test]
    fn an_unknown_code_has_the_status_of_its_kind() {
        let error = RuntimeError::new(Kind::Conflict, "brand_new", "do it");
        let Refusal(problem) = error.into();
        assert_eq!((problem.status, problem.code.as_str()), (409, "brand_new"));
    }
}
