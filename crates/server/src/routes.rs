//! The routes, one file for each resource.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use ark_os_core::limits::REASON_BYTES_MAX;
use ark_os_core::text::Text;

use crate::context::Context;
use crate::openapi;
use crate::problems::{Refusal, no_route};

mod admin;
mod agents;
mod deployments;
mod diffs;
mod escalations;
mod fleet;
mod forks;
mod health;
mod ledger;
mod measures;
mod messages;
mod metrics;
mod overview;
mod proofs;
mod run_children;
mod run_events;
mod run_explained;
mod run_verbs;
mod runs;
mod schedules;
mod tasks;
mod workers;
mod workflows;

pub(crate) use runs::row_view;

/// Header with the key under which a request can be sent again.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// All routes, and what is told about them.
pub(crate) fn router() -> (axum::Router<Context>, OpenApi) {
    let (router, openapi) = OpenApiRouter::with_openapi(openapi::base())
        .merge(of_fleet())
        .merge(of_runs())
        .merge(supervision())
        .merge(of_instance())
        .split_for_parts();
    (router.fallback(no_route), openapi::finished(openapi))
}

/// Routes of agents and workers, what they say, and what is deployed.
fn of_fleet() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(agents::list_agents))
        .routes(routes!(agents::show_agent))
        .routes(routes!(agents::take_agent_offline))
        .routes(routes!(agents::bring_agent_online))
        .routes(routes!(messages::send_message))
        .routes(routes!(messages::look_at_messages))
        .routes(routes!(messages::take_messages))
        .routes(routes!(messages::subscribe_agent))
        .routes(routes!(messages::unsubscribe_agent))
        .routes(routes!(fleet::show_fleet))
        .routes(routes!(fleet::scale_fleet))
        .routes(routes!(overview::list_agent_tasks))
        .routes(routes!(deployments::deploy, deployments::list_deployments))
        .routes(routes!(deployments::fetch_manifest))
        .routes(routes!(deployments::export_fleet))
        .routes(routes!(deployments::cancel_deployment))
        .routes(routes!(deployments::show_deployment))
        .routes(routes!(workers::register_worker, workers::list_workers))
        .routes(routes!(workers::show_worker))
        .routes(routes!(workers::claim_tasks))
        .routes(routes!(workers::extend_tasks))
        .routes(routes!(workers::complete_tasks))
        .routes(routes!(workers::fail_tasks))
        .routes(routes!(workers::leave_fleet))
}

/// Routes of tasks, runs, and what begins them.
fn of_runs() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(tasks::submit_task))
        .routes(routes!(tasks::submit_batch))
        .routes(routes!(tasks::show_task))
        .routes(routes!(tasks::show_task_status))
        .routes(routes!(tasks::fetch_task_output))
        .routes(routes!(tasks::unpark_task))
        .routes(routes!(runs::submit_run, runs::list_runs))
        .routes(routes!(runs::show_run))
        .routes(routes!(runs::fetch_run_output))
        .routes(routes!(runs::list_run_tasks))
        .routes(routes!(run_children::list_run_children))
        .routes(routes!(run_events::list_run_events))
        .routes(routes!(run_explained::trace_run))
        .routes(routes!(run_explained::graph_run))
        .routes(routes!(run_verbs::cancel_run))
        .routes(routes!(run_verbs::pause_run))
        .routes(routes!(run_verbs::resume_run))
        .routes(routes!(run_verbs::retry_run))
        .routes(routes!(run_verbs::resolve_step))
        .routes(routes!(run_verbs::send_signal))
        .routes(routes!(run_verbs::prioritize_run))
        .routes(routes!(forks::fork_run))
        .routes(routes!(diffs::diff_runs))
        .routes(routes!(schedules::put_schedule, schedules::list_schedules))
        .routes(routes!(schedules::show_schedule, schedules::delete_schedule))
        .routes(routes!(schedules::pause_schedule))
        .routes(routes!(schedules::resume_schedule))
        .routes(routes!(schedules::run_schedule))
        .routes(routes!(workflows::list_workflows))
}

/// Routes of the instance as a whole: how it is, what it recorded, what it is told.
fn of_instance() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(metrics::show_metrics))
        .routes(routes!(metrics::list_minutes))
        .routes(routes!(metrics::scrape_metrics))
        .routes(routes!(overview::show_overview))
        .routes(routes!(overview::list_queues))
        .routes(routes!(overview::list_logs))
        .routes(routes!(health::show_health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(ledger::show_checkpoint))
        .routes(routes!(proofs::show_consistency))
        .routes(routes!(proofs::prove_run))
        .routes(routes!(admin::shut_down))
        .routes(routes!(admin::show_config))
        .routes(routes!(admin::reload_config))
        .routes(routes!(admin::show_openapi))
}

/// Routes of what people see to.
fn supervision() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(escalations::list_escalations))
        .routes(routes!(escalations::show_escalation))
        .routes(routes!(escalations::answer_escalation))
        .routes(routes!(measures::list_measures, measures::take_measure))
        .routes(routes!(measures::lift_measure))
}

/// An answer in JSON.
fn json(status: StatusCode, it: &impl Serialize) -> Response {
    // Plain data always has a JSON form.
    json_bytes(status, serde_json::to_vec(it).unwrap_or_default())
}

fn json_bytes(status: StatusCode, bytes: impl Into<Body>) -> Response {
    with_type(status, "application/json", bytes)
}

fn with_type(status: StatusCode, media: &'static str, bytes: impl Into<Body>) -> Response {
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    match value.to_str() {
        Ok(key) => Ok(Some(key.to_owned())),
        Err(_) => Err(Refusal::new("key_invalid", "the key has characters that do not print")),
    }
}

/// A reason that has to be given, and is recorded.
fn needed_reason(given: &str) -> Result<Text, Refusal> {
    if given.trim().is_empty() {
        let message = "say why";
        return Err(Refusal::new("reason_invalid", message).at("/reason", message));
    }
    reason(Some(given))
}

/// A reason that is recorded.
pub(crate) fn reason(given: Option<&str>) -> Result<Text, Refusal> {
    match given {
        None => Ok(Text::from("asked for")),
        Some(reason) if reason.len() <= REASON_BYTES_MAX => Ok(Text::from(reason)),
        Some(_) => {
            let message = format!("a reason has at most {REASON_BYTES_MAX} bytes");
            Err(Refusal::new("reason_invalid", message.clone()).at("/reason", message))
        }
    }
}
