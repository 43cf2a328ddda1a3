//! Schedules: what the journal says was fired, queued and passed over, held against what their authors
//! wanted and a naive calendar.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use ark_os_core::State;
use ark_os_core::deployment::DeployedSchedules;
use ark_os_core::event::{
    Event, ScheduleFired, SchedulePut, ScheduleSkip, ScheduleSkipped, Trigger,
};
use ark_os_core::hash::Hash;
use ark_os_core::ids::RunId;
use ark_os_core::limits::{SCHEDULE_LATE_MS_MAX, SCHEDULE_QUEUE_MAX};
use ark_os_core::schedule::{CatchUp, Overlap, Planned, ScheduleSpec};
use ark_os_core::text::Text;
use ark_os_core::time::Time;

use super::Checker;
use super::model::Model;
use crate::violation::{Check, Violation, ensure};
use crate::wishes::Wish;

/// What is due is done within so many milliseconds, once nothing breaks any more: schedules that found
/// no room rest for a second.
const PUNCTUAL_MS: u64 = 5_000;

/// A schedule, as the journal has it.
#[derive(Clone)]
struct Known {
    name: (Text, Text),
    wish: Wish,
    spec: Arc<ScheduleSpec>,
    is_paused: bool,
    next: Option<Time>,
    /// The newest time that something was done about.
    done: Time,
    waiting: VecDeque<Time>,
    runs: BTreeSet<RunId>,
    fired: u64,
    skipped: u64,
    is_deployed: bool,
}

/// Without its workflow, which nobody could read.
impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Known { name, wish, is_paused, next, done, .. } = self;
        write!(f, "{name:?} {wish:?} paused {is_paused} next {next:?} done {done:?} ")?;
        let Known { waiting, runs, fired, skipped, is_deployed, .. } = self;
        write!(f, "waiting {waiting:?} runs {runs:?} {fired} {skipped} deployed {is_deployed}")
    }
}

/// All schedules, and what became of what they began.
#[derive(Debug, Default)]
pub(super) struct Book {
    by_number: BTreeMap<u64, Known>,
    newest: u64,
    /// The schedule of each run that one has begun.
    begun: BTreeMap<RunId, u64>,
    /// Every schedule that was ever put, by the digest of its input, with its record.
    puts: BTreeMap<Hash, u64>,
    /// Runs that the next of their schedule took the place of.
    replaced: BTreeSet<RunId>,
    /// What the deployment under way wants; it takes effect with the record that finishes it.
    wanted: Option<DeployedSchedules>,
}

/// A time that something is done about.
struct Act {
    schedule: u64,
    time: Time,
    /// The next one, as the record says.
    next: Option<Time>,
    /// The wall clock, by which the loop works out what is due.
    wall: Time,
}

fn broken(message: String) -> Violation {
    Violation::new("I22", message)
}

impl Book {
    /// INVARIANT I22: what happens to schedules by the word of people and deployments.
    pub(super) fn observe(&mut self, event: &Event, seq: u64, (at, wall): (Time, Time)) -> Check {
        match event {
            Event::SchedulePut(put) => return self.put(put, seq, at),
            Event::ScheduleChanged { schedule, is_paused, next, .. } => {
                let it = self.known(*schedule)?;
                let goes_on = !is_paused;
                let fits = next.is_none_or(|next| goes_on && next > at && it.wish.is_time(next));
                ensure(fits, "I22", || format!("{it:?} goes on with {next:?} at {at:?}"))?;
                (it.is_paused, it.next) = (*is_paused, *next);
            }
            Event::ScheduleRemoved { schedule, .. } => {
                self.known(*schedule)?;
                self.by_number.remove(schedule);
            }
            Event::ScheduleSkipped(skipped) => return self.skip(skipped, wall),
            Event::ScheduleQueued { schedule, time, next } => {
                let act = Act { schedule: *schedule, time: *time, next: *next, wall };
                self.act(&act, None)?;
                let it = self.known(*schedule)?;
                let has_to = it.wish.overlap == Overlap::Queue
                    && !(it.runs.is_empty() && it.waiting.is_empty());
                ensure(has_to, "I22", || format!("{time:?} of {it:?} waits for nothing"))?;
                it.waiting.push_back(*time);
            }
            Event::DeploymentStarted(it) => self.wanted = it.schedules.clone(),
            Event::DeploymentRolledBack { .. } => self.wanted = None,
            _ => {}
        }
        Ok(())
    }

