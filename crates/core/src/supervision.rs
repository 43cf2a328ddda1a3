//! Supervision: what a failure came to that its stack could not mend, who is to see to it until
//! when, and the emergency measures in force.
//!
//! Restarts and replacements of agents are the fleet's. What they do not mend is *escalated*: told to
//! the seat that supervises, which acts by rule; what is not answered by its deadline goes one layer
//! up, and from CECCA to a person.

use std::collections::{BTreeMap, VecDeque};

use minicbor::{Decode, Encode};

use crate::event::ParkReason;
use crate::ids::{AgentIx, RunId, TaskRef};
use crate::limits::{
    COUNTER_MAX, ESCALATION_MS, ESCALATION_URGENT_MS, ESCALATIONS_KEPT_MAX, ESCALATIONS_OPEN_MAX,
    ESCALATIONS_RESUME_MAX, MEASURES_MAX,
};
use crate::text::Text;
use crate::time::Time;
use crate::timers::Timer;

mod measure;
mod tried;

pub use measure::{Measure, MeasureKind, Vote};
pub use tried::Tried;

/// What an escalation is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(flat)]
pub enum Concern {
    /// A task that is parked.
    #[n(0)]
    Task(#[n(0)] RunId, #[n(1)] TaskRef),
    /// An agent that fails again and again.
    #[n(1)]
    Agent(#[n(0)] AgentIx),
}

/// Why something is escalated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Class {
    /// A task makes no progress.
    #[n(0)]
    Stalled,
    /// Nobody knows whether an effect of a task happened.
    #[n(1)]
    InDoubt,
    /// A task killed too many agents.
    #[n(2)]
    Poison,
    /// An agent fails although it was restarted and replaced.
    #[n(3)]
    AgentFailing,
}

impl Class {
    /// How long a seat has to see to it before it goes one layer up.
    pub fn deadline_ms(self) -> u64 {
        match self {
            Class::InDoubt => ESCALATION_URGENT_MS,
            Class::Stalled | Class::Poison | Class::AgentFailing => ESCALATION_MS,
        }
    }

    /// All of them.
    pub const ALL: [Class; 4] =
        [Class::Stalled, Class::InDoubt, Class::Poison, Class::AgentFailing];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Stalled => "stalled",
            Class::InDoubt => "in_doubt",
            Class::Poison => "poison",
            Class::AgentFailing => "agent_failing",
        }
    }
}

impl From<ParkReason> for Class {
    fn from(reason: ParkReason) -> Self {
        match reason {
            ParkReason::Stalled => Class::Stalled,
            ParkReason::InDoubt => Class::InDoubt,
            ParkReason::Poison => Class::Poison,
        }
    }
}

/// Who is to see to it. Seats are kept by name: their numbers change when the instance starts again.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(flat)]
pub enum Desk {
    /// A seat of the fleet.
    #[n(0)]
    Seat(#[n(0)] Text),
    /// A person.
    #[n(1)]
    Human,
}

/// What is done about a failure, least invasive first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Remedy {
    /// Nothing but a look.
    #[n(0)]
    Observe,
    /// The work was tried again.
    #[n(1)]
    Retry,
    /// By another agent.
    #[n(2)]
    Reroute,
    /// The agent gets fewer attempts at one time.
    #[n(6)]
    Throttle,
    /// The agent was restarted.
    #[n(3)]
    Restart,
    /// Another took its seat.
    #[n(4)]
    Replace,
    /// It is kept from work.
    #[n(5)]
    Quarantine,
}

impl Remedy {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Remedy::Observe => "observe",
            Remedy::Retry => "retry",
            Remedy::Reroute => "reroute",
            Remedy::Throttle => "throttle",
            Remedy::Restart => "restart",
            Remedy::Replace => "replace",
            Remedy::Quarantine => "quarantine",
        }
    }
}

/// A remedy that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Rung {
    /// Which.
    #[n(0)]
    pub remedy: Remedy,
    /// The seat that tried it; none: the runtime, before anybody was told.
    #[n(1)]
    pub by: Option<Text>,
    /// When.
    #[n(2)]
    pub at: Time,
    /// When it is, or was, looked at whether it helped; none: when its work next ends, or not at all
    /// where the next remedy came first.
    #[n(3)]
    pub check: Option<Time>,
    /// Whether it did; none: not looked at.
    #[n(4)]
    pub healthy: Option<bool>,
}

/// How an escalation ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Closing {
    /// What was done: a person's word, or by rule the remedy that helped, or `cleared`.
    #[n(0)]
    pub action: Text,
    /// Why.
    #[n(1)]
    pub reason: Text,
    /// When.
    #[n(2)]
    pub at: Time,
}

