//! `/runs/{id}/fork`: runs from the history of others.

use ark_os_api::{Fork, Forked, Problem};
use ark_os_core::text::Text;
use ark_os_runtime::{ForkPoint, ForkRequest, RuntimeError};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};

use super::agents::shown;
use super::runs::{Prefix, located, plan_of, run_id};
use super::{idempotency_key, json, reason};
use crate::context::Context;
use crate::given::GivenOrDefault;
use crate::problems::{Answered, Refusal};
use crate::refused::{IntakeClosed, KeyReused};
use crate::{amounts, line};

/// Begins a new run from a point of a run's history; what was done before it is reused.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/fork", tag = "runs",
    params(
        ("id" = String, Path, description = "The run, over or not"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the same fork for 24 hours"),
    ),
    request_body(content = Fork, description = "May be left out: everything that was done is reused"),
    responses(
        (status = 202, description = "The new run, durably accepted", body = Forked),
        (status = 400, description = "`request_invalid`, `manifest_invalid`, `input_invalid`, …", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`run_not_found`, `task_not_found`, `event_not_found`, `workflow_not_found`", body = Problem, content_type = "application/problem+json"),
        KeyReused,
        (status = 429, description = "`fork_too_large`, `overloaded`", body = Problem, content_type = "application/problem+json"),
        IntakeClosed,
    ),
)]
pub(super) async fn fork_run(
    State(context): State<Context>,
    Path(id): Path<String>,
    headers: HeaderMap,
    GivenOrDefault(given): GivenOrDefault<Fork>,
) -> Answered {
    let run = run_id(&id)?;
    let (mut request, prefix) = request_of(&given)?;
    request.key = idempotency_key(&headers)?;
    let is_own = |it: &str| it.starts_with("/skills/");
    let place = |it: &str| if is_own(it) { it.to_owned() } else { prefix.place(it) };
    let placed = |error: RuntimeError| Refusal::from(error).places(place);
    let forked = context.handle().fork(run, request).await.map_err(placed)?;
    let names = |list: &[Text]| list.iter().map(ToString::to_string).collect();
    let view = Forked {
        run: forked.run.to_string(),
        existing: forked.existing,
        forked_from: run.to_string(),
        reused: names(&forked.reused),
        anew: names(&forked.anew),
    };
    Ok(located(json(StatusCode::ACCEPTED, &view), forked.run))
}

fn request_of(given: &Fork) -> Result<(ForkRequest, Prefix), Refusal> {
    let point = match (given.at.as_deref(), given.task.as_deref()) {
        (None, None) => ForkPoint::Newest,
        (Some(at), None) => event(at)?,
        (None, Some(task)) => ForkPoint::Task(Text::from(task)),
        (Some(_), Some(_)) => {
            let message = "`at` says the same already";
            return Err(Refusal::new("request_invalid", message).at("/task", message));
        }
    };
    let plan = given.workflow.as_deref().map(plan_of).transpose()?;
    // Without one nothing but the input has a place.
    let (plan, prefix) = plan.map_or((None, Prefix::Workflow), |(plan, at)| (Some(plan), at));
    let input = given.input.as_deref().map(|input| line::input(Some(input))).transpose()?;
    let priority = given.priority.as_deref();
    let deadline = given.deadline.as_deref();
    let request = ForkRequest {
        point,
        input,
        plan,
        skills: given
            .skills
            .iter()
            .map(|(old, new)| (Text::from(&**old), Text::from(&**new)))
            .collect(),
        priority: priority.map(|word| line::priority(Some(word))).transpose()?,
        deadline: deadline.map(|text| amounts::duration(text, "/deadline")).transpose()?,
        budget: given.budget.as_ref().map(amounts::budget).transpose()?,
        reason: reason(given.reason.as_deref())?,
        key: None,
    };
    Ok((request, prefix))
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
