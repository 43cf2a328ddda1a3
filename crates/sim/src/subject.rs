//! A workflow of somebody else's in the world: its skills, and what the simulated agents answer for them.

mod answers;
mod host;

use std::collections::BTreeMap;
use std::sync::Arc;

use ark_os_core::error::Failure;
use ark_os_core::fleet::SkillInfo;
use ark_os_core::plan::{EffectClass, Workflow};
use ark_os_runtime::data::Schemas;
use ark_os_runtime::skills::{Cost, SkillSet};
use serde_json::{Map, Value, json};

pub use answers::{referred_outputs, sample};
pub(crate) use host::Desk;

/// The code of an answer that the host refuses.
pub(crate) const OUTPUT_INVALID: &str = "output_invalid";
/// Runs of the workflow in one world.
pub const SUBJECT_RUNS: usize = 3;

/// What is tried.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The workflow.
    pub workflow: Arc<Workflow>,
    /// The input of each of its runs, as JSON text.
    pub input: Vec<u8>,
    /// The skills that its tasks need.
    pub skills: Vec<SkillInfo>,
    /// What is answered for a task, or else a skill, of this name.
    pub answers: BTreeMap<String, Value>,
    /// What is answered for a task of which nothing else is known: see [`referred_outputs`].
    pub expected: BTreeMap<String, Value>,
    /// Skills whose work is done for real where it is pure.
    pub natives: SkillSet,
    /// What answers are held against.
    pub schemas: Arc<Schemas>,
}

/// Whose answer is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) task: &'a str,
    pub(crate) skill: &'a str,
    pub(crate) class: EffectClass,
    /// JSON Schema of the task's output, as text.
    pub(crate) output_schema: Option<&'a str>,
    pub(crate) input: &'a [u8],
}

impl Subject {
    /// What an agent presents that does its work as it should; what the host would refuse is refused.
    pub(crate) fn answer(&self, asked: Question<'_>, desk: &Desk) -> Result<Vec<u8>, Failure> {
        let known = self.answers.get(asked.task).or_else(|| self.answers.get(asked.skill));
        // What somebody says that a skill answers has to be what that promises, too.
        let skill = known.and_then(|_| self.natives.find(asked.skill));
        let answer = match known {
            Some(known) => known.to_string().into_bytes(),
            None => self.made(asked, desk)?,
        };
        let schemas = [skill.map(|it| &*it.spec().output_schema), asked.output_schema];
        for schema in schemas.into_iter().flatten() {
            if let Err(violations) = self.schemas.validate(schema, &answer) {
                let first = violations.first().map(|it| format!("{}: {}", it.pointer, it.message));
                return Err(Failure::retryable(OUTPUT_INVALID, first.unwrap_or_default()));
            }
        }
        Ok(answer)
    }

    /// An answer of which nobody has said what it is.
    fn made(&self, asked: Question<'_>, desk: &Desk) -> Result<Vec<u8>, Failure> {
        let native = self.natives.find(asked.skill);
        if let Some(skill) = native
            && asked.class == EffectClass::Pure
            && skill.spec().cost != Cost::External
        {
            match skill.run(desk, asked.input) {
                Ok(output) => return Ok(output),
                // It needs what there is not in this world: an example will do.
                Err(error) if error.code() == host::NOT_HERE => {}
                Err(error) => {
                    let (code, message) = (error.code(), error.message());
                    return Err(Failure::new(code, message, error.is_retryable()));
                }
            }
        }
        let schema = asked.output_schema.or(native.map(|it| &*it.spec().output_schema));
        let schema: Option<Value> = schema.and_then(|text| serde_json::from_str(text).ok());
        let answer = match (schema, self.expected.get(asked.task)) {
            (Some(schema), _) => sample(&schema),
            (None, Some(expected)) => expected.clone(),
            (None, None) => json!({ "ok": true }),
        };
        Ok(answer.to_string().into_bytes())
    }

    /// What a signal says; the number tells it from every other one.
    pub(crate) fn says(&self, signal: &str, number: u64) -> Value {
        let waits = self.workflow.waits_for(signal).map(|task| &*task.name);
        let known = std::iter::once(signal)
            .chain(waits)
            .find_map(|name| self.answers.get(name).or_else(|| self.expected.get(name)));
        let mut said: Map<String, Value> =
            known.and_then(Value::as_object).cloned().unwrap_or_default();
        said.insert("signal".to_owned(), number.into());
        Value::Object(said)
    }
}

/// How a run of the workflow came out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RunReport {
    /// Its id.
    pub id: String,
    /// Succeeded, failed or cancelled; none: it did not come to its end.
    pub end: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Attempts at its tasks.
    pub attempts: u64,
    /// How often a task of it waited for somebody to unpark it or to resolve a step.
    pub parked: u64,
}
