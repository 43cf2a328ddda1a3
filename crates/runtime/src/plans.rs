//! Plans from requests: parsed and validated once, then shared by the digest of their text.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ark_os_core::Kind;
use ark_os_core::hash::Hash;
use ark_os_core::manifest::{self, Findings, NAME_CHARS_MAX, SkillCatalogue, SkillShape};
use ark_os_core::plan::Workflow;
use ark_os_core::text::{Text, beginning};
use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use crate::RuntimeError;
use crate::data::Catalogue;
use crate::error::Place;
use crate::submission::{PlanRequest, TaskRequest};

/// Plans kept ready; when there are more, all are forgotten and made again on demand.
const PLANS_KEPT_MAX: usize = 4_096;

/// Parsed plans.
#[derive(Debug)]
pub(crate) struct Plans {
    catalogue: RwLock<Arc<Catalogue>>,
    /// Skills that remote workers have brought since the start: at most as many as the fleet keeps, which
    /// lets each in first. A deployment does not take them away but where it has one itself. Whoever changes the catalogue holds them, so that no skill is lost between the two.
    offered: Mutex<BTreeMap<String, SkillShape>>,
    /// Skills that remote workers are declared to offer.
    declared: RwLock<BTreeMap<String, SkillShape>>,
    /// The workflows that are deployed, by name.
    deployed: RwLock<BTreeMap<Text, Arc<Workflow>>>,
    known: Mutex<FxHashMap<Hash, Arc<Workflow>>>,
}

impl Plans {
    pub(crate) fn new(catalogue: Catalogue) -> Self {
        let catalogue = RwLock::new(Arc::new(catalogue));
        Plans {
            catalogue,
            offered: Mutex::default(),
            declared: RwLock::default(),
            deployed: RwLock::default(),
            known: Mutex::default(),
        }
    }

