//! Plans as graphs: what waits for what, how each task stands, which chain took the time.
//!
//! [`of_plan`] works on a plan that nobody ran, [`GraphFormat::render`] on any graph.

use std::collections::BTreeMap;

use ark_os_api::{GraphEdge, GraphNode, GraphView, MapCounts};
use ark_os_core::ids::TaskRef;
use ark_os_core::plan::graph::topological_order;
use ark_os_core::plan::{OnFailure, Shape, TaskSpec, Workflow};
use ark_os_core::run::TaskState;

use crate::past::{Past, PastTask};
use crate::words;

mod dot;
mod mermaid;
mod text;
mod tree;

pub use text::TextStyle;

/// How a graph is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphFormat {
    /// Drawn as a tree of lines.
    Text(TextStyle),
    /// The language of Graphviz.
    Dot,
    /// A flowchart of Mermaid.
    Mermaid,
}

impl GraphFormat {
    /// Writes a graph.
    pub fn render(self, graph: &GraphView) -> String {
        match self {
            GraphFormat::Text(style) => text::render(graph, style),
            GraphFormat::Dot => dot::render(graph),
            GraphFormat::Mermaid => mermaid::render(graph),
        }
    }
}

/// The graph of a plan.
pub fn of_plan(plan: &Workflow) -> GraphView {
    let weights = vec![None; plan.tasks.len()];
    with_paths(plan, Vec::new(), &weights)
}

/// The graph of a run, as its history tells; none: its plan is not known.
pub(crate) fn of_past(past: &Past, run: String, state: String) -> Option<GraphView> {
    let plan = past.workflow()?;
    let mut states = Vec::with_capacity(plan.tasks.len());
    let mut weights = Vec::with_capacity(plan.tasks.len());
    for node in 0..u32::try_from(plan.tasks.len()).unwrap_or(u32::MAX) {
        let row = past.task(TaskRef::node(node));
        let duration = row.as_deref().and_then(duration_ms);
        weights.push(duration);
        let children = row.as_deref().and_then(|row| row.children);
        states.push(Standing {
            duration,
            children: children.map(|total| counts(past, node, total)),
            row: row.map(std::borrow::Cow::into_owned),
        });
    }
    let mut graph = with_paths(plan, states, &weights);
    graph.duration_ms = past.duration_ms();
    (graph.run, graph.state) = (Some(run), Some(state));
    Some(graph)
}

/// How a node of a run stands.
struct Standing {
    row: Option<PastTask>,
    duration: Option<u64>,
    children: Option<MapCounts>,
}

fn duration_ms(row: &PastTask) -> Option<u64> {
    Some(row.ended?.0.saturating_sub(row.ready?.0))
}

fn counts(past: &Past, node: u32, total: u32) -> MapCounts {
    let mut counts = MapCounts { total, ..MapCounts::default() };
    for child in past.children(node) {
        match child.state.0 {
            TaskState::Succeeded => counts.succeeded += 1,
            TaskState::Failed => counts.failed += 1,
            TaskState::Running => counts.running += 1,
            _ => {}
        }
    }
    counts
}

fn with_paths(plan: &Workflow, states: Vec<Standing>, weights: &[Option<u64>]) -> GraphView {
    let before = before(plan);
    let order = order(plan, &before);
    let levels = levels(&before, &order);
    let path = critical_path(&before, &order, weights);
    let mut states = states.into_iter();
    let nodes = (0u32..).zip(&plan.tasks).map(|(ix, spec)| {
        let mut node = node(plan, ix, spec);
        node.level = levels.get(ix as usize).copied().unwrap_or(0);
        node.critical = path.contains(&ix);
        if let Some(standing) = states.next() {
            stand(&mut node, standing);
        }
        node
    });
    let took = path.iter().filter_map(|ix| weights.get(*ix as usize).copied().flatten());
    let took: u64 = took.sum();
    GraphView {
        workflow: plan.name.to_string(),
        version: plan.version.to_string(),
        hash: plan.hash.to_string(),
        nodes: nodes.collect(),
        edges: edges(plan),
        critical_path: path.iter().map(|ix| name(plan, *ix)).collect(),
        critical_ms: weights.iter().any(Option::is_some).then_some(took),
        ..GraphView::default()
    }
}

fn name(plan: &Workflow, node: u32) -> String {
    plan.tasks.get(node as usize).map(|spec| spec.name.to_string()).unwrap_or_default()
}

