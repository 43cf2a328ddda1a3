//! Runs and their children: who waits for whom, what is still to be told, and who pays.

use std::ops::Bound;

use super::State;
use crate::budget::{Account, Amounts};
use crate::child_run::Errand;
use crate::event::Intake;
use crate::ids::RunId;
use crate::limits::{CHILD_DEPTH_MAX, RUNS_LIVE_MAX};
use crate::run::Run;

impl State {
    /// The first errand behind `last` that can be done now, but none of those children that are
    /// `away`: they are being read from disk for one.
    pub fn errand(&self, last: Option<Errand>, away: impl Fn(RunId) -> bool) -> Option<Errand> {
        // They stand first: where none can be done, none of them is looked at.
        let may_start = self.intake == Intake::Open && self.live < RUNS_LIVE_MAX;
        let last = last.max((!may_start).then_some(Errand::STARTS_END));
        let behind = (last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let mut errands = self.errands.range(behind).copied();
        errands.find(|errand| !away(errand.child()) && self.can_do(*errand))
    }

    /// Why a run is to be cancelled: it goes with its parent, or makes way for the next run of its
    /// schedule.
    pub fn cancel_reason(&self, run: RunId) -> &'static str {
        let known = self.runs.get(&run).map(|run| run.parent.is_some());
        match known.unwrap_or_else(|| self.schedules.of_run(run).is_none()) {
            true => "its parent is over",
            false => "the next run of its schedule takes its place",
        }
    }

    fn can_do(&self, errand: Errand) -> bool {
        // What a crash interrupted goes on first.
        let parent = || {
            let (parent, _) = self.children.get(&errand.child())?;
            self.runs.get(parent).filter(|parent| !self.is_interrupted(parent.id))
        };
        match errand {
            Errand::Start(_) | Errand::Settle(_) => parent().is_some(),
            Errand::Cancel(_) | Errand::Pause(_) | Errand::Resume(_) => true,
        }
    }

    /// Whether a task waits for this run, which so stays until that knows of its end.
    pub fn is_awaited(&self, run: RunId) -> bool {
        self.children.contains_key(&run)
    }

    /// Whether there are errands at all.
    pub fn has_errands(&self) -> bool {
        !self.errands.is_empty() || !self.errands_later.is_empty()
    }

    /// Whether a run in memory or on disk lives.
    pub(super) fn lives(&self, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|run| !run.is_over()) || self.backlog.contains(run)
    }

    /// The runs above one that pay for its work too, nearest first.
    pub(crate) fn payers<'a>(&'a self, run: &'a Run) -> impl Iterator<Item = &'a Run> + 'a {
        let above = |run: &Run| {
            let parent = run.parent.as_ref().filter(|parent| !parent.is_detached)?;
            self.runs.get(&parent.run)
        };
        std::iter::successors(above(run), move |run| above(run)).take(CHILD_DEPTH_MAX as usize)
    }

    /// The least limit of a run and of those above it that pay for its work.
    pub(crate) fn limit_of(&self, run: &Run) -> Amounts {
        let above = self.payers(run).map(|payer| payer.account.limit());
        above.fold(run.account.limit(), Amounts::min)
    }

    /// What changed in a run's account changes in those above it.
    pub(super) fn charge_payers(&mut self, id: RunId, before: &Account) {
        let Some(run) = self.runs.get(&id) else { return };
        let after = run.account;
        if run.parent.is_none() || after == *before {
            return;
        }
        let payers: Vec<RunId> = self.payers(run).map(|payer| payer.id).collect();
        for payer in payers {
            if let Some(payer) = self.runs.get_mut(&payer) {
                payer.account.follow(before, &after);
            }
        }
    }
}
