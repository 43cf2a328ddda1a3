//! Tenants, plans and admissions by number: a row names them in a few bytes.

use ark_os_core::event::Admission;
use ark_os_core::hash::Hash;
use ark_os_core::plan::Workflow;
use ark_os_core::text::Text;
use rusqlite::{Connection, OptionalExtension, params};
use rustc_hash::FxHashMap;

use super::{failed, int};
use crate::StoreError;

/// Entries of each table kept in memory. Beyond it all are forgotten and read again when they are
/// needed: simpler than ageing, and rarer than a new version of a workflow.
const KEPT_MAX: usize = 20_000;

/// What a run must know of its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Its number.
    pub(super) plan: i64,
    /// The number of its tenant.
    pub(super) ns: i64,
    /// How many nodes it has.
    pub(super) tasks: u32,
    /// The node whose output is the run's.
    pub(super) sink: Option<u32>,
}

/// The numbers that were used lately.
#[derive(Debug, Default)]
pub(super) struct Names {
    plans: FxHashMap<i64, Plan>,
    admissions: FxHashMap<u64, Plan>,
}

impl Names {
    /// The plan of this number.
    pub(super) fn plan(&mut self, db: &Connection, plan: i64) -> Result<Option<Plan>, StoreError> {
        if let Some(known) = self.plans.get(&plan) {
            return Ok(Some(*known));
        }
        let found = read_plan(db, "SELECT plan, ns, tasks, sink FROM plans WHERE plan = ?1", plan)?;
        if let Some(found) = found {
            make_room(&mut self.plans);
            self.plans.insert(plan, found);
        }
        Ok(found)
    }

    /// The plan that this admission let in.
    pub(super) fn admitted(
        &mut self,
        db: &Connection,
        admission: u64,
    ) -> Result<Option<Plan>, StoreError> {
        if let Some(known) = self.admissions.get(&admission) {
            return Ok(Some(*known));
        }
        let found = read_plan(
            db,
            "SELECT plan, ns, tasks, sink FROM plans
             WHERE plan = (SELECT plan FROM admissions WHERE id = ?1)",
            int(admission),
        )?;
        if let Some(found) = found {
            make_room(&mut self.admissions);
            self.admissions.insert(admission, found);
        }
        Ok(found)
    }

    /// Notes an admission.
    pub(super) fn admit(
        &mut self,
        db: &Connection,
        seq: u64,
        it: &Admission,
    ) -> Result<(), StoreError> {
        let plan = self.note(db, &it.namespace, &it.workflow)?;
        let decisions = serde_json::to_string(&it.decisions).unwrap_or_else(|_| "[]".to_owned());
        db.prepare_cached(
            "INSERT OR REPLACE INTO admissions (id, plan, seq, decisions) VALUES (?1, ?2, ?3, ?4)",
        )
        .and_then(|mut insert| insert.execute(params![int(it.id), plan.plan, int(seq), decisions]))
        .map_err(|error| failed("note an admission", &error))?;
        make_room(&mut self.admissions);
        self.admissions.insert(it.id, plan);
        Ok(())
    }

    /// The number of a plan, given to it now if it has none.
    pub(super) fn note(
        &mut self,
        db: &Connection,
        namespace: &Text,
        workflow: &Workflow,
    ) -> Result<Plan, StoreError> {
        let (ns, plan) = note(db, namespace, workflow)
            .map_err(|error| failed("note a workflow version", &error))?;
        let tasks = workflow.tasks.len() as u32;
        let noted = Plan { plan, ns, tasks, sink: sink(workflow) };
        make_room(&mut self.plans);
        self.plans.insert(plan, noted);
        Ok(noted)
    }
}

fn make_room<K, V>(table: &mut FxHashMap<K, V>) {
    if table.len() >= KEPT_MAX {
        table.clear();
    }
}

fn read_plan(db: &Connection, sql: &str, key: i64) -> Result<Option<Plan>, StoreError> {
    let found = db.prepare_cached(sql).and_then(|mut select| {
        select
            .query_row([key], |row| {
                Ok(Plan {
                    plan: row.get(0)?,
                    ns: row.get(1)?,
                    tasks: row.get(2)?,
                    sink: row.get(3)?,
                })
            })
            .optional()
    });
    found.map_err(|error| failed("read a workflow version", &error))
}

fn note(
    db: &Connection,
    namespace: &Text,
    workflow: &Workflow,
) -> Result<(i64, i64), rusqlite::Error> {
    let known = "SELECT ns FROM namespaces WHERE name = ?1";
    let new = "INSERT INTO namespaces (name) VALUES (?1) RETURNING ns";
    let name = [namespace.as_str()];
    let ns: Option<i64> = db.prepare_cached(known)?.query_row(name, |row| row.get(0)).optional()?;
    let ns = match ns {
        Some(ns) => ns,
        None => db.prepare_cached(new)?.query_row(name, |row| row.get(0))?,
    };
    let Hash(hash) = workflow.hash;
    let (name, version) = (workflow.name.as_str(), workflow.version.as_str());
    let known = "SELECT plan FROM plans WHERE ns = ?1 AND hash = ?2 AND name = ?3 AND version = ?4";
    let plan: Option<i64> = db
        .prepare_cached(known)?
        .query_row(params![ns, hash, name, version], |row| row.get(0))
        .optional()?;
    if let Some(plan) = plan {
        return Ok((ns, plan));
    }
    let new = "INSERT INTO plans (ns, hash, name, version, tasks, sink)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING plan";
    let tasks = workflow.tasks.len() as u32;
    let plan = db
        .prepare_cached(new)?
        .query_row(params![ns, hash, name, version, tasks, sink(workflow)], |row| row.get(0))?;
    Ok((ns, plan))
}

/// The only node that nothing depends on, where the plan has no template for the run's output.
fn sink(workflow: &Workflow) -> Option<u32> {
    if workflow.output.is_some() {
        return None;
    }
    let mut sinks = (0u32..)
        .zip(&workflow.tasks)
        .filter(|(_, task)| task.feeds.is_empty() && !task.is_fallback)
        .map(|(node, _)| node);
    let only = sinks.next()?;
    if sinks.next().is_some() { None } else { Some(only) }
}
