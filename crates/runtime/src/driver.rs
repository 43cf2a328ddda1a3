//! The loop's thread: feeds the synchronous step, begins its effects, closes its batches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ark_os_core::Event;
use ark_os_core::time::Time;
use tokio::sync::watch;

use crate::RuntimeError;
use crate::clock::Clock;
use crate::committer::Committer;
use crate::handle::{Message, Stopped};
use crate::keeper::KeeperThread;
use crate::kernel::record::Appended;
use crate::kernel::{Input, Loop, Output, Released};
use crate::messages::Messages;
use crate::metrics::Metrics;
use crate::reply::{Lines, Reply};
use crate::settings::Settings;

mod attempts;
mod deployments;
mod evaluator;
mod fetcher;
mod remote;

pub(crate) use attempts::Attempts;
pub(crate) use fetcher::Fetcher;

/// Inputs in line before no more messages are taken. They keep no place among those that wait
/// (`INPUTS_WAITING_MAX`), so that this many, and the lines of one message, are accepted beyond it.
const INPUTS_MAX: usize = 4_096;
/// Rounds of internal work that an input takes along: more than a short run has. What still follows
/// then waits until every input has had its turn.
const ROUNDS_MAX: u32 = 16;
/// How long inputs, and then internal work, go on before messages and renewals of leases are looked
/// at again: a lease outlives this by far.
const SETTLE_MAX: Duration = Duration::from_millis(20);
/// How long the loop sleeps when there is nothing to do at all.
const IDLE: Duration = Duration::from_secs(60);

/// Everything the loop's thread owns.
pub(crate) struct Driver {
    pub(crate) lp: Loop<Reply>,
    pub(crate) rx: Receiver<Message>,
    pub(crate) waiting: Arc<AtomicUsize>,
    pub(crate) committer: Committer,
    pub(crate) keeper: KeeperThread,
    pub(crate) attempts: Attempts,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) messages: Arc<Messages>,
    pub(crate) stopped: watch::Sender<Option<Stopped>>,
    pub(crate) batch: Forming,
    pub(crate) line: Line,
    /// Messages that came while nothing more could be decided.
    pub(crate) aside: VecDeque<Message>,
}

/// What is to be decided next.
#[derive(Default)]
pub(crate) struct Line {
    inputs: VecDeque<Input<Reply>>,
    /// Internal work that goes on when the inputs have had their turn.
    left: Vec<Input<Reply>>,
}

/// The batch that forms while another is synced.
#[derive(Default)]
pub(crate) struct Forming {
    changes: Vec<Appended>,
    /// Since when it has something in it.
    since: Option<Instant>,
    /// Whether the one before is not durable yet.
    syncing: bool,
}

/// Whether to go on.
enum Turn {
    Go,
    Stop,
}

impl Driver {
    /// Runs until it is told to stop, or fails. What is not durable then was never told to anybody.
    pub(crate) fn run(mut self) {
        let result = self.turns();
        let how = match &result {
            Ok(()) => Stopped::Asked,
            Err(error) => Stopped::failed(error),
        };
        self.attempts.stop();
        // After a failure nothing more is written: the next start finds out what is durable.
        let closed = match how {
            Stopped::Asked => self.committer.close(),
            Stopped::Failed { .. } => self.committer.abandon(),
        };
        if closed.is_ok() && how == Stopped::Asked {
            self.keeper.finish(self.lp.state());
        } else {
            self.keeper.stop();
        }
        // If the committer failed, that is why the loop did, whatever it met first.
        let how = match closed {
            Ok(()) => how,
            Err(error) => Stopped::Failed { code: "journal_failed", message: error.to_string() },
        };
        if let Stopped::Failed { code, message } = &how {
            tracing::error!(error = %message, code, "the instance failed and stops");
        }
        self.stopped.send_replace(Some(how));
    }

    fn turns(&mut self) -> Result<(), RuntimeError> {
        let mut out = Output::default();
        // No step before the first message, which starts the instance: the timers that were replayed
        // would count the time it was down against attempts and agents.
        loop {
            self.close_batch()?;
            self.hold_off(&mut out)?;
            if let Turn::Stop = self.collect(&mut out)? {
                return self.finish(&mut out);
            }
            self.settle(&mut out)?;
        }
    }

