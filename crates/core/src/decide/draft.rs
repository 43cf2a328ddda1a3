//! A decision about one run in the making: the events so far, and what they already take up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::of_run;
use crate::authority::Need;
use crate::budget::{Account, Amounts};
use crate::child_run::ChildRun;
use crate::error::Failure;
use crate::event::{AttemptStarted, Change, Event, Intake};
use crate::fleet::Want;
use crate::hash::Hash;
use crate::ids::{AgentIx, SkillIx, TaskRef};
use crate::layer::Layer;
use crate::plan::EffectClass;
use crate::priority::Priority;
use crate::progress::proof;
use crate::run::{Phase, Run, TaskState};
use crate::state::{ATTEMPT_COST, State};
use crate::text::Text;
use crate::time::Time;

/// A decision about one run in the making.
pub(super) struct Draft<'a> {
    pub(super) state: &'a State,
    pub(super) run: &'a Run,
    pub(super) now: Time,
    pub(super) events: Vec<Event>,
    /// Agents picked in this decision, one entry an attempt.
    taken: Vec<AgentIx>,
    /// Reserved in this decision.
    reserved: Amounts,
    /// What an attempt that ends by this decision had reserved, and what it used.
    settlement: Option<(Amounts, Amounts)>,
    /// Nodes over by this decision.
    pub(super) over: BTreeSet<u32>,
    /// By how much each node waits for less.
    settled: BTreeMap<u32, u32>,
    /// Change of the number of tasks to which something still happens by itself.
    pub(super) moved: i64,
    /// Whether something began to move, so that a parked run is not parked any more.
    pub(super) woke: bool,
    /// Nodes whose turn to begin has come. A list and not recursion: a plan may be one long chain
    /// of nodes that are over the moment they begin.
    opening: VecDeque<u32>,
    is_opening: bool,
    /// Signals that ended a wait by this decision.
    pub(super) used_signals: BTreeSet<u64>,
    pub(super) failed: bool,
    pub(super) ended: bool,
}

/// Why a task did not start.
pub(super) enum NotStarted {
    /// Nobody is free, or nothing starts now.
    Later,
    /// It may not start at all.
    Never(Failure),
}

/// What an account says to a reservation.
pub(super) enum Funds {
    /// It can be made.
    Enough,
    /// It can when work under way has given back what it does not use.
    Later,
    /// It cannot.
    Never(Failure),
}

impl Funds {
    /// The worse of the two.
    fn and(self, other: Funds) -> Funds {
        match (&self, &other) {
            (Funds::Never(_), _) | (_, Funds::Enough) => self,
            (Funds::Later, Funds::Later) => self,
            (Funds::Enough, _) | (Funds::Later, Funds::Never(_)) => other,
        }
    }
}

/// Whether an account can bear this, now or when the work under way, if there is any, is over.
fn funds(
    account: &Account,
    wanted: Amounts,
    drawn: Amounts,
    is_busy: impl FnOnce() -> bool,
) -> Funds {
    let Err(refusal) = account.can_reserve(wanted.plus(drawn)) else { return Funds::Enough };
    let fits = account.settled().plus(wanted).fits_in(account.limit()).is_ok();
    if fits && !refusal.is_frozen() && is_busy() {
        return Funds::Later;
    }
    Funds::Never(Failure::fatal("budget_exhausted", refusal.to_string()))
}

/// Whether children, of those that `counts` picks, hold a part of a run's budget and may give it back.
fn has_lent(run: &Run, counts: impl Fn(&ChildRun) -> bool) -> bool {
    !run.account.reserved().is_zero() && run.awaited_children().any(|(_, child)| counts(child))
}

impl<'a> Draft<'a> {
    pub(super) fn new(state: &'a State, run: &'a Run, now: Time) -> Self {
        Draft {
            state,
            run,
            now,
            events: Vec::new(),
            taken: Vec::new(),
            reserved: Amounts::ZERO,
            settlement: None,
            over: BTreeSet::new(),
            settled: BTreeMap::new(),
            moved: 0,
            woke: false,
            opening: VecDeque::new(),
            is_opening: false,
            used_signals: BTreeSet::new(),
            failed: false,
            ended: false,
        }
    }

    pub(super) fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Attempts started so far.
    pub(super) fn started(&self) -> usize {
        self.taken.len()
    }

    /// Attempts started so far at children of this map.
    pub(super) fn started_at(&self, node: u32) -> u32 {
        let at_node = |event: &&Event| match event {
            Event::AttemptStarted(started) => started.task.node == node,
            _ => false,
        };
        self.events.iter().filter(at_node).count() as u32
    }

    /// A node whose needs are met begins: it is prepared, starts, or gets in line.
    pub(super) fn open(&mut self, node: u32) {
        self.opening.push_back(node);
        if std::mem::replace(&mut self.is_opening, true) {
            return;
        }
        while let Some(next) = self.opening.pop_front() {
            if !self.ended {
                self.open_now(next);
            }
        }
        self.is_opening = false;
    }