    fn known(&mut self, schedule: u64) -> Result<&mut Known, Violation> {
        let known = self.by_number.get_mut(&schedule);
        known.ok_or_else(|| broken(format!("there is no schedule {schedule}")))
    }

    fn put(&mut self, put: &SchedulePut, seq: u64, at: Time) -> Check {
        let wish = Wish::of(&put.spec.input)
            .ok_or_else(|| broken(format!("nobody wants {:?}", put.spec)))?;
        let name = (put.namespace.clone(), put.spec.name.clone());
        let before = self.by_number.remove(&put.schedule);
        let is_named = before.as_ref().map_or(put.schedule > self.newest, |it| it.name == name);
        let is_fresh = is_named && self.by_number.values().all(|it| it.name != name);
        ensure(is_fresh, "I22", || format!("{name:?} is schedule {} too", put.schedule))?;
        let fits = put.next.is_none_or(|next| next > at && wish.is_time(next));
        ensure(fits, "I22", || {
            format!("schedule {} is due at {:?} first, put at {at:?}", put.schedule, put.next)
        })?;
        self.newest = self.newest.max(put.schedule);
        self.puts.insert(put.spec.input.hash(), seq);
        let fresh = Known {
            name,
            wish,
            spec: put.spec.clone(),
            is_paused: put.spec.is_paused,
            next: put.next,
            done: Time::default(),
            waiting: VecDeque::new(),
            runs: BTreeSet::new(),
            fired: 0,
            skipped: 0,
            is_deployed: put.deployed,
        };
        self.by_number.insert(
            put.schedule,
            match before {
                None => fresh,
                Some(Known { done, waiting, runs, fired, skipped, .. }) => {
                    Known { done, waiting, runs, fired, skipped, ..fresh }
                }
            },
        );
        Ok(())
    }

    /// One of a schedule's times is acted on, or passes: each once, and in order; none is left out but
    /// as the schedule's author has it.
    fn act(&mut self, act: &Act, since: Option<Option<Time>>) -> Check {
        let Act { schedule, time, next, wall } = *act;
        let it = self.known(schedule)?;
        let due = it.next.filter(|_| !it.is_paused);
        let due =
            due.ok_or_else(|| broken(format!("{time:?} of {schedule} was not due at all")))?;
        let wish = it.wish;
        ensure(time >= due && time <= wall && wish.is_time(time) && time > it.done, "I22", || {
            format!("{time:?} of schedule {schedule} is acted on at {wall:?}: {it:?}")
        })?;
        ensure(next == Some(wish.next(time)), "I22", || {
            format!("after {time:?} schedule {schedule} is due at {next:?}: {it:?}")
        })?;
        let told = since.is_none_or(|since| since == (time > due).then_some(due));
        ensure(told, "I22", || {
            format!("{time:?} of {schedule} stands for {since:?}, not {due:?}")
        })?;
        let keeps_rule = match wish.catch_up {
            CatchUp::All { max } => time == due || wish.count(time, wall) >= u64::from(max),
            CatchUp::One | CatchUp::Skip => wish.next(time).plus(wish.jitter_ms) > wall,
        };
        ensure(keeps_rule, "I22", || {
            format!("{time:?} of {schedule} is acted on at {wall:?}, was due at {due:?}: {wish:?}")
        })?;
        (it.done, it.next) = (time, next);
        Ok(())
    }

