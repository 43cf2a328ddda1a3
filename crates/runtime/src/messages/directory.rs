//! Who there is to write to, and who may write to whom. A copy of the fleet's shape that every
//! thread reads; the loop notes in it who stands ready.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use ark_os_core::event::Standing;
use ark_os_core::fleet::Fleet;
use ark_os_core::fleet::profile::{FleetPlan, Seat, parse_agent_name};
use ark_os_core::ids::{AgentIx, StackIx};
use ark_os_core::layer::Layer;

use super::address::{Address, Party};

/// Steps from an agent up to CECCA: one for each layer.
const LAYERS: usize = 6;

/// The fleet as messages see it.
#[derive(Debug)]
pub struct Directory {
    /// Whom the instance began with: their names follow from their numbers.
    plan: FleetPlan,
    seats: Vec<Option<Seat>>,
    leaders: Box<[Option<AgentIx>]>,
    /// Who was added since; of those of one name, whoever is here.
    added: BTreeMap<String, AgentIx>,
    names: Vec<String>,
    active: Vec<AtomicBool>,
}

/// Why somebody may not write to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barred {
    /// Neither above nor below, not of one stack, not of the board.
    Unrelated,
    /// Only CECCA and the board speak to a whole layer or the fleet.
    TooLow,
}

impl Directory {
    pub(crate) fn of(fleet: &Fleet) -> Self {
        let plan = *fleet.plan();
        let stacks = fleet.pools().count() as u32;
        let mut directory = Directory {
            plan,
            seats: Vec::new(),
            leaders: (0..stacks).map(|stack| fleet.leader(StackIx(stack))).collect(),
            added: BTreeMap::new(),
            names: Vec::new(),
            active: Vec::new(),
        };
        directory.grow(fleet);
        directory
    }

    /// The seats behind those that it has.
    fn grow(&mut self, fleet: &Fleet) {
        for ix in (self.seats.len() as u32..fleet.len()).map(AgentIx) {
            let is_ready = fleet.agent(ix).is_some_and(|row| row.standing == Standing::Ready);
            self.seats.push(fleet.seat(ix));
            self.active.push(AtomicBool::new(is_ready));
            if ix.0 < self.plan.agents() {
                continue;
            }
            let name = fleet.name(ix);
            self.names.push(name.clone());
            let known = self.find(&name);
            if known.is_none_or(|known| fleet.presence(ix) >= fleet.presence(known)) {
                self.added.insert(name, ix);
            }
        }
    }

    /// A remote worker has come, or has left: nobody else's seat is another for that.
    pub(crate) fn follow_worker(&mut self, name: &str, fleet: &Fleet) {
        let before = self.added.get(name).copied();
        self.grow(fleet);
        let now = fleet.find(name);
        for ix in before.into_iter().chain(now) {
            if let Some(row) = fleet.agent(ix) {
                self.note(ix, row.standing);
            }
        }
        if let Some(ix) = now {
            self.added.insert(name.to_owned(), ix);
        }
    }

    pub(crate) fn note(&self, agent: AgentIx, standing: Standing) {
        if let Some(active) = self.active.get(agent.0 as usize) {
            active.store(standing == Standing::Ready, Ordering::Relaxed);
        }
    }

    /// The agent of this name: the one that is here.
    pub fn find(&self, name: &str) -> Option<AgentIx> {
        let founder =
            || parse_agent_name(name).and_then(|(layer, ordinal)| self.plan.agent(layer, ordinal));
        self.added.get(name).copied().or_else(founder)
    }

    /// An agent's name.
    pub fn name(&self, agent: AgentIx) -> String {
        match agent.0.checked_sub(self.plan.agents()) {
            None => self.plan.name(agent),
            Some(added) => self.names.get(added as usize).cloned().unwrap_or_default(),
        }
    }

    /// Whether there is such an agent.
    pub fn has(&self, agent: AgentIx) -> bool {
        (agent.0 as usize) < self.seats.len()
    }

    fn seat(&self, agent: AgentIx) -> Option<Seat> {
        *self.seats.get(agent.0 as usize)?
    }

    fn is_active(&self, agent: AgentIx) -> bool {
        self.active.get(agent.0 as usize).is_some_and(|it| it.load(Ordering::Relaxed))
    }

    /// The active agents of a broadcast, without its sender.
    pub(crate) fn active(&self, to: &Address, from: &Party) -> Vec<AgentIx> {
        let is_meant = |seat: &&Seat| {
            *from != Party::Agent(seat.agent)
                && self.is_active(seat.agent)
                && match to {
                    Address::Layer(layer) => seat.layer == *layer,
                    Address::Stack(stack) => seat.stack == Some(*stack),
                    Address::Fleet => true,
                    Address::Agent(_) | Address::Topic(_) | Address::Outside(_) => false,
                }
        };
        self.seats.iter().flatten().filter(is_meant).map(|seat| seat.agent).collect()
    }

    /// Whether the hierarchy lets the one write to the other: delegation goes down, escalation up,
    /// among the peers of a stack, and across from the board. CECCA reaches everybody. An answer may
    /// go wherever the question could have come from.
    pub(crate) fn permits(
        &self,
        from: AgentIx,
        to: &Address,
        is_answer: bool,
    ) -> Result<(), Barred> {
        let Some(seat) = self.seat(from) else { return Err(Barred::Unrelated) };
        match to {
            Address::Agent(to) => {
                let Some(other) = self.seat(*to) else { return Err(Barred::Unrelated) };
                let may = self.reaches(&seat, &other) || is_answer && self.reaches(&other, &seat);
                if may { Ok(()) } else { Err(Barred::Unrelated) }
            }
            Address::Stack(stack) => {
                let chief = self.leaders.get(stack.0 as usize).copied().flatten();
                let chief = chief.and_then(|chief| self.seat(chief));
                let may = is_across(&seat)
                    || seat.stack == Some(*stack)
                    || chief.is_some_and(|chief| self.is_above(&seat, &chief));
                if may { Ok(()) } else { Err(Barred::Unrelated) }
            }
            Address::Layer(_) | Address::Fleet => {
                if is_across(&seat) {
                    Ok(())
                } else {
                    Err(Barred::TooLow)
                }
            }
            // Whoever subscribes wants to hear; whoever is outside waits for an answer.
            Address::Topic(_) | Address::Outside(_) => Ok(()),
        }
    }

    fn reaches(&self, from: &Seat, to: &Seat) -> bool {
        let is_peer = match (from.stack, to.stack) {
            (Some(one), Some(other)) => one == other,
            _ => from.layer == to.layer && from.supervisor == to.supervisor,
        };
        is_across(from) || is_peer || self.is_above(from, to) || self.is_above(to, from)
    }

    /// Whether the one supervises the other, directly or through others.
    fn is_above(&self, upper: &Seat, lower: &Seat) -> bool {
        let mut at = lower.supervisor;
        for _ in 0..LAYERS {
            match at {
                None => return false,
                Some(agent) if agent == upper.agent => return true,
                Some(agent) => at = self.seat(agent).and_then(|seat| seat.supervisor),
            }
        }
        false
    }
}

fn is_across(seat: &Seat) -> bool {
    matches!(seat.layer, Layer::Cecca | Layer::Board)
}
