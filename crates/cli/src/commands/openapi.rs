//! `ark-os openapi`.

use ark_os_api::Exit;

use crate::failure::Failure;
use crate::session::Session;

/// Print the OpenAPI document of the REST API
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Openapi {}

impl Openapi {
    pub(crate) fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        let Openapi {} = self;
        session.output.line(&ark_os_server::openapi_json())?;
        Ok(Exit::Done)
    }
}
