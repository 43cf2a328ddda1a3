//! The follower: folds committed records into the tables, a transaction a call.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::sync::LazyLock;

use ark_os_core::event::{Event, RunAccepted};
use ark_os_core::ids::RunId;
use ark_os_core::time::Time;
use rusqlite::{Connection, OptionalExtension, Row, Statement, ToSql, Transaction, params};
use rustc_hash::FxHashMap;

use super::live::{Live, Stored};
use super::names::Names;
use super::rows::{self, TaskTally};
use super::{ViewsOptions, failed, int, number, schema};
use crate::{ErrorKind, StoreError};

/// A committed record with its decoded events.
#[derive(Clone, Copy, Debug)]
pub struct Followed<'a> {
    /// Its place in the journal; the first is 1.
    pub seq: u64,
    /// When it was decided.
    pub at: Time,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// What it says.
    pub events: &'a [Event],
}

/// The one writer of the views.
#[derive(Debug)]
pub struct Follower {
    db: Connection,
    options: ViewsOptions,
    memory: Memory,
}

/// What is in memory between batches; all of it can be read back from the tables.
#[derive(Debug, Default)]
struct Memory {
    position: u64,
    runs: FxHashMap<RunId, Live>,
    names: Names,
    /// Runs that differ from their rows, with their tenants.
    changed: Vec<(i64, RunId)>,
    /// By tenant and state: by how much the number of runs changes.
    moved: BTreeMap<(i64, i64), i64>,
}

impl Follower {
    pub(super) fn new(db: Connection, options: ViewsOptions) -> Result<Self, StoreError> {
        // Every statement of the views, and then some.
        db.set_prepared_statement_cache_capacity(32);
        let position = schema::position(&db)?;
        let memory = Memory { position, ..Memory::default() };
        Ok(Follower { db, options, memory })
    }

