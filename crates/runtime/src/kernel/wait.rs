//! Who waits for which run to be over.

use std::sync::Arc;

use ark_os_core::ids::RunId;
use ark_os_core::run::RunSummary;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// So many wait for one run before those who have gone are looked for.
const LOOK_FROM: usize = 8;

/// Somebody whom the loop answers.
pub trait Recipient {
    /// Whether nobody would take the answer any more; then it need not be kept for him.
    fn is_gone(&self) -> bool {
        false
    }
}

/// Nobody in particular.
impl Recipient for () {}

/// Who waits for which run.
pub(super) struct Waiting<R> {
    by_run: FxHashMap<RunId, Crowd<R>>,
    /// The run that is being submitted by somebody who waits for its end.
    expected: Option<RunId>,
    /// Its end, when it came in the same step.
    came: Option<Arc<RunSummary>>,
}

/// Who waits for one run.
struct Crowd<R> {
    all: SmallVec<[R; 1]>,
    /// When there are so many, those who have gone are left out: at most twice as many are kept as
    /// waited at the last look, and a look costs each arrival a constant.
    look_at: usize,
}

impl<R> Default for Waiting<R> {
    fn default() -> Self {
        Waiting { by_run: FxHashMap::default(), expected: None, came: None }
    }
}

impl<R: Recipient> Waiting<R> {
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
        let new = || Crowd { all: SmallVec::new(), look_at: LOOK_FROM };
        let crowd = self.by_run.entry(run).or_insert_with(new);
        if crowd.all.len() >= crowd.look_at {
            crowd.all.retain(|who| !who.is_gone());
            crowd.look_at = LOOK_FROM.max(2 * crowd.all.len());
        }
        crowd.all.push(who);
    }

    /// The run is over: everybody who waited for it.
    pub(super) fn take(&mut self, run: RunId, summary: &Arc<RunSummary>) -> SmallVec<[R; 1]> {
        if self.expected == Some(run) {
            self.came = Some(summary.clone());
        }
        self.by_run.remove(&run).map(|crowd| crowd.all).unwrap_or_default()
    }
}
