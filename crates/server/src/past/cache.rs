//! Runs that were put together lately, so that a page of a long run does not read all of it again.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use ark_os_core::ids::RunId;
use ark_os_runtime::{Handle, RuntimeError};

use super::Past;
use crate::context::Context;
use crate::tasks;

/// Runs that are kept.
const RUNS_KEPT_MAX: usize = 32;
/// Rows that they have together (tasks and steps, about 200 bytes each); a larger run is kept
/// while it is the only one.
const ROWS_KEPT_MAX: usize = 200_000;

/// The runs that were asked for lately, newest first. What is over does not change, and what
/// happened since is added when somebody asks again, so nothing here is ever stale.
#[derive(Debug, Default)]
pub(crate) struct Pasts {
    kept: Mutex<VecDeque<Arc<Past>>>,
}

impl Pasts {
    fn take(&self, run: RunId) -> Option<Arc<Past>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|past| past.run == run)?;
        kept.remove(place)
    }

    fn keep(&self, past: Arc<Past>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|other| other.run != past.run);
        kept.push_front(past);
        let mut rows = 0;
        let fitting = kept.iter().take(RUNS_KEPT_MAX).take_while(|past| {
            rows += past.weight();
            rows <= ROWS_KEPT_MAX
        });
        let fitting = fitting.count().max(1);
        kept.truncate(fitting);
    }

    /// The run as its history tells now; none: there is no such run.
    fn look_up(&self, handle: &Handle, run: RunId) -> Result<Option<Arc<Past>>, RuntimeError> {
        let mut past = self.take(run).unwrap_or_else(|| Arc::new(Past::new(run)));
        handle.replay(run, past.through, &mut |recorded| {
            Arc::make_mut(&mut past).apply(&recorded);
            ControlFlow::Continue(())
        })?;
        if past.through == 0 {
            return Ok(None);
        }
        if past.workflow().is_none_or(|plan| plan.tasks.len() > past.tasks.len()) {
            Arc::make_mut(&mut past).find_workflow(handle)?;
        }
        self.keep(past.clone());
        Ok(Some(past))
    }
}

/// A run as its history tells; none: there is no such run.
pub(crate) async fn past_of(
    context: &Context,
    run: RunId,
) -> Result<Option<Arc<Past>>, RuntimeError> {
    context.views_caught_up().await?;
    let context = context.clone();
    tasks::blocking(move || context.pasts().look_up(context.handle(), run)).await
}
