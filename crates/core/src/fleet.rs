//! The fleet as it lives: who stands how, who is idle, and the pools of progress tokens.
//!
//! INVARIANT I19: for every stack, free + in use = capacity. A token is in use exactly while an
//! attempt of this instance start is under way on one of the stack's agents.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use crate::event::Standing;
use crate::ids::{AgentIx, SkillIx, StackIx};
use crate::layer::Layer;
use crate::plan::EffectClass;
use crate::text::Text;

pub mod profile;
mod snapshot;
pub mod spec;

pub(crate) use snapshot::FleetRows;

use profile::FleetPlan;

/// Tokens of each pool that only emergency work may draw.
const EMERGENCY_RESERVE: u32 = 1;

/// A skill that the fleet's workers offer.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct SkillInfo {
    /// Its name.
    #[n(0)]
    pub name: Text,
    /// What its work may do to the world.
    #[n(1)]
    pub class: EffectClass,
    /// Tasks with this skill at one time; none: no limit of its own.
    #[n(2)]
    pub concurrency_max: Option<u32>,
}

/// The fleet.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    plan: FleetPlan,
    agents: Vec<Agent>,
    stacks: Vec<Stack>,
    /// Stacks by falling number of free tokens.
    by_free: BTreeSet<(u32, StackIx)>,
    skills: Vec<Skill>,
    /// Agents of each layer that stand ready.
    ready: [u32; 6],
    concurrency: u32,
    in_use: u32,
    idle_order: u64,
}

/// A row of the fleet.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Agent {
    /// How it stands.
    #[n(0)]
    pub standing: Standing,
    /// Attempts under way.
    #[cbor(skip)]
    pub busy: u32,
    /// Refused work since it was last restarted.
    #[n(1)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub strikes: u32,
    /// Restarts in a row; a success ends the row.
    #[n(2)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub restarts: u32,
    /// How many agents have sat in this seat before.
    #[n(3)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub incarnation: u32,
    #[n(4)]
    idle: u64,
}

impl Agent {
    /// A row as it begins: agents are idle in the order of their numbers.
    fn fresh(ix: AgentIx) -> Self {
        Agent {
            standing: Standing::Ready,
            busy: 0,
            strikes: 0,
            restarts: 0,
            incarnation: 0,
            idle: u64::from(ix.0) + 1,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
struct Stack {
    capacity: u32,
    in_use: u32,
    /// Attempts that the members who stand ready have room for.
    room: u32,
    /// Specialists and micros with room for another attempt, longest idle first.
    idle: [BTreeSet<(u64, AgentIx)>; 2],
}

impl Stack {
    /// Smaller with more free tokens.
    fn rank(&self) -> u32 {
        u32::MAX - self.capacity.saturating_sub(self.in_use)
    }
}

#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Skill {
    #[n(0)]
    info: SkillInfo,
    /// What an authority must cover to use it.
    #[cbor(skip)]
    scope: String,
    /// Whether this fleet has it; one before it may have had others.
    #[n(1)]
    offered: bool,
    #[cbor(skip)]
    in_use: u32,
}

impl Skill {
    fn offered(info: SkillInfo) -> Self {
        let scope = scope_of(&info);
        Skill { info, scope, offered: true, in_use: 0 }
    }
}

fn scope_of(skill: &SkillInfo) -> String {
    format!("skill:{}", skill.name)
}

/// What is asked of the fleet when a task is to start.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// The skill.
    pub skill: SkillIx,
    /// Whether it may use the token that each pool keeps back.
    pub emergency: bool,
    /// Who failed at it before: taken only if there is nobody else.
    pub avoid: Option<AgentIx>,
}

impl Fleet {
    /// A fresh fleet: everybody ready and idle. Skills keep the place they had in the one `before`,
    /// so that runs in flight still mean the same by them.
    pub fn new(
        agents: u32,
        skills: &[SkillInfo],
        concurrency: u32,
        before: Option<&Fleet>,
    ) -> Self {
        let mut fleet = Fleet {
            agents: (0..agents).map(|ix| Agent::fresh(AgentIx(ix))).collect(),
            stacks: Vec::new(),
            by_free: BTreeSet::new(),
            skills: skill_table(skills, before),
            ready: [0; 6],
            concurrency: concurrency.max(2),
            in_use: 0,
            idle_order: u64::from(agents),
            plan: FleetPlan::for_agents(agents),
        };
        fleet.tally();
        fleet
    }

