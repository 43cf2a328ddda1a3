//! Declared agents: what a manifest says of commands and services, as skills that the fleet's
//! agents use.
//!
//! Each attempt is one recorded step, called like the skill, whose arguments are the input: the
//! intent is durable before anything leaves this process, and the step key goes with it.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ark_os_core::Kind;
use ark_os_core::agent::{AgentSpec, Behaviour, SecretRef, SkillOffer};
use ark_os_core::budget::Amounts;
use ark_os_core::plan::EffectClass;

use crate::RuntimeError;
use crate::skills::{Cost, Effect, Host, Skill, SkillError, SkillSet, SkillSpec, StepCall};

mod command;
mod http;
mod secret;

pub use secret::Secret;

use command::Program;
use http::Service;

/// An agent of a manifest, and where the manifest lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// What it says.
    pub agent: AgentSpec,
    /// The directory that its relative paths begin at.
    pub base: PathBuf,
}

/// What declared agents are set up with.
pub struct Means<'a> {
    /// Finds a secret, or says why it cannot.
    pub secret: &'a dyn Fn(&SecretRef) -> Result<Secret, String>,
}

impl fmt::Debug for Means<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Means")
    }
}

impl SkillSet {
    /// Adds the skills of a declared agent.
    ///
    /// # Errors
    /// A skill of its name is there already, or the agent cannot be set up: a secret or file that it
    /// names is not there.
    pub fn install(&mut self, declared: &Declared, means: &Means<'_>) -> Result<(), RuntimeError> {
        let agent = &declared.agent;
        if let Some(taken) = agent.skills.iter().find(|it| self.find(&it.name).is_some()) {
            let why = format!("there is a skill `{}` already", taken.name);
            return Err(unusable(agent, &why));
        }
        let work: Arc<dyn Behave> = match &agent.behaviour {
            Behaviour::Http(spec) => {
                let service = Service::open(spec, &declared.base, means.secret);
                Arc::new(service.map_err(|why| unusable(agent, &why))?)
            }
            Behaviour::Command(spec) => {
                let program = Program::open(spec, &declared.base, self.jail().clone());
                Arc::new(program.map_err(|why| unusable(agent, &why))?)
            }
        };
        for offer in &agent.skills {
            let skill = Offered {
                spec: spec_of(agent, offer, work.output_bytes_max()),
                work: work.clone(),
            };
            self.insert(Arc::new(skill));
        }
        Ok(())
    }
}

fn unusable(agent: &AgentSpec, why: &str) -> RuntimeError {
    let message = format!("set up the agent `{}`: {why}", agent.name);
    RuntimeError::new(Kind::Invalid, "agent_unusable", message)
        .with_hint("mend its manifest or what it names; nothing was started")
}

fn spec_of(agent: &AgentSpec, offer: &SkillOffer, output_bytes_max: usize) -> SkillSpec {
    let schema = |value: &Option<serde_json::Value>| match value {
        Some(schema) => Cow::Owned(schema.to_string()),
        None => Cow::Borrowed("true"),
    };
    let summary = match &agent.description {
        Some(description) => description.to_string(),
        None => format!("{} agent `{}`", agent.behaviour.as_str(), agent.name),
    };
    SkillSpec {
        name: Cow::Owned(offer.name.to_string()),
        summary: Cow::Owned(summary),
        class: agent.behaviour.effect(),
        cost: Cost::External,
        output_bytes_max,
        input_schema: schema(&offer.input),
        output_schema: schema(&offer.output),
        concurrency_max: agent.concurrency,
    }
}

/// A way to work: one effect for each input.
trait Behave: Send + Sync {
    /// What it may do to the world.
    fn class(&self) -> EffectClass;
    /// The longest answer.
    fn output_bytes_max(&self) -> usize;
    /// The most that a call with so many bytes of input may cost, besides the step itself.
    fn reserve(&self, input_bytes: u64) -> Amounts;
    /// The effect of this input.
    fn effect<'a>(&'a self, host: &'a dyn Host, input: &'a [u8]) -> Box<dyn Effect + 'a>;
}

/// A skill on offer by a declared agent.
struct Offered {
    spec: SkillSpec,
    work: Arc<dyn Behave>,
}

impl Skill for Offered {
    fn spec(&self) -> &SkillSpec {
        &self.spec
    }

    fn run(&self, host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let input = canonical(input)?;
        let call = StepCall {
            tool: &self.spec.name,
            arguments: &input,
            class: self.work.class(),
            reserve: self.work.reserve(input.len() as u64),
        };
        host.step(&call, &mut *self.work.effect(host, &input))
    }
}

/// The one way to write an input: the names of every object in order, no spaces.
fn canonical(input: &[u8]) -> Result<Vec<u8>, SkillError> {
    let read: Result<serde_json::Value, _> = serde_json::from_slice(input);
    let value =
        read.map_err(|error| SkillError::invalid_input(format!("read the input: {error}")))?;
    Ok(value.to_string().into_bytes())
}
