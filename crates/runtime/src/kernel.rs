//! The loop's step: synchronous, without threads, clocks or files, and shared with the simulator.
//!
//! `step(now, inputs) → records, effects`. A command is decided, applied in memory at once and
//! appended to the batch. Internal effects go out at once; everything that somebody outside could
//! notice (answers, external effects) is held until the record that contains its cause is synced.
//!
//! INVARIANT I6: nothing leaves [`Output::released`] before what it depends on is durable.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use ark_os_core::command::{IntendStep, SubmitRun};
use ark_os_core::decide::{Known, known_step};
use ark_os_core::effect::Effect;
use ark_os_core::event::SubmissionKey;
use ark_os_core::ids::RunId;
use ark_os_core::rules::Rules;
use ark_os_core::run::{Run, RunState, RunSummary};
use ark_os_core::step::{Finding, StepKey, StepOutcome};
use ark_os_core::supervision::Measure;
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_core::{Change, Command, Kind, Rejected, State, decide};
use rustc_hash::FxHashMap;

mod calls;
mod errands;
pub mod record;
mod schedules;
mod wait;

pub use calls::Fetched;
use record::Appended;
pub use wait::Recipient;

/// Changes that one input may lead to before the next is looked at: dispatches and timers.
const FOLLOW_UPS_MAX: usize = 4_096;
/// Interrupted runs put back to work in one step, so that a start with many stays responsive.
const RECOVERIES_MAX: usize = 512;

/// What comes into the loop. `R` says whom to answer: a channel in a server, a number in a
/// simulation.
pub enum Input<R> {
    /// Somebody wants something.
    Command {
        /// What.
        command: Command,
        /// The record whose effect led to it; 0: none.
        cause: u64,
        /// Whom to answer.
        reply: Option<R>,
    },
    /// Somebody submits a run.
    Submit {
        /// The run.
        submission: Box<SubmitRun>,
        /// Told when it is durably accepted.
        accepted: Option<R>,
        /// Told when it is durably over, or parked.
        over: Option<R>,
    },
    /// Tell when a run is over or parked; at once if it is.
    Watch {
        /// The run.
        run: RunId,
        /// Whom to tell.
        over: R,
    },
    /// Runs that waited on disk were read.
    Fetched(Vec<Fetched>),
    /// Look at the state; what was seen is delivered once it is durable.
    Read(Look),
    /// Records up to this one are durable.
    Synced {
        /// Sequence of the newest durable record.
        through: u64,
    },
    /// The views show records up to this one.
    Viewed {
        /// Sequence of the newest record followed.
        through: u64,
    },
    /// Time has passed.
    Tick,
}

/// A look at the state, and what to do with what was seen.
pub type Look = Box<dyn FnOnce(&Kernel) -> Deliver + Send>;
/// Delivers what was seen.
pub type Deliver = Box<dyn FnOnce() + Send>;

impl<R> std::fmt::Debug for Input<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Input::Command { command, cause, .. } => {
                f.debug_struct("Command").field("command", command).field("cause", cause).finish()
            }
            Input::Submit { submission, .. } => f.debug_tuple("Submit").field(submission).finish(),
            Input::Watch { run, .. } => f.debug_tuple("Watch").field(run).finish(),
            Input::Fetched(runs) => f.debug_tuple("Fetched").field(&runs.len()).finish(),
            Input::Read(_) => f.write_str("Read"),
            Input::Synced { through } => f.debug_tuple("Synced").field(through).finish(),
            Input::Viewed { through } => f.debug_tuple("Viewed").field(through).finish(),
            Input::Tick => f.write_str("Tick"),
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It is done, durably.
    Done,
    /// The run is accepted, durably.
    Accepted {
        /// Its id; an older one if the idempotency key was used before.
        run: RunId,
        /// Whether the key was used before.
        existing: bool,
    },
    /// The measure is in force, durably.
    Measured(Box<Measure>),
    /// The step's intent is durable, and nothing is in its way: go ahead.
    Intended(StepKey),
    /// The step's intent is durable, and an earlier attempt left it open: ask whether it happened
    /// before anything else.
    Probe(StepKey),
    /// The step was done before: here is what came of it.
    Recorded(StepKey, StepOutcome),
    /// The run is over, or nothing more happens to it by itself.
    Over(Arc<RunSummary>),
    /// The state does not know the run any more, if it ever did: the views do.
    Gone(RunId),
    /// It changes nothing.
    Rejected(Rejected),
}