    /// While a full batch waits for the one before it, nothing more is decided: what comes in is
    /// put aside, and there is room for only so much of it (`INPUTS_WAITING_MAX`).
    fn hold_off(&mut self, out: &mut Output<Reply>) -> Result<(), RuntimeError> {
        while self.batch.syncing && self.batch.changes.len() >= self.records_max() {
            match self.rx.recv() {
                Ok(Message::Committed { through }) => self.committed(through, out)?,
                Ok(Message::Failed(error)) => return Err(error),
                Ok(message) => self.aside.push_back(message),
                Err(_) => return Err(RuntimeError::closed()),
            }
            self.close_batch()?;
        }
        Ok(())
    }

    /// Everything decided becomes durable and who waits for it is told; nothing new is decided.
    /// Attempts that are cut off begin again at the next start.
    fn finish(&mut self, out: &mut Output<Reply>) -> Result<(), RuntimeError> {
        loop {
            if !self.batch.syncing {
                if self.batch.changes.is_empty() {
                    return Ok(());
                }
                self.commit()?;
            }
            match self.rx.recv() {
                Ok(Message::Committed { through }) => {
                    self.batch.syncing = false;
                    self.lp.synced(through, out);
                    let answered = |it: &Released<Reply>| !matches!(it, Released::Effect(..));
                    out.released.retain(answered);
                    self.let_out(out, &mut Vec::new())?;
                }
                Ok(Message::Failed(error)) => return Err(error),
                // Nobody is answered whose wish was not decided.
                Ok(_) => {}
                Err(_) => return Err(RuntimeError::closed()),
            }
        }
    }

    /// A batch is durable: who waits for it is told before anything new is decided.
    fn committed(&mut self, through: u64, out: &mut Output<Reply>) -> Result<(), RuntimeError> {
        self.batch.syncing = false;
        self.metrics.journal_synced.set(through);
        self.lp.synced(through, out);
        let mut follow = Vec::new();
        self.let_out(out, &mut follow)?;
        self.line.left.append(&mut follow);
        Ok(())
    }

    /// Waits for messages and takes those that are there. What is due comes before them: among it are
    /// renewals of leases, whose timers fire with the next input.
    fn collect(&mut self, out: &mut Output<Reply>) -> Result<Turn, RuntimeError> {
        let mut turn = Turn::Go;
        let mut next = self.first_message()?;
        while let Some(message) = next {
            if let Turn::Stop = self.take(message, out)? {
                turn = Turn::Stop;
            }
            next = self.next_message();
        }
        let mut due = Vec::new();
        self.attempts.act_on_due(self.clock.instant(), &mut due);
        due.into_iter().rev().for_each(|input| self.line.inputs.push_front(input));
        if self.line.inputs.is_empty() && self.line.left.is_empty() {
            self.line.inputs.push_back(Input::Tick);
        }
        Ok(turn)
    }

