//! The skills and languages that manifests are checked against, for the core's `manifest`.

use std::collections::{BTreeMap, BTreeSet};

use ark_os_core::manifest::{SkillCatalogue, SkillShape};
use serde_json::Value;

use super::Condition;
use super::schemas::compile;
use crate::skills;

/// What a set of skills tells about itself, read once.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    skills: BTreeMap<String, SkillShape>,
    /// Those of them that remote workers have brought.
    brought: BTreeSet<String>,
}

impl Catalogue {
    /// The catalogue of a set.
    pub fn new(set: &skills::SkillSet) -> Self {
        let mut catalogue = Catalogue::default();
        catalogue.add(set);
        catalogue
    }

    /// Adds the skills of another set.
    pub fn add(&mut self, set: &skills::SkillSet) {
        for skill in set.iter() {
            let spec = skill.spec();
            self.insert(
                &spec.name,
                SkillShape {
                    class: spec.class,
                    input_schema: schema(&spec.input_schema),
                    output_schema: schema(&spec.output_schema),
                },
            );
        }
    }

    /// Adds a skill that remote workers have brought; a manifest may declare who offers it besides.
    pub fn bring(&mut self, name: &str, shape: SkillShape) -> bool {
        self.brought.insert(name.to_owned());
        self.insert(name, shape)
    }

    /// Adds a skill that agents of another kind have; whether it takes the place of another one of its
    /// name.
    pub fn insert(&mut self, name: &str, shape: SkillShape) -> bool {
        let is_other = self.skills.get(name).is_some_and(|before| *before != shape);
        self.skills.insert(name.to_owned(), shape);
        is_other
    }
}

impl SkillCatalogue for Catalogue {
    fn skill(&self, name: &str) -> Option<SkillShape> {
        self.skills.get(name).cloned()
    }

    fn builtin(&self, name: &str) -> Option<SkillShape> {
        self.skill(name).filter(|_| !self.brought.contains(name))
    }

    fn names(&self) -> Vec<String> {
        self.skills.keys().cloned().collect()
    }

    fn check_condition(&self, cel: &str) -> Result<(), String> {
        Condition::compile(cel).map(|_| ())
    }

    fn check_schema(&self, schema: &Value) -> Result<(), String> {
        compile(schema).map(|_| ())
    }
}

/// A skill's schema; a text that is none promises nothing, and a test holds every skill to it.
fn schema(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(|schema| *schema != Value::Bool(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_skill_has_schemas_that_compile() {
        let set = skills::SkillSet::builtin();
        let schemas = super::super::Schemas::new();
        for skill in set.iter() {
            let spec = skill.spec();
            assert_eq!(schemas.check(&spec.input_schema), Ok(()), "{}", spec.name);
            assert_eq!(schemas.check(&spec.output_schema), Ok(()), "{}", spec.name);
        }
        let catalogue = Catalogue::new(&set);
        assert_eq!(catalogue.names(), set.names().collect::<Vec<_>>());
        assert!(catalogue.skill("echo").is_some() && catalogue.skill("no").is_none());
    }
}