/// What a step gives out.
pub struct Output<R> {
    /// Changes to append to the batch, in order, with their sequence numbers. What follows from the
    /// last of them becomes part of it as long as it stands here.
    pub appended: Vec<Appended>,
    /// Effects to begin at once, with the record that causes each.
    pub internal: Vec<(u64, Effect)>,
    /// What may go out now.
    pub released: Vec<Released<R>>,
}

impl<R> Default for Output<R> {
    fn default() -> Self {
        Output { appended: Vec::new(), internal: Vec::new(), released: Vec::new() }
    }
}

impl<R> std::fmt::Debug for Output<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("appended", &self.appended.len())
            .field("internal", &self.internal)
            .field("released", &self.released.len())
            .finish()
    }
}

/// Something that somebody outside may notice, durable by now.
pub enum Released<R> {
    /// An external effect, with the record that causes it.
    Effect(u64, Effect),
    /// An answer.
    Answer(R, Answer),
    /// What was seen in a look.
    Deliver(Deliver),
}

impl<R> std::fmt::Debug for Released<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Released::Effect(seq, effect) => {
                f.debug_tuple("Effect").field(seq).field(effect).finish()
            }
            Released::Answer(_, answer) => f.debug_tuple("Answer").field(answer).finish(),
            Released::Deliver(_) => f.write_str("Deliver"),
        }
    }
}

/// The part of the loop that a look sees: the state, and runs that are over but not in the views.
pub struct Kernel {
    state: State,
    rules: Arc<dyn Rules>,
    /// Sequence of the newest record.
    newest: u64,
    /// Sequence of the newest durable record.
    synced: u64,
    /// Runs that are over, until the views show them.
    recent: FxHashMap<RunId, Arc<RunSummary>>,
    recent_order: VecDeque<(u64, RunId)>,
    refused: Refused,
    /// Sequence of the record with which this start of the instance began.
    started: u64,
}

/// What was refused since the start, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Commands rejected.
    pub commands: u64,
    /// Results presented under a stale or foreign token.
    pub strikes: u64,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel")
            .field("newest", &self.newest)
            .field("synced", &self.synced)
            .field("live", &self.state.live())
            .finish_non_exhaustive()
    }
}

impl Kernel {
    /// What would become of a command now. Nothing does.
    ///
    /// # Errors
    /// It would be refused.
    pub fn ask(&self, command: Command) -> Result<Change, Rejected> {
        decide(&self.state, &*self.rules, command, self.state.now())
    }

    /// The state, newest changes included; a look at it is delivered once they are durable.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// How a run stands that the state knows or the views do not show yet.
    pub fn summary(&self, run: RunId) -> Option<Arc<RunSummary>> {
        match self.run(run) {
            Some(it) => {
                let (state, waiting) = (&self.state, self.state.backlog().find(run));
                let start = waiting.map(|it| state.backlog().ready(it));
                let start_at = start.filter(|start| *start > state.now());
                Some(Arc::new(RunSummary { start_at, ..it.summary() }))
            }
            None => self.recent.get(&run).cloned(),
        }
    }

    /// A run that the state knows; one that waits on disk as far as memory knows it.
    pub fn run(&self, run: RunId) -> Option<Cow<'_, Run>> {
        let known = self.state.run(run).map(Cow::Borrowed);
        known.or_else(|| self.state.sketch(run).map(Cow::Owned))
    }

    /// Sequence of the newest record, durable or not.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Sequence of the newest durable record.
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// Sequence of the record with which this start of the instance began; agents named in older
    /// records were those of another fleet.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// What was refused since the start.
    pub fn refused(&self) -> Refused {
        self.refused
    }
}