    /// The newest record that the tables know; 0: none.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.memory.position
    }

    /// Folds records in, all or none; those it knows already change nothing. Every record of the
    /// journal is passed, in order, also those of no run and without events: a gap is refused.
    pub fn follow(&mut self, batch: &[Followed<'_>]) -> Result<(), StoreError> {
        let known = batch.partition_point(|record| record.seq <= self.memory.position);
        let fresh = batch.get(known..).unwrap_or_default();
        if fresh.is_empty() {
            return Ok(());
        }
        let result = self.fold(fresh);
        if result.is_err() {
            // What is in memory may be ahead of the tables: they are right.
            let position = self.memory.position;
            self.memory = Memory { position, ..Memory::default() };
        }
        result
    }

    /// Leaves records out that nobody can read any more: the next record to follow is the one behind `position`.
    pub fn skip_to(&mut self, position: u64) -> Result<(), StoreError> {
        self.db
            .execute("UPDATE position SET seq = ?1", [int(position)])
            .map_err(|error| failed("leave records out of the views", &error))?;
        self.memory = Memory { position, ..Memory::default() };
        Ok(())
    }

    /// Drops everything: the next record to follow is the first.
    pub fn rebuild(&mut self) -> Result<(), StoreError> {
        self.memory = Memory { position: self.memory.position, ..Memory::default() };
        schema::remake(&mut self.db)?;
        self.memory.position = 0;
        Ok(())
    }

    /// Makes the tables durable, so that they are trusted after the next start of the machine too.
    pub fn close(self) -> Result<(), StoreError> {
        schema::close(&self.db)
    }

    fn fold(&mut self, fresh: &[Followed<'_>]) -> Result<(), StoreError> {
        let tx = self.db.transaction().map_err(|error| failed("begin a batch", &error))?;
        let mut position = self.memory.position;
        for record in fresh {
            if record.seq != position + 1 {
                return Err(gap(position, record.seq));
            }
            position = record.seq;
            self.memory.take_in(&tx, record)?;
        }
        self.memory.write(&tx, position)?;
        tx.commit().map_err(|error| failed("commit a batch", &error))?;
        self.memory.position = position;
        self.memory.settle(self.options.runs_kept_max);
        Ok(())
    }
}

/// Which fleet the records from here on speak of.
fn note_instance(tx: &Transaction<'_>, seq: u64, agents: u32) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR REPLACE INTO instances (seq, agents) VALUES (?1, ?2)")
        .and_then(|mut insert| insert.execute(params![int(seq), agents]))
        .map(|_| ())
        .map_err(|error| failed("note the start of an instance", &error))
}

fn gap(position: u64, seq: u64) -> StoreError {
    let message = format!("follow record {seq}: the views are at {position}");
    StoreError::new(ErrorKind::Invalid, message).with_hint("feed the records that are missing")
}

impl Memory {
    fn take_in(&mut self, tx: &Transaction<'_>, record: &Followed<'_>) -> Result<(), StoreError> {
        // First what makes runs and plans known, then what happens to the run: it is one run's record.
        for event in record.events {
            match (event, record.run) {
                (Event::WorkflowAdmitted(admission), _) => {
                    self.names.admit(tx, record.seq, admission)?;
                }
                (Event::InstanceStarted(it), _) => note_instance(tx, record.seq, it.agents)?,
                (Event::RunAccepted(accepted), Some(id)) => {
                    self.accept(tx, id, accepted, record.at)?;
                }
                _ => {}
            }
        }
        let Some(id) = record.run else { return Ok(()) };
        let Some(run) = self.run(tx, id)? else { return Ok(()) };
        for event in record.events {
            run.apply(event, record.at);
        }
        let (ns, newly) = (run.plan.ns, !std::mem::replace(&mut run.changed, true));
        let full = run.records.push(record.seq);
        if newly {
            self.changed.push((ns, id));
        }
        let Some(full) = full else { return Ok(()) };
        tx.prepare_cached(
            "INSERT INTO record_chunks (ns, id, first, records) VALUES (?1, ?2, ?3, ?4)",
        )
        .and_then(|mut insert| {
            insert.execute(params![ns, id.to_bytes(), int(full.first()), full.bytes()])
        })
        .map(|_| ())
        .map_err(|error| failed("write a chunk of record numbers", &error))
    }

    /// A run whose plan nobody has told is no run, as in the core.
    fn accept(
        &mut self,
        tx: &Transaction<'_>,
        id: RunId,
        accepted: &RunAccepted,
        at: Time,
    ) -> Result<(), StoreError> {
        let admitted = match accepted.admission {
            Some(admission) => self.names.admitted(tx, admission)?,
            None => None,
        };
        let plan = match (admitted, &accepted.pending) {
            (Some(plan), _) => plan,
            (None, Some(it)) => self.names.note(tx, &it.namespace, &it.workflow)?,
            (None, None) => return Ok(()),
        };
        self.runs.insert(id, Live::new(id, plan, accepted, at));
        Ok(())
    }

    /// The run in memory, or as its row has it.
    fn run(&mut self, tx: &Transaction<'_>, id: RunId) -> Result<Option<&mut Live>, StoreError> {
        if !self.runs.contains_key(&id) {
            let Some(found) = self.load(tx, id)? else { return Ok(None) };
            self.runs.insert(id, found);
        }
        Ok(self.runs.get_mut(&id))
    }

    fn load(&mut self, tx: &Transaction<'_>, id: RunId) -> Result<Option<Live>, StoreError> {
        let found = tx
            .prepare_cached(SELECT)
            .and_then(|mut select| select.query_row([id.to_bytes()], stored).optional())
            .map_err(|error| failed("read a run back", &error))?;
        let Some((plan, mut row)) = found else { return Ok(None) };
        let unreadable = || {
            StoreError::new(ErrorKind::Unavailable, format!("read run `{id}` back from its row"))
                .with_hint("run `ark-os views rebuild`")
        };
        row.plan = self.names.plan(tx, plan)?.ok_or_else(unreadable)?;
        Live::from_row(row).map(Some).ok_or_else(unreadable)
    }

    /// Writes what changed, in the order of the key so that new rows are appended.
    fn write(&mut self, tx: &Transaction<'_>, position: u64) -> Result<(), StoreError> {
        self.changed.sort_unstable();
        self.write_runs(tx).map_err(|error| failed("write the rows of a batch", &error))?;
        let counted = || -> Result<(), rusqlite::Error> {
            let mut add = tx.prepare_cached(
                "INSERT INTO state_counts (ns, state, runs) VALUES (?1, ?2, ?3)
                 ON CONFLICT (ns, state) DO UPDATE SET runs = runs + excluded.runs",
            )?;
            for ((ns, state), change) in &self.moved {
                add.execute([ns, state, change])?;
            }
            tx.prepare_cached("UPDATE position SET seq = ?1")?.execute([int(position)])?;
            Ok(())
        };
        counted().map_err(|error| failed("write the counts of a batch", &error))
    }

    fn write_runs(&mut self, tx: &Transaction<'_>) -> Result<(), rusqlite::Error> {
        let mut update = tx.prepare_cached(UPDATE)?;
        let mut fresh = Vec::with_capacity(self.changed.len());
        for (_, id) in &self.changed {
            let Some(run) = self.runs.get_mut(id) else { continue };
            let state = run.state();
            let before = run.counted.replace(state);
            if before != Some(state) {
                let mut count = |state, change| {
                    let number = rows::state_number(state);
                    *self.moved.entry((run.plan.ns, number)).or_insert(0) += change;
                };
                count(state, 1);
                before.iter().for_each(|old| count(*old, -1));
            }
            if before.is_some() {
                bind(&mut update, 0, run)?;
                update.raw_execute()?;
            } else {
                fresh.push(*id);
            }
        }
        let runs: Vec<&Live> = fresh.iter().filter_map(|id| self.runs.get(id)).collect();
        insert(tx, &runs)
    }

    /// After the commit: runs that are over leave memory, and if it holds too many, all do.
    fn settle(&mut self, runs_kept_max: usize) {
        self.moved.clear();
        for (_, id) in self.changed.drain(..) {
            let Entry::Occupied(mut run) = self.runs.entry(id) else { continue };
            run.get_mut().changed = false;
            if run.get().state().is_over() {
                run.remove();
            }
        }
        if self.runs.len() > runs_kept_max {
            self.runs = FxHashMap::default();
        }
    }
}

/// Columns of a row that are written.
const COLUMNS: usize = 16;

/// Rows put in by one statement: the rows of a batch follow each other, and a statement that goes on
/// where it is does not look for the place of each from the root of the table.
const INSERT_ROWS: usize = 32;

static INSERT: LazyLock<String> = LazyLock::new(|| insert_of(1));
static INSERT_MANY: LazyLock<String> = LazyLock::new(|| insert_of(INSERT_ROWS));

fn insert_of(rows: usize) -> String {
    let row = format!("({})", ["?"; COLUMNS].join(", "));
    format!(
        "INSERT INTO runs (ns, id, admission, state, ended_ms, tasks, succeeded, failed, output,
             output_bytes, failure, records, progress, plan, priority, accepted_ms)
         VALUES {}",
        vec![row; rows].join(", ")
    )
}

