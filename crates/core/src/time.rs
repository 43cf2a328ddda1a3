//! Logical time: milliseconds since the Unix epoch, handed in with every command, never read.

use std::fmt;
use std::time::Duration;

/// A moment, in milliseconds since the Unix epoch. Within one journal it never goes back.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    minicbor::Encode,
    minicbor::Decode,
    serde::Serialize,
    serde::Deserialize,
)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct Time(#[n(0)] pub u64);

impl Time {
    /// Later than every other moment: "no deadline".
    pub const NEVER: Time = Time(u64::MAX);

    /// This moment plus `millis`, at most [`Time::NEVER`].
    #[must_use]
    pub fn plus(self, millis: u64) -> Time {
        Time(self.0.saturating_add(millis))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Time::NEVER { f.write_str("never") } else { write!(f, "{}ms", self.0) }
    }
}
