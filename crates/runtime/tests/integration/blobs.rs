//! Blobs that the process has stored before cost no sync.

use std::sync::Arc;

use ark_os_store::Blobs;

use crate::faulty_files::{Fault, FaultyFiles};

#[test]
fn a_blob_that_is_known_to_be_durable_is_stored_again_without_a_sync() {
    let files = FaultyFiles::new();
    let blobs = Blobs::open(Arc::new(files.clone())).unwrap();
    let hash = blobs.put(b"known").unwrap();
    files.set(Fault::Sync);
    assert_eq!(blobs.put(b"known").unwrap(), hash, "no file is touched");
    blobs.put(b"unknown").unwrap_err();
    blobs.put(b"unknown").unwrap_err();

    // Another process does not know it: its name may not be durable.
    let again = files.mended();
    let blobs = Blobs::open(Arc::new(again.clone())).unwrap();
    again.set(Fault::Sync);
    blobs.put(b"known").unwrap_err();
    assert_eq!(blobs.load(&hash).unwrap(), b"known");
}
