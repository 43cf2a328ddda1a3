//! How runs come to be that nobody submitted.

use minicbor::{Decode, Encode};

use super::Trigger;
use crate::ids::RunId;
use crate::text::Text;
use crate::time::Time;

/// How a run came to be that nobody submitted. The events beside its acceptance say more; this is what is told of
/// it as long as it lives.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum RunOrigin {
    /// A schedule began it.
    #[n(0)]
    Schedule {
        /// Its name.
        #[n(0)]
        name: Text,
        /// The time by its pattern that the run is for.
        #[n(1)]
        time: Time,
        /// What made it begin.
        #[n(2)]
        trigger: Trigger,
    },
    /// It was forked.
    #[n(1)]
    Fork {
        /// The run that it was forked from.
        #[n(0)]
        source: RunId,
        /// The newest record of that run that was looked at.
        #[n(1)]
        at: u64,
        /// Tasks that are as they were.
        #[n(2)]
        reused: u32,
        /// Why.
        #[n(3)]
        reason: Text,
    },
}
