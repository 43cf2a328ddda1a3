//! The fleet as it lives: who stands how, who is idle, and the pools of progress tokens.
//!
//! A fleet is seats. Those of the profile at the start come first and follow from its plan by
//! arithmetic; what is added while the instance runs, and declared agents, stand behind them, one row
//! each. A seat keeps its number, name and stack as long as the instance runs.
//!
//! INVARIANT I19: for every stack, free + in use = capacity. A token is in use exactly while an
//! attempt of this instance start is under way on one of the stack's agents.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

use crate::event::Standing;
use crate::ids::{AgentIx, SkillIx, StackIx};
use crate::layer::Layer;
use crate::plan::EffectClass;
use crate::supervision::{Remedy, Rung, Tried};
use crate::text::Text;
use crate::time::Time;

mod groups;
mod joined;
mod pick;
pub mod profile;
mod scale;
mod seats;
mod snapshot;
pub mod spec;
mod tally;

pub use groups::{Group, GroupStanding};
pub use pick::Want;
pub use seats::Place;
pub(crate) use snapshot::FleetRows;

use profile::FleetPlan;
use seats::Added;

/// Starts for which tasks wait for workers that were there when the instance went down: after several
/// in a row, each of which may be too short to come back in, they are gone.
const STARTS_AWAITED: u8 = 3;
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
    /// The profile at the start, whose seats come first.
    plan: FleetPlan,
    /// Agents that the profile is to have now.
    profile: u32,
    agents: Vec<Agent>,
    /// The seats behind those of the plan.
    added: Vec<Added>,
    groups: Vec<Group>,
    stacks: Vec<Stack>,
    /// Stacks by falling number of free tokens.
    by_free: BTreeSet<(u32, StackIx)>,
    skills: Vec<Skill>,
    /// Agents of each layer that stand ready.
    ready: [u32; 6],
    /// Agents of each layer that are here to stay: neither starting nor leaving.
    seated: [u32; 6],
    concurrency: u32,
    in_use: u32,
    idle_order: u64,
    /// Why agents that do not stand ready do not.
    reasons: BTreeMap<AgentIx, Text>,
    /// What was done about agents that fail, and have not succeeded since.
    tried: BTreeMap<AgentIx, Tried>,
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
    /// Replacements in a row; a success ends the row.
    #[n(110)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub replaced: u32,
}

impl Agent {
    /// A row as it begins: agents are idle in the order of their numbers.
    fn fresh(ix: AgentIx) -> Self {
        Agent::seated(Standing::Ready, u64::from(ix.0) + 1)
    }

    /// Whether it failed, and has not succeeded since.
    pub(crate) fn is_failing(&self) -> bool {
        self.restarts > 0 || self.replaced > 0
    }

    /// Attempts that it gets at one time, of those that it may have: one that fails is throttled, so
    /// that less is lost with it the next time.
    fn at_once(&self, concurrency: u32) -> u32 {
        match self.is_failing() {
            true => throttled(concurrency),
            false => concurrency,
        }
    }

    fn seated(standing: Standing, idle: u64) -> Self {
        Agent { standing, busy: 0, strikes: 0, restarts: 0, incarnation: 0, idle, replaced: 0 }
    }
}

#[derive(Clone, Debug, PartialEq, Default)]
struct Stack {
    /// Who leads it; none: the runtime.
    leader: Option<AgentIx>,
    capacity: u32,
    in_use: u32,
    /// Attempts that the members of the profile who stand ready have room for.
    room: u32,
    /// Specialists and micros of the profile with room for another attempt, longest idle first.
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
    /// Whether the instance has it; one before it may have had others.
    #[n(1)]
    offered: bool,
    #[cbor(skip)]
    in_use: u32,
    /// The groups that offer it, by their places; none: the profile does, if the instance has it.
    #[cbor(skip)]
    groups: Vec<u32>,
    /// What a deployment allows of a skill of the instance at one time; none: what the instance does.
    #[n(3)]
    deployed_max: Option<u32>,
    /// For so many starts, this one included, tasks wait for the return of remote workers that had it;
    /// 0: nobody who had it has left. Records of old say yes or no, under 2.
    #[n(4)]
    #[cbor(skip_if = "crate::shared::is_default", default)]
    awaited: u8,
}

impl Skill {
    fn new(info: SkillInfo, offered: bool) -> Self {
        let scope = scope_of(&info);
        let (groups, awaited, deployed_max) = (Vec::new(), 0, None);
        Skill { info, scope, offered, in_use: 0, groups, deployed_max, awaited }
    }

    /// Tasks with it at one time; none: as many as there is room for.
    fn most(&self) -> Option<u32> {
        [self.info.concurrency_max, self.deployed_max].into_iter().flatten().min()
    }

    fn is_offered(&self) -> bool {
        self.offered || !self.groups.is_empty() || self.awaited > 0
    }
}

