//! Plans from requests: parsed and validated once, then shared by the digest of their text.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ark_os_core::Kind;
use ark_os_core::hash::Hash;
use ark_os_core::manifest::{self, Findings, SkillShape};
use ark_os_core::plan::Workflow;
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
    /// Skills that remote workers bring are added while the instance runs.
    catalogue: RwLock<Catalogue>,
    known: Mutex<FxHashMap<Hash, Arc<Workflow>>>,
}

impl Plans {
    pub(crate) fn new(catalogue: Catalogue) -> Self {
        Plans { catalogue: RwLock::new(catalogue), known: Mutex::default() }
    }

    /// Plans may use this skill from now on. Those that were checked against another of its name are
    /// checked again.
    pub(crate) fn offer(&self, name: &str, shape: SkillShape) {
        let mut catalogue = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        if catalogue.insert(name, shape) {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// The plan of a request, if it is ready.
    pub(crate) fn known(&self, request: &PlanRequest) -> Option<Arc<Workflow>> {
        self.find(&name_of(request))
    }

    /// The plan of a request.
    pub(crate) fn plan(&self, request: &PlanRequest) -> Result<Arc<Workflow>, RuntimeError> {
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
        let catalogue = self.catalogue.read().unwrap_or_else(PoisonError::into_inner);
        match request {
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

/// Agents are part of an instance from its start: a run brings none.
fn refuse_agents(value: &Value) -> Result<(), RuntimeError> {
    if value.get("agents").is_none() {
        return Ok(());
    }
    let place = Place {
        pointer: "/agents".to_owned(),
        message: "a run brings no agents".to_owned(),
        hint: Some("start the instance with them: `ark-os start --manifest FILE`".to_owned()),
    };
    let message = "accept the plan: it declares agents";
    Err(RuntimeError::new(Kind::Invalid, "manifest_invalid", message).with_places(vec![place]))
}

fn name_of(request: &PlanRequest) -> Hash {
    match request {
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
fn invalid(findings: Findings) -> RuntimeError {
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
