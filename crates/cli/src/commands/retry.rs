//! `ark-os retry`.

use ark_os_api::{Exit, Retry as Request};

use super::change_run;
use crate::failure::Failure;
use crate::session::Session;

/// Let a run that is over go on from a task
///
/// The task and everything that depends on it begin again; results of other tasks are kept. An effect that
/// happened, or may have, and may not be repeated is repeated only for a task that is named.
#[derive(Debug, clap::Args)]
pub(crate) struct Retry {
    /// The run
    run: String,
    /// Name or number of the task in the plan [default: the one that failed]
    #[arg(long)]
    task: Option<String>,
    /// Why; it is recorded
    #[arg(long)]
    reason: Option<String>,
}

impl Retry {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        change_run(session, &self.run, "retry", &Request { task: self.task, reason: self.reason })
    }
}
