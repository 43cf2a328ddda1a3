//! `ScaleFleet`: the profile part of the fleet gets another size while it works.

use crate::error::{Kind, Rejected};
use crate::event::Event;
use crate::limits::{AGENTS_MAX, SEATS_MAX};
use crate::state::State;
use crate::text::Text;

pub(super) fn decide(state: &State, agents: u32, reason: Text) -> Result<Vec<Event>, Rejected> {
    let max = profile_max(state, agents_max(state));
    if agents == 0 || agents > max {
        let message = match agents_max(state) - max {
            0 => format!("{agents} agents are not 1 to {max}"),
            declared => {
                format!("{agents} agents beside {declared} declared ones are not 1 to {max}")
            }
        };
        let hint = match agents {
            0 => {
                "keep at least one; `ark-os emergency freeze` takes no new runs, `ark-os shutdown` \
                 stops the instance"
            }
            _ => "raise `system.max_agents` for more: `ark-os config reload`",
        };
        return Err(Rejected::new(Kind::Invalid, "agents_out_of_range", message).hint(hint));
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

/// Agents that the profile may have beside those that are declared, or are about to be.
pub(super) fn profile_max(state: &State, max: u32) -> u32 {
    let deployments = &state.deployments;
    let under_way = deployments.under_way().map(|it| &it.deployment);
    let known = [deployments.current(), under_way].into_iter().flatten();
    beside(max, known.map(|it| it.fleet.agents()).max().unwrap_or(0))
}

/// Room for the profile beside so many declared agents.
pub(super) fn beside(max: u32, declared: u64) -> u32 {
    max.saturating_sub(u32::try_from(declared).unwrap_or(u32::MAX))
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
