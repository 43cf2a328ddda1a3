//! What a manifest comes to as a deployment: the core's own plain data.

use std::collections::BTreeMap;

use super::Manifest;
use crate::agent::{AgentSpec, Behaviour};
use crate::fleet::SkillInfo;
use crate::fleet::spec::{FleetSpec, GroupSpec};
use crate::plan::EffectClass;
use crate::text::Text;

impl Manifest {
    /// Its agents and groups with the JSON pointer of each, in the order of the document.
    pub fn members(&self) -> impl Iterator<Item = (String, &AgentSpec)> {
        let agents = self.agents.iter().enumerate();
        let agents = agents.map(|(i, it)| (format!("/agents/{i}"), it));
        let groups = self.groups.iter().enumerate();
        agents.chain(groups.map(|(i, it)| (format!("/groups/{i}"), it)))
    }

    /// The fleet that it declares, beside the built-in profile. Groups come in the order of their
    /// layers, highest first, and of their names; so the same fleet is always the same spec.
    pub fn fleet_spec(&self) -> FleetSpec {
        let mut groups: Vec<GroupSpec> =
            self.members().map(|(_, agent)| self.group_spec(agent)).collect();
        groups.sort_by(|a, b| (a.layer, &a.name).cmp(&(b.layer, &b.name)));
        let mut classes: BTreeMap<&Text, EffectClass> = BTreeMap::new();
        for offer in self.members().flat_map(|(_, agent)| &agent.skills) {
            let class = classes.entry(&offer.name).or_insert(offer.class);
            *class = offer.class.max(*class);
        }
        let skills = classes.into_iter().map(|(name, class)| SkillInfo {
            name: name.clone(),
            class,
            concurrency_max: self.limits.skills.get(name).copied(),
        });
        FleetSpec { groups, skills: skills.collect() }
    }

    fn group_spec(&self, agent: &AgentSpec) -> GroupSpec {
        let mut skills: Vec<Text> = agent.skills.iter().map(|it| it.name.clone()).collect();
        skills.sort_unstable();
        let is_native = matches!(agent.behaviour, Behaviour::Native);
        GroupSpec {
            name: agent.name.clone(),
            layer: agent.layer,
            count: agent.count,
            supervisor: agent.supervisor.clone(),
            skills,
            concurrency: agent.concurrency.or_else(|| self.limits.agents.get(&agent.name).copied()),
            behaviour: (!is_native).then_some(agent.digest),
            workers: matches!(agent.behaviour, Behaviour::Worker(_)),
        }
    }

    /// The skills that its workflows need, each with the JSON pointer of a task that needs it.
    pub fn needed_skills(&self) -> BTreeMap<&Text, String> {
        let mut needed = BTreeMap::new();
        for (i, workflow) in self.workflows.iter().enumerate() {
            for (k, task) in workflow.tasks.iter().enumerate() {
                needed
                    .entry(&task.skill)
                    .or_insert_with(|| format!("/workflows/{i}/tasks/{k}/skill"));
            }
        }
        needed
    }
}
