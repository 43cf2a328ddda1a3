//! Limits by key: how many tasks of a key are worked on at one time, and begin in a period.
//!
//! Whoever has to wait for its key stands in the key's own lines, one a skill, in the order of turns,
//! and only as many of each as may begin now stand in the ready queue as well: a key that is used up
//! holds nobody else up and costs nothing while it waits, and no skill that has no agent keeps the
//! key from the others. Whoever may begin and waits for something of its own, like its budget, takes
//! up no room: the dispatch lets the next of the line begin in its place.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use minicbor::{Decode, Encode};

use crate::ids::SkillIx;
use crate::limits::{LIMIT_KEYS_MAX, RATE_COUNT_MAX};
use crate::plan::{LimitSpec, Rate};
use crate::priority::Turn;
use crate::queue::{ReadyQueue, Waiter};
use crate::text::Text;
use crate::time::Time;
use crate::timers::{Timer, Timers};

/// What a limit counts together: tasks of one namespace under one name and key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
pub struct LimitId {
    /// The tenant.
    #[n(0)]
    pub namespace: Text,
    /// The limit's name.
    #[n(1)]
    pub name: Text,
    /// What the key's template gave; empty: it has none.
    #[n(2)]
    pub key: Text,
}

/// How a key stands.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct KeyedLimit {
    number: u64,
    /// Of whoever got in line last: a newer version's limits hold from its first task on.
    at_once: Option<u32>,
    rate: Option<Rate>,
    in_use: u32,
    /// Beginnings of the last period, oldest first.
    starts: VecDeque<Time>,
    lines: BTreeMap<SkillIx, Line>,
    /// When the next of `starts` is forgotten.
    due: Option<Time>,
}

/// Who waits for a key and needs one skill.
#[derive(Clone, Debug, PartialEq, Default)]
struct Line {
    /// Those who may not begin now.
    held: BTreeMap<Turn, Waiter>,
    /// Those who may: they stand in the ready queue.
    offered: BTreeMap<Turn, Offer>,
}

/// Somebody who may begin.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Offer {
    who: Waiter,
    /// Since when, where the key held it up before.
    since: Option<Time>,
}

/// All keys of which something is known.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct KeyedLimits {
    by_id: BTreeMap<LimitId, KeyedLimit>,
    ids: BTreeMap<u64, LimitId>,
    newest: u64,
}

/// What the lines of keys depend on besides themselves.
pub(crate) struct Around<'a> {
    pub(crate) queue: &'a mut ReadyQueue,
    pub(crate) timers: &'a mut Timers,
    pub(crate) now: Time,
}

/// A key in a snapshot: who waits for it and who is at work follows from the rows of tasks.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct LimitRow {
    #[n(0)]
    id: LimitId,
    #[n(1)]
    number: u64,
    #[n(2)]
    at_once: Option<u32>,
    #[n(3)]
    rate: Option<Rate>,
    #[n(4)]
    starts: Vec<Time>,
    /// Since when those may begin that the key held up before.
    #[n(5)]
    #[cbor(skip_if = "crate::shared::is_default", default)]
    eased: Vec<(SkillIx, Turn, Time)>,
}

/// What the rows of tasks say of the limits: who waits, and who is at work.
#[derive(Default)]
pub(crate) struct LimitHoldings {
    pub(crate) waiters: Vec<(LimitId, SkillIx, Turn, Waiter)>,
    pub(crate) in_use: Vec<LimitId>,
}

impl KeyedLimit {
    /// How many more may begin, as far as is known.
    pub fn room(&self) -> usize {
        let at_once = self.at_once.map_or(u32::MAX, |most| most.saturating_sub(self.in_use));
        let rate = self.rate.map_or(usize::MAX, |rate| rate.count as usize);
        (at_once as usize).min(rate.saturating_sub(self.starts.len()))
    }

    /// Tasks of it that are worked on.
    pub fn in_use(&self) -> u32 {
        self.in_use
    }

