//! Rows of tasks and their attempts.

use ark_os_api::TraceRow;
use ark_os_core::Event;
use ark_os_core::budget::Amounts;
use ark_os_core::event::{AttemptEnded, AttemptStarted, TaskSucceeded};
use ark_os_core::ids::{PtId, TaskRef};
use ark_os_core::progress::proof;

use super::open::{Began, OpenAttempt, OpenMap, OpenTask, idle_ms};
use super::rows::{About, Making, details, field, in_words, when};
use crate::words;

impl Making<'_> {
    pub(super) fn of_task(&mut self, event: &Event) {
        let now = self.now();
        match event {
            Event::TaskPreparing { task } => {
                self.open(*task).preparing = Some(now);
            }
            Event::TaskKeyed { task, key } => _ = self.tracer.keys.insert(task.node, key.clone()),
            Event::MapExpanded { task, count, .. } => {
                self.prepared(*task);
                self.tracer.tasks.remove(task);
                self.tracer.maps.insert(task.node, OpenMap::new(now, *count));
            }
            Event::TaskReady { task } => {
                self.prepared(*task);
                let open = self.open(*task);
                if open.queued.at < now.at {
                    open.queued = now;
                }
            }
            Event::AttemptStarted(started) => self.started(started),
            Event::AttemptEnded(ended) => self.attempt_ended(ended),
            Event::TaskSucceeded(done) => self.succeeded(done),
            Event::TaskFailed { task, failure } => {
                self.count_failed(*task);
                let text = in_words(failure);
                let mut row = self.closed(*task, "failed", Some(&text));
                row.details.extend([field("failure", words::failure(failure))]);
                self.put(About::Task(*task), row);
            }
            Event::TasksSkipped { tasks, cause } => {
                tasks
                    .iter()
                    .for_each(|task| self.stopped(*task, "skipped", &words::skip_cause(cause)));
            }
            Event::TasksCancelled { tasks } => {
                tasks.iter().for_each(|task| self.stopped(*task, "cancelled", ""));
            }
            Event::MapDone { task } => {
                let row = self.closed(*task, "succeeded", None);
                self.put(About::Task(*task), row);
            }
            Event::TaskWaiting { .. }
            | Event::SignalReceived(_)
            | Event::WaitEnded { .. }
            | Event::ChildRequested { .. }
            | Event::ChildEnded(_)
            | Event::TasksAdded(_) => self.of_wait(event),
            Event::TaskParked { task, reason, message } => {
                self.attempt_over(*task, "parked", Amounts::ZERO, None);
                let mut row = self.point("task_parked", 3);
                row.state = Some(words::park_reason(*reason).to_owned());
                row.text = Some(message.to_string());
                self.put(About::Task(*task), row);
            }
            Event::TaskUnparked { task, reason } => {
                self.open(*task).queued = now;
                let mut row = self.point("task_unparked", 3);
                row.text = reason.as_ref().map(ToString::to_string);
                self.put(About::Task(*task), row);
            }
            _ => self.of_step(event),
        }
    }

    /// A condition or a list is evaluated.
    pub(super) fn prepared(&mut self, task: TaskRef) {
        let open = self.tracer.tasks.get_mut(&task);
        let Some(began) = open.and_then(|open| open.preparing.take()) else { return };
        let row = self.span("preparing", 3, began);
        self.put(About::Task(task), row);
    }

    fn started(&mut self, started: &AttemptStarted) {
        self.prepared(started.task);
        let now = self.now();
        let open = self.open(started.task);
        open.attempts += 1;
        open.worked.get_or_insert(now.at);
        let queued = open.queued;
        open.attempt = Some(OpenAttempt { began: now, queued, started: started.clone() });
        if started.task.child.is_some()
            && let Some(map) = self.tracer.maps.get_mut(&started.task.node)
        {
            map.attempts += 1;
            map.worked.get_or_insert(now.at);
        }
        self.was_held(started, queued);
    }

    fn attempt_ended(&mut self, ended: &AttemptEnded) {
        let state = serde_json::to_value(ended.end).unwrap_or_default();
        let state = state.as_str().unwrap_or_default();
        let failure = field("failure", words::failure(&ended.failure));
        let more = [Some(failure), when(ended.retry_at)];
        let text = in_words(&ended.failure);
        if let Some(mut row) = self.attempt_row(ended.task, state, ended.spent) {
            row.text = Some(text);
            row.details.extend(more.into_iter().flatten());
            self.put(About::Task(ended.task), row);
        }
        let now = self.now();
        self.open(ended.task).queued = Began { at: ended.retry_at.unwrap_or(now.at), ..now };
    }

    fn succeeded(&mut self, done: &TaskSucceeded) {
        let task = done.task;
        self.tracer.proof = proof(self.tracer.run, done, self.tracer.proof);
        if task.child.is_some()
            && let Some(map) = self.tracer.maps.get_mut(&task.node)
        {
            map.succeeded += 1;
            map.micros.push(done.micros);
        }
        let micros = field("micros", done.micros);
        self.attempt_over(task, "succeeded", done.spent, Some(micros));
        let mut row = self.closed(task, "succeeded", None);
        row.details.extend([
            field("input", done.input.to_string()),
            field("output", done.output.hash().to_string()),
            field("proof", self.tracer.proof.to_string()),
        ]);
        row.details.extend(done.effects.map(|root| field("effects_root", root.to_string())));
        self.put(About::Task(task), row);
    }

    /// Stopped from outside, begun or not.
    pub(super) fn stopped(&mut self, task: TaskRef, state: &str, why: &str) {
        let why = Some(why).filter(|why| !why.is_empty());
        let has_begun = self.tracer.tasks.contains_key(&task)
            || (task.child.is_none() && self.tracer.maps.contains_key(&task.node));
        let row = if has_begun {
            self.closed(task, state, why)
        } else {
            let mut row = self.point(state, 2);
            row.state = Some(state.to_owned());
            row.text = why.map(str::to_owned);
            row
        };
        self.put(About::Task(task), row);
    }

    /// The row of a task that is over now, after those of what it leaves open.
    pub(super) fn closed(&mut self, task: TaskRef, state: &str, text: Option<&str>) -> TraceRow {
        if task.child.is_none()
            && let Some(map) = self.tracer.maps.remove(&task.node)
        {
            return self.map_closed(task, &map, state, text);
        }
        self.prepared(task);
        self.attempt_over(task, state, Amounts::ZERO, None);
        self.steps_left(task);
        let now = self.now();
        let open = self.tracer.tasks.remove(&task).unwrap_or_else(|| OpenTask::new(now));
        let mut row = self.span("task", 2, open.began);
        row.idle_ms = Some(idle_ms(open.began, open.worked, now.at));
        row.state = Some(state.to_owned());
        row.text = text.map(str::to_owned);
        row.spent = Some(words::amounts(open.spent, 0));
        row.details = details([field("attempts", open.attempts)]);
        row
    }

    /// Everything that the end of the run leaves open.
    pub(super) fn close_all(&mut self) {
        let maps: Vec<u32> = self.tracer.maps.keys().copied().collect();
        for node in maps {
            self.stopped(TaskRef::node(node), "cancelled", "run_ended");
        }
        let tasks: Vec<TaskRef> = self.tracer.tasks.keys().copied().collect();
        for task in tasks {
            self.stopped(task, "cancelled", "run_ended");
        }
    }

    pub(super) fn attempt_over(
        &mut self,
        task: TaskRef,
        state: &str,
        spent: Amounts,
        more: Option<(String, serde_json::Value)>,
    ) {
        if let Some(mut row) = self.attempt_row(task, state, spent) {
            row.details.extend(more);
            self.put(About::Task(task), row);
        }
    }

    /// The row of the attempt that is over now; none: there was none.
    fn attempt_row(&mut self, task: TaskRef, state: &str, spent: Amounts) -> Option<TraceRow> {
        let attempt = self.tracer.tasks.get_mut(&task)?.attempt.take()?;
        self.count(task, spent);
        let mut row = self.span("attempt", 3, attempt.began);
        self.tracer.tell_attempt(&attempt, self.names, &mut row);
        row.state = Some(state.to_owned());
        row.spent = Some(words::amounts(spent, 0));
        Some(row)
    }

    /// Notes what something cost: for the task, its map and the run.
    pub(super) fn count(&mut self, task: TaskRef, spent: Amounts) {
        let tracer = &mut *self.tracer;
        tracer.spent = tracer.spent.plus(spent);
        if let Some(open) = tracer.tasks.get_mut(&task) {
            open.spent = open.spent.plus(spent);
        }
        if task.child.is_some()
            && let Some(map) = tracer.maps.get_mut(&task.node)
        {
            map.spent = map.spent.plus(spent);
        }
    }

    fn count_failed(&mut self, task: TaskRef) {
        if task.child.is_some()
            && let Some(map) = self.tracer.maps.get_mut(&task.node)
        {
            map.failed += 1;
        }
    }
}

impl super::Tracer {
    /// What is known of an attempt from its beginning.
    pub(super) fn tell_attempt(
        &self,
        attempt: &OpenAttempt,
        names: &crate::events::AgentNames,
        row: &mut TraceRow,
    ) {
        let started = &attempt.started;
        let Began { at, seq } = attempt.began;
        row.queued_ms = Some(at.0.saturating_sub(attempt.queued.at.0));
        let place = names.place(started, seq);
        row.layer = place.as_ref().map(|place| place.layer.to_string());
        row.stack = place.as_ref().and_then(|place| place.stack).map(|stack| stack.0);
        let name = place.map(|place| place.name.to_string());
        row.agent = name.or_else(|| Some(format!("#{}", started.agent.0)));
        row.reserved = started.reserved.map(|it| words::amounts(it, 0));
        let token = PtId { run: self.run, task: started.task, fence: started.fence };
        row.details = details([
            field("attempt", started.attempt),
            field("token", token),
            field("fence", started.fence),
            field("class", started.class.as_str()),
        ]);
    }
}
