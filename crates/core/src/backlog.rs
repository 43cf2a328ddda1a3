//! The backlog: runs that are accepted and wait on disk. Memory keeps of each where its record
//! stands and when its turn comes; the rest is read when there is room for it.
//!
//! An entry is 64 bytes: 48 in a page ordered by run, 16 in the line of its priority. A deadline
//! adds a place in the order of deadlines, and a start in the future or another priority a place in
//! the order of those. Runs of one admission share it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use crate::authority::Authority;
use crate::event::{Admission, PendingAdmission};
use crate::hash::Hash;
use crate::ids::RunId;
use crate::plan::Workflow;
use crate::priority::{Priority, Turn};
use crate::text::Text;
use crate::time::Time;

mod moved;
mod pages;
mod rows;

use moved::Moved;
use pages::Pages;
pub(crate) use rows::Row;

/// A line may have so many runs that left out of their turn before it is swept.
const LEFT_MIN: usize = 1_024;

/// A run that waits on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub run: RunId,
    /// The record that accepted it.
    pub seq: u64,
    /// When that was.
    pub accepted: Time,
    /// When it must be over; [`Time::NEVER`]: no deadline.
    pub deadline: Time,
    /// How urgent it is.
    pub priority: Priority,
    shelf: u32,
}

/// What a waiting run goes on under.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Under {
    /// Every layer let it in.
    Admission(Arc<Admission>),
    /// A layer was empty; it is let in later.
    Pending(Arc<PendingAdmission>),
}

/// What runs on a shelf have in common, by number or digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Label {
    Admission(u64),
    Pending(Hash),
}

impl Under {
    pub(crate) fn namespace(&self) -> &Text {
        match self {
            Under::Admission(it) => &it.namespace,
            Under::Pending(it) => &it.namespace,
        }
    }

    pub(crate) fn workflow(&self) -> &Arc<Workflow> {
        match self {
            Under::Admission(it) => &it.workflow,
            Under::Pending(it) => &it.workflow,
        }
    }

    pub(crate) fn admission(&self) -> Option<&Arc<Admission>> {
        match self {
            Under::Admission(it) => Some(it),
            Under::Pending(_) => None,
        }
    }

    /// The submitter's authority.
    pub(crate) fn caller(&self) -> Option<&Authority> {
        match self {
            Under::Admission(it) => it.caller.as_ref(),
            Under::Pending(it) => Some(&it.authority),
        }
    }

    pub(crate) fn label(&self) -> Label {
        match self {
            Under::Admission(it) => Label::Admission(it.id),
            Under::Pending(it) => Label::of_pending(it),
        }
    }
}

impl Label {
    pub(crate) fn of_pending(it: &PendingAdmission) -> Self {
        // Encoding into memory cannot fail.
        let authority = minicbor::to_vec(&it.authority).unwrap_or_default();
        Label::Pending(Hash::of_parts(&[it.namespace.as_bytes(), &it.workflow.hash.0, &authority]))
    }
}

#[derive(Clone, Debug)]
struct Shelf {
    under: Under,
    runs: usize,
}

/// Runs in the order in which they were accepted; those that left out of turn are skipped.
#[derive(Clone, Debug, Default)]
struct Line {
    runs: VecDeque<RunId>,
    waiting: usize,
}

/// A run that is put into the backlog.
pub(crate) struct Accepted {
    pub(crate) run: RunId,
    pub(crate) seq: u64,
    pub(crate) at: Time,
    pub(crate) deadline: Option<Time>,
    pub(crate) priority: Priority,
    /// It stands in line from then on; none: at once.
    pub(crate) start: Option<Time>,
}

/// All runs that wait on disk.
#[derive(Clone, Default)]
pub struct Backlog {
    pages: Pages,
    /// By priority. Time never goes back, so each is in the order of turns.
    lines: [Line; Priority::ALL.len()],
    /// Those whose place is not in one of these lines.
    moved: Moved,
    deadlines: BTreeSet<(Time, RunId)>,
    shelves: BTreeMap<u32, Shelf>,
    labels: BTreeMap<Label, u32>,
    newest_shelf: u32,
}

