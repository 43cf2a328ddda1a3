//! From what a caller asks for to a run that the core can accept: plan, input, budget, key.

use std::sync::Arc;
use std::time::Duration;

use ark_os_core::Kind;
use ark_os_core::authority::Grant;
use ark_os_core::budget::Amounts;
use ark_os_core::command::SubmitRun;
use ark_os_core::event::SubmissionKey;
use ark_os_core::hash::Hash;
use ark_os_core::limits::{INLINE_BYTES_MAX, KEY_BYTES_MAX};
use ark_os_core::manifest::with_defaults;
use ark_os_core::payload::Payload;
use ark_os_core::plan::Workflow;
use ark_os_core::priority::Priority;
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::RuntimeError;
use crate::clock::Clock;
use crate::data::{Payloads, Schemas};
use crate::error::Place;
use crate::run_ids::RunIds;

/// Bytes of a run's input, inline or not.
pub const INPUT_BYTES_MAX: usize = 64 << 20;

/// Long preparations at one time; further ones wait their turn, so that a crowd of them leaves the
/// processors to the loop.
pub(crate) const LONG_PREPARATIONS_MAX: usize = 4;

/// A task that is a run of its own.
#[derive(Clone, Debug, Default)]
pub struct TaskRequest {
    /// The skill that it needs.
    pub skill: String,
    /// Timeout, deadline, retry, budget, output schema: as in a manifest's task.
    pub options: Option<Value>,
}

/// What a run executes.
#[derive(Clone, Debug)]
pub enum PlanRequest {
    /// A single task.
    Task(TaskRequest),
    /// A workflow as in a manifest, or a whole manifest with just one.
    Workflow(Value),
    /// The newest workflow of this name that is deployed.
    Deployed(String),
}

/// A run that somebody asks for.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The tenant.
    pub namespace: Text,
    /// What it executes.
    pub plan: PlanRequest,
    /// Its input as JSON text.
    pub input: Vec<u8>,
    /// How urgent it is.
    pub priority: Priority,
    /// Time for the whole of it.
    pub deadline: Option<Duration>,
    /// When it begins; none: at once.
    pub start: Option<Start>,
    /// Its account.
    pub budget: Option<Amounts>,
    /// Idempotency key.
    pub key: Option<String>,
}

/// When a run begins that does not begin at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this moment.
    At(Time),
    /// So long after it was accepted.
    After(Duration),
}

impl RunRequest {
    /// A single task with this input, and the defaults of everything else.
    pub fn task(skill: &str, input: Vec<u8>) -> Self {
        let task = TaskRequest { skill: skill.to_owned(), options: None };
        RunRequest::new(PlanRequest::Task(task), input)
    }

    /// A plan with this input, and the defaults of everything else.
    pub fn new(plan: PlanRequest, input: Vec<u8>) -> Self {
        RunRequest {
            namespace: Text::from("default"),
            plan,
            input,
            priority: Priority::Normal,
            deadline: None,
            start: None,
            budget: None,
            key: None,
        }
    }
}

/// Turns requests into submissions: on the caller's thread, so that the loop only decides.
#[derive(Debug)]
pub(crate) struct Submissions {
    pub(crate) clock: Clock,
    pub(crate) ids: RunIds,
    pub(crate) grant: Arc<Grant>,
    pub(crate) plans: Arc<crate::plans::Plans>,
    pub(crate) payloads: Arc<Payloads>,
    pub(crate) schemas: Arc<Schemas>,
    /// Turns of long preparations.
    pub(crate) turns: Arc<Semaphore>,
}

impl Submissions {
    pub(crate) fn prepare(&self, request: RunRequest) -> Result<SubmitRun, RuntimeError> {
        if request.input.len() > INPUT_BYTES_MAX {
            let message = format!("the input has more than {INPUT_BYTES_MAX} bytes");
            return Err(RuntimeError::new(Kind::Invalid, "input_too_large", message));
        }
        let workflow = self.plans.plan(&request.plan)?;
        self.prepare_for(workflow, request)
    }

    /// The plan of a request that takes well under a millisecond to prepare: it is ready, and the
    /// input is neither long to check nor synced to a disk.
    pub(crate) fn short(&self, request: &RunRequest) -> Option<Arc<Workflow>> {
        let is_small = request.input.len() <= INLINE_BYTES_MAX;
        is_small.then(|| self.plans.known(&request.plan)).flatten()
    }

