//! Pages of a trace: each goes on where the one before ended.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use ark_os_api::TraceView;
use ark_os_core::ids::RunId;
use ark_os_runtime::{Handle, RuntimeError};

use super::{Cursor, Live, Tracer, Wanted};
use crate::events::AgentNames;
use crate::words;

/// Places in traces that are kept: whoever pages on goes on there, everybody else begins again.
const KEPT_MAX: usize = 32;
/// Records behind the cursor that one page looks at; a page without that many rows is short.
const LOOKED_AT_MAX: u64 = 50_000;

/// Where pages ended lately, newest first.
#[derive(Debug, Default)]
pub(crate) struct Tracers {
    kept: Mutex<VecDeque<(Cursor, Arc<Tracer>)>>,
}

impl Tracers {
    fn find(&self, run: RunId, after: Cursor, wanted: &Wanted) -> Option<Tracer> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |(cursor, it): &&(Cursor, Arc<Tracer>)| {
            *cursor == after && it.run == run && it.wanted == *wanted
        };
        let found = kept.iter().find(is_it).map(|(_, tracer)| tracer.clone());
        drop(kept);
        found.map(Arc::unwrap_or_clone)
    }

    fn keep(&self, cursor: Cursor, tracer: Tracer) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((cursor, Arc::new(tracer)));
        kept.truncate(KEPT_MAX);
    }
}

/// A page of a run's trace; none: there is no such run.
///
/// # Errors
/// The history cannot be read.
pub(crate) fn page_of(
    handle: &Handle,
    tracers: &Tracers,
    run: RunId,
    wanted: Wanted,
    (after, limit): (Cursor, usize),
    live: &Live,
) -> Result<Option<TraceView>, RuntimeError> {
    let known = tracers.find(run, after, &wanted);
    let tracer = match known {
        Some(tracer) => Some(tracer),
        None => Tracer::begin(handle, run, wanted, after)?,
    };
    let Some(mut tracer) = tracer else { return Ok(None) };
    let names = AgentNames::load(handle, 0, u64::MAX)?;
    let stopped = go_on(handle, &mut tracer, &names, (after, limit))?;
    let items: Vec<_> = {
        let count = limit.min(tracer.pending.len());
        tracer.pending.drain(..count).collect()
    };
    let more = stopped || !tracer.pending.is_empty();
    let next = more.then(|| match items.last() {
        Some(last) if !tracer.pending.is_empty() => Cursor::parse(&last.id).unwrap_or_default(),
        _ => Cursor { seq: tracer.through, inside: None },
    });
    let view = TraceView {
        run: run.to_string(),
        accepted: words::stamp(tracer.start),
        items,
        next: next.map(|next| next.to_string()),
        open: if more { Vec::new() } else { tracer.open_rows(&names, live) },
    };
    if let Some(next) = next {
        tracers.keep(next, tracer);
    }
    Ok(Some(view))
}

/// Folds records until there are enough rows; whether there may be more records.
fn go_on(
    handle: &Handle,
    tracer: &mut Tracer,
    names: &AgentNames,
    (after, limit): (Cursor, usize),
) -> Result<bool, RuntimeError> {
    let mut failed = None;
    let mut stopped = tracer.pending.len() > limit;
    let mut looked_at = 0;
    if stopped {
        return Ok(true);
    }
    handle.replay(tracer.run, tracer.through, &mut |recorded| {
        looked_at += u64::from(recorded.seq > after.seq);
        if let Err(error) = tracer.take(&recorded, names, handle) {
            failed = Some(error);
            return ControlFlow::Break(());
        }
        stopped = tracer.pending.len() > limit || looked_at >= LOOKED_AT_MAX;
        if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    failed.map_or(Ok(stopped), Err)
}
