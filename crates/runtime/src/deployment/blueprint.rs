//! What a manifest comes to: groups, what they do, and workflows.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ark_os_core::Kind;
use ark_os_core::agent::{Behaviour, SecretRef};
use ark_os_core::fleet::spec::FleetSpec;
use ark_os_core::hash::Hash;
use ark_os_core::manifest::{self, Manifest, ScheduleEntry, SkillShape};
use ark_os_core::plan::Workflow;
use ark_os_core::text::Text;
use serde_json::Value;

use crate::RuntimeError;
use crate::agents::DeclaredAgent;
use crate::data::Catalogue;
use crate::error::Place;
use crate::plans::invalid;
use crate::skills::SkillSet;

/// Sections that say who there is; without one of them a manifest must have workflows.
const OF_AGENTS: [&str; 3] = ["agents", "groups", "fleet"];
/// Sections that say what is run.
const OF_RUNS: [&str; 2] = ["workflows", "schedules"];

/// A manifest that was read and checked.
#[derive(Debug)]
pub(crate) struct Blueprint {
    pub(crate) fleet: FleetSpec,
    pub(crate) workflows: Vec<Arc<Workflow>>,
    pub(crate) schedules: Vec<ScheduleEntry>,
    /// Agents of the built-in profile, where it says.
    pub(crate) profile: Option<u32>,
    agents: BTreeMap<Text, DeclaredAgent>,
}

impl Blueprint {
    /// The agents of a manifest that was accepted. Its workflows are recorded as they were checked, and
    /// may need skills of remote workers who are not back yet: they are not read again.
    ///
    /// # Errors
    /// It is no JSON, or no manifest.
    pub(crate) fn of_agents(
        text: &[u8],
        base: &Path,
        skills: &SkillSet,
    ) -> Result<Self, RuntimeError> {
        let mut value: Value = serde_json::from_slice(text).map_err(|error| {
            let message = format!("read the manifest: {error}");
            RuntimeError::new(Kind::Corrupt, "manifest_invalid", message)
        })?;
        let mut manifest = Manifest::default();
        if let Some(sections) = value.as_object_mut() {
            sections.retain(|name, _| !OF_RUNS.contains(&&**name));
            if OF_AGENTS.iter().any(|name| sections.contains_key(*name)) {
                manifest = manifest::parse(&value, &Catalogue::new(skills)).map_err(invalid)?;
            }
        }
        Blueprint::new(manifest, base, skills)
    }

    /// # Errors
    /// It is no manifest, with every finding; or it declares a skill that the instance has.
    pub(crate) fn of(
        value: &Value,
        base: &Path,
        (skills, catalogue): (&SkillSet, &Catalogue),
    ) -> Result<Self, RuntimeError> {
        let manifest = manifest::parse(value, catalogue).map_err(invalid)?;
        Blueprint::new(manifest, base, skills)
    }

    fn new(manifest: Manifest, base: &Path, skills: &SkillSet) -> Result<Self, RuntimeError> {
        let (mut agents, mut taken) = (BTreeMap::new(), Vec::new());
        for (at, agent) in manifest.members() {
            // The skills of native agents are those of the instance.
            let is_native = matches!(agent.behaviour, Behaviour::Native);
            for (i, skill) in agent.skills.iter().enumerate() {
                if !is_native && skills.find(&skill.name).is_some() {
                    taken.push(Place {
                        pointer: format!("{at}/skills/{i}"),
                        message: format!("there is a skill `{}` already", skill.name),
                        hint: None,
                    });
                }
            }
            let (agent, base) = (agent.clone(), base.to_path_buf());
            agents.insert(agent.name.clone(), DeclaredAgent { agent, at, base });
        }
        if !taken.is_empty() {
            let message = "accept the manifest: it declares skills that the instance has";
            return Err(
                RuntimeError::new(Kind::Invalid, "manifest_invalid", message).with_places(taken)
            );
        }
        let mut fleet = manifest.fleet_spec();
        for group in &mut fleet.groups {
            let is_relative = |it: &DeclaredAgent| has_relative_paths(&it.agent.behaviour);
            if agents.get(&group.name).is_some_and(is_relative) {
                let elsewhere = |digest: Hash| of_base(digest, base);
                group.behaviour = group.behaviour.map(elsewhere);
            }
        }
        let Manifest { workflows, schedules, profile, .. } = manifest;
        Ok(Blueprint { fleet, workflows, schedules, profile, agents })
    }

    /// What is promised of the skills that remote workers are declared to offer.
    pub(crate) fn of_workers(&self) -> BTreeMap<String, SkillShape> {
        let workers = self.agents.values().map(|it| &it.agent);
        let workers = workers.filter(|agent| matches!(agent.behaviour, Behaviour::Worker(_)));
        let mut shapes: BTreeMap<String, SkillShape> = BTreeMap::new();
        for offer in workers.flat_map(|agent| &agent.skills) {
            // Whoever gets the task: it may do what the boldest of them may.
            let shape = shapes.entry(offer.name.to_string()).or_insert_with(|| SkillShape {
                class: offer.class,
                input_schema: offer.input.clone(),
                output_schema: offer.output.clone(),
            });
            shape.class = shape.class.max(offer.class);
        }
        shapes
    }

    /// How the agents of a group work.
    pub(crate) fn agent(&self, group: &str) -> Option<&DeclaredAgent> {
        self.agents.get(group)
    }
}

/// The same words mean other files where they begin at another directory.
fn of_base(digest: Hash, base: &Path) -> Hash {
    Hash::of_parts(&[&digest.0, base.as_os_str().as_encoded_bytes()])
}

fn has_relative_paths(behaviour: &Behaviour) -> bool {
    let is_relative = |path: &str| Path::new(path).is_relative();
    match behaviour {
        Behaviour::Native | Behaviour::Worker(_) => false,
        Behaviour::Command(it) => it.mounts.iter().any(|mount| is_relative(&mount.source)),
        Behaviour::Http(it) => {
            let file = |secret: &SecretRef| match secret {
                SecretRef::File(path) => is_relative(path),
                SecretRef::Env(_) => false,
            };
            it.ca_file.as_deref().is_some_and(is_relative) || it.secret_headers.values().any(file)
        }
    }
}
