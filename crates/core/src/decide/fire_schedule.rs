//! `FireSchedule`, `RunSchedule`: a schedule's time has come, or somebody wants a run of it now.
//!
//! The run is accepted in the record that says so and that names the next time: a crash neither
//! loses a time nor gives it two runs.

use std::sync::Arc;

use super::schedule::{known, plan_of};
use super::{nothing, of_instance, submit_run};
use crate::authority::Grant;
use crate::command::{FireSchedule, ScheduleName, SubmitRun};
use crate::error::{Failure, Kind, Rejected};
use crate::event::{
    Change, Event, RunOrigin, ScheduleFired, ScheduleSkip, ScheduleSkipped, SubmissionKey, Trigger,
};
use crate::limits::SCHEDULE_QUEUE_MAX;
use crate::rules::Rules;
use crate::schedule::{Overlap, Schedule};
use crate::state::State;
use crate::time::Time;

pub(super) fn decide(
    state: &State,
    rules: &dyn Rules,
    fire: FireSchedule,
    now: Time,
) -> Result<Change, Rejected> {
    let Some(schedule) = state.schedules.find(fire.schedule) else { return Ok(nothing(now)) };
    if let Some(time) = schedule.waiting_turn() {
        let begun =
            begin(state, rules, schedule, fired(schedule, time, Trigger::Queued).into(), now);
        return begun.or_else(|rejected| match rejected.code() {
            // It stands in line, and a freeze throws nothing away.
            "intake_frozen" => Err(rejected),
            // One that can never begin must not keep everybody else waiting.
            _ => refused(schedule, (time, Some(true)), rejected, now),
        });
    }
    let Some(due) = schedule.next.filter(|_| schedule.due().is_some_and(|at| at <= now)) else {
        return Ok(nothing(now));
    };
    let FireSchedule { time, next, is_missed, .. } = fire;
    if time < due || time > now || next.is_some_and(|next| next <= time) {
        let message = "a schedule's times are out of order";
        return Err(Rejected::new(Kind::Invalid, "schedule_invalid", message));
    }
    let since = (time > due).then_some(due);
    let skip = |cause| {
        let number = schedule.number;
        let skipped = ScheduleSkipped { schedule: number, time, next, cause, since, queued: None };
        of_instance(vec![Event::ScheduleSkipped(Box::new(skipped))], now)
    };
    if is_missed {
        return Ok(skip(ScheduleSkip::Missed));
    }
    match schedule.spec.overlap {
        Overlap::Skip if schedule.is_busy() => return Ok(skip(ScheduleSkip::Overlap)),
        Overlap::Queue if schedule.is_busy() || !schedule.waiting.is_empty() => {
            if schedule.waiting.len() >= SCHEDULE_QUEUE_MAX {
                return Ok(skip(ScheduleSkip::QueueFull));
            }
            let queued = Event::ScheduleQueued { schedule: schedule.number, time, next };
            return Ok(of_instance(vec![queued], now));
        }
        _ => {}
    }
    let fired = ScheduleFired { next, since, ..fired(schedule, time, Trigger::Due) };
    match begin(state, rules, schedule, fired.into(), now) {
        // It may be begun in a moment.
        Err(rejected) if rejected.is_passing() => Err(rejected),
        Err(rejected) => Ok(skip(ScheduleSkip::Refused(failure_of(&rejected)))),
        Ok(change) => Ok(change),
    }
}

/// A time whose run is refused for good is passed over, and the record says why.
fn refused(
    schedule: &Schedule,
    (time, queued): (Time, Option<bool>),
    rejected: Rejected,
    now: Time,
) -> Result<Change, Rejected> {
    if rejected.is_passing() {
        return Err(rejected);
    }
    let skipped = ScheduleSkipped {
        schedule: schedule.number,
        time,
        next: schedule.next,
        cause: ScheduleSkip::Refused(failure_of(&rejected)),
        since: None,
        queued,
    };
    Ok(of_instance(vec![Event::ScheduleSkipped(Box::new(skipped))], now))
}

fn failure_of(rejected: &Rejected) -> Failure {
    Failure::fatal(rejected.code(), rejected.to_string())
}

pub(super) fn manual(
    state: &State,
    rules: &dyn Rules,
    (name, key): (&ScheduleName, Option<SubmissionKey>),
    now: Time,
) -> Result<Change, Rejected> {
    let schedule = known(state, name)?;
    let due = Due { fired: fired(schedule, now, Trigger::Manual), key };
    begin(state, rules, schedule, due, now)
}

/// What a run of a schedule begins for.
struct Due {
    fired: ScheduleFired,
    /// Of whoever asked for it.
    key: Option<SubmissionKey>,
}

impl From<ScheduleFired> for Due {
    fn from(fired: ScheduleFired) -> Self {
        Due { fired, key: None }
    }
}

fn fired(schedule: &Schedule, time: Time, trigger: Trigger) -> ScheduleFired {
    let (number, name) = (schedule.number, schedule.spec.name.clone());
    ScheduleFired { schedule: number, name, time, trigger, next: None, since: None }
}

fn begin(
    state: &State,
    rules: &dyn Rules,
    schedule: &Schedule,
    Due { fired, key }: Due,
    now: Time,
) -> Result<Change, Rejected> {
    let spec = &schedule.spec;
    let run = schedule.run_id(fired.time, now);
    let submission = SubmitRun {
        run,
        namespace: schedule.namespace.clone(),
        workflow: plan_of(state, &spec.workflow)?,
        input: spec.input.clone(),
        grant: Arc::new(Grant::new(schedule.authority.clone())),
        priority: spec.priority,
        deadline: spec.deadline_ms.map(|time| now.plus(time)),
        start_at: None,
        budget: spec.budget,
        seed: run.0 as u64,
        key,
        parent: None,
    };
    let mut change = submit_run::decide(state, rules, submission, now)?;
    let (name, time, trigger) = (fired.name.clone(), fired.time, fired.trigger);
    let mut origin = Some(Box::new(RunOrigin::Schedule { name, time, trigger }));
    let accepted = change.events.iter_mut().position(|event| {
        let Event::RunAccepted(accepted) = event else { return false };
        accepted.origin = origin.take();
        true
    });
    change.events.insert(accepted.map_or(0, |at| at + 1), Event::ScheduleFired(fired));
    Ok(change)
}
