//! Declared groups in a fleet that runs: their seats are staged beside what is there, adopted all at
//! once, or taken back.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

use super::scale::Dealer;
use super::seats::Added;
use super::spec::{FleetSpec, GroupSpec};
use super::{Agent, Fleet, Skill, SkillInfo, Stack};
use crate::event::{BrokenGroup, Standing};
use crate::ids::{AgentIx, StackIx};
use crate::layer::Layer;
use crate::text::Text;

/// A declared group of the fleet.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Group {
    #[n(0)]
    pub(super) spec: GroupSpec,
    #[n(1)]
    pub(super) standing: GroupStanding,
    /// How many members the deployment under way gives it; none: none.
    #[n(2)]
    pub(super) next: Option<u32>,
    /// Whether it is a remote worker, which no deployment speaks of.
    #[n(3)]
    #[cbor(skip_if = "crate::shared::is_default", default)]
    pub(super) joined: bool,
    #[cbor(skip)]
    pub(super) bench: Bench,
}

/// How a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum GroupStanding {
    /// Its deployment is under way.
    #[n(0)]
    Starting,
    /// It offers its skills.
    #[n(1)]
    Live,
    /// It does not any more; its agents leave or have left.
    #[n(2)]
    Left,
}

/// The members with room for another attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Bench {
    /// Longest idle first.
    pub(super) idle: BTreeSet<(u64, AgentIx)>,
    pub(super) room: u32,
    /// Attempts that those who stand ready may have under way in all.
    pub(super) tokens: u32,
}

impl Group {
    /// What was declared of it.
    pub fn spec(&self) -> &GroupSpec {
        &self.spec
    }

    /// How it stands.
    pub fn standing(&self) -> GroupStanding {
        self.standing
    }
}

/// A deployment's seats in the making, and where to find what is there.
struct Staging<'a> {
    /// Groups of the deployment so far: their place, and whether their members are those of before,
    /// so that who is supervised by them stays, too.
    done: BTreeMap<&'a Text, (u32, bool)>,
    /// Groups that are deployed, by name.
    live: BTreeMap<Text, u32>,
    /// The members of each group who stay or start.
    members: Vec<Vec<AgentIx>>,
    /// The stack of each leader.
    led: BTreeMap<AgentIx, StackIx>,
    dealer: Dealer,
}

