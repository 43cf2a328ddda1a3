//! `ark-os prioritize`.

use ark_os_api::{Exit, Prioritize as Body};

use super::change_run;
use crate::failure::Failure;
use crate::session::Session;

/// Make a run more or less urgent; what waits of it takes its new place at once
#[derive(Debug, clap::Args)]
pub(crate) struct Prioritize {
    /// The run
    run: String,
    /// emergency, critical, high, normal, low or maintenance
    priority: String,
    /// Why; it is recorded
    #[arg(long)]
    reason: Option<String>,
}

impl Prioritize {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let body = Body { priority: self.priority, reason: self.reason };
        change_run(session, &self.run, "priority", &body)
    }
}
