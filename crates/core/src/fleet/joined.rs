//! Remote workers in the fleet: each is a group of one, which comes and goes by itself and which no
//! deployment speaks of. One that has left and comes back has its old seat; what it offered stays on
//! offer until the next start, so tasks wait for it.

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
        let here = self.workers_here();
        let is_taken = |it: &&Group| {
            let group = group_of(&it.spec.name);
            let is_live = it.standing == GroupStanding::Live;
            group.is_some_and(|spec| is_live || (!spec.workers && here.contains(&*it.spec.name)))
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

    /// A group of one is gone; what it offered stays on offer, for others that do it may come.
    fn await_skills_of(&mut self, ix: u32) {
        let Some(group) = self.groups.get_mut(ix as usize) else { return };
        if std::mem::replace(&mut group.standing, GroupStanding::Left) == GroupStanding::Live {
            let left: BTreeSet<&Text> = group.spec.skills.iter().collect();
            let skills = self.skills.iter_mut().filter(|it| left.contains(&it.info.name));
            skills.for_each(|skill| skill.awaited = skill.awaited.max(1));
        }
    }

    fn joined_group(&self, name: &str) -> Option<(u32, &Group)> {
        let groups = self.groups.iter().enumerate().rev();
        let mut joined = groups.filter(|(_, it)| it.joined && &*it.spec.name == name);
        joined.next().map(|(ix, group)| (ix as u32, group))
    }

    /// The names of remote workers whose seats are taken: those that have left and still have work in
    /// their hands included.
    fn workers_here(&self) -> BTreeSet<&str> {
        let is_here =
            |ix: AgentIx| self.agent(ix).is_some_and(|row| row.standing != Standing::Retired);
        let seats = self.added_seats().filter(|(ix, _)| is_here(*ix));
        let groups = seats.filter_map(|(_, seat)| self.groups.get(seat.group? as usize));
        groups.filter(|group| group.joined).map(|group| &*group.spec.name).collect()
    }

    /// The skills that remote workers offer whom nobody declared.
    pub(crate) fn skills_of_workers(&self) -> BTreeSet<&Text> {
        self.live_workers().flat_map(|group| &group.spec.skills).collect()
    }

    /// The groups of remote workers that have not left.
    pub(super) fn live_workers(&self) -> impl Iterator<Item = &Group> + '_ {
        self.groups.iter().filter(|group| group.joined && group.standing == GroupStanding::Live)
    }

    /// Skills that this fleet or one before it has had.
    pub(crate) fn skills_had(&self) -> usize {
        self.skills.len()
    }

    /// How many of these are none of them.
    pub(crate) fn fresh_skills(&self, skills: &[SkillInfo]) -> usize {
        let had: BTreeSet<&Text> = self.skills.iter().map(|skill| &skill.info.name).collect();
        skills.iter().filter(|skill| !had.contains(&skill.name)).count()
    }

    /// Whether a remote worker offers this skill, or one that did may come back.
    pub fn is_brought(&self, name: &str) -> bool {
        let of_worker = |ix: &u32| self.groups.get(*ix as usize).is_some_and(|it| it.joined);
        let known = self.skills.iter().find(|skill| &*skill.info.name == name);
        known.is_some_and(|skill| skill.awaited > 0 || skill.groups.iter().any(of_worker))
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

    /// A remote worker leaves: it takes nothing more, and is gone when its hands are empty. Others that
    /// do what it did may come.
    pub(crate) fn part(&mut self, name: &Text) {
        let declared = self.declared_worker(name).map(|(_, seat)| seat);
        let seat = match (declared, self.joined_group(name).map(|(ix, _)| ix)) {
            // The seat stays declared: its worker may register again.
            (Some(seat), _) => Some(seat),
            (None, None) => return,
            (None, Some(ix)) => {
                self.await_skills_of(ix);
                self.seats_of(ix).next()
            }
        };
        let is_here = |ix: &AgentIx| self.agent(*ix).is_some_and(|it| !it.standing.is_leaving());
        if let Some(seat) = seat.filter(is_here) {
            self.leave(seat);
        }
        self.offer();
        self.tally();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Layer;
    use crate::plan::EffectClass;

    #[test]
    fn who_has_left_is_not_looked_at_when_work_is_given_out() {
        let mut fleet = Fleet::new(8, &[], 2, None);
        let far =
            SkillInfo { name: "far.off".into(), class: EffectClass::Read, concurrency_max: None };
        for number in 0..50 {
            let name: Text = format!("far{number}").into();
            let spec = GroupSpec {
                name: name.clone(),
                layer: Layer::Micro,
                count: 1,
                supervisor: None,
                skills: vec![far.name.clone()],
                concurrency: Some(1),
                behaviour: None,
                workers: false,
            };
            fleet.join(&spec, std::slice::from_ref(&far));
            if number > 0 {
                fleet.part(&name);
            }
        }
        let skill = fleet.skills.iter().find(|it| it.info.name == far.name);
        assert_eq!(skill.map(|it| it.groups.as_slice()), Some(&[0][..]));
        fleet.part(&"far0".into());
        assert!(fleet.is_brought("far.off") && fleet.skill("far.off").is_some());
    }
}
