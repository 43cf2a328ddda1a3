//! `ReportProbe`: what the sink of a probed effect says about a step that was left open.
//!
//! INVARIANT I3: a probed step that an attempt left open is tried again only after its sink has
//! said that it did not happen.

use super::attempt::{Claim, claim};
use super::draft::Draft;
use crate::error::{Kind, Rejected};
use crate::event::{Change, Event, ParkReason};
use crate::ids::{AgentIx, PtId};
use crate::plan::EffectClass;
use crate::state::State;
use crate::step::{Finding, StepKey, StepStanding};
use crate::time::Time;

/// What was answered, and who asked.
pub(super) struct Report {
    pub(super) pt: PtId,
    pub(super) agent: AgentIx,
    pub(super) key: StepKey,
    pub(super) finding: Finding,
}

pub(super) fn decide(state: &State, report: Report, now: Time) -> Result<Change, Rejected> {
    let Report { pt, agent, key, finding } = report;
    let run = match claim(state, pt, agent, now)? {
        Claim::Struck(change) => return Ok(change),
        Claim::Held(run) => run,
    };
    let step = run.task(pt.task).and_then(|it| it.steps.iter().find(|step| step.key == key));
    let step = step.ok_or_else(|| {
        Rejected::new(Kind::NotFound, "step_not_found", "the task has no such step")
    })?;
    let is_asked = step.class == EffectClass::Probed && step.standing == StepStanding::Open;
    if !is_asked || step.fence != pt.fence {
        return Err(Rejected::new(Kind::Conflict, "step_settled", "the step is not open"));
    }
    let mut draft = Draft::new(state, run, now);
    let cannot_tell = finding == Finding::Unknown;
    draft.push(Event::StepProbed { task: pt.task, key, finding });
    if cannot_tell {
        draft.push(Event::StepInDoubt { task: pt.task, key });
        let message = "its probe cannot tell whether an effect happened";
        draft.park(pt.task, ParkReason::InDoubt, message);
    }
    Ok(draft.finish())
}
