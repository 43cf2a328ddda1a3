//! `/agents`: the fleet.

use ark_os_api::{AgentView, Page, Reason, Resources};
use ark_os_core::Command;
use ark_os_core::fleet::Fleet;
use ark_os_core::fleet::profile;
use ark_os_core::ids::AgentIx;
use ark_os_core::text::Text;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};

use super::json;
use crate::context::Context;
use crate::given::Why;
use crate::overview::select;
use crate::problems::{Answered, Refusal};
use crate::query::{AgentsQuery, cursor_invalid, read, wrong};
use crate::refused::{AgentQuarantined, NoAgent};
use crate::words;

/// The agents of the fleet: those it began with, highest layer first, then those that were added.
#[utoipa::path(
    get, path = "/api/v1/agents", tag = "agents",
    params(AgentsQuery),
    responses((status = 200, description = "A page of agents", body = Page<AgentView>)),
)]
pub(super) async fn list_agents(State(context): State<Context>, uri: Uri) -> Answered {
    let query: AgentsQuery = read(&uri)?;
    let limit = query.limit.items();
    if query.stack.is_some_and(|stack| i32::try_from(stack).is_err()) {
        return Err(wrong("stack", "there are not so many stacks"));
    }
    let page = context.handle().read(move |kernel| {
        let fleet = kernel.state().fleet();
        let first = match query.cursor.as_deref().map(|name| fleet.find(name)) {
            None => 0,
            Some(Some(last)) => last.0 + 1,
            Some(None) => return None,
        };
        let mut found = select(fleet, query.layer, query.stack).skip_while(|it| it.0 < first);
        let items: Vec<AgentView> =
            found.by_ref().take(limit).filter_map(|agent| view(fleet, agent)).collect();
        let next = items.last().filter(|_| found.next().is_some()).map(|agent| agent.id.clone());
        Some(Page { items, next })
    });
    Ok(json(StatusCode::OK, &page.await?.ok_or_else(cursor_invalid)?))
}

/// One agent.
#[utoipa::path(
    get, path = "/api/v1/agents/{id}", tag = "agents",
    params(("id" = String, Path, description = "Its name, such as `micro-00042`")),
    responses(
        (status = 200, description = "The agent", body = AgentView),
        NoAgent,
    ),
)]
pub(super) async fn show_agent(State(context): State<Context>, Path(id): Path<String>) -> Answered {
    Ok(json(StatusCode::OK, &look_up(&context, id).await?.1))
}

/// Takes an agent out: it gets no more work, its layer's step is done by others.
#[utoipa::path(
    post, path = "/api/v1/agents/{id}/offline", tag = "agents",
    params(("id" = String, Path, description = "Its name")),
    request_body(content = Reason, description = "Why; may be left out"),
    responses(
        (status = 200, description = "The agent", body = AgentView),
        NoAgent,
        AgentQuarantined,
    ),
)]
pub(super) async fn take_agent_offline(
    State(context): State<Context>,
    Path(id): Path<String>,
    Why(reason): Why,
) -> Answered {
    set(&context, id, false, reason).await
}

/// Lets an agent in again.
#[utoipa::path(
    post, path = "/api/v1/agents/{id}/online", tag = "agents",
    params(("id" = String, Path, description = "Its name")),
    request_body(content = Reason, description = "Why; may be left out"),
    responses(
        (status = 200, description = "The agent", body = AgentView),
        NoAgent,
        AgentQuarantined,
    ),
)]
pub(super) async fn bring_agent_online(
    State(context): State<Context>,
    Path(id): Path<String>,
    Why(reason): Why,
) -> Answered {
    set(&context, id, true, reason).await
}

async fn set(context: &Context, id: String, online: bool, reason: Text) -> Answered {
    let (agent, _) = look_up(context, id.clone()).await?;
    context.handle().command(Command::SetAgent { agent, online, reason }).await?;
    Ok(json(StatusCode::OK, &look_up(context, id).await?.1))
}

async fn look_up(context: &Context, id: String) -> Result<(AgentIx, AgentView), Refusal> {
    let name = id.clone();
    let found = context.handle().read(move |kernel| {
        let fleet = kernel.state().fleet();
        let agent = fleet.find(&name)?;
        Some((agent, view(fleet, agent)?))
    });
    found.await?.ok_or_else(|| not_found(&id))
}

pub(super) fn not_found(id: &str) -> Refusal {
    Refusal::new("agent_not_found", format!("no agent `{}` is in the fleet", shown(id)))
        .hint("`GET /api/v1/agents` lists them; names are such as `micro-00042`")
}

/// Foreign text, cut so that an answer stays small.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

fn view(fleet: &Fleet, agent: AgentIx) -> Option<AgentView> {
    let seat = fleet.seat(agent)?;
    let row = fleet.agent(agent)?;
    let resources = profile::Resources::of(seat.layer);
    Some(AgentView {
        id: fleet.name(agent),
        layer: seat.layer.to_string(),
        supervisor: seat.supervisor.map(|supervisor| fleet.name(supervisor)),
        stack: seat.stack.map(|stack| stack.0),
        group: fleet.group_of(agent).map(|group| group.spec().name.to_string()),
        standing: words::standing(row.standing).to_owned(),
        reason: fleet.reason(agent).map(ToString::to_string),
        busy: row.busy,
        concurrency: if seat.layer.works() { fleet.at_once(agent) } else { 0 },
        strikes: row.strikes,
        restarts: row.restarts,
        incarnation: row.incarnation,
        resources: Resources {
            cpu_millicores: resources.cpu_millicores,
            memory_mb: resources.memory_mb,
            disk_mb: resources.disk_mb,
            network_mbps: resources.network_mbps,
        },
    })
}
