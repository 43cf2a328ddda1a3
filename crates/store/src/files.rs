//! The file layer as two small traits, so that the simulator can replace the disk. Nothing else in this
//! crate touches the file system, except the lock of the data directory.
//!
//! Paths are relative to one root, use `/`, and have no `.` or `..` parts.

mod disk;
mod memory;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use disk::DiskFiles;
pub use memory::MemFiles;

/// A directory tree of files.
///
/// Contract. *Order*: calls of one thread take effect in the order they are made. *Durability*: creating,
/// renaming and removing a name is durable after `sync_dir` of its directory; the bytes of a file are durable
/// after its `File::sync`; the two are independent. *Crash*: whatever was not synced may be there, be missing,
/// or be there in part; a rename is atomic: the target is the old file or the new one.
pub trait Files: Debug + Send + Sync {
    /// Opens an existing file for reading and writing (for reading where nothing can be written); `NotFound` if
    /// there is none.
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>>;

    /// Creates a file of `len` zero bytes whose space is reserved; `AlreadyExists` if the name is taken.
    fn create(&self, path: &str, len: u64) -> io::Result<Arc<dyn File>>;

    /// Creates a directory; it is no error if it is there. Its parent must exist.
    fn make_dir(&self, path: &str) -> io::Result<()>;

    /// The names (not paths) of files and directories in `dir`, sorted; the root is the empty path.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Removes a file; `NotFound` if there is none.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Renames a file, replacing the target if there is one.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Which directory this is, by whatever path; none: nobody can tell.
    fn dir_id(&self, _dir: &str) -> io::Result<Option<FileId>> {
        Ok(None)
    }
}

/// A file or directory itself, which several paths may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    /// The file system it is on.
    pub device: u64,
    /// Which of that.
    pub inode: u64,
}

/// An open file.
///
/// Contract. Reads see all earlier writes of the process. After a failed `sync` nothing is known about any
/// byte written since the last good one, not even if a later `sync` reports success.
pub trait File: Debug + Send + Sync {
    /// Writes all of `bytes` at `offset`. On an error any part may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Fills `bytes` from `offset`; returns fewer only at the end of the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Makes all writes durable (fdatasync) and tells how long it took.
    fn sync(&self) -> io::Result<Duration>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether there are no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file to `len` bytes. Durable with the next `sync`.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes the file at least `len` bytes long, new bytes being zeros whose space is reserved. Durable with the
    /// next `sync`.
    fn reserve(&self, len: u64) -> io::Result<()>;

    /// Which file this is, by whatever path it was opened; none: nobody can tell.
    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(None)
    }
}

/// Ending of files that are being made; a left-over one means nothing and is removed.
pub const UNFINISHED: &str = ".tmp";

/// Reads a whole file of at most `max` bytes; a longer one is `FileTooLarge`.
pub fn read_small(files: &dyn Files, path: &str, max: u64) -> io::Result<Vec<u8>> {
    let file = files.open(path)?;
    let len = file.len()?;
    if len > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {max} bytes")));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Writes a whole file so that after a crash it has its old or its new content, and is durable on return.
pub fn write_atomic(files: &dyn Files, path: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = format!("{path}{UNFINISHED}");
    match files.remove(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = || {
        let file = files.create(&unfinished, 0)?;
        file.write_at(bytes, 0)?;
        file.sync()?;
        files.rename(&unfinished, path)
    };
    discarded(files, &unfinished, written())?;
    files.sync_dir(parent(path))
}

/// Removes a file that could not be finished, so that it takes no space where perhaps there is none left.
pub(crate) fn discarded<T>(
    files: &dyn Files,
    unfinished: &str,
    made: io::Result<T>,
) -> io::Result<T> {
    if made.is_err() {
        // What cannot be removed now is when it is made again.
        let _ = files.remove(unfinished);
    }
    made
}

/// The directory part of a path; the root is the empty path.
#[must_use]
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// Refuses paths that could leave the root.
fn check_path(path: &str) -> io::Result<()> {
    let bad = path.starts_with('/')
        || path.contains('\0')
        || (!path.is_empty() && path.split('/').any(|part| matches!(part, "" | "." | "..")));
    if bad {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("bad path `{path}`")));
    }
    Ok(())
}