fn scope_of(skill: &SkillInfo) -> String {
    format!("skill:{}", skill.name)
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
        let plan = FleetPlan::for_agents(agents);
        let mut fleet = Fleet {
            plan,
            profile: plan.agents(),
            agents: (0..agents).map(|ix| Agent::fresh(AgentIx(ix))).collect(),
            added: Vec::new(),
            groups: Vec::new(),
            stacks: seats::stacks_of(&plan),
            by_free: BTreeSet::new(),
            skills: skill_table(skills, before),
            ready: [0; 6],
            seated: [0; 6],
            concurrency: concurrency.max(2),
            in_use: 0,
            idle_order: u64::from(agents),
            reasons: BTreeMap::new(),
            tried: BTreeMap::new(),
        };
        fleet.tally();
        fleet
    }

    /// The profile that it was started with.
    pub fn plan(&self) -> &FleetPlan {
        &self.plan
    }

    /// Agents that the profile is to have now; those beyond it leave when their work is done.
    pub fn profile(&self) -> u32 {
        self.profile
    }

    /// How many seats there are and were, since the start.
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

    /// Attempts that one agent of the profile may have under way.
    pub fn concurrency(&self) -> u32 {
        self.concurrency
    }

    /// Why an agent that does not stand ready does not.
    pub fn reason(&self, ix: AgentIx) -> Option<&Text> {
        self.reasons.get(&ix)
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
            .find(|(_, skill)| skill.is_offered() && &*skill.info.name == name)
            .map(|(ix, _)| SkillIx(ix))
    }

    /// What is known of a skill.
    pub fn skill_info(&self, skill: SkillIx) -> Option<&SkillInfo> {
        self.skills.get(skill.0 as usize).map(|skill| &skill.info)
    }

    /// Attempts under way at a skill.
    pub fn in_use_of(&self, skill: SkillIx) -> u32 {
        self.skills.get(skill.0 as usize).map_or(0, |skill| skill.in_use)
    }

    /// Every skill that this fleet or one before it offered, with its number.
    pub fn known_skills(&self) -> impl Iterator<Item = (SkillIx, &SkillInfo)> + '_ {
        (0u32..).zip(&self.skills).map(|(ix, skill)| (SkillIx(ix), &skill.info))
    }

    /// The scope that an authority must cover to use a skill.
    pub fn skill_scope(&self, skill: SkillIx) -> Option<&str> {
        self.skills.get(skill.0 as usize).map(|skill| skill.scope.as_str())
    }

    /// Whether somebody offers this skill.
    pub fn offers(&self, skill: SkillIx) -> bool {
        self.skills.get(skill.0 as usize).is_some_and(Skill::is_offered)
    }

    /// Whether the instance has this skill, whoever offers it.
    pub fn is_of_instance(&self, name: &str) -> bool {
        self.skills.iter().any(|skill| skill.offered && &*skill.info.name == name)
    }

    /// All skills on offer.
    pub fn skills(&self) -> impl Iterator<Item = &SkillInfo> + '_ {
        self.skills.iter().filter(|skill| skill.is_offered()).map(|skill| &skill.info)
    }

    /// The highest layer above the workers that has nobody to do its step. A layer whose seat the
    /// runtime holds is never empty.
    pub fn empty_layer(&self) -> Option<Layer> {
        Layer::ALL
            .into_iter()
            .filter(|layer| !layer.works())
            .find(|layer| !self.is_held(*layer) && self.ready_in(*layer) == 0)
    }

    /// Whether the runtime holds the seat of this layer, for want of agents.
    pub fn is_held(&self, layer: Layer) -> bool {
        self.seated_in(layer) == 0
    }

    /// Agents that are here to stay, whatever their standing.
    pub fn present(&self) -> u32 {
        self.seated.iter().sum()
    }

    /// Agents of a layer that are here to stay, whatever their standing.
    pub fn seated_in(&self, layer: Layer) -> u32 {
        self.seated.get(layer.rank()).copied().unwrap_or(0)
    }

    /// Agents of a layer that stand ready.
    pub fn ready_in(&self, layer: Layer) -> u32 {
        self.ready.get(layer.rank()).copied().unwrap_or(0)
    }

    /// Who does a layer's step: the first that stands ready; none where the runtime holds the seat.
    pub fn deciding(&self, layer: Layer) -> Option<AgentIx> {
        self.seats_in(layer)
            .find(|ix| self.agent(*ix).is_some_and(|agent| agent.standing == Standing::Ready))
    }

    /// A progress token is drawn.
    pub(crate) fn draw(&mut self, agent: AgentIx, skill: SkillIx) {
        self.count_skill(skill, 1);
        self.with_agent(agent, |row| row.busy += 1);
    }

    /// A progress token comes back; whoever leaves and has no other is gone.
    pub(crate) fn put_back(&mut self, agent: AgentIx, skill: SkillIx) {
        self.count_skill(skill, -1);
        self.with_agent(agent, |row| {
            row.busy = row.busy.saturating_sub(1);
            if row.standing == Standing::Draining && row.busy == 0 {
                row.standing = Standing::Retired;
            }
        });
    }

    fn count_skill(&mut self, skill: SkillIx, by: i32) {
        if let Some(skill) = self.skills.get_mut(skill.0 as usize) {
            skill.in_use = skill.in_use.saturating_add_signed(by);
        }
    }

    /// An agent's standing changed. Who has left does not come back, and who starts or leaves does
    /// so whatever else is said of it.
    pub(crate) fn set_standing(&mut self, agent: AgentIx, standing: Standing, reason: &Text) {
        let Some(row) = self.agent(agent) else { return };
        if row.standing.is_passing() && !standing.is_passing() {
            return;
        }
        match standing {
            Standing::Ready => self.reasons.remove(&agent),
            _ => self.reasons.insert(agent, reason.clone()),
        };
        self.with_agent(agent, |row| {
            match standing {
                Standing::Restarting => row.restarts += 1,
                Standing::Replaced => {
                    row.restarts = 0;
                    row.incarnation += 1;
                    row.replaced += 1;
                }
                Standing::Ready
                | Standing::Offline
                | Standing::Starting
                | Standing::Draining
                | Standing::Retired
                | Standing::Suspect
                | Standing::Quarantined => {}
            }
            if standing != Standing::Ready {
                row.strikes = 0;
            }
            row.standing = match standing {
                Standing::Draining if row.busy == 0 => Standing::Retired,
                _ => standing,
            };
        });
    }

    /// Its work was refused.
    pub(crate) fn strike(&mut self, agent: AgentIx) {
        if let Some(row) = self.agents.get_mut(agent.0 as usize) {
            row.strikes += 1;
        }
    }

    /// Its work was accepted: the row of failures ends, and with it what was done about them.
    /// Whether there was one.
    pub(crate) fn praise(&mut self, agent: AgentIx) -> bool {
        let was_failing = self.agent(agent).is_some_and(Agent::is_failing);
        if was_failing {
            self.tried.remove(&agent);
            self.with_agent(agent, |row| (row.restarts, row.replaced) = (0, 0));
        }
        was_failing
    }

    /// What was done about an agent that fails, in order; a success ends the row.
    pub fn tried(&self, agent: AgentIx) -> &[Rung] {
        self.tried.get(&agent).map_or(&[], Tried::rungs)
    }

    /// A standing that is a remedy, or begins one, is remembered with its time.
    pub(crate) fn note_remedy(&mut self, agent: AgentIx, standing: Standing, at: Time) {
        let most = self.concurrency_of(agent);
        let is_it = |row: &&Agent| row.standing == standing && row.is_failing();
        let Some(row) = self.agent(agent).filter(is_it) else { return };
        let is_throttled = row.at_once(most) < most;
        let is_new = self.tried(agent).last().is_none_or(|rung| rung.remedy != Remedy::Throttle);
        match standing {
            Standing::Restarting | Standing::Replaced => {
                let remedy = match standing {
                    Standing::Restarting => Remedy::Restart,
                    _ => Remedy::Replace,
                };
                let tried = self.tried.entry(agent).or_default();
                tried.fail(at);
                tried.apply(remedy, at);
            }
            Standing::Ready if is_throttled && is_new => {
                self.tried.entry(agent).or_default().apply(Remedy::Throttle, at);
            }
            _ => {}
        }
    }

    /// Attempts that an agent gets at one time as things stand.
    pub fn at_once(&self, agent: AgentIx) -> u32 {
        let most = self.concurrency_of(agent);
        self.agent(agent).map_or(most, |row| row.at_once(most))
    }
}

/// Half of the attempts. Of two each pool keeps one for emergencies: with fewer an agent that is alone
/// would get no other work, and could never show that it works again.
fn throttled(concurrency: u32) -> u32 {
    (concurrency / 2).max(2).min(concurrency)
}

/// The skills on offer, at the places they had before; what is not offered any more keeps its own.
fn skill_table(offered: &[SkillInfo], before: Option<&Fleet>) -> Vec<Skill> {
    let mut table: Vec<Skill> = before.map(|fleet| fleet.skills.clone()).unwrap_or_default();
    let joined = before.into_iter().flat_map(Fleet::live_workers);
    let brought: BTreeSet<&Text> = joined.flat_map(|group| &group.spec().skills).collect();
    for skill in &mut table {
        skill.awaited = match brought.contains(&skill.info.name) {
            true => STARTS_AWAITED,
            false => skill.awaited.saturating_sub(1),
        };
        skill.offered = false;
        skill.in_use = 0;
        skill.groups.clear();
    }
    for info in offered {
        let skill = Skill::new(info.clone(), true);
        match table.iter_mut().find(|known| known.info.name == info.name) {
            Some(known) => *known = skill,
            None => table.push(skill),
        }
    }
    table
}
