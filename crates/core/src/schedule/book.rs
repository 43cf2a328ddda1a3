//! The schedules of an instance as the state keeps them: what is due when, and which runs are whose.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use minicbor::{Decode, Encode};

use super::ScheduleSpec;
use crate::authority::Authority;
use crate::event::ScheduleSkip;
use crate::hash::Hash;
use crate::ids::RunId;
use crate::text::Text;
use crate::time::Time;

/// A schedule and how it stands.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Schedule {
    /// Its number, never used again.
    #[n(0)]
    pub number: u64,
    /// The tenant.
    #[n(1)]
    pub namespace: Text,
    /// What somebody wants.
    #[n(2)]
    #[cbor(with = "crate::shared")]
    pub spec: Arc<ScheduleSpec>,
    /// Under whose authority its runs begin.
    #[n(3)]
    pub authority: Authority,
    /// Seed of its jitter and of the ids of its runs.
    #[n(4)]
    pub seed: u64,
    /// The next time by its pattern; none: it is paused, or there is none.
    #[n(5)]
    pub next: Option<Time>,
    /// Times that wait for a run of it to be over, oldest first.
    #[n(6)]
    pub waiting: VecDeque<Time>,
    /// The newest run.
    #[n(7)]
    pub last: Option<LastRun>,
    /// Runs that it began.
    #[n(8)]
    pub fired: u64,
    /// Times at which it began none.
    #[n(9)]
    pub skipped: u64,
    /// When it was put, or put anew.
    #[n(10)]
    pub since: Time,
    /// Its runs that are not over.
    #[n(11)]
    pub runs: BTreeSet<RunId>,
    /// Whether it is a part of what is deployed: a deployment without it takes it away.
    #[n(12)]
    #[cbor(skip_if = "crate::shared::is_default", default)]
    pub deployed: bool,
    /// The newest time at which it began none.
    #[n(13)]
    #[cbor(skip_if = "crate::shared::is_default", default)]
    pub last_skip: Option<LastSkip>,
}

/// The newest time of a schedule at which it began no run.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LastSkip {
    /// The time by the pattern.
    #[n(0)]
    pub time: Time,
    /// When it passed without a run.
    #[n(1)]
    pub at: Time,
    /// Why.
    #[n(2)]
    pub cause: ScheduleSkip,
}

/// The newest run of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LastRun {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The time by the pattern that it is for.
    #[n(1)]
    pub time: Time,
    /// When it began.
    #[n(2)]
    pub at: Time,
}

impl Schedule {
    /// Whether a run of it is not over.
    pub fn is_busy(&self) -> bool {
        !self.runs.is_empty()
    }

    /// The time that waited longest, if its turn has come.
    pub fn waiting_turn(&self) -> Option<Time> {
        self.waiting.front().copied().filter(|_| !self.is_busy() && !self.spec.is_paused)
    }

    /// When something is to be done about it.
    pub fn due(&self) -> Option<Time> {
        if self.waiting_turn().is_some() {
            return Some(Time::default());
        }
        self.next.map(|next| next.plus(self.jitter(next)))
    }

    /// How late its run for this time begins, in milliseconds.
    fn jitter(&self, time: Time) -> u64 {
        let most = self.spec.jitter_ms.unwrap_or(0);
        if most == 0 {
            return 0;
        }
        self.draw(b"jitter", time).draw() % most.saturating_add(1)
    }

    fn draw(&self, what: &[u8], time: Time) -> Hash {
        let number = self.number.to_le_bytes();
        Hash::of_parts(&[what, &self.seed.to_le_bytes(), &number, &time.0.to_le_bytes()])
    }

    /// The id of its next run, for this time, which begins at `at`: the same whoever works it out.
    pub fn run_id(&self, time: Time, at: Time) -> RunId {
        let count = self.fired.to_le_bytes();
        RunId::derived(at, &Hash::of_parts(&[&self.draw(b"run", time).0, &count]))
    }
}

/// All schedules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedules {
    by_number: BTreeMap<u64, Schedule>,
    names: BTreeMap<(Text, Text), u64>,
    due: BTreeSet<(Time, u64)>,
    runs: BTreeMap<RunId, u64>,
    /// The newest number that was given out.
    newest: u64,
}

