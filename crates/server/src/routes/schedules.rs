//! `/schedules`: runs that begin by the calendar.

use ark_os_api::{
    CatchUp, Overlap, Page, Problem, Reason, ScheduleStarted, ScheduleSubmission, ScheduleView,
    ScheduledRunView, SkippedView,
};
use ark_os_core::Command;
use ark_os_core::command::ScheduleName;
use ark_os_core::event::ScheduleSkip;
use ark_os_core::schedule::{self, Planned, Schedule};
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_runtime::calendar::Calendar;
use ark_os_runtime::{RunRequest, RuntimeError, ScheduleRequest, Submitted};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};

use super::agents::shown;
use super::runs::{Prefix, located, plan_of};
use super::{idempotency_key, json, reason};
use crate::context::Context;
use crate::given::{Given, Why};
use crate::problems::{Answered, Refusal};
use crate::query::{Namespaced, Reasoned, SchedulesQuery, read};
use crate::refused::{KeyReused, NoSchedule};
use crate::{amounts, line, words};

/// Times that are shown of what is to come.
const UPCOMING: usize = 5;
/// Runs of one schedule that are shown.
const RUNS_SHOWN: usize = 20;

/// Has a schedule; one of the same name is replaced, and keeps its runs.
#[utoipa::path(
    post, path = "/api/v1/schedules", tag = "schedules",
    request_body = ScheduleSubmission,
    responses(
        (status = 200, description = "The schedule", body = ScheduleView),
        (status = 400, description = "`schedule_invalid`, `manifest_invalid`, `input_invalid`, …", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`workflow_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_schedules`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn put_schedule(
    State(context): State<Context>,
    Given(given): Given<ScheduleSubmission>,
) -> Answered {
    let (request, prefix) = request_of(&given, context.namespace())?;
    let (namespace, name) = (request.run.namespace.clone(), request.name.clone());
    let name = ScheduleName { namespace, name };
    let is_own = |it: &str| it.starts_with("/cron") || it.starts_with("/zone");
    let place = |it: &str| if is_own(it) { it.to_owned() } else { prefix.place(it) };
    let placed = |error: RuntimeError| Refusal::from(error).places(place);
    context.handle().put_schedule(request).await.map_err(placed)?;
    Ok(json(StatusCode::OK, &view(&context, name).await?))
}

/// The schedules of a namespace, by name.
#[utoipa::path(
    get, path = "/api/v1/schedules", tag = "schedules",
    params(SchedulesQuery),
    responses((status = 200, description = "A page of schedules", body = Page<ScheduleView>)),
)]
pub(super) async fn list_schedules(State(context): State<Context>, uri: Uri) -> Answered {
    let query: SchedulesQuery = read(&uri)?;
    let limit = query.limit.items();
    let namespace = line::namespace(query.namespace.as_deref(), context.namespace())?;
    let after = query.cursor;
    let found = context.handle().read(move |kernel| {
        let (state, now) = (kernel.state(), kernel.state().now());
        let after = |it: &&Schedule| after.as_deref().is_none_or(|after| &*it.spec.name > after);
        let all = state.schedules().iter().filter(|it| it.namespace == namespace).filter(after);
        let mut all: Vec<&Schedule> = all.collect();
        all.sort_unstable_by(|one, other| one.spec.name.cmp(&other.spec.name));
        let more = all.len() > limit;
        (all.into_iter().take(limit).cloned().collect::<Vec<_>>(), more, now)
    });
    let (found, more, now) = found.await?;
    let items: Vec<ScheduleView> = found.iter().map(|it| shown_as(it, now)).collect();
    let next = items.last().filter(|_| more).map(|it| it.name.clone());
    Ok(json(StatusCode::OK, &Page { items, next }))
}

/// One schedule.
#[utoipa::path(
    get, path = "/api/v1/schedules/{name}", tag = "schedules",
    params(
        ("name" = String, Path, description = "Its name"),
        Namespaced,
    ),
    responses(
        (status = 200, description = "The schedule", body = ScheduleView),
        NoSchedule,
    ),
)]
pub(super) async fn show_schedule(
    State(context): State<Context>,
    Path(name): Path<String>,
    uri: Uri,
) -> Answered {
    let name = named(&context, &name, &uri)?;
    Ok(json(StatusCode::OK, &view(&context, name).await?))
}

