//! A run in a snapshot: its rows are written, what can be counted from them is counted again.

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};

use super::{Active, Child, Counts, Fan, Run, Signal, Task, TaskState};
use crate::event::Admission;
use crate::ids::{AgentIx, Fence, SkillIx, TaskRef};
use crate::keyed_limit::LimitHoldings;
use crate::limits::{COUNT_MAX, COUNTER_MAX, MAP_CHILDREN_MAX, SIGNALS_KEPT_MAX};
use crate::plan::{Shape, TaskSpec};
use crate::priority::Turn;
use crate::time::Time;
use crate::timers::Timer;

/// For `#[cbor(with = "encoding::tasks")]`: the tasks, and then the children of those that are
/// maps, so that tasks do not nest and foreign bytes cannot nest them without an end.
pub(super) mod tasks {
    use super::{Decode, DecodeError, Decoder, Encode, EncodeError, Encoder, Fan, Task, Write};

    pub(crate) fn encode<C, W: Write>(
        tasks: &[Task],
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(2)?.encode_with(tasks, ctx)?;
        let fans =
            || (0u32..).zip(tasks).filter_map(|(node, task)| Some((node, task.fan.as_ref()?)));
        e.array(fans().count() as u64)?;
        for fan in fans() {
            fan.encode(e, ctx)?;
        }
        Ok(())
    }

    pub(crate) fn decode<'b, C>(
        d: &mut Decoder<'b>,
        ctx: &mut C,
    ) -> Result<Vec<Task>, DecodeError> {
        let (mut tasks, fans) = <(Vec<Task>, Vec<(u32, Fan)>)>::decode(d, ctx)?;
        for (node, fan) in fans {
            let task = tasks.get_mut(node as usize).filter(|task| task.fan.is_none());
            let task = task.ok_or_else(|| DecodeError::message("children of no task"))?;
            task.fan = Some(Box::new(fan));
        }
        Ok(tasks)
    }
}

/// What the rest of the state holds, as far as a run's rows depend on it.
pub(crate) struct Around {
    pub(crate) fences: u64,
    pub(crate) epoch: u64,
    /// Places in the skill table.
    pub(crate) skills: usize,
}

impl Around {
    /// Whether an admission says for each task of its plan that somebody works on a skill that there
    /// is.
    pub(crate) fn knows(&self, admission: &Admission) -> bool {
        let tasks = &admission.workflow.tasks;
        let is_known = |(skill, task): (&SkillIx, &TaskSpec)| match *skill {
            SkillIx::NONE => !task.is_work(),
            skill => task.is_work() && (skill.0 as usize) < self.skills,
        };
        admission.skills.len() == tasks.len() && admission.skills.iter().zip(tasks).all(is_known)
    }
}

/// What a run holds of the fleet and of the queue.
#[derive(Default)]
pub(crate) struct Holdings {
    pub(crate) drawn: Vec<(AgentIx, SkillIx)>,
    pub(crate) waiters: Vec<(SkillIx, Turn, crate::queue::Waiter)>,
    pub(crate) limits: LimitHoldings,
}

