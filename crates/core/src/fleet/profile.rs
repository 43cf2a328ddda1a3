//! The shape of a fleet of N agents: how many per layer, who supervises whom, which stack.
//!
//! All of it follows from six counts by arithmetic, so a plan for 100 000 agents is 24 bytes. The
//! counts grow one seat at a time: a fleet of N + 1 has the agents of the fleet of N and one more.

use minicbor::{Decode, Encode};
use serde::Serialize;

use crate::ids::{AgentIx, StackIx};
use crate::layer::Layer;
use crate::limits::AGENTS_MAX;

/// Agents per layer of the smallest fleet that the table of the hierarchy describes: 186 in all.
const TABLE_MIN: [u32; 6] = [1, 5, 10, 20, 50, 100];
/// Agents per layer where every layer but micro is at the top of its range: 1 293 in all.
const TABLE_MAX: [u32; 6] = [3, 15, 25, 50, 200, 1_000];
/// Digits of an ordinal in a name; larger ordinals take more.
const ORDINAL_DIGITS: usize = 5;

/// Resources of one agent of a layer: weights for shares at admission, and upper limits of
/// sandboxed processes. They are not reservations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Resources {
    /// Thousandths of a processor core.
    pub cpu_millicores: u32,
    /// Memory in megabytes (10^6 bytes).
    pub memory_mb: u32,
    /// Disk in megabytes (10^6 bytes).
    pub disk_mb: u32,
    /// Network in megabits per second.
    pub network_mbps: u32,
}

const fn resources(
    cpu_millicores: u32,
    memory_mb: u32,
    disk_mb: u32,
    network_mbps: u32,
) -> Resources {
    Resources { cpu_millicores, memory_mb, disk_mb, network_mbps }
}

impl Resources {
    /// An agent of CECCA.
    pub const CECCA: Resources = resources(4_000, 8_000, 10_000, 100);
    /// An agent of the board.
    pub const BOARD: Resources = resources(2_000, 4_000, 5_000, 50);
    /// An executive.
    pub const EXECUTIVE: Resources = resources(2_000, 4_000, 5_000, 50);
    /// A stack chief.
    pub const STACK_CHIEF: Resources = resources(1_500, 2_000, 2_500, 25);
    /// A specialist.
    pub const SPECIALIST: Resources = resources(1_000, 1_000, 1_250, 10);
    /// A micro agent.
    pub const MICRO: Resources = resources(250, 250, 500, 5);

    /// The row of a layer.
    pub const fn of(layer: Layer) -> Resources {
        match layer {
            Layer::Cecca => Resources::CECCA,
            Layer::Board => Resources::BOARD,
            Layer::Executive => Resources::EXECUTIVE,
            Layer::StackChief => Resources::STACK_CHIEF,
            Layer::Specialist => Resources::SPECIALIST,
            Layer::Micro => Resources::MICRO,
        }
    }
}

/// How many agents of each layer, and with that the whole tree. Agents are numbered in the order
/// of their layers, highest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct FleetPlan {
    #[n(0)]
    counts: [u32; 6],
}

/// One agent's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seat {
    /// Its number in the fleet.
    pub agent: AgentIx,
    /// Its layer.
    pub layer: Layer,
    /// Its number in the layer, from 0.
    pub ordinal: u32,
    /// Who supervises it; none: it is of CECCA, or the runtime holds the seat above.
    pub supervisor: Option<AgentIx>,
    /// The stack it leads or works in; none above the stacks.
    pub stack: Option<StackIx>,
}

impl FleetPlan {
    /// The plan for a fleet of `n` agents. Callers refuse numbers outside 1 to [`AGENTS_MAX`];
    /// here they count as the nearest one inside.
    pub fn for_agents(n: u32) -> Self {
        let n = n.clamp(1, AGENTS_MAX);
        let mut counts = [0; 6];
        // One seat per layer, the lowest first, so that a tiny fleet can work at all.
        for count in counts.iter_mut().rev().take(n.min(6) as usize) {
            *count = 1;
        }
        let mut left = n.saturating_sub(6);
        left = hand_out(&mut counts, [0; 6], TABLE_MIN, left);
        left = hand_out(&mut counts, TABLE_MIN, TABLE_MAX, left);
        if let Some(micros) = counts.last_mut() {
            *micros += left;
        }
        FleetPlan { counts }
    }

    /// Agents in all.
    pub fn agents(&self) -> u32 {
        self.counts.iter().sum()
    }

    /// Agents of a layer.
    pub fn count(&self, layer: Layer) -> u32 {
        self.counts.get(layer.rank()).copied().unwrap_or(0)
    }

    /// Agents of each layer, highest first.
    pub fn counts(&self) -> [u32; 6] {
        self.counts
    }

    /// Whether the runtime holds the seat of this layer, for want of agents.
    pub fn is_held(&self, layer: Layer) -> bool {
        self.count(layer) == 0
    }

