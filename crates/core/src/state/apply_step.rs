//! `apply` for steps: intents, outcomes, probes, doubts.

use super::apply::Scope;
use crate::budget::Amounts;
use crate::error::Failure;
use crate::event::{Resolution, StepIntended};
use crate::ids::TaskRef;
use crate::run::Task;
use crate::step::{Finding, GIVEN_UP, Step, StepKey, StepOutcome, StepStanding};

impl Scope<'_> {
    pub(super) fn intend(&mut self, intended: &StepIntended) {
        let step = Step {
            key: intended.key,
            number: intended.number,
            tool: intended.tool.clone(),
            arguments: intended.arguments,
            class: intended.class,
            fence: intended.fence,
            reserved: intended.reserved,
            standing: StepStanding::Open,
        };
        let is_reserved = self.with(intended.task, |it| match it.step_mut(step.key) {
            Some(known) => {
                // One that failed has given back what was reserved for it.
                let was_open = known.standing == StepStanding::Open;
                if !was_open {
                    known.reserved = step.reserved;
                }
                known.fence = step.fence;
                known.standing = StepStanding::Open;
                was_open
            }
            None => {
                it.steps.push(step);
                false
            }
        });
        if is_reserved == Some(false) {
            self.run.account.reserve(intended.reserved);
            self.account.reserve(intended.reserved);
        }
    }

    pub(super) fn settle(
        &mut self,
        task: TaskRef,
        key: StepKey,
        outcome: StepOutcome,
        spent: Amounts,
    ) {
        let reserved = self.with(task, |it| {
            it.partials = 0;
            let step = it.step_mut(key)?;
            step.standing = StepStanding::Settled(outcome);
            Some(std::mem::take(&mut step.reserved))
        });
        if let Some(reserved) = reserved.flatten() {
            self.run.account.settle(reserved, spent);
            self.account.settle_below(reserved, spent);
        }
    }

    /// What a probe said: a step that happened in an earlier attempt is charged in full, because
    /// nobody knows what it cost.
    pub(super) fn probe(&mut self, task: TaskRef, key: StepKey, finding: &Finding) {
        let Finding::Happened(result) = finding else { return };
        let reserved = self.with(task, |it| it.step_mut(key).map(|step| step.reserved)).flatten();
        let outcome = StepOutcome::Done(result.clone());
        self.settle(task, key, outcome, reserved.unwrap_or_default());
    }

    pub(super) fn doubt(&mut self, task: TaskRef, key: StepKey) {
        self.with(task, |it| {
            if let Some(step) = it.step_mut(key) {
                step.standing = StepStanding::InDoubt;
            }
        });
    }

    /// A task that is over settles no step any more: what is still reserved for repeatable ones
    /// is charged in full, since they may have happened. Those in doubt wait for a person.
    pub(super) fn close_steps(&mut self, task: TaskRef) {
        let reserved = self.with(task, |it| {
            let open = it.steps.iter_mut().filter(|step| step.standing == StepStanding::Open);
            open.fold(Amounts::ZERO, |sum, step| sum.plus(std::mem::take(&mut step.reserved)))
        });
        if let Some(reserved) = reserved.filter(|reserved| !reserved.is_zero()) {
            self.run.account.settle(reserved, reserved);
            self.account.settle_below(reserved, reserved);
        }
    }

    /// An attempt that was ended leaves it open whether its last effects happened.
    pub(super) fn doubt_open_steps(&mut self, task: TaskRef) {
        self.with(task, |it| {
            for step in &mut it.steps {
                if step.standing == StepStanding::Open && !step.class.is_repeatable() {
                    step.standing = StepStanding::InDoubt;
                }
            }
        });
    }

    /// A step in doubt is charged in full unless it did not happen.
    pub(super) fn resolve(&mut self, task: TaskRef, key: StepKey, resolution: &Resolution) {
        let reserved = self.with(task, |it| {
            let step = it.step_mut(key)?;
            let reserved = std::mem::take(&mut step.reserved);
            match resolution {
                Resolution::Happened(result) => {
                    step.standing = StepStanding::Settled(StepOutcome::Done(result.clone()));
                }
                Resolution::GiveUp => {
                    let failure = Failure::fatal(GIVEN_UP, "nobody can tell whether it happened");
                    step.standing = StepStanding::Settled(StepOutcome::Failed(failure));
                }
                Resolution::NotHappened => it.steps.retain(|step| step.key != key),
            }
            Some(reserved)
        });
        let Some(reserved) = reserved.flatten() else { return };
        if *resolution == Resolution::NotHappened {
            self.run.account.release(reserved);
            self.account.release(reserved);
        } else {
            self.run.account.settle(reserved, reserved);
            self.account.settle_below(reserved, reserved);
        }
    }
}

impl Task {
    fn step_mut(&mut self, key: StepKey) -> Option<&mut Step> {
        self.steps.iter_mut().find(|step| step.key == key)
    }
}
