//! Tasks that a task adds to its own run: with its output, and in the record of its success, so that
//! they are added exactly once.
//!
//! They begin when that task is done, and whoever depends on it waits for them too. Their authority is
//! the run's own; the rules are asked about them as about a plan.

use std::sync::Arc;

use super::admission::{allowed, route};
use crate::error::{Failure, Rejected};
use crate::event::{Admission, TasksAdded};
use crate::ids::{SkillIx, TaskRef};
use crate::limits::PLAN_TASKS_MAX;
use crate::plan::{EffectClass, TaskSpec, Workflow};
use crate::rules::{Act, Question, Rules};
use crate::run::Run;
use crate::state::State;

pub(super) fn added(
    state: &State,
    rules: &dyn Rules,
    run: &Run,
    task: TaskRef,
    nodes: Vec<TaskSpec>,
) -> Result<TasksAdded, Failure> {
    let refused = |message: String| Failure::retryable("tasks_refused", message);
    let may =
        task.child.is_none() && run.spec(task.node).is_some_and(|spec| spec.expands == Some(true));
    if !may {
        return Err(refused("the task does not declare that it adds tasks".to_owned()));
    }
    let count = run.tasks.len() + nodes.len();
    if count > PLAN_TASKS_MAX {
        return Err(refused(format!("a plan has at most {PLAN_TASKS_MAX} tasks, not {count}")));
    }
    let first = run.tasks.len() as u32;
    let is_sound = |(node, spec): (u32, &TaskSpec)| {
        let is_known = |need: &u32| *need == task.node || (first..node).contains(need);
        spec.needs.contains(&task.node) && spec.needs.iter().all(is_known)
    };
    // Whoever made them has put them in an order in which none needs a later one.
    if !(first..).zip(&nodes).all(is_sound) {
        return Err(refused("a task needs what may not be over".to_owned()));
    }
    let rejected = |it: Rejected| refused(it.to_string());
    let part = Workflow { tasks: nodes, ..Workflow::clone(&run.workflow) };
    let skills = route(state, &part).map_err(rejected)?;
    judge(state, rules, run, (&part, &skills)).map_err(rejected)?;
    let Workflow { tasks: nodes, .. } = part;
    Ok(TasksAdded { task, nodes, skills })
}

/// Asks the rules again about what tasks have added to a run.
pub(super) fn judge_again(
    state: &State,
    rules: &dyn Rules,
    run: &Run,
    admission: &Admission,
) -> Result<(), Rejected> {
    let own = admission.workflow.tasks.len();
    let tasks = run.workflow.tasks.get(own..).unwrap_or_default().to_vec();
    let part = Workflow { tasks, ..Workflow::clone(&run.workflow) };
    let skills: Vec<SkillIx> = (own..run.workflow.tasks.len())
        .filter_map(|node| run.skill(u32::try_from(node).ok()?))
        .collect();
    judge(state, rules, run, (&part, &skills))
}

fn judge(
    state: &State,
    rules: &dyn Rules,
    run: &Run,
    (part, skills): (&Workflow, &[SkillIx]),
) -> Result<(), Rejected> {
    if part.tasks.is_empty() {
        return Ok(());
    }
    let class = |skill: &SkillIx| match *skill {
        SkillIx::NONE => Some(EffectClass::Pure),
        skill => state.fleet.skill_info(skill).map(|info| info.class),
    };
    let classes: Vec<EffectClass> = skills.iter().filter_map(class).collect();
    let Some(authority) = run.admission.as_ref().and_then(|it| it.caller.as_ref()) else {
        return Ok(());
    };
    let part = Arc::new(part.clone());
    let act = Act::AdmitWorkflow { workflow: &part, classes: &classes };
    allowed(&rules.judge(&Question { act, authority, mode: state.mode() }))
}
