//! Remote workers in the fleet: each is a group of one, which comes and goes by itself and which no
//! deployment speaks of. One that has left and comes back has its old seat; what it offered is known
//! until the next start, so tasks wait for it.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::{Bench, Group, GroupStanding};
use super::profile::parse_ordinal;
use super::seats::Added;
use super::spec::GroupSpec;
use super::{Fleet, SkillInfo};
use crate::event::Standing;
use crate::ids::AgentIx;
use crate::text::Text;

/// Why a declared seat of a remote worker takes nothing.
pub(super) const AWAITED: &str = "it waits for its worker to register";

impl Fleet {
    /// The remote worker of this name that nobody declared, the newest one: its group, and its seat.
    pub fn joined(&self, name: &str) -> Option<(&Group, AgentIx)> {
        let (ix, group) = self.joined_group(name)?;
        Some((group, self.seats_of(ix).next()?))
    }

    /// Whether an agent is a remote worker.
    pub fn is_joined(&self, ix: AgentIx) -> bool {
        self.group_of(ix).is_some_and(|group| group.joined || group.spec.workers)
    }

    /// The declared seat of remote workers that has this name: its group, and the seat.
    pub fn declared_worker(&self, name: &str) -> Option<(&Group, AgentIx)> {
        let seat = self.find(name)?;
        let group = self.group_of(seat)?;
        let is_declared = group.spec.workers && group.standing == GroupStanding::Live;
        is_declared.then_some((group, seat))
    }

    /// The remote worker of this name, declared or not.
    pub fn remote(&self, name: &str) -> Option<(&Group, AgentIx)> {
        self.declared_worker(name).or_else(|| self.joined(name))
    }

    /// The names of remote workers that nobody declared and that would be members of these groups. One
    /// that has left comes back as that member, if members are workers.
    pub(crate) fn undeclared_among(&self, groups: &[GroupSpec]) -> Vec<&Text> {
        let by_name: BTreeMap<&str, &GroupSpec> =
            groups.iter().map(|group| (&*group.name, group)).collect();
        let group_of = |name: &str| {
            let of_many = parse_ordinal(name).and_then(|(base, ordinal)| {
                by_name.get(base).filter(|it| it.count > 1 && ordinal < it.count)
            });
            by_name.get(name).or(of_many).copied()
        };
        let is_taken = |it: &&Group| {
            let group = group_of(&it.spec.name);
            group.is_some_and(|spec| !spec.workers || it.standing == GroupStanding::Live)
        };
        let joined = self.groups.iter().filter(|group| group.joined);
        joined.filter(is_taken).map(|group| &group.spec.name).collect()
    }

    /// The names of the remote workers that are here to stay.
    pub fn remote_names(&self) -> BTreeSet<String> {
        let seats = self.added_seats().map(|(ix, _)| ix).filter(|ix| self.is_joined(*ix));
        let stays = |ix: &AgentIx| {
            let is_leaving = self.agent(*ix).is_none_or(|row| row.standing.is_leaving());
            !is_leaving && !self.awaits_worker(*ix)
        };
        seats.filter(stays).map(|ix| self.name(ix)).collect()
    }

    /// Whether a seat waits for its remote worker.
    pub(crate) fn awaits_worker(&self, ix: AgentIx) -> bool {
        self.agent(ix).is_some_and(|row| row.standing == Standing::Offline)
            && self.reason(ix).is_some_and(|reason| &**reason == AWAITED)
    }

    /// Attempts that the worker in a seat takes at one time, where it has said so.
    pub(crate) fn taken_at_once(&self, ix: AgentIx) -> Option<u32> {
        self.added(ix)?.concurrency
    }

    /// What a deployment says of a skill that remote workers are declared to offer.
    pub fn declared_skill(&self, name: &str) -> Option<&SkillInfo> {
        let known = self.skills.iter().find(|skill| &*skill.info.name == name)?;
        let mut groups = known.groups.iter().filter_map(|ix| self.groups.get(*ix as usize));
        groups.any(|group| group.spec.workers).then_some(&known.info)
    }

    fn joined_group(&self, name: &str) -> Option<(u32, &Group)> {
        let groups = self.groups.iter().enumerate().rev();
        let mut joined = groups.filter(|(_, it)| it.joined && &*it.spec.name == name);
        joined.next().map(|(ix, group)| (ix as u32, group))
    }

    /// Whether the instance itself, or a deployed group, has a skill of this name.
    pub fn is_own_skill(&self, name: &str) -> bool {
        let known = self.skills.iter().find(|skill| &*skill.info.name == name);
        let is_own = |it: &Group| !it.joined && !it.spec.workers;
        let is_deployed = |ix: &u32| self.groups.get(*ix as usize).is_some_and(is_own);
        known.is_some_and(|skill| skill.offered || skill.groups.iter().any(is_deployed))
    }

