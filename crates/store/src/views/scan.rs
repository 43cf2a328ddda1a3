//! Finding the runs of a list, newest first, without ever looking at more rows than a limit.

use ark_os_core::ids::RunId;
use ark_os_core::run::RunState;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use rustc_hash::FxHashMap;

use super::queries::RunFilter;
use super::{int, rows};

/// Rows that one call looks at. Beyond it the page is short and its cursor goes on: the call takes
/// tens of milliseconds at most, whatever the filter.
pub const SCAN_MAX: usize = 50_000;

/// What was found, newest first.
#[derive(Debug)]
pub(super) struct Found {
    /// Runs that the filter lets through.
    pub(super) ids: Vec<RunId>,
    /// Everything from here up was looked at; none: everything was.
    pub(super) reached: Option<RunId>,
}

/// Only the columns that a filter looks at: a scan reads no output.
const ALL_BELOW: &str = "
SELECT id, state, plan, accepted_ms FROM runs WHERE ns = ?1 AND id < ?2 ORDER BY id DESC";

const ONE_STATE: &str = "
SELECT id, state, plan, accepted_ms FROM runs
WHERE ns = ?1 AND state = ?3 AND state <> 5 AND id < ?2 ORDER BY id DESC";

/// The first `limit` runs of the filter below a run.
pub(super) fn scan(
    db: &Connection,
    ns: i64,
    filter: &RunFilter,
    below: Option<RunId>,
    limit: usize,
) -> Result<Found, rusqlite::Error> {
    let budget = Budget { rows: SCAN_MAX, limit };
    let mut sieve = Sieve::new(db, filter)?;
    // Seventeen bytes are more than any sixteen.
    let below = below.map_or(vec![0xff; 17], |id| id.to_bytes().to_vec());
    if filter.states.is_empty() || filter.states.contains(&RunState::Succeeded) {
        let select = db.prepare_cached(ALL_BELOW)?;
        return run(select, params![ns, below], &mut sieve, budget);
    }
    let mut states: Vec<i64> = filter.states.iter().map(|it| rows::state_number(*it)).collect();
    states.sort_unstable();
    states.dedup();
    let mut merged = Found { ids: Vec::new(), reached: None };
    let share = Budget { rows: SCAN_MAX / states.len().max(1), limit };
    for state in states {
        let select = db.prepare_cached(ONE_STATE)?;
        let found = run(select, params![ns, below, state], &mut sieve, share)?;
        merged.ids.extend(found.ids);
        merged.reached = merged.reached.max(found.reached);
    }
    merged.ids.sort_unstable_by(|a, b| b.cmp(a));
    if let Some(reached) = merged.reached {
        merged.ids.retain(|id| *id >= reached);
    }
    if merged.ids.len() > limit {
        merged.ids.truncate(limit);
        merged.reached = merged.ids.last().copied();
    }
    Ok(merged)
}

/// How much one scan may do.
#[derive(Clone, Copy)]
struct Budget {
    rows: usize,
    limit: usize,
}

fn run(
    mut select: CachedStatement<'_>,
    params: &[&dyn rusqlite::ToSql],
    sieve: &mut Sieve<'_>,
    mut budget: Budget,
) -> Result<Found, rusqlite::Error> {
    let mut found = Found { ids: Vec::new(), reached: None };
    let mut rows = select.query(params)?;
    while let Some(row) = rows.next()? {
        let id = RunId::from_bytes(row.get(0)?);
        budget.rows = budget.rows.saturating_sub(1);
        if sieve.lets_through(row.get(1)?, row.get(2)?, row.get(3)?)? {
            found.ids.push(id);
        }
        if found.ids.len() >= budget.limit || budget.rows == 0 {
            found.reached = Some(id);
            return Ok(found);
        }
    }
    Ok(found)
}

/// The filter, with what it has learnt about plans.
struct Sieve<'a> {
    filter: &'a RunFilter,
    states: Vec<i64>,
    plans: FxHashMap<i64, bool>,
    name_of: CachedStatement<'a>,
}

impl<'a> Sieve<'a> {
    fn new(db: &'a Connection, filter: &'a RunFilter) -> Result<Self, rusqlite::Error> {
        Ok(Sieve {
            filter,
            states: filter.states.iter().map(|state| rows::state_number(*state)).collect(),
            plans: FxHashMap::default(),
            name_of: db.prepare_cached("SELECT name FROM plans WHERE plan = ?1")?,
        })
    }

    fn lets_through(&mut self, state: i64, plan: i64, at: i64) -> Result<bool, rusqlite::Error> {
        let filter = self.filter;
        if !(self.states.is_empty() || self.states.contains(&state))
            || filter.since.is_some_and(|since| at < int(since.0))
            || filter.until.is_some_and(|until| at >= int(until.0))
        {
            return Ok(false);
        }
        let Some(workflow) = &filter.workflow else { return Ok(true) };
        if let Some(known) = self.plans.get(&plan) {
            return Ok(*known);
        }
        let name: Option<String> = self.name_of.query_row([plan], |row| row.get(0)).optional()?;
        let same = name.as_deref() == Some(workflow.as_str());
        self.plans.insert(plan, same);
        Ok(same)
    }
}
