//! Rows of one event, and those of the run itself.

use ark_os_api::TraceRow;
use ark_os_core::Event;
use ark_os_core::error::Failure;
use ark_os_core::event::{RunAccepted, RunEnded};
use ark_os_core::ids::{TaskId, TaskRef};
use ark_os_core::progress::reuse_proof;
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_runtime::{Admitted, Handle, RecordedEvents, RuntimeError};
use serde::Serialize;
use serde_json::{Map, Value};

use super::open::{Began, OpenTask};
use super::{Tracer, admitted_here};
use crate::events::AgentNames;
use crate::words;

/// One event on its way into rows.
pub(super) struct Making<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) recorded: &'a RecordedEvents,
    /// The event's place in the record.
    pub(super) index: usize,
    /// Rows of the event so far, wanted or not: ids are the same whatever is wanted.
    pub(super) rows: u64,
    pub(super) names: &'a AgentNames,
}

/// The end of a row's making: what it is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum About {
    Run,
    Task(TaskRef),
}

impl Making<'_> {
    pub(super) fn now(&self) -> Began {
        Began { at: self.recorded.change.at, seq: self.recorded.seq }
    }

    /// A row of something that happened now.
    pub(super) fn point(&self, kind: &str, depth: u32) -> TraceRow {
        let now = self.now();
        TraceRow {
            kind: kind.to_owned(),
            depth,
            seq: now.seq,
            place: Some(self.recorded.place.to_string()),
            at: words::stamp(now.at),
            offset_ms: now.at.0.saturating_sub(self.tracer.start.0),
            ..TraceRow::default()
        }
    }

    /// A row of something that ended now.
    pub(super) fn span(&self, kind: &str, depth: u32, began: Began) -> TraceRow {
        TraceRow {
            began_seq: Some(began.seq),
            at: words::stamp(began.at),
            offset_ms: began.at.0.saturating_sub(self.tracer.start.0),
            duration_ms: Some(self.now().at.0.saturating_sub(began.at.0)),
            ..self.point(kind, depth)
        }
    }

    /// Hands a row out, if somebody wants it and has not seen it.
    pub(super) fn put(&mut self, about: About, row: TraceRow) {
        let (seq, index, number) = (self.recorded.seq, self.index as u64, self.rows);
        self.rows += 1;
        let task = match about {
            About::Run => None,
            About::Task(task) => Some(task),
        };
        if !self.tracer.wanted.wants(row.depth, task)
            || !self.tracer.given.is_before(seq, index, number)
        {
            return;
        }
        let row = TraceRow { id: format!("{seq}.{index}.{number}"), ..row };
        let row = match task {
            None => row,
            Some(task) => self.tracer.named(task, row),
        };
        self.tracer.pending.push_back(row);
    }

    /// The task, which is not over.
    pub(super) fn open(&mut self, task: TaskRef) -> &mut OpenTask {
        let mut began = self.now();
        // Children of a map stand in line from its expansion on.
        if task.child.is_some()
            && let Some(map) = self.tracer.maps.get(&task.node)
        {
            began = map.began;
        }
        self.tracer.tasks.entry(task).or_insert_with(|| OpenTask::new(began))
    }

    pub(super) fn take(&mut self, event: &Event, handle: &Handle) -> Result<(), RuntimeError> {
        match event {
            Event::WorkflowAdmitted(admission) => {
                // A second one is of the same version, without what was added since.
                self.tracer.plan.get_or_insert_with(|| admission.workflow.clone());
                self.tracer.admitted = Some(admitted_here(self.recorded, admission));
            }
            Event::RunAccepted(accepted) => self.accepted(accepted, handle)?,
            Event::RunStarted { admission } => {
                let mut row = self.point("admitted", 1);
                row.text = Some(format!("let in under admission {admission}"));
                row.details = details([field("admission", admission)]);
                self.put(About::Run, row);
                if self.tracer.told != Some(*admission) {
                    let admitted = self.admission(*admission, handle)?;
                    self.decisions(admitted.as_ref());
                }
            }
            Event::RunWaited { layer } => {
                let mut row = self.point("waits", 1);
                row.layer = Some(layer.to_string());
                row.text = Some("nobody holds the step of this layer".to_owned());
                self.put(About::Run, row);
            }
            Event::RunRecovered => self.plain("recovered", Some("after a restart of the instance")),
            Event::RunPaused { reason } => self.plain("paused", Some(reason)),
            Event::RunResumed { reason } => {
                self.plain("resumed", reason.as_ref().map(Text::as_str))
            }
            Event::RunParked => self.plain("parked", Some("somebody has to act")),
            Event::RunGathering => self.plain("gathering", None),
            Event::RunEnded(ended) => self.ended(ended),
            Event::RunPrioritized { .. }
            | Event::ScheduleFired(_)
            | Event::RunForked(_)
            | Event::TaskReused(_) => self.of_origin(event),
            Event::RunRetried { task, nodes, reason } => {
                self.tracer.is_over = false;
                let mut row = self.point("retried", 1);
                row.text = reason.as_ref().map(ToString::to_string);
                row.details = details([
                    field("from", TaskId { run: self.tracer.run, task: *task }),
                    field("tasks", nodes.len()),
                ]);
                self.put(About::Run, row);
            }
            _ => self.of_task(event),
        }
        Ok(())
    }

    /// How the run came to be, and what was changed about it since.
    fn of_origin(&mut self, event: &Event) {
        match event {
            Event::RunPrioritized { priority, reason } => {
                self.plain("prioritized", Some(&format!("{}: {reason}", priority.as_str())));
            }
            Event::ScheduleFired(fired) => {
                let mut row = self.point("scheduled", 1);
                row.text = Some(format!("by the schedule {}", fired.name));
                row.details = details([
                    field("schedule", &fired.name),
                    field("time", words::moment(fired.time)),
                    field("trigger", fired.trigger),
                ]);
                self.put(About::Run, row);
            }
            Event::RunForked(forked) => {
                let mut row = self.point("forked", 1);
                row.text = Some(format!("from {}: {}", forked.source, forked.reason));
                row.details = details([
                    field("source", forked.source),
                    field("at", forked.at),
                    field("head", forked.head.to_string()),
                ]);
                self.put(About::Run, row);
            }
            Event::TaskReused(reused) => {
                self.tracer.proof = reuse_proof(self.tracer.run, reused, self.tracer.proof);
                let mut row = self.point("reused", 1);
                row.text = Some("as it was in the source".to_owned());
                row.details = details([
                    field("source_proof", reused.proof.to_string()),
                    field("proof", self.tracer.proof.to_string()),
                ]);
                self.put(About::Task(TaskRef::node(reused.node)), row);
            }
            _ => {}
        }
    }

    fn plain(&mut self, kind: &str, text: Option<&str>) {
        let mut row = self.point(kind, 1);
        row.text = text.map(str::to_owned);
        self.put(About::Run, row);
    }

    /// An admission, from this history or from another run's.
    fn admission(&self, number: u64, handle: &Handle) -> Result<Option<Admitted>, RuntimeError> {
        match &self.tracer.admitted {
            Some(here) if here.admission.id == number => Ok(Some((**here).clone())),
            _ => handle.admission(number),
        }
    }

    fn accepted(&mut self, accepted: &RunAccepted, handle: &Handle) -> Result<(), RuntimeError> {
        let admitted = match accepted.admission {
            Some(number) => self.admission(number, handle)?,
            None => None,
        };
        let pending = accepted.pending.as_ref().map(|pending| &pending.authority);
        let caller = pending.or(admitted.as_ref().and_then(|it| it.admission.caller.as_ref()));
        let mut row = self.point("accepted", 1);
        let by = caller.map(|caller| format!("by {}, ", caller.subject())).unwrap_or_default();
        row.text = Some(format!("{by}priority {}", accepted.priority.as_str()));
        row.details = details([
            field("priority", accepted.priority.as_str()),
            field("input", accepted.input.hash().to_string()),
        ]);
        let optional = [
            accepted.deadline.map(|it| field("deadline", words::moment(it))),
            accepted.budget.map(|it| field("budget", words::amounts(it, u64::MAX))),
            accepted.key.as_ref().map(|it| field("key", &it.key)),
            accepted.admission.map(|it| field("admission", it)),
            caller.map(|it| field("caller", it.subject())),
            caller.map(|it| field("authority", it)),
            accepted.parent.as_ref().map(|it| field("parent", it.run)),
        ];
        row.details.extend(optional.into_iter().flatten());
        self.put(About::Run, row);
        self.decisions(admitted.as_ref());
        Ok(())
    }

    /// What each layer decided about the workflow version, wherever that was recorded.
    fn decisions(&mut self, admitted: Option<&Admitted>) {
        let Some(admitted) = admitted else { return };
        let admission = &admitted.admission;
        self.tracer.told = Some(admission.id);
        for decision in &admission.decisions {
            let mut row = self.point("decision", 1);
            if admitted.seq != row.seq {
                // It stands in another run's record, whose place is not read for this.
                row.place = None;
            }
            row.seq = admitted.seq;
            row.at = words::stamp(admitted.at);
            row.offset_ms = admitted.at.0.saturating_sub(self.tracer.start.0);
            row.layer = Some(decision.layer.to_string());
            row.agent = Some(decision.agent.to_string());
            row.state = Some("allow".to_owned());
            row.text = Some(decision.inputs.to_string());
            row.details = details([
                field("rules", &decision.rules),
                field("policy", admission.rules.to_string()),
                field("admission", admission.id),
                field("workflow", admission.workflow.hash.to_string()),
            ]);
            self.put(About::Run, row);
        }
    }

    fn ended(&mut self, ended: &RunEnded) {
        self.close_all();
        let began = Began { at: self.tracer.start, seq: 0 };
        let mut row = self.span("ended", 1, began);
        row.began_seq = None;
        row.state =
            serde_json::to_value(ended.end).ok().and_then(|it| Some(it.as_str()?.to_owned()));
        row.text = ended.failure.as_ref().map(in_words);
        row.spent = Some(words::amounts(self.tracer.spent, 0));
        row.details = details([field("proof", self.tracer.proof.to_string())]);
        row.details.extend(ended.failure.iter().map(|it| field("failure", words::failure(it))));
        row.details.extend(ended.output.iter().map(|it| field("output", it.hash().to_string())));
        self.tracer.is_over = true;
        self.put(About::Run, row);
    }
}

