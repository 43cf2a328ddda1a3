//! Runs on their way from disk into memory, and what people want of them meanwhile.

use std::collections::{BTreeSet, VecDeque};

use ark_os_core::command::{LoadRun, LoadVerb};
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

/// A run that was read from disk.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Which.
    pub run: RunId,
    /// The record that accepted it.
    pub seq: u64,
    /// What the record says, or why it cannot be read.
    pub accepted: Result<RunAccepted, Failure>,
}

/// What somebody wants of a run that waits on disk.
struct Verb<R> {
    verb: LoadVerb,
    reply: Option<R>,
}

/// Who was called and has not come yet. In memory only: after a restart they are called again.
pub(super) struct Calls<R> {
    called: BTreeSet<RunId>,
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
            verbs: FxHashMap::default(),
            verb_count: 0,
            wanted: Vec::new(),
            looked: Time::default(),
        }
    }
}

/// What a command wants of a run that has not begun, if it wants anything.
fn verb_of(command: &Command) -> Option<(RunId, LoadVerb)> {
    match command {
        Command::CancelRun { run, reason } => Some((*run, LoadVerb::Cancel(reason.clone()))),
        Command::PauseRun { run, reason } => Some((*run, LoadVerb::Pause(reason.clone()))),
        _ => None,
    }
}

fn as_command(run: RunId, verb: LoadVerb) -> Command {
    match verb {
        LoadVerb::Cancel(reason) => Command::CancelRun { run, reason },
        LoadVerb::Pause(reason) => Command::PauseRun { run, reason },
    }
}

impl<R: Recipient> Loop<R> {
    /// The run that has to be read before this command can be decided.
    pub(super) fn unread(&self, command: &Command) -> Option<(RunId, LoadVerb)> {
        let backlog = self.kernel.state.backlog();
        if backlog.is_empty() {
            return None;
        }
        verb_of(command).filter(|(run, _)| backlog.contains(*run))
    }

    /// Holds a command until its run is read.
    pub(super) fn put_off(
        &mut self,
        (run, verb): (RunId, LoadVerb),
        reply: Option<R>,
        out: &mut Output<R>,
    ) {
        if self.calls.verb_count >= VERBS_MAX {
            self.kernel.refused.commands += 1;
            let message = "too many commands wait for runs to be read";
            let rejected =
                Rejected::new(Kind::Exhausted, "overloaded", message).hint("try again in a moment");
            if let Some(reply) = reply {
                self.hold(Released::Answer(reply, Answer::Rejected(rejected)), out);
            }
            return;
        }
        self.calls.verb_count += 1;
        self.calls.verbs.entry(run).or_default().push_back(Verb { verb, reply });
        if !self.calls.called.contains(&run) {
            self.calls.wanted.push(run);
        }
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
        for run in calls.wanted.drain(..) {
            let waiting = state.backlog().find(run).filter(|_| calls.called.insert(run));
            runs.extend(waiting.map(|it| (run, it.seq)));
        }
        for waiting in state.call_in(&calls.called, now) {
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
        let Fetched { run, seq, accepted } = fetched;
        self.calls.called.remove(&run);
        let mut verbs = self.calls.verbs.remove(&run).unwrap_or_default();
        self.calls.verb_count -= verbs.len();
        let waits = self.kernel.state.backlog().contains(run);
        let (verb, reply) = match verbs.pop_front_if(|_| waits) {
            Some(first) => (Some(first.verb), first.reply),
            None => (None, None),
        };
        let load = LoadRun { run, accepted, verb };
        let loaded = self.execute(Command::LoadRun(Box::new(load)), seq, now, out);
        if let Some(reply) = reply {
            let answer = loaded.map_or_else(Answer::Rejected, |_| Answer::Done);
            self.hold(Released::Answer(reply, answer), out);
        }
        for Verb { verb, reply } in verbs {
            let answer = self.command(as_command(run, verb), 0, now, out);
            if let Some(reply) = reply {
                self.hold(Released::Answer(reply, answer), out);
            }
        }
    }

    /// When the next deadline of a run on disk passes that nobody was called for.
    pub(super) fn next_on_disk(&self) -> Option<Time> {
        self.kernel.state.backlog().next_deadline(self.calls.looked)
    }
}