impl Run {
    /// Counts again what is not written. Says what is wrong with rows that no journal gives.
    pub(crate) fn restore(
        &mut self,
        around: &Around,
        holdings: &mut Holdings,
    ) -> Result<(), &'static str> {
        if self.tasks.len() != self.workflow.tasks.len() {
            return Err("a run has not the tasks of its plan");
        }
        if !self.knows_skills(around) {
            return Err("a run has not the skills of its plan");
        }
        if self.generation > COUNT_MAX || !self.account.is_sound() {
            return Err("a run's account or generation cannot be");
        }
        let is_of_past = |it: &Signal| it.number <= self.signals;
        if self.signals > COUNTER_MAX
            || self.inbox.len() > SIGNALS_KEPT_MAX
            || !self.inbox.iter().all(is_of_past)
            || !self.inbox.is_sorted_by(|one, next| one.number < next.number)
        {
            return Err("a run's signals contradict each other");
        }
        for (task, spec) in self.tasks.iter_mut().zip(&self.workflow.tasks) {
            if task.child.is_some() && spec.child().is_none() {
                return Err("a task has a child run that is not of its plan");
            }
            match (&mut task.fan, &spec.shape) {
                (None, _) => {}
                (Some(fan), Shape::Map(_)) => fan.restore()?,
                (Some(_), _) => return Err("children of a task that is no map"),
            }
        }
        self.count();
        for task in self.live_tasks(|_| true) {
            self.check(task, around, holdings)?;
        }
        Ok(())
    }

    /// Whether the tasks of its plan and those that were added have their skills.
    fn knows_skills(&self, around: &Around) -> bool {
        let Some(admission) = &self.admission else { return self.added_skills.is_empty() };
        let own = admission.skills.len();
        let added = self.workflow.tasks.get(own..).unwrap_or_default();
        let is_known = |(skill, task): (&SkillIx, &TaskSpec)| {
            (*skill == SkillIx::NONE) != task.is_work()
                && (*skill == SkillIx::NONE || (skill.0 as usize) < around.skills)
                && task.added_by.is_some()
        };
        around.knows(admission)
            && own + self.added_skills.len() == self.tasks.len()
            && self.added_skills.iter().zip(added).all(is_known)
    }

    fn count(&mut self) {
        let mut counts = Counts::default();
        for task in &self.tasks {
            let Some(fan) = &task.fan else {
                counts.add(task.state, 1);
                continue;
            };
            // A map that is over has given up on the children that had not started.
            let fresh = if task.state.is_over() { TaskState::Skipped } else { TaskState::Ready };
            for child in &fan.children {
                let state = match child {
                    Child::Fresh => fresh,
                    Child::Live(task) => task.state,
                    Child::Done(_) => TaskState::Succeeded,
                };
                counts.add(state, 1);
            }
        }
        self.open = self.tasks.iter().filter(|task| !task.state.is_over()).count() as u32;
        self.counts = counts;
    }

    fn check(
        &self,
        at: TaskRef,
        around: &Around,
        holdings: &mut Holdings,
    ) -> Result<(), &'static str> {
        let Some(task) = self.task(at) else { return Ok(()) };
        let most = task.attempt.max(task.lost).max(task.generation).max(task.partials);
        if most > COUNT_MAX {
            return Err("a counter of a task cannot be");
        }
        let is_held = task.turn.is_some() || task.active.is_some();
        if is_held && (self.is_over() || task.state.is_over()) {
            return Err("a task that is over is worked on");
        }
        let skill = || self.skill(at.node).ok_or("a task is worked on that was not let in");
        if let Some(turn) = task.turn {
            let (skill, who) = (skill()?, (self.id, at));
            match self.limit_id(at.node) {
                None => holdings.waiters.push((skill, turn, who)),
                Some(id) => holdings.limits.waiters.push((id, skill, turn, who)),
            }
        }
        let Some(active) = &task.active else { return Ok(()) };
        if active.fence > Fence(around.fences) || active.epoch > around.epoch {
            return Err("an attempt is of the future");
        }
        let skill = skill()?;
        holdings.limits.in_use.extend(self.limit_id(at.node));
        if active.epoch == around.epoch {
            holdings.drawn.push((active.agent, skill));
        }
        Ok(())
    }

    /// Whether something of the run is due then: firing such a timer has an effect and clears it.
    pub(crate) fn is_due(&self, at: Time, timer: Timer) -> bool {
        if self.is_over() {
            return false;
        }
        match timer {
            Timer::Attempt(_, task, fence) => {
                let active = self.task(task).and_then(|task| task.active.as_deref());
                active.is_some_and(|it: &Active| it.fence == fence && it.timer == at)
            }
            Timer::Retry(_, task) => self
                .task(task)
                .is_some_and(|task| task.state == TaskState::Waiting && task.retry_at == at),
            Timer::TaskDeadline(_, node) => {
                let deadline = self.spec(node).and_then(|spec| spec.deadline_ms);
                self.node(node).is_some_and(|task| {
                    let due = deadline.map(|deadline| task.ready_at.plus(deadline));
                    !task.state.is_over() && due == Some(at)
                })
            }
            Timer::RunDeadline(_) => self.deadline == Some(at),
            Timer::AgentBack(_)
            | Timer::Deployment(_)
            | Timer::Tell(_)
            | Timer::Escalation(_)
            | Timer::Measure(_)
            | Timer::Limit(_) => false,
        }
    }
}

impl Fan {
    fn restore(&mut self) -> Result<(), &'static str> {
        let started = self.children.get(self.next as usize..);
        let are_fresh = started.is_some_and(|rest| rest.iter().all(|it| *it == Child::Fresh));
        if self.children.len() > MAP_CHILDREN_MAX as usize || !are_fresh {
            return Err("a map's children have not started in their order");
        }
        for child in &self.children {
            match child {
                Child::Fresh => {}
                Child::Done(_) => self.succeeded += 1,
                Child::Live(task) => {
                    self.running += u32::from(task.active.is_some());
                    self.failed += u32::from(task.state == TaskState::Failed);
                }
            }
        }
        Ok(())
    }
}
