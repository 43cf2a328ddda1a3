//! Somebody's own workflow in this world: who runs it, who works on it, and how it came out.

use std::collections::BTreeMap;
use std::sync::Arc;

use ark_os_core::Event;
use ark_os_core::command::SubmitRun;
use ark_os_core::error::Failure;
use ark_os_core::event::{RunEnd, SubmissionKey};
use ark_os_core::fleet::SkillInfo;
use ark_os_core::hash::Hash;
use ark_os_core::ids::RunId;
use ark_os_core::priority::Priority;
use ark_os_core::text::Text;
use ark_os_runtime::data;

use super::agents::Begun;
use super::{Profile, World};
use crate::fault_kinds::FaultKind;
use crate::plans;
use crate::rng::Rng;
use crate::subject::{Desk, Question, RunReport, SUBJECT_RUNS};
use crate::violation::Check;

/// How often a submission is tried that the disk has refused, and how long it takes each time, in
/// microseconds.
const SUBMISSIONS_MAX: u32 = 20;
const SUBMISSION_TAKES: u64 = 1_000_000;

impl Profile {
    /// Faults come often, for a workflow takes seconds; and no limit that its author did not set
    /// gets in its way.
    pub(super) fn suit_subject(&mut self, rng: &mut Rng) {
        self.fault_ms = *rng.pick(&[300, 1_000, 4_000]).unwrap_or(&1_000);
        self.act_ms = *rng.pick(&[400, 1_500]).unwrap_or(&400);
        self.bad_agents = *rng.pick(&[100, 200, 300]).unwrap_or(&100);
        self.has_poison = false;
        self.agents = self.agents.max(6);
        self.runs_resident_max = None;
        self.namespace_budget = ark_os_core::budget::Amounts::UNLIMITED;
    }
}

impl World {
    /// The skills of the fleet.
    pub(super) fn skill_infos(&self) -> Vec<SkillInfo> {
        let ours = plans::skill_infos();
        let Some(subject) = &self.subject else { return ours };
        let mut skills = subject.skills.clone();
        let others = ours.into_iter();
        skills.extend(others.filter(|it| subject.skills.iter().all(|known| known.name != it.name)));
        skills
    }

    /// What an agent of the workflow presents, if it does what it should.
    pub(super) fn answer_of(
        &self,
        begun: &Begun,
        input: &[u8],
    ) -> Option<Result<Arc<[u8]>, Failure>> {
        let subject = self.subject.as_ref()?;
        let node = self.node.as_ref()?;
        let (state, pt) = (node.lp.state(), begun.pt);
        let run = state.run(pt.run)?;
        let spec = run.spec(pt.task.node)?;
        let items = data::items_of(run, pt.task.node);
        let loaded = items.iter().map(|item| node.payloads.load(item).map(|it| it.to_vec()));
        let desk = Desk {
            items: loaded.collect::<Result<_, _>>().ok()?,
            number: run.task(pt.task).map_or(1, |task| task.attempt),
            run: pt.run.to_string(),
            task: spec.name.to_string(),
        };
        let asked = Question {
            task: &spec.name,
            skill: &spec.skill,
            class: begun.class,
            output_schema: spec.output_schema.as_deref(),
            input,
        };
        Some(subject.answer(asked, &desk).map(Arc::from))
    }

    /// Somebody submits the workflow, again out of mere doubt, or looks on.
    pub(super) fn act_on_subject(&mut self) {
        match self.rng.weighted(&[4, 2, 2, 1]) {
            0 => self.submit(),
            1 if self.faults.has(FaultKind::Duplicate) => {
                if self.clients.has_answered() {
                    self.may(FaultKind::Duplicate, "a submission comes twice");
                }
                self.submit_once_more();
            }
            2 => self.watch(),
            _ => self.look(),
        }
    }

    pub(super) fn submission_of_subject(&mut self) -> Option<Box<SubmitRun>> {
        let subject = self.subject.clone()?;
        let run = self.draw_run();
        let input = self.node.as_ref()?.payloads.save(subject.input.clone()).ok()?;
        let request = Hash::of_parts(&[&subject.workflow.hash.0, &input.hash().0]);
        let key = SubmissionKey { key: format!("subject-{}", run.0).into(), request };
        Some(Box::new(SubmitRun {
            run,
            namespace: Text::from("default"),
            workflow: subject.workflow.clone(),
            input,
            grant: self.clients.operator(),
            priority: Priority::Normal,
            deadline: None,
            start_at: None,
            budget: None,
            seed: self.rng.draw(),
            key: Some(key),
            parent: None,
        }))
    }

    /// What the storm kept from being submitted is submitted when it is over.
    pub(super) fn submit_the_rest(&mut self) -> Check {
        if self.subject.is_none() {
            return Ok(());
        }
        for _ in 0..SUBMISSIONS_MAX {
            self.run_until(self.now + SUBMISSION_TAKES)?;
            if self.node.is_some() {
                self.submit();
            }
        }
        Ok(())
    }

    /// When the storm is over people do for the runs of the workflow what these wait for, before their
    /// time is over.
    pub(super) fn look_after_subject(&mut self) {
        if self.subject.is_some() {
            self.resolve();
            self.unpark();
            self.signal_all();
        }
    }

    /// A signal that a run waits for.
    pub(super) fn awaited_signal(&self, run: Option<RunId>) -> Option<Text> {
        let state = self.node.as_ref()?.lp.state();
        state.run(run?)?.awaited().into_iter().next()
    }

    /// How the runs of the workflow came out, as the journal has it.
    pub(crate) fn run_reports(&self) -> Vec<RunReport> {
        if self.subject.is_none() {
            return Vec::new();
        }
        let mut reports: BTreeMap<RunId, RunReport> = BTreeMap::new();
        for (run, event) in self.checker.run_events() {
            if let Event::RunAccepted(accepted) = event
                && accepted.parent.is_none()
            {
                let id = run.to_string();
                let fresh = RunReport { id, end: None, failure: None, attempts: 0, parked: 0 };
                reports.insert(run, fresh);
            }
            let Some(report) = reports.get_mut(&run) else { continue };
            match event {
                Event::AttemptStarted(_) => report.attempts += 1,
                Event::TaskParked { .. } => report.parked += 1,
                Event::RunEnded(ended) => {
                    let end = match ended.end {
                        RunEnd::Succeeded => "succeeded",
                        RunEnd::Failed => "failed",
                        RunEnd::Cancelled => "cancelled",
                    };
                    report.end = Some(end.to_owned());
                    report.failure = ended.failure.as_ref().map(|it| it.message.to_string());
                }
                _ => {}
            }
        }
        reports.into_values().take(SUBJECT_RUNS).collect()
    }
}
