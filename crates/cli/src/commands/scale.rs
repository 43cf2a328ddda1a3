//! `ark-os scale`.

use ark_os_api::{Exit, FleetView, Scale as Request};

use crate::failure::Failure;
use crate::output::counted;
use crate::session::Session;

/// Give the fleet another size while it works
///
/// Agents are added at once; those that are too many finish what they have, then leave. At the next start the fleet has
/// the size of `system.initial_agent_count` again.
#[derive(Debug, clap::Args)]
pub(crate) struct Scale {
    /// How many agents the built-in profile is to have
    agents: u32,
    /// Why; it is recorded
    #[arg(long)]
    reason: Option<String>,
}

impl Scale {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let request = Request { agents: self.agents, reason: self.reason };
        let fleet: FleetView = session.client()?.post("/fleet/scale", &request, None)?;
        session.output.answer(&fleet, |_| {
            let drains = fleet.layers.iter().filter_map(|layer| layer.standings.get("draining"));
            let drains: u32 = drains.sum();
            let mut line = format!("the profile has {}", counted(fleet.agents, "agent"));
            if drains > 0 {
                line.push_str(&format!("; {drains} more finish what they have and leave"));
            }
            vec![line]
        })?;
        Ok(Exit::Done)
    }
}