/// Something that its stack could not mend.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Escalation {
    /// Its number, from 1.
    #[n(0)]
    pub id: u64,
    /// What it is about.
    #[n(1)]
    pub concern: Concern,
    /// Why.
    #[n(2)]
    pub class: Class,
    /// In words.
    #[n(3)]
    pub message: Text,
    /// When it was raised.
    #[n(4)]
    pub raised: Time,
    /// The agent on whose work it was raised.
    #[n(5)]
    pub by: Option<Text>,
    /// Who is to see to it.
    #[n(6)]
    pub to: Desk,
    /// Until when; then it goes one layer up. [`Time::NEVER`] for a person.
    #[n(7)]
    pub deadline: Time,
    /// What was tried, in order.
    #[n(8)]
    pub ladder: Vec<Rung>,
    /// How it ended; none: it is open.
    #[n(9)]
    pub closing: Option<Closing>,
    /// Who did not see to it in time, in order.
    #[n(10)]
    #[cbor(skip_if = "crate::shared::is_default", default)]
    pub passed: Vec<Passed>,
}

/// A seat that did not see to an escalation in time.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Passed {
    /// Which.
    #[n(0)]
    pub by: Desk,
    /// When it went on from there.
    #[n(1)]
    pub at: Time,
}

impl Escalation {
    /// The remedy that is still to be looked at.
    pub fn unchecked(&self) -> Option<&Rung> {
        self.ladder.last().filter(|rung| rung.healthy.is_none() && rung.check.is_some())
    }

    /// When something is due about it.
    pub(crate) fn due(&self) -> Time {
        self.unchecked().and_then(|rung| rung.check).unwrap_or(self.deadline)
    }
}

/// What became of something that is to be escalated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Noted {
    /// It is escalated with the next timer.
    Pending,
    /// Somebody was told before.
    Known,
    /// Too much is open.
    Untold,
}

/// All escalations and measures.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Supervision {
    #[n(0)]
    count: u64,
    #[n(1)]
    open: BTreeMap<u64, Escalation>,
    #[n(2)]
    closed: VecDeque<Escalation>,
    /// To be escalated with the next timer.
    #[n(3)]
    pending: BTreeMap<Concern, Time>,
    /// What was not escalated at once because too much was open.
    #[n(4)]
    missed: u64,
    #[n(5)]
    measures: BTreeMap<u64, Measure>,
    /// Whether tasks of that are parked still, and say so themselves.
    #[n(6)]
    #[cbor(skip_if = "crate::shared::is_default", default)]
    has_untold: bool,
    #[cbor(skip)]
    by_concern: BTreeMap<Concern, u64>,
}