impl Schedules {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// All of them, in the order in which they were first put.
    pub fn iter(&self) -> impl Iterator<Item = &Schedule> + Clone + '_ {
        self.by_number.values()
    }

    /// A schedule by its number.
    pub fn find(&self, number: u64) -> Option<&Schedule> {
        self.by_number.get(&number)
    }

    /// A schedule by its name.
    pub fn named(&self, namespace: &Text, name: &Text) -> Option<&Schedule> {
        self.find(*self.names.get(&(namespace.clone(), name.clone()))?)
    }

    /// The schedule that began a run which is not over.
    pub fn of_run(&self, run: RunId) -> Option<&Schedule> {
        self.find(*self.runs.get(&run)?)
    }

    /// The one to which something is to be done first, and when.
    pub fn first_due(&self) -> Option<(Time, &Schedule)> {
        self.in_order().next()
    }

    /// All that are due some time, soonest first.
    pub fn in_order(&self) -> impl Iterator<Item = (Time, &Schedule)> + '_ {
        self.due.iter().filter_map(|(due, number)| Some((*due, self.find(*number)?)))
    }

    /// The number of the next new one.
    pub(crate) fn next_number(&self) -> u64 {
        self.newest + 1
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Puts a new one in, or another in its place.
    pub(crate) fn put(&mut self, schedule: Schedule) {
        self.remove(schedule.number);
        self.newest = self.newest.max(schedule.number);
        let name = (schedule.namespace.clone(), schedule.spec.name.clone());
        self.names.insert(name, schedule.number);
        self.runs.extend(schedule.runs.iter().map(|run| (*run, schedule.number)));
        self.due.extend(schedule.due().map(|due| (due, schedule.number)));
        self.by_number.insert(schedule.number, schedule);
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Schedule> {
        let schedule = self.by_number.remove(&number)?;
        if let Some(due) = schedule.due() {
            self.due.remove(&(due, number));
        }
        for run in &schedule.runs {
            self.runs.remove(run);
        }
        self.names.remove(&(schedule.namespace.clone(), schedule.spec.name.clone()));
        Some(schedule)
    }

    /// The one place where a schedule changes, so that what is due stays true.
    pub(crate) fn change(&mut self, number: u64, change: impl FnOnce(&mut Schedule)) {
        let Some(schedule) = self.by_number.get_mut(&number) else { return };
        if let Some(due) = schedule.due() {
            self.due.remove(&(due, number));
        }
        change(schedule);
        if let Some(due) = schedule.due() {
            self.due.insert((due, number));
        }
    }

    /// A run of a schedule began.
    pub(crate) fn begin(&mut self, number: u64, last: LastRun) {
        if self.by_number.contains_key(&number) {
            self.runs.insert(last.run, number);
            self.change(number, |it| {
                it.runs.insert(last.run);
                it.last = Some(last);
                it.fired += 1;
            });
        }
    }

    /// A run of a schedule that was over goes on.
    pub(crate) fn again(&mut self, number: u64, run: RunId) {
        if self.by_number.contains_key(&number) {
            self.runs.insert(run, number);
            self.change(number, |it| _ = it.runs.insert(run));
        }
    }

    /// A run is over, whoever's it was.
    pub(crate) fn over(&mut self, run: RunId) {
        if let Some(number) = self.runs.remove(&run) {
            self.change(number, |it| _ = it.runs.remove(&run));
        }
    }

    /// Those of a snapshot; `lives`: whether a run is not over. Says what is wrong with rows that no
    /// journal gives.
    pub(crate) fn restored(
        newest: u64,
        rows: Vec<Schedule>,
        lives: impl Fn(&RunId) -> bool,
    ) -> Result<Schedules, &'static str> {
        let mut schedules = Schedules { newest, ..Schedules::default() };
        for row in rows {
            let is_known = schedules.by_number.contains_key(&row.number)
                || schedules.named(&row.namespace, &row.spec.name).is_some();
            if row.number > newest || row.number == 0 || is_known {
                return Err("schedules contradict each other");
            }
            if !row.runs.iter().all(|run| lives(run) && !schedules.runs.contains_key(run)) {
                return Err("a run of a schedule is not under way");
            }
            schedules.put(row);
        }
        Ok(schedules)
    }
}
