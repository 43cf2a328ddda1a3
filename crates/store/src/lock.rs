//! The lock of a data directory: one process at a time. The kernel drops it when the process dies.
//!
//! This and `DiskFiles` are the only places that touch the file system; the simulator has one process.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FlockOperation;

use crate::error::{ErrorKind, StoreError};

/// The lock file in the data directory. It holds the pid of the process that has it, or had it last.
pub const LOCK_PATH: &str = "lock";

/// Longer than any pid in text.
const PID_BYTES_MAX: usize = 32;

/// Holds a data directory until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DataLock {
    _file: fs::File,
}

impl DataLock {
    /// Locks the directory `root`, which must exist. `Conflict` naming the pid if another holder has it.
    pub fn acquire(root: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = root.as_ref().join(LOCK_PATH);
        let io = |error| StoreError::io(format!("lock `{}`", path.display()), error);
        // Rust opens files close-on-exec, so children do not inherit the lock.
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let holder = match holder(&file) {
                    Some(pid) => format!("process {pid} holds it"),
                    None => "another process holds it".to_owned(),
                };
                let message = format!("lock `{}`: {holder}", path.display());
                return Err(StoreError::new(ErrorKind::Conflict, message)
                    .with_hint("stop that process, or use another data directory"));
            }
            Err(error) => return Err(io(error.into())),
        }
        let record = || -> io::Result<()> {
            file.set_len(0)?;
            file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)
        };
        record().map_err(io)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &fs::File) -> Option<u32> {
    let mut bytes = [0; PID_BYTES_MAX];
    let read = file.read_at(&mut bytes, 0).ok()?;
    std::str::from_utf8(bytes.get(..read)?).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_the_pid() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DataLock::acquire(dir.path()).unwrap();
        let error = DataLock::acquire(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        assert!(error.hint().is_some());
        drop(lock);
        DataLock::acquire(dir.path()).unwrap();
    }
}
