//! The schedules of a manifest, as the core keeps them.

use std::sync::Arc;

use ark_os_core::Kind;
use ark_os_core::deployment::{DeployedSchedule, Deployment};
use ark_os_core::manifest::{CatchUpRule, OverlapRule, ScheduleEntry};
use ark_os_core::plan::Workflow;
use ark_os_core::schedule::{CatchUp, Overlap, Planned, ScheduleSpec};
use ark_os_core::time::Time;

use crate::RuntimeError;
use crate::calendar::{Calendar, next_of};
use crate::error::Place;
use crate::schedules::never;
use crate::submission::Submissions;

/// The schedules of a manifest with these workflows, each with a calendar, and an input that its workflow
/// takes.
///
/// # Errors
/// Everything that is wrong with them, with its place in the manifest.
pub(super) fn prepare(
    entries: &[ScheduleEntry],
    workflows: &[Arc<Workflow>],
    submissions: &Submissions,
) -> Result<Vec<DeployedSchedule>, RuntimeError> {
    let (mut prepared, mut places) = (Vec::with_capacity(entries.len()), Vec::new());
    for (i, entry) in entries.iter().enumerate() {
        match prepare_one(entry, workflows, submissions) {
            Ok(schedule) => prepared.push(schedule),
            Err(error) if error.places().is_empty() => return Err(error),
            Err(error) => places.extend(error.places().iter().map(|place| Place {
                pointer: format!("/schedules/{i}{}", place.pointer),
                ..place.clone()
            })),
        }
    }
    if places.is_empty() {
        return Ok(prepared);
    }
    let message = "accept the manifest: its schedules cannot be kept";
    Err(RuntimeError::new(Kind::Invalid, "manifest_invalid", message).with_places(places))
}

fn prepare_one(
    entry: &ScheduleEntry,
    workflows: &[Arc<Workflow>],
    submissions: &Submissions,
) -> Result<DeployedSchedule, RuntimeError> {
    let now = submissions.clock.now();
    Calendar::parse(&entry.cron, &entry.zone)?.next(now).ok_or_else(never)?;
    let mut input = entry.input.to_string().into_bytes();
    // The reader has seen that it is there.
    if let Some(workflow) = workflows.iter().find(|it| it.name == entry.workflow) {
        input = submissions.check_input(workflow, input)?;
    }
    let spec = ScheduleSpec {
        name: entry.name.clone(),
        cron: entry.cron.clone(),
        zone: entry.zone.clone(),
        catch_up: match entry.catch_up {
            CatchUpRule::Skip => CatchUp::Skip,
            CatchUpRule::One => CatchUp::One,
            CatchUpRule::All(max) => CatchUp::All { max },
        },
        overlap: match entry.overlap {
            OverlapRule::Allow => Overlap::Allow,
            OverlapRule::Skip => Overlap::Skip,
            OverlapRule::Queue => Overlap::Queue,
            OverlapRule::CancelPrevious => Overlap::CancelPrevious,
        },
        workflow: Planned::Named(entry.workflow.clone()),
        input: submissions.store(input)?,
        priority: entry.priority,
        budget: entry.budget,
        deadline_ms: entry.deadline_ms,
        jitter_ms: entry.jitter_ms.filter(|ms| *ms > 0),
        is_paused: entry.is_paused,
    };
    Ok(DeployedSchedule { spec: Arc::new(spec), seed: submissions.ids.draw(now).0 as u64 })
}

/// When the schedules of a deployment are due next, in their order.
pub(super) fn due(deployment: &Deployment, now: Time) -> Vec<Option<Time>> {
    deployment.schedules().iter().map(|it| next_of(&it.spec, now)).collect()
}
