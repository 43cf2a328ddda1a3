//! Operators' routes, and the description of all routes.

use std::time::Duration;

use ark_os_api::{ConfigReload, ConfigView, Problem, Reason, Shutdown, ShuttingDown};
use axum::extract::State;
use axum::http::StatusCode;

use super::{json, json_bytes};
use crate::amounts;
use crate::context::Context;
use crate::given::{GivenOrDefault, Why};
use crate::problems::{Answered, Refusal};

/// The longest time to drain.
const DRAIN_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Stops the instance: it takes nothing new and lets what is under way come to its end.
#[utoipa::path(
    post, path = "/api/v1/admin/shutdown", tag = "admin",
    request_body(content = Shutdown, description = "May be left out"),
    responses((status = 202, description = "It is about to stop", body = ShuttingDown)),
)]
pub(super) async fn shut_down(
    State(context): State<Context>,
    GivenOrDefault(how): GivenOrDefault<Shutdown>,
) -> Answered {
    if let Some(text) = &how.drain_timeout
        && amounts::duration(text, "/drain_timeout")? > DRAIN_MAX
    {
        let message = "nobody drains longer than `24h`";
        return Err(Refusal::new("request_invalid", message).at("/drain_timeout", message));
    }
    context.shut_down(how);
    Ok(json(StatusCode::ACCEPTED, &ShuttingDown { status: "stopping".to_owned() }))
}

/// What the running instance is configured with, and where each value came from.
#[utoipa::path(
    get, path = "/api/v1/admin/config", tag = "admin",
    responses((status = 200, description = "Every key", body = ConfigView)),
)]
pub(super) async fn show_config(State(context): State<Context>) -> Answered {
    Ok(json(StatusCode::OK, &(context.settings().live.show)().await))
}

/// Reads the configuration again and changes what can change while the instance runs; what cannot is
/// told, and stays. Recorded.
#[utoipa::path(
    post, path = "/api/v1/admin/reload", tag = "admin",
    request_body(content = Reason, description = "May be left out"),
    responses(
        (status = 200, description = "What changed, and what needs a restart", body = ConfigReload),
        (status = 400, description = "`settings_invalid`: nothing was changed", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn reload_config(State(context): State<Context>, Why(reason): Why) -> Answered {
    let reloading = (context.settings().live.reload)(reason.to_string());
    let reloaded = reloading.await.map_err(|problem| Refusal(Box::new(problem)))?;
    Ok(json(StatusCode::OK, &reloaded))
}

/// This description.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "admin", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)),
)]
pub(super) async fn show_openapi(State(context): State<Context>) -> Answered {
    Ok(json_bytes(StatusCode::OK, context.openapi().to_owned()))
}
