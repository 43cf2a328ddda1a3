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

/// For `#[cbor(with = "crate::time::never", has_nil)]`: [`Time::NEVER`] is not written.
pub(crate) mod never {
    use minicbor::decode::{Decoder, Error as DecodeError};
    use minicbor::encode::{Encoder, Error as EncodeError, Write};

    use super::Time;

    pub(crate) fn encode<C, W: Write>(
        time: &Time,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.u64(time.0)?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Time, DecodeError> {
        d.u64().map(Time)
    }

    pub(crate) fn is_nil(time: &Time) -> bool {
        *time == Time::NEVER
    }

    #[expect(clippy::unnecessary_wraps, reason = "the signature that the derive asks for")]
    pub(crate) fn nil() -> Option<Time> {
        Some(Time::NEVER)
    }
}
