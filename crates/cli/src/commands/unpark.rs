//! `ark-os unpark`.

use ark_os_api::{Exit, Reason};

use crate::client::segment;
use crate::failure::Failure;
use crate::session::Session;

/// Let a parked task stand in line again
///
/// A task whose step is in doubt has to be resolved first: `ark-os resolve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Unpark {
    /// The task
    task: String,
    /// Why; it is recorded
    #[arg(long)]
    reason: Option<String>,
}

impl Unpark {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let path = format!("/tasks/{}/unpark", segment(&self.task));
        super::change(session, &path, &Reason { reason: self.reason })
    }
}
