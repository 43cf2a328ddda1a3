//! Seats: where each agent stands in the tree, and what it is called.

use minicbor::{Decode, Encode};

use super::groups::Group;
use super::profile::{FleetPlan, Seat, agent_name, parse_agent_name};
use super::{Fleet, Stack};
use crate::event::Standing;
use crate::ids::{AgentIx, StackIx};
use crate::layer::Layer;
use crate::text::Text;

/// Where an agent stands whose seat was added to those of the profile at the start: what a record
/// that speaks of it says, so that it can be read without knowing how the fleet had changed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Place {
    /// Its name.
    #[n(0)]
    pub name: Text,
    /// Its layer.
    #[n(1)]
    pub layer: Layer,
    /// The stack that it leads or works in; none above the stacks.
    #[n(2)]
    pub stack: Option<StackIx>,
}

/// A seat behind those of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Added {
    #[n(0)]
    pub(super) layer: Layer,
    /// Its number in the layer of the profile, or in its group.
    #[n(1)]
    pub(super) ordinal: u32,
    #[n(2)]
    pub(super) stack: Option<StackIx>,
    /// Who was declared to supervise it.
    #[n(3)]
    pub(super) supervisor: Option<AgentIx>,
    /// Its group; none: it is of the profile.
    #[n(4)]
    pub(super) group: Option<u32>,
    /// Attempts that the remote worker in it takes at one time; none: as its group says.
    #[n(5)]
    pub(super) concurrency: Option<u32>,
}

/// The stacks of a plan, each with its chief.
pub(super) fn stacks_of(plan: &FleetPlan) -> Vec<Stack> {
    let stack = |ix| Stack { leader: plan.chief(StackIx(ix)), ..Stack::default() };
    (0..plan.stack_count()).map(stack).collect()
}

impl Fleet {
    /// A seat behind those of the plan.
    pub(super) fn added(&self, ix: AgentIx) -> Option<&Added> {
        if self.added.is_empty() {
            return None;
        }
        self.added.get(ix.0.checked_sub(self.plan.agents())? as usize)
    }