    /// The groups of remote workers that have not left.
    pub(super) fn live_workers(&self) -> impl Iterator<Item = &Group> + '_ {
        self.groups.iter().filter(|group| group.joined && group.standing == GroupStanding::Live)
    }

    /// Skills that this fleet or one before it has had.
    pub(crate) fn skills_had(&self) -> usize {
        self.skills.len()
    }

    /// Whether this is one of them.
    pub(crate) fn has_had(&self, name: &str) -> bool {
        self.skills.iter().any(|skill| &*skill.info.name == name)
    }

    /// Whether a remote worker brought this skill since the instance was started.
    pub fn is_brought(&self, name: &str) -> bool {
        let mut joined = self.groups.iter().filter(|group| group.joined);
        joined.any(|group| group.spec.skills.iter().any(|skill| **skill == *name))
    }

    /// A remote worker joins, or is back, or offers something else.
    pub(crate) fn join(&mut self, spec: &GroupSpec, skills: &[SkillInfo]) {
        let known = self.joined_group(&spec.name).filter(|(_, it)| it.spec.layer == spec.layer);
        let declared = self.declared_worker(&spec.name).map(|(_, seat)| seat);
        match (declared, known.map(|(ix, _)| ix)) {
            (Some(seat), _) => self.take_seat(seat, spec),
            (None, Some(ix)) => self.come_back(ix, spec),
            (None, None) => {
                self.part(&spec.name);
                self.sit_down(spec);
            }
        }
        // What a deployment says of a skill stays so.
        let is_new = |skill: &&SkillInfo| self.declared_skill(&skill.name).is_none();
        let skills: Vec<SkillInfo> = skills.iter().filter(is_new).cloned().collect();
        self.declare(&skills);
        self.offer();
        self.tally();
    }

    /// The worker of a declared seat is there.
    fn take_seat(&mut self, seat: AgentIx, spec: &GroupSpec) {
        let row = seat.0.checked_sub(self.plan.agents());
        if let Some(row) = row.and_then(|row| self.added.get_mut(row as usize)) {
            row.concurrency = spec.concurrency;
        }
        let has_left = self.agent(seat).is_some_and(|row| row.standing.is_leaving());
        if has_left || self.awaits_worker(seat) {
            self.seat_row(seat, Standing::Ready);
        }
    }

    /// A declared seat is there, and nobody in it yet.
    pub(super) fn await_worker(&mut self, seat: AgentIx) {
        self.seat_row(seat, Standing::Offline);
        self.reasons.insert(seat, AWAITED.into());
    }

    fn come_back(&mut self, ix: u32, spec: &GroupSpec) {
        if let Some(group) = self.groups.get_mut(ix as usize) {
            (group.spec, group.standing) = (spec.clone(), GroupStanding::Live);
        }
        let seat = self.seats_of(ix).next();
        let has_left = |ix: &AgentIx| self.agent(*ix).is_some_and(|row| row.standing.is_leaving());
        if let Some(seat) = seat.filter(has_left) {
            self.seat_row(seat, Standing::Ready);
        }
    }

    fn sit_down(&mut self, spec: &GroupSpec) {
        let group = Group {
            spec: spec.clone(),
            standing: GroupStanding::Live,
            next: None,
            joined: true,
            bench: Bench::default(),
        };
        let ix = self.groups.len() as u32;
        self.groups.push(group);
        let stack = self.dealer().next();
        let seat = Added {
            layer: spec.layer,
            ordinal: 0,
            stack,
            supervisor: None,
            group: Some(ix),
            concurrency: None,
        };
        self.push_seat(seat, Standing::Ready);
    }

    /// A remote worker leaves: it takes nothing more, and is gone when its hands are empty.
    pub(crate) fn part(&mut self, name: &Text) {
        let declared = self.declared_worker(name).map(|(_, seat)| seat);
        let seat = match (declared, self.joined_group(name).map(|(ix, _)| ix)) {
            // The seat stays declared: its worker may register again.
            (Some(seat), _) => Some(seat),
            (None, None) => return,
            (None, Some(ix)) => {
                if let Some(group) = self.groups.get_mut(ix as usize) {
                    group.standing = GroupStanding::Left;
                }
                self.seats_of(ix).next()
            }
        };
        let is_here = |ix: &AgentIx| self.agent(*ix).is_some_and(|it| !it.standing.is_leaving());
        if let Some(seat) = seat.filter(is_here) {
            self.leave(seat);
        }
        self.tally();
    }
}
