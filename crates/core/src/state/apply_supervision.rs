//! Escalations and emergency measures: how they change the state, and their timers.

use std::collections::BTreeSet;

use super::State;
use crate::event::{Event, Standing, Supervised};
use crate::ids::{AgentIx, RunId, TaskRef};
use crate::limits::AGENT_REPLACED_MAX;
use crate::run::{Run, TaskState};
use crate::supervision::{Concern, Escalation, MeasureKind, Noted, Passed};
use crate::text::Text;
use crate::timers::Timer;

impl State {
    pub(super) fn apply_to_supervision(&mut self, event: &Supervised) {
        match event {
            Supervised::EscalationRaised(escalation) => {
                if let Some(noted) = self.supervision.raise(escalation) {
                    self.timers.clear(noted, Timer::Tell(escalation.concern));
                }
                self.timers.set(escalation.due(), Timer::Escalation(escalation.id));
            }
            Supervised::EscalationPassed { id, to, deadline } => {
                let at = self.now;
                self.change_escalation(*id, |it| {
                    let by = std::mem::replace(&mut it.to, to.clone());
                    // Nobody is above a person.
                    if by != it.to {
                        it.passed.push(Passed { by, at });
                    }
                    it.deadline = *deadline;
                })
            }
            Supervised::RemedyApplied { id, rung } => {
                self.change_escalation(*id, |it| it.ladder.push(rung.clone()));
            }
            Supervised::RemedyChecked { id, healthy } => self.change_escalation(*id, |it| {
                if let Some(rung) = it.ladder.last_mut() {
                    rung.healthy = Some(*healthy);
                }
            }),
            Supervised::EscalationResolved { id, closing } => {
                if let Some(due) = self.supervision.close(*id, closing.clone()) {
                    self.timers.clear(due, Timer::Escalation(*id));
                }
                self.tell_untold();
            }
            Supervised::MeasureTaken(measure) => {
                self.supervision.take(measure);
                self.timers.set(measure.until, Timer::Measure(measure.id));
                self.keep_out();
            }
            Supervised::MeasureVoted { id, vote } => self.supervision.vote(*id, vote),
            Supervised::MeasureEnded { id, .. } => {
                if let Some(measure) = self.supervision.end(*id) {
                    self.timers.clear(measure.until, Timer::Measure(*id));
                    self.let_in(&measure.kind);
                }
            }
        }
    }

    fn change_escalation(&mut self, id: u64, change: impl FnOnce(&mut Escalation)) {
        if let Some((before, now)) = self.supervision.change(id, change) {
            self.timers.clear(before, Timer::Escalation(id));
            self.timers.set(now, Timer::Escalation(id));
        }
    }

    fn tell(&mut self, concern: Concern) {
        let noted = self.supervision.note(concern, self.now);
        if noted == Noted::Pending {
            self.timers.set(self.now, Timer::Tell(concern));
        }
        if let Concern::Task(run, task) = concern {
            self.mark_untold(run, task, noted == Noted::Untold);
        }
    }

    fn mark_untold(&mut self, run: RunId, task: TaskRef, untold: bool) {
        if let Some(it) = self.runs.get_mut(&run).and_then(|run| run.task_mut(task)) {
            it.untold = untold;
        }
    }

    /// There is room again for tasks that were parked while too much was open: oldest runs first.
    fn tell_untold(&mut self) {
        if !self.supervision.may_tell_untold() {
            return;
        }
        let mut parked: Vec<&Run> =
            self.runs.values().filter(|run| run.counts.of(TaskState::Parked) > 0).collect();
        parked.sort_unstable_by_key(|run| run.id);
        let untold = parked.into_iter().flat_map(|run| {
            let tasks = run.live_tasks(|it| it.untold && it.state == TaskState::Parked);
            tasks.into_iter().map(|task| Concern::Task(run.id, task))
        });
        for concern in self.supervision.note_untold(untold, self.now) {
            self.timers.set(self.now, Timer::Tell(concern));
            if let Concern::Task(run, task) = concern {
                self.mark_untold(run, task, false);
            }
        }
    }

    /// A task that is parked is told of; whatever was told of the run is looked at when one of its
    /// tasks is parked no more.
    pub(super) fn watch_run(&mut self, id: RunId, event: &Event, freed: bool) {
        if let Event::TaskParked { task, .. } = event {
            return self.tell(Concern::Task(id, *task));
        }
        if !freed {
            return;
        }
        for (task, escalation) in self.supervision.of_run(id) {
            let it = self.runs.get(&id).and_then(|run| run.task(task));
            if it.is_none_or(|it| it.state != TaskState::Parked) {
                self.look_at(escalation);
            }
        }
    }

