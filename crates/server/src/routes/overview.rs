//! `/overview`, `/queues`, `/logs`, and what an agent works on: for those who watch.

use ark_os_api::{LogPage, Overview, Page, QueueView, TaskView};
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::timers::Timer;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use serde::Deserialize;

use super::agents::not_found;
use super::json;
use crate::context::Context;
use crate::overview;
use crate::problems::Answered;
use crate::query::{Limit, Namespaced, read, wrong};
use crate::refused::NoAgent;
use crate::{line, show};

/// Timers that are looked through for the attempts of an agent: a look takes a few milliseconds at
/// most. Attempts come first, their leases being short.
const TIMERS_MAX: usize = 100_000;

/// What `GET /logs` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogsQuery {
    after: Option<u64>,
    #[serde(default)]
    limit: Limit,
}

/// The whole instance on one page: fleet, runs, queues, rates, and what somebody should look at.
#[utoipa::path(
    get, path = "/api/v1/overview", tag = "watching",
    params(Namespaced),
    responses((status = 200, description = "How it is", body = Overview)),
)]
pub(super) async fn show_overview(State(context): State<Context>, uri: Uri) -> Answered {
    let query: Namespaced = read(&uri)?;
    let namespace = line::namespace(query.namespace.as_deref(), context.namespace())?;
    Ok(json(StatusCode::OK, &overview::overview(&context, namespace).await?))
}

/// Who waits for which skill, by the skill's name.
#[utoipa::path(
    get, path = "/api/v1/queues", tag = "watching",
    responses((status = 200, description = "A row for every skill on offer or waited for", body = Page<QueueView>)),
)]
pub(super) async fn list_queues(State(context): State<Context>) -> Answered {
    let items = overview::queues_now(&context).await?;
    Ok(json(StatusCode::OK, &Page { items, next: None }))
}

/// The newest lines of the instance's log, as far as they are in memory: 2 000 lines or 1 MiB.
#[utoipa::path(
    get, path = "/api/v1/logs", tag = "watching",
    params(
        ("after" = Option<u64>, Query, description = "`next` of the page before; the newest lines where nobody asks"),
        ("limit" = Option<u32>, Query, description = "1 to 500; 100 where nobody asks"),
    ),
    responses((status = 200, description = "Lines as JSON logs have them, oldest first", body = LogPage)),
)]
pub(super) async fn list_logs(State(context): State<Context>, uri: Uri) -> Answered {
    let query: LogsQuery = read(&uri)?;
    let limit = query.limit.items();
    if query.after.is_some_and(|after| i64::try_from(after).is_err()) {
        return Err(wrong("after", "no line has such a number"));
    }
    Ok(json(StatusCode::OK, &context.settings().logs.page(query.after, limit)))
}

/// What an agent works on.
#[utoipa::path(
    get, path = "/api/v1/agents/{id}/tasks", tag = "agents",
    params(("id" = String, Path, description = "Its name")),
    responses(
        (status = 200, description = "Tasks with an attempt of this agent under way", body = Page<TaskView>),
        NoAgent,
    ),
)]
pub(super) async fn list_agent_tasks(
    State(context): State<Context>,
    Path(id): Path<String>,
) -> Answered {
    let name = id.clone();
    let found = context.handle().read(move |kernel| {
        let (state, fleet) = (kernel.state(), kernel.state().fleet());
        let agent = fleet.find(&name)?;
        let busy = fleet.agent(agent)?.busy as usize;
        let attempt = |timer: Timer| match timer {
            Timer::Attempt(run, task, _) => Some((run, task)),
            _ => None,
        };
        let of_agent = |(run, task): &(RunId, TaskRef)| {
            let active = state.run(*run).and_then(|run| run.task(*task)?.active.as_ref());
            active.is_some_and(|active| active.agent == agent)
        };
        let attempts = state.timers().iter().take(TIMERS_MAX);
        let attempts = attempts.filter_map(|(_, timer)| attempt(timer)).filter(of_agent);
        let tasks: Vec<TaskView> = attempts
            .take(busy)
            .filter_map(|(run, task)| show::task_of(state.run(run)?, state, task))
            .collect();
        Some(tasks)
    });
    let items = found.await?.ok_or_else(|| not_found(&id))?;
    Ok(json(StatusCode::OK, &Page { items, next: None }))
}