    /// Works out from the agents' rows what is kept beside them so that nobody has to look for it.
    fn tally(&mut self) {
        let Fleet { plan, agents, concurrency, .. } = &*self;
        let mut stacks = vec![Stack::default(); plan.stack_count() as usize];
        let mut ready = [0; 6];
        for (ix, row) in (0u32..).map(AgentIx).zip(agents) {
            let layer = plan.layer(ix);
            let is_ready = row.standing == Standing::Ready;
            if let Some(count) = ready.get_mut(layer.rank()) {
                *count += u32::from(is_ready);
            }
            let stack = plan.stack(ix).and_then(|stack| stacks.get_mut(stack.0 as usize));
            let Some(stack) = stack else { continue };
            stack.in_use += row.busy;
            let Some(bench) = bench(layer) else { continue };
            stack.capacity += concurrency;
            let room = if is_ready { concurrency.saturating_sub(row.busy) } else { 0 };
            stack.room += room;
            if let Some(idle) = stack.idle.get_mut(bench).filter(|_| room > 0) {
                idle.insert((row.idle, ix));
            }
        }
        self.in_use = agents.iter().map(|row| row.busy).sum();
        let by_free = (0u32..).zip(&stacks).map(|(ix, stack)| (stack.rank(), StackIx(ix)));
        self.by_free = by_free.collect();
        (self.stacks, self.ready) = (stacks, ready);
    }

    /// The tree it was built from.
    pub fn plan(&self) -> &FleetPlan {
        &self.plan
    }

    /// An agent's name: `micro-00042`.
    pub fn name(&self, ix: AgentIx) -> String {
        self.plan.name(ix)
    }

    /// How many agents there are.
    pub fn len(&self) -> u32 {
        self.agents.len() as u32
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// An agent's row.
    pub fn agent(&self, ix: AgentIx) -> Option<&Agent> {
        self.agents.get(ix.0 as usize)
    }

    /// Attempts that one agent may have under way.
    pub fn concurrency(&self) -> u32 {
        self.concurrency
    }

    /// Attempts under way in the whole fleet.
    pub fn in_use(&self) -> u32 {
        self.in_use
    }

    /// Capacity and use of each stack's pool of progress tokens.
    pub fn pools(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.stacks.iter().map(|stack| (stack.capacity, stack.in_use))
    }

    /// The skill with this name.
    pub fn skill(&self, name: &str) -> Option<SkillIx> {
        (0u32..)
            .zip(&self.skills)
            .find(|(_, skill)| skill.offered && &*skill.info.name == name)
            .map(|(ix, _)| SkillIx(ix))
    }

    /// What is known of a skill.
    pub fn skill_info(&self, skill: SkillIx) -> Option<&SkillInfo> {
        self.skills.get(skill.0 as usize).map(|skill| &skill.info)
    }

    /// The scope that an authority must cover to use a skill.
    pub fn skill_scope(&self, skill: SkillIx) -> Option<&str> {
        self.skills.get(skill.0 as usize).map(|skill| skill.scope.as_str())
    }

    /// All skills on offer.
    pub fn skills(&self) -> impl Iterator<Item = &SkillInfo> + '_ {
        self.skills.iter().filter(|skill| skill.offered).map(|skill| &skill.info)
    }

    /// The highest layer above the workers that has nobody to do its step. A layer whose seat the
    /// runtime holds is never empty.
    pub fn empty_layer(&self) -> Option<Layer> {
        Layer::ALL
            .into_iter()
            .filter(|layer| !layer.works())
            .find(|layer| !self.plan.is_held(*layer) && self.ready_in(*layer) == 0)
    }