    fn open_now(&mut self, node: u32) {
        let Some(spec) = self.run.spec(node) else { return };
        self.moved += 1;
        self.woke = true;
        if spec.needs_preparation() {
            self.push(Event::TaskPreparing { task: TaskRef::node(node) });
        } else if let Err(failure) = self.check_limit(node, Text::default()) {
            self.fail(TaskRef::node(node), failure);
        } else {
            self.ready(TaskRef::node(node));
        }
    }

    /// A task starts if nobody is ahead of it and somebody is free; else it gets in line.
    /// One that nobody works on begins to wait. It counts as moving already.
    pub(super) fn ready(&mut self, task: TaskRef) {
        let run = self.run;
        if let Some(wait) = run.spec(task.node).and_then(|spec| spec.wait()) {
            return self.begin_wait(task.node, wait, None);
        }
        // Whoever is under a limit gets in line: the key knows who is next.
        if self.run.paused || run.limit(task.node).is_some() || !self.is_first(task) {
            return self.push(Event::TaskReady { task });
        }
        match self.start(task) {
            Ok(started) => self.push(Event::AttemptStarted(started)),
            Err(NotStarted::Later) => self.push(Event::TaskReady { task }),
            Err(NotStarted::Never(failure)) => self.fail(task, failure),
        }
    }

    /// Whether nobody who could start now stands before it. Skills share agents, so the lines of
    /// the other skills count as well.
    fn is_first(&self, task: TaskRef) -> bool {
        let queue = &self.state.queue;
        queue.is_empty()
            || self.skill(task).is_some_and(|skill| queue.is_free(skill))
                && super::dispatch::soonest(self.state).is_none()
    }

    /// Whether a node of this run waits until work under way gives back a part of the budget.
    pub(super) fn waits_for_budget(&self, node: u32) -> bool {
        let spec = self.run.spec(node);
        spec.is_some_and(|spec| matches!(self.funds(spec.budget.plus(ATTEMPT_COST)), Funds::Later))
    }

    pub(super) fn skill(&self, task: TaskRef) -> Option<SkillIx> {
        self.run.skill(task.node)
    }

    /// Picks an agent, draws a token and reserves, all on paper; the caller pushes the event.
    pub(super) fn start(&mut self, task: TaskRef) -> Result<AttemptStarted, NotStarted> {
        let (state, run) = (self.state, self.run);
        let (Some(skill), Some(spec)) = (run.skill(task.node), run.spec(task.node)) else {
            return Err(NotStarted::Later);
        };
        let emergency = run.priority == Priority::Emergency;
        if state.intake == Intake::Draining
            || !self.has_room(emergency)
            || !self.has_limit_room(task)
        {
            return Err(NotStarted::Later);
        }
        let class = state.fleet.skill_info(skill).map_or(EffectClass::Effectful, |info| info.class);
        self.check_authority(skill).map_err(NotStarted::Never)?;
        let before = run.task(task);
        let want = Want {
            skill,
            emergency,
            avoid: before.filter(|it| it.attempt > 0 || it.lost > 0).and_then(|it| it.last_agent),
        };
        let agent = state.fleet.pick(want, &self.taken).ok_or(NotStarted::Later)?;
        let reserved = spec.budget.plus(ATTEMPT_COST);
        match self.funds(reserved) {
            Funds::Enough => {}
            Funds::Later => return Err(NotStarted::Later),
            Funds::Never(failure) => return Err(NotStarted::Never(failure)),
        }
        let fence = state.next_fence(self.taken.len());
        self.taken.push(agent);
        self.reserved = self.reserved.plus(reserved);
        Ok(AttemptStarted {
            task,
            attempt: before.map_or(0, |it| it.attempt) + 1,
            agent,
            fence,
            class,
            reserved: (reserved != ATTEMPT_COST).then_some(reserved),
            place: state.fleet.place(agent).map(Box::new),
            held_until: self.held_until(task, skill),
        })
    }

    /// Whether the instance may work on one more task. Like each pool, the instance keeps one
    /// place for emergencies, or lesser work could fill it all.
    fn has_room(&self, emergency: bool) -> bool {
        let max = self.state.concurrent_tasks_max() as usize;
        let kept = usize::from(!emergency && max > 1);
        self.state.fleet.in_use() as usize + self.taken.len() + kept < max
    }

    fn check_authority(&self, skill: SkillIx) -> Result<(), Failure> {
        let authority = self.run.admission.as_ref().and_then(|it| it.authorities.last());
        let (Some(authority), Some(scope)) = (authority, self.state.fleet.skill_scope(skill))
        else {
            return Err(Failure::fatal("authority_denied", "the run has no authority"));
        };
        let need =
            Need { scope, layer: Layer::Specialist, now: self.now, revoked: &self.state.revoked };
        authority
            .covers(&need)
            .map_err(|denial| Failure::fatal("authority_denied", denial.to_string()))
    }