impl Fleet {
    /// The declared groups, those that have left included.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// A group's seats, those that have left included, in order.
    pub fn seats_of(&self, group: u32) -> impl Iterator<Item = AgentIx> + '_ {
        self.added_seats().filter(move |(_, seat)| seat.group == Some(group)).map(|(ix, _)| ix)
    }

    /// The places of groups of which somebody is still here.
    pub fn groups_present(&self) -> BTreeSet<u32> {
        let is_here =
            |ix: AgentIx| self.agent(ix).is_some_and(|row| row.standing != Standing::Retired);
        self.added_seats().filter(|(ix, _)| is_here(*ix)).filter_map(|(_, it)| it.group).collect()
    }

    /// Agents that start, of a layer.
    pub fn starting(&self, layer: Layer) -> impl Iterator<Item = AgentIx> + '_ {
        let starts =
            |ix: &AgentIx| self.agent(*ix).is_some_and(|row| row.standing == Standing::Starting);
        let seats = self.added_seats().filter(move |(_, seat)| seat.layer == layer);
        seats.map(|(ix, _)| ix).filter(starts)
    }

    /// The highest layer that has agents who start, of those below this one.
    pub(crate) fn next_starting(&self, above: Option<Layer>) -> Option<Layer> {
        let is_below = |layer: &Layer| above.is_none_or(|above| *layer > above);
        let mut below = Layer::ALL.into_iter().filter(is_below);
        below.find(|layer| self.starting(*layer).next().is_some())
    }

    /// Declared agents at once, as a fleet has them that begins with them; those of groups that could
    /// not be set up are offline.
    pub(crate) fn begin_with(&mut self, spec: &FleetSpec, broken: &[BrokenGroup]) {
        self.stage(spec);
        self.adopt(&spec.skills);
        for it in broken {
            let group = self.groups.iter().position(|group| group.spec.name == it.group);
            let seats: Vec<AgentIx> =
                group.map(|ix| self.seats_of(ix as u32).collect()).unwrap_or_default();
            for seat in seats {
                self.set_standing(seat, Standing::Offline, &it.reason);
            }
        }
    }

    /// Seats for what is new in a deployment: they start, and take no work yet. A group that works
    /// and is led as before keeps its seats.
    pub(crate) fn stage(&mut self, spec: &FleetSpec) {
        let mut staging = self.staging();
        for group in spec.in_order() {
            let above = group.supervisor.as_ref().map(|name| staging.done.get(name).copied());
            let is_led_as_before = above.is_none_or(|it| it.is_some_and(|(_, is_same)| is_same));
            let known = self.kept(group, &staging).filter(|_| is_led_as_before);
            let is_same = known.is_some_and(|ix| self.count_of(ix) == group.count);
            let ix = known.unwrap_or_else(|| {
                staging.members.push(Vec::new());
                self.push_group(group)
            });
            if let Some(it) = self.groups.get_mut(ix as usize) {
                it.next = Some(group.count);
            }
            self.fill((ix, group), above.flatten().map(|(above, _)| above), &mut staging);
            staging.done.insert(&group.name, (ix, is_same));
        }
        self.tally();
    }

    fn staging<'a>(&self) -> Staging<'a> {
        let places = (0u32..).zip(&self.groups);
        let is_live = |group: &Group| group.standing == GroupStanding::Live && !group.joined;
        let live = places.filter(|(_, group)| is_live(group));
        let mut members = vec![Vec::new(); self.groups.len()];
        for (ix, seat) in self.added_seats() {
            let list = seat.group.and_then(|group| members.get_mut(group as usize));
            let is_here = self.agent(ix).is_some_and(|row| !row.standing.is_leaving());
            if let Some(list) = list.filter(|_| is_here) {
                list.push(ix);
            }
        }
        let stacks = (0u32..).map(StackIx).zip(&self.stacks);
        Staging {
            done: BTreeMap::new(),
            live: live.map(|(ix, group)| (group.spec.name.clone(), ix)).collect(),
            members,
            led: stacks.filter_map(|(ix, stack)| Some((stack.leader?, ix))).collect(),
            dealer: self.dealer(),
        }
    }

    /// The group that is deployed and is just like this one, but for its count.
    fn kept(&self, group: &GroupSpec, staging: &Staging<'_>) -> Option<u32> {
        let ix = staging.live.get(&group.name).copied()?;
        let known = &self.groups.get(ix as usize)?.spec;
        let is_same = (known.count == 1) == (group.count == 1)
            && GroupSpec { count: group.count, ..known.clone() } == *group;
        is_same.then_some(ix)
    }

    fn count_of(&self, group: u32) -> u32 {
        self.groups.get(group as usize).map_or(0, |group| group.spec.count)
    }

    fn push_group(&mut self, spec: &GroupSpec) -> u32 {
        let standing = GroupStanding::Starting;
        let (spec, bench) = (spec.clone(), Bench::default());
        let group = Group { spec, standing, next: None, joined: false, bench };
        self.groups.push(group);
        self.groups.len() as u32 - 1
    }

    /// Seats for the members that a group has not.
    fn fill(
        &mut self,
        (ix, spec): (u32, &GroupSpec),
        above: Option<u32>,
        staging: &mut Staging<'_>,
    ) {
        let of = |group: u32| staging.members.get(group as usize).cloned().unwrap_or_default();
        let (mut here, leaders) = (of(ix), above.map(of).unwrap_or_default());
        let ordinals = here.iter().filter_map(|ix| self.added(*ix)).map(|seat| seat.ordinal);
        let known: BTreeSet<u32> = ordinals.collect();
        for ordinal in (0..spec.count).filter(|ordinal| !known.contains(ordinal)) {
            let turn = ordinal.checked_rem(leaders.len() as u32).unwrap_or(0);
            let supervisor = leaders.get(turn as usize).copied();
            let agent = AgentIx(self.len());
            let leader = if spec.layer == Layer::StackChief { Some(agent) } else { supervisor };
            let stack = match (spec.layer, leader) {
                (Layer::Cecca | Layer::Board | Layer::Executive, _) => None,
                (_, Some(leader)) => Some(match staging.led.get(&leader) {
                    Some(stack) => *stack,
                    None => self.push_stack(Some(leader)),
                }),
                (_, None) => staging.dealer.next(),
            };
            if let (Some(leader), Some(stack)) = (leader, stack) {
                staging.led.insert(leader, stack);
            }
            let layer = spec.layer;
            let group = Some(ix);
            let seat = Added { layer, ordinal, stack, supervisor, group, concurrency: None };
            here.push(self.push_seat(seat, Standing::Starting));
        }
        // Members beyond the count lead nobody new: they leave when the deployment is done.
        here.retain(|ix| self.added(*ix).is_some_and(|seat| seat.ordinal < spec.count));
        if let Some(list) = staging.members.get_mut(ix as usize) {
            *list = here;
        }
    }

    pub(super) fn push_seat(&mut self, seat: Added, standing: Standing) -> AgentIx {
        let ix = AgentIx(self.len());
        self.idle_order += 1;
        self.agents.push(Agent::seated(standing, self.idle_order));
        self.added.push(seat);
        ix
    }

    pub(super) fn push_stack(&mut self, leader: Option<AgentIx>) -> StackIx {
        self.stacks.push(Stack { leader, ..Stack::default() });
        StackIx(self.stacks.len() as u32 - 1)
    }

    /// What was staged is the fleet: new members stand ready, those that are no longer declared
    /// leave, and each skill is offered by who declares it now.
    pub(crate) fn adopt(&mut self, skills: &[SkillInfo]) {
        for group in self.groups.iter_mut().filter(|group| !group.joined) {
            match group.next.take() {
                Some(count) => {
                    group.spec.count = count;
                    group.standing = GroupStanding::Live;
                }
                None => group.standing = GroupStanding::Left,
            }
        }
        for ix in (self.plan.agents()..self.len()).map(AgentIx) {
            let (Some(group), Some(seat)) = (self.group_of(ix), self.added(ix)) else { continue };
            let stays = group.standing == GroupStanding::Live && seat.ordinal < group.spec.count;
            match self.agent(ix).map(|row| row.standing) {
                Some(Standing::Starting) if stays && group.spec.workers => self.await_worker(ix),
                Some(Standing::Starting) if stays => self.seat_row(ix, Standing::Ready),
                Some(standing) if !stays && !standing.is_leaving() => self.leave(ix),
                _ => {}
            }
        }
        self.skills.iter_mut().for_each(|skill| skill.deployed_max = None);
        self.declare(skills);
        self.offer();
        self.tally();
    }

    /// What was staged is taken back.
    pub(crate) fn unstage(&mut self) {
        for group in &mut self.groups {
            group.next = None;
            if group.standing == GroupStanding::Starting {
                group.standing = GroupStanding::Left;
            }
        }
        for ix in (self.plan.agents()..self.len()).map(AgentIx) {
            if self.agent(ix).is_some_and(|row| row.standing == Standing::Starting) {
                self.seat_row(ix, Standing::Retired);
            }
        }
        self.tally();
    }

    /// An agent takes no more work, and is gone when it has none.
    pub(super) fn leave(&mut self, ix: AgentIx) {
        let is_busy = self.agent(ix).is_some_and(|row| row.busy > 0);
        self.seat_row(ix, if is_busy { Standing::Draining } else { Standing::Retired });
    }

    /// Changes a standing; whoever calls this tallies afterwards.
    pub(super) fn seat_row(&mut self, ix: AgentIx, standing: Standing) {
        if let Some(row) = self.agents.get_mut(ix.0 as usize) {
            row.standing = standing;
            row.strikes = 0;
        }
        self.reasons.remove(&ix);
    }

    /// Skills get a place in the table; those of the instance are what it says.
    pub(super) fn declare(&mut self, skills: &[SkillInfo]) {
        for info in skills {
            match self.skills.iter_mut().find(|known| known.info.name == info.name) {
                Some(known) if known.offered => known.deployed_max = info.concurrency_max,
                Some(known) => {
                    let in_use = known.in_use;
                    *known = Skill { in_use, ..Skill::new(info.clone(), false) };
                }
                None => self.skills.push(Skill::new(info.clone(), false)),
            }
        }
    }

    /// Works out which groups offer which skill.
    pub(super) fn offer(&mut self) {
        self.skills.iter_mut().for_each(|skill| skill.groups.clear());
        let places: BTreeMap<Text, usize> =
            (0..).zip(&self.skills).map(|(ix, skill)| (skill.info.name.clone(), ix)).collect();
        for (ix, group) in (0u32..).zip(&self.groups) {
            if group.standing != GroupStanding::Live {
                continue;
            }
            for name in &group.spec.skills {
                if let Some(skill) = places.get(name).and_then(|at| self.skills.get_mut(*at)) {
                    skill.groups.push(ix);
                }
            }
        }
    }
}
