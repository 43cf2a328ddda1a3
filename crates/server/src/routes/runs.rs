//! `/runs`: submitting, listing, looking at them and their tasks.

use std::time::Duration;

use ark_os_api::{Counts, Json, Page, Problem, RunAccepted, RunSubmission, RunView, TaskView};
use ark_os_core::ids::{RunId, TaskId, TaskRef};
use ark_os_core::run::RunState;
use ark_os_core::text::Text;
use ark_os_runtime::views::{Cursor, RUNS_PAGE_MAX, RunFilter, RunRow};
use ark_os_runtime::{
    Handle, Outcome, PlanRequest, RunRequest, RuntimeError, Start, Submitted, TaskRequest,
};
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::agents::shown;
use super::{idempotency_key, json, json_bytes};
use crate::context::Context;
use crate::given::Given;
use crate::overview::parked_tasks;
use crate::past::{page_of, past_of};
use crate::problems::{Answered, Refusal};
use crate::query::{Paging, RunsQuery, Waiting, cursor_invalid, read, wrong};
use crate::refused::{BodyTooLarge, IntakeClosed, KeyReused, NoRun, Overloaded};
use crate::show::{self, Output};
use crate::trace::limits_of;
use crate::{amounts, line, origin, tasks, words};

/// Runs a workflow or a single task.
#[utoipa::path(
    post, path = "/api/v1/runs", tag = "runs",
    params(
        Waiting,
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the same run for 24 hours"),
    ),
    request_body = RunSubmission,
    responses(
        (status = 200, description = "Over or parked in the time of `?wait`", body = RunAccepted),
        (status = 202, description = "Durably accepted", body = RunAccepted),
        (status = 400, description = "`json_invalid`, `request_invalid`, `manifest_invalid`, `input_invalid`, …", body = Problem, content_type = "application/problem+json"),
        KeyReused,
        BodyTooLarge,
        Overloaded,
        IntakeClosed,
    ),
)]
pub(super) async fn submit_run(
    State(context): State<Context>,
    uri: Uri,
    headers: HeaderMap,
    Given(submission): Given<RunSubmission>,
) -> Answered {
    let patience = read::<Waiting>(&uri)?.patience()?;
    let (mut request, prefix) = request_of(&submission, context.namespace())?;
    request.key = idempotency_key(&headers)?;
    let placed = |error: RuntimeError| Refusal::from(error).places(|it| prefix.place(it));
    let (submitted, outcome) = submit(context.handle(), request, patience).await.map_err(placed)?;
    let run = submitted.run;
    let summary = match outcome {
        Some(_) => look_up(&context, run).await?,
        None => None,
    };
    let status = if summary.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let state = summary.as_ref().map_or("accepted", |summary| &summary.state).to_owned();
    let accepted =
        RunAccepted { run: run.to_string(), state, existing: submitted.existing, summary };
    Ok(located(json(status, &accepted), run))
}

/// Submits, and waits for the end where that was asked for.
pub(super) async fn submit(
    handle: &Handle,
    request: RunRequest,
    patience: Option<Duration>,
) -> Result<(Submitted, Option<Outcome>), RuntimeError> {
    match patience {
        Some(patience) => handle.submit_and_wait(request, patience).await,
        None => Ok((handle.submit(request).await?, None)),
    }
}

