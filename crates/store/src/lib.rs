//! Remembers: journal, Merkle ledger, blobs and the data-directory lock. Blind to payloads: a record's body is bytes.

pub mod backup;
pub mod blobs;
pub mod error;
pub mod files;
pub mod journal;
pub mod ledger;
pub mod lock;
pub mod merkle;
pub mod record;
pub mod snapshots;
pub mod tiles;
pub mod verify;
pub mod views;

pub use blobs::Blobs;
pub use error::{ErrorKind, Place, StoreError};
pub use files::{DiskFiles, File, FileId, Files, MemFiles};
pub use journal::{
    Anchor, Batch, Committed, Journal, Reader, Recovered, Segments, Settings, Span, Stats,
};
pub use ledger::{Checkpoint, LedgerKey, PublicKey};
pub use lock::DataLock;
pub use merkle::Hash;
pub use record::{OwnedRecord, Record, RecordHeader};
pub use snapshots::{Snapshot, Snapshots};
pub use tiles::Tiles;
