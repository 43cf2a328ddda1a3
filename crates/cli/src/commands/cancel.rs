//! `ark-os cancel`.

use ark_os_api::{Exit, Reason};

use super::change_run;
use crate::failure::Failure;
use crate::session::Session;

/// Cancel a run: nothing new starts, what runs is stopped
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    /// The run
    run: String,
    /// Why; it is recorded
    #[arg(long)]
    reason: Option<String>,
}

impl Cancel {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        change_run(session, &self.run, "cancel", &Reason { reason: self.reason })
    }
}
