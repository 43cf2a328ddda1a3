//! The process: the real loop and the real journal, driven as the real driver drives them.

use std::collections::VecDeque;

use ark_os_core::effect::Effect;
use ark_os_core::event::{ChildEnded, RunEnd};
use ark_os_core::ids::RunId;
use ark_os_core::plan::EffectClass;
use ark_os_core::time::Time;
use ark_os_core::timers::Timer;
use ark_os_core::{Command, Event};
use ark_os_runtime::data::{self, Payloads};
use ark_os_runtime::keeper::Keeper;
use ark_os_runtime::kernel::record::{Appended, Unread, read_accepted};
use ark_os_runtime::kernel::{Fetched, Input, Loop, Output, Released};
use ark_os_store::{Batch, Journal};

use super::agents::Begun;
use super::clients::Reply;
use super::{Due, World};
use crate::bug::Bug;
use crate::violation::Check;

/// Inputs of one turn, as in the real driver.
const INPUTS_MAX: usize = 512;
/// Rounds of internal work that an input takes along, and of those that are left behind in one turn,
/// at most: few, so that every chain is cut at every place.
const ROUNDS_MAX: u64 = 12;
/// How long a batch waits for pure work in flight, in microseconds.
const BATCH_WAIT: u64 = 200;
/// Records of one batch: few, so that there are many commits to fail in.
const BATCH_RECORDS_MAX: usize = 64;
/// A checkpoint is due so long after the last, in microseconds.
const CHECKPOINT_EVERY: u64 = 1_000_000;
/// How long the loop sleeps when there is nothing to do at all, in microseconds.
const IDLE: u64 = 60_000_000;

/// A process and what it holds in memory.
pub(crate) struct Node {
    pub(crate) lp: Loop<Reply>,
    pub(crate) journal: Journal,
    pub(crate) keeper: Keeper,
    pub(crate) payloads: Payloads,
    pub(crate) inbox: VecDeque<Input<Reply>>,
    /// Internal work that goes on when the inputs have had their turn.
    pub(super) left: Vec<Input<Reply>>,
    /// Reads from disk under way.
    pub(super) fetches: u32,
    pub(super) forming: Vec<Appended>,
    pub(super) since: Option<u64>,
    pub(super) committing: Option<Batch>,
    pub(super) turn_at: Option<u64>,
    pub(super) is_dirty: bool,
    pub(super) signed_at: u64,
}

impl World {
    /// Sends a command to the loop; without a process it is lost.
    pub(crate) fn send(&mut self, command: Command, cause: u64, reply: Option<Reply>) {
        self.input(Input::Command { command, cause, reply });
    }

    pub(crate) fn input(&mut self, input: Input<Reply>) {
        let Some(node) = &mut self.node else { return };
        node.inbox.push_back(input);
        let wait = self.rng.below(30);
        self.wake_in(wait);
    }

    /// The loop takes its next turn so many microseconds from now, or earlier.
    fn wake_in(&mut self, micros: u64) {
        let at = self.now.saturating_add(micros);
        let life = self.life;
        let Some(node) = &mut self.node else { return };
        if node.turn_at.is_none_or(|turn| turn > at) {
            node.turn_at = Some(at);
            self.after(micros, Due::Turn { life });
        }
    }

    /// Whether this is the turn that is due, and not one that another has overtaken.
    pub(super) fn is_turn(&self, life: u32) -> bool {
        life == self.life && self.node.as_ref().is_some_and(|node| node.turn_at == Some(self.now))
    }

    pub(super) fn turn(&mut self) -> Check {
        let Some(node) = &mut self.node else { return Ok(()) };
        node.turn_at = None;
        let count = node.inbox.len().min(INPUTS_MAX);
        let mut inputs: Vec<Input<Reply>> = node.inbox.drain(..count).collect();
        if inputs.is_empty() {
            inputs.push(Input::Tick);
        }
        self.settle(inputs)?;
        self.go_on()
    }

