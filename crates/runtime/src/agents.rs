//! Declared agents: what a manifest says of commands and services, as skills that the fleet's
//! agents use.
//!
//! Each attempt is one recorded step, called like the skill, whose arguments are the input: the
//! intent is durable before anything leaves this process, and the step key goes with it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ark_os_core::Kind;
use ark_os_core::agent::{AgentSpec, Behaviour, SecretRef, SkillOffer};
use ark_os_core::budget::Amounts;
use ark_os_core::plan::EffectClass;

use crate::RuntimeError;
use crate::error::Place;
use crate::skills::{Cost, Effect, Host, Skill, SkillError, SkillSet, SkillSpec, StepCall};

mod command;
mod http;
mod own;
mod secret;

pub use own::OwnDirs;
pub use secret::Secret;

use command::Program;
use http::Service;

/// An agent of a manifest, and where the manifest lies.
#[derive(Clone, Debug, PartialEq)]
pub struct DeclaredAgent {
    /// What it says.
    pub agent: AgentSpec,
    /// JSON pointer to it in the manifest.
    pub at: String,
    /// The directory that its relative paths begin at.
    pub base: PathBuf,
}

/// What declared agents are set up with.
pub struct AgentSetup<'a> {
    /// Finds a secret, whose path may begin at a directory, or says why it cannot.
    pub secret: &'a dyn Fn(&SecretRef, &Path) -> Result<Secret, String>,
    /// What no agent may be shown.
    pub own_dirs: OwnDirs,
}

impl fmt::Debug for AgentSetup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentSetup").field("own_dirs", &self.own_dirs).finish_non_exhaustive()
    }
}

/// What is wrong with a declaration, here and now.
struct Fault {
    /// JSON pointer, from the agent on or from its behaviour on.
    at: String,
    why: String,
}

impl Fault {
    fn at(at: impl Into<String>, why: impl Into<String>) -> Self {
        Fault { at: at.into(), why: why.into() }
    }

    /// The same from the manifest's root on.
    fn place(self, agent: &str) -> Place {
        Place { pointer: format!("{agent}{}", self.at), message: self.why, hint: None }
    }
}

impl SkillSet {
    /// Adds the skills of a manifest's declared agents: of all, or of none.
    ///
    /// # Errors
    /// A skill of its name is there already, or an agent cannot be set up: a secret or file that it
    /// names is not there, or the jail could never run it. Every fault of every agent is told, with
    /// its place in the manifest.
    pub fn install(
        &mut self,
        declared: &[DeclaredAgent],
        setup: &AgentSetup<'_>,
    ) -> Result<(), RuntimeError> {
        let mut names = BTreeSet::new();
        let (mut opened, mut unusable, mut places) = (Vec::new(), Vec::new(), Vec::new());
        // The skills of native agents are there already.
        let is_native = |it: &&DeclaredAgent| matches!(it.agent.behaviour, Behaviour::Native);
        for it in declared.iter().filter(|it| !is_native(it)) {
            let mut faults = self.taken(&it.agent, &mut names);
            match self.open(it, setup) {
                Ok(work) => opened.push((&it.agent, work)),
                Err(more) => faults.extend(more),
            }
            if !faults.is_empty() {
                unusable.push(format!("`{}`", it.agent.name));
                places.extend(faults.into_iter().map(|fault| fault.place(&it.at)));
            }
        }
        if !places.is_empty() {
            let agents = if unusable.len() == 1 { "agent" } else { "agents" };
            let message = format!("set up the {agents} {}", unusable.join(", "));
            return Err(RuntimeError::new(Kind::Invalid, "agent_unusable", message)
                .with_places(places)
                .with_hint("mend the manifest or what it names; nothing was started"));
        }
        for (agent, work) in opened {
            for offer in &agent.skills {
                let spec = spec_of(agent, offer, work.output_bytes_max());
                self.insert(Arc::new(Offered { spec, work: work.clone() }));
            }
        }
        Ok(())
    }

    /// The skills of an agent that somebody has already, here or among `names`.
    fn taken<'a>(&self, agent: &'a AgentSpec, names: &mut BTreeSet<&'a str>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (i, SkillOffer { name, .. }) in agent.skills.iter().enumerate() {
            if self.find(name).is_some() || !names.insert(name) {
                let why = format!("there is a skill `{name}` already");
                faults.push(Fault::at(format!("/skills/{i}"), why));
            }
        }
        faults
    }

    /// Where an agent's effects come from, or all that is wrong with it.
    fn open(
        &self,
        declared: &DeclaredAgent,
        setup: &AgentSetup<'_>,
    ) -> Result<Arc<dyn Effects>, Vec<Fault>> {
        let DeclaredAgent { agent, base, .. } = declared;
        let opened: Result<Arc<dyn Effects>, Vec<Fault>> = match &agent.behaviour {
            Behaviour::Native | Behaviour::Worker(_) => {
                return Err(vec![Fault::at("/behaviour", "this version runs no remote workers")]);
            }
            Behaviour::Http(spec) => {
                let secret = |place: &SecretRef| (setup.secret)(place, base);
                Service::open(spec, base, &secret).map(|service| Arc::new(service) as _)
            }
            Behaviour::Command(spec) => {
                Program::open(spec, base, &setup.own_dirs, self.jail().clone())
                    .map(|program| Arc::new(program) as _)
            }
        };
        let way = agent.behaviour.as_str();
        let below = |it: Fault| Fault { at: format!("/behaviour/{way}{}", it.at), ..it };
        opened.map_err(|faults| faults.into_iter().map(below).collect())
    }
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
        class: offer.class,
        cost: Cost::External,
        output_bytes_max,
        input_schema: schema(&offer.input),
        output_schema: schema(&offer.output),
        concurrency_max: agent.concurrency,
    }
}

/// Where an agent's effects come from: one for each input.
trait Effects: Send + Sync {
    /// What it may do to the world.
    fn class(&self) -> EffectClass;
    /// The longest answer.
    fn output_bytes_max(&self) -> usize;
    /// The most that a call with so many bytes of input may cost, besides the step itself.
    fn reserve(&self, input_bytes: u64) -> Amounts;
    /// Whether it could be had now, or why not.
    fn health(&self) -> Result<(), String>;
    /// The effect of this input.
    fn effect<'a>(&'a self, host: &'a dyn Host, input: &'a [u8]) -> Box<dyn Effect + 'a>;
}

/// A skill on offer by a declared agent.
struct Offered {
    spec: SkillSpec,
    work: Arc<dyn Effects>,
}

impl Skill for Offered {
    fn spec(&self) -> &SkillSpec {
        &self.spec
    }

    fn health(&self) -> Result<(), String> {
        self.work.health()
    }

    fn run(&self, host: &dyn Host, input: &[u8]) -> Result<Vec<u8>, SkillError> {
        let input = canonical(input)?;
        let call = StepCall {
            tool: &self.spec.name,
            arguments: &input,
            class: self.work.class(),
            reserve: self.work.reserve(input.len() as u64),
            is_output: true,
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
