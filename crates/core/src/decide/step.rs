//! `IntendStep`, `SettleStep`, `ResolveStep`: the recorded effects of an attempt.
//!
//! INVARIANT I10: an external effect begins only after its intent is durable; the loop holds the
//! go-ahead back until then.

use super::attempt::{Claim, claim};
use super::draft::Draft;
use super::outcome::with_causes;
use super::{nothing, of_run};
use crate::authority::Need;
use crate::budget::Amounts;
use crate::command::IntendStep;
use crate::error::{Failure, Kind, Rejected};
use crate::event::{Change, Event, ParkReason, Resolution, StepIntended};
use crate::ids::{PtId, RunId, TaskRef};
use crate::layer::Layer;
use crate::limits::{STALL_REPEATS_MAX, STEPS_MAX};
use crate::rules::{Act, Question, Rules};
use crate::run::{Run, Task, TaskState};
use crate::state::State;
use crate::step::{GIVEN_UP, Step, StepKey, StepName, StepOutcome, StepStanding};
use crate::text::Text;
use crate::time::Time;

/// What every step reserves besides what its caller asks for.
const STEP_COST: Amounts = Amounts { steps: 1, ..Amounts::ZERO };

/// The outcome of a step.
pub(super) struct Settlement {
    pub(super) pt: PtId,
    pub(super) key: StepKey,
    pub(super) outcome: StepOutcome,
    pub(super) spent: Amounts,
}

/// A person's word about a step in doubt.
pub(super) struct Verdict {
    pub(super) run: RunId,
    pub(super) key: StepKey,
    pub(super) resolution: Resolution,
    pub(super) reason: Text,
}

/// The key of the step that an intent is about.
pub(super) fn key_of(task: &Task, intent: &IntendStep) -> StepKey {
    StepName {
        run: intent.pt.run,
        task: intent.pt.task,
        generation: task.generation,
        number: intent.number,
        tool: &intent.tool,
        arguments: intent.arguments,
    }
    .key()
}

/// What is known of a step that an attempt is about to try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Known<'a> {
    /// Nothing that is in its way.
    Nothing,
    /// This came of it.
    Outcome(&'a StepOutcome),
    /// An earlier attempt left it open: ask whether it happened.
    LeftOpen,
}

/// The key of the step that an intent is about, and what is known of it.
pub(super) fn known_step<'a>(
    state: &'a State,
    intent: &IntendStep,
) -> Option<(StepKey, Known<'a>)> {
    let task = state.runs.get(&intent.pt.run)?.task(intent.pt.task)?;
    let key = key_of(task, intent);
    let Some(step) = task.steps.iter().find(|step| step.key == key) else {
        return Some((key, Known::Nothing));
    };
    let known = match &step.standing {
        StepStanding::Settled(_) if is_tried_again(step, intent.pt) => Known::Nothing,
        StepStanding::Settled(outcome) => Known::Outcome(outcome),
        StepStanding::Open if step.is_to_be_probed(intent.pt.fence) => Known::LeftOpen,
        StepStanding::Open | StepStanding::InDoubt => Known::Nothing,
    };
    Some((key, known))
}

/// Whether this attempt tries a step again that failed in an earlier one.
fn is_tried_again(step: &Step, pt: PtId) -> bool {
    step.may_be_retried() && step.fence != pt.fence
}

pub(super) fn intend(
    state: &State,
    rules: &dyn Rules,
    intent: IntendStep,
    now: Time,
) -> Result<Change, Rejected> {
    let run = match claim(state, intent.pt, intent.agent, now)? {
        Claim::Held(run) => run,
        Claim::Struck(change) => return Ok(change),
    };
    let Some(it) = run.task(intent.pt.task) else { return Ok(nothing(now)) };
    let key = key_of(it, &intent);
    let reserved = STEP_COST.plus(intent.reserve);
    let step = it.steps.iter().find(|step| step.key == key);
    if let Some(answer) = step.and_then(|step| known(step, intent.pt, now)) {
        return answer;
    }
    // One that is open has its reservation.
    if step.is_none_or(|step| step.standing != StepStanding::Open) {
        if intent.number >= STEPS_MAX {
            return Err(Rejected::new(Kind::Exhausted, "too_many_steps", "too many steps"));
        }
        let draft = Draft::new(state, run, now);
        draft.check_budget(reserved).map_err(|failure| {
            Rejected::new(Kind::Exhausted, "budget_exhausted", &*failure.message)
        })?;
    }
    permit(state, rules, run, &intent, now)?;
    let intended = StepIntended {
        task: intent.pt.task,
        key,
        number: intent.number,
        tool: intent.tool,
        arguments: intent.arguments,
        class: intent.class,
        reserved,
        fence: intent.pt.fence,
    };
    Ok(of_run(run.id, vec![Event::StepIntended(Box::new(intended))], now))
}