    /// After every turn: the batch may close, and the next turn has its time.
    fn go_on(&mut self) -> Check {
        if self.files.is_dead() {
            return self.die_of_power();
        }
        self.close_batch()?;
        let patience = self.patience();
        self.wake_in(patience);
        Ok(())
    }

    /// The time that the loop is told.
    fn loop_now(&self) -> Time {
        let wall = self.wall();
        let first = self.node.as_ref().and_then(|node| node.lp.state().timers().first());
        match first {
            // The planted bug: the clock of the loop stands still just before a retry.
            Some((due, Timer::Retry(..))) if self.has(Bug::LostRetry) => wall.min(Time(due.0 - 1)),
            Some((due, Timer::Escalation(_) | Timer::Measure(_)))
                if self.has(Bug::LostEscalation) =>
            {
                wall.min(Time(due.0 - 1))
            }
            _ => wall,
        }
    }

    /// Takes inputs one by one, each with internal work that follows from it, then what is left of that.
    pub(super) fn settle(&mut self, inputs: Vec<Input<Reply>>) -> Check {
        let mut out = Output::default();
        let mut left =
            self.node.as_mut().map(|it| std::mem::take(&mut it.left)).unwrap_or_default();
        for input in inputs {
            let mut follow = vec![input];
            self.rounds(&mut follow, &mut out)?;
            // A record grows as long as something follows from its input; now it is whole.
            self.keep(&mut out.appended, &mut left)?;
            left.append(&mut follow);
        }
        if let Some(node) = &self.node {
            left.retain(|input| node.lp.wants(input));
        }
        self.rounds(&mut left, &mut out)?;
        self.keep(&mut out.appended, &mut left)?;
        let Some(node) = &mut self.node else { return Ok(()) };
        node.left = left;
        self.checker.look(node.lp.state())
    }