    /// The layers whose seat the runtime holds, highest first.
    pub fn held(&self) -> [bool; 6] {
        self.counts.map(|count| count == 0)
    }

    /// The `ordinal`-th agent of a layer, from 0.
    pub fn agent(&self, layer: Layer, ordinal: u32) -> Option<AgentIx> {
        let above: u32 = self.counts.iter().take(layer.rank()).sum();
        (ordinal < self.count(layer)).then(|| AgentIx(above + ordinal))
    }

    /// Layer and ordinal of an agent.
    pub fn place(&self, agent: AgentIx) -> Option<(Layer, u32)> {
        let mut ordinal = agent.0;
        for (layer, count) in Layer::ALL.into_iter().zip(self.counts) {
            if ordinal < count {
                return Some((layer, ordinal));
            }
            ordinal -= count;
        }
        None
    }

    /// An agent's name, `micro-00042`; empty for one that the fleet does not have.
    pub fn name(&self, agent: AgentIx) -> String {
        self.place(agent).map_or_else(String::new, |(layer, ordinal)| agent_name(layer, ordinal))
    }

    /// The layer of an agent. Beyond the last agent there would be only more micros.
    pub fn layer(&self, agent: AgentIx) -> Layer {
        self.place(agent).map_or(Layer::Micro, |(layer, _)| layer)
    }

    /// The stack that an agent leads or works in; none above the stacks.
    pub fn stack(&self, agent: AgentIx) -> Option<StackIx> {
        let (layer, ordinal) = self.place(agent)?;
        self.stack_of(layer, ordinal)
    }

    /// Everything about an agent's place.
    pub fn seat(&self, agent: AgentIx) -> Option<Seat> {
        let (layer, ordinal) = self.place(agent)?;
        let stack = self.stack_of(layer, ordinal);
        let supervisor = match layer {
            Layer::Cecca => None,
            Layer::Board => self.in_turn(Layer::Cecca, ordinal),
            Layer::Executive => self.in_turn(Layer::Board, ordinal),
            Layer::StackChief => self.in_turn(Layer::Executive, ordinal),
            Layer::Specialist | Layer::Micro => stack.and_then(|stack| self.chief(stack)),
        };
        Some(Seat { agent, layer, ordinal, supervisor, stack })
    }

    /// Every seat, in the order of the agents' numbers.
    pub fn seats(&self) -> impl Iterator<Item = Seat> + '_ {
        (0..self.agents()).filter_map(|ix| self.seat(AgentIx(ix)))
    }

    /// Stacks: one per chief, or one that the runtime leads.
    pub fn stack_count(&self) -> u32 {
        self.count(Layer::StackChief).max(1)
    }

    /// The chief of a stack; none where the runtime leads it.
    pub fn chief(&self, stack: StackIx) -> Option<AgentIx> {
        self.agent(Layer::StackChief, stack.0)
    }

    /// The specialists and micros of a stack, in the order of their numbers.
    pub fn members(&self, stack: StackIx) -> impl Iterator<Item = AgentIx> {
        let (first, end) = (self.agents() - self.workers(), self.agents());
        let start = if stack.0 < self.stack_count() { first + stack.0 } else { end };
        (start..end).step_by(self.stack_count() as usize).map(AgentIx)
    }

    fn workers(&self) -> u32 {
        self.count(Layer::Specialist) + self.count(Layer::Micro)
    }

    /// Members are dealt out like cards, specialists before micros, so that stacks differ by at
    /// most one agent in all and in each layer.
    fn stack_of(&self, layer: Layer, ordinal: u32) -> Option<StackIx> {
        let dealt = match layer {
            Layer::StackChief | Layer::Specialist => ordinal,
            Layer::Micro => self.count(Layer::Specialist) + ordinal,
            Layer::Cecca | Layer::Board | Layer::Executive => return None,
        };
        dealt.checked_rem(self.stack_count()).map(StackIx)
    }

    /// The agents of `layer` take turns.
    fn in_turn(&self, layer: Layer, turn: u32) -> Option<AgentIx> {
        self.agent(layer, turn.checked_rem(self.count(layer))?)
    }
}

/// Gives out up to `left` seats one by one, until every layer has its count of `full`; each to the
/// layer that is furthest from it by share of the way from `from` (the lowest such layer in a tie).
/// Returns the seats that are left.
///
/// Handing out singly is what makes the counts grow with N without any layer ever shrinking.
/// The loop is bounded by the sum of `full`, at most 1 293.
fn hand_out(counts: &mut [u32; 6], from: [u32; 6], full: [u32; 6], mut left: u32) -> u32 {
    while left > 0 {
        let rows = counts.iter_mut().zip(from.into_iter().zip(full)).rev();
        let wanting = rows.filter(|(count, (_, full))| **count < *full);
        // The next seat's share of the way, (done + 1) / way, compared without dividing.
        let next = wanting.min_by(|(a, (from_a, full_a)), (b, (from_b, full_b))| {
            let share_a = (**a + 1 - from_a) * (full_b - from_b);
            let share_b = (**b + 1 - from_b) * (full_a - from_a);
            share_a.cmp(&share_b)
        });
        let Some((count, _)) = next else { break };
        *count += 1;
        left -= 1;
    }
    left
}

