//! `/workflows`: versions that were let in, with the decision of each layer.

use ark_os_api::{LayerDecisionView, Page, WorkflowView};
use ark_os_core::event::Admission;
use axum::extract::State;
use axum::http::{StatusCode, Uri};

use super::json;
use crate::context::Context;
use crate::problems::{Answered, Refusal};
use crate::query::{Paging, read};

/// The workflow versions let in since the instance started, oldest first.
#[utoipa::path(
    get, path = "/api/v1/workflows", tag = "workflows",
    params(Paging),
    responses((status = 200, description = "A page of versions with their decisions", body = Page<WorkflowView>)),
)]
pub(super) async fn list_workflows(State(context): State<Context>, uri: Uri) -> Answered {
    let paging: Paging = read(&uri)?;
    let limit = paging.limit.items();
    let after = paging.cursor.as_deref().map_or(Ok(0), |cursor| {
        cursor.parse::<u64>().map_err(|_| {
            Refusal::new("cursor_invalid", "the cursor was not given out by this list")
        })
    })?;
    let page = context.handle().read(move |kernel| {
        let mut rest =
            kernel.state().admissions().filter(|it| it.id > after || paging.cursor.is_none());
        let items: Vec<WorkflowView> = rest.by_ref().take(limit).map(|it| view(it)).collect();
        let more = rest.next().is_some();
        let next = items.last().filter(|_| more).map(|it| it.admission.to_string());
        Page { items, next }
    });
    Ok(json(StatusCode::OK, &page.await?))
}

fn view(admission: &Admission) -> WorkflowView {
    WorkflowView {
        admission: admission.id,
        namespace: admission.namespace.to_string(),
        name: admission.workflow.name.to_string(),
        version: admission.workflow.version.to_string(),
        hash: admission.workflow.hash.to_string(),
        tasks: admission.workflow.tasks.len() as u32,
        rules: admission.rules.to_string(),
        decisions: admission
            .decisions
            .iter()
            .map(|decision| LayerDecisionView {
                layer: decision.layer.to_string(),
                agent: decision.agent.to_string(),
                rules: decision.rules.iter().map(ToString::to_string).collect(),
                inputs: decision.inputs.to_string(),
            })
            .collect(),
    }
}