    /// The submission of a request whose plan is known.
    pub(crate) fn prepare_for(
        &self,
        workflow: Arc<Workflow>,
        request: RunRequest,
    ) -> Result<SubmitRun, RuntimeError> {
        let key = request.key.as_deref().map(|key| submission_key(key, &workflow, &request));
        let input = self.check_input(&workflow, request.input)?;
        let now = self.clock.now();
        let run = self.ids.draw(now);
        let payload = self.store(input)?;
        let start_at = match request.start {
            None => None,
            Some(Start::At(at)) => Some(at),
            Some(Start::After(delay)) => Some(now.plus(millis(delay))),
        };
        let begins = start_at.unwrap_or(now).max(now);
        Ok(SubmitRun {
            run,
            namespace: request.namespace,
            workflow,
            input: payload,
            grant: self.grant.clone(),
            priority: request.priority,
            deadline: request.deadline.map(|time| begins.plus(millis(time))),
            start_at,
            budget: request.budget,
            seed: run.0 as u64,
            key: key.transpose()?,
            parent: None,
        })
    }

    /// An input, or output, where the core can refer to it.
    pub(crate) fn store(&self, text: Vec<u8>) -> Result<Payload, RuntimeError> {
        self.payloads.save(text).map_err(|failure| {
            RuntimeError::new(Kind::Unavailable, "blob_not_stored", failure.to_string())
        })
    }

    /// The input with the schema's defaults filled in, which it then has to fit.
    pub(crate) fn check_input(
        &self,
        workflow: &Workflow,
        input: Vec<u8>,
    ) -> Result<Vec<u8>, RuntimeError> {
        let invalid = |pointer: String, message: String| Place {
            pointer: format!("/input{pointer}"),
            message,
            hint: None,
        };
        let wrong = |places: Vec<Place>| {
            let message = "accept the input: it does not fit its schema";
            RuntimeError::new(Kind::Invalid, "input_invalid", message).with_places(places)
        };
        let Some(schema) = &workflow.input_schema else {
            return match serde_json::from_slice::<serde::de::IgnoredAny>(&input) {
                Ok(_) => Ok(input),
                Err(error) => Err(wrong(vec![invalid(String::new(), error.to_string())])),
            };
        };
        let value: Value = serde_json::from_slice(&input)
            .map_err(|error| wrong(vec![invalid(String::new(), error.to_string())]))?;
        let filled = match serde_json::from_str(schema) {
            Ok(schema) => with_defaults(&schema, value).to_string().into_bytes(),
            Err(_) => input,
        };
        self.schemas.validate(schema, &filled).map_err(|violations| {
            let places = violations.into_iter().map(|it| invalid(it.pointer, it.message));
            wrong(places.collect())
        })?;
        Ok(filled)
    }
}

fn submission_key(
    key: &str,
    workflow: &Workflow,
    request: &RunRequest,
) -> Result<SubmissionKey, RuntimeError> {
    let key = checked_key(key)?;
    let deadline = request.deadline.map_or(u64::MAX, millis);
    let budget = request.budget.map(|it| format!("{it:?}")).unwrap_or_default();
    let start = request.start.map(|it| format!("{it:?}"));
    let deadline = deadline.to_le_bytes();
    let mut parts: Vec<&[u8]> = vec![
        &workflow.hash.0,
        &request.input,
        request.priority.as_str().as_bytes(),
        &deadline,
        budget.as_bytes(),
    ];
    // Keys of requests without one were kept before there was any.
    parts.extend(start.as_deref().map(str::as_bytes));
    let digest = Hash::of_parts(&parts);
    Ok(SubmissionKey { key, request: digest })
}

/// An idempotency key that can be kept.
pub(crate) fn checked_key(key: &str) -> Result<Text, RuntimeError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX || key.chars().any(char::is_control) {
        let message = format!("an idempotency key has 1 to {KEY_BYTES_MAX} printable characters");
        return Err(RuntimeError::new(Kind::Invalid, "key_invalid", message));
    }
    Ok(Text::from(key))
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