    /// The seats behind those of the plan.
    pub(super) fn added_seats(&self) -> impl Iterator<Item = (AgentIx, &Added)> + '_ {
        (self.plan.agents()..).map(AgentIx).zip(&self.added)
    }

    /// An agent's layer. Beyond the last agent there would be only more micros.
    pub fn layer(&self, ix: AgentIx) -> Layer {
        self.added(ix).map_or_else(|| self.plan.layer(ix), |seat| seat.layer)
    }

    /// The stack that an agent leads or works in; none above the stacks.
    pub fn stack(&self, ix: AgentIx) -> Option<StackIx> {
        self.added(ix).map_or_else(|| self.plan.stack(ix), |seat| seat.stack)
    }

    /// Who leads a stack; none: the runtime.
    pub fn leader(&self, stack: StackIx) -> Option<AgentIx> {
        self.stacks.get(stack.0 as usize).and_then(|stack| stack.leader)
    }

    /// The place of the declared group that an agent is of; none: it is of the profile.
    pub fn group_place(&self, ix: AgentIx) -> Option<u32> {
        self.added(ix)?.group
    }

    /// The declared group that an agent is of; none: it is of the profile.
    pub fn group_of(&self, ix: AgentIx) -> Option<&Group> {
        self.groups.get(self.group_place(ix)? as usize)
    }

    /// Attempts that this agent may have under way.
    pub fn concurrency_of(&self, ix: AgentIx) -> u32 {
        let of_group = || self.group_of(ix).and_then(|group| group.spec().concurrency);
        let own = self.added(ix).and_then(|seat| seat.concurrency);
        own.or_else(of_group).unwrap_or(self.concurrency)
    }

    /// The members of a stack whose tokens are in its pool, in the order of their numbers.
    pub fn members(&self, stack: StackIx) -> impl Iterator<Item = AgentIx> + '_ {
        (0..self.len()).map(AgentIx).filter(move |ix| {
            let counts = |row: &super::Agent| row.standing.has_tokens();
            self.layer(*ix).works()
                && self.stack(*ix) == Some(stack)
                && self.agent(*ix).is_some_and(counts)
        })
    }

    /// Everything about an agent's place.
    pub fn seat(&self, ix: AgentIx) -> Option<Seat> {
        let (layer, ordinal, declared) = match self.added(ix) {
            Some(seat) => (seat.layer, seat.ordinal, seat.supervisor),
            None => {
                let (layer, ordinal) = self.plan.place(ix)?;
                (layer, ordinal, None)
            }
        };
        let stack = self.stack(ix);
        let supervisor = declared.or_else(|| match layer {
            Layer::Cecca => None,
            Layer::Board => self.in_turn(Layer::Cecca, ordinal),
            Layer::Executive => self.in_turn(Layer::Board, ordinal),
            Layer::StackChief => self.in_turn(Layer::Executive, ordinal),
            Layer::Specialist | Layer::Micro => self.leader(stack?),
        });
        Some(Seat { agent: ix, layer, ordinal, supervisor, stack })
    }

    /// The agents of the profile in a layer take turns.
    fn in_turn(&self, layer: Layer, turn: u32) -> Option<AgentIx> {
        let stays = |ix: &AgentIx| {
            self.agent(*ix).is_some_and(|row| !row.standing.is_passing())
                && self.group_of(*ix).is_none()
        };
        let count = self.seats_in(layer).filter(stays).count() as u32;
        self.seats_in(layer).filter(stays).nth(turn.checked_rem(count)? as usize)
    }

    /// The seats of a layer, in the order of their numbers.
    pub fn seats_in(&self, layer: Layer) -> impl Iterator<Item = AgentIx> + '_ {
        let first = (0..self.plan.count(layer)).filter_map(move |it| self.plan.agent(layer, it));
        let added = self.added_seats().filter(move |(_, seat)| seat.layer == layer);
        first.chain(added.map(|(ix, _)| ix))
    }

    /// An agent's name: `micro-00042`, or what its group says.
    pub fn name(&self, ix: AgentIx) -> String {
        let Some(seat) = self.added(ix) else { return self.plan.name(ix) };
        match self.group_of(ix) {
            Some(group) => group.spec().member_name(seat.ordinal),
            None => agent_name(seat.layer, seat.ordinal),
        }
    }

    /// Whether a number is that of the same agent as in another fleet.
    pub(crate) fn is_named_as(&self, other: &Fleet, ix: AgentIx) -> bool {
        let name = self.name(ix);
        !name.is_empty() && name == other.name(ix)
    }

    /// Where an agent stands, if that does not follow from the plan of the start.
    pub fn place(&self, ix: AgentIx) -> Option<Place> {
        let seat = self.added(ix)?;
        Some(Place { name: self.name(ix).into(), layer: seat.layer, stack: seat.stack })
    }

    /// The name of an agent that does not follow from the plan of the start.
    pub(crate) fn own_name(&self, ix: AgentIx) -> Option<Text> {
        self.added(ix).map(|_| self.name(ix).into())
    }

    /// The agent of this name: the one that is here, or else the newest that was.
    pub fn find(&self, name: &str) -> Option<AgentIx> {
        let place = parse_agent_name(name);
        let first = place.and_then(|(layer, ordinal)| self.plan.agent(layer, ordinal));
        let is_it = |(ix, seat): &(AgentIx, &Added)| match (self.group_of(*ix), place) {
            (Some(group), _) => group.spec().is_member(name, seat.ordinal),
            (None, place) => place == Some((seat.layer, seat.ordinal)),
        };
        let mut found = first;
        for (ix, _) in self.added_seats().filter(is_it) {
            if found.is_none_or(|before| self.presence(ix) >= self.presence(before)) {
                found = Some(ix);
            }
        }
        found
    }

    /// The agent of this name, or the members of the group of this name who are here.
    pub fn called(&self, name: &str) -> Vec<AgentIx> {
        let is_of_group = |ix: &AgentIx| {
            let is_here = self.agent(*ix).is_some_and(|row| !row.standing.is_leaving());
            is_here && self.group_of(*ix).is_some_and(|group| *group.spec().name == *name)
        };
        let members: Vec<AgentIx> =
            self.added_seats().map(|(ix, _)| ix).filter(is_of_group).collect();
        match members.is_empty() {
            true => self.find(name).into_iter().collect(),
            false => members,
        }
    }

    /// How much an agent is here: more than another of its name that has left.
    pub fn presence(&self, ix: AgentIx) -> u8 {
        match self.agent(ix).map(|row| row.standing) {
            None | Some(Standing::Retired) => 0,
            Some(Standing::Starting) => 1,
            Some(Standing::Draining) => 2,
            Some(_) => 3,
        }
    }
}
