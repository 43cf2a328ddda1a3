//! What the rest of the program does with schedules: from what a caller asks for to a schedule that
//! the core can keep, with the moment at which it is due next.

use std::sync::Arc;
use std::time::Duration;

use ark_os_core::command::{PutSchedule, ScheduleName};
use ark_os_core::event::SubmissionKey;
use ark_os_core::hash::Hash;
use ark_os_core::schedule::{CatchUp, Overlap, Planned, ScheduleSpec};
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_core::{Command, Kind};

use crate::RuntimeError;
use crate::calendar::Calendar;
use crate::error::Place;
use crate::handle::{Handle, Submitted};
use crate::submission::{PlanRequest, RunRequest, checked_key, millis};
use crate::threads;

/// A schedule that somebody asks for.
#[derive(Clone, Debug)]
pub struct ScheduleRequest {
    /// Its name.
    pub name: Text,
    /// When: a cron pattern.
    pub cron: Text,
    /// Where: a time zone.
    pub zone: Text,
    /// What becomes of missed times.
    pub catch_up: CatchUp,
    /// What becomes of a time while a run goes on.
    pub overlap: Overlap,
    /// What it runs, a plan or a deployed workflow, with the input and limits of each run; key and
    /// start are not looked at.
    pub run: RunRequest,
    /// Each run begins up to so much late.
    pub jitter: Option<Duration>,
    /// Whether it does nothing until it is resumed.
    pub is_paused: bool,
}

impl Handle {
    /// Has a schedule, or another version of it; returns when that is durable.
    ///
    /// # Errors
    /// The request is wrong (with every place), or refused.
    pub async fn put_schedule(&self, request: ScheduleRequest) -> Result<(), RuntimeError> {
        let shared = self.shared.clone();
        let put = threads::aside(move || {
            let submissions = &shared.submissions;
            let run = RunRequest { key: None, ..request.run };
            let (budget, priority, deadline) = (run.budget, run.priority, run.deadline);
            let calendar = Calendar::parse(&request.cron, &request.zone)?;
            let now = submissions.clock.now();
            let next = calendar.next(now).ok_or_else(never)?;
            let namespace = run.namespace.clone();
            let (workflow, input) = match run.plan {
                // Its plan is that of the version that is deployed when it is due.
                PlanRequest::Deployed(name) => {
                    (Planned::Named(Text::from(name)), submissions.store(run.input)?)
                }
                _ => {
                    let prepared = submissions.prepare(run)?;
                    (Planned::Inline(prepared.workflow), prepared.input)
                }
            };
            let spec = ScheduleSpec {
                name: request.name,
                cron: request.cron,
                zone: request.zone,
                catch_up: request.catch_up,
                overlap: request.overlap,
                workflow,
                input,
                priority,
                budget,
                deadline_ms: deadline.map(millis),
                jitter_ms: request.jitter.map(millis),
                is_paused: request.is_paused,
            };
            let seed = submissions.ids.draw(now).0 as u64;
            let (spec, grant) = (Arc::new(spec), submissions.grant.clone());
            Ok::<_, RuntimeError>(PutSchedule { namespace, spec, grant, seed, next: Some(next) })
        });
        let put = put.await??;
        self.command(Command::PutSchedule(Box::new(put))).await
    }

    /// Pauses a schedule, or lets it go on with the next of its times; those that passed meanwhile are
    /// not made up for.
    ///
    /// # Errors
    /// There is no such schedule, or the instance is gone.
    pub async fn set_schedule(
        &self,
        schedule: ScheduleName,
        is_paused: bool,
        reason: Text,
    ) -> Result<(), RuntimeError> {
        let next = if is_paused { None } else { self.next_time(&schedule).await? };
        self.command(Command::SetSchedule { schedule, is_paused, next, reason }).await
    }

    async fn next_time(&self, schedule: &ScheduleName) -> Result<Option<Time>, RuntimeError> {
        let ScheduleName { namespace, name } = schedule.clone();
        let spec = self.read(move |kernel| {
            let schedule = kernel.state().schedules().named(&namespace, &name)?;
            Some(schedule.spec.clone())
        });
        let Some(spec) = spec.await? else { return Ok(None) };
        let calendar = Calendar::parse(&spec.cron, &spec.zone)?;
        Ok(calendar.next(self.shared.submissions.clock.now()))
    }

    /// Begins a run of a schedule now, whatever its times; under the same idempotency key the same.
    ///
    /// # Errors
    /// There is no such schedule, or its run is refused.
    pub async fn run_schedule(
        &self,
        schedule: ScheduleName,
        key: Option<&str>,
    ) -> Result<Submitted, RuntimeError> {
        let keyed = |key| {
            let request = Hash::of_parts(&[b"run-now", schedule.name.as_bytes()]);
            Ok::<_, RuntimeError>(SubmissionKey { key: checked_key(key)?, request })
        };
        let key = key.map(keyed).transpose()?;
        self.accept(Command::RunSchedule { schedule, key }).await
    }
}

pub(crate) fn never() -> RuntimeError {
    let message = "accept the schedule: it is never due";
    let place = Place {
        pointer: "/cron".to_owned(),
        message: "no day has all that the pattern asks for".to_owned(),
        hint: None,
    };
    RuntimeError::new(Kind::Invalid, "schedule_invalid", message).with_places(vec![place])
}
