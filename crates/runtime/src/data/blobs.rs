//! Where large payloads are kept: a border, so that the simulator can put its own store behind it.

use std::fmt;
use std::sync::Arc;

use ark_os_core::Kind;
use ark_os_core::hash::Hash;
use ark_os_core::limits::INLINE_BYTES_MAX;
use ark_os_core::payload::Payload;
use ark_os_store::{Blobs, ErrorKind, StoreError};

use super::{DataError, PAYLOAD_BYTES_MAX};

/// A content-addressed store.
///
/// `save` is durable when it returns, and saving the same bytes again changes nothing; what
/// `load` gives has the digest it was asked for. A crash between `save` and the record that names
/// the blob leaves a blob that nobody names, which does no harm.
pub trait BlobSource: Send + Sync {
    /// The bytes with this digest: `NotFound`, `Corrupt` or `Unavailable` if there are none.
    fn load(&self, hash: Hash) -> Result<Vec<u8>, DataError>;
    /// Keeps the bytes and gives their digest.
    fn save(&self, bytes: &[u8]) -> Result<Hash, DataError>;
}

impl fmt::Debug for dyn BlobSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobSource")
    }
}

impl BlobSource for Blobs {
    fn load(&self, hash: Hash) -> Result<Vec<u8>, DataError> {
        Blobs::load(self, &ark_os_store::Hash(hash.0)).map_err(|error| of_store(&error))
    }

    fn save(&self, bytes: &[u8]) -> Result<Hash, DataError> {
        self.put(bytes).map(|hash| Hash(hash.0)).map_err(|error| of_store(&error))
    }
}

fn of_store(error: &StoreError) -> DataError {
    let kind = match error.kind() {
        ErrorKind::Invalid => Kind::Invalid,
        ErrorKind::NotFound | ErrorKind::Archived => Kind::NotFound,
        ErrorKind::Conflict => Kind::Conflict,
        ErrorKind::Exhausted => Kind::Exhausted,
        ErrorKind::Unavailable => Kind::Unavailable,
        ErrorKind::Corrupt => Kind::Corrupt,
        ErrorKind::Closed => Kind::Closed,
        ErrorKind::Newer => Kind::Conflict,
        ErrorKind::Internal => Kind::Internal,
    };
    DataError::new(kind, error.to_string())
}

/// The payload with this text: inline while it is small, else a blob that is durable by then.
pub fn payload_of(
    json: impl Into<Arc<[u8]>>,
    blobs: &dyn BlobSource,
) -> Result<Payload, DataError> {
    let json = json.into();
    if json.len() <= INLINE_BYTES_MAX {
        return Ok(Payload::inline(json));
    }
    if json.len() > PAYLOAD_BYTES_MAX {
        return Err(DataError::too_large("a payload", PAYLOAD_BYTES_MAX));
    }
    let hash = blobs.save(&json)?;
    Ok(Payload::Blob { hash, len: json.len() as u64 })
}
