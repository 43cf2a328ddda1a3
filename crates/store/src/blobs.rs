//! Content-addressed blobs: data too large for a record, stored once under its SHA-256 and durable before the
//! record that names it.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Place, StoreError};
use crate::files::{Files, UNFINISHED, parent, read_small};
use crate::merkle::Hash;

/// Where blobs stand in the data directory, in 256 directories by the first byte of the hash.
pub const BLOBS_DIR: &str = "blobs";

/// Largest blob: one is held in memory whole, by the writer and by the reader.
pub const BLOB_BYTES_MAX: usize = 64 << 20;

/// Names remembered as durable: half a megabyte. When there are more all are forgotten, which costs each
/// of them two more syncs.
const KNOWN_MAX: usize = 16_384;

/// Blobs of one data directory; usable from many threads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    files: Arc<dyn Files>,
    /// Tells unfinished files of different threads apart.
    unfinished: Arc<AtomicU64>,
    /// Blobs whose content and name this process has synced, and found damaged by no load since.
    known: Arc<Mutex<BTreeSet<Hash>>>,
}

impl Blobs {
    /// Uses `BLOBS_DIR`, making it if it is not there, and removes what an earlier process left unfinished.
    /// Call it under the data directory's lock.
    pub fn open(files: Arc<dyn Files>) -> Result<Self, StoreError> {
        let open = || -> io::Result<()> {
            files.make_dir(BLOBS_DIR)?;
            files.sync_dir("")?;
            for name in files.list(BLOBS_DIR)? {
                // Unfinished blobs stand beside the shards, so that this need not look into each.
                if name.ends_with(UNFINISHED) {
                    files.remove(&format!("{BLOBS_DIR}/{name}"))?;
                }
            }
            Ok(())
        };
        open().map_err(|error| StoreError::io(format!("open `{BLOBS_DIR}`"), error))?;
        Ok(Self { files, unfinished: Arc::default(), known: Arc::default() })
    }

    /// Stores `bytes` durably and gives their hash. Doing it again changes nothing, and touches no file
    /// while the blob is one of the last [`KNOWN_MAX`].
    pub fn put(&self, bytes: &[u8]) -> Result<Hash, StoreError> {
        if bytes.len() > BLOB_BYTES_MAX {
            let message =
                format!("store a blob of {} bytes, the limit is {BLOB_BYTES_MAX}", bytes.len());
            return Err(StoreError::invalid(message));
        }
        let hash = Hash::of(bytes);
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&hash) {
            return Ok(hash);
        }
        // A blob has its name only after its sync, but the name itself may not be durable yet. A damaged one
        // is written anew.
        if self.load(&hash).is_ok() {
            let settle = || {
                self.files.sync_dir(&shard(&hash))?;
                self.files.sync_dir(BLOBS_DIR)
            };
            settle().map_err(|error| StoreError::io(format!("store blob `{hash}`"), error))?;
        } else {
            self.write(&hash, bytes)
                .map_err(|error| StoreError::io(format!("store blob `{hash}`"), error))?;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(hash);
        Ok(hash)
    }

    /// Reads a blob and checks it: `NotFound` if it is not there, `Corrupt` if it is not what its name says.
    pub fn load(&self, hash: &Hash) -> Result<Vec<u8>, StoreError> {
        let loaded = self.read(hash);
        if loaded.is_err() {
            // The next `put` is to write it anew.
            self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(hash);
        }
        loaded
    }

    fn read(&self, hash: &Hash) -> Result<Vec<u8>, StoreError> {
        let path = path(hash);
        let bytes = read_small(self.files.as_ref(), &path, BLOB_BYTES_MAX as u64)
            .map_err(|error| StoreError::io(format!("load blob `{hash}`"), error))?;
        if Hash::of(&bytes) != *hash {
            let place = Place { file: path, bytes: 0..bytes.len() as u64, seqs: 0..0 };
            return Err(StoreError::corrupt(place, "the content is not what the name says"));
        }
        Ok(bytes)
    }

