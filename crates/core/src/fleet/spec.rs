//! A declared fleet: groups of agents beside the built-in profile, as plain data.
//!
//! A manifest is read into this, a deployment carries it, and the journal keeps it.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

use super::SkillInfo;
use super::profile::{ordinal_name, parse_agent_name, parse_ordinal};
use crate::hash::Hash;
use crate::layer::Layer;
use crate::limits::{
    DECLARED_AGENTS_MAX, GROUP_AGENTS_MAX, GROUP_CONCURRENCY_MAX, GROUP_SKILLS_MAX, GROUPS_MAX,
};
use crate::manifest::NAME_CHARS_MAX;
use crate::text::Text;

/// The declared agents of one deployment.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct FleetSpec {
    /// Its groups, each with a name of its own.
    #[n(0)]
    pub groups: Vec<GroupSpec>,
    /// The skills that its groups offer, each once.
    #[n(1)]
    pub skills: Vec<SkillInfo>,
}

/// Agents that are alike. One agent is a group of one, whose seat has the group's own name; the
/// members of a larger group are `name-00000` and so on.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct GroupSpec {
    /// Its name.
    #[n(0)]
    pub name: Text,
    /// Their layer.
    #[n(1)]
    pub layer: Layer,
    /// How many.
    #[n(2)]
    pub count: u32,
    /// Who supervises them: a group of a strictly higher layer, whose members take turns; none: the
    /// agents above them in the built-in profile do.
    #[n(3)]
    pub supervisor: Option<Text>,
    /// The names of the skills that they offer. Nobody else does these but groups that offer them
    /// too.
    #[n(4)]
    pub skills: Vec<Text>,
    /// Tasks of one member at one time; none: as the instance says.
    #[n(5)]
    pub concurrency: Option<u32>,
    /// Digest of how they work (program, service, instructions…): where it differs from that of the
    /// group of this name that is deployed, its seats are exchanged for new ones.
    #[n(6)]
    pub behaviour: Option<Hash>,
    /// Whether its members are remote workers: each seat waits for the one that registers under its
    /// name.
    #[n(7)]
    #[cbor(skip_if = "crate::shared::is_default", default)]
    pub workers: bool,
}

impl GroupSpec {
    /// The name of a member.
    pub fn member_name(&self, ordinal: u32) -> String {
        match self.count {
            1 => self.name.to_string(),
            _ => ordinal_name(&self.name, ordinal),
        }
    }

    /// Whether the member with this number is called so.
    pub(super) fn is_member(&self, name: &str, ordinal: u32) -> bool {
        match self.count {
            1 => *name == *self.name,
            _ => parse_ordinal(name) == Some((&self.name, ordinal)),
        }
    }

    /// What is wrong with the group by itself.
    fn faults(&self, faults: &mut Vec<String>) {
        let name = &self.name;
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
            faults.push(format!("the name `{name}` has not 1 to {NAME_CHARS_MAX} characters"));
        }
        let is_layer = Layer::ALL.into_iter().any(|layer| *layer.as_str() == **name);
        if is_layer || parse_agent_name(name).is_some() {
            faults.push(format!("`{name}` is a name of the built-in profile"));
        }
        if !(1..=GROUP_AGENTS_MAX).contains(&self.count) {
            faults.push(format!("`{name}` has not 1 to {GROUP_AGENTS_MAX} agents"));
        }
        if self.concurrency.is_some_and(|it| !(1..=GROUP_CONCURRENCY_MAX).contains(&it)) {
            faults.push(format!("`{name}` has not 1 to {GROUP_CONCURRENCY_MAX} tasks per agent"));
        }
        if !self.skills.is_empty() && !self.layer.works() {
            faults
                .push(format!("`{name}` offers skills, and agents of {} do not work", self.layer));
        }
        let distinct: BTreeSet<&Text> = self.skills.iter().collect();
        if distinct.len() != self.skills.len() || distinct.len() > GROUP_SKILLS_MAX {
            faults.push(format!("`{name}` offers a skill twice, or more than {GROUP_SKILLS_MAX}"));
        }
    }
}

impl FleetSpec {
    /// Its groups, those of the highest layer first: the places that they have in a fleet that begins
    /// with them.
    pub fn in_order(&self) -> Vec<&GroupSpec> {
        let mut order: Vec<&GroupSpec> = self.groups.iter().collect();
        order.sort_by_key(|group| group.layer);
        order
    }

    /// Agents in all.
    pub fn agents(&self) -> u64 {
        self.groups.iter().map(|group| u64::from(group.count)).sum()
    }