    /// What plans are checked against now.
    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A catalogue, and what remote workers offer besides.
    pub(crate) fn with_offered(&self, catalogue: Catalogue) -> Catalogue {
        join(catalogue, &self.offered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Plans may use this skill from now on. Those that were checked against another of its name are
    /// checked again.
    pub(crate) fn offer(&self, name: &str, shape: SkillShape) {
        let mut offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        offered.insert(name.to_owned(), shape.clone());
        let mut catalogue = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::make_mut(&mut catalogue).bring(name, shape) {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// What the manifest that is deployed says of a skill of remote workers.
    pub(crate) fn declared(&self, name: &str) -> Option<SkillShape> {
        self.declared.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// From now on plans are checked against these skills and those of remote workers, which `declared`
    /// speaks of, and these workflows are run by name.
    pub(crate) fn publish(
        &self,
        mut catalogue: Catalogue,
        declared: BTreeMap<String, SkillShape>,
        workflows: impl Iterator<Item = Arc<Workflow>>,
    ) {
        let mut offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        // No worker offers these any more, and none may.
        offered.retain(|name, _| catalogue.skill(name).is_none());
        for (name, shape) in &declared {
            catalogue.insert(name, shape.clone());
        }
        *self.declared.write().unwrap_or_else(PoisonError::into_inner) = declared;
        *self.catalogue.write().unwrap_or_else(PoisonError::into_inner) =
            Arc::new(join(catalogue, &offered));
        *self.deployed.write().unwrap_or_else(PoisonError::into_inner) =
            workflows.map(|it| (it.name.clone(), it)).collect();
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The plan of a request, if it is ready.
    pub(crate) fn known(&self, request: &PlanRequest) -> Option<Arc<Workflow>> {
        match request {
            PlanRequest::Deployed(name) => self.deployed(name),
            _ => self.find(&name_of(request)),
        }
    }

    fn deployed(&self, name: &str) -> Option<Arc<Workflow>> {
        self.deployed.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The plan of a request.
    pub(crate) fn plan(&self, request: &PlanRequest) -> Result<Arc<Workflow>, RuntimeError> {
        if let PlanRequest::Deployed(name) = request {
            return self.deployed(name).ok_or_else(|| not_deployed(name));
        }
        let name = name_of(request);
        if let Some(plan) = self.find(&name) {
            return Ok(plan);
        }
        let plan = self.parse(request)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PLANS_KEPT_MAX {
            known.clear();
        }
        known.insert(name, plan.clone());
        Ok(plan)
    }

    fn find(&self, name: &Hash) -> Option<Arc<Workflow>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn parse(&self, request: &PlanRequest) -> Result<Arc<Workflow>, RuntimeError> {
        let catalogue = self.catalogue();
        match request {
            PlanRequest::Deployed(name) => Err(not_deployed(name)),
            PlanRequest::Task(task) => {
                let options = task.options.clone().unwrap_or(Value::Null);
                manifest::single_task(&task.skill, &options, &*catalogue).map_err(invalid)
            }
            PlanRequest::Workflow(value) => {
                refuse_agents(value)?;
                let document = match value.get("workflows") {
                    Some(_) => value.clone(),
                    None => json!({ "workflows": [value] }),
                };
                let parsed = manifest::parse(&document, &*catalogue).map_err(invalid)?;
                let mut workflows = manifest::not_run_by_others(&parsed.workflows).into_iter();
                match (workflows.next(), workflows.next()) {
                    (Some(workflow), None) => Ok(workflow),
                    _ => Err(RuntimeError::new(
                        Kind::Invalid,
                        "workflow_ambiguous",
                        "run a manifest that does not have exactly one workflow",
                    )
                    .with_hint("name the workflow to run, or give just that one")),
                }
            }
        }
    }
}

fn join(mut catalogue: Catalogue, offered: &BTreeMap<String, SkillShape>) -> Catalogue {
    for (name, shape) in offered {
        // What is declared of a skill goes before what one worker says of it.
        let declared = catalogue.skill(name);
        catalogue.bring(name, declared.unwrap_or_else(|| shape.clone()));
    }
    catalogue
}

/// Agents are part of an instance, or are deployed to it: a run brings none.
fn refuse_agents(value: &Value) -> Result<(), RuntimeError> {
    let place = |section: &&str| Place {
        pointer: format!("/{section}"),
        message: "a run brings no agents".to_owned(),
        hint: Some("deploy them before: `ark-os deploy --manifest FILE`".to_owned()),
    };
    let sections = ["agents", "groups", "fleet"];
    let there = sections.iter().filter(|section| value.get(**section).is_some());
    let places: Vec<Place> = there.map(place).collect();
    if places.is_empty() {
        return Ok(());
    }
    let message = "accept the plan: it declares agents";
    Err(RuntimeError::new(Kind::Invalid, "manifest_invalid", message).with_places(places))
}

fn not_deployed(name: &str) -> RuntimeError {
    let name = beginning(name, NAME_CHARS_MAX);
    let message = format!("find the workflow `{name}`: none of that name is deployed");
    RuntimeError::new(Kind::NotFound, "workflow_not_found", message)
        .with_hint("`GET /api/v1/workflows` lists those that are deployed")
}

fn name_of(request: &PlanRequest) -> Hash {
    match request {
        PlanRequest::Deployed(name) => Hash::of_parts(&[b"deployed", name.as_bytes()]),
        PlanRequest::Task(TaskRequest { skill, options: None }) => {
            Hash::of_parts(&[b"task", skill.as_bytes()])
        }
        PlanRequest::Task(TaskRequest { skill, options: Some(options) }) => {
            Hash::of_parts(&[b"task", skill.as_bytes(), options.to_string().as_bytes()])
        }
        PlanRequest::Workflow(value) => {
            Hash::of_parts(&[b"workflow", value.to_string().as_bytes()])
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` gives")]
pub(crate) fn invalid(findings: Findings) -> RuntimeError {
    let more = findings.more();
    let places = findings.as_slice().iter().map(|finding| Place {
        pointer: finding.pointer.clone(),
        message: finding.message.clone(),
        hint: finding.hint.clone(),
    });
    let count = findings.as_slice().len() + more;
    RuntimeError::new(
        Kind::Invalid,
        "manifest_invalid",
        format!("accept the plan: {count} finding{}", if count == 1 { "" } else { "s" }),
    )
    .with_places(places.collect())
}

#[cfg(test)]
mod tests {
    use ark_os_core::plan::EffectClass;

    use super::*;

    fn shape(class: EffectClass) -> SkillShape {
        SkillShape { class, input_schema: None, output_schema: None }
    }

    #[test]
    fn what_is_deployed_is_what_the_deployment_says_though_a_worker_had_it_before() {
        let plans = Plans::new(Catalogue::default());
        plans.offer("far.off", shape(EffectClass::Read));
        let deployed = || {
            let mut catalogue = Catalogue::default();
            catalogue.insert("far.off", shape(EffectClass::Effectful));
            catalogue
        };
        let class = |catalogue: &Catalogue| catalogue.skill("far.off").map(|it| it.class);
        assert_eq!(class(&plans.with_offered(deployed())), Some(EffectClass::Effectful));
        plans.publish(deployed(), BTreeMap::new(), std::iter::empty());
        assert_eq!(class(&plans.catalogue()), Some(EffectClass::Effectful));
        plans.publish(Catalogue::default(), BTreeMap::new(), std::iter::empty());
        assert_eq!(class(&plans.catalogue()), None);
    }

    #[test]
    fn what_workers_offer_outlasts_deployments_and_what_they_offer_later_is_added() {
        let plans = Plans::new(Catalogue::default());
        plans.offer("far.off", shape(EffectClass::Read));
        let mut deployed = Catalogue::default();
        deployed.insert("call.it", shape(EffectClass::Pure));
        plans.publish(deployed, BTreeMap::new(), std::iter::empty());
        plans.offer("far.other", shape(EffectClass::Read));
        assert_eq!(plans.catalogue().names(), ["call.it", "far.off", "far.other"]);
        plans.publish(Catalogue::default(), BTreeMap::new(), std::iter::empty());
        assert_eq!(plans.catalogue().names(), ["far.off", "far.other"]);
        let task = TaskRequest { skill: "far.off".to_owned(), options: None };
        assert!(plans.plan(&PlanRequest::Task(task)).is_ok());
        let deployed = PlanRequest::Deployed("no".to_owned());
        assert_eq!(plans.plan(&deployed).unwrap_err().code(), "workflow_not_found");
    }
}
