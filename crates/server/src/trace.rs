//! A run explained: its history folded into rows that say what took how long, by whom, at what
//! cost.
//!
//! One pass over the records in order. What is kept is what has begun and not ended, so memory
//! does not grow with the history; what takes time becomes a row when it ends.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ark_os_api::TraceRow;
use ark_os_core::Event;
use ark_os_core::budget::Amounts;
use ark_os_core::event::Admission;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::plan::Workflow;
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_runtime::{Admitted, Handle, RecordedEvents, RuntimeError};

use crate::events::AgentNames;

mod attempts;
mod live;
mod maps;
mod open;
mod pages;
mod rows;
mod steps;
mod tail;
mod waits;
mod wanted;

pub(crate) use live::{Live, held_by, limits_of};
use open::{OpenMap, OpenTask};
pub(crate) use pages::{Tracers, page_of};
use rows::Making;
pub(crate) use wanted::{Cursor, DEPTH_MAX, Wanted, task_named};

/// A run on the way through its history.
#[derive(Clone, Debug)]
pub(crate) struct Tracer {
    run: RunId,
    wanted: Wanted,
    /// Rows up to this one were given already.
    given: Cursor,
    /// When the run was accepted.
    start: Time,
    plan: Option<Arc<Workflow>>,
    /// The newest record that was taken in.
    through: u64,
    tasks: BTreeMap<TaskRef, OpenTask>,
    maps: BTreeMap<u32, OpenMap>,
    /// The keys under which nodes are counted by their limits.
    keys: BTreeMap<u32, Text>,
    /// The newest admission that the history itself has.
    admitted: Option<Arc<Admitted>>,
    /// The admission whose decisions were told.
    told: Option<u64>,
    /// Head of the chain of proofs so far.
    proof: Hash,
    spent: Amounts,
    is_over: bool,
    /// Rows that are ready to be given.
    pending: VecDeque<TraceRow>,
}

impl Tracer {
    /// The beginning of a run's history; none: there is no such run.
    fn begin(
        handle: &Handle,
        run: RunId,
        wanted: Wanted,
        given: Cursor,
    ) -> Result<Option<Self>, RuntimeError> {
        let Some(beginning) = beginning(handle, run)? else { return Ok(None) };
        Ok(Some(Tracer {
            run,
            wanted,
            given,
            start: beginning.accepted,
            plan: beginning.plan,
            through: 0,
            tasks: BTreeMap::new(),
            maps: BTreeMap::new(),
            keys: BTreeMap::new(),
            admitted: None,
            told: None,
            proof: Hash::ZERO,
            spent: Amounts::ZERO,
            is_over: false,
            pending: VecDeque::new(),
        }))
    }

    /// Takes the next record in.
    fn take(
        &mut self,
        recorded: &RecordedEvents,
        names: &AgentNames,
        handle: &Handle,
    ) -> Result<(), RuntimeError> {
        for (index, event) in recorded.change.events.iter().enumerate() {
            let mut making = Making { tracer: self, recorded, index, rows: 0, names };
            making.take(event, handle)?;
        }
        self.through = recorded.seq;
        Ok(())
    }
}

/// How a run began.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) accepted: Time,
    pub(crate) plan: Option<Arc<Workflow>>,
    /// The run whose child it is.
    pub(crate) parent: Option<RunId>,
}

/// Reads how a run began; none: there is no such run.
///
/// # Errors
/// The history cannot be read.
pub(crate) fn beginning(handle: &Handle, run: RunId) -> Result<Option<Beginning>, RuntimeError> {
    let page = handle.history(run, 0, 1)?;
    let Some(first) = page.records.first() else { return Ok(None) };
    let mut beginning = Beginning { accepted: first.change.at, plan: None, parent: None };
    let mut number = None;
    for event in &first.change.events {
        match event {
            Event::WorkflowAdmitted(admission) => {
                beginning.plan = Some(admission.workflow.clone());
            }
            Event::RunAccepted(accepted) => {
                number = accepted.admission;
                beginning.parent = accepted.parent.as_ref().map(|parent| parent.run);
                if let Some(pending) = &accepted.pending {
                    beginning.plan = Some(pending.workflow.clone());
                }
            }
            _ => {}
        }
    }
    if beginning.plan.is_none()
        && let Some(number) = number
    {
        beginning.plan = handle.admission(number)?.map(|it| it.admission.workflow);
    }
    Ok(Some(beginning))
}

/// What a record says about an admission, as if it had been read from there.
fn admitted_here(recorded: &RecordedEvents, admission: &Admission) -> Arc<Admitted> {
    let (seq, at) = (recorded.seq, recorded.change.at);
    Arc::new(Admitted { seq, at, admission: Box::new(admission.clone()) })
}
