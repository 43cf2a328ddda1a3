//! `/runs/{a}/diff/{b}`: two runs compared.

use ark_os_api::{DiffView, Problem};
use ark_os_core::ids::RunId;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tokio::sync::Semaphore;

use super::json;
use super::runs::{Found, find, not_found, run_id, state_of};
use crate::context::Context;
use crate::problems::{Answered, Refusal};
use crate::{diff, tasks};

/// Comparisons that are made at one time: each holds what two histories say of every task, and two values of up
/// to a mebibyte as they are compared.
const COMPARISONS_MAX: usize = 2;

static TURNS: Semaphore = Semaphore::const_new(COMPARISONS_MAX);

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
    let turn = tasks::turn(&TURNS).await?;
    let handle = context.handle().clone();
    let compared = tasks::blocking(move || {
        let compared = diff::compare(&handle, one, other);
        // Here, and not where nobody may wait for it any more.
        drop(turn);
        compared
    });
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