/// The last three parameters never change and are bound for nothing, so that one function binds
/// both statements.
const UPDATE: &str = "
UPDATE runs SET admission = ?3, state = ?4, ended_ms = ?5, tasks = ?6, succeeded = ?7, failed = ?8,
    output = ?9, output_bytes = ?10, failure = ?11, records = ?12, progress = ?13, plan = ?14,
    priority = ?15, accepted_ms = ?16
WHERE ns = ?1 AND id = ?2";

const SELECT: &str = "
SELECT id, plan, admission, state, priority, accepted_ms, ended_ms, tasks, succeeded, failed, output,
    output_bytes, failure, records, progress
FROM runs WHERE ns IN (SELECT ns FROM namespaces) AND id = ?1";

/// Puts in the rows of runs that have none, which stand in the order of their keys.
fn insert(tx: &Transaction<'_>, runs: &[&Live]) -> Result<(), rusqlite::Error> {
    let (many, rest) = runs.as_chunks::<INSERT_ROWS>();
    let mut statement = tx.prepare_cached(&INSERT_MANY)?;
    for runs in many {
        for (row, run) in runs.iter().enumerate() {
            bind(&mut statement, row, run)?;
        }
        statement.raw_execute()?;
    }
    let mut statement = tx.prepare_cached(&INSERT)?;
    for run in rest {
        bind(&mut statement, 0, run)?;
        statement.raw_execute()?;
    }
    Ok(())
}

/// Binds the columns of a run to the parameters of the row of this number.
fn bind(statement: &mut Statement<'_>, row: usize, run: &Live) -> Result<(), rusqlite::Error> {
    let tally = run.tally();
    let output = run.output.as_ref().map(rows::OutputColumns::of);
    let progress = run.progress_bytes();
    let columns: [&dyn ToSql; COLUMNS] = [
        &run.plan.ns,
        &run.id.to_bytes(),
        &run.admission.map(int),
        &rows::state_number(run.state()),
        &run.ended.map(|ended| int(ended.0)),
        &tally.total,
        &tally.succeeded,
        &tally.failed,
        &output.as_ref().map(|it| it.value()),
        &output.as_ref().and_then(|it| it.bytes()),
        &run.failure,
        &run.records.bytes(),
        &progress.as_deref(),
        &run.plan.plan,
        &run.priority,
        &int(run.accepted.0),
    ];
    for (column, value) in columns.into_iter().enumerate() {
        statement.raw_bind_parameter(row * COLUMNS + column + 1, value)?;
    }
    Ok(())
}

/// The plan's number, and the row with a plan still to be looked up.
fn stored(row: &Row<'_>) -> Result<(i64, Stored), rusqlite::Error> {
    let plan: i64 = row.get(1)?;
    let unknown = super::names::Plan { plan, ns: 0, tasks: 0, sink: None };
    let stored = Stored {
        id: RunId::from_bytes(row.get(0)?),
        plan: unknown,
        admission: row.get::<_, Option<i64>>(2)?.map(number),
        state: rows::run_state(row.get(3)?).ok_or(rusqlite::Error::InvalidQuery)?,
        priority: row.get(4)?,
        accepted: Time(number(row.get(5)?)),
        ended: row.get::<_, Option<i64>>(6)?.map(|ms| Time(number(ms))),
        tally: TaskTally { total: row.get(7)?, succeeded: row.get(8)?, failed: row.get(9)? },
        output: rows::output(row.get_ref(10)?, row.get(11)?)?,
        failure: row.get(12)?,
        records: row.get_ref(13)?.as_blob()?.into(),
        progress: row.get(14)?,
    };
    Ok((plan, stored))
}
