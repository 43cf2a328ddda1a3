//! How runs came to be: from the state, or from their first record.

use ark_os_api::Origin;
use ark_os_core::Event;
use ark_os_core::event::{RunOrigin, Trigger};
use ark_os_core::ids::RunId;
use ark_os_runtime::{Handle, RuntimeError};

use crate::words;

/// What a run's first record tells of where it comes from.
#[derive(Debug, Default)]
pub(crate) struct Descent {
    /// None: somebody submitted it.
    pub(crate) origin: Option<Origin>,
    /// The run whose child it is.
    pub(crate) parent: Option<RunId>,
}

/// What is told of a run's origin.
pub(crate) fn shown(origin: &RunOrigin) -> Origin {
    match origin {
        RunOrigin::Schedule { name, time, trigger } => Origin::Schedule {
            name: name.to_string(),
            time: words::stamp(*time),
            trigger: word(*trigger).to_owned(),
        },
        RunOrigin::Fork { source, at, reused, reason } => Origin::Fork {
            run: source.to_string(),
            at: *at,
            reused: *reused,
            reason: reason.to_string(),
        },
    }
}

/// Reads where a run comes from, which neither the views keep nor what memory knows of a run on disk.
///
/// # Errors
/// The first record cannot be read.
pub(crate) fn read(handle: &Handle, run: RunId) -> Result<Descent, RuntimeError> {
    let mut descent = Descent::default();
    let first = handle.history(run, 0, 1)?.records.into_iter().next();
    let events = || first.iter().flat_map(|first| &first.change.events);
    for event in events() {
        // A run that an older program accepted tells of it in an event of its own.
        let told = match event {
            Event::RunAccepted(accepted) => {
                descent.parent = accepted.parent.as_ref().map(|parent| parent.run);
                accepted.origin.as_deref().cloned()
            }
            Event::ScheduleFired(it) => Some(RunOrigin::Schedule {
                name: it.name.clone(),
                time: it.time,
                trigger: it.trigger,
            }),
            Event::RunForked(it) => {
                let reused = events().filter(|it| matches!(it, Event::TaskReused(_))).count();
                let (source, at, reason) = (it.source, it.at, it.reason.clone());
                let reused = u32::try_from(reused).unwrap_or(u32::MAX);
                Some(RunOrigin::Fork { source, at, reused, reason })
            }
            _ => None,
        };
        descent.origin = told.as_ref().map(shown).or(descent.origin);
    }
    Ok(descent)
}

fn word(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Due => "due",
        Trigger::Queued => "queued",
        Trigger::Manual => "manual",
    }
}
