//! Room in memory: how many runs may be resident, and which of those on disk are called in next.
//!
//! Runs to which something happens take the places there are. Those that rest (paused, parked,
//! between attempts) do not, up to a bound of their own, or a few that nobody looks after would keep
//! everybody else out for ever.

use std::collections::BTreeSet;

use super::State;
use crate::backlog::Waiting;
use crate::event::Intake;
use crate::fleet::Want;
use crate::ids::{RunId, SkillIx};
use crate::limits::{
    CHILDREN_ROOM_TIMES, RUNS_FETCHED_MAX, RUNS_RESIDENT_MAX, RUNS_RESTING_TIMES, RUNS_URGENT_PART,
};
use crate::priority::{Priority, Turn};
use crate::time::Time;

/// Critical work and emergencies have places of their own.
const URGENT: [Priority; 2] = [Priority::Emergency, Priority::Critical];
const OTHERS: [Priority; 4] =
    [Priority::High, Priority::Normal, Priority::Low, Priority::Maintenance];

impl State {
    /// Places for runs to which something happens.
    fn places(&self) -> usize {
        let max = self.instance.as_ref().and_then(|instance| instance.runs_resident_max);
        max.unwrap_or(RUNS_RESIDENT_MAX).max(1) as usize
    }

    /// Places that only this priority may use, with those for more urgent work below.
    fn kept(&self, priority: Priority) -> usize {
        let part = (self.places() / RUNS_URGENT_PART).max(1);
        match priority {
            Priority::Emergency => 2 * part,
            Priority::Critical => part,
            _ => 0,
        }
    }

    /// Runs in memory that are not over.
    pub fn resident(&self) -> usize {
        self.live.saturating_sub(self.backlog.len())
    }

    /// How many more runs of this priority there is room for. What is kept for urgent work is there
    /// for it also when the others are more than their places.
    fn room_for(&self, priority: Priority) -> usize {
        let active: usize = self.active.iter().sum();
        let own = self.active.get(priority as usize).copied().unwrap_or(0);
        let free = (self.places() + self.kept(priority)).saturating_sub(active);
        free.max(self.kept(priority).saturating_sub(own)).min(self.room_at_all(priority))
    }

    fn room_at_all(&self, priority: Priority) -> usize {
        let most = self.places() * RUNS_RESTING_TIMES + self.kept(priority);
        most.saturating_sub(self.resident())
    }

    /// Whether a run that is accepted now waits on disk: there is no room, or somebody whose turn
    /// is sooner waits there.
    pub(crate) fn must_wait(&self, priority: Priority, now: Time) -> bool {
        let turn = Turn::new(priority, now, u64::MAX);
        self.room_for(priority) == 0 || self.backlog.first(now).is_some_and(|first| first < turn)
    }

    /// Whether a run that cannot wait on disk finds a place.
    pub(crate) fn has_room(&self, priority: Priority) -> bool {
        self.room_for(priority) > 0
    }

    /// Runs on disk that are to be read now, in order of their turns; `called`: those that are being
    /// read; `unread`: those that cannot be read now and take no place from others. First whatever is
    /// due, then urgent work, then blocks of the rest.
    pub fn call_in(
        &self,
        called: &BTreeSet<RunId>,
        unread: &BTreeSet<RunId>,
        now: Time,
    ) -> Vec<Waiting> {
        if self.backlog.is_empty() {
            return Vec::new();
        }
        let is_new = |it: &&Waiting| !called.contains(&it.run) && !unread.contains(&it.run);
        let most = |calls: usize| RUNS_FETCHED_MAX.saturating_sub(called.len() + calls);
        let mut calls: Vec<Waiting> =
            self.backlog.due(now).filter(is_new).take(most(0)).copied().collect();
        // Who was interrupted comes first, unless that takes an operator.
        let is_back = self.interrupted.is_empty() || self.fleet.empty_layer().is_some();
        if self.intake == Intake::Draining || !is_back {
            return calls;
        }
        for priority in URGENT {
            let room = self.room_for(priority).saturating_sub(called.len() + calls.len());
            let due: BTreeSet<RunId> = calls.iter().map(|it| it.run).collect();
            let urgent = self.backlog.line(priority, now).filter(is_new);
            let urgent = urgent.filter(|it| !due.contains(&it.run));
            calls.extend(urgent.take(room.min(most(calls.len()))));
        }
        let block = self.block(called.len() + calls.len()).min(most(calls.len()));
        if block > 0 {
            let due: BTreeSet<RunId> = calls.iter().map(|it| it.run).collect();
            let others = OTHERS.map(|priority| {
                let line = self.backlog.line(priority, now).filter(is_new);
                line.filter(|it| !due.contains(&it.run)).take(block)
            });
            let mut others: Vec<Waiting> = others.into_iter().flatten().copied().collect();
            others.sort_unstable_by_key(|it| self.backlog.turn(it));
            calls.extend(others.into_iter().take(block));
        }
        if called.is_empty() && calls.is_empty() && self.is_stuck() {
            return self.awaited(unread);
        }
        calls
    }

    /// Children on disk whose parents are in memory and take up all the room there is. The newest first:
    /// who stands lowest needs nobody else, and its end gives room back.
    fn awaited(&self, unread: &BTreeSet<RunId>) -> Vec<Waiting> {
        let most = self.places() * RUNS_RESTING_TIMES * CHILDREN_ROOM_TIMES;
        let room = most.saturating_sub(self.resident()).min(self.places()).min(RUNS_FETCHED_MAX);
        let children = self.children_on_disk.iter().rev().filter(|child| !unread.contains(child));
        children.filter_map(|child| self.backlog.find(*child)).take(room).copied().collect()
    }

    /// How many to read at once: many or none, unless there are few places.
    fn block(&self, called: usize) -> usize {
        let most = RUNS_FETCHED_MAX.min(self.places().div_ceil(4));
        let room = self.room_for(Priority::Normal).saturating_sub(called).min(most);
        if room >= most.div_ceil(2) {
            return room;
        }
        if called == 0 && self.is_stuck() {
            return most.min(self.room_at_all(Priority::Normal));
        }
        0
    }

    /// Whether somebody is free and nobody in memory can use him: those on disk may.
    fn is_stuck(&self) -> bool {
        let has_room = self.fleet.in_use() + 1 < self.concurrent_tasks_max();
        let is_free = |skill: SkillIx| {
            let want = Want { skill, emergency: false, avoid: None };
            self.fleet.pick(want, &[]).is_some()
        };
        let mut skills = self.fleet.skills().filter_map(|it| self.fleet.skill(&it.name));
        has_room
            && self.fleet.empty_layer().is_none()
            && crate::decide::is_idle(self)
            && skills.any(is_free)
    }
}