fn node(plan: &Workflow, ix: u32, spec: &TaskSpec) -> GraphNode {
    let primary = plan.tasks.iter().find(|it| it.on_failure == OnFailure::Fallback(ix));
    GraphNode {
        name: spec.name.to_string(),
        skill: spec.skill.to_string(),
        shape: match spec.shape {
            Shape::Single => "task",
            Shape::Map(_) => "map",
            Shape::Reduce(_) => "reduce",
            Shape::Wait(_) => "wait",
            Shape::Child(_) => "run",
        }
        .to_owned(),
        waits_for: crate::show::awaited(spec),
        when: spec.when.as_ref().map(ToString::to_string),
        added_by: spec.added_by.map(|adder| name(plan, adder)),
        fallback_for: primary.map(|primary| primary.name.to_string()),
        on_failure: match spec.on_failure {
            OnFailure::Fail => "fail",
            OnFailure::Continue => "continue",
            OnFailure::Fallback(_) => "fallback",
        }
        .to_owned(),
        ..GraphNode::default()
    }
}

/// What a node does, in short: its skill, or what it waits for.
fn doing(node: &GraphNode) -> String {
    match (&node.waits_for, node.shape.as_str()) {
        (Some(what), "wait") => format!("wait: {what}"),
        (Some(what), _) => what.clone(),
        (None, _) => node.skill.clone(),
    }
}

fn stand(node: &mut GraphNode, standing: Standing) {
    let row = standing.row.unwrap_or_default();
    node.state = Some(words::task_state(row.state.0).to_owned());
    node.ready = row.ready.map(words::stamp);
    node.duration_ms = standing.duration;
    node.attempts = row.attempt;
    node.children = standing.children;
    node.child = row.child.map(|run| run.to_string());
}

fn edges(plan: &Workflow) -> Vec<GraphEdge> {
    let mut edges = Vec::new();
    for spec in &plan.tasks {
        let needs = spec.needs.iter().map(|need| (*need, "needs"));
        edges.extend(needs.map(|(need, kind)| GraphEdge {
            from: name(plan, need),
            to: spec.name.to_string(),
            kind: kind.to_owned(),
        }));
        if let OnFailure::Fallback(stand_in) = spec.on_failure {
            edges.push(GraphEdge {
                from: spec.name.to_string(),
                to: name(plan, stand_in),
                kind: "fallback".to_owned(),
            });
        }
    }
    edges
}

/// What each node comes after: what it needs, and for a fallback the task that it stands in for.
fn before(plan: &Workflow) -> Vec<Vec<u32>> {
    let mut before: Vec<Vec<u32>> = plan.tasks.iter().map(|spec| spec.needs.clone()).collect();
    for (ix, spec) in (0u32..).zip(&plan.tasks) {
        if let OnFailure::Fallback(stand_in) = spec.on_failure
            && let Some(needs) = before.get_mut(stand_in as usize)
        {
            needs.push(ix);
        }
    }
    before
}

/// Every node after what it comes after: fallbacks need nothing that their task does not need, so
/// they may follow the plan's own order in as many rounds as a line of fallbacks is long.
fn order(plan: &Workflow, before: &[Vec<u32>]) -> Vec<u32> {
    let mut edges = ark_os_core::plan::graph::EdgeList::new(before.len());
    for (ix, needs) in (0u32..).zip(before) {
        for need in needs {
            edges.add(ix, *need);
        }
    }
    topological_order(&edges).or_else(|| topological_order(plan)).unwrap_or_default()
}

fn levels(before: &[Vec<u32>], order: &[u32]) -> Vec<u32> {
    let mut levels = vec![0u32; before.len()];
    for node in order {
        let needs = before.get(*node as usize).into_iter().flatten();
        let above = needs.filter_map(|need| levels.get(*need as usize)).max();
        let level = above.map_or(0, |above| above + 1);
        if let Some(slot) = levels.get_mut(*node as usize) {
            *slot = level;
        }
    }
    levels
}

/// The chain with the greatest sum of times, of those the longest: where nothing has a time yet,
/// simply the longest.
fn critical_path(before: &[Vec<u32>], order: &[u32], weights: &[Option<u64>]) -> Vec<u32> {
    let mut best: BTreeMap<u32, (u64, usize, Option<u32>)> = BTreeMap::new();
    for node in order {
        let needs = before.get(*node as usize).into_iter().flatten();
        let known = needs.filter_map(|need| best.get(need).map(|it| (it.0, it.1, *need)));
        // The smaller number wins a tie, so that the same plan always gives the same path.
        let above = known.max_by_key(|it| (it.0, it.1, std::cmp::Reverse(it.2)));
        let (time, length, from) = above.map_or((0, 0, None), |it| (it.0, it.1, Some(it.2)));
        let weight = weights.get(*node as usize).copied().flatten().unwrap_or(0);
        best.insert(*node, (time.saturating_add(weight), length + 1, from));
    }
    let last = best.iter().max_by_key(|(node, it)| (it.0, it.1, std::cmp::Reverse(**node)));
    let last = last.map(|(node, _)| *node);
    let mut path: Vec<u32> =
        std::iter::successors(last, |node| best.get(node).and_then(|it| it.2)).collect();
    path.reverse();
    path
}

#[cfg(test)]
mod tests;
