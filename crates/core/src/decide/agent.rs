//! `SetAgent`: an operator takes an agent out, or lets it in again.

use crate::error::{Kind, Rejected};
use crate::event::{Event, Standing};
use crate::ids::AgentIx;
use crate::state::State;
use crate::text::Text;
use crate::time::Time;

pub(super) fn set(
    state: &State,
    agent: AgentIx,
    online: bool,
    reason: Text,
) -> Result<Vec<Event>, Rejected> {
    let row = state.fleet.agent(agent).ok_or_else(|| {
        Rejected::new(Kind::NotFound, "agent_not_found", "no such agent in the fleet")
    })?;
    let standing = if online { Standing::Ready } else { Standing::Offline };
    if row.standing == standing {
        return Ok(Vec::new());
    }
    if row.standing.is_passing() {
        let how = match row.standing {
            Standing::Starting => "its deployment is under way",
            _ => "it leaves the fleet",
        };
        return Err(Rejected::new(Kind::Conflict, "agent_passing", how)
            .hint("wait for the deployment, or scale the fleet"));
    }
    if online && state.fleet.awaits_worker(agent) {
        let message = "it waits for its worker to register";
        return Err(Rejected::new(Kind::Conflict, "agent_passing", message)
            .hint("start the worker: it takes work as soon as it has registered"));
    }
    if online && state.keeps_out(agent).is_some() {
        let message = "an emergency measure keeps it from work";
        return Err(Rejected::new(Kind::Conflict, "agent_quarantined", message)
            .hint("`ark-os emergency list` shows it; lift it"));
    }
    Ok(vec![changed(state, agent, standing, reason, None)])
}

/// The event that says how an agent stands now.
pub(super) fn changed(
    state: &State,
    agent: AgentIx,
    standing: Standing,
    reason: Text,
    until: Option<Time>,
) -> Event {
    let name = state.fleet.own_name(agent);
    Event::AgentChanged { agent, standing, reason, until, name }
}

/// The event that says that an agent presented work that was refused.
pub(super) fn struck(state: &State, agent: AgentIx, reason: &str) -> Event {
    Event::AgentStruck { agent, reason: reason.into(), name: state.fleet.own_name(agent) }
}
