//! `/workers`: remote workers, which join, claim, extend, complete, fail and leave.

use std::time::Duration;

use ark_os_api::{
    ClaimAnswer, ClaimRequest, ClaimedTask, CompleteRequest, ExtendAnswer, ExtendRequest,
    FailRequest, FinishAnswer, HeldToken, LeaveAnswer, Page, Problem, Stamp, TokenAnswer,
    WORKER_SESSION, WorkFailure, WorkResult, WorkerRegistration, WorkerSession, WorkerView,
};
use ark_os_core::hash::Hash;
use ark_os_core::ids::PtId;
use ark_os_core::layer::Layer;
use ark_os_core::plan::EffectClass;
use ark_os_runtime::remote::{
    CLAIM_TASKS_MAX, Claim, Claimed, Extension, Fate, OfferedSkill, Presented, Registration,
    RemoteView, Told, token,
};
use ark_os_runtime::telemetry::trace_id;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::value::RawValue;

use super::json;
use crate::amounts;
use crate::context::Context;
use crate::given::{Given, GivenOrDefault};
use crate::json::{DEPTH_MAX, HALF, is_shallow, is_whole};
use crate::problems::{Answered, Refusal};
use crate::query::{Paging, read};
use crate::refused::{BodyTooLarge, NoWorker, WorkerFenced};

/// Tokens of one request: more than a worker has in hand, so that one that is out of step is told.
const TOKENS_MAX: usize = 2_000;

/// What every question of a worker's session carries.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "read by hand from the headers; this describes it")]
struct Session {
    /// The secret of its session
    #[param(rename = "Worker-Session")]
    session: String,
}

/// Takes a worker in: it becomes an agent of the fleet.
///
/// Who registers under the name of a worker takes its place: the older session may say nothing more,
/// and what it had in hand is given to others.
#[utoipa::path(
    post, path = "/api/v1/workers", tag = "workers",
    request_body = WorkerRegistration,
    responses(
        (status = 200, description = "It is an agent of the fleet", body = WorkerSession),
        (status = 400, description = "`worker_invalid`, `json_invalid`, `request_invalid`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`skill_taken`, `agent_name_taken`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_workers`, `overloaded`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn register_worker(
    State(context): State<Context>,
    Given(asked): Given<WorkerRegistration>,
) -> Answered {
    let registration = registration(asked)?;
    let handle = context.handle();
    let session = handle.register_worker(registration).await?;
    let answer = WorkerSession {
        worker: session.worker.to_string(),
        session: session.secret,
        agent: session.worker.to_string(),
        lease_ms: millis(session.lease),
        heartbeat_ms: millis(session.heartbeat),
        wait_ms_max: millis(handle.remotes().wait_max()),
        body_bytes_max: context.settings().max_body_bytes as u64,
    };
    Ok(json(StatusCode::OK, &answer))
}

/// The workers, in the order of their names.
#[utoipa::path(
    get, path = "/api/v1/workers", tag = "workers",
    params(Paging),
    responses((status = 200, description = "A page of workers", body = Page<WorkerView>)),
)]
pub(super) async fn list_workers(State(context): State<Context>, uri: Uri) -> Answered {
    let paging: Paging = read(&uri)?;
    let limit = paging.limit.items();
    let mut found = context.handle().remotes().list(paging.cursor.as_deref(), limit + 1);
    let has_more = found.len() > limit;
    found.truncate(limit);
    let items: Vec<WorkerView> = found.into_iter().map(view).collect();
    let next = items.last().filter(|_| has_more).map(|last| last.worker.clone());
    Ok(json(StatusCode::OK, &Page { items, next }))
}

/// One worker.
#[utoipa::path(
    get, path = "/api/v1/workers/{id}", tag = "workers",
    params(("id" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "The worker", body = WorkerView),
        NoWorker,
    ),
)]
pub(super) async fn show_worker(
    State(context): State<Context>,
    Path(id): Path<String>,
) -> Answered {
    Ok(json(StatusCode::OK, &view(context.handle().remotes().show(&id)?)))
}

