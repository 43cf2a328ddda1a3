//! `StartInstance` and `SetIntake`: the instance as a whole.

use crate::event::{Event, InstanceStarted, Intake};
use crate::state::State;
use crate::text::Text;

pub(super) fn start(state: &State, started: InstanceStarted) -> Vec<Event> {
    let profile = super::deploy::profile_at_start(state, &started);
    let mut events = vec![Event::InstanceStarted(Box::new(started))];
    events.extend(profile);
    events.extend(super::deploy::interrupted(state));
    events
}

pub(super) fn set_intake(state: &State, intake: Intake, reason: Text) -> Vec<Event> {
    if state.intake == intake {
        return Vec::new();
    }
    vec![Event::IntakeChanged { intake, reason }]
}
