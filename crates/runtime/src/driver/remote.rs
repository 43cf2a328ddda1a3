//! Attempts of remote workers, on the loop's side: onto a desk, and off it when they are stopped.

use std::sync::Arc;
use std::time::Instant;

use ark_os_core::Command;
use ark_os_core::State;
use ark_os_core::error::Failure;
use ark_os_core::event::Standing;
use ark_os_core::ids::PtId;
use ark_os_core::run::TaskState;
use ark_os_core::text::Text;
use rustc_hash::FxHashMap;

use crate::kernel::Input;
use crate::remote::{Fate, Remotes, Work, Worker};
use crate::reply::Reply;

/// Attempts of remote workers.
pub(super) struct RemoteAttempts {
    remotes: Arc<Remotes>,
    /// Whose an attempt is, from its assignment to its stop or end.
    workers: FxHashMap<PtId, Arc<Worker>>,
    /// When silence is looked for next.
    sweep: Instant,
}

impl RemoteAttempts {
    pub(super) fn new(remotes: Arc<Remotes>, now: Instant) -> Self {
        RemoteAttempts { remotes, workers: FxHashMap::default(), sweep: now }
    }

    /// The worker that an agent is.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Worker>> {
        self.remotes.find(name)
    }

    /// Puts an attempt on a worker's desk. One that takes nothing gives it back by itself.
    pub(super) fn assign(&mut self, worker: Arc<Worker>, work: Work) {
        let pt = work.pt;
        if self.remotes.assign(&worker, work) {
            self.workers.insert(pt, worker);
        }
    }

    /// An attempt is stopped, or over; whether it was a worker's.
    pub(super) fn stop(&mut self, state: &State, pt: PtId) -> bool {
        let Some(worker) = self.workers.remove(&pt) else { return false };
        worker.close(pt, fate_of(state, pt));
        true
    }

    /// A deployment is over.
    pub(super) fn follow(&self, state: &State) {
        let names = state.fleet().remote_names();
        self.remotes.dismiss(|name| !names.contains(name));
    }

    /// An attempt has come to its end.
    pub(super) fn end(&mut self, pt: &PtId) {
        self.workers.remove(pt);
    }

    /// When silence is to be looked for.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.remotes.sweep_every().map(|_| self.sweep)
    }

    /// Looks for silence when it is time.
    pub(super) fn act_on_due(&mut self, now: Instant) {
        let Some(every) = self.remotes.sweep_every() else { return };
        if self.sweep <= now {
            self.sweep = now + every;
            self.remotes.sweep(now);
        }
    }
}

/// Why an attempt was stopped: its task goes on elsewhere, or not at all.
fn fate_of(state: &State, pt: PtId) -> Fate {
    let task = state.run(pt.run).and_then(|run| run.task(pt.task));
    let goes_on = task.is_some_and(|it| {
        matches!(it.state, TaskState::Ready | TaskState::Running | TaskState::Waiting)
    });
    if goes_on { Fate::Stale } else { Fate::Cancelled }
}

/// The worker of an attempt is not registered here: an earlier start knew it, or it has just left.
pub(super) fn absent(name: Text, pt: PtId) -> [Input<Reply>; 2] {
    let reason = Text::from("the worker is not registered");
    let command = Command::MarkAgent { name, standing: Standing::Suspect, reason };
    let mark = Input::Command { command, cause: 0, reply: None };
    let reason = Failure::retryable("worker_absent", "the worker is not registered");
    let command = Command::ReturnAttempt { pt, reason };
    [mark, Input::Command { command, cause: 0, reply: None }]
}