impl Supervision {
    /// Escalations that somebody is to see to, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Escalation> + '_ {
        self.open.values()
    }

    /// Escalations that are over, newest first; so many are kept.
    pub fn closed(&self) -> impl Iterator<Item = &Escalation> + '_ {
        self.closed.iter().rev()
    }

    /// The escalation of this number.
    pub fn find(&self, id: u64) -> Option<&Escalation> {
        self.open.get(&id).or_else(|| self.closed.iter().find(|it| it.id == id))
    }

    /// The open escalation about this.
    pub fn about(&self, concern: Concern) -> Option<&Escalation> {
        self.by_concern.get(&concern).and_then(|id| self.open.get(id))
    }

    /// Whether somebody was told of this, or is about to be.
    pub fn knows(&self, concern: Concern) -> bool {
        self.by_concern.contains_key(&concern) || self.pending.contains_key(&concern)
    }

    /// Open escalations about tasks of a run.
    pub(crate) fn of_run(&self, run: RunId) -> Vec<(TaskRef, u64)> {
        if self.by_concern.is_empty() {
            return Vec::new();
        }
        let first = Concern::Task(run, TaskRef { node: 0, child: None });
        let here = self.by_concern.range(first..);
        let tasks = here.map_while(|(concern, id)| match concern {
            Concern::Task(of, task) if *of == run => Some((*task, *id)),
            _ => None,
        });
        tasks.collect()
    }

    /// How much was not escalated at once because too much was open.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The number of the next escalation or measure.
    pub(crate) fn next_id(&self) -> u64 {
        self.count + 1
    }

    /// Something is to be escalated. A task waits behind those that wait already; an agent is heard of
    /// again when it is replaced again.
    pub(crate) fn note(&mut self, concern: Concern, at: Time) -> Noted {
        if self.knows(concern) {
            return Noted::Known;
        }
        let is_task = matches!(concern, Concern::Task(..));
        if self.is_full() || (is_task && self.has_untold) {
            self.missed += 1;
            self.has_untold |= is_task;
            return Noted::Untold;
        }
        self.pending.insert(concern, at);
        Noted::Pending
    }

    fn is_full(&self) -> bool {
        self.open.len() + self.pending.len() >= ESCALATIONS_OPEN_MAX
    }

    /// Whether there is room for tasks that nobody was told of.
    pub(crate) fn may_tell_untold(&self) -> bool {
        self.has_untold && self.open.len() + self.pending.len() <= ESCALATIONS_RESUME_MAX
    }

    /// Tasks that nobody was told of are to be escalated, as many as there is room for; who they are.
    pub(crate) fn note_untold(
        &mut self,
        untold: impl IntoIterator<Item = Concern>,
        at: Time,
    ) -> Vec<Concern> {
        let mut noted = Vec::new();
        for concern in untold {
            if self.is_full() {
                return noted;
            }
            self.pending.entry(concern).or_insert(at);
            noted.push(concern);
        }
        self.has_untold = false;
        noted
    }

    pub(crate) fn pending(&self) -> impl Iterator<Item = (Concern, Time)> + '_ {
        self.pending.iter().map(|(concern, at)| (*concern, *at))
    }

    /// Whether this is due then.
    pub(crate) fn is_due(&self, at: Time, timer: Timer) -> bool {
        match timer {
            Timer::Tell(concern) => self.pending.get(&concern) == Some(&at),
            Timer::Escalation(id) => self.open.get(&id).is_some_and(|it| it.due() == at),
            Timer::Measure(id) => self.measures.get(&id).is_some_and(|it| it.until == at),
            _ => false,
        }
    }

    /// An escalation is raised; when it was noted.
    pub(crate) fn raise(&mut self, escalation: &Escalation) -> Option<Time> {
        self.count = self.count.max(escalation.id);
        self.by_concern.insert(escalation.concern, escalation.id);
        self.open.insert(escalation.id, escalation.clone());
        self.pending.remove(&escalation.concern)
    }

    /// Changes an open escalation; when something was due about it before, and when now.
    pub(crate) fn change(
        &mut self,
        id: u64,
        change: impl FnOnce(&mut Escalation),
    ) -> Option<(Time, Time)> {
        let escalation = self.open.get_mut(&id)?;
        let before = escalation.due();
        change(escalation);
        Some((before, escalation.due()))
    }

    /// An escalation is over; when something was due about it.
    pub(crate) fn close(&mut self, id: u64, closing: Closing) -> Option<Time> {
        let Some(mut escalation) = self.open.remove(&id) else {
            // It was over by itself, and now somebody says why.
            let told = self.closed.iter_mut().rev().find(|it| it.id == id)?;
            told.closing = Some(closing);
            return None;
        };
        self.by_concern.remove(&escalation.concern);
        let due = escalation.due();
        escalation.closing = Some(closing);
        self.closed.push_back(escalation);
        if self.closed.len() > ESCALATIONS_KEPT_MAX {
            self.closed.pop_front();
        }
        Some(due)
    }

    /// The instance starts again, and every agent begins anew: what was said of agents is over.
    pub(crate) fn begin_anew(&mut self, at: Time) {
        self.pending.retain(|concern, _| matches!(concern, Concern::Task(..)));
        let of_agents = self.by_concern.range(Concern::Agent(AgentIx(0))..);
        let of_agents: Vec<u64> = of_agents.map(|(_, id)| *id).collect();
        for id in of_agents {
            let reason = "the instance started again: every agent begins anew".into();
            self.close(id, Closing { action: "cleared".into(), reason, at });
        }
    }

    /// Works out what is not written, and whether what is written can be.
    pub(crate) fn restored(mut self) -> Option<Self> {
        let is_late = |id: &u64| *id > self.count;
        let is_too_much = self.open.len() + self.pending.len() > ESCALATIONS_OPEN_MAX
            || self.closed.len() > ESCALATIONS_KEPT_MAX
            || self.measures.len() > MEASURES_MAX;
        if is_too_much
            || self.count.max(self.missed) > COUNTER_MAX
            || self.open.keys().chain(self.measures.keys()).any(is_late)
        {
            return None;
        }
        self.by_concern = self.open.values().map(|it| (it.concern, it.id)).collect();
        (self.by_concern.len() == self.open.len()).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_with_a_count_of_what_was_missed_at_the_brink_is_refused() {
        let missed = |missed| Supervision { missed, ..Supervision::default() };
        assert!(missed(COUNTER_MAX).restored().is_some());
        assert!(missed(COUNTER_MAX + 1).restored().is_none());
    }
}