    fn skip(&mut self, skipped: &ScheduleSkipped, wall: Time) -> Check {
        let ScheduleSkipped { schedule, time, next, since, .. } = *skipped;
        if skipped.queued == Some(true) {
            let it = self.known(schedule)?;
            let is_first = it.waiting.pop_front() == Some(time) && next == it.next;
            it.skipped += 1;
            return ensure(is_first, "I22", || format!("{skipped:?} did not wait: {it:?}"));
        }
        self.act(&Act { schedule, time, next, wall }, Some(since))?;
        let it = self.known(schedule)?;
        it.skipped += 1;
        let may = match skipped.cause {
            ScheduleSkip::Overlap => it.wish.overlap == Overlap::Skip && !it.runs.is_empty(),
            ScheduleSkip::QueueFull => {
                it.wish.overlap == Overlap::Queue && it.waiting.len() >= SCHEDULE_QUEUE_MAX
            }
            ScheduleSkip::Missed => {
                it.wish.catch_up == CatchUp::Skip && time.plus(SCHEDULE_LATE_MS_MAX) < wall
            }
            ScheduleSkip::Refused(_) => true,
        };
        ensure(may, "I22", || format!("{skipped:?} at {wall:?}: {it:?}"))
    }

    /// A run begins for one of a schedule's times.
    fn fire(&mut self, run: RunId, fired: &ScheduleFired, wall: Time) -> Check {
        let ScheduleFired { schedule, time, next, since, .. } = *fired;
        if fired.trigger == Trigger::Due {
            self.act(&Act { schedule, time, next, wall }, Some(since))?;
        }
        let it = self.known(schedule)?;
        let (is_free, wish) = (it.runs.is_empty(), it.wish);
        let keeps_rule = match (fired.trigger, wish.overlap) {
            (Trigger::Queued, _) => {
                is_free && !it.is_paused && it.waiting.pop_front() == Some(time)
            }
            (Trigger::Due, Overlap::Skip) => is_free,
            (Trigger::Due, Overlap::Queue) => is_free && it.waiting.is_empty(),
            (Trigger::Manual, _) | (Trigger::Due, Overlap::Allow | Overlap::CancelPrevious) => true,
        };
        ensure(keeps_rule, "I22", || format!("{fired:?} beside other runs: {it:?}"))?;
        let is_late = time.plus(SCHEDULE_LATE_MS_MAX + wish.jitter_ms) < wall;
        let is_missed = wish.catch_up == CatchUp::Skip && fired.trigger == Trigger::Due && is_late;
        ensure(!is_missed, "I22", || format!("{fired:?} at {wall:?}, and {wish:?} skips it"))?;
        it.fired += 1;
        let replaces = wish.overlap == Overlap::CancelPrevious && fired.trigger != Trigger::Manual;
        let replaced: Vec<RunId> = it.runs.iter().copied().filter(|_| replaces).collect();
        it.runs.insert(run);
        self.replaced.extend(replaced);
        let again = self.begun.insert(run, schedule);
        ensure(again.is_none(), "I22", || format!("`{run}` was begun by {again:?} and {schedule}"))
    }

    /// A run is over, whoever's it was.
    pub(super) fn over(&mut self, run: RunId) {
        self.replaced.remove(&run);
        if let Some(it) = self.begun.get(&run).and_then(|number| self.by_number.get_mut(number)) {
            it.runs.remove(&run);
        }
    }

    /// A run that was over goes on: it is its schedule's again.
    pub(super) fn again(&mut self, run: RunId) {
        if let Some(it) = self.begun.get(&run).and_then(|number| self.by_number.get_mut(number)) {
            it.runs.insert(run);
        }
    }

    /// INVARIANT I20: with its agents and workflows a deployment's schedules take effect, all of them and
    /// no others, and those that people have put stay.
    pub(super) fn check_deployed(&mut self, events: &[Event]) -> Check {
        let is_finish = |event: &Event| matches!(event, Event::DeploymentFinished { .. });
        let is_put = |event: &Event| matches!(event, Event::SchedulePut(put) if put.deployed);
        let finishes = events.iter().any(is_finish);
        ensure(finishes || !events.iter().any(is_put), "I20", || {
            format!("schedules are deployed by themselves: {events:?}")
        })?;
        if !finishes {
            return Ok(());
        }
        let wanted = self.wanted.take();
        let list =
            wanted.iter().flat_map(|it| it.list.iter().map(|one| (&it.namespace, &one.spec)));
        let wanted: BTreeMap<(&Text, &Text), Hash> =
            list.map(|(namespace, spec)| ((namespace, &spec.name), spec.input.hash())).collect();
        let deployed = self.by_number.values().filter(|it| it.is_deployed);
        let there: BTreeMap<(&Text, &Text), Hash> =
            deployed.map(|it| ((&it.name.0, &it.name.1), it.spec.input.hash())).collect();
        ensure(there == wanted, "I20", || format!("{there:?} are deployed, not {wanted:?}"))
    }
}

