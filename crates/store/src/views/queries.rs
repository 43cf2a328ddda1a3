//! Questions to the views, from any number of threads, each on a connection of its own.

use std::path::Path;
use std::sync::Arc;

use ark_os_core::hash::Hash;
use ark_os_core::ids::RunId;
use ark_os_core::run::RunState;
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::bytes::sequences;
use super::pool::Pool;
use super::rows::{self, RunRow, TaskTally};
use super::{failed, int, number, scan, schema};
use crate::StoreError;

/// Runs of one page. With outputs of 16 KiB and failures of 32 KiB a page is 24 MiB at the worst.
pub const RUNS_PAGE_MAX: usize = 500;
/// Record numbers of one page: what a page of a run's history can need.
pub const RECORDS_PAGE_MAX: usize = 10_000;
/// Bytes of a cursor's text; a longer one is not ours.
const CURSOR_BYTES_MAX: usize = 1_024;

/// Which runs to list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFilter {
    /// Of this tenant.
    pub namespace: Text,
    /// In one of these states; empty: in any.
    pub states: Vec<RunState>,
    /// Of the workflow of this name.
    pub workflow: Option<Text>,
    /// Accepted at this moment or later.
    pub since: Option<Time>,
    /// Accepted before this moment.
    pub until: Option<Time>,
}

/// Where a list goes on. Runs that arrive meanwhile are newer and do not shift it. Text: opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    namespace: Text,
    below: RunId,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// In order. May be short, even empty, though the list goes on.
    pub items: Vec<T>,
    /// Where it goes on; none: this was the end.
    pub next: Option<Cursor>,
}

/// What let a workflow version in.
#[derive(Clone, Debug, PartialEq)]
pub struct AdmissionRow {
    /// Its number.
    pub id: u64,
    /// The record that has it.
    pub seq: u64,
    /// The tenant.
    pub namespace: Text,
    /// Name of the workflow.
    pub workflow: Text,
    /// Version of the workflow, the author's.
    pub version: Text,
    /// Digest of the workflow.
    pub workflow_hash: Hash,
    /// One decision a layer, highest first, as a JSON list.
    pub decisions: String,
}

/// The reading side of the views. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queries {
    pool: Arc<Pool>,
}

