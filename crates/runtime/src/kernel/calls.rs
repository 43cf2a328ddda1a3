//! Runs on their way from disk into memory, and what people want of them meanwhile. What needs no record, a
//! cancellation or a deadline, does not wait for one that cannot be read now.

use std::collections::{BTreeSet, VecDeque};

use ark_os_core::command::{LoadRun, LoadVerb, SendSignal};
use ark_os_core::effect::Effect;
use ark_os_core::error::Failure;
use ark_os_core::event::RunAccepted;
use ark_os_core::ids::RunId;
use ark_os_core::time::Time;
use ark_os_core::{Command, Kind, Rejected};
use rustc_hash::FxHashMap;

use super::wait::Recipient;
use super::{Answer, Loop, Output, Released};

/// Commands that may wait for their run to be read at one time: as many runs as one block has.
const VERBS_MAX: usize = 1_024;

/// Runs that cannot be read now and do not count among those that are being read: four blocks, which are tried
/// again in a moment. More of them keep their places, or all that waits would be tried again and again.
const UNREAD_MAX: usize = 4_096;

/// A run that was read from disk.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Which.
    pub run: RunId,
    /// The record that accepted it.
    pub seq: u64,
    /// What the record says, or why it cannot be read; retryable: now, and it is tried again.
    pub accepted: Result<RunAccepted, Failure>,
}

impl Fetched {
    /// Whether another answer follows.
    pub fn is_tried_again(&self) -> bool {
        self.accepted.as_ref().is_err_and(|failure| failure.retryable)
    }
}

/// What somebody wants of a run that waits on disk.
struct Verb<R> {
    wish: Wish,
    reply: Option<R>,
}

/// What is wanted.
pub(super) enum Wish {
    /// It comes before anything of the run begins.
    First(LoadVerb),
    /// Once it has begun.
    Signal(Box<SendSignal>),
}

/// Who was called and has not come yet. In memory only: after a restart they are called again.
pub(super) struct Calls<R> {
    called: BTreeSet<RunId>,
    /// Who was called, could not be read, and is tried again.
    unread: BTreeSet<RunId>,
    verbs: FxHashMap<RunId, VecDeque<Verb<R>>>,
    /// How many there are.
    verb_count: usize,
    /// Runs with verbs that were not called yet.
    wanted: Vec<RunId>,
    /// Whoever was due by then is called, or next in line to be.
    looked: Time,
}

impl<R> Default for Calls<R> {
    fn default() -> Self {
        Calls {
            called: BTreeSet::new(),
            unread: BTreeSet::new(),
            verbs: FxHashMap::default(),
            verb_count: 0,
            wanted: Vec::new(),
            looked: Time::default(),
        }
    }
}

impl<R> Calls<R> {
    fn is_called(&self, run: RunId) -> bool {
        self.called.contains(&run) || self.unread.contains(&run)
    }

    /// Whether somebody wants something of a run that is not read yet.
    pub(super) fn is_wanted(&self, run: RunId) -> bool {
        self.verbs.contains_key(&run)
    }

    /// A run cannot be read now: while it is tried again it takes no place from others.
    fn set_aside(&mut self, run: RunId) {
        if self.unread.len() < UNREAD_MAX && self.called.remove(&run) {
            self.unread.insert(run);
        }
    }

    /// What is wanted of a run, in order. Of one that cannot be read the first cancellation comes before all else:
    /// it needs no record.
    fn take_verbs(&mut self, run: RunId, is_read: bool) -> VecDeque<Verb<R>> {
        self.called.remove(&run);
        self.unread.remove(&run);
        let mut verbs = self.verbs.remove(&run).unwrap_or_default();
        self.verb_count -= verbs.len();
        if !is_read
            && let Some(at) = verbs.iter().position(Verb::is_cancel)
            && let Some(cancel) = verbs.remove(at)
        {
            verbs.push_front(cancel);
        }
        verbs
    }
}

impl<R> Verb<R> {
    /// What comes before anything of the run begins, if it is such.
    fn first(&self) -> Option<LoadVerb> {
        match &self.wish {
            Wish::First(verb) => Some(verb.clone()),
            Wish::Signal(_) => None,
        }
    }

    fn is_cancel(&self) -> bool {
        matches!(self.wish, Wish::First(LoadVerb::Cancel(_)))
    }
}

/// What a command wants of a run that has not begun, if it wants anything.
fn wish_of(command: &Command) -> Option<(RunId, Wish)> {
    let (run, wish) = match command {
        Command::CancelRun { run, reason } => (*run, Wish::First(LoadVerb::Cancel(reason.clone()))),
        Command::PauseRun { run, reason } => (*run, Wish::First(LoadVerb::Pause(reason.clone()))),
        Command::SendSignal(signal) => (signal.run, Wish::Signal(signal.clone())),
        _ => return None,
    };
    Some((run, wish))
}

