//! `apply` for runs that wait on disk: into the backlog, and out of it into memory.

use std::sync::Arc;

use super::State;
use crate::backlog::{Accepted, Under, Waiting};
use crate::event::{Admission, RunAccepted};
use crate::ids::RunId;
use crate::payload::Payload;
use crate::run::Run;
use crate::time::Time;

impl State {
    /// A run that was just accepted waits on disk: its record is the one being applied.
    pub(super) fn put_aside(&mut self, id: RunId, accepted: &RunAccepted, under: Under) {
        let waiting = Accepted {
            run: id,
            seq: self.changes,
            at: self.now,
            deadline: accepted.deadline,
            priority: accepted.priority,
            start: accepted.start_at,
        };
        self.backlog.put(&waiting, under);
        if self.children.contains_key(&id) {
            self.children_on_disk.insert(id);
        }
    }

    pub(super) fn load(&mut self, id: RunId, accepted: Option<&RunAccepted>) {
        let Some((waiting, under)) = self.backlog.take(id) else { return };
        self.load_child(id);
        let number = accepted.and_then(|accepted| accepted.admission);
        let own = under.admission().filter(|own| number == Some(own.id));
        let admission = own.or_else(|| self.admissions.get(&number?)).cloned();
        let schedule = self.schedules.of_run(id).map(|it| it.number);
        let run = Run::loaded(&waiting, &under, accepted, admission);
        self.take_in(Run { schedule, ..run });
    }
}

impl Run {
    /// A run that waited on disk, as its record says; none: as far as memory knows it. What can begin
    /// at once has been ready since it was accepted, or since its time came, so that it keeps its turn.
    pub(crate) fn loaded(
        waiting: &Waiting,
        under: &Under,
        accepted: Option<&RunAccepted>,
        admission: Option<Arc<Admission>>,
    ) -> Self {
        let known = RunAccepted {
            admission: None,
            pending: None,
            input: Payload::null(),
            priority: waiting.priority,
            deadline: Some(waiting.deadline).filter(|at| *at != Time::NEVER),
            budget: None,
            seed: 0,
            key: None,
            waits: None,
            start_at: None,
            parent: None,
            origin: None,
        };
        let accepted = accepted.unwrap_or(&known);
        let (namespace, workflow) = (under.namespace().clone(), under.workflow().clone());
        let mut run = Run::accepted(waiting.run, namespace, workflow, accepted, waiting.accepted);
        let ready = accepted.start_at.unwrap_or_default().max(waiting.accepted);
        if admission.is_some() {
            for (task, spec) in run.tasks.iter_mut().zip(&run.workflow.tasks) {
                if spec.needs.is_empty() && !spec.is_fallback {
                    task.ready_at = ready;
                }
            }
        }
        // Somebody may have changed it since its record was written.
        Run { admission, priority: waiting.priority, ..run }
    }
}