/// Takes tasks for a worker: at once if there are any, else as soon as there is one.
///
/// The intent of each task's effect is durable before this answers.
#[utoipa::path(
    post, path = "/api/v1/workers/{id}/claim", tag = "workers",
    params(("id" = String, Path, description = "The worker"), Session),
    request_body = ClaimRequest,
    responses(
        (status = 200, description = "Tasks, or none in time", body = ClaimAnswer),
        NoWorker,
        WorkerFenced,
    ),
)]
pub(super) async fn claim_tasks(
    State(context): State<Context>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Given(asked): Given<ClaimRequest>,
) -> Answered {
    let session = session_of(&headers)?;
    if !(1..=CLAIM_TASKS_MAX).contains(&asked.max) {
        let message = format!("it is 1 to {CLAIM_TASKS_MAX}");
        return Err(Refusal::new("request_invalid", "accept `/max`").at("/max", message));
    }
    let wait = asked.wait.as_deref().map(|text| amounts::duration(text, "/wait")).transpose()?;
    let claim = Claim { max: asked.max, wait: wait.unwrap_or(Duration::ZERO), number: asked.claim };
    let claimed = context.handle().remotes().claim(&id, session, claim);
    let claimed = context.unless_stopping(claimed).await.transpose()?.unwrap_or_default();
    let tasks = claimed.iter().map(task).collect::<Result<Vec<_>, _>>()?;
    Ok(json(StatusCode::OK, &ClaimAnswer { tasks }))
}

/// Says that tasks are still worked on; the answer tells which are not the worker's any more.
#[utoipa::path(
    post, path = "/api/v1/workers/{id}/extend", tag = "workers",
    params(("id" = String, Path, description = "The worker"), Session),
    request_body(content = ExtendRequest, description = "May be left out: a sign of life"),
    responses(
        (status = 200, description = "What became of each token", body = ExtendAnswer),
        NoWorker,
        WorkerFenced,
    ),
)]
pub(super) async fn extend_tasks(
    State(context): State<Context>,
    Path(id): Path<String>,
    headers: HeaderMap,
    GivenOrDefault(asked): GivenOrDefault<ExtendRequest>,
) -> Answered {
    let session = session_of(&headers)?;
    let (named, extensions) = tokens(
        "tokens",
        asked.tokens,
        |it: &HeldToken| (&it.pt, it.fence),
        |pt, it| Extension { pt, checkpoint: it.checkpoint },
    )?;
    let told = context.handle().remotes().extend(&id, session, extensions).await?;
    Ok(json(StatusCode::OK, &ExtendAnswer { tokens: answers(named, told) }))
}

/// Presents results; each is answered when it is durable. What was presented before is answered as it
/// was then.
#[utoipa::path(
    post, path = "/api/v1/workers/{id}/complete", tag = "workers",
    params(("id" = String, Path, description = "The worker"), Session),
    request_body = CompleteRequest,
    responses(
        (status = 200, description = "What became of each result", body = FinishAnswer),
        NoWorker,
        WorkerFenced,
        BodyTooLarge,
    ),
)]
pub(super) async fn complete_tasks(
    State(context): State<Context>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Given(asked): Given<CompleteRequest>,
) -> Answered {
    let session = session_of(&headers)?;
    let said = tokens(
        "results",
        asked.results,
        |it: &WorkResult| (&it.pt, it.fence),
        |pt, it| (pt, output(it.output)),
    )?;
    finish(&context, &id, session, said).await
}

/// Says that tasks could not be done; each is answered when that is durable.
#[utoipa::path(
    post, path = "/api/v1/workers/{id}/fail", tag = "workers",
    params(("id" = String, Path, description = "The worker"), Session),
    request_body = FailRequest,
    responses(
        (status = 200, description = "What became of each", body = FinishAnswer),
        NoWorker,
        WorkerFenced,
    ),
)]
pub(super) async fn fail_tasks(
    State(context): State<Context>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Given(asked): Given<FailRequest>,
) -> Answered {
    let session = session_of(&headers)?;
    let failed = |it: WorkFailure| {
        let WorkFailure { code, message, retryable, unknown, .. } = it;
        Presented::Failed { code, message, retryable, unknown }
    };
    let said = tokens(
        "failures",
        asked.failures,
        |it: &WorkFailure| (&it.pt, it.fence),
        |pt, it| (pt, failed(it)),
    )?;
    finish(&context, &id, session, said).await
}

