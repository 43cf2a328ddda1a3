//! `ark-os pause`.

use ark_os_api::{Exit, Reason};

use super::change_run;
use crate::failure::Failure;
use crate::session::Session;

/// Pause a run: what runs comes to its end, nothing new starts
#[derive(Debug, clap::Args)]
pub(crate) struct Pause {
    /// The run
    run: String,
    /// Why; it is recorded
    #[arg(long)]
    reason: Option<String>,
}

impl Pause {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        change_run(session, &self.run, "pause", &Reason { reason: self.reason })
    }
}
