//! `/runs/{id}/children`: the runs that a run's tasks asked for.

use ark_os_api::{Page, RunView};
use ark_os_core::ids::{TaskId, TaskRef};
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};

use super::json;
use super::runs::{look_up, not_found, run_id, task_before};
use crate::context::Context;
use crate::past::past_of;
use crate::problems::Answered;
use crate::query::{Paging, read};
use crate::refused::NoRun;

/// The runs that the tasks of a run asked for, in the order of its plan.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/children", tag = "runs",
    params(
        ("id" = String, Path, description = "The run"),
        Paging,
    ),
    responses(
        (status = 200, description = "A page of runs", body = Page<RunView>),
        NoRun,
    ),
)]
pub(super) async fn list_run_children(
    State(context): State<Context>,
    Path(id): Path<String>,
    uri: Uri,
) -> Answered {
    let run = run_id(&id)?;
    let paging: Paging = read(&uri)?;
    let limit = paging.limit.items();
    let after = task_before(run, &paging)?.map(|task| task.node);
    let live = context.handle().read(move |kernel| {
        let it = kernel.run(run)?;
        let rows = (0u32..).zip(&it.tasks).filter(|(node, _)| after.is_none_or(|it| *node > it));
        let children = rows.filter_map(|(node, task)| Some((node, task.child.as_ref()?.run)));
        Some(children.take(limit + 1).collect::<Vec<_>>())
    });
    let mut children = match live.await? {
        Some(children) => children,
        None => {
            let past = past_of(&context, run).await?.ok_or_else(|| not_found(&id))?;
            past.child_runs(after).take(limit + 1).collect()
        }
    };
    let more = children.len() > limit;
    children.truncate(limit);
    let mut items = Vec::with_capacity(children.len());
    for (_, child) in &children {
        // One that is asked for and not there yet is in the next answer.
        items.extend(look_up(&context, *child).await?);
    }
    let last = children.last().filter(|_| more);
    let next = last.map(|(node, _)| TaskId { run, task: TaskRef::node(*node) }.to_string());
    Ok(json(StatusCode::OK, &Page::<RunView> { items, next }))
}