/// The name of an agent: `micro-00042`.
pub fn agent_name(layer: Layer, ordinal: u32) -> String {
    ordinal_name(layer.as_str(), ordinal)
}

/// A name and a number in it: `name-00042`.
pub(super) fn ordinal_name(name: &str, ordinal: u32) -> String {
    format!("{name}-{ordinal:0ORDINAL_DIGITS$}")
}

/// Layer and ordinal of a name; none unless it is exactly what [`agent_name`] makes.
pub fn parse_agent_name(name: &str) -> Option<(Layer, u32)> {
    let (layer, ordinal) = parse_ordinal(name)?;
    let layer = Layer::ALL.into_iter().find(|known| known.as_str() == layer)?;
    Some((layer, ordinal))
}

/// The reverse of [`ordinal_name`].
pub(super) fn parse_ordinal(name: &str) -> Option<(&str, u32)> {
    let (name, digits) = name.rsplit_once('-')?;
    let is_padded = digits.len() == ORDINAL_DIGITS;
    let is_long = digits.len() > ORDINAL_DIGITS && !digits.starts_with('0');
    if !(is_padded || is_long) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((name, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_fleets_have_known_counts() {
        for (n, counts) in [
            (1, [0, 0, 0, 0, 0, 1]),
            (2, [0, 0, 0, 0, 1, 1]),
            (5, [0, 1, 1, 1, 1, 1]),
            (6, [1, 1, 1, 1, 1, 1]),
            (8, [1, 1, 1, 1, 1, 3]),
            (50, [1, 1, 2, 5, 13, 28]),
            (100, [1, 2, 5, 10, 27, 55]),
            (186, TABLE_MIN),
            (1_293, TABLE_MAX),
            (100_000, [3, 15, 25, 50, 200, 99_707]),
        ] {
            assert_eq!(FleetPlan::for_agents(n).counts(), counts, "{n}");
        }
    }

    #[test]
    fn runtime_holds_the_seats_that_a_tiny_fleet_cannot_fill() {
        let plan = FleetPlan::for_agents(3);
        assert_eq!(plan.held(), [true, true, true, false, false, false]);
        let chief = plan.agent(Layer::StackChief, 0).unwrap();
        assert_eq!(plan.seat(chief).unwrap().supervisor, None);
        let micro = plan.agent(Layer::Micro, 0).unwrap();
        assert_eq!(plan.seat(micro).unwrap().supervisor, Some(chief));

        let plan = FleetPlan::for_agents(1);
        let seat = plan.seat(AgentIx(0)).unwrap();
        assert_eq!((seat.layer, seat.supervisor), (Layer::Micro, None));
        assert_eq!(seat.stack, Some(StackIx(0)), "a stack that the runtime leads");
        assert_eq!(plan.seat(AgentIx(1)), None);
    }

    #[test]
    fn numbers_out_of_range_count_as_the_nearest() {
        assert_eq!(FleetPlan::for_agents(0), FleetPlan::for_agents(1));
        assert_eq!(FleetPlan::for_agents(u32::MAX).agents(), AGENTS_MAX);
    }

    #[test]
    fn names_read_back_and_foreign_ones_do_not() {
        assert_eq!(agent_name(Layer::Micro, 42), "micro-00042");
        assert_eq!(agent_name(Layer::StackChief, 123_456), "stack-chief-123456");
        for layer in Layer::ALL {
            for ordinal in [0, 7, 99_999, 100_000, u32::MAX] {
                let name = agent_name(layer, ordinal);
                assert_eq!(parse_agent_name(&name), Some((layer, ordinal)));
            }
        }
        for name in ["", "micro", "micro-", "micro-42", "micro-000042", "micro-+0042", "boss-00001"]
        {
            assert_eq!(parse_agent_name(name), None, "{name}");
        }
    }

    #[test]
    fn plan_reads_back_from_its_encoding() {
        let plan = FleetPlan::for_agents(777);
        let back: FleetPlan = minicbor::decode(&minicbor::to_vec(plan).unwrap()).unwrap();
        assert_eq!(back, plan);
    }

    #[test]
    fn resource_rows_never_grow_downwards() {
        for (upper, lower) in Layer::ALL.into_iter().zip(Layer::ALL.into_iter().skip(1)) {
            let (upper, lower) = (Resources::of(upper), Resources::of(lower));
            assert!(upper.cpu_millicores >= lower.cpu_millicores);
            assert!(upper.memory_mb >= lower.memory_mb && upper.disk_mb >= lower.disk_mb);
            assert!(upper.network_mbps >= lower.network_mbps);
        }
    }
}