    fn first_message(&mut self) -> Result<Option<Message>, RuntimeError> {
        let patience = self.patience();
        if patience.is_zero() || !self.aside.is_empty() {
            return Ok(self.next_message());
        }
        match self.rx.recv_timeout(patience) {
            Ok(message) => Ok(Some(message)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Ok(Some(Message::Stop)),
        }
    }

    fn next_message(&mut self) -> Option<Message> {
        let has_room = self.line.inputs.len() < INPUTS_MAX;
        has_room.then(|| self.aside.pop_front().or_else(|| self.rx.try_recv().ok())).flatten()
    }

    fn take(&mut self, message: Message, out: &mut Output<Reply>) -> Result<Turn, RuntimeError> {
        match message {
            Message::One(input) => {
                if self.note(&input) {
                    self.line.inputs.push_back(input);
                }
            }
            Message::Many(many) => {
                self.waiting.fetch_sub(many.len(), Ordering::Relaxed);
                self.line.inputs.extend(many);
            }
            Message::Committed { through } => self.committed(through, out)?,
            Message::Failed(error) => return Err(error),
            Message::Stop => return Ok(Turn::Stop),
        }
        Ok(Turn::Go)
    }

    /// Inputs from outside take a place in the line; those of attempts and threads do not. Whether
    /// the loop is to hear of it.
    fn note(&mut self, input: &Input<Reply>) -> bool {
        let from_outside = match input {
            Input::Command { reply, .. } => matches!(reply, Some(Reply::One(_))),
            Input::Submit { .. } | Input::Watch { .. } | Input::Read(_) => true,
            Input::Fetched(_) | Input::Synced { .. } | Input::Viewed { .. } | Input::Tick => false,
        };
        if from_outside {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return true;
        }
        self.attempts.note(input)
    }

    /// Takes inputs one by one, each with the internal work that follows from it: a short run is over
    /// before the next is looked at, so it takes nobody's place, and what is known of it is at hand.
    /// Then the internal work that is left goes on, all of it together, until the batch is full or
    /// others should get a turn.
    fn settle(&mut self, out: &mut Output<Reply>) -> Result<(), RuntimeError> {
        let begun = self.clock.instant();
        let is_late = |driver: &Self| driver.clock.instant().duration_since(begun) >= SETTLE_MAX;
        while !self.is_full(out)
            && let Some(input) = self.line.inputs.pop_front()
        {
            if !self.is_current(&input) {
                continue;
            }
            let mut follow = vec![input];
            for _ in 0..ROUNDS_MAX {
                if follow.is_empty() || self.is_full(out) {
                    break;
                }
                self.round(&mut follow, out)?;
            }
            self.keep(out);
            self.line.left.append(&mut follow);
            if is_late(self) {
                break;
            }
        }
        while !self.line.left.is_empty() && !self.is_full(out) {
            let mut work = std::mem::take(&mut self.line.left);
            work.retain(|input| self.lp.wants(input));
            self.round(&mut work, out)?;
            self.keep(out);
            self.line.left = work;
            if is_late(self) {
                break;
            }
        }
        Ok(())
    }

    /// Whether what was done for a remote worker is about an attempt that is still its own: what crossed
    /// with a stop is no lie, and whoever waits for the answer is told.
    fn is_current(&self, input: &Input<Reply>) -> bool {
        match input {
            Input::Command { command, reply: Some(Reply::Remote(_)), .. } => {
                self.lp.is_held(command)
            }
            _ => true,
        }
    }

    /// Steps with this work, which what follows from it takes the place of.
    fn round(
        &mut self,
        work: &mut Vec<Input<Reply>>,
        out: &mut Output<Reply>,
    ) -> Result<(), RuntimeError> {
        self.lp.step(self.clock.now(), work.drain(..), out);
        for (seq, effect) in out.internal.drain(..) {
            self.attempts.begin(&self.lp, seq, &effect, work)?;
        }
        self.let_out(out, work)
    }

    fn is_full(&self, out: &Output<Reply>) -> bool {
        self.batch.changes.len() + out.appended.len() >= self.records_max()
    }

    fn keep(&mut self, out: &mut Output<Reply>) {
        if out.appended.is_empty() {
            return;
        }
        if self.batch.since.is_none() {
            self.batch.since = Some(self.clock.instant());
        }
        for appended in &out.appended {
            count_events(&self.metrics, &appended.change.events);
            self.messages.follow(&appended.change.events, self.lp.state().fleet());
        }
        self.batch.changes.append(&mut out.appended);
    }

    fn let_out(
        &mut self,
        out: &mut Output<Reply>,
        inputs: &mut Vec<Input<Reply>>,
    ) -> Result<(), RuntimeError> {
        let mut touched: Option<Arc<Lines>> = None;
        for released in out.released.drain(..) {
            match released {
                Released::Effect(seq, effect) => {
                    self.attempts.begin(&self.lp, seq, &effect, inputs)?
                }
                Released::Deliver(deliver) => deliver(),
                Released::Answer(Reply::One(tx), answer) => {
                    // Nobody waits any more: the answer is in the journal all the same.
                    let _ = tx.send(answer);
                }
                Released::Answer(Reply::Step(tx), answer) => {
                    // The same.
                    let _ = tx.send(answer);
                }
                Released::Answer(Reply::Remote(reply), answer) => reply.answer(answer),
                Released::Answer(Reply::Line { line, lines }, answer) => {
                    lines.put(line, answer);
                    wake_previous(&mut touched, lines);
                }
            }
        }
        if let Some(lines) = touched {
            lines.wake();
        }
        Ok(())
    }

    fn records_max(&self) -> usize {
        self.settings.batch_records_max as usize
    }

    /// A batch closes when no internal work is in flight, or it has waited long enough, or it is
    /// full; and only when the one before it is durable.
    fn close_batch(&mut self) -> Result<(), RuntimeError> {
        let Some(since) = self.batch.since else { return Ok(()) };
        if self.batch.syncing {
            return Ok(());
        }
        let full = self.batch.changes.len() >= self.records_max();
        let waited = self.clock.instant().duration_since(since) >= self.settings.batch_wait;
        if !(full || waited || self.attempts.internal_in_flight() == 0) {
            return Ok(());
        }
        self.commit()
    }

    fn commit(&mut self) -> Result<(), RuntimeError> {
        self.batch.since = None;
        self.batch.syncing = true;
        self.gauge();
        // About as many come next time: they are not moved while the batch forms.
        let room = Vec::with_capacity(self.batch.changes.len());
        self.committer.commit(std::mem::replace(&mut self.batch.changes, room))
    }

    /// How long to wait for a message.
    fn patience(&self) -> Duration {
        if !self.line.inputs.is_empty() || !self.line.left.is_empty() || self.lp.is_recovering() {
            return Duration::ZERO;
        }
        let now = self.clock.instant();
        let mut patience = IDLE;
        if let (Some(since), false) = (self.batch.since, self.batch.syncing) {
            patience = (since + self.settings.batch_wait).saturating_duration_since(now);
        }
        if let Some(due) = self.lp.next_timer() {
            patience = patience.min(until(self.clock.now(), due));
        }
        if let Some(due) = self.attempts.next_due() {
            patience = patience.min(due.saturating_duration_since(now));
        }
        patience
    }

    fn gauge(&self) {
        let state = self.lp.state();
        self.metrics.runs_live.set(state.live() as u64);
        self.metrics.runs_waiting.set(state.backlog().len() as u64);
        self.metrics.tasks_ready.set(state.queue().len() as u64);
        self.metrics.agents.set(u64::from(state.fleet().present()));
        self.metrics.tokens_in_use.set(u64::from(state.fleet().in_use()));
        let capacity: u32 = state.fleet().pools().map(|(capacity, _)| capacity).sum();
        self.metrics.tokens_capacity.set(u64::from(capacity));
    }
}

fn until(now: Time, due: Time) -> Duration {
    due.since(now)
}

/// One waker for a run of answers to the same batch.
fn wake_previous(touched: &mut Option<Arc<Lines>>, lines: Arc<Lines>) {
    if touched.as_ref().is_some_and(|other| Arc::ptr_eq(other, &lines)) {
        return;
    }
    if let Some(previous) = touched.replace(lines) {
        previous.wake();
    }
}

fn count_events(metrics: &Metrics, events: &[Event]) {
    use ark_os_core::event::{AttemptEnd, RunEnd, Standing};
    for event in events {
        match event {
            Event::RunAccepted(_) => metrics.runs_accepted.inc(),
            Event::RunEnded(ended) => match ended.end {
                RunEnd::Succeeded => metrics.runs_succeeded.inc(),
                RunEnd::Failed => metrics.runs_failed.inc(),
                RunEnd::Cancelled => metrics.runs_cancelled.inc(),
            },
            Event::AttemptStarted(_) => metrics.attempts.inc(),
            Event::TaskSucceeded(_) => metrics.tasks_succeeded.inc(),
            Event::AttemptEnded(ended) => {
                metrics.attempts_failed.inc();
                match ended.end {
                    AttemptEnd::Lost => metrics.attempts_lost.inc(),
                    AttemptEnd::Refused => metrics.refused.inc(),
                    _ => {}
                }
            }
            Event::AgentStruck { .. } => metrics.refused.inc(),
            Event::AgentChanged { standing: Standing::Restarting | Standing::Replaced, .. } => {
                metrics.agent_restarts.inc();
            }
            _ => {}
        }
    }
}