    /// What an escalation is about may be over: it is looked at with the next timer.
    fn look_at(&mut self, escalation: u64) {
        let now = self.now;
        self.change_escalation(escalation, |it| it.deadline = it.deadline.min(now));
    }

    /// What was told of an agent that works again is looked at; where a remedy is still to be looked
    /// at, that finds it.
    pub(super) fn watch_mended(&mut self, mended: Option<AgentIx>) {
        let Some(agent) = mended else { return };
        let is_back = self.fleet.agent(agent).is_some_and(|row| row.standing == Standing::Ready);
        let told = self.supervision.about(Concern::Agent(agent));
        let told = told.filter(|it| is_back && it.unchecked().is_none()).map(|it| it.id);
        if let Some(id) = told {
            self.look_at(id);
        }
    }

    /// An agent that was replaced, and replaced again, is told of. One that is let in again may have
    /// worked since it was told of.
    pub(super) fn watch_agent(&mut self, agent: AgentIx, standing: Standing) {
        if standing == Standing::Ready && self.fleet.agent(agent).is_some_and(|it| !it.is_failing())
        {
            return self.watch_mended(Some(agent));
        }
        let replaced = self.fleet.agent(agent).map_or(0, |row| row.replaced);
        if standing == Standing::Replaced && replaced >= AGENT_REPLACED_MAX {
            self.tell(Concern::Agent(agent));
        }
    }

    /// Whoever a measure keeps from work gets none, also who comes while it is in force.
    pub(super) fn keep_out(&mut self) {
        let mut out: Vec<(AgentIx, Text)> = Vec::new();
        for (name, reason) in self.supervision.kept_out() {
            let called = self.fleet.called(name).into_iter();
            out.extend(called.map(|agent| (agent, reason.clone())));
        }
        out.into_iter().for_each(|(agent, reason)| self.take_out(agent, &reason));
    }

    /// The same of one agent that is back: whatever a measure keeps out is looked for among all
    /// agents only where all may have changed.
    pub(super) fn keep_one_out(&mut self, agent: AgentIx) {
        if let Some(reason) = self.keeps_out(agent).cloned() {
            self.take_out(agent, &reason);
        }
    }

    /// Why a measure keeps an agent from work, if one does.
    pub(crate) fn keeps_out(&self, agent: AgentIx) -> Option<&Text> {
        let mut kept = self.supervision.kept_out().peekable();
        kept.peek()?;
        let (own, group) = (self.fleet.name(agent), self.fleet.group_of(agent));
        let may_be =
            |name: &Text| **name == *own || group.is_some_and(|group| group.spec().name == *name);
        let is_called = |name: &Text| may_be(name) && self.fleet.called(name).contains(&agent);
        kept.find(|(name, _)| is_called(name)).map(|(_, reason)| reason)
    }

    /// Who is offline stays so, also when the measure is over.
    fn take_out(&mut self, agent: AgentIx, reason: &Text) {
        let Some(standing) = self.fleet.agent(agent).map(|row| row.standing) else { return };
        // Who is quarantined by rule has an end of his own, and finds this measure then.
        let is_out = standing == Standing::Quarantined;
        if !is_out && !standing.is_passing() && standing != Standing::Offline {
            self.change_agent(agent, (Standing::Quarantined, reason), None);
        }
    }

    /// A measure is over: whom it kept from work works again, unless another does, too.
    fn let_in(&mut self, measure: &MeasureKind) {
        let MeasureKind::Quarantine(name) = measure else { return };
        let kept = self.supervision.kept_out();
        let kept: BTreeSet<AgentIx> = kept.flat_map(|(name, _)| self.fleet.called(name)).collect();
        for agent in self.fleet.called(name) {
            let standing = self.fleet.agent(agent).map(|row| row.standing);
            // One that a seat quarantined by rule since comes back by itself.
            let is_out =
                standing == Some(Standing::Quarantined) && !self.backs.contains_key(&agent);
            if is_out && !kept.contains(&agent) {
                self.change_agent(agent, (Standing::Ready, &Text::default()), None);
            }
        }
    }

    /// After a start: what is due stays due, and measures stay in force.
    pub(super) fn go_on_supervising(&mut self) {
        self.supervision.begin_anew(self.now);
        let (supervision, timers) = (&self.supervision, &mut self.timers);
        supervision.pending().for_each(|(concern, at)| timers.set(at, Timer::Tell(concern)));
        supervision.open().for_each(|it| timers.set(it.due(), Timer::Escalation(it.id)));
        supervision.measures().for_each(|it| timers.set(it.until, Timer::Measure(it.id)));
        self.keep_out();
        self.tell_untold();
    }
}