/// What is known of a step already; none: it may be tried again.
fn known(step: &Step, pt: PtId, now: Time) -> Option<Result<Change, Rejected>> {
    match step.standing {
        StepStanding::Settled(_) if is_tried_again(step, pt) => None,
        StepStanding::Settled(_) => Some(Ok(nothing(now))),
        StepStanding::InDoubt => Some(Err(Rejected::new(
            Kind::Conflict,
            "step_in_doubt",
            "nobody knows whether this step happened",
        ))),
        StepStanding::Open if step.fence == pt.fence => Some(Err(Rejected::new(
            Kind::Conflict,
            "step_open",
            "this attempt has intended this step already",
        ))),
        StepStanding::Open => None,
    }
}

fn permit(
    state: &State,
    rules: &dyn Rules,
    run: &Run,
    intent: &IntendStep,
    now: Time,
) -> Result<(), Rejected> {
    let denied = |why: String| Rejected::new(Kind::Denied, "authority_denied", why);
    let authority = run.admission.as_ref().and_then(|it| it.authorities.last());
    let authority = authority.ok_or_else(|| denied("the run has no authority".to_owned()))?;
    let scope = format!("tool:{}", intent.tool);
    let need = Need { scope: &scope, layer: Layer::Specialist, now, revoked: &state.revoked };
    authority.covers(&need).map_err(|denial| denied(denial.to_string()))?;
    let act = Act::PerformStep { tool: &intent.tool, class: intent.class };
    let question = Question { act, authority, mode: state.mode() };
    super::admission::allowed(&rules.judge(&question))
}

pub(super) fn settle(state: &State, settlement: Settlement, now: Time) -> Result<Change, Rejected> {
    let Settlement { pt, key, outcome, spent } = settlement;
    let stale = || Rejected::new(Kind::Conflict, "stale_fence", "the token is not in use any more");
    let run = state.runs.get(&pt.run).ok_or_else(stale)?;
    let it = run.task(pt.task).ok_or_else(stale)?;
    if it.active.as_ref().is_none_or(|active| active.fence != pt.fence) {
        return Err(stale());
    }
    let step = it.steps.iter().find(|step| step.key == key).ok_or_else(|| {
        Rejected::new(Kind::NotFound, "step_not_found", "the task has no such step")
    })?;
    if step.standing != StepStanding::Open || step.fence != pt.fence {
        return Err(Rejected::new(Kind::Conflict, "step_settled", "the step is not open"));
    }
    let mut draft = Draft::new(state, run, now);
    let settled = Step { standing: StepStanding::Settled(outcome.clone()), ..step.clone() };
    draft.push(Event::StepSettled { task: pt.task, key, outcome, spent });
    if repeats(it, &settled) + 1 >= STALL_REPEATS_MAX {
        draft.park(
            pt.task,
            ParkReason::Stalled,
            "the same call with the same result, again and again",
        );
    }
    Ok(draft.finish())
}

/// How often the same call with the same result is there already.
fn repeats(task: &Task, step: &Step) -> u32 {
    let same = |other: &&Step| {
        other.key != step.key
            && other.tool == step.tool
            && other.arguments == step.arguments
            && matches!(other.standing, StepStanding::Settled(_))
            && other.result() == step.result()
    };
    task.steps.iter().filter(same).count() as u32
}

pub(super) fn resolve(state: &State, verdict: Verdict, now: Time) -> Result<Change, Rejected> {
    let sketch = state.sketch(verdict.run);
    let known = sketch.as_ref().or_else(|| state.runs.get(&verdict.run));
    let run = known.ok_or_else(|| super::run_control::not_found(verdict.run))?;
    let task = task_in_doubt(run, verdict.key).ok_or_else(|| {
        Rejected::new(Kind::Conflict, "step_not_in_doubt", "the run has no such step in doubt")
            .hint("`ark-os get RUN` lists the steps in doubt")
    })?;
    let mut draft = Draft::new(state, run, now);
    let gives_up = verdict.resolution == Resolution::GiveUp;
    draft.push(Event::StepResolved {
        task,
        key: verdict.key,
        resolution: verdict.resolution,
        reason: verdict.reason,
    });
    let Some(it) = run.task(task).filter(|it| it.state == TaskState::Parked) else {
        // The task is over and stays so; only the books are put right.
        return Ok(of_run(run.id, draft.events, now));
    };
    let doubts = it.steps.iter().filter(|step| step.standing == StepStanding::InDoubt).count();
    if gives_up {
        draft.moved += 1;
        let failure = Failure::fatal(GIVEN_UP, "nobody can tell whether its effect happened");
        draft.fail(task, with_causes(failure, it));
    } else if doubts == 1 {
        draft.moved += 1;
        draft.woke = true;
        draft.push(Event::TaskUnparked { task, reason: None });
    }
    Ok(draft.finish())
}

fn task_in_doubt(run: &Run, key: StepKey) -> Option<TaskRef> {
    let has = |task: &Task| {
        task.steps.iter().any(|it| it.key == key && it.standing == StepStanding::InDoubt)
    };
    run.live_tasks(has).first().copied()
}
