//! How agents stand.

use minicbor::{Decode, Encode};

/// How an agent stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Takes work, or does its layer's step.
    #[n(0)]
    Ready,
    /// Failed; back after a pause.
    #[n(1)]
    Restarting,
    /// Failed too often; another takes its seat after a pause.
    #[n(2)]
    Replaced,
    /// Taken out by an operator, or it could not be set up.
    #[n(3)]
    Offline,
    /// Its deployment is under way: it takes no work yet.
    #[n(4)]
    Starting,
    /// It takes no more work, and is retired when it has none.
    #[n(5)]
    Draining,
    /// Its seat was left for good.
    #[n(6)]
    Retired,
    /// It has not been heard of for too long.
    #[n(7)]
    Suspect,
    /// Kept from work until somebody lets it in again.
    #[n(8)]
    Quarantined,
}

impl Standing {
    /// Whether it is on its way in or out, or gone: nothing else changes it.
    pub fn is_passing(self) -> bool {
        self == Standing::Starting || self.is_leaving()
    }

    /// Whether it is on its way out, or gone.
    pub fn is_leaving(self) -> bool {
        matches!(self, Standing::Draining | Standing::Retired)
    }

    /// Whether it is back after a pause.
    pub fn pauses(self) -> bool {
        matches!(self, Standing::Restarting | Standing::Replaced | Standing::Quarantined)
    }

    /// Whether its tokens are in the pool of its stack.
    pub fn has_tokens(self) -> bool {
        !matches!(self, Standing::Starting | Standing::Retired)
    }
}