    /// Some rounds, which what follows from the work takes the place of.
    fn rounds(&mut self, work: &mut Vec<Input<Reply>>, out: &mut Output<Reply>) -> Check {
        for _ in 0..self.rng.range(1, ROUNDS_MAX) {
            let now = self.loop_now();
            if work.is_empty() || self.files.is_dead() {
                break;
            }
            let Some(node) = &mut self.node else { break };
            node.lp.step(now, work.drain(..), out);
            for (seq, effect) in std::mem::take(&mut out.internal) {
                self.begin(seq, &effect, work)?;
            }
            for released in std::mem::take(&mut out.released) {
                self.let_out(released, work)?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, appended: &mut Vec<Appended>, inputs: &mut Vec<Input<Reply>>) -> Check {
        let wall = self.wall();
        for record in appended.iter_mut() {
            if self.has(Bug::DoubleJoin) {
                double_join(record);
            }
            match self.bug {
                Some(Bug::SignalUsedTwice) => use_twice(record),
                Some(Bug::ChildStartedTwice) => start_twice(record),
                Some(Bug::ChildEndedEarly) => end_early(record),
                Some(Bug::TasksAddedTwice) => add_twice(record),
                Some(Bug::FiredTwice) => fire_twice(record),
                _ => {}
            }
            let fired = |it: &&Event| matches!(it, Event::ScheduleFired(_));
            self.counts.fires += record.change.events.iter().filter(fired).count() as u64;
            let seated = record.change.events.iter().filter(|it| is_seated(it));
            self.counts.seats += seated.count() as u64;
            let loaded = |it: &&Event| matches!(it, Event::RunLoaded { .. });
            if let Some(loaded) = record.change.events.iter().find(loaded).cloned() {
                self.counts.loads += 1;
                if self.has(Bug::LoadedTwice) && self.life > 0 {
                    record.change.events.push(loaded);
                }
            }
            self.trace(record.seq ^ record.change.at.0 ^ (record.change.events.len() as u64) << 48);
            self.note(|| {
                format!("record {} {:?} {:?}", record.seq, record.change.run, record.change.events)
            });
            self.checker.observe(record, wall)?;
        }
        let early: Vec<(u64, Effect)> = match self.bug {
            Some(Bug::EffectReleasedEarly) => appended.iter().filter_map(external_start).collect(),
            _ => Vec::new(),
        };
        let now = self.now;
        let Some(node) = &mut self.node else { return Ok(()) };
        if !appended.is_empty() {
            node.since.get_or_insert(now);
            node.forming.append(appended);
        }
        for (seq, effect) in early {
            self.begin(seq, &effect, inputs)?;
        }
        Ok(())
    }

    /// Begins an effect, as the real driver does.
    fn begin(&mut self, seq: u64, effect: &Effect, inputs: &mut Vec<Input<Reply>>) -> Check {
        let Some(node) = &self.node else { return Ok(()) };
        let state = node.lp.state();
        let command = match *effect {
            Effect::RunAttempt { pt, agent, skill, class, .. } => {
                return self.begin_attempt(Begun { pt, agent, skill, class, seq }, inputs);
            }
            Effect::StopAttempt { pt } => {
                self.stop_attempt(pt);
                return Ok(());
            }
            Effect::Prepare { run, node: task, generation } => {
                let Some(it) = state.run(run) else { return Ok(()) };
                let result = data::prepare(it, task, &node.payloads);
                Command::FinishPreparation { run, node: task, generation, result }
            }
            Effect::Gather { run, generation } => {
                let Some(it) = state.run(run) else { return Ok(()) };
                let result = data::gather(it, &node.payloads);
                Command::FinishGathering { run, generation, result }
            }
            Effect::FetchRuns { ref runs } => {
                let runs = runs.clone();
                self.fetch(runs);
                return Ok(());
            }
            Effect::CheckHealth { version, layer } => {
                self.check_health(version, layer);
                return Ok(());
            }
            Effect::EndDeployment { .. } | Effect::AnnounceRun { .. } => return Ok(()),
        };
        if !(self.has(Bug::LostWakeup) && self.rng.per_mille(200)) {
            inputs.push(Input::Command { command, cause: seq, reply: None });
        }
        Ok(())
    }

    /// Runs are read from disk, which takes a while.
    fn fetch(&mut self, runs: Vec<(RunId, u64)>) {
        if self.has(Bug::FetchLost) && self.rng.per_mille(300) {
            return;
        }
        if let Some(node) = &mut self.node {
            node.fetches += 1;
        }
        let takes = if self.rng.per_mille(100) { 2_000_000 } else { 3_000 };
        let (takes, life) = (self.rng.range(50, takes), self.life);
        self.after(takes, Due::Fetched { life, runs });
    }

    /// They were read; more often than not they come in several parts.
    pub(super) fn fetched(&mut self, runs: Vec<(RunId, u64)>) -> Check {
        let Some(node) = &mut self.node else { return Ok(()) };
        node.fetches -= 1;
        let mut cursor = node.journal.reader().lookup(1);
        let mut part = Vec::new();
        for (run, seq) in runs {
            let read = read_accepted(&mut cursor, run, seq);
            let mut accepted = read.map_err(Unread::given_up);
            if self.files.is_dead() {
                return self.die_of_power();
            }
            if let (true, Ok(accepted)) = (self.has(Bug::DeadlineForgotten), &mut accepted) {
                accepted.deadline = None;
            }
            part.push(Fetched { run, seq, accepted });
            if self.rng.per_mille(500) {
                self.input(Input::Fetched(std::mem::take(&mut part)));
            }
        }
        if !part.is_empty() {
            self.input(Input::Fetched(part));
        }
        Ok(())
    }

    fn let_out(&mut self, released: Released<Reply>, inputs: &mut Vec<Input<Reply>>) -> Check {
        match released {
            Released::Effect(seq, effect) => {
                self.checker.released(seq, &effect)?;
                // The planted bug has begun it already.
                if self.has(Bug::EffectReleasedEarly) {
                    Ok(())
                } else {
                    self.begin(seq, &effect, inputs)
                }
            }
            Released::Deliver(deliver) => {
                deliver();
                self.delivered()
            }
            Released::Answer(reply, answer) => {
                self.note(|| format!("answer to {reply:?}: {answer:?}"));
                self.answered(reply, answer)
            }
        }
    }

    /// A batch closes when no pure work is in flight, or it has waited long enough, or it is full;
    /// and only when the one before it is durable.
    fn close_batch(&mut self) -> Check {
        let is_busy = self.has_pure_work();
        let now = self.now;
        let Some(node) = &mut self.node else { return Ok(()) };
        let Some(since) = node.since else { return Ok(()) };
        let is_full = node.forming.len() >= BATCH_RECORDS_MAX;
        if node.committing.is_some() || !(is_full || !is_busy || now >= since + BATCH_WAIT) {
            return Ok(());
        }
        let rest = node.forming.split_off(node.forming.len().min(BATCH_RECORDS_MAX));
        let changes = std::mem::replace(&mut node.forming, rest);
        node.since = (!node.forming.is_empty()).then_some(since);
        let mut batch = Batch::new(node.journal.next_seq());
        for change in &changes {
            if change.encode(&mut batch).is_err() {
                return self.fail_stop();
            }
        }
        let through = batch.next() - 1;
        node.committing = Some(batch);
        // Mostly the device is quick; now and then it thinks for a while.
        let takes = if self.rng.per_mille(30) { 300_000 } else { 3_000 };
        let takes = self.rng.range(100, takes);
        let life = self.life;
        self.after(takes, Due::Committed { life });
        if self.has(Bug::AcknowledgedBeforeSync) {
            self.input(Input::Synced { through });
        }
        Ok(())
    }

    pub(super) fn committed(&mut self) -> Check {
        let now = self.now;
        let Some(node) = &mut self.node else { return Ok(()) };
        let Some(mut batch) = node.committing.take() else { return Ok(()) };
        let Ok(committed) = node.journal.append(&mut batch) else { return self.journal_failed() };
        let through = committed.size;
        let [a, b, c, d, e, f, g, h, ..] = committed.root.0;
        let is_late = now >= node.signed_at + CHECKPOINT_EVERY;
        if !std::mem::replace(&mut node.is_dirty, true) && !is_late {
            let life = self.life;
            self.after(CHECKPOINT_EVERY, Due::Sign { life });
        }
        self.trace(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        self.note(|| format!("synced through {through}"));
        self.checker.synced(through);
        self.settle(vec![Input::Synced { through }])?;
        self.let_keeper_work()?;
        if self.rng.per_mille(300) {
            self.input(Input::Viewed { through });
        }
        if is_late {
            self.sign()?;
        }
        self.go_on()
    }

    /// Signs what is appended. While a batch is being written, the committer has no time for it.
    pub(super) fn sign(&mut self) -> Check {
        let (now, life) = (self.now, self.life);
        let Some(node) = &mut self.node else { return Ok(()) };
        if !node.is_dirty {
            return Ok(());
        }
        node.is_dirty = false;
        node.signed_at = now;
        match node.journal.checkpoint() {
            Ok(checkpoint) => {
                let size = checkpoint.size();
                self.trace(size ^ u64::from(life));
                Ok(())
            }
            Err(_) => self.journal_failed(),
        }
    }

    /// How long the loop sleeps, in microseconds.
    fn patience(&self) -> u64 {
        let Some(node) = &self.node else { return IDLE };
        let has_work = !node.inbox.is_empty() || !node.left.is_empty();
        if has_work || node.lp.is_recovering() {
            return 1;
        }
        let mut patience = IDLE;
        if let (Some(since), true) = (node.since, node.committing.is_none()) {
            patience = (since + BATCH_WAIT).saturating_sub(self.now);
        }
        let Some(due) = node.lp.next_timer() else { return patience };
        let now = self.loop_now();
        match u64::try_from(due.since(now).as_micros()) {
            _ if self.has(Bug::LostRetry) && now < self.wall() => patience,
            _ if self.has(Bug::LostEscalation) && now < self.wall() => patience,
            Ok(left) => patience.min(left.max(1)),
            Err(_) => patience,
        }
    }
}

/// The external attempt that a record starts, if it starts one.
fn external_start(record: &Appended) -> Option<(u64, Effect)> {
    let run = record.change.run?;
    record.change.events.iter().find_map(|event| {
        let Event::AttemptStarted(it) = event else { return None };
        let pt = ark_os_core::ids::PtId { run, task: it.task, fence: it.fence };
        // Any that is there will do: what an attempt does follows from its class.
        let skill = ark_os_core::ids::SkillIx(2);
        (it.class != EffectClass::Pure).then(|| {
            let (agent, attempt, class) = (it.agent, it.attempt, it.class);
            (record.seq, Effect::RunAttempt { pt, agent, skill, attempt, class })
        })
    })
}

/// Whether a worker takes a seat that was declared for it.
fn is_seated(event: &Event) -> bool {
    matches!(event, Event::AgentJoined(it) if it.group.workers)
}

/// The planted bug: the signal that ended a wait ends it once more.
fn use_twice(record: &mut Appended) {
    let events = &mut record.change.events;
    let is_used = |event: &Event| matches!(event, Event::WaitEnded { signal: Some(_), .. });
    if let Some(at) = events.iter().position(is_used)
        && let Some(used) = events.get(at).cloned()
    {
        events.insert(at, used);
    }
}

/// The planted bug: a child that is accepted is accepted once more.
fn start_twice(record: &mut Appended) {
    let events = &mut record.change.events;
    let is_child = |event: &&Event| matches!(event, Event::RunAccepted(it) if it.parent.is_some());
    let again = events.iter().find(is_child).cloned();
    events.extend(again);
}

/// The planted bug: what a task adds is added once more.
fn add_twice(record: &mut Appended) {
    let events = &mut record.change.events;
    let at = events.iter().position(|event| matches!(event, Event::TasksAdded(_)));
    if let Some(at) = at
        && let Some(again) = events.get(at).cloned()
    {
        events.insert(at, again);
    }
}

/// The planted bug: what is due is done, and done once more.
fn fire_twice(record: &mut Appended) {
    let events = &mut record.change.events;
    let again = events.iter().find(|event| matches!(event, Event::ScheduleFired(_))).cloned();
    events.extend(again);
}

/// The planted bug: a task that asks for its child hears at once that it is over.
fn end_early(record: &mut Appended) {
    let events = &mut record.change.events;
    let asked = events.iter().find_map(|event| match event {
        Event::ChildRequested { task, child } => Some((*task, child.run)),
        _ => None,
    });
    events.extend(asked.map(|(task, run)| {
        Event::ChildEnded(Box::new(ChildEnded {
            task,
            run,
            end: RunEnd::Failed,
            output: None,
            spent: Default::default(),
        }))
    }));
}

/// The planted bug: what begins because a need is over begins once more.
fn double_join(record: &mut Appended) {
    let events = &mut record.change.events;
    let is_need = |event: &Event| matches!(event, Event::TaskSucceeded(_));
    let begins =
        |event: &Event| matches!(event, Event::TaskPreparing { .. } | Event::AttemptStarted(_));
    let need = events.iter().position(is_need).unwrap_or(events.len());
    let again = (need..).zip(events.iter().skip(need)).find(|(_, event)| begins(event));
    if let Some((at, again)) = again.map(|(at, event)| (at, event.clone())) {
        events.insert(at, again);
    }
}
