//! Remote workers in the fleet: each is a group of one, which comes and goes by itself and which no
//! deployment speaks of. One that has left and comes back has its old seat; what it offered is known
//! until the next start, so tasks wait for it.

use super::groups::{Bench, Group, GroupStanding};
use super::seats::Added;
use super::spec::GroupSpec;
use super::{Fleet, SkillInfo};
use crate::event::Standing;
use crate::ids::AgentIx;
use crate::text::Text;

impl Fleet {
    /// The remote worker of this name, the newest one: its group, and its seat.
    pub fn joined(&self, name: &str) -> Option<(&Group, AgentIx)> {
        let (ix, group) = self.joined_group(name)?;
        Some((group, self.seats_of(ix).next()?))
    }

    /// Whether an agent is a remote worker.
    pub fn is_joined(&self, ix: AgentIx) -> bool {
        self.group_of(ix).is_some_and(|group| group.joined)
    }

    fn joined_group(&self, name: &str) -> Option<(u32, &Group)> {
        let groups = self.groups.iter().enumerate().rev();
        let mut joined = groups.filter(|(_, it)| it.joined && &*it.spec.name == name);
        joined.next().map(|(ix, group)| (ix as u32, group))
    }

    /// Whether the instance itself, or a deployed group, has a skill of this name.
    pub fn is_own_skill(&self, name: &str) -> bool {
        let known = self.skills.iter().find(|skill| &*skill.info.name == name);
        let is_deployed = |ix: &u32| self.groups.get(*ix as usize).is_some_and(|it| !it.joined);
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
        match known.map(|(ix, _)| ix) {
            Some(ix) => self.come_back(ix, spec),
            None => {
                self.part(&spec.name);
                self.sit_down(spec);
            }
        }
        self.declare(skills);
        self.offer();
        self.tally();
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
        let seat =
            Added { layer: spec.layer, ordinal: 0, stack, supervisor: None, group: Some(ix) };
        self.push_seat(seat, Standing::Ready);
    }

    /// A remote worker leaves: it takes nothing more, and is gone when its hands are empty.
    pub(crate) fn part(&mut self, name: &Text) {
        let Some((ix, _)) = self.joined_group(name) else { return };
        if let Some(group) = self.groups.get_mut(ix as usize) {
            group.standing = GroupStanding::Left;
        }
        let seat = self.seats_of(ix).next();
        let is_here = |ix: &AgentIx| self.agent(*ix).is_some_and(|it| !it.standing.is_leaving());
        if let Some(seat) = seat.filter(is_here) {
            self.leave(seat);
        }
        self.tally();
    }
}
