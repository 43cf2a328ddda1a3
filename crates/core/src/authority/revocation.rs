//! Names of grants, by which a grant and everything delegated from it is taken back.

use std::fmt;

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};

use crate::hash::Hash;

/// The name of one grant of authority. Text: `rev_` and 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationId(pub [u8; 16]);

impl RevocationId {
    /// The id for these parts (who delegates, to whom, for what), the same at every replay.
    pub fn derive(parts: &[&[u8]]) -> Self {
        let inner = Hash::of_parts(parts);
        // The prefix keeps these apart from every other digest of the same parts.
        let Hash(digest) = Hash::of_parts(&[b"revocation", &inner.0]);
        let mut id = [0; 16];
        for (byte, from) in id.iter_mut().zip(digest) {
            *byte = from;
        }
        RevocationId(id)
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("rev_")?;
        if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(digits, 16).ok().map(|id| RevocationId(id.to_be_bytes()))
    }
}

impl fmt::Display for RevocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rev_{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for RevocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for RevocationId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<C> minicbor::Encode<C> for RevocationId {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for RevocationId {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        let bytes = d.bytes()?.try_into();
        bytes.map(RevocationId).map_err(|_| DecodeError::message("a revocation id has 16 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_derived_the_same_every_time_and_read_back() {
        let id = RevocationId::derive(&[b"cecca-00000", b"run"]);
        assert_eq!(id, RevocationId::derive(&[b"cecca-00000", b"run"]));
        assert_ne!(id, RevocationId::derive(&[b"cecca-00000r", b"un"]));
        assert_eq!(RevocationId::parse(&id.to_string()), Some(id));
        assert_eq!(RevocationId::parse("rev_+0000000000000000000000000000001"), None);
        let back: RevocationId = minicbor::decode(&minicbor::to_vec(id).unwrap()).unwrap();
        assert_eq!(back, id);
    }
}
