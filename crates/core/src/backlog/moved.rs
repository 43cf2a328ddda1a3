//! Runs that do not stand where their acceptance put them: made more or less urgent since, or not to
//! begin before a time of their own. Each costs about 130 bytes besides its entry.

use std::collections::{BTreeMap, BTreeSet};

use super::Waiting;
use crate::ids::RunId;
use crate::priority::Priority;
use crate::time::Time;

/// Their places.
#[derive(Clone, Debug, Default)]
pub(super) struct Moved {
    /// Since when, or from when on, each stands in line.
    ready: BTreeMap<RunId, Time>,
    /// By priority, soonest first.
    lines: [BTreeSet<(Time, u64, RunId)>; Priority::ALL.len()],
}

impl Moved {
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// From when on a run that was moved stands in line.
    pub(super) fn ready(&self, run: RunId) -> Option<Time> {
        self.ready.get(&run).copied()
    }

    pub(super) fn put(&mut self, waiting: &Waiting, ready: Time) {
        self.take(waiting);
        self.ready.insert(waiting.run, ready);
        if let Some(line) = self.lines.get_mut(waiting.priority as usize) {
            line.insert((ready, waiting.seq, waiting.run));
        }
    }

    /// Whether it was there.
    pub(super) fn take(&mut self, waiting: &Waiting) -> bool {
        let Some(ready) = self.ready.remove(&waiting.run) else { return false };
        if let Some(line) = self.lines.get_mut(waiting.priority as usize) {
            line.remove(&(ready, waiting.seq, waiting.run));
        }
        true
    }

    /// Those of one priority whose time has come, soonest first.
    pub(super) fn line(&self, priority: Priority, now: Time) -> impl Iterator<Item = RunId> + '_ {
        let line = self.lines.get(priority as usize);
        let come = ..=(now, u64::MAX, RunId(u128::MAX));
        line.into_iter().flat_map(move |line| line.range(come)).map(|(_, _, run)| *run)
    }

    /// When the next one stands in line after `now`.
    pub(super) fn next(&self, now: Time) -> Option<Time> {
        let after = (now.plus(1), 0, RunId::default())..;
        let firsts = self.lines.iter().filter_map(|line| line.range(after.clone()).next());
        firsts.map(|(ready, ..)| *ready).min()
    }

    /// All of them.
    pub(super) fn runs(&self) -> impl Iterator<Item = RunId> + '_ {
        self.ready.keys().copied()
    }
}
