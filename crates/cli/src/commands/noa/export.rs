//! `ark-os noa export`.

use ark_os_api::Exit;
use serde_json::Value;

use super::normalize::FormatName;
use crate::failure::Failure;
use crate::session::Session;

/// Print the running fleet as a manifest, which changes nothing when it is deployed
///
/// It is the manifest that is deployed, with absolute paths and with what was changed since by hand: the size of the
/// built-in profile, schedules that were paused or removed. Schedules that were made by hand, remote workers that
/// nobody declared and the agents of the instance itself are not in it: a deployment leaves them as they are.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// How it is written [default: yaml; json with --json]
    #[arg(long, value_enum)]
    format: Option<FormatName>,
}

impl Export {
    pub(super) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let manifest: Value = session.client()?.get("/fleet/manifest")?;
        let default = if session.output.is_json() { FormatName::Json } else { FormatName::Yaml };
        let format = self.format.unwrap_or(default).into();
        let text = ark_os_noa::write(&manifest, format).map_err(Failure::usage)?;
        session.output.bytes(text.as_bytes())?;
        Ok(Exit::Done)
    }
}
