//! The tables, and how the file is opened: what cannot be trusted is made anew.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{failed, number};
use crate::{ErrorKind, StoreError};

/// Raised with every change of the tables or of what is in them; a file of another version is
/// dropped and follows the journal from its start.
pub(super) const VERSION: i64 = 2;

/// `ArkV`: tells our file from anybody else's SQLite file, which is never dropped.
const APPLICATION: i64 = 0x4172_6b56;

/// For their owner alone.
const FILE_MODE: u32 = 0o600;

/// How long a connection waits for another's lock. Readers never wait for the writer (WAL) but in
/// the moment in which the file is made.
const BUSY: Duration = Duration::from_secs(5);

/// Pages of the write-ahead log before they are moved into the file: 64 MiB, so that a busy follower
/// moves the page at the right edge once for thousands of rows.
const WAL_PAGES: i64 = 8_192;

/// Page size: a row takes about 150 bytes and rows arrive in the order of their key.
const PAGE_BYTES: i64 = 8_192;

/// Marks a file that is open where the system does not tell one boot from another.
const UNKNOWN_BOOT: &str = "unknown";

/// `runs` has its tenant first in the key: lists are by tenant, newest first, and need no other
/// index. `runs_unusual` leaves out what succeeded, so most runs never touch it.
const TABLES: &str = "
CREATE TABLE position (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL,
    boot TEXT
);
CREATE TABLE namespaces (
    ns INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE plans (
    plan INTEGER PRIMARY KEY,
    ns INTEGER NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    hash BLOB NOT NULL,
    tasks INTEGER NOT NULL,
    sink INTEGER,
    UNIQUE (ns, hash, name, version)
);
CREATE TABLE instances (
    seq INTEGER PRIMARY KEY,
    agents INTEGER NOT NULL
);
CREATE TABLE admissions (
    id INTEGER PRIMARY KEY,
    plan INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    decisions TEXT NOT NULL
);
CREATE TABLE runs (
    ns INTEGER NOT NULL,
    id BLOB NOT NULL,
    plan INTEGER NOT NULL,
    admission INTEGER,
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    accepted_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    tasks INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    output,
    output_bytes INTEGER,
    failure TEXT,
    records BLOB NOT NULL,
    progress BLOB,
    PRIMARY KEY (ns, id)
) WITHOUT ROWID;
CREATE INDEX runs_unusual ON runs (ns, state, id) WHERE state <> 5;
CREATE TABLE record_chunks (
    ns INTEGER NOT NULL,
    id BLOB NOT NULL,
    first INTEGER NOT NULL,
    records BLOB NOT NULL,
    PRIMARY KEY (ns, id, first)
) WITHOUT ROWID;
CREATE TABLE state_counts (
    ns INTEGER NOT NULL,
    state INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    PRIMARY KEY (ns, state)
) WITHOUT ROWID;
CREATE VIEW run_list AS
    SELECT lower(hex(runs.id)) AS id, namespaces.name AS namespace, plans.name AS workflow,
        plans.version AS version,
        CASE runs.state WHEN 0 THEN 'accepted' WHEN 1 THEN 'running' WHEN 2 THEN 'waiting'
            WHEN 3 THEN 'paused' WHEN 4 THEN 'parked' WHEN 5 THEN 'succeeded'
            WHEN 6 THEN 'failed' ELSE 'cancelled' END AS state,
        runs.accepted_ms, runs.ended_ms, runs.tasks, runs.succeeded, runs.failed,
        runs.output, runs.failure
    FROM runs JOIN namespaces USING (ns) JOIN plans USING (plan);
INSERT INTO position (one, seq) VALUES (1, 0);
";

/// Opens the file for the one writer; made anew if it is of another version or not to be trusted.
pub(super) fn open_writer(path: &Path, cache_bytes: u64) -> Result<Connection, StoreError> {
    make_private(path).map_err(|error| StoreError::io("make the views private", error))?;
    match try_open(path, cache_bytes) {
        Ok(db) => Ok(db),
        Err(Failure::Foreign) => Err(StoreError::new(
            ErrorKind::Conflict,
            format!("open the views `{}`: the file belongs to another program", path.display()),
        )
        .with_hint("move the file away, then start again")),
        Err(Failure::Sql(error)) if is_damaged(&error) => {
            remove(path)?;
            make_private(path).map_err(|error| StoreError::io("make the views private", error))?;
            try_open(path, cache_bytes).map_err(Failure::into_error)
        }
        Err(other) => Err(other.into_error()),
    }
}

enum Failure {
    Foreign,
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Sql(error)
    }
}

