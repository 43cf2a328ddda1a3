//! `ark-os resume`.

use ark_os_api::{Exit, Reason};

use super::change_run;
use crate::failure::Failure;
use crate::session::Session;

/// Let a paused run go on
#[derive(Debug, clap::Args)]
pub(crate) struct Resume {
    /// The run
    run: String,
    /// Why; it is recorded
    #[arg(long)]
    reason: Option<String>,
}

impl Resume {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        change_run(session, &self.run, "resume", &Reason { reason: self.reason })
    }
}
