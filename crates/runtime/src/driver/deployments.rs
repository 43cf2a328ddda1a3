//! Health checks of a deployment: on a thread of their own, so that the loop goes on.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use ark_os_core::layer::Layer;
use ark_os_core::limits::REASON_BYTES_MAX;
use ark_os_core::text::beginning;
use ark_os_core::time::Time;
use ark_os_core::{Command, State};

use crate::deployment::{Outfit, candidates};
use crate::handle::Message;
use crate::kernel::Input;
use crate::reply::Reply;
use crate::threads::spawn;

/// A check that the core asks for.
#[derive(Clone, Copy)]
pub(super) struct Check {
    pub(super) version: u64,
    pub(super) layer: Option<Layer>,
    pub(super) seq: u64,
}

impl Check {
    /// Begins it; its word comes as a message, or at once if it cannot begin. One that never gives
    /// any is cut off by the deployment's deadline.
    pub(super) fn begin(
        self,
        state: &State,
        outfit: &Arc<Outfit>,
        to_loop: &Sender<Message>,
    ) -> Option<Input<Reply>> {
        let under_way = state.deployments().under_way()?;
        let deployment = under_way.deployment.clone();
        if deployment.version != self.version {
            return None;
        }
        let groups = self.layer.map(|layer| candidates(state, layer)).unwrap_or_default();
        let (outfit, to_loop) = (outfit.clone(), to_loop.clone());
        let spawned = spawn("ark-health", move || {
            let result = outfit.check(&deployment, &groups);
            // A loop that is gone has stopped.
            let _ = to_loop.send(Message::One(self.told(result)));
        });
        spawned.err().map(|error| self.told(Err(error.to_string())))
    }

    fn told(self, result: Result<Vec<Option<Time>>, String>) -> Input<Reply> {
        let Check { version, layer, seq } = self;
        let result = result.map_err(|why| beginning(&why, REASON_BYTES_MAX / 4).into());
        let command = Command::ReportHealth { version, layer, result };
        Input::Command { command, cause: seq, reply: None }
    }
}