/// The loop: the kernel, what it holds back, and who waits.
pub struct Loop<R> {
    kernel: Kernel,
    held: VecDeque<(u64, Released<R>)>,
    waiting: wait::Waiting<R>,
    calls: calls::Calls<R>,
    calendars: schedules::Calendars,
    /// Whether the next interrupted run waits for somebody before it can be recovered.
    is_recovery_stuck: bool,
    /// Runs that the views do not know: they are not retried, or their answers would be found by nobody.
    unlisted: BTreeSet<RunId>,
    effects: Vec<Effect>,
}

impl<R> std::fmt::Debug for Loop<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loop")
            .field("kernel", &self.kernel)
            .field("held", &self.held.len())
            .finish()
    }
}

impl<R: Recipient> Loop<R> {
    /// A loop over a state that was replayed from `newest` durable records.
    pub fn new(state: State, rules: Arc<dyn Rules>, newest: u64) -> Self {
        Loop {
            kernel: Kernel {
                state,
                rules,
                newest,
                synced: newest,
                recent: FxHashMap::default(),
                recent_order: VecDeque::new(),
                refused: Refused::default(),
                started: newest + 1,
            },
            held: VecDeque::new(),
            waiting: wait::Waiting::default(),
            calls: calls::Calls::default(),
            calendars: schedules::Calendars::default(),
            is_recovery_stuck: false,
            unlisted: BTreeSet::new(),
            effects: Vec::new(),
        }
    }

    /// With runs that the state knows and the views do not, because their first records were archived and are away.
    #[must_use]
    pub fn with_unlisted(self, runs: BTreeSet<RunId>) -> Self {
        Loop { unlisted: runs, ..self }
    }

