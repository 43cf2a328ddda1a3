//! Reading a snapshot. Nothing in it is believed that would lead `decide` or `apply` astray, and
//! nothing is allocated that the bytes do not pay for.

use std::sync::Arc;

use minicbor::Decode;
use minicbor::decode::{Decoder, Error as DecodeError};

use super::tables::Tables;
use super::{FORMAT, Head, SnapshotError, Validity, entry};
use crate::backlog::{Backlog, Row, Under};
use crate::budget::Account;
use crate::child_run::Errand;
use crate::error::Kind;
use crate::event::Admission;
use crate::fleet::{Fleet, FleetRows};
use crate::hash::Hash;
use crate::ids::{RunId, SkillIx};
use crate::keyed_limit::{KeyedLimits, LimitRow};
use crate::limits::{COUNTER_MAX, KEYS_MAX};
use crate::queue::ReadyQueue;
use crate::run::{Around, Holdings, Run};
use crate::schedule::{Schedule, Schedules};
use crate::state::State;
use crate::supervision::Supervision;
use crate::text::Text;
use crate::time::Time;
use crate::timers::Timer;

/// Fewer bytes than the smallest run takes, so that no count of runs reserves more than there is.
const RUN_BYTES_MIN: usize = 32;

/// What was read so far.
#[derive(Default)]
struct Reading {
    state: State,
    tables: Tables,
    rows: FleetRows,
    lines: Vec<SkillIx>,
    turn_order: u64,
    shelves: Vec<Under>,
    waiting: Vec<Row>,
    /// The newest number, and how they stand.
    schedules: (u64, Vec<Schedule>),
    /// The same.
    limits: (u64, Vec<LimitRow>),
}

impl State {
    /// Reads a state that [`State::encode`] wrote, of this format or an older one.
    ///
    /// # Errors
    /// The bytes are damaged or no snapshot, or a newer program wrote them.
    pub fn decode(bytes: &[u8]) -> Result<State, SnapshotError> {
        let d = &mut Decoder::new(bytes);
        let entries = d.map()?.ok_or_else(|| SnapshotError::corrupt("it is not counted"))?;
        if entries == 0 || d.u32()? != entry::FORMAT {
            return Err(SnapshotError::corrupt("it does not begin with its format"));
        }
        let format = d.u32()?;
        if format == 0 || format > FORMAT {
            let what = format!("its format is {format}, and {FORMAT} is the newest known here");
            return Err(SnapshotError { kind: Kind::Unavailable, what });
        }
        let mut reading = Reading::default();
        let mut before = entry::FORMAT;
        for _ in 1..entries {
            let entry = d.u32()?;
            if entry <= before {
                return Err(SnapshotError::corrupt("its entries are not in order"));
            }
            before = entry;
            reading.entry(entry, d)?;
        }
        if d.position() != bytes.len() {
            return Err(SnapshotError::corrupt("more follows behind its end"));
        }
        reading.finish().map_err(SnapshotError::corrupt)
    }
}

impl Reading {
    fn entry(&mut self, entry: u32, d: &mut Decoder<'_>) -> Result<(), DecodeError> {
        let state = &mut self.state;
        match entry {
            entry::HEAD => self.head(d.decode()?),
            entry::SKILLS => self.rows.skills = d.decode()?,
            entry::AGENTS => self.rows.agents = d.decode()?,
            entry::BACKS => state.backs = d.decode()?,
            entry::WORKFLOWS => each(d, |d| {
                self.tables.workflows.push(Arc::new(d.decode()?));
                Ok(())
            })?,
            entry::ADMISSIONS => each(d, |d| self.admission(d))?,
            entry::ACCOUNTS => self.accounts(d)?,
            entry::REVOKED => state.revoked = d.decode()?,
            entry::KEYS => each(d, |d| self.key(d))?,
            entry::RUNS => {
                let room = d.input().len().saturating_sub(d.position()) / RUN_BYTES_MIN;
                let count = d.probe().array()?.unwrap_or(0);
                state.runs.reserve(room.min(usize::try_from(count).unwrap_or(usize::MAX)));
                each(d, |d| self.run(d))?;
            }
            entry::ENDED => state.ended = d.decode()?,
            entry::INTERRUPTED => state.interrupted = d.decode()?,
            entry::LINES => self.lines = d.decode()?,
            entry::TIMERS => state.timers = d.decode()?,
            entry::SHELVES => each(d, |d| {
                self.shelves.push(self.tables.whole_under(d.decode()?)?);
                Ok(())
            })?,
            entry::WAITING => self.waiting = d.decode()?,
            entry::SCHEDULES => self.schedules = d.decode()?,
            entry::LIMITS => self.limits = d.decode()?,
            entry::FLEET => self.rows.shape = d.decode()?,
            entry::DEPLOYMENTS => state.deployments = d.decode()?,
            entry::ERRANDS => state.errands = d.decode()?,
            entry::SUPERVISION => {
                let read: Supervision = d.decode()?;
                let restored = read.restored();
                state.supervision = restored
                    .ok_or_else(|| DecodeError::message("escalations contradict each other"))?;
            }
            _ => return Err(DecodeError::message("an entry is of no known kind")),
        }
        Ok(())
    }

