//! `/measures`: the emergency powers of CECCA, each with a reason and an end.

use ark_os_api::{Lift, MeasureRequest, MeasureView, Page, Problem, VoteView};
use ark_os_core::Command;
use ark_os_core::ids::AgentIx;
use ark_os_core::manifest::parse_duration_ms;
use ark_os_core::rules::Mode;
use ark_os_core::supervision::{Measure, MeasureKind, Vote};
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::agents::shown;
use super::{json, needed_reason};
use crate::context::Context;
use crate::given::Given;
use crate::problems::{Answered, Refusal};
use crate::refused::NotOfCecca;
use crate::words;

/// The emergency measures in force.
#[utoipa::path(
    get, path = "/api/v1/measures", tag = "measures",
    responses((status = 200, description = "All of them, oldest first", body = Page<MeasureView>)),
)]
pub(super) async fn list_measures(State(context): State<Context>) -> Answered {
    let page = context.handle().read(|kernel| {
        let state = kernel.state();
        let items = state.supervision().measures().map(view).collect();
        Page { items, next: None }
    });
    Ok(json(StatusCode::OK, &page.await?))
}

/// Puts an emergency measure in force; what it did is undone when its time is over.
#[utoipa::path(
    post, path = "/api/v1/measures", tag = "measures",
    request_body = MeasureRequest,
    responses(
        (status = 200, description = "The measure", body = MeasureView),
        (status = 400, description = "`measure_invalid`, `reason_invalid`, `request_invalid`, `json_invalid`", body = Problem, content_type = "application/problem+json"),
        NotOfCecca,
        (status = 404, description = "`agent_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`measure_in_force`, `seat_not_ready`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`measures_exhausted`, `overloaded`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn take_measure(
    State(context): State<Context>,
    Given(wanted): Given<MeasureRequest>,
) -> Answered {
    let reason = needed_reason(&wanted.reason)?;
    let lasts_ms = parse_duration_ms(&wanted.lasts)
        .ok_or_else(|| wrong("for", "write it like `30m`, `1h` or `2d`"))?;
    let kind = kind(&wanted)?;
    let by = seat(&context, wanted.seat.as_deref()).await?;
    let taken = context.handle().take_measure(kind, by, reason, lasts_ms).await?;
    Ok(json(StatusCode::OK, &view(&taken)))
}

/// Lifts a measure before its end, or votes for it.
#[utoipa::path(
    post, path = "/api/v1/measures/{id}/lift", tag = "measures",
    params(("id" = u64, Path, description = "Its number")),
    request_body = Lift,
    responses(
        (status = 200, description = "The measures that are still in force", body = Page<MeasureView>),
        NotOfCecca,
        (status = 404, description = "`measure_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`seat_not_ready`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn lift_measure(
    State(context): State<Context>,
    Path(id): Path<String>,
    Given(lift): Given<Lift>,
) -> Answered {
    let id = id.parse().map_err(|_| not_found("measures have numbers"))?;
    let reason = needed_reason(&lift.reason)?;
    let by = seat(&context, lift.seat.as_deref()).await?;
    context.handle().command(Command::LiftMeasure { id, by, reason }).await?;
    list_measures(State(context)).await
}

fn kind(wanted: &MeasureRequest) -> Result<MeasureKind, Refusal> {
    let mode = |text: &str| {
        let modes = [Mode::Autonomous, Mode::Supervised, Mode::Interactive];
        modes.into_iter().find(|mode| mode.as_str() == text)
    };
    match (wanted.measure.as_str(), &wanted.agent, &wanted.mode) {
        ("freeze", None, None) => Ok(MeasureKind::Freeze),
        ("quarantine", Some(name), None) => Ok(MeasureKind::Quarantine(name.as_str().into())),
        ("mode", None, Some(text)) => mode(text)
            .map(MeasureKind::Mode)
            .ok_or_else(|| wrong("mode", "it is autonomous, supervised or interactive")),
        ("freeze" | "quarantine" | "mode", _, _) => Err(wrong(
            "measure",
            "a quarantine names an `agent`, another mode a `mode`, a freeze neither",
        )),
        _ => Err(wrong("measure", "it is freeze, quarantine or mode")),
    }
}

async fn seat(context: &Context, name: Option<&str>) -> Result<Option<AgentIx>, Refusal> {
    let Some(name) = name else { return Ok(None) };
    let asked = name.to_owned();
    let found = context.handle().read(move |kernel| kernel.state().fleet().find(&asked));
    found.await?.map(Some).ok_or_else(|| {
        Refusal::new("agent_not_found", format!("no agent `{}` is in the fleet", shown(name)))
            .hint("`GET /api/v1/agents` lists them")
    })
}

fn not_found(message: &str) -> Refusal {
    Refusal::new("measure_not_found", message).hint("`GET /api/v1/measures` lists them")
}

fn wrong(field: &str, message: &str) -> Refusal {
    Refusal::new("request_invalid", format!("accept `/{field}`: {message}"))
        .at(format!("/{field}"), message)
}

fn view(it: &Measure) -> MeasureView {
    let (measure, agent, mode) = match &it.kind {
        MeasureKind::Freeze => ("freeze", None, None),
        MeasureKind::Quarantine(name) => ("quarantine", Some(name.to_string()), None),
        MeasureKind::Mode(mode) => ("mode", None, Some(mode.as_str().to_owned())),
    };
    let vote =
        |vote: &Vote| VoteView { seat: vote.seat.to_string(), reason: vote.reason.to_string() };
    MeasureView {
        id: it.id,
        measure: measure.to_owned(),
        agent,
        mode,
        by: it.by.as_ref().map(ToString::to_string),
        reason: it.reason.to_string(),
        since: words::stamp(it.since),
        until: words::stamp(it.until),
        votes: it.votes.iter().map(vote).collect(),
    }
}
