//! Tables that follow the journal and answer queries. They decide nothing and can be rebuilt at any
//! time, so nothing here is synced to the device.
//!
//! [`Views::open`] opens the file, [`Views::split`] gives the one [`Follower`], which writes, and
//! [`Queries`], which any number of threads may share.

mod bytes;
mod follower;
mod live;
mod names;
mod pool;
mod progress;
mod queries;
mod rows;
mod scan;
mod schema;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::{ErrorKind, StoreError};

pub use follower::{Followed, Follower};
pub use pool::READERS_MAX;
pub use queries::{
    AdmissionRow, Cursor, Page, Queries, RECORDS_PAGE_MAX, RUNS_PAGE_MAX, RunFilter,
};
pub use rows::{RunRow, TaskTally};
pub use scan::SCAN_MAX;

/// How the views use memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewsOptions {
    /// Bytes of pages that the writer keeps in memory.
    pub cache_bytes: u64,
    /// Runs that the follower keeps in memory between batches; others are read back when a record
    /// speaks of them.
    pub runs_kept_max: usize,
}

impl Default for ViewsOptions {
    /// 32 MiB of pages hold the right edge of the tables many times over; 200 000 live runs take
    /// about 64 MiB.
    fn default() -> Self {
        ViewsOptions { cache_bytes: 32 << 20, runs_kept_max: 200_000 }
    }
}

/// The views of one journal: a SQLite file.
#[derive(Debug)]
pub struct Views {
    db: Connection,
    path: PathBuf,
    options: ViewsOptions,
}

impl Views {
    /// Opens the file, or makes it. A file of another version, a damaged one, and one that a crash
    /// of the whole machine may have damaged is dropped: its position is then 0.
    pub fn open(path: &Path, options: ViewsOptions) -> Result<Self, StoreError> {
        let db = schema::open_writer(path, options.cache_bytes)?;
        Ok(Views { db, path: path.to_path_buf(), options })
    }

    /// The newest record that the tables know; 0: none.
    pub fn position(&self) -> Result<u64, StoreError> {
        schema::position(&self.db)
    }

    /// Drops everything: the next record to follow is the first.
    pub fn rebuild(&mut self) -> Result<(), StoreError> {
        schema::remake(&mut self.db)
    }

    /// The one writer, and what readers share.
    pub fn split(self) -> Result<(Follower, Queries), StoreError> {
        let queries = Queries::new(&self.path);
        let follower = Follower::new(self.db, self.options)?;
        Ok((follower, queries))
    }
}

/// What SQLite said, as an error of the store; `what` completes "failed to".
fn failed(what: &str, error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase,
        PermissionDenied, ReadOnly, SystemIoFailure,
    };
    let (kind, hint) = match error.sqlite_error_code() {
        Some(DiskFull) => {
            (ErrorKind::Exhausted, "free space on the data directory's disk, then start again")
        }
        Some(DatabaseBusy | DatabaseLocked) => {
            (ErrorKind::Unavailable, "close other programs that have the views' file open")
        }
        Some(CannotOpen | PermissionDenied | ReadOnly | SystemIoFailure) => {
            (ErrorKind::Unavailable, "check the disk and who owns the data directory")
        }
        // Not `Corrupt`: nothing is lost that the journal does not have.
        Some(DatabaseCorrupt | NotADatabase) => {
            (ErrorKind::Unavailable, "run `ark-os views rebuild`")
        }
        _ => (ErrorKind::Internal, "run `ark-os views rebuild`"),
    };
    StoreError::new(kind, format!("{what}: {error}")).with_hint(hint)
}

/// What SQLite stores for a number; beyond its range the greatest that there is.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The number that [`int`] stored.
fn number(int: i64) -> u64 {
    u64::try_from(int).unwrap_or(0)
}