impl Model {
    /// INVARIANT I22: a schedule begins one run for a time, in the record that says so, and that run is
    /// what its author wants.
    pub(super) fn fire(&mut self, id: RunId, seq: u64, fired: &ScheduleFired) -> Check {
        self.schedules.fire(id, fired, self.wall)?;
        let spec = self.schedules.known(fired.schedule)?.spec.clone();
        let name = self.schedules.known(fired.schedule)?.name.clone();
        let run = self.run(id).filter(|run| run.accepted_seq == seq);
        let run = run.ok_or_else(|| broken(format!("`{id}` was not accepted with {fired:?}")))?;
        let has_plan = match &spec.workflow {
            Planned::Inline(workflow) => workflow.hash == run.workflow.hash,
            Planned::Named(name) => *name == run.workflow.name,
        };
        let deadline = spec.deadline_ms.map(|ms| self.at.plus(ms));
        let is_its = has_plan
            && run.namespace == name.0
            && run.accepted.input.hash() == spec.input.hash()
            && run.accepted.priority == spec.priority
            && run.accepted.deadline == deadline
            && run.accepted.budget == spec.budget;
        ensure(is_its, "I22", || format!("{:?} is not what {spec:?} wants", run.accepted))
    }
}

impl Checker {
    /// A schedule is acknowledged.
    ///
    /// INVARIANT I6: its record is durable by then.
    pub(crate) fn schedule_put(&mut self, input: Hash) -> Check {
        let seq = self.model.schedules.puts.get(&input).copied();
        self.is_durable(seq, || format!("a schedule with the input {input}"))?;
        self.told.schedules.insert(input);
        Ok(())
    }

    /// INVARIANT I1: schedules that were acknowledged survived.
    pub(super) fn check_told_schedules(&self) -> Check {
        let puts = &self.model.schedules.puts;
        let lost = self.told.schedules.iter().find(|input| !puts.contains_key(*input));
        ensure(lost.is_none(), "I1", || format!("schedule {lost:?} was acknowledged and is lost"))
    }

    /// INVARIANT I22: what the state keeps is what the journal says, and whoever was to make way has.
    pub(super) fn check_schedules(&self, state: &State) -> Check {
        let book = &self.model.schedules;
        ensure(state.schedules().len() == book.by_number.len(), "I22", || {
            format!("{} schedules are there, not {:?}", state.schedules().len(), book.by_number)
        })?;
        for it in state.schedules().iter() {
            let same = book.by_number.get(&it.number).is_some_and(|known| {
                known.spec.input.hash() == it.spec.input.hash()
                    && known.is_paused == it.spec.is_paused
                    && (known.next, known.fired, known.skipped) == (it.next, it.fired, it.skipped)
                    && known.waiting == it.waiting
                    && known.runs == it.runs
                    && known.is_deployed == it.deployed
            });
            ensure(same, "I22", || {
                let known = book.by_number.get(&it.number);
                format!("{:?} {:?} {:?} is {known:?} by the journal", it.next, it.waiting, it.runs)
            })?;
        }
        let stays = |run: &&RunId| state.run(**run).is_some_and(|it| !it.is_over());
        let left = book.replaced.iter().find(stays);
        ensure(left.is_none(), "I22", || format!("`{left:?}` goes on and was to make way"))
    }

    /// INVARIANT I22: no time is lost: where nothing is in the way, what is due was done.
    pub(crate) fn check_punctual(&self, wall: Time) -> Check {
        for it in self.model.schedules.by_number.values().filter(|it| !it.is_paused) {
            let late = |next: Time| next.plus(it.wish.jitter_ms + PUNCTUAL_MS) < wall;
            ensure(!it.next.is_some_and(late), "I22", || {
                format!("it is {wall:?}, and nothing is done about {it:?}")
            })?;
            ensure(it.waiting.is_empty() || !it.runs.is_empty(), "I22", || {
                format!("times wait for nothing: {it:?}")
            })?;
        }
        Ok(())
    }
}