    /// How many may be at one time.
    pub fn at_once(&self) -> Option<u32> {
        self.at_once
    }

    /// How many may begin in a period.
    pub fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// How many began in the last period.
    pub fn begun(&self) -> usize {
        self.starts.len()
    }

    /// How many wait for the key itself.
    pub fn held(&self) -> usize {
        self.lines.values().map(|line| line.held.len()).sum()
    }

    /// How many may begin and wait for an agent.
    pub fn offered(&self) -> usize {
        self.lines.values().map(|line| line.offered.len()).sum()
    }

    /// When one more may begin for the time that passes; none: not for that.
    pub fn due(&self) -> Option<Time> {
        self.due.filter(|_| self.holds_somebody())
    }

    /// Who of those that wait for the key itself is next.
    pub fn next(&self) -> Option<Waiter> {
        let first = self.lines.values().filter_map(|line| line.held.first_key_value());
        first.min_by_key(|(turn, _)| **turn).map(|(_, who)| *who)
    }

    /// Whether a turn waits for the key.
    pub fn is_held(&self, skill: SkillIx, turn: Turn) -> bool {
        self.lines.get(&skill).is_some_and(|line| line.held.contains_key(&turn))
    }

    /// Until when the key held a turn up that begins now; none: it did not.
    pub fn held_until(&self, skill: SkillIx, turn: Turn, now: Time) -> Option<Time> {
        match self.lines.get(&skill)?.offered.get(&turn) {
            Some(offer) => offer.since,
            None => self.is_held(skill, turn).then_some(now),
        }
    }

    /// The first of those that wait for the key itself whose turn comes after this one.
    pub(crate) fn held_after(&self, skill: SkillIx, turn: Turn) -> Option<(Turn, Waiter)> {
        let behind = (Bound::Excluded(turn), Bound::Unbounded);
        let next = self.lines.get(&skill)?.held.range(behind).next();
        next.map(|(turn, who)| (*turn, *who))
    }

    /// The number that timers know it by.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    fn eased(&self) -> impl Iterator<Item = (SkillIx, Turn, Time)> + '_ {
        let of_line = |(skill, line): (&SkillIx, &'_ Line)| -> Vec<_> {
            let offers = line.offered.iter();
            offers.filter_map(|(turn, offer)| Some((*skill, *turn, offer.since?))).collect()
        };
        self.lines.iter().flat_map(of_line)
    }

    fn holds_somebody(&self) -> bool {
        self.lines.values().any(|line| !line.held.is_empty())
    }

    fn is_idle(&self) -> bool {
        self.in_use == 0 && self.starts.is_empty() && self.lines.is_empty()
    }

    fn forget_starts(&mut self, now: Time) {
        let Some(rate) = self.rate else { return self.starts.clear() };
        while self.starts.front().is_some_and(|start| start.plus(rate.per_ms) <= now) {
            self.starts.pop_front();
        }
    }

    /// The first in each line are offered, as many as there is room for. `fresh` has not waited yet.
    fn offer(&mut self, fresh: Option<Turn>, around: &mut Around<'_>) {
        let room = self.room();
        for (skill, line) in &mut self.lines {
            line.offer((*skill, room), fresh, around);
        }
        self.lines.retain(|_, line| !line.held.is_empty() || !line.offered.is_empty());
    }

    /// When it has to be looked at again: for whoever waits, or to be forgotten.
    fn wanted(&self) -> Option<Time> {
        let rate = self.rate?;
        let starts = &self.starts;
        let start = if self.holds_somebody() { starts.front() } else { starts.back() };
        start.map(|start| start.plus(rate.per_ms))
    }
}

impl Line {
    fn offer(
        &mut self,
        (skill, room): (SkillIx, usize),
        fresh: Option<Turn>,
        around: &mut Around<'_>,
    ) {
        while self.offered.len() > room || self.is_out_of_order() {
            let Some((turn, offer)) = self.offered.pop_last() else { break };
            around.queue.remove(skill, turn);
            self.held.insert(turn, offer.who);
        }
        while self.offered.len() < room {
            let Some((turn, who)) = self.held.pop_first() else { break };
            around.queue.insert(skill, turn, who);
            let since = (Some(turn) != fresh).then_some(around.now);
            self.offered.insert(turn, Offer { who, since });
        }
    }

