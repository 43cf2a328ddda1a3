//! Going through a backup: its files against its list, and into another directory.

use std::io;
use std::sync::Arc;

use super::copy::{Copied, Source, copy, hashed};
use super::{Manifest, damaged, unwritten};
use crate::error::StoreError;
use crate::files::{File, Files, write_atomic};

/// Reads every file of a backup and compares it with the list. `Corrupt` names the first that differs.
pub fn check(manifest: &Manifest, from: &dyn Files) -> Result<(), StoreError> {
    for (path, entry) in &manifest.files {
        let file = open(from, path)?;
        let hash = hashed(file.as_ref(), path, entry.bytes, None, &mut |_, _| Ok(()))?;
        if hash != entry.hash {
            return Err(damaged(path, entry.bytes, "the content is not what was backed up"));
        }
    }
    Ok(())
}

/// Copies a backup into an empty directory, comparing every byte with the list. `Corrupt` names the first file
/// that differs; what was copied until then stays for the caller to remove.
pub fn restore(manifest: &Manifest, from: &dyn Files, to: &dyn Files) -> Result<(), StoreError> {
    let mut copied = Copied::default();
    for (path, entry) in &manifest.files {
        let source = Source {
            file: open(from, path)?,
            name: path,
            bytes: Some(entry.bytes),
            hash: Some(entry.hash),
        };
        copy(&source, (to, path), None, &mut copied)?;
    }
    for (name, bytes) in manifest.small_files() {
        write_atomic(to, name, bytes).map_err(|error| unwritten(name, error))?;
    }
    Ok(())
}

/// A file that the list names and nobody finds is damage too.
fn open(from: &dyn Files, path: &str) -> Result<Arc<dyn File>, StoreError> {
    from.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => damaged(path, 0, "it is not there"),
        _ => StoreError::io(format!("read `{path}`"), error),
    })
}
