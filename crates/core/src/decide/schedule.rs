//! `PutSchedule`, `SetSchedule`, `RemoveSchedule`: what people do to schedules.

use std::sync::Arc;

use super::{nothing, of_instance};
use crate::command::{PutSchedule, ScheduleName};
use crate::error::{Kind, Rejected};
use crate::event::{Change, Event, SchedulePut};
use crate::limits::{
    CRON_BYTES_MAX, SCHEDULE_CATCH_UP_MAX, SCHEDULE_JITTER_MS_MAX, SCHEDULES_MAX, ZONE_BYTES_MAX,
};
use crate::plan::Workflow;
use crate::schedule::{CatchUp, Planned, Schedule, ScheduleSpec};
use crate::state::State;
use crate::text::Text;
use crate::time::Time;

/// Characters of a name.
const NAME_CHARS_MAX: usize = 100;

pub(super) fn put(state: &State, put: PutSchedule, now: Time) -> Result<Change, Rejected> {
    let PutSchedule { namespace, spec, grant, seed, next } = put;
    check(&spec)?;
    plan_of(state, &spec.workflow)?;
    if next.is_some_and(|next| next <= now) {
        return Err(invalid("the next time of the schedule has passed"));
    }
    let next = next.filter(|_| !spec.is_paused);
    let before = state.schedules.named(&namespace, &spec.name);
    let is_same = |it: &Schedule| it.spec == spec && it.authority == *grant.authority();
    if before.is_some_and(|it| is_same(it) && !it.deployed) {
        return Ok(nothing(now));
    }
    if before.is_none() && state.schedules.len() >= SCHEDULES_MAX {
        return Err(too_many());
    }
    let schedule = before.map_or(state.schedules.next_number(), |it| it.number);
    let seed = before.map_or(seed, |it| it.seed);
    let authority = grant.authority().clone();
    let put = SchedulePut { schedule, namespace, spec, authority, seed, next, deployed: false };
    Ok(of_instance(vec![Event::SchedulePut(Box::new(put))], now))
}

/// What is to become of a schedule.
pub(super) struct Setting {
    pub(super) is_paused: bool,
    pub(super) next: Option<Time>,
    pub(super) reason: Text,
}

pub(super) fn set(
    state: &State,
    name: &ScheduleName,
    setting: Setting,
    now: Time,
) -> Result<Change, Rejected> {
    let Setting { is_paused, next, reason } = setting;
    let schedule = known(state, name)?;
    if schedule.spec.is_paused == is_paused {
        return Ok(nothing(now));
    }
    if next.is_some_and(|next| next <= now) {
        return Err(invalid("the next time of the schedule has passed"));
    }
    let (schedule, next) = (schedule.number, next.filter(|_| !is_paused));
    Ok(of_instance(vec![Event::ScheduleChanged { schedule, is_paused, next, reason }], now))
}

pub(super) fn remove(
    state: &State,
    name: &ScheduleName,
    reason: Text,
    now: Time,
) -> Result<Change, Rejected> {
    let schedule = known(state, name)?.number;
    Ok(of_instance(vec![Event::ScheduleRemoved { schedule, reason }], now))
}

pub(super) fn known<'a>(state: &'a State, name: &ScheduleName) -> Result<&'a Schedule, Rejected> {
    state.schedules.named(&name.namespace, &name.name).ok_or_else(|| {
        let message = format!("there is no schedule `{}`", name.name);
        Rejected::new(Kind::NotFound, "schedule_not_found", message)
            .hint("`ark-os schedule list` shows what there is")
    })
}

/// The plan that a schedule's runs follow now.
pub(super) fn plan_of(state: &State, planned: &Planned) -> Result<Arc<Workflow>, Rejected> {
    match planned {
        Planned::Inline(workflow) => Ok(workflow.clone()),
        Planned::Named(name) => state.deployments.workflow(name).cloned().ok_or_else(|| {
            let message = format!("no workflow `{name}` is deployed");
            Rejected::new(Kind::NotFound, "workflow_not_found", message)
                .hint("deploy it, or give the workflow itself")
        }),
    }
}

pub(super) fn too_many() -> Rejected {
    Rejected::new(Kind::Exhausted, "too_many_schedules", "too many schedules")
        .hint("delete some; `ark-os schedule list` shows what there is")
}

pub(super) fn check(spec: &ScheduleSpec) -> Result<(), Rejected> {
    let is_named = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if spec.name.is_empty() || spec.name.len() > NAME_CHARS_MAX || !spec.name.chars().all(is_named)
    {
        return Err(invalid("a schedule's name has 1 to 100 of `[A-Za-z0-9_-]`"));
    }
    if spec.cron.len() > CRON_BYTES_MAX || spec.zone.len() > ZONE_BYTES_MAX {
        return Err(invalid("the schedule's pattern or time zone is too long"));
    }
    if spec.jitter_ms.is_some_and(|jitter| jitter > SCHEDULE_JITTER_MS_MAX) {
        return Err(invalid("the jitter of a schedule is at most a day"));
    }
    match spec.catch_up {
        CatchUp::All { max } if max == 0 || max > SCHEDULE_CATCH_UP_MAX => {
            Err(invalid("a schedule makes up for 1 to 1000 missed times"))
        }
        _ => Ok(()),
    }
}

fn invalid(message: &str) -> Rejected {
    Rejected::new(Kind::Invalid, "schedule_invalid", message)
}