fn as_command(run: RunId, wish: Wish) -> Command {
    match wish {
        Wish::First(LoadVerb::Cancel(reason)) => Command::CancelRun { run, reason },
        Wish::First(LoadVerb::Pause(reason)) => Command::PauseRun { run, reason },
        Wish::Signal(signal) => Command::SendSignal(signal),
    }
}

impl<R: Recipient> Loop<R> {
    /// The run that has to be read before this command can be decided.
    pub(super) fn unread(&self, command: &Command) -> Option<(RunId, Wish)> {
        let backlog = self.kernel.state.backlog();
        if backlog.is_empty() {
            return None;
        }
        wish_of(command).filter(|(run, _)| backlog.contains(*run))
    }

    /// Holds a command until its run is read; whether there is room for it.
    pub(super) fn put_off(
        &mut self,
        (run, wish): (RunId, Wish),
        reply: Option<R>,
        out: &mut Output<R>,
    ) -> bool {
        if self.calls.verb_count >= VERBS_MAX {
            self.kernel.refused.commands += 1;
            let message = "too many commands wait for runs to be read";
            let rejected =
                Rejected::new(Kind::Exhausted, "overloaded", message).hint("try again in a moment");
            if let Some(reply) = reply {
                self.hold(Released::Answer(reply, Answer::Rejected(rejected)), out);
            }
            return false;
        }
        self.calls.verb_count += 1;
        self.calls.verbs.entry(run).or_default().push_back(Verb { wish, reply });
        if !self.calls.is_called(run) {
            self.calls.wanted.push(run);
        }
        true
    }

    /// Asks for the records of runs that are wanted, due, or that there is room for.
    pub(super) fn call_in(&mut self, now: Time, out: &mut Output<R>) {
        let (kernel, calls) = (&self.kernel, &mut self.calls);
        let (state, now) = (&kernel.state, now.max(kernel.state.now()));
        calls.looked = now;
        if state.backlog().is_empty() {
            return;
        }
        let mut runs = Vec::new();
        for run in std::mem::take(&mut calls.wanted) {
            let waiting = state.backlog().find(run).filter(|_| !calls.is_called(run));
            calls.called.extend(waiting.map(|_| run));
            runs.extend(waiting.map(|it| (run, it.seq)));
        }
        for waiting in state.call_in(&calls.called, &calls.unread, now) {
            calls.called.insert(waiting.run);
            runs.push((waiting.run, waiting.seq));
        }
        let Some(newest) = runs.iter().map(|(_, seq)| *seq).max() else { return };
        // What is not durable yet cannot be read.
        let (is_durable, newest) = (newest <= kernel.synced, kernel.newest);
        let effect = Released::Effect(0, Effect::FetchRuns { runs });
        if is_durable {
            out.released.push(effect);
        } else {
            self.held.push_back((newest, effect));
        }
    }

    /// A run was read: it is loaded, and what was wanted of it is done.
    pub(super) fn load(&mut self, fetched: Fetched, now: Time, out: &mut Output<R>) {
        if fetched.is_tried_again() && !self.ends_unread(fetched.run, now) {
            self.calls.set_aside(fetched.run);
            return;
        }
        let Fetched { run, seq, accepted } = fetched;
        let mut verbs = self.calls.take_verbs(run, accepted.is_ok());
        // The first that is not refused brings the run in; if nobody wants anything it comes by itself.
        while self.kernel.state.backlog().contains(run) {
            let verb = verbs.front().and_then(Verb::first);
            let comes_first = verb.is_some();
            let load = LoadRun { run, accepted: accepted.clone(), verb };
            let loaded = self.execute(Command::LoadRun(Box::new(load)), seq, now, out);
            let is_refused = loaded.is_err();
            // A signal is sent once the run is in.
            if comes_first || is_refused {
                let Some(verb) = verbs.pop_front() else { return };
                let answer = loaded.map_or_else(Answer::Rejected, |_| Answer::Done);
                if let Some(reply) = verb.reply {
                    self.hold(Released::Answer(reply, answer), out);
                }
            }
            if !is_refused {
                break;
            }
        }
        for Verb { wish, reply } in verbs {
            let answer = self.command(as_command(run, wish), 0, now, out);
            if let Some(reply) = reply {
                self.hold(Released::Answer(reply, answer), out);
            }
        }
    }

    /// Whether a run that cannot be read now is over all the same, or was before: somebody cancelled it, or its
    /// deadline has passed.
    fn ends_unread(&self, run: RunId, now: Time) -> bool {
        let Some(waiting) = self.kernel.state.backlog().find(run) else { return true };
        let verbs = self.calls.verbs.get(&run);
        let is_cancelled = verbs.is_some_and(|verbs| verbs.iter().any(Verb::is_cancel));
        is_cancelled || waiting.deadline <= now.max(self.kernel.state.now())
    }

    /// When the next deadline of a run on disk passes, or its time comes, that nobody was called for.
    pub(super) fn next_on_disk(&self) -> Option<Time> {
        let (backlog, looked) = (self.kernel.state.backlog(), self.calls.looked);
        backlog.next_deadline(looked).into_iter().chain(backlog.next_start(looked)).min()
    }
}
