//! The profile part of the fleet grows and shrinks while it works.

use std::collections::{BTreeMap, BTreeSet};

use super::Fleet;
use super::profile::FleetPlan;
use super::seats::Added;
use crate::event::Standing;
use crate::ids::{AgentIx, StackIx};
use crate::layer::Layer;

/// Gives members to the stacks of the profile, each to the one with the fewest.
pub(super) struct Dealer {
    stacks: BTreeSet<(u32, StackIx)>,
}

impl Dealer {
    pub(super) fn next(&mut self) -> Option<StackIx> {
        let (members, stack) = self.stacks.pop_first()?;
        self.stacks.insert((members + 1, stack));
        Some(stack)
    }
}

impl Fleet {
    /// The profile gets this size: seats are added, or whoever is too much leaves when its work is
    /// done. Who was leaving and is wanted again stays.
    pub(crate) fn scale(&mut self, agents: u32) {
        let want = FleetPlan::for_agents(agents);
        let here = self.profile_seats();
        for ((layer, ordinal), ix) in &here {
            let is_wanted = *ordinal < want.count(*layer);
            match self.agent(*ix).map(|row| row.standing) {
                Some(Standing::Draining) if is_wanted => self.seat_row(*ix, Standing::Ready),
                Some(standing) if !is_wanted && !standing.is_leaving() => self.leave(*ix),
                _ => {}
            }
        }
        let is_new = |layer: Layer| {
            (0..want.count(layer)).filter(|it| !here.contains_key(&(layer, *it))).collect()
        };
        for layer in [Layer::Cecca, Layer::Board, Layer::Executive, Layer::StackChief] {
            let new: Vec<u32> = is_new(layer);
            new.into_iter().for_each(|ordinal| self.add(layer, ordinal, None));
        }
        self.lead();
        let mut dealer = self.dealer();
        for layer in [Layer::Specialist, Layer::Micro] {
            let new: Vec<u32> = is_new(layer);
            new.into_iter().for_each(|ordinal| self.add(layer, ordinal, dealer.next()));
        }
        self.profile = want.agents();
        self.tally();
    }

    fn add(&mut self, layer: Layer, ordinal: u32, stack: Option<StackIx>) {
        let seat =
            Added { layer, ordinal, stack, supervisor: None, group: None, concurrency: None };
        self.push_seat(seat, Standing::Ready);
    }

    /// The seats of the profile that have not been left, by their places in it.
    fn profile_seats(&self) -> BTreeMap<(Layer, u32), AgentIx> {
        let first = (0..self.plan.agents()).map(AgentIx);
        let first = first.filter_map(|ix| Some((self.plan.place(ix)?, ix)));
        let added = self.added_seats().filter(|(_, seat)| seat.group.is_none());
        let added = added.map(|(ix, seat)| ((seat.layer, seat.ordinal), ix));
        let is_here = |(_, ix): &(_, AgentIx)| {
            self.agent(*ix).is_some_and(|row| row.standing != Standing::Retired)
        };
        first.chain(added).filter(is_here).collect()
    }

    /// Every stack of the profile gets a chief who stays, and every chief a stack, if there are
    /// enough. Members stay where they are.
    fn lead(&mut self) {
        let chiefs: Vec<AgentIx> = self
            .seats_in(Layer::StackChief)
            .filter(|ix| self.group_of(*ix).is_none())
            .filter(|ix| self.agent(*ix).is_some_and(|row| !row.standing.is_leaving()))
            .collect();
        let mut idle: BTreeSet<AgentIx> = chiefs.iter().copied().collect();
        let mut open = Vec::new();
        for (ix, stack) in (0u32..).map(StackIx).zip(&self.stacks) {
            let is_led = stack.leader.is_some_and(|leader| idle.remove(&leader));
            if !is_led && !self.is_declared(stack.leader) {
                open.push(ix);
            }
        }
        let mut turns = chiefs.iter().copied().cycle();
        for ix in open {
            let leader = idle.pop_first().or_else(|| turns.next());
            if let Some(stack) = self.stacks.get_mut(ix.0 as usize) {
                stack.leader = leader;
            }
        }
        for leader in idle {
            self.push_stack(Some(leader));
        }
        self.label_chiefs();
    }

    /// The rows of chiefs that were added say which stack they lead.
    fn label_chiefs(&mut self) {
        let first = self.plan.agents();
        for (ix, stack) in (0u32..).map(StackIx).zip(&self.stacks) {
            let row = stack.leader.and_then(|leader| leader.0.checked_sub(first));
            let Some(seat) = row.and_then(|row| self.added.get_mut(row as usize)) else { continue };
            if seat.layer == Layer::StackChief && seat.stack.is_none() {
                seat.stack = Some(ix);
            }
        }
    }

    /// Counts the members of the profile's stacks.
    pub(super) fn dealer(&self) -> Dealer {
        let mut members = vec![0; self.stacks.len()];
        for ix in (0..self.len()).map(AgentIx) {
            let stays = self.agent(ix).is_some_and(|row| !row.standing.is_leaving());
            let stack = self.stack(ix).filter(|_| stays && self.layer(ix).works());
            if let Some(count) = stack.and_then(|stack| members.get_mut(stack.0 as usize)) {
                *count += 1;
            }
        }
        let stacks = members.into_iter().zip((0u32..).map(StackIx));
        let is_of_profile = |stack: &StackIx| !self.is_declared(self.leader(*stack));
        Dealer { stacks: stacks.filter(|(_, stack)| is_of_profile(stack)).collect() }
    }
}
