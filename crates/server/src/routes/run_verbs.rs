//! What people do to a run under way: cancel, pause, resume, retry, resolve.

use ark_os_api::{Prioritize, Problem, Reason, Resolution, Retry, RunView};
use ark_os_core::Command;
use ark_os_core::event;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{RunId, TaskId};
use ark_os_core::limits::INLINE_BYTES_MAX;
use ark_os_core::payload::Payload;
use ark_os_core::step::StepKey;
use ark_os_runtime::SignalRequest;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};

use super::agents::shown;
use super::runs::{row_of, run_id, view};
use super::{idempotency_key, json, reason};
use crate::context::Context;
use crate::given::{Given, GivenOrDefault, Why};
use crate::json::{parse, read_body, whole};
use crate::problems::{Answered, Refusal};
use crate::refused::{NoRun, RunOver};
use crate::words;

/// Stops a run; what was done stays recorded.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/cancel", tag = "runs",
    params(("id" = String, Path, description = "The run")),
    request_body(content = Reason, description = "Why; may be left out"),
    responses(
        (status = 200, description = "The run", body = RunView),
        NoRun,
        RunOver,
    ),
)]
pub(super) async fn cancel_run(
    State(context): State<Context>,
    Path(id): Path<String>,
    Why(reason): Why,
) -> Answered {
    let run = run_id(&id)?;
    act(&context, run, Command::CancelRun { run, reason }).await
}

/// Starts nothing more of a run until it is resumed; what runs comes to its end.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/pause", tag = "runs",
    params(("id" = String, Path, description = "The run")),
    request_body(content = Reason, description = "Why; may be left out"),
    responses(
        (status = 200, description = "The run", body = RunView),
        NoRun,
        RunOver,
    ),
)]
pub(super) async fn pause_run(
    State(context): State<Context>,
    Path(id): Path<String>,
    Why(reason): Why,
) -> Answered {
    let run = run_id(&id)?;
    act(&context, run, Command::PauseRun { run, reason }).await
}

