//! Copying one file into a backup, with its digest.

use std::io;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Entry, damaged, unwritten};
use crate::error::StoreError;
use crate::files::{File, Files, UNFINISHED, discarded, parent};
use crate::merkle::Hash;

/// Read, hashed and written at a time.
const CHUNK: u64 = 1 << 20;

/// What was copied so far.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// A file that is copied, and what is known of it.
pub(super) struct Source<'a> {
    pub(super) file: Arc<dyn File>,
    /// For messages.
    pub(super) name: &'a str,
    /// How many bytes, from the first on; none: all.
    pub(super) bytes: Option<u64>,
    /// What they are.
    pub(super) hash: Option<Hash>,
}

/// Copies a file so that it has its name only when all of it is durable. `prefix` is what it begins with.
pub(super) fn copy(
    source: &Source<'_>,
    (target, to): (&dyn Files, &str),
    prefix: Option<Entry>,
    copied: &mut Copied,
) -> Result<Entry, StoreError> {
    let Source { file: from, name, .. } = source;
    let len = from.len().map_err(|error| StoreError::io(format!("read `{name}`"), error))?;
    let bytes = source.bytes.unwrap_or(len);
    make_dirs(target, to).map_err(|error| unwritten(to, error))?;
    let unfinished = format!("{to}{UNFINISHED}");
    match target.remove(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unwritten(to, error)),
        _ => {}
    }
    let file = target.create(&unfinished, bytes).map_err(|error| unwritten(to, error))?;
    let hash = hashed(from.as_ref(), name, bytes, prefix, &mut |chunk, offset| {
        file.write_at(chunk, offset).map_err(|error| unwritten(to, error))
    });
    let hash = hash.and_then(|hash| match source.hash {
        Some(wanted) if wanted != hash => {
            Err(damaged(name, bytes, "the content is not what it should be"))
        }
        _ => Ok(hash),
    });
    let named = hash.map_err(io::Error::other).and_then(|hash| {
        file.sync()?;
        target.rename(&unfinished, to)?;
        target.sync_dir(parent(to))?;
        Ok(hash)
    });
    let hash = discarded(target, &unfinished, named).map_err(|error| unwrapped(to, error))?;
    copied.files += 1;
    copied.bytes += bytes;
    Ok(Entry { bytes, hash })
}

/// A fault of the source is told as it is, one of the target as one of the target.
fn unwrapped(to: &str, error: io::Error) -> StoreError {
    match error.downcast::<StoreError>() {
        Ok(error) => error,
        Err(error) => unwritten(to, error),
    }
}

/// Is shown bytes, and where they begin.
type Visit<'a> = dyn FnMut(&[u8], u64) -> Result<(), StoreError> + 'a;

/// Shows the first bytes of a file in pieces, and gives their digest.
pub(super) fn hashed(
    file: &dyn File,
    path: &str,
    bytes: u64,
    prefix: Option<Entry>,
    visit: &mut Visit<'_>,
) -> Result<Hash, StoreError> {
    let mut hash = Sha256::new();
    let mut buffer = Vec::new();
    let mut at = 0;
    loop {
        if let Some(prefix) = prefix.filter(|prefix| prefix.bytes == at)
            && Hash(hash.clone().finalize().into()) != prefix.hash
        {
            return Err(damaged(path, at, "it is another one than was backed up earlier"));
        }
        if at >= bytes {
            break;
        }
        let until = prefix.map(|prefix| prefix.bytes).filter(|end| *end > at).unwrap_or(bytes);
        let wanted = CHUNK.min(bytes.min(until) - at);
        buffer.resize(usize::try_from(wanted).unwrap_or(0), 0);
        let read = file
            .read_at(&mut buffer, at)
            .map_err(|error| StoreError::io(format!("read `{path}`"), error))?;
        if read < buffer.len() {
            return Err(damaged(path, at + read as u64, "it is cut short"));
        }
        hash.update(&buffer);
        visit(&buffer, at)?;
        at += wanted;
    }
    if prefix.is_some_and(|prefix| prefix.bytes > bytes) {
        return Err(damaged(path, bytes, "it has less than was backed up earlier"));
    }
    Ok(Hash(hash.finalize().into()))
}

/// Makes the directories of a path that are not there.
pub(super) fn make_dirs(target: &dyn Files, path: &str) -> io::Result<()> {
    let dir = parent(path);
    if dir.is_empty() || target.list(dir).is_ok() {
        return Ok(());
    }
    make_dirs(target, dir)?;
    target.make_dir(dir)?;
    target.sync_dir(parent(dir))
}
