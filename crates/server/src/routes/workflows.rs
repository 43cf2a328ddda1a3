//! `/workflows`: versions that were let in, with the decision of each layer, and those that are deployed.

use std::collections::BTreeSet;
use std::sync::Arc;

use ark_os_api::{LayerDecisionView, Page, WorkflowView};
use ark_os_core::State as Known;
use ark_os_core::event::Admission;
use ark_os_core::hash::Hash;
use ark_os_core::plan::Workflow;
use ark_os_core::text::Text;
use axum::extract::State;
use axum::http::{StatusCode, Uri};

use super::json;
use crate::context::Context;
use crate::problems::Answered;
use crate::query::{Paging, cursor_invalid, read};

/// The workflow versions let in since the instance started, oldest first, then those that are deployed and
/// were not needed yet, by name.
#[utoipa::path(
    get, path = "/api/v1/workflows", tag = "workflows",
    params(Paging),
    responses((status = 200, description = "A page of versions with their decisions", body = Page<WorkflowView>)),
)]
pub(super) async fn list_workflows(State(context): State<Context>, uri: Uri) -> Answered {
    let paging: Paging = read(&uri)?;
    let limit = paging.limit.items();
    let after =
        paging.cursor.as_deref().map(|cursor| Place::parse(cursor).ok_or_else(cursor_invalid));
    let after = after.transpose()?;
    let page = context.handle().read(move |kernel| page_of(kernel.state(), after.as_ref(), limit));
    Ok(json(StatusCode::OK, &page.await?))
}

/// Where a workflow stands in the list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Admitted(u64),
    Deployed(Text),
}

impl Place {
    /// Reads `17` or `deployed:NAME`.
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(DEPLOYED) {
            Some(name) => Some(Place::Deployed(Text::from(name))),
            None => text.parse().ok().map(Place::Admitted),
        }
    }

    fn cursor(&self) -> String {
        match self {
            Place::Admitted(id) => id.to_string(),
            Place::Deployed(name) => format!("{DEPLOYED}{name}"),
        }
    }
}

const DEPLOYED: &str = "deployed:";

fn page_of(state: &Known, after: Option<&Place>, limit: usize) -> Page<WorkflowView> {
    let current = state.deployments().current();
    let deployed = current.iter().flat_map(|it| &it.workflows).map(|it| &it.workflow);
    let mut deployed: Vec<&Arc<Workflow>> = deployed.collect();
    let hashes: BTreeSet<Hash> = deployed.iter().map(|it| it.hash).collect();
    let is_due = |place: &Place| after.is_none_or(|after| place > after);
    let mut let_in = state.admissions().filter(|it| is_due(&Place::Admitted(it.id)));
    let here = let_in.by_ref().take(limit).map(|it| {
        let view = WorkflowView { deployed: hashes.contains(&it.workflow.hash), ..view(it) };
        (Place::Admitted(it.id), view)
    });
    let mut shown: Vec<(Place, WorkflowView)> = here.collect();
    let mut more = let_in.next().is_some();
    if !more {
        let admitted: BTreeSet<Hash> = state.admissions().map(|it| it.workflow.hash).collect();
        deployed.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let mut not_yet = deployed
            .iter()
            .filter(|it| !admitted.contains(&it.hash))
            .map(|it| (Place::Deployed(it.name.clone()), it))
            .filter(|(place, _)| is_due(place));
        let left = limit.saturating_sub(shown.len());
        shown.extend(not_yet.by_ref().take(left).map(|(place, it)| (place, not_run(it))));
        more = not_yet.next().is_some();
    }
    let next = shown.last().filter(|_| more).map(|(place, _)| place.cursor());
    Page { items: shown.into_iter().map(|(_, view)| view).collect(), next }
}

/// A workflow that is deployed, and that no run has needed yet.
fn not_run(workflow: &Workflow) -> WorkflowView {
    WorkflowView {
        admission: 0,
        deployed: true,
        namespace: String::new(),
        name: workflow.name.to_string(),
        version: workflow.version.to_string(),
        hash: workflow.hash.to_string(),
        tasks: workflow.tasks.len() as u32,
        rules: String::new(),
        decisions: Vec::new(),
    }
}

fn view(admission: &Admission) -> WorkflowView {
    WorkflowView {
        admission: admission.id,
        deployed: false,
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
