//! `SetAgent`: an operator takes an agent out, or lets it in again.

use crate::error::{Kind, Rejected};
use crate::event::{Event, Standing};
use crate::ids::AgentIx;
use crate::state::State;
use crate::text::Text;

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
    Ok(vec![Event::AgentChanged { agent, standing, reason, until: None }])
}
