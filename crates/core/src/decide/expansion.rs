//! Tasks that a task adds to its own run: with its output, and in the record of its success, so that
//! they are added exactly once.
//!
//! They begin when that task is done, and whoever depends on it waits for them too. Their authority is
//! the run's own; the rules are asked about them as about a plan.

use std::collections::BTreeSet;
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
use crate::text::Text;

/// Why tasks are not added.
pub(super) enum NotAdded {
    /// They are not sound: who made them is to blame.
    Refused(Failure),
    /// Another task has added one of this name since they were made, and nobody could know.
    Clash(Failure),
}

pub(super) fn added(
    state: &State,
    rules: &dyn Rules,
    run: &Run,
    task: TaskRef,
    (nodes, base): (Vec<TaskSpec>, u32),
) -> Result<TasksAdded, NotAdded> {
    let failure = |message: String| Failure::retryable("tasks_refused", message);
    let refused = |message: String| NotAdded::Refused(failure(message));
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
    let Some(by) = first.checked_sub(base) else {
        return Err(refused("the tasks were made for another plan".to_owned()));
    };
    if let Some(name) = taken(run, base, &nodes) {
        let message = format!("another task has added a task `{name}` meanwhile");
        return Err(NotAdded::Clash(failure(message)));
    }
    // Others may have been added before them since they were made.
    let moved = |node: u32| if node < base { node } else { node.saturating_add(by) };
    let nodes: Vec<TaskSpec> = nodes.into_iter().map(|spec| spec.renumbered(moved)).collect();
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

/// A name that was free when the plan had `base` tasks, and is not any more.
fn taken<'a>(run: &Run, base: u32, nodes: &'a [TaskSpec]) -> Option<&'a Text> {
    let since = run.workflow.tasks.get(base as usize..).unwrap_or_default();
    let names: BTreeSet<&Text> = since.iter().map(|spec| &spec.name).collect();
    nodes.iter().map(|spec| &spec.name).find(|name| names.contains(name))
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