    /// Whether the accounts of the run and of those above it can bear something that is set aside.
    pub(super) fn check_run_budget(&self, wanted: Amounts) -> Result<(), Failure> {
        if wanted.is_zero() {
            return Ok(());
        }
        let accounts = std::iter::once(self.run).chain(self.state.payers(self.run));
        for account in accounts.map(|run| run.account) {
            account
                .can_reserve(wanted)
                .map_err(|refusal| Failure::fatal("budget_exhausted", refusal.to_string()))?;
        }
        Ok(())
    }

    /// Whether the run's and the namespace's accounts can bear another reservation.
    pub(super) fn check_budget(&self, wanted: Amounts) -> Result<(), Failure> {
        match self.funds(wanted) {
            Funds::Enough => Ok(()),
            Funds::Later => {
                let message = "the rest of the budget is reserved for work under way";
                Err(Failure::fatal("budget_exhausted", message))
            }
            Funds::Never(failure) => Err(failure),
        }
    }

    fn funds(&self, wanted: Amounts) -> Funds {
        let drawn = self.reserved;
        let mut account = self.run.account;
        // The first run of a namespace finds no account yet, and has to keep to its limit as well.
        let above = self.state.accounts.get(&self.run.namespace).copied();
        let mut above = above.unwrap_or_else(|| Account::new(self.state.namespace_budget()));
        if let Some((reserved, spent)) = self.settlement {
            account.settle(reserved, spent);
            above.settle_below(reserved, spent);
        }
        let is_busy = !self.taken.is_empty();
        let of_all = is_busy || self.state.fleet.in_use() > 0;
        let of_run = || {
            is_busy || self.run.counts.of(TaskState::Running) > 0 || has_lent(self.run, |_| true)
        };
        let own =
            funds(&account, wanted, drawn, of_run).and(funds(&above, wanted, drawn, || of_all));
        self.state.payers(self.run).fold(own, |worst, payer| {
            let mut account = payer.account;
            if let Some((reserved, spent)) = self.settlement {
                account.settle_below(reserved, spent);
            }
            let is_busy = || of_all || has_lent(payer, |child| !child.reserved.is_zero());
            worst.and(funds(&account, wanted, drawn, is_busy))
        })
    }

    /// An attempt ends by this decision: what follows from it is paid from what it gives back,
    /// and not at all if it used more than it had reserved.
    pub(super) fn settle_attempt(&mut self, task: TaskRef, spent: Amounts) {
        let active = self.run.task(task).and_then(|it| it.active.as_ref());
        self.settlement = active.map(|active| (active.reserved, spent));
    }

    /// A node is over and what it feeds may go on.
    pub(super) fn settle(&mut self, node: u32) {
        let run = self.run;
        self.over.insert(node);
        let Some(spec) = run.spec(run.settles_for(node)) else { return };
        for fed in &spec.feeds {
            let less = self.settled.entry(*fed).or_insert(0);
            *less += 1;
            let left = run.node(*fed).map_or(u32::MAX, |it| it.waits_on.saturating_sub(*less));
            // A fallback has needs too, but begins only when its task has failed.
            let begins = run.spec(*fed).is_some_and(|it| !it.is_fallback);
            if left == 0 && begins && !self.ended {
                self.open(*fed);
            }
        }
    }

    /// Ends the draft: the run goes over, or parks, if nothing is left to happen.
    pub(super) fn finish(mut self) -> Change {
        let left = self.run.open.saturating_sub(self.over.len() as u32);
        let begun = matches!(self.run.phase, Phase::Running);
        if !self.ended && begun {
            if left == 0 {
                self.complete();
            } else if i64::from(self.run.counts.moving()) + self.moved <= 0
                && (!self.run.parked || self.woke)
            {
                self.push(Event::RunParked);
            }
        }
        of_run(self.run.id, self.events, self.now)
    }

    /// Head of the run's chain of proofs after what is decided so far.
    pub(super) fn proof(&self) -> Hash {
        self.events.iter().fold(self.run.proof, |head, event| match event {
            Event::TaskSucceeded(done) => proof(self.run.id, done, head),
            _ => head,
        })
    }

    fn complete(&mut self) {
        if self.run.ends_with_sink() && !self.failed {
            let ended = crate::event::RunEnded {
                end: crate::event::RunEnd::Succeeded,
                output: None,
                failure: None,
                proof: Some(self.proof()),
            };
            self.push(Event::RunEnded(Box::new(ended)));
        } else {
            self.push(Event::RunGathering);
        }
    }
}