    fn head(&mut self, head: Head) {
        let state = &mut self.state;
        state.now = head.now;
        state.changes = head.changes;
        state.epoch = head.epoch;
        state.fences = head.fences;
        state.instance = head.instance;
        state.intake = head.intake;
        state.admission_count = head.admission_count;
        self.rows.idle_order = head.idle_order;
        self.turn_order = head.turn_order;
    }

    fn admission(&mut self, d: &mut Decoder<'_>) -> Result<(), DecodeError> {
        let (validity, bare): (Validity, (u32, Admission)) = d.decode()?;
        let admission = self.tables.whole_admission(bare)?;
        let (id, subject) = (admission.id, admission.subject);
        if validity == Validity::Current && self.state.admitted.insert(subject, id).is_some() {
            return Err(DecodeError::message("two admissions are for the same"));
        }
        if validity != Validity::Past {
            self.state.admissions.insert(id, admission.clone());
        }
        match self.tables.admissions.insert(id, admission) {
            None => Ok(()),
            Some(_) => Err(DecodeError::message("two admissions have one number")),
        }
    }

    fn accounts(&mut self, d: &mut Decoder<'_>) -> Result<(), DecodeError> {
        for entry in d.map_iter::<&str, Account>()? {
            let (name, account) = entry?;
            let name = self.tables.namespace(name);
            self.state.accounts.insert(name, account);
        }
        Ok(())
    }

    fn key(&mut self, d: &mut Decoder<'_>) -> Result<(), DecodeError> {
        let (at, (namespace, key), used): (Time, (&str, Text), (RunId, Hash)) = d.decode()?;
        let keys = &mut self.state.keys;
        let name = (self.tables.namespace(namespace), key);
        let is_older = keys.by_age.back().is_some_and(|(before, _)| *before > at);
        if is_older || keys.used.len() >= KEYS_MAX || keys.used.insert(name.clone(), used).is_some()
        {
            return Err(DecodeError::message("idempotency keys contradict each other"));
        }
        keys.by_age.push_back((at, name));
        Ok(())
    }

    fn run(&mut self, d: &mut Decoder<'_>) -> Result<(), DecodeError> {
        let run: Run = Run::decode(d, &mut self.tables)?;
        match self.state.runs.insert(run.id, run) {
            None => Ok(()),
            Some(_) => Err(DecodeError::message("two runs have one id")),
        }
    }

    /// Works out what was not written, and refuses what no journal gives.
    fn finish(self) -> Result<State, &'static str> {
        let Reading {
            mut state, rows, lines, turn_order, shelves, waiting, schedules, limits, ..
        } = self;
        let counters = [
            state.changes,
            state.epoch,
            state.fences,
            state.admission_count,
            rows.idle_order,
            schedules.0,
            limits.0,
            state.deployments.newest,
        ];
        if turn_order.max(counters.into_iter().max().unwrap_or(0)) > COUNTER_MAX {
            return Err("a counter cannot be");
        }
        let around = Around { fences: state.fences, epoch: state.epoch, skills: rows.skills.len() };
        let mut holdings = Holdings::default();
        for run in state.runs.values_mut() {
            run.restore(&around, &mut holdings)?;
        }
        if !shelves.iter().filter_map(Under::admission).all(|it| around.knows(it)) {
            return Err("a run has not the skills of its plan");
        }
        let newest = (state.changes, state.now);
        state.backlog = Backlog::restored(&shelves, waiting, newest)?;
        let (agents, concurrency) =
            state.instance.as_ref().map_or((1, 1), |it| (it.agents, it.agent_concurrency));
        state.fleet = Fleet::restored(agents, concurrency, rows, &holdings.drawn)
            .ok_or("its agents contradict each other")?;
        let (limits, offered) =
            KeyedLimits::restored(limits, holdings.limits, (&state.timers, state.now))?;
        state.limits = limits;
        holdings.waiters.extend(offered);
        state.queue = ReadyQueue::restored(turn_order, lines, holdings.waiters)
            .ok_or("its lines contradict each other")?;
        state.restore_family()?;
        state.restore_books()?;
        let lives = |id: &RunId| {
            state.runs.get(id).map_or(state.backlog.contains(*id), |run| !run.is_over())
        };
        state.schedules = Schedules::restored(schedules.0, schedules.1, lives)?;
        state.check_timers()?;
        Ok(state)
    }
}