    /// Agents of a layer that stand ready.
    pub fn ready_in(&self, layer: Layer) -> u32 {
        self.ready.get(layer.rank()).copied().unwrap_or(0)
    }

    /// Who does a layer's step: the first that stands ready; none where the runtime holds the seat.
    pub fn deciding(&self, layer: Layer) -> Option<AgentIx> {
        (0..self.plan.count(layer))
            .filter_map(|ordinal| self.plan.agent(layer, ordinal))
            .find(|ix| self.agent(*ix).is_some_and(|agent| agent.standing == Standing::Ready))
    }

    /// Who could start such a task now, counting those that `taken` in the same decision.
    pub fn pick(&self, want: Want, taken: &[AgentIx]) -> Option<AgentIx> {
        let skill = self.skills.get(want.skill.0 as usize).filter(|skill| skill.offered)?;
        let taken_here = taken.len() as u32;
        if skill.info.concurrency_max.is_some_and(|max| skill.in_use + taken_here >= max) {
            return None;
        }
        let (owner, benches) = match skill.info.class {
            EffectClass::Pure => (Layer::Micro, [1, 0]),
            _ => (Layer::Specialist, [0, 1]),
        };
        // The other workers help out, but they do not take a missing layer's place.
        if self.ready_in(owner) == 0 && !self.plan.is_held(owner) {
            return None;
        }
        let search = |avoid: Option<AgentIx>| {
            benches.into_iter().find_map(|bench| self.search(bench, want.emergency, avoid, taken))
        };
        search(want.avoid).or_else(|| want.avoid.and_then(|_| search(None)))
    }

