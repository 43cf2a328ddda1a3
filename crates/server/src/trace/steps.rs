//! Rows of what is inside an attempt: steps, leases, checkpoints.

use ark_os_api::TraceRow;
use ark_os_core::Event;
use ark_os_core::event::{Resolution, StepIntended};
use ark_os_core::ids::TaskRef;
use ark_os_core::step::{StepKey, StepOutcome};

use super::open::OpenStep;
use super::rows::{About, Making, details, field, in_words};
use crate::words;

impl Making<'_> {
    pub(super) fn of_step(&mut self, event: &Event) {
        match event {
            Event::LeaseRenewed { task, until } => {
                let mut row = self.point("lease", 4);
                row.details = details([field("until", words::moment(*until))]);
                self.put(About::Task(*task), row);
            }
            Event::ProgressMade { task, checkpoint } => {
                let mut row = self.point("checkpoint", 4);
                let is_new = checkpoint.is_some();
                row.state = Some(if is_new { "new" } else { "nothing_new" }.to_owned());
                row.details.extend(checkpoint.map(|it| field("checkpoint", it.to_string())));
                self.put(About::Task(*task), row);
            }
            Event::StepIntended(step) => self.intended(step),
            Event::StepSettled { task, key, outcome, spent } => {
                self.count(*task, *spent);
                let Some(step) = self.step_over(*task, *key) else { return };
                let mut row = self.step_row(&step);
                row.spent = Some(words::amounts(*spent, 0));
                match outcome {
                    StepOutcome::Done(result) => {
                        row.state = Some("done".to_owned());
                        row.details.extend([field("result", result.hash().to_string())]);
                    }
                    StepOutcome::Failed(failure) => {
                        row.state = Some("failed".to_owned());
                        row.text = Some(format!("{}: {}", step.tool, in_words(failure)));
                        row.details.extend([field("failure", words::failure(failure))]);
                    }
                }
                self.put(About::Task(*task), row);
            }
            Event::StepInDoubt { task, key } => {
                let mut row = self.point("step_in_doubt", 4);
                row.state = Some("in_doubt".to_owned());
                row.details = details([field("step", key.0.to_string())]);
                self.put(About::Task(*task), row);
            }
            Event::StepResolved { task, key, resolution, reason } => {
                self.step_over(*task, *key);
                let mut row = self.point("step_resolved", 4);
                let state = match resolution {
                    Resolution::Happened(_) => "happened",
                    Resolution::NotHappened => "not_happened",
                    Resolution::GiveUp => "given_up",
                };
                row.state = Some(state.to_owned());
                row.text = Some(reason.to_string());
                row.details = details([field("step", key.0.to_string())]);
                self.put(About::Task(*task), row);
            }
            _ => {}
        }
    }

    fn intended(&mut self, step: &StepIntended) {
        let began = self.now();
        let steps = &mut self.open(step.task).steps;
        steps.retain(|known| known.key != step.key);
        steps.push(OpenStep {
            began,
            key: step.key,
            number: step.number,
            tool: step.tool.clone(),
            arguments: step.arguments,
            class: step.class,
            reserved: step.reserved,
            fence: step.fence,
        });
    }

    fn step_over(&mut self, task: TaskRef, key: StepKey) -> Option<OpenStep> {
        let steps = &mut self.tracer.tasks.get_mut(&task)?.steps;
        let place = steps.iter().position(|step| step.key == key)?;
        Some(steps.remove(place))
    }

    fn step_row(&self, step: &OpenStep) -> TraceRow {
        let mut row = self.span("step", 4, step.began);
        tell_step(step, &mut row);
        row
    }

    /// Steps that a task leaves behind without an outcome.
    pub(super) fn steps_left(&mut self, task: TaskRef) {
        let open = self.tracer.tasks.get_mut(&task);
        let steps = open.map(|open| std::mem::take(&mut open.steps)).unwrap_or_default();
        for step in steps {
            let mut row = self.step_row(&step);
            row.state = Some("unknown".to_owned());
            self.put(About::Task(task), row);
        }
    }
}

/// What is known of a step from its intent.
pub(super) fn tell_step(step: &OpenStep, row: &mut TraceRow) {
    row.text = Some(step.tool.to_string());
    row.reserved = Some(words::amounts(step.reserved, 0));
    row.details = details([
        field("step", step.key.0.to_string()),
        field("number", step.number),
        field("tool", &step.tool),
        field("class", step.class.as_str()),
        field("arguments", step.arguments.to_string()),
        field("fence", step.fence),
    ]);
}
