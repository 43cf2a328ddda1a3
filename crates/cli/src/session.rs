//! What every command has at hand: where to print, the environment, which instance is meant.

use ark_os_runtime::Components;

use crate::client::{Client, Reach};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::Output;

/// One call of the program.
pub(crate) struct Session {
    /// Where to print.
    pub(crate) output: Output,
    /// The process's environment.
    pub(crate) environment: Environment,
    /// Which instance is meant.
    pub(crate) reach: Reach,
    /// What an instance that this process starts is made of.
    pub(crate) components: Components,
}

impl Session {
    /// A client of the instance that is meant.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.reach.address(&self.environment)?))
    }
}
