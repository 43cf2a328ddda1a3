//! The schedules of a deployment: those of the one before that it does not have are removed, and those
//! that somebody made by hand stay as they are.

use std::collections::BTreeSet;

use super::schedule;
use crate::deployment::{DeployedSchedule, DeployedSchedules, Deployment};
use crate::error::{Kind, Rejected};
use crate::event::{Event, SchedulePut};
use crate::limits::SCHEDULES_MAX;
use crate::schedule::Schedule;
use crate::state::State;
use crate::text::Text;
use crate::time::Time;

/// Why they cannot take effect as things stand.
pub(super) fn refuse(state: &State, deployment: &Deployment) -> Result<(), Rejected> {
    let Some(DeployedSchedules { namespace, list, .. }) = &deployment.schedules else {
        return Ok(());
    };
    for it in list {
        schedule::check(&it.spec)?;
        let name = &it.spec.name;
        if state.schedules.named(namespace, name).is_some_and(|known| !known.deployed) {
            let message = format!("a schedule `{name}` was made by hand");
            return Err(Rejected::new(Kind::Conflict, "schedule_taken", message).hint(
                "remove it, or give that of the manifest another name; nothing was changed",
            ));
        }
    }
    let by_hand = state.schedules.iter().filter(|it| !it.deployed).count();
    if by_hand + list.len() > SCHEDULES_MAX {
        return Err(schedule::too_many());
    }
    Ok(())
}

/// What becomes of the schedules when the deployment takes effect; `next`: when its own are due next,
/// in their order. Nothing, if they are there already.
pub(super) fn changes(state: &State, deployment: &Deployment, next: &[Option<Time>]) -> Vec<Event> {
    let names: BTreeSet<&Text> = deployment.schedules().iter().map(|it| &it.spec.name).collect();
    let namespace = deployment.schedules.as_ref().map(|it| &it.namespace);
    let stays = |it: &Schedule| Some(&it.namespace) == namespace && names.contains(&it.spec.name);
    let gone = state.schedules.iter().filter(|it| it.deployed && !stays(it));
    let reason = Text::from(format!("deployment {} does not have it", deployment.version));
    let mut events: Vec<Event> = gone
        .map(|it| Event::ScheduleRemoved { schedule: it.number, reason: reason.clone() })
        .collect();
    let Some(DeployedSchedules { namespace, authority, list }) = &deployment.schedules else {
        return events;
    };
    let mut number = state.schedules.next_number();
    for (place, DeployedSchedule { spec, seed }) in list.iter().enumerate() {
        let before = state.schedules.named(namespace, &spec.name);
        if before.is_some_and(|it| it.spec == *spec && it.authority == *authority) {
            continue;
        }
        let next = next.get(place).copied().flatten().filter(|_| !spec.is_paused);
        events.push(Event::SchedulePut(Box::new(SchedulePut {
            schedule: before.map_or(number, |it| it.number),
            namespace: namespace.clone(),
            spec: spec.clone(),
            authority: authority.clone(),
            seed: before.map_or(*seed, |it| it.seed),
            next,
            deployed: true,
        })));
        number += u64::from(before.is_none());
    }
    events
}
