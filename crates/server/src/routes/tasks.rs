//! `/tasks`: single tasks, each a run of its own, and the tasks of all runs.

use ark_os_api::{BatchAnswer, BatchLine, Problem, Reason, TaskStatus, TaskSubmission, TaskView};
use ark_os_core::Command;
use ark_os_core::ids::TaskId;
use ark_os_core::payload::Payload;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};

use super::agents::shown;
use super::runs::{located, submit};
use super::{idempotency_key, json, json_bytes, with_type};
use crate::batch;
use crate::context::Context;
use crate::given::Why;
use crate::json::{parse, read_body};
use crate::line::Line;
use crate::past::{found, past_of};
use crate::problems::{Answered, Refusal};
use crate::query::{Waiting, read};
use crate::refused::{BodyTooLarge, IntakeClosed, KeyReused, NoTask, Overloaded};
use crate::show::{self, Output};
use crate::tasks;

/// Runs a single task.
#[utoipa::path(
    post, path = "/api/v1/tasks", tag = "tasks",
    params(
        Waiting,
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the same task for 24 hours"),
    ),
    request_body = TaskSubmission,
    responses(
        (status = 200, description = "Over or parked in the time of `?wait`", body = TaskStatus),
        (status = 202, description = "Durably accepted", body = TaskStatus),
        (status = 400, description = "`json_invalid`, `request_invalid`, `manifest_invalid`, `input_invalid`, …", body = Problem, content_type = "application/problem+json"),
        KeyReused,
        BodyTooLarge,
        Overloaded,
        IntakeClosed,
    ),
)]
pub(super) async fn submit_task(
    State(context): State<Context>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answered {
    let patience = read::<Waiting>(&uri)?.patience()?;
    let body = read_body(body, context.settings().max_body_bytes).await?;
    let line: Line<'_> = parse(&body)?;
    if line.key.is_some() {
        let message = "the key of a single task is the header `Idempotency-Key`";
        return Err(Refusal::new("request_invalid", message).at("/key", message));
    }
    let mut request = line.request(context.namespace())?;
    request.key = idempotency_key(&headers)?;
    let handle = context.handle();
    let (submitted, outcome) = submit(handle, request, patience).await?;
    let mut text = Vec::with_capacity(256);
    let run = (submitted.run, submitted.existing);
    batch::write_status(&mut text, run, outcome.as_ref(), handle)
        .await
        .map_err(|it| Refusal(Box::new(it)))?;
    if outcome.is_some() {
        return Ok(json_bytes(StatusCode::OK, text));
    }
    Ok(located(json_bytes(StatusCode::ACCEPTED, text), submitted.run))
}

/// Runs many tasks: one JSON text a line, in and out, streaming, answers in the order of the lines.
///
/// A line that is wrong is answered with its problem and does not stop the rest. A broken
/// connection is resubmitted as it was: lines with a `key` give the runs that they gave before.
/// Callers that send more than about 100 000 lines have to read answers meanwhile.
#[utoipa::path(
    post, path = "/api/v1/tasks/batch", tag = "tasks",
    params(Waiting),
    request_body(content = BatchLine, content_type = "application/x-ndjson", description = "One task a line"),
    responses((status = 200, description = "One answer a line, each with its own status and problem, such as `intake_frozen`", body = BatchAnswer, content_type = "application/x-ndjson")),
)]
pub(super) async fn submit_batch(State(context): State<Context>, uri: Uri, body: Body) -> Answered {
    let wait = read::<Waiting>(&uri)?.patience()?;
    let answers = batch::start(&context, body, wait);
    Ok(with_type(StatusCode::OK, "application/x-ndjson", answers))
}

/// One task of any run.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}", tag = "tasks",
    params(("id" = String, Path, description = "Such as `task_01J…_0`, of a map's child `task_01J…_2.17`")),
    responses(
        (status = 200, description = "The task", body = TaskView),
        NoTask,
    ),
)]
pub(super) async fn show_task(State(context): State<Context>, Path(id): Path<String>) -> Answered {
    let (view, payload) = look_up(&context, &id).await?;
    Ok(json(StatusCode::OK, &with_output(&context, view, payload).await?))
}

