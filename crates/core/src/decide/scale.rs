//! `ScaleFleet`: the profile part of the fleet gets another size while it works.

use crate::error::{Kind, Rejected};
use crate::event::Event;
use crate::limits::{AGENTS_MAX, SEATS_MAX};
use crate::state::State;
use crate::text::Text;

pub(super) fn decide(state: &State, agents: u32, reason: Text) -> Result<Vec<Event>, Rejected> {
    let max = agents_max(state);
    if agents == 0 || agents > max {
        let message = format!("{agents} agents are not 1 to {max}");
        return Err(Rejected::new(Kind::Invalid, "agents_out_of_range", message)
            .hint("raise `system.max_agents` for more: `ark-os config reload`"));
    }
    let fleet = &state.fleet;
    if agents == fleet.profile() {
        return Ok(Vec::new());
    }
    // At most every seat of the profile is a new one.
    if fleet.len().saturating_add(agents) > SEATS_MAX {
        return Err(seats_exhausted());
    }
    Ok(vec![Event::FleetScaled { agents, reason }])
}

/// Agents that the instance may have in all.
pub(super) fn agents_max(state: &State) -> u32 {
    state.instance().and_then(|it| it.agents_max).unwrap_or(AGENTS_MAX).min(AGENTS_MAX)
}

/// Numbers of agents are not given out twice before the next start.
pub(super) fn seats_exhausted() -> Rejected {
    let message = format!("the fleet has had {SEATS_MAX} seats since the instance started");
    Rejected::new(Kind::Exhausted, "seats_exhausted", message)
        .hint("start the instance again: its fleet begins anew, and no work is lost")
}