impl State {
    /// Who waits for whom; what is still to be told is about those.
    fn restore_family(&mut self) -> Result<(), &'static str> {
        for run in self.runs.values().filter(|run| !run.is_over()) {
            for (node, child) in run.awaited_children() {
                if self.children.insert(child.run, (run.id, node)).is_some() {
                    return Err("two tasks wait for one child");
                }
            }
        }
        let is_over = |id: &RunId| self.runs.get(id).is_some_and(Run::is_over);
        let fits = |errand: &Errand| match *errand {
            Errand::Start(child) => self.children.contains_key(&child) && !self.knows(child),
            Errand::Settle(child) => self.children.contains_key(&child) && is_over(&child),
            Errand::Cancel(child) | Errand::Pause(child) | Errand::Resume(child) => {
                self.lives(child)
            }
        };
        // Whoever is not there, or over, is waited for by nobody unless somebody is told.
        let is_awaited = |child: &RunId| {
            self.lives(*child)
                || self.errands.contains(&Errand::Start(*child))
                || self.errands.contains(&Errand::Settle(*child))
        };
        if !self.errands.iter().all(fits) || !self.children.keys().all(is_awaited) {
            return Err("what runs have to tell each other contradicts them");
        }
        self.sort_family();
        Ok(())
    }

    /// Whether a run is in memory or waits on disk.
    fn knows(&self, run: RunId) -> bool {
        self.runs.contains_key(&run) || self.backlog.contains(run)
    }

    /// The sets that say which runs are live, blocked, interrupted and kept.
    fn restore_books(&mut self) -> Result<(), &'static str> {
        let is_over = |id: &RunId| self.runs.get(id).map(Run::is_over);
        if self.interrupted.iter().any(|id| is_over(id) != Some(false)) {
            return Err("a run was interrupted that is not in flight");
        }
        let mut ended: Vec<RunId> = self.ended.iter().copied().collect();
        ended.sort_unstable();
        ended.dedup();
        if ended.len() != self.ended.len() || ended.iter().any(|id| is_over(id) != Some(true)) {
            return Err("a run is kept that is not over");
        }
        self.live = self.runs.values().filter(|run| !run.is_over()).count();
        let is_told = |run: &&Run| run.is_over() && self.children.contains_key(&run.id);
        let untold = self.runs.values().filter(is_told).count();
        if self.live + ended.len() + untold != self.runs.len() {
            return Err("a run is over and not kept");
        }
        if self.backlog.iter().any(|it| self.runs.contains_key(&it.run)) {
            return Err("a run is in memory and waits on disk");
        }
        self.live += self.backlog.len();
        for run in self.runs.values().filter(|run| run.is_active()) {
            if let Some(active) = self.active.get_mut(run.priority as usize) {
                *active += 1;
            }
        }
        let waits = |run: &&Run| {
            run.waits_for.is_some() && !run.is_over() && !self.interrupted.contains(&run.id)
        };
        self.blocked = self.runs.values().filter(waits).map(|run| run.id).collect();
        match self.accounts.values().all(Account::is_sound) {
            true => Ok(()),
            false => Err("an account is not sound"),
        }
    }

    /// A timer of nothing would be due for ever.
    fn check_timers(&self) -> Result<(), &'static str> {
        let is_due = |(at, timer): (Time, Timer)| match timer {
            Timer::AgentBack(agent) => self.backs.get(&agent) == Some(&at),
            Timer::Limit(number) => self.limits.is_due(at, number),
            Timer::Deployment(version) => self
                .deployments
                .under_way()
                .is_some_and(|it| it.deployment.version == version && it.deadline == at),
            Timer::Tell(_) | Timer::Escalation(_) | Timer::Measure(_) => {
                self.supervision.is_due(at, timer)
            }
            Timer::Attempt(run, ..)
            | Timer::Retry(run, _)
            | Timer::TaskDeadline(run, _)
            | Timer::RunDeadline(run) => self.run(run).is_some_and(|run| run.is_due(at, timer)),
        };
        match self.timers.iter().all(is_due) {
            true => Ok(()),
            false => Err("a timer is of nothing"),
        }
    }
}

/// Reads a counted list, item by item.
fn each<'b>(
    d: &mut Decoder<'b>,
    mut item: impl FnMut(&mut Decoder<'b>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let count = d.array()?.ok_or_else(|| DecodeError::message("a list is not counted"))?;
    (0..count).try_for_each(|_| item(d))
}
