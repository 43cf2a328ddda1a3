//! `/runs/{id}/trace` and `/runs/{id}/graph`: a run explained.

use ark_os_api::{GraphView, Problem, TraceView};
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};

use super::runs::{find, not_found, run_id, state_of};
use super::{json, with_type};
use crate::context::Context;
use crate::graph::{GraphFormat, TextStyle, of_past};
use crate::past::past_of;
use crate::problems::{Answered, Refusal};
use crate::query::{GraphQuery, TraceQuery, cursor_invalid, read, wrong};
use crate::tasks;
use crate::trace::{Cursor, DEPTH_MAX, Live, Wanted, beginning, page_of, task_named};

/// What happened in a run as rows that say what took how long, by whom, at what cost: the layers'
/// decisions, tasks, attempts, steps, leases. In the order of the journal; what takes time stands
/// where it ended, and its offset says when it began.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/trace", tag = "runs",
    params(
        ("id" = String, Path, description = "The run"),
        TraceQuery,
    ),
    responses(
        (status = 200, description = "A page of rows", body = TraceView),
        (status = 404, description = "`run_not_found`, `task_not_found`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn trace_run(
    State(context): State<Context>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answered {
    let run = run_id(&id)?;
    let query: TraceQuery = read(&uri)?;
    let limit = query.limit.items();
    let depth = query.depth.unwrap_or(DEPTH_MAX);
    if !(1..=DEPTH_MAX).contains(&depth) {
        return Err(wrong("depth", &format!("it is 1 to {DEPTH_MAX}")));
    }
    let after = query.after.as_deref().filter(|after| !after.is_empty());
    let after = after.map(|text| Cursor::parse(text).ok_or_else(cursor_invalid));
    let after = after.transpose()?.unwrap_or_default();
    if find(&context, run).await?.is_none() {
        return Err(not_found(&id));
    }
    let live = context.handle().read(move |kernel| Live::of(kernel, run)).await?;
    context.views_caught_up().await?;
    let mut wanted = Wanted { depth, expand: query.expand.unwrap_or(false), task: None };
    if let Some(name) = query.task {
        let handle = context.handle().clone();
        let begun = tasks::blocking(move || beginning(&handle, run)).await?;
        let plan = begun.as_ref().and_then(|begun| begun.plan.as_deref());
        let task = task_named(run, plan, &name).ok_or_else(|| no_task(&name))?;
        wanted.task = Some(task);
    }
    let page = tasks::blocking(move || {
        page_of(context.handle(), context.tracers(), run, wanted, (after, limit), &live)
    });
    Ok(json(StatusCode::OK, &page.await?.ok_or_else(|| not_found(&id))?))
}

fn no_task(name: &str) -> Refusal {
    let name = super::agents::shown(name);
    Refusal::new("task_not_found", format!("the run has no task `{name}`"))
        .hint("`GET /api/v1/runs/{id}/graph` shows its plan")
}

/// The plan of a run as a graph, with how each task stands.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/graph", tag = "runs",
    params(
        ("id" = String, Path, description = "The run"),
        GraphQuery,
    ),
    responses(
        (status = 200, description = "The graph", content(
            (GraphView = "application/json"),
            (String = "text/plain", example = "greet 1: 1 task, succeeded in 3ms\n  hello  echo  succeeded  2ms\n"),
        )),
        (status = 404, description = "`run_not_found`, `store_not_found`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn graph_run(
    State(context): State<Context>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answered {
    let run = run_id(&id)?;
    let query: GraphQuery = read(&uri)?;
    let format = match query.format.as_deref().unwrap_or("json") {
        "json" => None,
        "text" => Some(GraphFormat::Text(TextStyle::default())),
        "dot" => Some(GraphFormat::Dot),
        "mermaid" => Some(GraphFormat::Mermaid),
        _ => return Err(wrong("format", "it is json, text, dot or mermaid")),
    };
    let found = find(&context, run).await?.ok_or_else(|| not_found(&id))?;
    let past = past_of(&context, run).await?.ok_or_else(|| not_found(&id))?;
    let state = state_of(&found).to_owned();
    let graph = of_past(&past, run.to_string(), state).ok_or_else(|| {
        Refusal::new("store_not_found", "the plan of the run is not in the journal any more")
    })?;
    Ok(match format {
        None => json(StatusCode::OK, &graph),
        Some(format) => {
            with_type(StatusCode::OK, "text/plain; charset=utf-8", format.render(&graph))
        }
    })
}
