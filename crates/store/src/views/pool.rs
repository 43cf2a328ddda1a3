//! Connections for reading, a bounded number of them.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::schema;
use crate::{ErrorKind, StoreError};

/// Connections for reading. More threads than these wait for one: the work is CPU and page cache,
/// so more of them would only take turns.
pub const READERS_MAX: usize = 8;

/// Connections that are lent out and come back.
#[derive(Debug)]
pub(super) struct Pool {
    path: PathBuf,
    idle: Mutex<Idle>,
    back: Condvar,
}

#[derive(Debug)]
struct Idle {
    connections: Vec<Connection>,
    /// Idle and lent out.
    open: usize,
}

impl Pool {
    /// A pool without connections: they are opened when they are needed.
    pub(super) fn new(path: &Path) -> Self {
        let idle = Mutex::new(Idle { connections: Vec::new(), open: 0 });
        Pool { path: path.to_path_buf(), idle, back: Condvar::new() }
    }

    /// Asks on a connection that nobody else uses meanwhile.
    pub(super) fn with<T>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let lent = self.lend()?;
        match &lent.db {
            Some(db) => ask(db),
            None => Err(StoreError::new(ErrorKind::Internal, "lend a connection")),
        }
    }

    /// A panic while the lock is held leaves a list of connections, which is as good as before.
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lend(&self) -> Result<Lent<'_>, StoreError> {
        let mut idle = self.lock();
        loop {
            if let Some(db) = idle.connections.pop() {
                return Ok(Lent { pool: self, db: Some(db) });
            }
            if idle.open < READERS_MAX {
                idle.open += 1;
                break;
            }
            idle = self.back.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
        drop(idle);
        // From here the place is given back even when the file does not open.
        let mut lent = Lent { pool: self, db: None };
        lent.db = Some(schema::open_reader(&self.path)?);
        Ok(lent)
    }
}

struct Lent<'a> {
    pool: &'a Pool,
    db: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut idle = self.pool.lock();
        match self.db.take() {
            Some(db) => idle.connections.push(db),
            None => idle.open = idle.open.saturating_sub(1),
        }
        drop(idle);
        self.pool.back.notify_one();
    }
}