/// Has a schedule no more; its runs go on. What it was stays recorded.
#[utoipa::path(
    delete, path = "/api/v1/schedules/{name}", tag = "schedules",
    params(
        ("name" = String, Path, description = "Its name"),
        Reasoned,
    ),
    responses(
        (status = 200, description = "The schedule as it was", body = ScheduleView),
        NoSchedule,
    ),
)]
pub(super) async fn delete_schedule(
    State(context): State<Context>,
    Path(name): Path<String>,
    uri: Uri,
) -> Answered {
    let asked: Reasoned = read(&uri)?;
    let reason = reason(asked.reason.as_deref())?;
    let namespace = line::namespace(asked.namespace.as_deref(), context.namespace())?;
    let schedule = ScheduleName { namespace, name: Text::from(&*name) };
    let was = view(&context, schedule.clone()).await?;
    context.handle().command(Command::RemoveSchedule { schedule, reason }).await?;
    Ok(json(StatusCode::OK, &was))
}

/// Has a schedule do nothing until it is resumed; its runs go on.
#[utoipa::path(
    post, path = "/api/v1/schedules/{name}/pause", tag = "schedules",
    params(
        ("name" = String, Path, description = "Its name"),
        Namespaced,
    ),
    request_body(content = Reason, description = "Why; may be left out"),
    responses(
        (status = 200, description = "The schedule", body = ScheduleView),
        NoSchedule,
    ),
)]
pub(super) async fn pause_schedule(
    State(context): State<Context>,
    Path(name): Path<String>,
    uri: Uri,
    Why(reason): Why,
) -> Answered {
    set(&context, named(&context, &name, &uri)?, true, reason).await
}

/// Lets a paused schedule go on with the next of its times.
#[utoipa::path(
    post, path = "/api/v1/schedules/{name}/resume", tag = "schedules",
    params(
        ("name" = String, Path, description = "Its name"),
        Namespaced,
    ),
    request_body(content = Reason, description = "Why; may be left out"),
    responses(
        (status = 200, description = "The schedule", body = ScheduleView),
        NoSchedule,
    ),
)]
pub(super) async fn resume_schedule(
    State(context): State<Context>,
    Path(name): Path<String>,
    uri: Uri,
    Why(reason): Why,
) -> Answered {
    set(&context, named(&context, &name, &uri)?, false, reason).await
}