/// Goes on with a paused run.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/resume", tag = "runs",
    params(("id" = String, Path, description = "The run")),
    request_body(content = Reason, description = "May be left out"),
    responses(
        (status = 200, description = "The run", body = RunView),
        NoRun,
        (status = 409, description = "`run_not_paused`, `run_over`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn resume_run(
    State(context): State<Context>,
    Path(id): Path<String>,
    Why(reason): Why,
) -> Answered {
    let run = run_id(&id)?;
    act(&context, run, Command::ResumeRun { run, reason }).await
}

/// Goes on with a run that failed or was cancelled, from a task or from the one that failed.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/retry", tag = "runs",
    params(("id" = String, Path, description = "The run")),
    request_body(content = Retry, description = "May be left out"),
    responses(
        (status = 200, description = "The run", body = RunView),
        (status = 404, description = "`run_not_found`, `task_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`run_over`, `run_not_over`, `step_in_doubt`, `effect_happened`, …", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn retry_run(
    State(context): State<Context>,
    Path(id): Path<String>,
    GivenOrDefault(given): GivenOrDefault<Retry>,
) -> Answered {
    let run = run_id(&id)?;
    let reason = reason(given.reason.as_deref())?;
    let task = match given.task {
        None => None,
        Some(name) => Some(node(&context, run, name).await?),
    };
    act(&context, run, Command::RetryRun { run, task, reason }).await
}

/// Tells a run something that a task of it waits for, now or later. The body is the payload, any JSON;
/// none is `null`. Each signal ends one wait, in the order in which they come.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/signals/{name}", tag = "runs",
    params(
        ("id" = String, Path, description = "The run"),
        ("name" = String, Path, description = "The signal, as the plan names it"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and payload count once for 24 hours"),
    ),
    request_body(content = serde_json::Value, description = "The payload; may be left out"),
    responses(
        (status = 200, description = "Durably recorded: the run", body = RunView),
        (status = 400, description = "`json_invalid`, `input_too_deep`, `signal_invalid`, `key_invalid`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`run_not_found`, `signal_unknown`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`run_over`, `signal_not_awaited`, `key_reused`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`inbox_full`, `overloaded`; see `Retry-After`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn send_signal(
    State(context): State<Context>,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answered {
    let run = run_id(&id)?;
    let key = idempotency_key(&headers)?;
    let body = read_body(body, context.settings().max_body_bytes).await?;
    let payload = if body.is_empty() { b"null".to_vec() } else { body.to_vec() };
    whole(parse::<ark_os_api::Json>(&payload)?.get(), "")?;
    let request = SignalRequest { run, name, payload, key };
    context.handle().signal(request).await?;
    Ok(json(StatusCode::OK, &view(&context, run).await?))
}

/// Makes a run more or less urgent; what waits of it takes its new place at once.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/priority", tag = "runs",
    params(("id" = String, Path, description = "The run")),
    request_body = Prioritize,
    responses(
        (status = 200, description = "The run", body = RunView),
        NoRun,
        RunOver,
    ),
)]
pub(super) async fn prioritize_run(
    State(context): State<Context>,
    Path(id): Path<String>,
    Given(given): Given<Prioritize>,
) -> Answered {
    let run = run_id(&id)?;
    let priority = crate::line::priority(Some(&given.priority))?;
    let reason = reason(given.reason.as_deref())?;
    act(&context, run, Command::PrioritizeRun { run, priority, reason }).await
}

/// Says what became of a step in doubt: the key is the one that the task's steps show.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/steps/{key}/resolve", tag = "runs",
    params(
        ("id" = String, Path, description = "The run"),
        ("key" = String, Path, description = "The step's key, 64 hex digits"),
    ),
    request_body = Resolution,
    responses(
        (status = 200, description = "The run", body = RunView),
        (status = 404, description = "`run_not_found`, `step_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`step_not_in_doubt`, `run_over`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn resolve_step(
    State(context): State<Context>,
    Path((id, key)): Path<(String, String)>,
    Given(given): Given<Resolution>,
) -> Answered {
    let run = run_id(&id)?;
    let key = Hash::parse(&key).map(StepKey).ok_or_else(|| {
        Refusal::new("step_not_found", format!("no step `{}` is known", shown(&key)))
            .hint("`GET /api/v1/tasks/{id}` shows the steps of a task")
    })?;
    let reason = reason(Some(&given.reason))?;
    let resolution = resolution(given)?;
    act(&context, run, Command::ResolveStep { run, key, resolution, reason }).await
}

fn resolution(given: Resolution) -> Result<event::Resolution, Refusal> {
    match (given.happened, given.not_happened, given.give_up) {
        (Some(result), false, false) => {
            let text = result.get();
            if text.len() > INLINE_BYTES_MAX {
                let message = format!("a result has at most {INLINE_BYTES_MAX} bytes here");
                return Err(
                    Refusal::new("request_invalid", message.clone()).at("/happened", message)
                );
            }
            whole(text, "/happened")?;
            Ok(event::Resolution::Happened(Payload::inline(text.as_bytes())))
        }
        (None, true, false) => Ok(event::Resolution::NotHappened),
        (None, false, true) => Ok(event::Resolution::GiveUp),
        _ => {
            let message = "say exactly one of `happened`, `not_happened: true`, `give_up: true`";
            Err(Refusal::new("request_invalid", message).at("", message))
        }
    }
}

async fn act(context: &Context, run: RunId, command: Command) -> Answered {
    match context.handle().command(command).await {
        Err(error) if error.code() == "run_not_found" => Err(absent(context, run).await?),
        done => {
            done?;
            Ok(json(StatusCode::OK, &view(context, run).await?))
        }
    }
}

/// Why nothing can be done to a run that is not in memory: it is over, or nobody ever heard of it.
async fn absent(context: &Context, run: RunId) -> Result<Refusal, Refusal> {
    context.views_caught_up().await?;
    let Some(row) = row_of(context.handle(), run).await? else {
        return Ok(super::runs::not_found(&run.to_string()));
    };
    let detail = format!("the run is over: it {}", words::run_state(row.state));
    Ok(Refusal::new("run_over", detail).hint("submit it again; what it did is kept"))
}

/// A task of a plan by its name, its number or its id.
async fn node(context: &Context, run: RunId, name: String) -> Result<u32, Refusal> {
    if let Some(task) = TaskId::parse(&name).filter(|task| task.run == run) {
        return Ok(task.task.node);
    }
    let asked = name.clone();
    let found = context.handle().read(move |kernel| {
        let it = kernel.run(run)?;
        let by_number = asked.parse().ok().filter(|node| it.spec(*node).is_some());
        Some(it.workflow.node(&asked).or(by_number))
    });
    match found.await? {
        Some(Some(node)) => Ok(node),
        Some(None) => {
            let message = format!("the run has no task `{}`", shown(&name));
            Err(Refusal::new("task_not_found", message.clone()).at("/task", message))
        }
        None => Err(absent(context, run).await?),
    }
}