impl Backlog {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.pages.len() == 0
    }

    /// Whether this run waits.
    pub fn contains(&self, run: RunId) -> bool {
        self.find(run).is_some()
    }

    /// A run that waits.
    pub fn find(&self, run: RunId) -> Option<&Waiting> {
        self.pages.find(run)
    }

    /// What runs wait under, by label, with the number of the shelf.
    pub(crate) fn shelved(&self) -> impl Iterator<Item = (u32, &Under)> + Clone + '_ {
        let shelf = |number: &u32| Some((*number, &self.shelves.get(number)?.under));
        self.labels.values().filter_map(shelf)
    }

    /// Everybody who waits, by run.
    pub fn iter(&self) -> impl Iterator<Item = &Waiting> + '_ {
        self.pages.iter()
    }

    /// Whoever was accepted first: no record before that is read for those who wait.
    pub fn oldest(&self) -> Option<&Waiting> {
        let lines = Priority::ALL.into_iter().filter_map(|it| self.unmoved(it).next());
        let moved = self.moved.runs().filter_map(|run| self.find(run));
        lines.chain(moved).min_by_key(|it| it.seq)
    }

    /// Runs of one priority that stand in line by `now`, soonest first.
    pub fn line(&self, priority: Priority, now: Time) -> impl Iterator<Item = &Waiting> + '_ {
        let mut unmoved = self.unmoved(priority).peekable();
        let moved = self.moved.line(priority, now).filter_map(|run| self.find(run));
        let mut moved = moved.peekable();
        std::iter::from_fn(move || match (unmoved.peek(), moved.peek()) {
            (Some(one), Some(other)) if self.turn(one) < self.turn(other) => unmoved.next(),
            (_, Some(_)) => moved.next(),
            (_, None) => unmoved.next(),
        })
    }

    /// Runs of one priority that stand where their acceptance put them.
    fn unmoved(&self, priority: Priority) -> impl Iterator<Item = &Waiting> + '_ {
        let line = self.lines.get(priority as usize);
        let moved = |run: &RunId| !self.moved.is_empty() && self.moved.ready(*run).is_some();
        let runs = line.into_iter().flat_map(|line| &line.runs).filter(move |run| !moved(run));
        runs.filter_map(|run| self.find(*run))
    }

    /// Where a run stands in line: as its tasks would, had they been ready since.
    pub fn turn(&self, waiting: &Waiting) -> Turn {
        Turn::new(waiting.priority, self.ready(waiting), waiting.seq)
    }

    /// Since when, or from when on, a run stands in line.
    pub fn ready(&self, waiting: &Waiting) -> Time {
        self.moved.ready(waiting.run).unwrap_or(waiting.accepted)
    }

    /// The turn of whoever is next by `now`.
    pub fn first(&self, now: Time) -> Option<Turn> {
        let heads = Priority::ALL.into_iter().filter_map(|it| self.line(it, now).next());
        heads.map(|it| self.turn(it)).min()
    }

    /// When the next run whose time has not come by `now` stands in line.
    pub fn next_start(&self, now: Time) -> Option<Time> {
        self.moved.next(now)
    }

    /// Runs whose deadline is at or before `now`, earliest first.
    pub fn due(&self, now: Time) -> impl Iterator<Item = &Waiting> + '_ {
        let due = self.deadlines.iter().take_while(move |(at, _)| *at <= now);
        due.filter_map(|(_, run)| self.find(*run))
    }

    /// The first deadline after `now`.
    pub fn next_deadline(&self, now: Time) -> Option<Time> {
        let after = (now.plus(1), RunId::default())..;
        self.deadlines.range(after).next().map(|(at, _)| *at)
    }

    /// The tenant of a run that waits.
    pub fn namespace(&self, run: RunId) -> Option<&Text> {
        self.under(self.find(run)?).map(Under::namespace)
    }

    /// What a run goes on under.
    pub(crate) fn under(&self, waiting: &Waiting) -> Option<&Under> {
        self.shelves.get(&waiting.shelf).map(|shelf| &shelf.under)
    }

    /// Different admissions that runs wait under.
    pub(crate) fn shelves(&self) -> usize {
        self.shelves.len()
    }

    /// Whether runs wait under this one already.
    pub(crate) fn has_shelf(&self, label: Label) -> bool {
        self.labels.contains_key(&label)
    }

    /// Puts a run behind the others of its priority.
    pub(crate) fn put(&mut self, accepted: &Accepted, under: Under) {
        if self.contains(accepted.run) {
            return;
        }
        let shelf = self.shelf(under);
        let deadline = accepted.deadline.unwrap_or(Time::NEVER);
        let waiting = Waiting {
            run: accepted.run,
            seq: accepted.seq,
            accepted: accepted.at,
            deadline,
            priority: accepted.priority,
            shelf,
        };
        self.pages.insert(waiting);
        if deadline != Time::NEVER {
            self.deadlines.insert((deadline, waiting.run));
        }
        if let Some(start) = accepted.start {
            return self.moved.put(&waiting, start.max(waiting.accepted));
        }
        if let Some(line) = self.lines.get_mut(waiting.priority as usize) {
            line.runs.push_back(waiting.run);
            line.waiting += 1;
        }
    }

    fn shelf(&mut self, under: Under) -> u32 {
        let number = *self.labels.entry(under.label()).or_insert_with(|| {
            self.newest_shelf = self.newest_shelf.wrapping_add(1);
            self.newest_shelf
        });
        self.shelves.entry(number).or_insert(Shelf { under, runs: 0 }).runs += 1;
        number
    }

    /// Takes a run out, whatever its turn.
    pub(crate) fn take(&mut self, run: RunId) -> Option<(Waiting, Under)> {
        let waiting = self.pages.remove(run)?;
        self.deadlines.remove(&(waiting.deadline, run));
        if !self.moved.take(&waiting) {
            self.sweep(waiting.priority);
        }
        let shelf = self.shelves.get_mut(&waiting.shelf)?;
        shelf.runs = shelf.runs.saturating_sub(1);
        if shelf.runs > 0 {
            return Some((waiting, shelf.under.clone()));
        }
        let Shelf { under, .. } = self.shelves.remove(&waiting.shelf)?;
        self.labels.remove(&under.label());
        Some((waiting, under))
    }

    /// Makes a run more or less urgent.
    pub(crate) fn prioritize(&mut self, run: RunId, priority: Priority) {
        let Some(waiting) = self.find(run).copied() else { return };
        let ready = self.ready(&waiting);
        let was_moved = self.moved.take(&waiting);
        self.pages.change(run, |it| it.priority = priority);
        self.moved.put(&Waiting { priority, ..waiting }, ready);
        if !was_moved {
            self.sweep(waiting.priority);
        }
    }

    /// One left the line: those who are gone leave its head, and its middle when they are many.
    fn sweep(&mut self, priority: Priority) {
        let Some(line) = self.lines.get_mut(priority as usize) else { return };
        let (pages, moved) = (&self.pages, &self.moved);
        let is_here = |run: &RunId| pages.find(*run).is_some() && moved.ready(*run).is_none();
        line.waiting = line.waiting.saturating_sub(1);
        while line.runs.front().is_some_and(|run| !is_here(run)) {
            line.runs.pop_front();
        }
        if line.runs.len() > 2 * line.waiting + LEFT_MIN {
            line.runs.retain(is_here);
        }
        if line.runs.capacity() > 4 * line.runs.len() + LEFT_MIN {
            line.runs.shrink_to(2 * line.runs.len());
        }
    }
}

/// What it means, and not how it is kept.
impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The numbers of shelves depend on what stood there before; their labels do not.
        let labels: BTreeMap<_, _> =
            self.shelves.values().map(|shelf| (shelf.under.label(), shelf.runs)).collect();
        f.debug_map().entries(labels).finish()?;
        let entry = |it: &Waiting| {
            let label = self.under(it).map(Under::label);
            (it.run, it.seq, it.accepted, self.ready(it), it.deadline, it.priority, label)
        };
        f.debug_list().entries(self.iter().map(entry)).finish()
    }
}

#[cfg(test)]
mod tests;
