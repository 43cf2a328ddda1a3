//! Linking the tasks of a plan: names to nodes, references to dependencies, fallbacks to the
//! tasks they stand in for; and what the resulting graph may not be.

use std::collections::BTreeMap;

use super::findings::{Pointer, Report, code, shown};
use super::limits::PLAN_EDGES_MAX;
use super::task::{Draft, Named};
use super::template::Template;
use crate::plan::graph::{EdgeList, Edges, ancestors, cycles};
use crate::plan::{OnFailure, Shape};

/// The tasks of a plan by name.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, u32>);

impl Names {
    /// Gives every name its node; a name used twice is a finding and stays with the first.
    pub(super) fn of(drafts: &[Draft], report: &mut Report<'_>) -> Self {
        let mut names = BTreeMap::new();
        for (node, draft) in drafts.iter().enumerate() {
            let name = draft.spec.name.as_str();
            if name.is_empty() {
                continue;
            }
            if names.contains_key(name) {
                let message = format!("there is another task `{name}` before this one");
                report.add(&draft.at.key("name"), code::DUPLICATE_NAME, message);
                continue;
            }
            names.insert(name.to_owned(), node as u32);
        }
        Names(names)
    }

    pub(super) fn node(&self, name: &str) -> Option<u32> {
        self.0.get(name).copied()
    }

    /// The node with this name; that there is none is a finding.
    pub(super) fn resolve(&self, name: &str, at: &Pointer, report: &mut Report<'_>) -> Option<u32> {
        let node = self.node(name);
        if node.is_none() {
            let message = format!("there is no task `{}`", shown(name));
            let known = self.0.keys().map(String::as_str);
            report.unknown(at, code::UNKNOWN_TASK, message, name, known);
        }
        node
    }
}

/// Fills in `needs`, `feeds`, fallbacks and reduces.
pub(super) fn link(drafts: &mut [Draft], names: &Names, report: &mut Report<'_>) {
    let owners = link_fallbacks(drafts, names, report);
    link_reduces(drafts, names, report);
    let mut linking = Linking {
        drafts,
        names,
        owners,
        needs: EdgeList::new(drafts.len()),
        order: EdgeList::new(drafts.len()),
        of_fallbacks: Vec::new(),
    };
    linking.add_edges(report);
    let is_ordered = linking.check_cycles(report);
    if is_ordered {
        linking.check_fallbacks(report);
    }
    let needs = linking.needs;
    for (node, draft) in (0u32..).zip(drafts) {
        draft.spec.needs = needs.needs(node).to_vec();
        draft.spec.needs.sort_unstable();
        draft.spec.feeds = needs.feeds(node).to_vec();
        draft.spec.feeds.sort_unstable();
    }
}

/// All tasks that a task names, with the places.
fn dependencies(draft: &Draft) -> Vec<Named> {
    let mut found = draft.after.clone();
    found.extend(references(draft.over.as_ref(), &draft.over_at()));
    found.extend(references(draft.input.as_ref(), &draft.input_at));
    found.extend(references(draft.until.as_ref(), &draft.until_at()));
    found.extend(references(draft.key.as_ref(), &draft.key_at()));
    found
}

fn references(template: Option<&Template>, at: &Pointer) -> Vec<Named> {
    let references = template.map(Template::references).unwrap_or_default();
    let named = references.iter().filter_map(|reference| {
        let task = reference.expression.root().task()?;
        Some(Named { name: task.to_string(), at: at.join(&reference.pointer) })
    });
    named.collect()
}

/// Gives each fallback the task it stands in for.
fn link_fallbacks(
    drafts: &mut [Draft],
    names: &Names,
    report: &mut Report<'_>,
) -> BTreeMap<u32, u32> {
    let mut owners: BTreeMap<u32, u32> = BTreeMap::new();
    for owner in 0..drafts.len() {
        let Some(fallback) = drafts.get(owner).and_then(|draft| draft.fallback.clone()) else {
            continue;
        };
        let at = &fallback.at;
        let Some(node) = names.resolve(&fallback.name, at, report) else { continue };
        let owner = owner as u32;
        let Some(target) = drafts.get_mut(node as usize) else { continue };
        let wrong = if node == owner {
            Some("a task is not its own fallback".to_owned())
        } else if matches!(target.spec.shape, Shape::Map(_)) || target.reduce.is_some() {
            Some(format!("`{}` is a map or a reduce; a fallback is one task", fallback.name))
        } else if target.spec.expands.is_some() {
            Some(format!("`{}` adds tasks; a fallback does not", fallback.name))
        } else {
            target.spec.is_fallback = true;
            owners
                .get(&node)
                .map(|_| format!("`{}` stands in for another task already", fallback.name))
        };
        if let Some(message) = wrong {
            report.add(at, code::INVALID_FALLBACK, message);
            continue;
        }
        owners.insert(node, owner);
        if let Some(draft) = drafts.get_mut(owner as usize) {
            draft.spec.on_failure = OnFailure::Fallback(node);
        }
    }
    owners
}

