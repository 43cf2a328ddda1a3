//! Payloads: JSON texts that the core carries and compares by digest but never reads.

use std::sync::Arc;

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};

use crate::hash::Hash;

/// Shared bytes, encoded as a CBOR byte string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bytes(pub Arc<[u8]>);

impl<C> Encode<C> for Bytes {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Bytes {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        d.bytes().map(|bytes| Bytes(Arc::from(bytes)))
    }
}

/// An input or an output: JSON text, inline in the record or content-addressed outside it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Payload {
    /// The text itself, at most [`crate::limits::INLINE_BYTES_MAX`].
    #[n(0)]
    Inline(#[n(0)] Bytes),
    /// A blob, durable before the record that names it.
    #[n(1)]
    Blob {
        /// SHA-256 of the text.
        #[n(0)]
        hash: Hash,
        /// Its length in bytes.
        #[n(1)]
        len: u64,
    },
}

impl Payload {
    /// An inline payload. The caller keeps to the inline limit.
    pub fn inline(json: impl Into<Arc<[u8]>>) -> Self {
        Payload::Inline(Bytes(json.into()))
    }

    /// JSON `null`.
    pub fn null() -> Self {
        Payload::inline(&b"null"[..])
    }

    /// SHA-256 of the text.
    pub fn hash(&self) -> Hash {
        match self {
            Payload::Inline(bytes) => Hash::of(&bytes.0),
            Payload::Blob { hash, .. } => *hash,
        }
    }

    /// Length of the text in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Payload::Inline(bytes) => bytes.0.len() as u64,
            Payload::Blob { len, .. } => *len,
        }
    }

    /// Whether the text is empty, which no JSON is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