impl Failure {
    fn into_error(self) -> StoreError {
        match self {
            Failure::Foreign => StoreError::new(ErrorKind::Conflict, "open the views"),
            Failure::Sql(error) => failed("open the views", &error),
        }
    }
}

fn is_damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

fn try_open(path: &Path, cache_bytes: u64) -> Result<Connection, Failure> {
    let mut db = Connection::open(path)?;
    db.busy_timeout(BUSY)?;
    db.pragma_update(None, "page_size", PAGE_BYTES)?;
    db.pragma_update(None, "synchronous", "OFF")?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    db.pragma_update(None, "journal_size_limit", WAL_PAGES * PAGE_BYTES)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    let kib = i64::try_from(cache_bytes / 1_024).unwrap_or(i64::MAX);
    db.pragma_update(None, "cache_size", -kib)?;
    let application: i64 = pragma(&db, "application_id")?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && tables > 0 {
        return Err(Failure::Foreign);
    }
    let version: i64 = pragma(&db, "user_version")?;
    if version != VERSION || !is_whole(&db).unwrap_or(false) {
        make(&mut db)?;
    }
    mark(&db, Some(&boot().unwrap_or_else(|| UNKNOWN_BOOT.to_owned())))?;
    // Nothing is written without a sync before the mark that tells so is durable.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "OFF")?;
    Ok(db)
}

fn pragma(db: &Connection, name: &str) -> Result<i64, rusqlite::Error> {
    db.pragma_query_value(None, name, |row| row.get(0))
}

/// Whether nothing can have been lost: the file was closed properly, or the machine has been up
/// since, in which case the system kept every write.
fn is_whole(db: &Connection) -> Result<bool, rusqlite::Error> {
    let marked: Option<String> = db.query_row("SELECT boot FROM position", [], |row| row.get(0))?;
    Ok(marked.is_none() || marked == boot())
}

/// Notes in which boot of the machine the file is open; none: closed.
fn mark(db: &Connection, boot: Option<&str>) -> Result<(), rusqlite::Error> {
    db.execute("UPDATE position SET boot = ?1", [boot]).map(|_| ())
}

/// What is different after every start of the machine; none where the system does not tell, so that
/// every file that was not closed is made anew there.
fn boot() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// Makes everything written durable and marks the file as closed.
pub(super) fn close(db: &Connection) -> Result<(), StoreError> {
    let closed = || -> Result<(), rusqlite::Error> {
        db.pragma_update(None, "synchronous", "FULL")?;
        mark(db, None)?;
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    };
    closed().map_err(|error| failed("close the views", &error))
}

/// Drops everything and makes the tables again, for a connection in use.
pub(super) fn remake(db: &mut Connection) -> Result<(), StoreError> {
    let boot = boot().unwrap_or_else(|| UNKNOWN_BOOT.to_owned());
    make(db)
        .and_then(|()| mark(db, Some(&boot)))
        .map_err(|error| failed("rebuild the views", &error))
}

/// One transaction, so that readers see the old tables or empty new ones.
fn make(db: &mut Connection) -> Result<(), rusqlite::Error> {
    let tx = db.transaction()?;
    let old: Vec<(String, String)> = tx
        .prepare(
            "SELECT type, name FROM sqlite_schema
             WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (kind, name) in old {
        let quoted = name.replace('"', "\"\"");
        tx.execute_batch(&format!("DROP {kind} \"{quoted}\""))?;
    }
    tx.execute_batch(TABLES)?;
    tx.pragma_update(None, "application_id", APPLICATION)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()
}

/// Names and states of other people's work are in the file, and SQLite would let everybody read it. Its
/// companions get the mode that it has.
fn make_private(path: &Path) -> std::io::Result<()> {
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))
}

/// Removes a damaged file with its companions.
fn remove(path: &Path) -> Result<(), StoreError> {
    for ending in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        match std::fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove the damaged views", error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Opens the file for reading alone.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = || -> Result<Connection, rusqlite::Error> {
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(BUSY)?;
        Ok(db)
    };
    opened().map_err(|error| failed("open the views for reading", &error))
}

/// The newest record that the tables know.
pub(super) fn position(db: &Connection) -> Result<u64, StoreError> {
    db.prepare_cached("SELECT seq FROM position")
        .and_then(|mut select| select.query_row([], |row| row.get(0)))
        .map(number)
        .map_err(|error| failed("read the position of the views", &error))
}