    /// The part that a look sees.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.kernel.state
    }

    /// Whether records wait to be synced.
    pub fn has_unsynced(&self) -> bool {
        self.kernel.synced < self.kernel.newest
    }

    /// Whether interrupted runs go back to work in the next steps.
    pub fn is_recovering(&self) -> bool {
        self.kernel.state.interrupted().is_some() && !self.is_recovery_stuck
    }

    /// How much is held back until something is synced.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// When the next timer or schedule is due, or a run that waits on disk begins or is late.
    pub fn next_timer(&self) -> Option<Time> {
        let next = [self.next_in_memory(), self.next_on_disk(), self.next_schedule()];
        next.into_iter().flatten().min()
    }

    fn next_in_memory(&self) -> Option<Time> {
        self.kernel.state.timers().first().map(|(at, _)| at)
    }

    /// One step: takes the inputs in order, then whatever follows from them.
    pub fn step(
        &mut self,
        now: Time,
        inputs: impl IntoIterator<Item = Input<R>>,
        out: &mut Output<R>,
    ) {
        self.recover(now, out);
        for input in inputs {
            self.take(input, now, out);
            self.follow(now, out);
        }
        if self.next_in_memory().is_some_and(|due| due <= now) {
            self.follow_up(&Command::FireTimer, now, out);
            self.follow(now, out);
        }
        if self.next_schedule().is_some_and(|due| due <= now) {
            self.fire_schedules(now, out);
            self.follow(now, out);
        }
        self.call_in(now, out);
    }

    /// Whether what internal work came to is still wanted: a result that crossed with the stop of its
    /// attempt is no lie, and nobody is struck for it.
    pub fn wants(&self, input: &Input<R>) -> bool {
        match input {
            Input::Command { command: command @ Command::FinishAttempt(_), .. } => {
                self.is_held(command)
            }
            _ => true,
        }
    }

    /// Whether the token that a command is about is the one in use.
    pub fn is_held(&self, command: &Command) -> bool {
        let pt = match command {
            Command::FinishAttempt(finish) => finish.pt,
            Command::IntendStep(intent) => intent.pt,
            Command::RenewLease { pt, .. } | Command::ReportProgress { pt, .. } => *pt,
            _ => return true,
        };
        let task = self.kernel.state.run(pt.run).and_then(|run| run.task(pt.task));
        let active = task.and_then(|task| task.active.as_ref());
        active.is_some_and(|active| active.fence == pt.fence)
    }

    /// Runs that a crash interrupted go back to work, some in each step.
    fn recover(&mut self, now: Time, out: &mut Output<R>) {
        for _ in 0..RECOVERIES_MAX {
            let Some(run) = self.kernel.state.interrupted() else { return };
            // A recovery is never refused: the run is in the set because it lives. But it may wait
            // until a layer has somebody again.
            let recovered = self.execute(Command::RecoverRun { run }, 0, now, out);
            self.is_recovery_stuck = !recovered.unwrap_or(false);
            if self.is_recovery_stuck {
                return;
            }
        }
    }

    fn take(&mut self, input: Input<R>, now: Time, out: &mut Output<R>) {
        match input {
            Input::Command { command, cause, reply } => {
                if let Some(unread) = self.unread(&command) {
                    self.put_off(unread, reply, out);
                    return;
                }
                let answer = self.command(command, cause, now, out);
                // What is told to children is durable before anybody is told of the command.
                self.do_errands(now, out);
                if let Some(reply) = reply {
                    self.hold(Released::Answer(reply, answer), out);
                }
            }
            Input::Submit { submission, accepted, over } => {
                self.submit(*submission, (accepted, over), now, out);
            }
            Input::Watch { run, over } => self.watch(run, over, out),
            Input::Fetched(runs) => {
                runs.into_iter().for_each(|fetched| self.load(fetched, now, out));
            }
            Input::Read(look) => {
                let deliver = look(&self.kernel);
                self.hold(Released::Deliver(deliver), out);
            }
            Input::Synced { through } => self.synced(through, out),
            Input::Viewed { through } => self.forget_viewed(through),
            Input::Tick => {}
        }
    }

    fn command(
        &mut self,
        mut command: Command,
        cause: u64,
        now: Time,
        out: &mut Output<R>,
    ) -> Answer {
        self.set_right(&mut command, now);
        if let Command::IntendStep(intent) = command {
            return self.intend(*intent, cause, now, out);
        }
        if let Command::RetryRun { run, .. } = &command
            && self.unlisted.contains(run)
        {
            self.kernel.refused.commands += 1;
            return Answer::Rejected(history_archived());
        }
        let go_ahead = match &command {
            Command::ReportProbe { key, finding: Finding::NotHappened, .. } => Some(*key),
            _ => None,
        };
        if let Command::RunSchedule { schedule, key } = command {
            return self.run_schedule(schedule, key, now, out);
        }
        if let Command::ForkRun(fork) = &command
            && let SubmitRun { namespace, key, .. } = &fork.submission
            && let Some(answer) = self.repeated(namespace, key.as_ref())
        {
            return answer;
        }
        let begun = match &command {
            Command::ForkRun(fork) => Some(fork.submission.run),
            _ => None,
        };
        let is_claim = matches!(command, Command::ReportProbe { .. });
        let is_measure = matches!(command, Command::TakeMeasure { .. });
        let strikes = self.kernel.refused.strikes;
        match self.execute(command, cause, now, out) {
            Err(rejected) => Answer::Rejected(rejected),
            Ok(_) if is_claim && self.kernel.refused.strikes > strikes => stale(),
            // It has the newest number, and is in force for a moment at least.
            Ok(_) if is_measure => {
                let taken = self.kernel.state.supervision().measures().last().cloned();
                taken.map_or(Answer::Done, |taken| Answer::Measured(Box::new(taken)))
            }
            Ok(_) => match (begun, go_ahead) {
                (Some(run), _) => Answer::Accepted { run, existing: false },
                (None, go_ahead) => go_ahead.map_or(Answer::Done, Answer::Intended),
            },
        }
    }

    /// The answer to an intent is the go-ahead, and it is held like every answer.
    fn intend(&mut self, intent: IntendStep, cause: u64, now: Time, out: &mut Output<R>) -> Answer {
        let answer = known_step(&self.kernel.state, &intent).map(|(key, known)| match known {
            Known::Nothing => Answer::Intended(key),
            Known::LeftOpen => Answer::Probe(key),
            Known::Outcome(outcome) => Answer::Recorded(key, outcome.clone()),
        });
        let strikes = self.kernel.refused.strikes;
        match self.execute(Command::IntendStep(Box::new(intent)), cause, now, out) {
            Err(rejected) => Answer::Rejected(rejected),
            Ok(_) if self.kernel.refused.strikes > strikes => stale(),
            Ok(_) => answer.unwrap_or_else(stale),
        }
    }

    fn submit(
        &mut self,
        submission: SubmitRun,
        (accepted, over): (Option<R>, Option<R>),
        now: Time,
        out: &mut Output<R>,
    ) {
        let run = submission.run;
        let answer = match self.repeated(&submission.namespace, submission.key.as_ref()) {
            Some(answer) => answer,
            None => {
                self.waiting.expect(run, over.is_some());
                match self.execute(Command::SubmitRun(Box::new(submission)), 0, now, out) {
                    Ok(_) => Answer::Accepted { run, existing: false },
                    Err(rejected) => Answer::Rejected(rejected),
                }
            }
        };
        self.answer_submission(run, answer, (accepted, over), out);
    }

    /// The answer to a request whose idempotency key was used before.
    pub(super) fn repeated(&self, namespace: &Text, key: Option<&SubmissionKey>) -> Option<Answer> {
        match self.kernel.state.repeated(namespace, key?) {
            Ok(None) => None,
            Ok(Some(run)) => Some(Answer::Accepted { run, existing: true }),
            Err(rejected) => Some(Answer::Rejected(rejected)),
        }
    }

    fn answer_submission(
        &mut self,
        run: RunId,
        answer: Answer,
        (accepted, over): (Option<R>, Option<R>),
        out: &mut Output<R>,
    ) {
        let at_once = self.waiting.forget_expected(run);
        let Answer::Accepted { run, .. } = &answer else {
            for reply in accepted.into_iter().chain(over) {
                self.hold(Released::Answer(reply, answer.clone()), out);
            }
            return;
        };
        let run = *run;
        if let Some(reply) = accepted {
            self.hold(Released::Answer(reply, answer), out);
        }
        let Some(over) = over else { return };
        match at_once {
            Some(summary) => self.hold(Released::Answer(over, Answer::Over(summary)), out),
            None => self.watch(run, over, out),
        }
    }

    fn watch(&mut self, run: RunId, over: R, out: &mut Output<R>) {
        let moves = |run: &Run| !run.is_over() && run.state() != RunState::Parked;
        if self.kernel.state.run(run).is_some_and(moves) {
            return self.waiting.add(run, over);
        }
        let Some(summary) = self.kernel.summary(run) else {
            return self.hold(Released::Answer(over, Answer::Gone(run)), out);
        };
        if summary.ended.is_some() || summary.state == RunState::Parked {
            self.hold(Released::Answer(over, Answer::Over(summary)), out);
        } else {
            self.waiting.add(run, over);
        }
    }

    /// Decides and applies; the events become a record unless there are none.
    fn execute(
        &mut self,
        command: Command,
        cause: u64,
        now: Time,
        out: &mut Output<R>,
    ) -> Result<bool, Rejected> {
        let kernel = &mut self.kernel;
        let change = match decide(&kernel.state, &*kernel.rules, command, now) {
            Ok(change) => change,
            Err(rejected) => {
                kernel.refused.commands += 1;
                return Err(rejected);
            }
        };
        if change.events.is_empty() {
            return Ok(false);
        }
        self.append(change, cause, out);
        Ok(true)
    }

    fn append(&mut self, change: Change, cause: u64, out: &mut Output<R>) {
        let kernel = &mut self.kernel;
        let struck = |event| matches!(event, &ark_os_core::Event::AgentStruck { .. });
        kernel.refused.strikes += change.events.iter().filter(|event| struck(event)).count() as u64;
        // Whatever a recovery waits for may have come about.
        self.is_recovery_stuck = false;
        let mut effects = std::mem::take(&mut self.effects);
        match out.appended.last_mut().filter(|last| last.takes(&change, cause)) {
            Some(last) => {
                kernel.state.join(&change, &mut effects);
                last.change.events.extend(change.events);
            }
            None => {
                kernel.newest += 1;
                kernel.state.apply(&change, &mut effects);
                let namespace = record::namespace_of(&kernel.state, &change, &effects);
                out.appended.push(Appended { seq: kernel.newest, cause, namespace, change });
            }
        }
        let seq = kernel.newest;
        for effect in effects.drain(..) {
            self.begin(seq, effect, out);
        }
        self.effects = effects;
    }

    fn begin(&mut self, seq: u64, effect: Effect, out: &mut Output<R>) {
        if effect.is_internal() {
            out.internal.push((seq, effect));
            return;
        }
        let Effect::AnnounceRun { summary } = effect else {
            return self.held.push_back((seq, Released::Effect(seq, effect)));
        };
        let state = &self.kernel.state;
        let leaves = state.run(summary.id).is_none() || state.is_awaited(summary.id);
        if summary.ended.is_some() && leaves {
            self.kernel.recent.insert(summary.id, summary.clone());
            self.kernel.recent_order.push_back((seq, summary.id));
        }
        for reply in self.waiting.take(summary.id, &summary) {
            self.held.push_back((seq, Released::Answer(reply, Answer::Over(summary.clone()))));
        }
    }

    /// Whatever follows by itself: work is given out, and runs and their children tell each other.
    fn follow(&mut self, now: Time, out: &mut Output<R>) {
        for _ in 0..FOLLOW_UPS_MAX {
            self.follow_up(&Command::Dispatch, now, out);
            if !self.do_errands(now, out) {
                return;
            }
        }
    }

    /// Repeats a follow-up until it changes nothing.
    fn follow_up(&mut self, command: &Command, now: Time, out: &mut Output<R>) {
        for _ in 0..FOLLOW_UPS_MAX {
            let state = &self.kernel.state;
            let idle = match command {
                Command::Dispatch => state.queue().is_empty() && !state.has_blocked(),
                _ => self.next_in_memory().is_none_or(|due| due > now),
            };
            if idle || !self.execute(command.clone(), 0, now, out).unwrap_or(false) {
                return;
            }
        }
    }

    fn hold(&mut self, released: Released<R>, out: &mut Output<R>) {
        if self.has_unsynced() {
            self.held.push_back((self.kernel.newest, released));
        } else {
            out.released.push(released);
        }
    }

    /// Records up to this one are durable: what was held for them goes out. Decides nothing.
    pub fn synced(&mut self, through: u64, out: &mut Output<R>) {
        self.kernel.synced = self.kernel.synced.max(through);
        while self.held.front().is_some_and(|(seq, _)| *seq <= through) {
            if let Some((_, released)) = self.held.pop_front() {
                out.released.push(released);
            }
        }
    }

    fn forget_viewed(&mut self, through: u64) {
        let kernel = &mut self.kernel;
        while kernel.recent_order.front().is_some_and(|(seq, _)| *seq <= through) {
            if let Some((_, run)) = kernel.recent_order.pop_front() {
                kernel.recent.remove(&run);
            }
        }
    }
}

/// A run that went on without a row would be found by nobody once the state forgets it.
fn history_archived() -> Rejected {
    let message = "the first records of the run are in the archive, which was taken away";
    Rejected::new(Kind::NotFound, "history_archived", message)
        .hint("put the archived segments back and run `ark-os views rebuild`, or submit it again")
}

/// The answer to work under a token that is not the presenter's.
fn stale() -> Answer {
    let message = "the token is not in use any more";
    Answer::Rejected(Rejected::new(Kind::Conflict, "stale_fence", message))
}
