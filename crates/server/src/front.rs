//! What every request passes before its route: host, token, and a net for panics.
//!
//! No layers: a layer boxes a future for every request, and there are tens of thousands a second.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use ark_os_core::ids::{RunId, TaskId};
use ark_os_runtime::telemetry::trace_id;
use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, HOST, LOCATION};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use hyper::body::Incoming;
use tower::Service;

use crate::context::Context;
use crate::problems::{Refusal, panicked, wrong_method};

/// Routes that tell nothing that needs a token.
pub(crate) const OPEN: [&str; 3] =
    ["/api/v1/health/live", "/api/v1/health/ready", "/api/v1/openapi.json"];
/// Names of the machine itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Answers one request.
pub(crate) async fn answer(
    context: Context,
    mut router: Router,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let change = Change::of(&request);
    let response = match admit(&context, &request) {
        Err(refusal) => refusal.into_response(),
        Ok(()) => {
            let routed = AssertUnwindSafe(router.call(request.map(Body::new))).catch_unwind();
            match routed.await {
                Ok(Ok(response)) if response.status() == StatusCode::METHOD_NOT_ALLOWED => {
                    wrong_method(&response)
                }
                Ok(Ok(response)) => response,
                Err(_) => {
                    tracing::error!("a route panicked");
                    panicked()
                }
            }
        }
    };
    context.counters().answered(response.status().as_u16());
    if let Some(change) = change {
        change.log(&response);
    }
    Ok(response)
}

/// A request that may change something, for the log: never its query, headers or body.
struct Change {
    method: Method,
    path: String,
}

impl Change {
    /// None where nobody reads it: the busiest path is not to copy paths for nothing.
    fn of(request: &Request<Incoming>) -> Option<Self> {
        if !tracing::enabled!(tracing::Level::DEBUG) || request.method().is_safe() {
            return None;
        }
        let path = request.uri().path().to_owned();
        Some(Change { method: request.method().clone(), path })
    }

    fn log(&self, response: &Response) {
        let location = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
        let (run, task) = subject(location.unwrap_or(&self.path));
        tracing::debug!(
            task_id = task.map(|task| task.to_string()),
            trace_id = run.map(trace_id),
            method = self.method.as_str(),
            path = self.path,
            status = response.status().as_u16(),
            "a change was asked for"
        );
    }
}

/// The run, and the task, that a path names.
fn subject(path: &str) -> (Option<RunId>, Option<TaskId>) {
    let task = path.split('/').find_map(TaskId::parse);
    let run = path.split('/').find_map(RunId::parse);
    (run.or(task.map(|task| task.run)), task)
}

fn admit(context: &Context, request: &Request<Incoming>) -> Result<(), Refusal> {
    check_host(context, request)?;
    if OPEN.contains(&request.uri().path()) {
        return Ok(());
    }
    check_token(&context.settings().token, request.headers())
}

/// A page in a browser can make a name of its own lead here (DNS rebinding); it cannot make the
/// browser send another name.
fn check_host(context: &Context, request: &Request<Incoming>) -> Result<(), Refusal> {
    let named = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| request.uri().host())
        .unwrap_or_default();
    let name = without_port(named);
    let is_ours = LOOPBACK.iter().any(|ours| name.eq_ignore_ascii_case(ours))
        || context.settings().hosts.iter().any(|ours| name.eq_ignore_ascii_case(ours));
    if is_ours {
        return Ok(());
    }
    Err(Refusal::new("host_refused", "the host is not served here")
        .hint("use `127.0.0.1` or `localhost`, or configure the name"))
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if !host.ends_with(']') => host.get(..at).unwrap_or_default(),
        _ => host,
    }
}

fn check_token(token: &str, headers: &HeaderMap) -> Result<(), Refusal> {
    let presented = headers.get(AUTHORIZATION).map(|it| it.as_bytes()).and_then(|it| {
        let (scheme, rest) = it.split_at_checked("Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then_some(rest)
    });
    match presented {
        Some(presented) if is_equal(presented.trim_ascii(), token.as_bytes()) => Ok(()),
        Some(_) => Err(Refusal::new("unauthenticated", "the token is not this instance's")),
        None => Err(Refusal::new("unauthenticated", "a token is needed")),
    }
    .map_err(|refusal| {
        refusal.hint("send `Authorization: Bearer` with the token of the token file")
    })
}

/// Takes the same time wherever the two differ.
fn is_equal(presented: &[u8], token: &[u8]) -> bool {
    if presented.len() != token.len() || token.is_empty() {
        return false;
    }
    let differences = presented.iter().zip(token).fold(0u8, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_the_very_token_is_accepted() {
        for (header, accepted) in [
            ("Bearer secret", true),
            ("bearer secret", true),
            ("Bearer secre", false),
            ("Bearer secret2", false),
            ("Bearer ", false),
            ("Basic secret", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(header))]);
            assert_eq!(check_token("secret", &headers).is_ok(), accepted, "{header}");
        }
        assert!(check_token("", &HeaderMap::new()).is_err());
        assert!(!is_equal(b"", b""));
    }

    #[test]
    fn a_path_tells_what_it_is_about() {
        let run = RunId(5);
        let task = TaskId { run, task: ark_os_core::ids::TaskRef::child(1, 2) };
        assert_eq!(subject(&format!("/api/v1/runs/{run}/cancel")), (Some(run), None));
        assert_eq!(subject(&format!("/api/v1/tasks/{task}/unpark")), (Some(run), Some(task)));
        assert_eq!(subject("/api/v1/tasks/batch"), (None, None));
    }

    #[test]
    fn ports_are_no_part_of_a_name() {
        for (host, name) in
            [("localhost:80", "localhost"), ("[::1]:7341", "[::1]"), ("[::1]", "[::1]"), ("a", "a")]
        {
            assert_eq!(without_port(host), name);
        }
    }
}