/// Takes nothing new. What is in hand may still be extended, completed and failed.
#[utoipa::path(
    post, path = "/api/v1/workers/{id}/leave", tag = "workers",
    params(("id" = String, Path, description = "The worker"), Session),
    responses(
        (status = 200, description = "How much is in hand", body = LeaveAnswer),
        NoWorker,
        WorkerFenced,
    ),
)]
pub(super) async fn leave_fleet(
    State(context): State<Context>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answered {
    let under_way = context.handle().leave_worker(&id, session_of(&headers)?).await?;
    let under_way = u32::try_from(under_way).unwrap_or(u32::MAX);
    Ok(json(StatusCode::OK, &LeaveAnswer { under_way }))
}

async fn finish(
    context: &Context,
    id: &str,
    session: &str,
    (named, ends): (Named, Vec<(PtId, Presented)>),
) -> Answered {
    let told = context.handle().remotes().finish(id, session, ends).await?;
    Ok(json(StatusCode::OK, &FinishAnswer { tokens: answers(named, told) }))
}

fn output(text: Box<RawValue>) -> Presented {
    if !is_shallow(text.get()) {
        return Presented::Unusable(format!("an output has at most {DEPTH_MAX} levels"));
    }
    if !is_whole(text.get()) {
        return Presented::Unusable(HALF.to_owned());
    }
    Presented::Output(text.into())
}

fn session_of(headers: &HeaderMap) -> Result<&str, Refusal> {
    headers.get(WORKER_SESSION).and_then(|it| it.to_str().ok()).ok_or_else(|| {
        Refusal::new("request_invalid", "find the header `Worker-Session`")
            .hint("send the `session` that the registration was answered with")
    })
}

fn registration(it: WorkerRegistration) -> Result<Registration, Refusal> {
    let layer = match it.layer.as_deref() {
        None => Layer::Specialist,
        Some(text) => [Layer::Specialist, Layer::Micro]
            .into_iter()
            .find(|layer| layer.as_str() == text)
            .ok_or_else(|| wrong("/layer", "a worker is a `specialist` or a `micro`"))?,
    };
    let mut skills = Vec::with_capacity(it.skills.len());
    for (i, skill) in it.skills.into_iter().enumerate() {
        let schema = |field: &str, text: Option<Box<RawValue>>| {
            let at = format!("/skills/{i}/{field}");
            let read = |raw: Box<RawValue>| serde_json::from_str(raw.get());
            text.map(read).transpose().map_err(|error| wrong(&at, &error.to_string()))
        };
        let classes = [EffectClass::Read, EffectClass::Idempotent, EffectClass::Effectful];
        let class = match skill.effect.as_deref() {
            None => EffectClass::Effectful,
            Some(text) => {
                classes.into_iter().find(|class| class.as_str() == text).ok_or_else(|| {
                    let at = format!("/skills/{i}/effect");
                    wrong(&at, "it is `read`, `idempotent` or `effectful`")
                })?
            }
        };
        let (input, output) = (schema("input", skill.input)?, schema("output", skill.output)?);
        skills.push(OfferedSkill { name: skill.name, class, input, output });
    }
    let WorkerRegistration { name, concurrency, labels, .. } = it;
    Ok(Registration { name, layer, concurrency, skills, labels })
}

fn wrong(pointer: &str, message: &str) -> Refusal {
    Refusal::new("worker_invalid", format!("accept `{pointer}`: {message}")).at(pointer, message)
}

/// What is named in a request, in its order: a token as the worker wrote it, and whether it is one of ours.
type Named = Vec<(String, bool)>;

/// Reads what is said of tokens; the second part is for the runtime.
fn tokens<T, U>(
    field: &str,
    items: Vec<T>,
    names: impl Fn(&T) -> (&String, u64),
    said: impl Fn(PtId, T) -> U,
) -> Result<(Named, Vec<U>), Refusal> {
    if items.len() > TOKENS_MAX {
        let message = format!("at most {TOKENS_MAX} tokens a request");
        return Err(
            Refusal::new("request_invalid", message.clone()).at(format!("/{field}"), message)
        );
    }
    let read = |item: T| {
        let (text, fence) = names(&item);
        let (text, pt) = (text.clone(), token(text, fence));
        ((text, pt.is_some()), pt.map(|pt| said(pt, item)))
    };
    let (named, said): (Named, Vec<Option<U>>) = items.into_iter().map(read).unzip();
    Ok((named, said.into_iter().flatten().collect()))
}

fn answers(named: Named, told: Vec<Told>) -> Vec<TokenAnswer> {
    let mut told = told.into_iter();
    let answer = |(pt, is_known): (String, bool)| {
        let told = is_known.then(|| told.next()).flatten();
        answer(super::agents::shown(&pt), told.unwrap_or(Told::Over(Fate::Stale, false)))
    };
    named.into_iter().map(answer).collect()
}

fn answer(pt: String, told: Told) -> TokenAnswer {
    let mut answer = TokenAnswer { pt, ..TokenAnswer::default() };
    let (state, repeated) = match told {
        Told::Held(until) => {
            answer.lease_until = Some(Stamp(until.0));
            ("held", false)
        }
        Told::Over(Fate::Accepted, repeated) => ("accepted", repeated),
        Told::Over(Fate::Refused { code, message }, repeated) => {
            (answer.code, answer.message) = (Some(code), Some(message));
            ("refused", repeated)
        }
        Told::Over(Fate::Cancelled, _) => ("cancelled", false),
        Told::Over(Fate::Stale, _) => ("stale_fence", false),
    };
    (answer.state, answer.repeated) = (state.to_owned(), repeated);
    answer
}

fn task(it: &Claimed) -> Result<ClaimedTask, Refusal> {
    let input = serde_json::from_slice(&it.input).map_err(|error| {
        let message = format!("read the recorded input of {}: {error}", it.pt);
        tracing::error!("failed to {message}");
        Refusal::new("internal", message)
    })?;
    let run = it.task.run;
    let span = Hash::of(it.pt.to_string().as_bytes()).draw();
    Ok(ClaimedTask {
        pt: it.pt.to_string(),
        fence: it.pt.fence.0,
        run: run.to_string(),
        task: it.task.to_string(),
        attempt: it.attempt,
        skill: it.skill.to_string(),
        effect: it.class.as_str().to_owned(),
        key: it.key.0.to_string(),
        input,
        deadline: Stamp(it.deadline.0),
        lease_until: Stamp(it.lease_until.0),
        traceparent: format!("00-{}-{span:016x}-01", trace_id(run)),
    })
}

fn view(it: RemoteView) -> WorkerView {
    WorkerView {
        agent: it.name.to_string(),
        worker: it.name.to_string(),
        layer: it.layer.to_string(),
        state: it.presence.as_str().to_owned(),
        skills: it.skills.iter().map(ToString::to_string).collect(),
        concurrency: it.concurrency,
        under_way: u32::try_from(it.under_way).unwrap_or(u32::MAX),
        queued: u32::try_from(it.queued).unwrap_or(u32::MAX),
        silent_ms: millis(it.silent),
        completed: it.completed,
        failed: it.failed,
        labels: it.labels,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_that_most_could_not_read_is_unusable() {
        let said = |text: String| output(RawValue::from_string(text).unwrap());
        assert!(matches!(said(r#""\ud83d\ude00""#.to_owned()), Presented::Output(_)));
        assert!(
            matches!(said(r#"{"a":"\ud83d"}"#.to_owned()), Presented::Unusable(why) if why == HALF)
        );
        let deep = "[".repeat(DEPTH_MAX + 1) + &"]".repeat(DEPTH_MAX + 1);
        assert!(matches!(said(deep), Presented::Unusable(_)));
    }
}
