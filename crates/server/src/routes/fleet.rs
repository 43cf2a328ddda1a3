//! `/fleet`: the fleet as a whole, and its size.

use std::collections::BTreeMap;

use ark_os_api::{FleetView, GroupView, LayerView, Problem, Scale, StackView};
use ark_os_core::fleet::{Fleet, GroupStanding};
use ark_os_core::ids::{AgentIx, StackIx};
use ark_os_core::layer::Layer;
use ark_os_core::limits::AGENTS_MAX;
use ark_os_core::{Command, State as Kernel};
use axum::extract::State;
use axum::http::StatusCode;

use super::{json, reason};
use crate::context::Context;
use crate::given::Given;
use crate::problems::Answered;
use crate::words;

/// The fleet: layers, stacks, declared groups, and which deployment it is of.
#[utoipa::path(
    get, path = "/api/v1/fleet", tag = "fleet",
    responses((status = 200, description = "The fleet", body = FleetView)),
)]
pub(super) async fn show_fleet(State(context): State<Context>) -> Answered {
    let view = context.handle().read(|kernel| view(kernel.state())).await?;
    Ok(json(StatusCode::OK, &view))
}

/// Gives the built-in profile another size while it works: agents are added, or those that are too many
/// finish what they have and leave.
#[utoipa::path(
    post, path = "/api/v1/fleet/scale", tag = "fleet",
    request_body(content = Scale),
    responses(
        (status = 200, description = "The fleet", body = FleetView),
        (status = 400, description = "`agents_out_of_range`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn scale_fleet(
    State(context): State<Context>,
    Given(scale): Given<Scale>,
) -> Answered {
    let reason = reason(scale.reason.as_deref())?;
    context.handle().command(Command::ScaleFleet { agents: scale.agents, reason }).await?;
    let view = context.handle().read(|kernel| view(kernel.state())).await?;
    Ok(json(StatusCode::OK, &view))
}

/// How many of some agents are here, and how they stand.
#[derive(Default)]
struct Tally {
    agents: u32,
    busy: u32,
    standings: BTreeMap<String, u32>,
}

impl Tally {
    fn of(fleet: &Fleet, agents: impl Iterator<Item = AgentIx>) -> Self {
        let mut tally = Tally::default();
        for row in agents.filter_map(|ix| fleet.agent(ix)) {
            // Who has left is in the history only.
            if row.standing == ark_os_core::event::Standing::Retired {
                continue;
            }
            tally.agents += 1;
            tally.busy += row.busy;
            *tally.standings.entry(words::standing(row.standing).to_owned()).or_insert(0) += 1;
        }
        tally
    }
}

fn view(state: &Kernel) -> FleetView {
    let fleet = state.fleet();
    let layers: Vec<LayerView> =
        Layer::ALL.into_iter().map(|layer| layer_view(fleet, layer)).collect();
    let stacks = (0u32..).map(StackIx).zip(fleet.pools()).map(|(stack, (capacity, in_use))| {
        let leader = fleet.leader(stack).map(|leader| fleet.name(leader));
        StackView { stack: stack.0, leader, capacity, in_use }
    });
    let groups = (0u32..).zip(fleet.groups()).filter_map(|(ix, _)| group_view(fleet, ix));
    let deployments = state.deployments();
    FleetView {
        agents: fleet.profile(),
        agents_max: state.instance().and_then(|it| it.agents_max).unwrap_or(AGENTS_MAX),
        present: layers.iter().map(|layer| layer.agents).sum(),
        busy: fleet.in_use(),
        deployment: deployments.version(),
        deploying: deployments.under_way().map(|it| it.deployment.version),
        layers,
        stacks: stacks.collect(),
        groups: groups.collect(),
    }
}

fn layer_view(fleet: &Fleet, layer: Layer) -> LayerView {
    let Tally { agents, busy, standings } = Tally::of(fleet, fleet.seats_in(layer));
    let held = fleet.is_held(layer);
    LayerView { layer: layer.to_string(), held, agents, busy, standings }
}

/// None: all of its agents have left.
fn group_view(fleet: &Fleet, ix: u32) -> Option<GroupView> {
    let group = fleet.groups().get(ix as usize)?;
    let tally = Tally::of(fleet, fleet.seats_of(ix));
    if tally.agents == 0 {
        return None;
    }
    let spec = group.spec();
    let standing = match group.standing() {
        GroupStanding::Starting => "starting",
        GroupStanding::Live => "live",
        GroupStanding::Left => "leaving",
    };
    Some(GroupView {
        name: spec.name.to_string(),
        layer: spec.layer.to_string(),
        count: spec.count,
        supervisor: spec.supervisor.as_ref().map(ToString::to_string),
        skills: spec.skills.iter().map(ToString::to_string).collect(),
        concurrency: spec.concurrency.unwrap_or(fleet.concurrency()),
        standing: standing.to_owned(),
        busy: tally.busy,
        standings: tally.standings,
    })
}