    /// Whether there is a blob of this name; its content is not looked at.
    pub fn contains(&self, hash: &Hash) -> Result<bool, StoreError> {
        match self.files.open(&path(hash)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io(format!("find blob `{hash}`"), error)),
        }
    }

    fn write(&self, hash: &Hash, bytes: &[u8]) -> io::Result<()> {
        let path = path(hash);
        let dir = parent(&path);
        self.files.make_dir(dir)?;
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!("{BLOBS_DIR}/{hash}-{number}{UNFINISHED}");
        let file = self.files.create(&unfinished, bytes.len() as u64)?;
        let written = file
            .write_at(bytes, 0)
            .and_then(|()| file.sync())
            .and_then(|_| self.files.rename(&unfinished, &path));
        if let Err(error) = written {
            // Best effort: the next opening removes it too.
            let _ = self.files.remove(&unfinished);
            return Err(error);
        }
        self.files.sync_dir(dir)?;
        self.files.sync_dir(BLOBS_DIR)
    }
}

fn shard(hash: &Hash) -> String {
    format!("{BLOBS_DIR}/{:02x}", hash.0[0])
}

fn path(hash: &Hash) -> String {
    format!("{}/{hash}", shard(hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::files::{DiskFiles, MemFiles};

    fn on_each(check: impl Fn(Arc<dyn Files>)) {
        check(Arc::new(MemFiles::default()));
        let dir = tempfile::tempdir().unwrap();
        check(Arc::new(DiskFiles::new(dir.path()).unwrap()));
    }

    #[test]
    fn a_blob_reads_back_and_is_stored_once() {
        on_each(|files| {
            let blobs = Blobs::open(Arc::clone(&files)).unwrap();
            let hash = blobs.put(b"content").unwrap();
            assert_eq!(hash, Hash::of(b"content"));
            assert_eq!(blobs.put(b"content").unwrap(), hash);
            assert_eq!(blobs.load(&hash).unwrap(), b"content");
            assert!(blobs.contains(&hash).unwrap());
            assert_eq!(files.list(BLOBS_DIR).unwrap(), [format!("{:02x}", hash.0[0])]);
            let absent = Hash::of(b"absent");
            assert!(!blobs.contains(&absent).unwrap());
            assert_eq!(blobs.load(&absent).unwrap_err().kind(), ErrorKind::NotFound);
        });
    }

    #[test]
    fn a_damaged_blob_is_named_and_replaced_by_the_next_put() {
        let files = MemFiles::default();
        let blobs = Blobs::open(Arc::new(files.clone())).unwrap();
        let hash = blobs.put(b"content").unwrap();
        files.edit(&path(&hash), |bytes| bytes[0] ^= 1).unwrap();
        let error = blobs.load(&hash).unwrap_err();
        assert_eq!((error.kind(), error.place().is_some()), (ErrorKind::Corrupt, true));
        blobs.put(b"content").unwrap();
        assert_eq!(blobs.load(&hash).unwrap(), b"content");
    }

    #[test]
    fn the_names_that_are_remembered_are_bounded() {
        let blobs = Blobs::open(Arc::new(MemFiles::default())).unwrap();
        for number in 0..=KNOWN_MAX {
            blobs.put(&number.to_le_bytes()).unwrap();
            assert!(blobs.known.lock().unwrap().len() <= KNOWN_MAX);
        }
        blobs.put(&0_usize.to_le_bytes()).unwrap();
        assert_eq!(blobs.known.lock().unwrap().len(), 2);
    }

    #[test]
    fn left_overs_are_removed_and_oversize_is_refused() {
        let files = MemFiles::default();
        files.make_dir(BLOBS_DIR).unwrap();
        files.create("blobs/x-0.tmp", 3).unwrap();
        let blobs = Blobs::open(Arc::new(files.clone())).unwrap();
        assert!(files.list(BLOBS_DIR).unwrap().is_empty());
        let error = blobs.put(&vec![0; BLOB_BYTES_MAX + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }

    #[test]
    fn many_threads_may_store_the_same_blobs() {
        on_each(|files| {
            let blobs = Blobs::open(files).unwrap();
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for number in 0..20u8 {
                            blobs.put(&[number; 100]).unwrap();
                        }
                    });
                }
            });
            for number in 0..20u8 {
                assert_eq!(blobs.load(&Hash::of(&[number; 100])).unwrap(), [number; 100]);
            }
        });
    }
}