    fn is_out_of_order(&self) -> bool {
        let (first, last) = (self.held.first_key_value(), self.offered.last_key_value());
        first.zip(last).is_some_and(|((held, _), (offered, _))| held < offered)
    }
}

impl KeyedLimits {
    /// How a key stands; none: nothing is known of it.
    pub fn find(&self, id: &LimitId) -> Option<&KeyedLimit> {
        self.by_id.get(id)
    }

    /// The keys of which something is known, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&LimitId, &KeyedLimit)> + '_ {
        self.by_id.iter()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether there is a place for this key.
    pub(crate) fn has_place(&self, id: &LimitId) -> bool {
        self.by_id.len() < LIMIT_KEYS_MAX || self.by_id.contains_key(id)
    }

    /// Somebody gets in line.
    pub(crate) fn line_up(
        &mut self,
        id: &LimitId,
        spec: &LimitSpec,
        (skill, turn, who): (SkillIx, Turn, Waiter),
        mut around: Around<'_>,
    ) {
        let limit = self.entry(id);
        (limit.at_once, limit.rate) = (spec.at_once, spec.rate);
        limit.lines.entry(skill).or_default().held.insert(turn, who);
        self.settle_with(id, Some(turn), &mut around);
    }

    /// Somebody leaves the line.
    pub(crate) fn step_out(
        &mut self,
        id: &LimitId,
        (skill, turn): (SkillIx, Turn),
        mut around: Around<'_>,
    ) {
        let line = self.by_id.get_mut(id).and_then(|limit| limit.lines.get_mut(&skill));
        let Some(line) = line else { return };
        line.held.remove(&turn);
        if line.offered.remove(&turn).is_some() {
            around.queue.remove(skill, turn);
        }
        self.settle(id, &mut around);
    }

    /// An attempt begins.
    pub(crate) fn begin(&mut self, id: &LimitId, mut around: Around<'_>) {
        let limit = self.entry(id);
        limit.in_use += 1;
        if limit.rate.is_some() {
            limit.starts.push_back(around.now);
        }
        self.settle(id, &mut around);
    }

    /// An attempt is over.
    pub(crate) fn end(&mut self, id: &LimitId, mut around: Around<'_>) {
        let Some(limit) = self.by_id.get_mut(id) else { return };
        limit.in_use = limit.in_use.saturating_sub(1);
        self.settle(id, &mut around);
    }

    /// Time has passed for a key.
    pub(crate) fn ease(&mut self, number: u64, mut around: Around<'_>) {
        if let Some(id) = self.ids.get(&number).cloned() {
            self.settle(&id, &mut around);
        }
    }

    /// The instance starts: nobody stands in line any more, and timers are gone. What was at work is
    /// still counted, until it is known that it ended.
    pub(crate) fn start_over(&mut self, mut around: Around<'_>) {
        let ids: Vec<LimitId> = self.by_id.keys().cloned().collect();
        for id in ids {
            if let Some(limit) = self.by_id.get_mut(&id) {
                limit.lines.clear();
                limit.due = None;
            }
            self.settle(&id, &mut around);
        }
    }

    fn entry(&mut self, id: &LimitId) -> &mut KeyedLimit {
        if !self.by_id.contains_key(id) {
            self.newest += 1;
            self.ids.insert(self.newest, id.clone());
        }
        let number = self.newest;
        self.by_id
            .entry(id.clone())
            .or_insert_with(|| KeyedLimit { number, ..KeyedLimit::default() })
    }

    /// After every change of a key: the right ones are offered, and it is looked at again in time.
    fn settle(&mut self, id: &LimitId, around: &mut Around<'_>) {
        self.settle_with(id, None, around);
    }