fn link_reduces(drafts: &mut [Draft], names: &Names, report: &mut Report<'_>) {
    for place in 0..drafts.len() {
        let Some(reduce) = drafts.get(place).and_then(|draft| draft.reduce.clone()) else {
            continue;
        };
        // A name that is not there is a finding of the dependency that it also is.
        let Some(node) = names.node(&reduce.name) else { continue };
        let Some(map) = drafts.get(node as usize) else { continue };
        if map.map().is_none() {
            let message = format!("`{}` is not a map; a reduce gathers a map", reduce.name);
            report.add(&reduce.at, code::NOT_A_MAP, message);
        } else if map.fallback.is_some() {
            let message = format!(
                "`{}` has a fallback, whose output is not a list of results to gather",
                reduce.name
            );
            report.add(&reduce.at, code::INVALID_FALLBACK, message);
        }
        if let Some(draft) = drafts.get_mut(place) {
            draft.spec.shape = Shape::Reduce(node);
        }
    }
}

struct Linking<'d> {
    drafts: &'d [Draft],
    names: &'d Names,
    /// Fallback → the task that it stands in for.
    owners: BTreeMap<u32, u32>,
    /// The edges of the plan.
    needs: EdgeList,
    /// The same, and each fallback after its task.
    order: EdgeList,
    /// Dependencies of fallbacks: fallback, what it needs, where it says so.
    of_fallbacks: Vec<(u32, u32, Pointer)>,
}

impl Linking<'_> {
    fn add_edges(&mut self, report: &mut Report<'_>) {
        for (fallback, owner) in &self.owners {
            self.order.add(*fallback, *owner);
        }
        for (node, draft) in (0u32..).zip(self.drafts) {
            for named in dependencies(draft) {
                self.add_edge(node, &named, report);
                if self.needs.edges() > PLAN_EDGES_MAX {
                    let message = format!("a plan has at most {PLAN_EDGES_MAX} dependencies");
                    report.add(&named.at, code::OUT_OF_RANGE, message);
                    return;
                }
            }
        }
    }

    fn add_edge(&mut self, node: u32, named: &Named, report: &mut Report<'_>) {
        let Some(needed) = self.names.resolve(&named.name, &named.at, report) else { return };
        let name = &named.name;
        if needed == node {
            let message = format!("`{name}` would wait for itself");
            report.add(&named.at, code::SELF_DEPENDENCY, message);
        } else if self.stands_in_for(node, needed) {
            // It starts when that task has failed: nothing to wait for.
        } else if let Some(owner) = self.owners.get(&needed) {
            let owner = self.name(*owner);
            report.add_hint(
                &named.at,
                code::DEPENDS_ON_FALLBACK,
                format!("`{name}` is a fallback and may never run"),
                format!("depend on `{owner}`: the output of its fallback stands in for its own"),
            );
        } else if self.needs.add(node, needed) {
            self.order.add(node, needed);
            if self.owners.contains_key(&node) {
                self.of_fallbacks.push((node, needed, named.at.clone()));
            }
        }
    }

    /// Whether `node` is the fallback of `task`, or of its fallback, and so on.
    fn stands_in_for(&self, node: u32, task: u32) -> bool {
        self.chain(node).any(|owner| owner == task)
    }

    /// The tasks that a fallback stands in for. It is as long as the plan at most, since a chain
    /// that closes is only found later.
    fn chain(&self, node: u32) -> impl Iterator<Item = u32> {
        let next = |node: &u32| self.owners.get(node).copied();
        std::iter::successors(next(&node), next).take(self.owners.len())
    }

    fn name(&self, node: u32) -> &str {
        self.drafts.get(node as usize).map_or("", |draft| draft.spec.name.as_str())
    }

    fn check_cycles(&self, report: &mut Report<'_>) -> bool {
        /// Names of a cycle in one message.
        const SHOWN_NAMES_MAX: usize = 12;
        let cycles = cycles(&self.order);
        for cycle in &cycles {
            let mut path: Vec<String> = cycle
                .iter()
                .take(SHOWN_NAMES_MAX)
                .map(|node| format!("`{}`", self.name(*node)))
                .collect();
            if cycle.len() > SHOWN_NAMES_MAX {
                path.push(format!("… ({} more)", cycle.len() - SHOWN_NAMES_MAX));
            }
            path.extend(path.first().cloned());
            let Some(draft) = cycle.first().and_then(|node| self.drafts.get(*node as usize)) else {
                continue;
            };
            let message = format!("tasks wait for each other: {}", path.join(" → "));
            report.add_hint(
                &draft.at,
                code::CYCLE,
                message,
                "each arrow is a dependency; drop one",
            );
        }
        cycles.is_empty()
    }

    /// A fallback must be able to start at once when its task has failed, so everything it needs
    /// was over before that task started.
    fn check_fallbacks(&self, report: &mut Report<'_>) {
        let mut before: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (fallback, needed, at) in &self.of_fallbacks {
            let Some(task) = self.chain(*fallback).last() else { continue };
            let over = before.entry(task).or_insert_with(|| ancestors(&self.needs, task));
            if over.binary_search(needed).is_err() {
                let (task, needed) = (self.name(task), self.name(*needed));
                report.add_hint(
                    at,
                    code::INVALID_FALLBACK,
                    format!("the fallback of `{task}` would have to wait for `{needed}`"),
                    format!("a fallback needs only what its task needs: let `{task}` need `{needed}` too"),
                );
            }
        }
    }
}