    fn search(
        &self,
        bench: usize,
        emergency: bool,
        avoid: Option<AgentIx>,
        taken: &[AgentIx],
    ) -> Option<AgentIx> {
        let reserve = if emergency { 0 } else { EMERGENCY_RESERVE };
        for (rank, ix) in &self.by_free {
            let free = u32::MAX - rank;
            if free <= reserve {
                return None;
            }
            let here = taken.iter().filter(|agent| self.plan.stack(**agent) == Some(*ix)).count();
            let Some(stack) = self.stacks.get(ix.0 as usize) else { continue };
            // A token for emergencies is worth nothing without an agent who has room for it.
            let left = free.min(stack.room);
            if left <= reserve + here as u32 || !self.is_supervised(*ix) {
                continue;
            }
            let idle = stack.idle.get(bench);
            let found = idle.into_iter().flatten().map(|(_, agent)| *agent).find(|agent| {
                let more = taken.iter().filter(|other| *other == agent).count() as u32;
                let busy = self.agent(*agent).map_or(u32::MAX, |row| row.busy);
                Some(*agent) != avoid && busy + more < self.concurrency
            });
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Routing is the chief's step: without one, the stack's work waits.
    fn is_supervised(&self, stack: StackIx) -> bool {
        match self.plan.chief(stack) {
            None => true,
            Some(chief) => self.agent(chief).is_some_and(|row| row.standing == Standing::Ready),
        }
    }

    fn stack_of_mut(&mut self, agent: AgentIx) -> Option<&mut Stack> {
        let ix = self.plan.stack(agent)?;
        self.stacks.get_mut(ix.0 as usize)
    }

    /// A progress token is drawn.
    pub(crate) fn draw(&mut self, agent: AgentIx, skill: SkillIx) {
        self.in_use += 1;
        self.count_skill(skill, 1);
        self.shift_pool(agent, 1);
        self.with_agent(agent, |row| row.busy += 1);
    }

    /// A progress token comes back.
    pub(crate) fn put_back(&mut self, agent: AgentIx, skill: SkillIx) {
        self.in_use = self.in_use.saturating_sub(1);
        self.count_skill(skill, -1);
        self.shift_pool(agent, -1);
        self.with_agent(agent, |row| row.busy = row.busy.saturating_sub(1));
    }

    fn count_skill(&mut self, skill: SkillIx, by: i32) {
        if let Some(skill) = self.skills.get_mut(skill.0 as usize) {
            skill.in_use = skill.in_use.saturating_add_signed(by);
        }
    }

    fn shift_pool(&mut self, agent: AgentIx, by: i32) {
        let Some(ix) = self.plan.stack(agent) else { return };
        let Some(stack) = self.stacks.get_mut(ix.0 as usize) else { return };
        let rank = stack.rank();
        stack.in_use = stack.in_use.saturating_add_signed(by);
        let new_rank = stack.rank();
        self.by_free.remove(&(rank, ix));
        self.by_free.insert((new_rank, ix));
    }

    /// Changes a row and moves it on or off its bench.
    fn with_agent(&mut self, ix: AgentIx, change: impl FnOnce(&mut Agent)) {
        let layer = self.plan.layer(ix);
        let concurrency = self.concurrency;
        self.idle_order += 1;
        let order = self.idle_order;
        let Some(row) = self.agents.get_mut(ix.0 as usize) else { return };
        let is_open = |row: &Agent| row.standing == Standing::Ready && row.busy < concurrency;
        let room = |row: &Agent| match row.standing {
            Standing::Ready => concurrency.saturating_sub(row.busy),
            _ => 0,
        };
        let (was_open, old_key, was_ready, old_room) =
            (is_open(row), row.idle, row.standing == Standing::Ready, room(row));
        change(row);
        row.idle = order;
        let (opens, is_ready, new_room) =
            (is_open(row), row.standing == Standing::Ready, room(row));
        if was_ready != is_ready
            && let Some(count) = self.ready.get_mut(layer.rank())
        {
            *count = count.saturating_add_signed(if is_ready { 1 } else { -1 });
        }
        let Some(bench) = bench(layer) else { return };
        let Some(stack) = self.stack_of_mut(ix) else { return };
        stack.room = (stack.room + new_room).saturating_sub(old_room);
        let Some(idle) = stack.idle.get_mut(bench) else { return };
        if was_open {
            idle.remove(&(old_key, ix));
        }
        if opens {
            idle.insert((order, ix));
        }
    }

    /// An agent's standing changed.
    pub(crate) fn set_standing(&mut self, agent: AgentIx, standing: Standing) {
        self.with_agent(agent, |row| {
            match standing {
                Standing::Ready | Standing::Offline => {}
                Standing::Restarting => row.restarts += 1,
                Standing::Replaced => {
                    row.restarts = 0;
                    row.incarnation += 1;
                }
            }
            if standing != Standing::Ready {
                row.strikes = 0;
            }
            row.standing = standing;
        });
    }

    /// Its work was refused.
    pub(crate) fn strike(&mut self, agent: AgentIx) {
        if let Some(row) = self.agents.get_mut(agent.0 as usize) {
            row.strikes += 1;
        }
    }

    /// Its work was accepted: the row of restarts ends.
    pub(crate) fn praise(&mut self, agent: AgentIx) {
        if let Some(row) = self.agents.get_mut(agent.0 as usize) {
            row.restarts = 0;
        }
    }
}

/// The skills on offer, at the places they had before; what is not offered any more keeps its own.
fn skill_table(offered: &[SkillInfo], before: Option<&Fleet>) -> Vec<Skill> {
    let mut table: Vec<Skill> = before.map(|fleet| fleet.skills.clone()).unwrap_or_default();
    for skill in &mut table {
        skill.offered = false;
        skill.in_use = 0;
    }
    for info in offered {
        let skill = Skill::offered(info.clone());
        match table.iter_mut().find(|known| known.info.name == info.name) {
            Some(known) => *known = skill,
            None => table.push(skill),
        }
    }
    table
}

/// Which bench of its stack a worker sits on.
fn bench(layer: Layer) -> Option<usize> {
    match layer {
        Layer::Specialist => Some(0),
        Layer::Micro => Some(1),
        _ => None,
    }
}