    /// Those of these names that its groups or their members have.
    pub(crate) fn named<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let groups: BTreeMap<&str, u32> =
            self.groups.iter().map(|group| (&*group.name, group.count)).collect();
        let is_named = |name: &&str| {
            let member = || {
                parse_ordinal(name).is_some_and(|(group, ordinal)| {
                    groups.get(group).is_some_and(|count| *count > 1 && ordinal < *count)
                })
            };
            groups.contains_key(*name) || member()
        };
        names.into_iter().filter(is_named).collect()
    }

    /// Everything that is wrong with it, whatever the fleet: in words, with the names.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.groups.len() > GROUPS_MAX || self.agents() > u64::from(DECLARED_AGENTS_MAX) {
            let most = format!("{GROUPS_MAX} groups and {DECLARED_AGENTS_MAX} agents");
            faults.push(format!("it declares more than {most}"));
            return faults;
        }
        let mut by_name: BTreeMap<&str, &GroupSpec> = BTreeMap::new();
        for group in &self.groups {
            group.faults(&mut faults);
            if by_name.insert(&group.name, group).is_some() {
                faults.push(format!("`{}` is declared twice", group.name));
            }
        }
        for group in &self.groups {
            let owner = parse_ordinal(&group.name).and_then(|(base, ordinal)| {
                by_name.get(base).filter(|it| it.count > 1 && ordinal < it.count)
            });
            if let Some(owner) = owner {
                faults
                    .push(format!("`{}` is the name of a member of `{}`", group.name, owner.name));
            }
            let Some(above) = &group.supervisor else { continue };
            match by_name.get(&**above) {
                None => faults
                    .push(format!("`{}`, supervisor of `{}`, is not there", above, group.name)),
                Some(it) if it.layer >= group.layer => {
                    let why = format!("`{above}` is in no higher layer than `{}`", group.name);
                    faults.push(why);
                }
                Some(_) => {}
            }
        }
        let mut names = BTreeSet::new();
        for skill in &self.skills {
            if !names.insert(&skill.name) {
                faults.push(format!("the skill `{}` is described twice", skill.name));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, layer: Layer, count: u32) -> GroupSpec {
        GroupSpec {
            name: name.into(),
            layer,
            count,
            supervisor: None,
            skills: Vec::new(),
            concurrency: None,
            behaviour: None,
            workers: false,
        }
    }

    #[test]
    fn members_are_called_by_their_group_and_number() {
        let many = group("crew", Layer::Micro, 12);
        assert_eq!(many.member_name(7), "crew-00007");
        assert!(many.is_member("crew-00007", 7) && !many.is_member("crew-00008", 7));
        let one = group("solo", Layer::Micro, 1);
        assert_eq!(one.member_name(0), "solo");
        assert!(one.is_member("solo", 0) && !one.is_member("solo-00000", 0));
    }

    #[test]
    fn everything_that_cannot_be_is_told_at_once() {
        let chief = group("lead", Layer::StackChief, 2);
        let member = |change: fn(&mut GroupSpec)| {
            let mut it = group("crew", Layer::Specialist, 3);
            it.supervisor = Some("lead".into());
            it.skills = vec!["a.b".into()];
            change(&mut it);
            FleetSpec { groups: vec![chief.clone(), it], skills: Vec::new() }
        };
        assert_eq!(member(|_| {}).faults(), Vec::<String>::new());
        type Spoil = fn(&mut GroupSpec);
        let cases: [(Spoil, &str); 9] = [
            (|it| it.count = 0, "1 to 1000 agents"),
            (|it| it.count = 1_001, "1 to 1000 agents"),
            (|it| it.name = "lead-00001".into(), "member of `lead`"),
            (|it| it.name = "micro-00001".into(), "built-in profile"),
            (|it| it.name = "lead".into(), "declared twice"),
            (|it| it.supervisor = Some("boss".into()), "is not there"),
            (|it| it.layer = Layer::StackChief, "no higher layer"),
            (|it| it.skills.push("a.b".into()), "a skill twice"),
            (|it| it.concurrency = Some(0), "tasks per agent"),
        ];
        for (change, why) in cases {
            let faults = member(change).faults().join("; ");
            assert!(faults.contains(why), "{faults}");
        }
        let many = vec![group("a", Layer::Micro, 1); GROUPS_MAX + 1];
        assert_eq!(FleetSpec { groups: many, skills: Vec::new() }.faults().len(), 1);
    }
}