impl Cursor {
    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > CURSOR_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (below, namespace) = bytes.split_first_chunk::<16>()?;
        let namespace = Text::from(std::str::from_utf8(namespace).ok()?);
        Some(Cursor { namespace, below: RunId::from_bytes(*below) })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = self.below.to_bytes().to_vec();
        bytes.extend_from_slice(self.namespace.as_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl Queries {
    pub(super) fn new(path: &Path) -> Self {
        Queries { pool: Arc::new(Pool::new(path)) }
    }

    /// The newest record that the tables know; 0: none.
    pub fn position(&self) -> Result<u64, StoreError> {
        self.pool.with(schema::position)
    }

    /// A run, whoever's it is: compare its tenant with the caller's. Looks once in each tenant's
    /// part of the table.
    pub fn run(&self, id: RunId) -> Result<Option<RunRow>, StoreError> {
        self.pool.with(|db| {
            let found = db
                .prepare_cached(RUN)
                .and_then(|mut select| select.query_row([id.to_bytes()], run_row).optional());
            found.map_err(|error| failed("read a run", &error))
        })
    }

    /// Runs of one tenant, newest first, at most [`RUNS_PAGE_MAX`] (and at least one is asked for).
    pub fn runs(
        &self,
        filter: &RunFilter,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<RunRow>, StoreError> {
        if cursor.is_some_and(|cursor| cursor.namespace != filter.namespace) {
            return Err(StoreError::invalid("list runs: the cursor belongs to another namespace")
                .with_hint("begin again without a cursor"));
        }
        let limit = limit.clamp(1, RUNS_PAGE_MAX);
        self.pool
            .with(|db| page(db, filter, cursor, limit).map_err(|error| failed("list runs", &error)))
    }

    /// The numbers of a run's records after one, in order, at most [`RECORDS_PAGE_MAX`].
    pub fn records_of(
        &self,
        run: RunId,
        after_seq: u64,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        let limit = limit.min(RECORDS_PAGE_MAX);
        self.pool.with(|db| {
            records(db, run, after_seq, limit)
                .map_err(|error| failed("read the record numbers of a run", &error))
        })
    }

    /// How many runs of a tenant are in each state; states without runs are left out.
    pub fn counts_by_state(&self, namespace: &str) -> Result<Vec<(RunState, u64)>, StoreError> {
        self.pool.with(|db| counts(db, namespace).map_err(|error| failed("count runs", &error)))
    }

    /// What let a workflow version in.
    pub fn admission(&self, id: u64) -> Result<Option<AdmissionRow>, StoreError> {
        self.pool.with(|db| {
            let found = db
                .prepare_cached(ADMISSION)
                .and_then(|mut select| select.query_row([int(id)], admission_row).optional());
            found.map_err(|error| failed("read an admission", &error))
        })
    }

    /// Starts of an instance that records `from..=to` may speak of, oldest first: the record, and
    /// how many agents the fleet had. One a restart, so they are few.
    pub fn instances(&self, from: u64, to: u64) -> Result<Vec<(u64, u32)>, StoreError> {
        self.pool.with(|db| {
            let found = || -> Result<Vec<(u64, u32)>, rusqlite::Error> {
                let mut select = db.prepare_cached(INSTANCES)?;
                let rows = select.query_map([int(from), int(to)], |row| {
                    Ok((number(row.get(0)?), row.get(1)?))
                })?;
                rows.collect()
            };
            found().map_err(|error| failed("read the starts of instances", &error))
        })
    }
}

const INSTANCES: &str = "
SELECT seq, agents FROM instances WHERE seq <= ?2
    AND seq >= coalesce((SELECT max(seq) FROM instances WHERE seq <= ?1), 0)
ORDER BY seq";

const RUN: &str = "
SELECT runs.id, namespaces.name, plans.name, plans.version, plans.hash, admission, state, priority,
    accepted_ms, ended_ms, runs.tasks, succeeded, failed, output, output_bytes, failure
FROM runs CROSS JOIN namespaces ON namespaces.ns = runs.ns CROSS JOIN plans ON plans.plan = runs.plan
WHERE runs.ns IN (SELECT ns FROM namespaces) AND runs.id = ?1";

const RUN_OF: &str = "
SELECT runs.id, namespaces.name, plans.name, plans.version, plans.hash, admission, state, priority,
    accepted_ms, ended_ms, runs.tasks, succeeded, failed, output, output_bytes, failure
FROM runs CROSS JOIN namespaces ON namespaces.ns = runs.ns CROSS JOIN plans ON plans.plan = runs.plan
WHERE runs.ns = ?2 AND runs.id = ?1";

const ADMISSION: &str = "
SELECT admissions.id, namespaces.name, plans.name, plans.version, plans.hash, decisions, seq
FROM admissions JOIN plans USING (plan) JOIN namespaces USING (ns) WHERE admissions.id = ?1";

fn text(row: &Row<'_>, column: usize) -> Result<Text, rusqlite::Error> {
    Ok(Text::from(row.get_ref(column)?.as_str()?))
}

fn admission_row(row: &Row<'_>) -> Result<AdmissionRow, rusqlite::Error> {
    Ok(AdmissionRow {
        id: number(row.get(0)?),
        namespace: text(row, 1)?,
        workflow: text(row, 2)?,
        version: text(row, 3)?,
        workflow_hash: Hash(row.get(4)?),
        decisions: row.get(5)?,
        seq: number(row.get(6)?),
    })
}

fn run_row(row: &Row<'_>) -> Result<RunRow, rusqlite::Error> {
    let ended: Option<i64> = row.get(9)?;
    let output = rows::output(row.get_ref(13)?, row.get(14)?)?;
    Ok(RunRow {
        id: RunId::from_bytes(row.get(0)?),
        namespace: text(row, 1)?,
        workflow: text(row, 2)?,
        version: text(row, 3)?,
        workflow_hash: Hash(row.get(4)?),
        admission: row.get::<_, Option<i64>>(5)?.map(number),
        state: rows::run_state(row.get(6)?).ok_or(rusqlite::Error::InvalidQuery)?,
        priority: rows::priority(row.get(7)?).ok_or(rusqlite::Error::InvalidQuery)?,
        accepted: Time(number(row.get(8)?)),
        ended: ended.map(|ms| Time(number(ms))),
        tasks: TaskTally { total: row.get(10)?, succeeded: row.get(11)?, failed: row.get(12)? },
        // While it is under way the column holds that of its sink.
        output: output.filter(|_| ended.is_some()),
        failure: row.get(15)?,
    })
}

fn tenant(db: &Connection, namespace: &str) -> Result<Option<i64>, rusqlite::Error> {
    db.prepare_cached("SELECT ns FROM namespaces WHERE name = ?1")?
        .query_row([namespace], |row| row.get(0))
        .optional()
}

/// In one transaction, so that the rows are those that were found.
fn page(
    db: &Connection,
    filter: &RunFilter,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Page<RunRow>, rusqlite::Error> {
    let tx = db.unchecked_transaction()?;
    let Some(ns) = tenant(&tx, &filter.namespace)? else {
        return Ok(Page { items: Vec::new(), next: None });
    };
    let found = scan::scan(&tx, ns, filter, cursor.map(|cursor| cursor.below), limit)?;
    let mut select = tx.prepare_cached(RUN_OF)?;
    let mut items = Vec::with_capacity(found.ids.len());
    for id in found.ids {
        items.push(select.query_row(params![id.to_bytes(), ns], run_row)?);
    }
    let next = found.reached.map(|below| Cursor { namespace: filter.namespace.clone(), below });
    Ok(Page { items, next })
}

/// Chunks first, the row's own list last: later numbers are later in the list.
fn records(
    db: &Connection,
    run: RunId,
    after: u64,
    limit: usize,
) -> Result<Vec<u64>, rusqlite::Error> {
    let tx = db.unchecked_transaction()?;
    let id = run.to_bytes();
    let row: Option<(i64, Vec<u8>)> = tx
        .prepare_cached(
            "SELECT ns, records FROM runs WHERE ns IN (SELECT ns FROM namespaces) AND id = ?1",
        )?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((ns, newest)) = row else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let mut select = tx.prepare_cached(
        "SELECT records FROM record_chunks WHERE ns = ?1 AND id = ?2 AND first >= coalesce(
            (SELECT max(first) FROM record_chunks WHERE ns = ?1 AND id = ?2 AND first <= ?3), 0)
         ORDER BY first",
    )?;
    let mut chunks = select.query(params![ns, id, int(after)])?;
    while found.len() < limit
        && let Some(chunk) = chunks.next()?
    {
        let bytes = chunk.get_ref(0)?.as_blob()?;
        found.extend(sequences(bytes).filter(|seq| *seq > after));
    }
    found.extend(sequences(&newest).filter(|seq| *seq > after));
    found.truncate(limit);
    Ok(found)
}

fn counts(db: &Connection, namespace: &str) -> Result<Vec<(RunState, u64)>, rusqlite::Error> {
    let mut select = db.prepare_cached(
        "SELECT state, runs FROM state_counts JOIN namespaces USING (ns)
         WHERE name = ?1 AND runs > 0 ORDER BY state",
    )?;
    let mut rows = select.query([namespace])?;
    let mut found = Vec::with_capacity(RunState::ALL.len());
    while let Some(row) = rows.next()? {
        if let Some(state) = rows::run_state(row.get(0)?) {
            found.push((state, number(row.get(1)?)));
        }
    }
    Ok(found)
}