impl Tracer {
    /// What a task waits for that nobody works on.
    pub(super) fn awaited(&self, node: u32) -> String {
        let spec = self.plan.as_ref().and_then(|plan| plan.tasks.get(node as usize));
        spec.and_then(crate::show::awaited).unwrap_or_default()
    }

    /// The row with the name of its task.
    pub(super) fn named(&self, task: TaskRef, row: TraceRow) -> TraceRow {
        let spec = self.plan.as_ref().and_then(|plan| plan.tasks.get(task.node as usize));
        let name = spec.map_or_else(|| format!("#{}", task.node), |spec| spec.name.to_string());
        let name = match task.child {
            Some(child) => format!("{name}[{child}]"),
            None => name,
        };
        let id = TaskId { run: self.run, task }.to_string();
        TraceRow { task: Some(id), name: Some(name), ..row }
    }
}

/// A failure on one line.
pub(super) fn in_words(failure: &Failure) -> String {
    format!("{}: {}", failure.code, failure.message)
}

/// A field; plain data always has a JSON form.
pub(super) fn field(name: &str, value: impl Serialize) -> (String, Value) {
    (name.to_owned(), serde_json::to_value(value).unwrap_or_default())
}

pub(super) fn details<const N: usize>(fields: [(String, Value); N]) -> Map<String, Value> {
    fields.into_iter().collect()
}

/// When something comes that may never come.
pub(super) fn when(time: Option<Time>) -> Option<(String, Value)> {
    time.and_then(words::moment).map(|at| field("retry_at", at))
}
