//! `apply` for the events of a task: its line, its token, its end.

use super::apply::Scope;
use crate::budget::Amounts;
use crate::effect::Effect;
use crate::event::{AttemptEnded, AttemptStarted, Event, SkipCause, TaskSucceeded};
use crate::ids::{PtId, TaskRef};
use crate::keyed_limit::Around;
use crate::payload::Payload;
use crate::plan::{OnFailure, Shape};
use crate::progress::proof;
use crate::run::{Active, Child, Fan, Task, TaskState};
use crate::state::ATTEMPT_COST;
use crate::supervision::Remedy;
use crate::time::Time;
use crate::timers::Timer;

impl Scope<'_> {
    pub(super) fn apply_to_task(&mut self, event: &Event) {
        match event {
            Event::TaskPreparing { task } => self.prepare(*task),
            Event::TaskKeyed { task, key } => {
                self.with(*task, |it| it.key = Some(key.clone()));
            }
            Event::MapExpanded { task, count, list } => self.expand(*task, *count, list),
            Event::TaskReady { task } => self.make_ready(*task),
            Event::AttemptStarted(started) => self.start_attempt(started),
            Event::LeaseRenewed { task, until } => self.renew(*task, *until),
            Event::ProgressMade { task, checkpoint } => self.progress(*task, *checkpoint),
            Event::AttemptEnded(ended) => self.end_attempt(ended),
            Event::TaskSucceeded(done) => self.succeed(done),
            Event::MapDone { task } => self.finish_map(*task),
            Event::TaskFailed { task, failure } => self.fail(*task, failure),
            Event::TasksSkipped { tasks, cause } => self.skip(tasks, cause),
            Event::TasksCancelled { tasks } => self.cancel(tasks),
            Event::TaskParked { task, reason, message } => {
                // An attempt that neither failed nor was done is not counted, or a person's word
                // to go on would let attempts exceed their limit.
                let uncounted =
                    u32::from(self.run.task(*task).is_some_and(|it| it.active.is_some()));
                self.leave(*task);
                self.set_state(*task, TaskState::Parked);
                let at = self.at;
                self.with(*task, |it| {
                    it.attempt = it.attempt.saturating_sub(uncounted);
                    it.parked = Some((*reason, message.clone()));
                    it.tried.iter_mut().for_each(|tried| tried.fail(at));
                });
                // Its place is free for another child.
                self.refill(task.node);
            }
            Event::TaskUnparked { task, .. } => self.unpark(*task),
            _ => {}
        }
    }

    /// Changes a node or a live child.
    pub(super) fn with<T>(
        &mut self,
        task: TaskRef,
        change: impl FnOnce(&mut Task) -> T,
    ) -> Option<T> {
        self.run.task_mut(task).map(change)
    }

    /// The one place where a task's state changes, so that the counts stay true.
    pub(super) fn set_state(&mut self, task: TaskRef, state: TaskState) {
        let changed = self.with(task, |it| {
            let counted = it.fan.is_none();
            if state.is_over() {
                it.tried = None;
            }
            (std::mem::replace(&mut it.state, state), counted)
        });
        let Some((old, counted)) = changed else { return };
        if state.is_moving() {
            self.run.parked = false;
        }
        if state.is_over() && !old.is_over() {
            self.close_steps(task);
        }
        if counted {
            self.run.counts.take(old, 1);
            self.run.counts.add(state, 1);
        }
        if task.child.is_none() && state.is_over() && !old.is_over() {
            self.run.open = self.run.open.saturating_sub(1);
            self.clear_task_deadline(task.node);
        }
    }

    fn prepare(&mut self, task: TaskRef) {
        let at = self.at;
        self.set_state(task, TaskState::Preparing);
        self.with(task, |it| it.ready_at = it.ready_at.min(at));
        self.set_task_deadline(task.node);
        self.ask_to_prepare(task.node);
    }

    pub(super) fn ask_to_prepare(&mut self, node: u32) {
        let Some(generation) = self.run.node(node).map(|task| task.generation) else { return };
        self.effects.push(Effect::Prepare { run: self.run.id, node, generation });
    }

    fn expand(&mut self, task: TaskRef, count: u32, list: &Payload) {
        let Some(node) = self.run.tasks.get_mut(task.node as usize) else { return };
        self.run.counts.take(node.state, 1);
        self.run.counts.add(TaskState::Ready, count);
        node.state = TaskState::Running;
        node.fan = Some(Box::new(Fan {
            list: list.clone(),
            next: 0,
            running: 0,
            succeeded: 0,
            failed: 0,
            children: vec![Child::Fresh; count as usize],
        }));
        self.refill(task.node);
    }

    /// A map's node stands in line while it has fresh children that may start.
    pub(super) fn refill(&mut self, node: u32) {
        let Some(Shape::Map(map)) = self.run.spec(node).map(|spec| &spec.shape) else { return };
        let parallel_max = map.parallel_max;
        let Some(task) = self.run.node(node) else { return };
        let Some(fan) = &task.fan else { return };
        let wants = task.state == TaskState::Running && fan.may_start(parallel_max, 0);
        match (wants, task.turn.is_some()) {
            (true, false) => self.line_up(TaskRef::node(node)),
            (false, true) => self.step_out(TaskRef::node(node)),
            _ => {}
        }
    }

    pub(super) fn line_up(&mut self, task: TaskRef) {
        if self.run.paused || self.run.task(task).is_none_or(|it| it.turn.is_some()) {
            return;
        }
        let Some(skill) = self.run.skill(task.node) else { return };
        let ready_at = self.run.node(task.node).map_or(self.at, |it| it.ready_at.min(self.at));
        let turn = self.queue.draw_turn(self.run.priority, ready_at);
        self.with(task, |it| it.turn = Some(turn));
        let place = (skill, turn, (self.run.id, task));
        match self.run.limit(task.node).zip(self.run.limit_id(task.node)) {
            None => self.queue.insert(skill, turn, place.2),
            Some((spec, id)) => {
                let around = Around { queue: self.queue, timers: self.timers, now: self.at };
                self.limits.line_up(&id, spec, place, around);
            }
        }
    }

    pub(super) fn step_out(&mut self, task: TaskRef) {
        let Some(skill) = self.run.skill(task.node) else { return };
        if let Some(turn) = self.with(task, |it| it.turn.take()).flatten() {
            match self.run.limit_id(task.node) {
                None => self.queue.remove(skill, turn),
                Some(id) => {
                    let around = Around { queue: self.queue, timers: self.timers, now: self.at };
                    self.limits.step_out(&id, (skill, turn), around);
                }
            }
        }
    }

    /// An attempt begins, or is over.
    fn count_at_limit(&mut self, task: TaskRef, begins: bool) {
        let Some(id) = self.run.limit_id(task.node) else { return };
        let around = Around { queue: self.queue, timers: self.timers, now: self.at };
        match begins {
            true => self.limits.begin(&id, around),
            false => self.limits.end(&id, around),
        }
    }

    fn make_ready(&mut self, task: TaskRef) {
        let at = self.at;
        self.clear_retry(task);
        self.set_state(task, TaskState::Ready);
        self.with(task, |it| {
            it.ready_at = it.ready_at.min(at);
            it.retry_at = Time::NEVER;
        });
        self.set_task_deadline(task.node);
        self.line_up(task);
    }

    pub(super) fn set_task_deadline(&mut self, node: u32) {
        if let Some(at) = self.task_deadline(node)
            && self.run.node(node).is_some_and(|it| !it.state.is_over())
        {
            self.timers.set(at, Timer::TaskDeadline(self.run.id, node));
        }
    }

    pub(super) fn clear_task_deadline(&mut self, node: u32) {
        if let Some(at) = self.task_deadline(node) {
            self.timers.clear(at, Timer::TaskDeadline(self.run.id, node));
        }
    }

    fn task_deadline(&self, node: u32) -> Option<Time> {
        let ready = self.run.node(node)?.ready_at;
        let deadline = self.run.spec(node)?.deadline_ms?;
        (ready != Time::NEVER).then(|| ready.plus(deadline))
    }

    pub(super) fn clear_retry(&mut self, task: TaskRef) {
        let waiting = self.run.task(task).filter(|it| it.state == TaskState::Waiting);
        if let Some(retry_at) = waiting.map(|it| it.retry_at) {
            self.timers.clear(retry_at, Timer::Retry(self.run.id, task));
        }
    }

    fn start_attempt(&mut self, started: &AttemptStarted) {
        let task = started.task;
        let Some(skill) = self.run.skill(task.node) else { return };
        // First, or its key would seem to be nobody's for a moment.
        self.count_at_limit(task, true);
        self.take_turn(task);
        self.set_state(task, TaskState::Running);
        let timeout_ms = self.run.spec(task.node).and_then(|spec| spec.timeout_ms);
        let timeout = self.at.plus(timeout_ms.unwrap_or(self.timeout_ms));
        let lease = self.at.plus(self.lease_ms);
        let reserved = started.reserved.unwrap_or(ATTEMPT_COST);
        let active = Active {
            agent: started.agent,
            fence: started.fence,
            started: self.at,
            lease,
            timeout,
            timer: lease.min(timeout),
            reserved,
            class: started.class,
            epoch: self.epoch,
        };
        let timer = active.timer;
        let at = self.at;
        self.with(task, |it| {
            it.attempt = started.attempt;
            it.partials = 0;
            // One before it failed.
            if !it.causes.is_empty() {
                let is_same = it.last_agent == Some(started.agent);
                let remedy = if is_same { Remedy::Retry } else { Remedy::Reroute };
                it.tried.get_or_insert_default().apply(remedy, at);
            }
            it.last_agent = Some(started.agent);
            it.ready_at = it.ready_at.min(at);
            it.active = Some(Box::new(active));
        });
        self.set_task_deadline(task.node);
        *self.fences = (*self.fences).max(started.fence.0);
        self.fleet.draw(started.agent, skill);
        self.run.account.reserve(reserved);
        self.account.reserve(reserved);
        self.timers.set(timer, Timer::Attempt(self.run.id, task, started.fence));
        self.effects.push(Effect::RunAttempt {
            pt: PtId { run: self.run.id, task, fence: started.fence },
            agent: started.agent,
            skill,
            attempt: started.attempt,
            class: started.class,
        });
    }

    /// Leaves the line; a fresh child comes to life and its map stays in line for the next.
    fn take_turn(&mut self, task: TaskRef) {
        let Some(child) = task.child else { return self.step_out(task) };
        let Some(node) = self.run.tasks.get_mut(task.node as usize) else { return };
        let (generation, ready_at) = (node.generation, node.ready_at);
        let Some(fan) = node.fan.as_mut() else { return };
        fan.running += 1;
        if let Some(slot @ Child::Fresh) = fan.children.get_mut(child as usize) {
            let mut fresh = Box::new(Task::new(0, generation));
            fresh.state = TaskState::Ready;
            fresh.ready_at = ready_at;
            *slot = Child::Live(fresh);
            fan.next = fan.next.max(child + 1);
        }
        self.step_out(task);
        self.refill(task.node);
    }

    fn renew(&mut self, task: TaskRef, until: Time) {
        let id = self.run.id;
        let moved = self.with(task, |it| {
            let active = it.active.as_mut()?;
            let old = active.timer;
            active.lease = until;
            active.timer = until.min(active.timeout);
            Some((old, active.timer, active.fence))
        });
        if let Some((old, new, fence)) = moved.flatten() {
            self.timers.clear(old, Timer::Attempt(id, task, fence));
            self.timers.set(new, Timer::Attempt(id, task, fence));
        }
    }

    fn progress(&mut self, task: TaskRef, checkpoint: Option<crate::hash::Hash>) {
        self.with(task, |it| {
            if checkpoint.is_some() && checkpoint != it.checkpoint {
                it.checkpoint = checkpoint;
                it.partials = 0;
            } else {
                it.partials += 1;
            }
        });
    }

    /// The token comes back and the reservation is settled; none spent: just the attempt's cost.
    pub(super) fn release(&mut self, task: TaskRef, spent: Option<Amounts>) {
        let Some(active) = self.with(task, |it| it.active.take()).flatten() else { return };
        self.count_at_limit(task, false);
        self.timers.clear(active.timer, Timer::Attempt(self.run.id, task, active.fence));
        let spent = spent.unwrap_or(ATTEMPT_COST.min(active.reserved));
        self.run.account.settle(active.reserved, spent);
        self.account.settle_below(active.reserved, spent);
        if active.epoch == self.epoch
            && let Some(skill) = self.run.skill(task.node)
        {
            self.fleet.put_back(active.agent, skill);
        }
        if task.child.is_some()
            && let Some(fan) =
                self.run.tasks.get_mut(task.node as usize).and_then(|node| node.fan.as_mut())
        {
            fan.running = fan.running.saturating_sub(1);
        }
    }

    fn end_attempt(&mut self, ended: &AttemptEnded) {
        use crate::event::AttemptEnd::{Interrupted, Lost};
        let (task, id) = (ended.task, self.run.id);
        self.effects.push(Effect::StopAttempt { pt: PtId { run: id, task, fence: ended.fence } });
        self.release(task, Some(ended.spent));
        let state = if ended.retry_at.is_some() { TaskState::Waiting } else { TaskState::Ready };
        self.set_state(task, state);
        let (retry_at, at) = (ended.retry_at.unwrap_or(Time::NEVER), self.at);
        self.with(task, |it| {
            it.retry_at = retry_at;
            match (ended.end, &mut it.tried) {
                (_, None) => {}
                (Interrupted, Some(tried)) => tried.take_back(),
                (_, Some(tried)) => tried.fail(at),
            }
            match ended.end {
                Interrupted => it.attempt = it.attempt.saturating_sub(1),
                Lost => {
                    it.attempt = it.attempt.saturating_sub(1);
                    it.lost += 1;
                    it.note(&ended.failure);
                }
                _ => it.note(&ended.failure),
            }
        });
        self.timers.set(retry_at, Timer::Retry(id, task));
        self.refill(task.node);
    }

    fn succeed(&mut self, done: &TaskSucceeded) {
        let task = done.task;
        let agent = self.run.task(task).and_then(|it| it.last_agent);
        self.mended = agent.filter(|agent| self.fleet.praise(*agent));
        self.release(task, Some(done.spent));
        if self.head.is_none() {
            self.run.proof = proof(self.run.id, done, self.run.proof);
        }
        self.set_state(task, TaskState::Succeeded);
        let Some(node) = self.run.tasks.get_mut(task.node as usize) else { return };
        let Some(child) = task.child else {
            node.output = Some(done.output.clone());
            node.causes = Vec::new();
            return self.settle_needs(task.node);
        };
        let Some(fan) = node.fan.as_mut() else { return };
        fan.succeeded += 1;
        if let Some(slot) = fan.children.get_mut(child as usize) {
            *slot = Child::Done(done.output.clone());
        }
        self.refill(task.node);
    }

    fn finish_map(&mut self, task: TaskRef) {
        let Some(fan) = self.run.node(task.node).and_then(|node| node.fan.as_ref()) else { return };
        let text = format!(
            r#"{{"count":{},"succeeded":{},"failed":{}}}"#,
            fan.total(),
            fan.succeeded,
            fan.failed
        );
        self.step_out(task);
        self.set_state(task, TaskState::Succeeded);
        self.with(task, |it| it.output = Some(Payload::inline(text.into_bytes())));
        self.settle_needs(task.node);
    }

    fn fail(&mut self, task: TaskRef, failure: &crate::error::Failure) {
        self.leave(task);
        self.set_state(task, TaskState::Failed);
        self.with(task, |it| it.failure = Some(Box::new(failure.clone())));
        if task.child.is_some() {
            if let Some(fan) =
                self.run.tasks.get_mut(task.node as usize).and_then(|node| node.fan.as_mut())
            {
                fan.failed += 1;
            }
            self.refill(task.node);
        } else if self.run.spec(task.node).is_some_and(|it| it.on_failure == OnFailure::Continue) {
            self.settle_needs(task.node);
        }
    }

    /// Out of line, out of work, no timer: before a task is over or parked.
    fn leave(&mut self, task: TaskRef) {
        if let Some(active) = self.run.task(task).and_then(|it| it.active.as_ref()) {
            let pt = PtId { run: self.run.id, task, fence: active.fence };
            self.effects.push(Effect::StopAttempt { pt });
            self.release(task, None);
        }
        self.doubt_open_steps(task);
        self.clear_retry(task);
        self.leave_child(task);
        self.step_out(task);
        if task.child.is_none() {
            self.stop_children(task.node);
        }
    }

    fn stop_children(&mut self, node: u32) {
        let below = |task: &TaskRef| task.node == node && task.child.is_some();
        let open = self.run.live_tasks(|task| !task.state.is_over());
        for child in open.into_iter().filter(below) {
            self.leave(child);
            self.set_state(child, TaskState::Cancelled);
        }
        let Some(fan) = self.run.tasks.get_mut(node as usize).and_then(|task| task.fan.as_mut())
        else {
            return;
        };
        let fresh =
            fan.children.iter().filter(|child| matches!(child, Child::Fresh)).count() as u32;
        fan.next = fan.total();
        self.run.counts.take(TaskState::Ready, fresh);
        self.run.counts.add(TaskState::Skipped, fresh);
    }

    fn skip(&mut self, tasks: &[TaskRef], cause: &SkipCause) {
        for task in tasks {
            self.leave(*task);
            self.set_state(*task, TaskState::Skipped);
            self.with(*task, |it| it.skipped = Some(cause.clone()));
            if *cause == SkipCause::Condition {
                self.settle_needs(task.node);
            }
        }
    }

    fn cancel(&mut self, tasks: &[TaskRef]) {
        for task in tasks {
            self.leave(*task);
            self.set_state(*task, TaskState::Cancelled);
        }
    }

    fn unpark(&mut self, task: TaskRef) {
        self.run.parked = false;
        self.with(task, |it| {
            (it.parked, it.tried, it.untold) = (None, None, false);
            it.lost = 0;
            it.partials = 0;
        });
        self.set_state(task, TaskState::Ready);
        self.line_up(task);
    }

    /// What a node feeds waits for one less. A fallback settles for the task it stands in for.
    pub(super) fn settle_needs(&mut self, node: u32) {
        let primary = self.run.settles_for(node);
        let workflow = self.run.workflow.clone();
        let Some(spec) = workflow.tasks.get(primary as usize) else { return };
        for fed in &spec.feeds {
            if let Some(task) = self.run.tasks.get_mut(*fed as usize) {
                task.waits_on = task.waits_on.saturating_sub(1);
            }
        }
    }
}

impl Task {
    fn note(&mut self, failure: &crate::error::Failure) {
        if self.causes.len() < crate::limits::CAUSES_MAX {
            self.causes.push(failure.clone());
        }
    }
}
