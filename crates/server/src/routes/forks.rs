//! `/runs/{id}/fork` and `/runs/{a}/diff/{b}`: runs from the history of others, and runs compared.

use ark_os_api::{DiffView, Fork, Forked, Origin, Problem};
use ark_os_core::Event;
use ark_os_core::ids::RunId;
use ark_os_core::text::Text;
use ark_os_runtime::{ForkPoint, ForkRequest, PlanRequest, RuntimeError};
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::agents::shown;
use super::runs::{Found, find, located, not_found, run_id, state_of};
use super::{json, reason};
use crate::context::Context;
use crate::given::GivenOrDefault;
use crate::problems::{Answered, Refusal};
use crate::{amounts, diff, line, tasks, words};

/// Begins a new run from a point of a run's history; what was done before it is reused.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/fork", tag = "runs",
    params(("id" = String, Path, description = "The run, over or not")),
    request_body(content = Fork, description = "May be left out: everything that was done is reused"),
    responses(
        (status = 202, description = "The new run, durably accepted", body = Forked),
        (status = 400, description = "`request_invalid`, `manifest_invalid`, `input_invalid`, …", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`run_not_found`, `task_not_found`, `event_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`fork_too_large`, `overloaded`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn fork_run(
    State(context): State<Context>,
    Path(id): Path<String>,
    GivenOrDefault(given): GivenOrDefault<Fork>,
) -> Answered {
    let run = run_id(&id)?;
    let request = request_of(&given)?;
    context.views_caught_up().await?;
    let placed = |error: RuntimeError| Refusal::from(error).places(place);
    let forked = context.handle().fork(run, request).await.map_err(placed)?;
    let names = |list: &[Text]| list.iter().map(ToString::to_string).collect();
    let view = Forked {
        run: forked.run.to_string(),
        forked_from: run.to_string(),
        reused: names(&forked.reused),
        anew: names(&forked.anew),
    };
    Ok(located(json(StatusCode::ACCEPTED, &view), forked.run))
}

fn place(pointer: &str) -> String {
    match pointer.strip_prefix("/workflows/0") {
        _ if pointer.starts_with("/input") || pointer.starts_with("/skills") => pointer.to_owned(),
        Some(inside) => format!("/workflow{inside}"),
        None => format!("/workflow{pointer}"),
    }
}

fn request_of(given: &Fork) -> Result<ForkRequest, Refusal> {
    let point = match (given.at.as_deref(), given.task.as_deref()) {
        (None, None) => ForkPoint::Newest,
        (Some(at), None) => event(at)?,
        (None, Some(task)) => ForkPoint::Task(Text::from(task)),
        (Some(_), Some(_)) => {
            let message = "`at` says the same already";
            return Err(Refusal::new("request_invalid", message).at("/task", message));
        }
    };
    let plan = given.workflow.as_deref().map(|plan| line::value(plan, "/workflow")).transpose()?;
    let input = given.input.as_deref().map(|input| line::input(Some(input))).transpose()?;
    let priority = given.priority.as_deref();
    let deadline = given.deadline.as_deref();
    Ok(ForkRequest {
        point,
        input,
        plan: plan.map(PlanRequest::Workflow),
        skills: given
            .skills
            .iter()
            .map(|(old, new)| (Text::from(&**old), Text::from(&**new)))
            .collect(),
        priority: priority.map(|word| line::priority(Some(word))).transpose()?,
        deadline: deadline.map(|text| amounts::duration(text, "/deadline")).transpose()?,
        budget: given.budget.as_ref().map(amounts::budget).transpose()?,
        reason: reason(given.reason.as_deref())?,
    })
}

/// `123`, or `123.4`.
fn event(text: &str) -> Result<ForkPoint, Refusal> {
    let (seq, index) = match text.split_once('.') {
        Some((seq, index)) => (seq.parse().ok(), index.parse().ok().map(Some)),
        None => (text.parse().ok(), Some(None)),
    };
    seq.zip(index).map(|(seq, index)| ForkPoint::Event(seq, index)).ok_or_else(|| {
        let message = "an event is named by its id such as `123.4`, or the number of its record";
        Refusal::new(
            "request_invalid",
            format!("fork the run at `{}`: it is no event", shown(text)),
        )
        .hint("`ark-os trace RUN` shows its records behind `#`")
        .at("/at", message)
    })
}

/// How a run came to be, as its first record says; none: it was submitted.
pub(super) async fn origin_of(context: &Context, run: RunId) -> Result<Option<Origin>, Refusal> {
    // They know where a run's records are.
    context.views_caught_up().await?;
    let handle = context.handle().clone();
    let page = tasks::blocking(move || handle.history(run, 0, 1)).await?;
    let Some(first) = page.records.into_iter().next() else { return Ok(None) };
    let reused = first.change.events.iter().filter(|it| matches!(it, Event::TaskReused(_)));
    let reused = u32::try_from(reused.count()).unwrap_or(u32::MAX);
    Ok(first.change.events.into_iter().find_map(|event| match event {
        Event::ScheduleFired(fired) => Some(Origin::Schedule {
            name: fired.name.to_string(),
            time: words::stamp(fired.time),
            trigger: trigger(fired.trigger).to_owned(),
        }),
        Event::RunForked(forked) => Some(Origin::Fork {
            run: forked.source.to_string(),
            at: forked.at,
            reused,
            reason: forked.reason.to_string(),
        }),
        _ => None,
    }))
}

fn trigger(trigger: ark_os_core::event::Trigger) -> &'static str {
    use ark_os_core::event::Trigger;
    match trigger {
        Trigger::Due => "due",
        Trigger::Queued => "queued",
        Trigger::Manual => "manual",
    }
}

/// Two runs compared: workflow, inputs, tasks, outputs, attempts, durations, costs.
#[utoipa::path(
    get, path = "/api/v1/runs/{a}/diff/{b}", tag = "runs",
    params(
        ("a" = String, Path, description = "A run"),
        ("b" = String, Path, description = "The run that it is compared with"),
    ),
    responses(
        (status = 200, description = "Where they differ", body = DiffView),
        (status = 404, description = "`run_not_found`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn diff_runs(
    State(context): State<Context>,
    Path((a, b)): Path<(String, String)>,
) -> Answered {
    let runs = (run_id(&a)?, run_id(&b)?);
    context.views_caught_up().await?;
    let (one, other) = (compared(&context, runs.0).await?, compared(&context, runs.1).await?);
    let handle = context.handle().clone();
    let compared = tasks::blocking(move || diff::compare(&handle, one, other));
    match compared.await? {
        Ok(view) => Ok(json(StatusCode::OK, &view)),
        Err(unknown) => Err(not_found(&unknown.to_string())),
    }
}

async fn compared(context: &Context, run: RunId) -> Result<diff::Compared, Refusal> {
    let found = find(context, run).await?.ok_or_else(|| not_found(&run.to_string()))?;
    let output = match &found {
        Found::Fresh(summary) => summary.output.clone(),
        Found::Shown(row) => row.output.clone(),
    };
    Ok((run, state_of(&found), output))
}
