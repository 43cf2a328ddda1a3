//! Tasks that a running task brings, read as those of a manifest are.
//!
//! They begin when that task is done. So they may refer to it, to what it came after itself, and to
//! each other, and to nothing else.

use std::collections::BTreeSet;

use serde_json::Value;

use super::findings::{Findings, Pointer, Report, code};
use super::links::{self, Names};
use super::task::{self, Draft};
use super::types::Plan;
use super::{SkillCatalogue, is_shallow, wait};
use crate::limits::PLAN_TASKS_MAX;
use crate::plan::graph::{ancestors, topological_order};
use crate::plan::{OnFailure, Shape, TaskSpec, Workflow};

/// Reads a list of tasks that `adder` brings to this plan. Their numbers follow the plan's own, and
/// none needs a later one.
///
/// # Errors
/// Everything that is wrong with them, with pointers into the list.
pub fn parse_added(
    list: &Value,
    plan: &Workflow,
    adder: u32,
    skills: &dyn SkillCatalogue,
) -> Result<Vec<TaskSpec>, Findings> {
    let mut report = Report::new(skills);
    let made = match is_shallow(list, &mut report) {
        true => read(list, plan, adder, &mut report),
        false => Vec::new(),
    };
    report.into_result(made)
}

fn read(list: &Value, plan: &Workflow, adder: u32, report: &mut Report<'_>) -> Vec<TaskSpec> {
    let at = Pointer::root();
    let Some(list) = list.as_array() else {
        report.wrong_type(&at, "`tasks` is a list", list);
        return Vec::new();
    };
    let count = plan.tasks.len() + list.len();
    if count > PLAN_TASKS_MAX {
        let message = format!("a plan has at most {PLAN_TASKS_MAX} tasks, not {count}");
        report.add(&at, code::OUT_OF_RANGE, message);
        return Vec::new();
    }
    let mut drafts: Vec<Draft> = plan.tasks.iter().map(Draft::known).collect();
    let list = list.iter().enumerate();
    drafts.extend(list.filter_map(|(i, value)| task::read(value, &at.index(i), report)));
    let names = Names::of(&drafts, report);
    links::link(&mut drafts, &names, report);
    wait::check_signals(&drafts, report);
    Plan { drafts: &drafts, names: &names, input_schema: None }.check(None, report);
    let added = drafts.split_off(plan.tasks.len());
    tie(added, plan, adder, report)
}

/// Leaves out what is over already, and lets each wait for whoever brings it.
fn tie(added: Vec<Draft>, plan: &Workflow, adder: u32, report: &mut Report<'_>) -> Vec<TaskSpec> {
    let first = plan.tasks.len() as u32;
    let over: BTreeSet<u32> = ancestors(plan, adder).into_iter().collect();
    let mut specs = Vec::with_capacity(added.len());
    for draft in added {
        let mut spec = draft.spec;
        let foreign = |need: &&u32| **need < first && **need != adder && !over.contains(*need);
        if let Some(need) = spec.needs.iter().find(foreign) {
            let name = plan.tasks.get(*need as usize).map_or("", |it| &*it.name);
            let message = format!("`{name}` may not be over when this begins");
            report.add(&draft.at, code::UNKNOWN_TASK, message);
        }
        let reduces_old = matches!(spec.shape, Shape::Reduce(map) if map < first);
        let falls_back_old = matches!(spec.on_failure, OnFailure::Fallback(it) if it < first);
        if reduces_old || falls_back_old {
            let message = "it can gather, or fall back to, only what is added with it";
            report.add(&draft.at, code::CONFLICTING_FIELDS, message);
        }
        spec.needs.retain(|need| *need >= first || *need == adder);
        if !spec.needs.contains(&adder) {
            spec.needs.insert(0, adder);
        }
        spec.feeds.clear();
        specs.push(spec);
    }
    in_order(specs, first)
}

/// Each behind what it needs, so that nobody has to look for circles again.
fn in_order(specs: Vec<TaskSpec>, first: u32) -> Vec<TaskSpec> {
    let mut edges = crate::plan::graph::EdgeList::new(specs.len());
    for (node, spec) in (0u32..).zip(&specs) {
        for need in spec.needs.iter().filter_map(|need| need.checked_sub(first)) {
            edges.add(node, need);
        }
    }
    // Fallbacks need nothing of their tasks; they may stand anywhere.
    let Some(order) = topological_order(&edges) else { return specs };
    let mut places = vec![0u32; specs.len()];
    for (place, node) in (0u32..).zip(&order) {
        if let Some(slot) = places.get_mut(*node as usize) {
            *slot = first + place;
        }
    }
    let moved = |node: u32| {
        let place = node.checked_sub(first).and_then(|it| places.get(it as usize));
        place.copied().unwrap_or(node)
    };
    let renumber = |spec: &TaskSpec| spec.clone().renumbered(moved);
    order.iter().filter_map(|node| specs.get(*node as usize)).map(renumber).collect()
}