/// Begins a run of a schedule now, whatever its times and its overlap rule.
#[utoipa::path(
    post, path = "/api/v1/schedules/{name}/run-now", tag = "schedules",
    params(
        ("name" = String, Path, description = "Its name"),
        Namespaced,
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and schedule give the same run for 24 hours"),
    ),
    responses(
        (status = 202, description = "The run, durably accepted", body = ScheduleStarted),
        NoSchedule,
        KeyReused,
    ),
)]
pub(super) async fn run_schedule(
    State(context): State<Context>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Answered {
    let (schedule, key) = (named(&context, &name, &uri)?, idempotency_key(&headers)?);
    let Submitted { run, existing } =
        context.handle().run_schedule(schedule, key.as_deref()).await?;
    let started = ScheduleStarted { run: run.to_string(), existing };
    Ok(located(json(StatusCode::ACCEPTED, &started), run))
}

async fn set(context: &Context, schedule: ScheduleName, is_paused: bool, reason: Text) -> Answered {
    context.handle().set_schedule(schedule.clone(), is_paused, reason).await?;
    Ok(json(StatusCode::OK, &view(context, schedule).await?))
}

fn named(context: &Context, name: &str, uri: &Uri) -> Result<ScheduleName, Refusal> {
    let asked: Namespaced = read(uri)?;
    let namespace = line::namespace(asked.namespace.as_deref(), context.namespace())?;
    Ok(ScheduleName { namespace, name: Text::from(name) })
}

async fn view(context: &Context, name: ScheduleName) -> Result<ScheduleView, Refusal> {
    let ScheduleName { namespace, name } = name;
    let asked = name.clone();
    let found = context.handle().read(move |kernel| {
        let schedule = kernel.state().schedules().named(&namespace, &asked)?;
        Some((schedule.clone(), kernel.state().now()))
    });
    let (schedule, now) = found.await?.ok_or_else(|| {
        let message = format!("there is no schedule `{}`", shown(&name));
        Refusal::new("schedule_not_found", message).hint("`GET /api/v1/schedules` lists them")
    })?;
    Ok(shown_as(&schedule, now))
}

fn shown_as(schedule: &Schedule, now: Time) -> ScheduleView {
    let spec = &schedule.spec;
    let hash = match &spec.workflow {
        Planned::Inline(workflow) => Some(workflow.hash.to_string()),
        Planned::Named(_) => None,
    };
    ScheduleView {
        name: spec.name.to_string(),
        namespace: schedule.namespace.to_string(),
        cron: spec.cron.to_string(),
        zone: spec.zone.to_string(),
        catch_up: catch_up(spec.catch_up),
        overlap: overlap(spec.overlap),
        workflow: spec.workflow.name().to_string(),
        workflow_hash: hash,
        priority: spec.priority.as_str().to_owned(),
        jitter_ms: spec.jitter_ms,
        deadline_ms: spec.deadline_ms,
        paused: spec.is_paused,
        since: words::stamp(schedule.since),
        upcoming: upcoming(schedule, now).into_iter().map(words::stamp).collect(),
        waiting: schedule.waiting.len() as u32,
        runs: schedule.runs.iter().take(RUNS_SHOWN).map(ToString::to_string).collect(),
        running: schedule.runs.len() as u32,
        last: schedule.last.map(|last| ScheduledRunView {
            run: last.run.to_string(),
            time: words::stamp(last.time),
            at: words::stamp(last.at),
        }),
        fired: schedule.fired,
        skipped: schedule.skipped,
        last_skip: schedule.last_skip.as_ref().map(skipped),
    }
}

fn skipped(it: &schedule::LastSkip) -> SkippedView {
    let (because, error) = match &it.cause {
        ScheduleSkip::Overlap => ("overlap", None),
        ScheduleSkip::QueueFull => ("queue_full", None),
        ScheduleSkip::Missed => ("missed", None),
        ScheduleSkip::Refused(failure) => ("refused", Some(words::failure(failure))),
    };
    let (time, at) = (words::stamp(it.time), words::stamp(it.at));
    SkippedView { time, at, because: because.to_owned(), error }
}

fn upcoming(schedule: &Schedule, now: Time) -> Vec<Time> {
    let Some(next) = schedule.next else { return Vec::new() };
    let mut times = vec![next];
    // A schedule that is kept has a calendar: it was read when the schedule was put.
    if let Ok(calendar) = Calendar::parse(&schedule.spec.cron, &schedule.spec.zone) {
        times.extend(calendar.upcoming(next.max(now), UPCOMING - 1));
    }
    times
}

fn catch_up(rule: schedule::CatchUp) -> CatchUp {
    match rule {
        schedule::CatchUp::Skip => CatchUp::Skip,
        schedule::CatchUp::One => CatchUp::One,
        schedule::CatchUp::All { max } => CatchUp::All { max },
    }
}

fn overlap(rule: schedule::Overlap) -> Overlap {
    match rule {
        schedule::Overlap::Allow => Overlap::Allow,
        schedule::Overlap::Skip => Overlap::Skip,
        schedule::Overlap::Queue => Overlap::Queue,
        schedule::Overlap::CancelPrevious => Overlap::CancelPrevious,
    }
}

fn request_of(
    given: &ScheduleSubmission,
    default: &Text,
) -> Result<(ScheduleRequest, Prefix), Refusal> {
    let duration = |text: &Option<String>, pointer| {
        text.as_deref().map(|text| amounts::duration(text, pointer)).transpose()
    };
    let (plan, prefix) = plan_of(&given.workflow)?;
    let run = RunRequest {
        namespace: line::namespace(given.namespace.as_deref(), default)?,
        priority: line::priority(given.priority.as_deref())?,
        deadline: duration(&given.deadline, "/deadline")?,
        budget: given.budget.as_ref().map(amounts::budget).transpose()?,
        ..RunRequest::new(plan, line::input(given.input.as_deref())?)
    };
    let request = ScheduleRequest {
        name: Text::from(&*given.name),
        cron: Text::from(&*given.cron),
        zone: Text::from(given.zone.as_deref().unwrap_or("UTC")),
        catch_up: match given.catch_up {
            None => schedule::CatchUp::default(),
            Some(CatchUp::Skip) => schedule::CatchUp::Skip,
            Some(CatchUp::One) => schedule::CatchUp::One,
            Some(CatchUp::All { max }) => schedule::CatchUp::All { max },
        },
        overlap: match given.overlap {
            None => schedule::Overlap::default(),
            Some(Overlap::Allow) => schedule::Overlap::Allow,
            Some(Overlap::Skip) => schedule::Overlap::Skip,
            Some(Overlap::Queue) => schedule::Overlap::Queue,
            Some(Overlap::CancelPrevious) => schedule::Overlap::CancelPrevious,
        },
        run,
        jitter: duration(&given.jitter, "/jitter")?,
        is_paused: given.paused,
    };
    Ok((request, prefix))
}
