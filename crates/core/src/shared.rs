//! Encoding of shared values: an `Arc<T>` is written as its `T`; and what is not written at all.

use std::sync::Arc;

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::{Encoder, Error as EncodeError, Write};
use minicbor::{Decode, Encode};

/// For `#[cbor(with = "crate::shared")]`.
pub(crate) fn encode<C, T: Encode<C>, W: Write>(
    value: &Arc<T>,
    e: &mut Encoder<W>,
    ctx: &mut C,
) -> Result<(), EncodeError<W::Error>> {
    value.as_ref().encode(e, ctx)
}

/// For `#[cbor(with = "crate::shared")]`.
pub(crate) fn decode<'b, C, T: Decode<'b, C>>(
    d: &mut Decoder<'b>,
    ctx: &mut C,
) -> Result<Arc<T>, DecodeError> {
    T::decode(d, ctx).map(Arc::new)
}

/// For `#[cbor(skip_if = "crate::shared::is_default")]`.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