/// Where a task stands, in short.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/status", tag = "tasks",
    params(("id" = String, Path, description = "The task")),
    responses(
        (status = 200, description = "Where it stands", body = TaskStatus),
        NoTask,
    ),
)]
pub(super) async fn show_task_status(
    State(context): State<Context>,
    Path(id): Path<String>,
) -> Answered {
    let (view, payload) = look_up(&context, &id).await?;
    let view = with_output(&context, view, payload).await?;
    let status = TaskStatus {
        task: view.id,
        run: view.run,
        state: view.state,
        existing: false,
        output: view.output,
        output_blob: view.output_blob,
        failure: view.failure,
    };
    Ok(json(StatusCode::OK, &status))
}

/// The output of a task, whole and as it is.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/output", tag = "tasks",
    params(("id" = String, Path, description = "The task")),
    responses(
        (status = 200, description = "The output", body = serde_json::Value),
        (status = 404, description = "`task_not_found`, `output_not_found`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn fetch_task_output(
    State(context): State<Context>,
    Path(id): Path<String>,
) -> Answered {
    let (view, payload) = look_up(&context, &id).await?;
    let Some(payload) = payload else {
        let detail = format!("the task is {} and has no output", view.state);
        return Err(Refusal::new("output_not_found", detail));
    };
    let bytes = show::load(context.handle(), payload).await?;
    Ok(json_bytes(StatusCode::OK, bytes.to_vec()))
}

/// Puts a parked task back to work.
#[utoipa::path(
    post, path = "/api/v1/tasks/{id}/unpark", tag = "tasks",
    params(("id" = String, Path, description = "The task")),
    request_body(content = Reason, description = "Why; may be left out"),
    responses(
        (status = 200, description = "The task", body = TaskView),
        (status = 404, description = "`task_not_found`, `run_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`task_not_parked`, `step_in_doubt`, `run_over`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn unpark_task(
    State(context): State<Context>,
    Path(id): Path<String>,
    Why(reason): Why,
) -> Answered {
    let task = task_id(&id)?;
    context.handle().command(Command::UnparkTask { task, reason }).await?;
    let (view, payload) = look_up(&context, &id).await?;
    Ok(json(StatusCode::OK, &with_output(&context, view, payload).await?))
}

fn not_found(id: &str) -> Refusal {
    Refusal::new("task_not_found", format!("no task `{}` is known", shown(id)))
        .hint("`GET /api/v1/runs/{id}/tasks` lists the tasks of a run")
}

fn task_id(id: &str) -> Result<TaskId, Refusal> {
    TaskId::parse(id).ok_or_else(|| not_found(id))
}

/// The task in the state, or as its run's history tells.
async fn look_up(context: &Context, id: &str) -> Result<(TaskView, Option<Payload>), Refusal> {
    let TaskId { run, task } = task_id(id)?;
    let live = context.handle().read(move |kernel| {
        let it = kernel.run(run)?;
        let view = show::task_of(&it, kernel.state(), task);
        Some(view.map(|view| (view, show::output_of(&it, task))))
    });
    if let Some(found) = live.await? {
        return found.ok_or_else(|| not_found(id));
    }
    let past = past_of(context, run).await?.ok_or_else(|| not_found(id))?;
    let handle = context.handle().clone();
    let found = tasks::blocking(move || found(&handle, &past, task)).await?;
    found.map(|found| (found.view, found.output)).ok_or_else(|| not_found(id))
}

async fn with_output(
    context: &Context,
    view: TaskView,
    payload: Option<Payload>,
) -> Result<TaskView, Refusal> {
    let output = Output::load(context.handle(), payload.as_ref()).await?;
    Ok(TaskView { output: output.text, output_blob: output.blob, ..view })
}
