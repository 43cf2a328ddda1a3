//! Who waits for which run to be over.

use std::sync::Arc;

use ark_os_core::ids::RunId;
use ark_os_core::run::RunSummary;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Who waits for which run.
pub(super) struct Waiting<R> {
    by_run: FxHashMap<RunId, SmallVec<[R; 1]>>,
    /// The run that is being submitted by somebody who waits for its end.
    expected: Option<RunId>,
    /// Its end, when it came in the same step.
    came: Option<Arc<RunSummary>>,
}

impl<R> Default for Waiting<R> {
    fn default() -> Self {
        Waiting { by_run: FxHashMap::default(), expected: None, came: None }
    }
}

impl<R> Waiting<R> {
    /// A run is about to be submitted; `waits`: somebody wants to know its end.
    pub(super) fn expect(&mut self, run: RunId, waits: bool) {
        self.expected = waits.then_some(run);
        self.came = None;
    }

    /// The submission is over; the run's end, if it came already.
    pub(super) fn forget_expected(&mut self, run: RunId) -> Option<Arc<RunSummary>> {
        if self.expected.take() == Some(run) { self.came.take() } else { None }
    }

    /// Somebody waits.
    pub(super) fn add(&mut self, run: RunId, who: R) {
        self.by_run.entry(run).or_default().push(who);
    }

    /// The run is over: everybody who waited for it.
    pub(super) fn take(&mut self, run: RunId, summary: &Arc<RunSummary>) -> SmallVec<[R; 1]> {
        if self.expected == Some(run) {
            self.came = Some(summary.clone());
        }
        self.by_run.remove(&run).unwrap_or_default()
    }
}