/// The answer with the place where its run is.
pub(super) fn located(mut response: Response, run: RunId) -> Response {
    if let Ok(location) = HeaderValue::try_from(format!("/api/v1/runs/{run}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Where a plan stands in the request: the runtime's pointers begin at the plan.
#[derive(Clone, Copy)]
pub(super) enum Prefix {
    Task,
    Workflow,
    Manifest,
}

impl Prefix {
    pub(super) fn place(self, pointer: &str) -> String {
        if pointer == "/input" || pointer.starts_with("/input/") {
            return pointer.to_owned();
        }
        match self {
            Prefix::Task => format!("/task{pointer}"),
            Prefix::Manifest => format!("/workflow{pointer}"),
            Prefix::Workflow => {
                format!("/workflow{}", pointer.strip_prefix("/workflows/0").unwrap_or(pointer))
            }
        }
    }
}

fn request_of(submission: &RunSubmission, default: &Text) -> Result<(RunRequest, Prefix), Refusal> {
    let (plan, prefix) = match (&submission.workflow, &submission.task) {
        (Some(workflow), None) => plan_of(workflow)?,
        (None, Some(task)) => (PlanRequest::Task(task_of(task)?), Prefix::Task),
        _ => {
            let message = "a run has either a `workflow` or a `task`";
            return Err(Refusal::new("request_invalid", message).at("", message));
        }
    };
    Ok((ask(submission, plan, default)?, prefix))
}

/// A `workflow`: a deployed one by its name, a workflow, or a manifest.
pub(super) fn plan_of(workflow: &RawValue) -> Result<(PlanRequest, Prefix), Refusal> {
    let value = line::value(workflow, "/workflow")?;
    let is_manifest = value.get("workflows").is_some();
    Ok(match value {
        Value::String(name) => (PlanRequest::Deployed(name), Prefix::Manifest),
        value if is_manifest => (PlanRequest::Workflow(value), Prefix::Manifest),
        value => (PlanRequest::Workflow(value), Prefix::Workflow),
    })
}

fn ask(
    submission: &RunSubmission,
    plan: PlanRequest,
    default: &Text,
) -> Result<RunRequest, Refusal> {
    let deadline = submission.deadline.as_deref();
    Ok(RunRequest {
        namespace: line::namespace(submission.namespace.as_deref(), default)?,
        plan,
        input: line::input(submission.input.as_deref())?,
        priority: line::priority(submission.priority.as_deref())?,
        deadline: deadline.map(|text| amounts::duration(text, "/deadline")).transpose()?,
        start: start_of(submission)?,
        budget: submission.budget.as_ref().map(amounts::budget).transpose()?,
        key: None,
    })
}

fn start_of(submission: &RunSubmission) -> Result<Option<Start>, Refusal> {
    match (submission.start_at.as_deref(), submission.delay.as_deref()) {
        (None, None) => Ok(None),
        (Some(at), None) => Ok(Some(Start::At(amounts::moment(at, "/start_at")?))),
        (None, Some(delay)) => Ok(Some(Start::After(amounts::duration(delay, "/delay")?))),
        (Some(_), Some(_)) => {
            let message = "`start_at` says the same already";
            Err(Refusal::new("request_invalid", message).at("/delay", message))
        }
    }
}

fn task_of(task: &ark_os_api::TaskSpec) -> Result<TaskRequest, Refusal> {
    let mut options = Map::new();
    for (name, text) in [("timeout", &task.timeout), ("deadline", &task.deadline)] {
        options.extend(text.iter().map(|text| (name.to_owned(), Value::from(text.as_str()))));
    }
    let raw: [(&str, &Option<Json>); 3] =
        [("retry", &task.retry), ("budget", &task.budget), ("output_schema", &task.output_schema)];
    for (name, raw) in raw {
        if let Some(raw) = raw {
            options.insert(name.to_owned(), line::value(raw, &format!("/task/{name}"))?);
        }
    }
    let options = (!options.is_empty()).then_some(Value::Object(options));
    Ok(TaskRequest { skill: task.skill.clone(), options })
}

/// The runs of a namespace, newest first.
#[utoipa::path(
    get, path = "/api/v1/runs", tag = "runs",
    params(RunsQuery),
    responses((status = 200, description = "A page of runs, without large outputs", body = Page<RunView>)),
)]
pub(super) async fn list_runs(State(context): State<Context>, uri: Uri) -> Answered {
    let query: RunsQuery = read(&uri)?;
    let limit = query.limit.items().min(RUNS_PAGE_MAX);
    let cursor = query.cursor.as_deref();
    let cursor = cursor.map(|it| Cursor::parse(it).ok_or_else(cursor_invalid)).transpose()?;
    let states = query.state.iter().flat_map(|list| list.split(',')).map(|word| {
        let found = RunState::ALL.into_iter().find(|it| words::run_state(*it) == word);
        found.ok_or_else(|| wrong("state", "it is a list of states of a run"))
    });
    let filter = RunFilter {
        namespace: line::namespace(query.namespace.as_deref(), context.namespace())?,
        states: states.collect::<Result<_, _>>()?,
        workflow: query.workflow.as_deref().map(Text::from),
        ..RunFilter::default()
    };
    context.views_caught_up().await?;
    let handle = context.handle().clone();
    let page =
        tasks::blocking(move || handle.queries().runs(&filter, cursor.as_ref(), limit)).await?;
    let items: Vec<RunView> = page.items.iter().map(|row| row_view(row, inline(row))).collect();
    let next = page.next.map(|cursor| cursor.to_string());
    Ok(json(StatusCode::OK, &Page { items, next }))
}

/// One run.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}", tag = "runs",
    params(
        ("id" = String, Path, description = "Such as `run_01J…`"),
        Waiting,
    ),
    responses(
        (status = 200, description = "The run", body = RunView),
        NoRun,
    ),
)]
pub(super) async fn show_run(
    State(context): State<Context>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answered {
    let run = run_id(&id)?;
    if let Some(patience) = read::<Waiting>(&uri)?.patience()? {
        match context.handle().wait(run, patience).await {
            // Over long ago, or never there: the look below tells.
            Err(error) if error.code() == "run_not_found" => {}
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
    }
    let mut view = view(&context, run).await?;
    let now = context.handle().read(move |kernel| {
        let parked = kernel.state().run(run).map(parked_tasks).unwrap_or_default();
        (limits_of(kernel, run), parked)
    });
    (view.limits, view.parked) = now.await?;
    Ok(json(StatusCode::OK, &view))
}

/// The output of a run, whole and as it is.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/output", tag = "runs",
    params(("id" = String, Path, description = "The run")),
    responses(
        (status = 200, description = "The output", body = serde_json::Value),
        (status = 404, description = "`run_not_found`, `output_not_found`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn fetch_run_output(
    State(context): State<Context>,
    Path(id): Path<String>,
) -> Answered {
    let run = run_id(&id)?;
    let found = find(&context, run).await?.ok_or_else(|| not_found(&id))?;
    let (output, state) = match &found {
        Found::Fresh(summary) => (summary.output.clone(), summary.state),
        Found::Shown(row) => (row.output.clone(), row.state),
    };
    let Some(output) = output else {
        let detail = format!("the run is {} and has no output", words::run_state(state));
        return Err(Refusal::new("output_not_found", detail));
    };
    let bytes = show::load(context.handle(), output).await?;
    Ok(json_bytes(StatusCode::OK, bytes.to_vec()))
}

/// The tasks of a run in the order of its plan, each map followed by its children.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/tasks", tag = "runs",
    params(
        ("id" = String, Path, description = "The run"),
        Paging,
    ),
    responses(
        (status = 200, description = "A page of tasks, without large outputs", body = Page<TaskView>),
        NoRun,
    ),
)]
pub(super) async fn list_run_tasks(
    State(context): State<Context>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answered {
    let run = run_id(&id)?;
    let paging: Paging = read(&uri)?;
    let limit = paging.limit.items();
    let after = task_before(run, &paging)?;
    let live = context.handle().read(move |kernel| {
        let it = kernel.run(run)?;
        Some(show::tasks_of(&it, kernel.state(), after, limit))
    });
    let (items, more) = match live.await? {
        Some(page) => page,
        None => {
            let past = past_of(&context, run).await?.ok_or_else(|| not_found(&id))?;
            let handle = context.handle().clone();
            tasks::blocking(move || page_of(&handle, &past, after, limit)).await?
        }
    };
    let next = items.last().filter(|_| more).map(|task| task.id.clone());
    Ok(json(StatusCode::OK, &Page { items, next }))
}

/// The task of a run behind which a page of its tasks begins.
pub(super) fn task_before(run: RunId, paging: &Paging) -> Result<Option<TaskRef>, Refusal> {
    let parse = |it: &str| TaskId::parse(it).filter(|task| task.run == run);
    let cursor = paging.cursor.as_deref();
    cursor.map(|it| parse(it).map(|it| it.task).ok_or_else(cursor_invalid)).transpose()
}

pub(super) fn run_id(id: &str) -> Result<RunId, Refusal> {
    RunId::parse(id).ok_or_else(|| not_found(id))
}

pub(super) fn not_found(id: &str) -> Refusal {
    Refusal::new("run_not_found", format!("no run `{}` is known", shown(id)))
        .hint("`GET /api/v1/runs` lists them")
}

/// How a run stands: fresh from the state, or else from the views.
pub(super) async fn view(context: &Context, run: RunId) -> Result<RunView, Refusal> {
    look_up(context, run).await?.ok_or_else(|| not_found(&run.to_string()))
}

pub(super) async fn look_up(context: &Context, run: RunId) -> Result<Option<RunView>, Refusal> {
    let handle = context.handle();
    Ok(match find(context, run).await? {
        None => None,
        Some(Found::Fresh(summary)) => {
            let output = Output::load(handle, summary.output.as_ref()).await?;
            let view = show::run(&summary, output);
            // Of a run that waits on disk memory does not know it.
            let is_away = summary.account.is_none();
            Some(match is_away {
                true => {
                    // They know where its record is; if they are late it is told without.
                    let _ = handle.views_caught_up().await;
                    descended(handle, run, view).await
                }
                false => view,
            })
        }
        Some(Found::Shown(row)) => {
            let output = Output::load(handle, row.output.as_ref()).await?;
            Some(descended(handle, run, row_view(&row, output)).await)
        }
    })
}

/// A run with where it comes from, as its first record tells: a history that is away or damaged takes nothing else
/// from whoever asks.
async fn descended(handle: &Handle, run: RunId, view: RunView) -> RunView {
    let handle = handle.clone();
    let Ok(descent) = tasks::blocking(move || origin::read(&handle, run)).await else {
        return view;
    };
    let parent = descent.parent.map(|parent| parent.to_string());
    RunView { parent: parent.or(view.parent), origin: descent.origin, ..view }
}

/// Where a run was found.
pub(super) enum Found {
    /// In the loop's state.
    Fresh(Box<ark_os_core::run::RunSummary>),
    /// In the views: it was over and they show it.
    Shown(Box<RunRow>),
}

/// The word for how a run stands.
pub(super) fn state_of(found: &Found) -> &'static str {
    words::run_state(match found {
        Found::Fresh(summary) => summary.state,
        Found::Shown(row) => row.state,
    })
}

pub(super) async fn find(context: &Context, run: RunId) -> Result<Option<Found>, RuntimeError> {
    let fresh = context.handle().read(move |kernel| fresh(kernel, run)).await?;
    if let Some(summary) = fresh {
        return Ok(Some(Found::Fresh(summary)));
    }
    let row = row_of(context.handle(), run).await?;
    Ok(row.map(|row| Found::Shown(Box::new(row))))
}

fn fresh(
    kernel: &ark_os_runtime::kernel::Kernel,
    run: RunId,
) -> Option<Box<ark_os_core::run::RunSummary>> {
    kernel.summary(run).map(|summary| Box::new((*summary).clone()))
}

pub(super) async fn row_of(handle: &Handle, run: RunId) -> Result<Option<RunRow>, RuntimeError> {
    let handle = handle.clone();
    tasks::blocking(move || handle.queries().run(run)).await
}

fn inline(row: &RunRow) -> Output {
    Output::inline(row.output.as_ref())
}

pub(crate) fn row_view(row: &RunRow, output: Output) -> RunView {
    let tally = row.tasks;
    RunView {
        id: row.id.to_string(),
        namespace: row.namespace.to_string(),
        workflow: row.workflow.to_string(),
        version: row.version.to_string(),
        workflow_hash: row.workflow_hash.to_string(),
        state: words::run_state(row.state).to_owned(),
        waits_for: None,
        parent: None,
        signals: Vec::new(),
        limits: Vec::new(),
        parked: Vec::new(),
        priority: row.priority.as_str().to_owned(),
        accepted: words::stamp(row.accepted),
        ended: row.ended.map(words::stamp),
        deadline: None,
        start_at: None,
        origin: None,
        tasks: Counts {
            total: tally.total,
            succeeded: tally.succeeded,
            failed: tally.failed,
            ..Counts::default()
        },
        account: None,
        proof: None,
        output: output.text,
        output_blob: output.blob,
        failure: row.failure.as_deref().map(show::failure_text),
    }
}