    fn settle_with(&mut self, id: &LimitId, fresh: Option<Turn>, around: &mut Around<'_>) {
        let Some(limit) = self.by_id.get_mut(id) else { return };
        limit.forget_starts(around.now);
        limit.offer(fresh, around);
        let (number, wanted) = (limit.number, limit.wanted());
        if wanted != limit.due {
            limit.due.iter().for_each(|at| around.timers.clear(*at, Timer::Limit(number)));
            wanted.iter().for_each(|at| around.timers.set(*at, Timer::Limit(number)));
            limit.due = wanted;
        }
        if limit.is_idle() {
            self.by_id.remove(id);
            self.ids.remove(&number);
        }
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = LimitRow> + Clone + '_ {
        self.by_id.iter().map(|(id, limit)| LimitRow {
            id: id.clone(),
            number: limit.number,
            at_once: limit.at_once,
            rate: limit.rate,
            starts: limit.starts.iter().copied().collect(),
            eased: limit.eased().collect(),
        })
    }

    /// Whether a key is to be looked at then.
    pub(crate) fn is_due(&self, at: Time, number: u64) -> bool {
        let limit = self.ids.get(&number).and_then(|id| self.by_id.get(id));
        limit.is_some_and(|limit| limit.due == Some(at))
    }

    /// The limits of a snapshot; with them those of its waiters that stand in the ready queue.
    #[expect(clippy::type_complexity, reason = "it is read at one place")]
    pub(crate) fn restored(
        (newest, rows): (u64, Vec<LimitRow>),
        holdings: LimitHoldings,
        (timers, now): (&Timers, Time),
    ) -> Result<(Self, Vec<(SkillIx, Turn, Waiter)>), &'static str> {
        let mut limits = KeyedLimits { newest, ..KeyedLimits::default() };
        let mut eased = BTreeMap::new();
        for row in rows {
            let LimitRow { id, number, at_once, rate, starts, eased: times } = row;
            let is_sound = number <= newest
                && starts.is_sorted()
                && starts.len() <= RATE_COUNT_MAX as usize
                && starts.last().is_none_or(|start| *start <= now)
                && (rate.is_some() || starts.is_empty())
                && times.iter().all(|(.., since)| *since <= now);
            eased.extend(times.into_iter().map(|(skill, turn, at)| ((number, skill, turn), at)));
            let starts = starts.into();
            let limit = KeyedLimit { number, at_once, rate, starts, ..KeyedLimit::default() };
            let is_known = limits.ids.insert(number, id.clone()).is_some()
                || limits.by_id.insert(id, limit).is_some();
            if is_known || !is_sound {
                return Err("its limits contradict each other");
            }
        }
        let unknown = "a task is under a limit that nobody knows";
        for id in holdings.in_use {
            limits.by_id.get_mut(&id).ok_or(unknown)?.in_use += 1;
        }
        for (id, skill, turn, who) in holdings.waiters {
            let limit = limits.by_id.get_mut(&id).ok_or(unknown)?;
            if limit.lines.entry(skill).or_default().held.insert(turn, who).is_some() {
                return Err("its lines contradict each other");
            }
        }
        let mut offered = Vec::new();
        for limit in limits.by_id.values_mut() {
            let room = limit.room();
            for (skill, line) in &mut limit.lines {
                for _ in 0..room {
                    let Some((turn, who)) = line.held.pop_first() else { break };
                    let since = eased.remove(&(limit.number, *skill, turn));
                    line.offered.insert(turn, Offer { who, since });
                    offered.push((*skill, turn, who));
                }
            }
            limit.due = limit.wanted();
            let number = limit.number;
            if limit.is_idle() || !limit.due.is_none_or(|at| timers.has(at, Timer::Limit(number))) {
                return Err("a limit is looked at by nobody");
            }
        }
        if !eased.is_empty() {
            return Err("a limit let somebody through who does not stand there");
        }
        Ok((limits, offered))
    }
}
