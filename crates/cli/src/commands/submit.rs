//! `ark-os submit`.

use ark_os_api::Exit;

use crate::failure::Failure;
use crate::session::Session;
use crate::submission::Submission;

/// Submit a run without waiting for it; prints its id once it is durably accepted
#[derive(Debug, clap::Args)]
pub(crate) struct Submit {
    #[command(flatten)]
    submission: Submission,
}

impl Submit {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let prepared = self.submission.prepare(&session.components.skills, false)?;
        let client = session.client()?;
        super::run::warn_about_paths(session, &client, &prepared);
        let accepted = prepared.submit(&client)?;
        session.output.answer(&accepted, |_| vec![accepted.run.clone()])?;
        Ok(Exit::Done)
    }
}
