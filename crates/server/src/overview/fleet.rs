//! The fleet as an overview shows it: the one place that knows how it is made.

use ark_os_api::{AttentionView, FleetOverview, LayerOverview, StackOverview, Standings};
use ark_os_core::event::Standing;
use ark_os_core::fleet::{Agent, Fleet};
use ark_os_core::ids::{AgentIx, StackIx};
use ark_os_core::layer::Layer;

use crate::words;

/// Stacks that are shown: their number is that of the chiefs.
const STACKS_MAX: u32 = 1_000;
/// Agents in trouble that are told by name.
const TROUBLES_MAX: usize = 50;

/// A count of the fleet.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) overview: FleetOverview,
    /// Agents that do not stand ready, or were struck.
    pub(crate) troubles: Vec<AttentionView>,
    pub(crate) troubles_left_out: u64,
}

/// Counts the fleet: one look at every agent.
pub(crate) fn count(fleet: &Fleet) -> Counted {
    let mut layers = Layer::ALL.map(|layer| LayerOverview {
        layer: layer.to_string(),
        agents: 0,
        standings: Standings::default(),
        busy: 0,
    });
    let shown = (fleet.pools().count() as u32).min(STACKS_MAX);
    let mut stacks: Vec<StackOverview> =
        (0..shown).map(|stack| empty_stack(fleet, stack)).collect();
    for (stack, (capacity, in_use)) in stacks.iter_mut().zip(fleet.pools()) {
        (stack.capacity, stack.busy) = (capacity, in_use);
    }
    let (mut troubles, mut left_out) = (Vec::new(), 0);
    for ix in (0..fleet.len()).map(AgentIx) {
        let Some(row) = fleet.agent(ix).filter(|it| it.standing != Standing::Retired) else {
            continue;
        };
        let layer = fleet.layer(ix);
        if let Some(of_layer) = layers.get_mut(layer.rank()) {
            of_layer.agents += 1;
            of_layer.busy += row.busy;
            stand(&mut of_layer.standings, row.standing);
        }
        let stack = fleet.stack(ix).filter(|_| layer.works());
        if let Some(of_stack) = stack.and_then(|stack| stacks.get_mut(stack.0 as usize)) {
            of_stack.agents += 1;
            stand(&mut of_stack.standings, row.standing);
        }
        if row.standing.is_passing() || row.standing == Standing::Ready && row.strikes == 0 {
            continue;
        }
        if troubles.len() < TROUBLES_MAX {
            troubles.push(trouble(fleet.name(ix), row));
        } else {
            left_out += 1;
        }
    }
    let overview = FleetOverview {
        agents: layers.iter().map(|layer| layer.agents).sum(),
        busy: fleet.in_use(),
        capacity: fleet.pools().map(|(capacity, _)| capacity).sum(),
        layers: layers.to_vec(),
        stacks,
        empty_layer: fleet.empty_layer().map(|layer| layer.to_string()),
    };
    Counted { overview, troubles, troubles_left_out: left_out }
}

fn stand(standings: &mut Standings, standing: Standing) {
    match standing {
        Standing::Ready => standings.ready += 1,
        Standing::Restarting => standings.restarting += 1,
        Standing::Replaced => standings.replaced += 1,
        Standing::Offline => standings.offline += 1,
        Standing::Starting => standings.starting += 1,
        Standing::Draining | Standing::Retired => standings.draining += 1,
        Standing::Suspect => standings.suspect += 1,
        Standing::Quarantined => standings.quarantined += 1,
    }
}

fn empty_stack(fleet: &Fleet, stack: u32) -> StackOverview {
    let chief = fleet.leader(StackIx(stack));
    let standing = chief.and_then(|chief| fleet.agent(chief)).map(|row| row.standing);
    StackOverview {
        stack,
        chief: chief.map(|chief| fleet.name(chief)),
        chief_standing: standing.map(|standing| words::standing(standing).to_owned()),
        agents: 0,
        standings: Standings::default(),
        busy: 0,
        capacity: 0,
    }
}

fn trouble(name: String, row: &Agent) -> AttentionView {
    let (kind, text) = match row.standing {
        Standing::Offline => ("agent_offline", "is taken out: it gets no work".to_owned()),
        Standing::Restarting => {
            ("agent_restarting", format!("is restarted, {} in a row", row.restarts))
        }
        Standing::Replaced => {
            ("agent_replaced", format!("is replaced, by the {}. in its seat", row.incarnation + 1))
        }
        Standing::Suspect => ("agent_suspect", "has not been heard of for too long".to_owned()),
        Standing::Quarantined => ("agent_quarantined", "is kept from work".to_owned()),
        Standing::Ready | Standing::Starting | Standing::Draining | Standing::Retired => {
            ("agent_struck", format!("had work refused, {} since its restart", row.strikes))
        }
    };
    AttentionView {
        kind: kind.to_owned(),
        text: format!("{name} {text}"),
        agent: Some(name),
        ..AttentionView::default()
    }
}

/// The agents of a layer, or of a stack with its chief, in the order of their numbers; all where
/// neither is asked for.
pub(crate) fn select(
    fleet: &Fleet,
    layer: Option<Layer>,
    stack: Option<u32>,
) -> Box<dyn Iterator<Item = AgentIx> + '_> {
    let is_here =
        |ix: &AgentIx| fleet.agent(*ix).is_some_and(|row| row.standing != Standing::Retired);
    match (stack.map(StackIx), layer) {
        (None, None) => Box::new((0..fleet.len()).map(AgentIx).filter(is_here)),
        (None, Some(layer)) => Box::new(fleet.seats_in(layer).filter(is_here)),
        (Some(stack), layer) => {
            let all = fleet.leader(stack).into_iter().chain(fleet.members(stack));
            let is_of = move |ix: &AgentIx| layer.is_none_or(|layer| fleet.layer(*ix) == layer);
            Box::new(all.filter(is_here).filter(is_of))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_fleet_is_counted_by_layer_and_stack() {
        let fleet = Fleet::new(100, &[], 4, None);
        let counted = count(&fleet);
        let it = counted.overview;
        let agents: Vec<u32> = it.layers.iter().map(|layer| layer.agents).collect();
        assert_eq!(agents, fleet.plan().counts());
        assert!(it.layers.iter().all(|layer| layer.standings.ready == layer.agents));
        assert_eq!((it.stacks.len(), it.agents, it.capacity), (10, 100, (27 + 55) * 4));
        let members: u32 = it.stacks.iter().map(|stack| stack.agents).sum();
        assert_eq!((members, it.stacks[3].chief.as_deref()), (82, Some("stack-chief-00003")));
        assert!(counted.troubles.is_empty());
    }

    #[test]
    fn the_agents_of_a_stack_are_its_chief_and_members() {
        let fleet = Fleet::new(100, &[], 4, None);
        let all: usize = (0..10).map(|stack| select(&fleet, None, Some(stack)).count()).sum();
        assert_eq!(all, 10 + 27 + 55);
        assert_eq!(select(&fleet, Some(Layer::Board), None).count(), 2);
        assert_eq!(select(&fleet, Some(Layer::StackChief), Some(4)).count(), 1);
        assert_eq!(select(&fleet, None, Some(99)).count(), 0);
        assert_eq!(select(&fleet, None, None).count(), 100);
    }
}
