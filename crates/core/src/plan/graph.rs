//! The laws of plan graphs: order, cycles, sinks, descendants, the longest chain.
//!
//! Nothing here recurses: graphs come from foreign input and may be one long chain.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::{TaskSpec, Workflow};

/// A directed graph of nodes `0..len()`; every edge leads to one of them.
pub trait Edges {
    /// How many nodes there are.
    fn len(&self) -> usize;
    /// The nodes that `node` needs; each at most once.
    fn needs(&self, node: u32) -> &[u32];
    /// The nodes that need `node`: the reverse of `needs`.
    fn feeds(&self, node: u32) -> &[u32];
    /// Whether there are no nodes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Edges for Workflow {
    fn len(&self) -> usize {
        self.tasks.len()
    }

    fn needs(&self, node: u32) -> &[u32] {
        self.tasks.get(node as usize).map_or(&[], |task: &TaskSpec| &task.needs)
    }

    fn feeds(&self, node: u32) -> &[u32] {
        self.tasks.get(node as usize).map_or(&[], |task: &TaskSpec| &task.feeds)
    }
}

/// A graph under construction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EdgeList {
    needs: Vec<Vec<u32>>,
    feeds: Vec<Vec<u32>>,
    seen: BTreeSet<(u32, u32)>,
}

impl EdgeList {
    /// A graph of so many nodes and no edges.
    pub fn new(nodes: usize) -> Self {
        EdgeList {
            needs: vec![Vec::new(); nodes],
            feeds: vec![Vec::new(); nodes],
            seen: BTreeSet::new(),
        }
    }

    /// Lets `node` need `needed`. False if it does already, or one of them does not exist.
    pub fn add(&mut self, node: u32, needed: u32) -> bool {
        let nodes = self.needs.len();
        if node as usize >= nodes || needed as usize >= nodes || !self.seen.insert((node, needed)) {
            return false;
        }
        if let Some(needs) = self.needs.get_mut(node as usize) {
            needs.push(needed);
        }
        if let Some(feeds) = self.feeds.get_mut(needed as usize) {
            feeds.push(node);
        }
        true
    }

    /// How many edges there are.
    pub fn edges(&self) -> usize {
        self.seen.len()
    }
}

impl Edges for EdgeList {
    fn len(&self) -> usize {
        self.needs.len()
    }

    fn needs(&self, node: u32) -> &[u32] {
        self.needs.get(node as usize).map_or(&[], |needs| needs)
    }

    fn feeds(&self, node: u32) -> &[u32] {
        self.feeds.get(node as usize).map_or(&[], |feeds| feeds)
    }
}

/// All nodes, each after everything it needs, smaller numbers first where there is a choice.
/// None if there is a cycle.
pub fn topological_order(graph: &impl Edges) -> Option<Vec<u32>> {
    let mut open: Vec<usize> = nodes(graph).map(|node| graph.needs(node).len()).collect();
    let mut ready: BinaryHeap<Reverse<u32>> = nodes(graph)
        .zip(&open)
        .filter(|(_, open)| **open == 0)
        .map(|(node, _)| Reverse(node))
        .collect();
    let mut order = Vec::with_capacity(graph.len());
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for next in graph.feeds(node) {
            let Some(count) = open.get_mut(*next as usize) else { continue };
            *count = count.saturating_sub(1);
            if *count == 0 {
                ready.push(Reverse(*next));
            }
        }
    }
    (order.len() == graph.len()).then_some(order)
}

/// Cycles that share no node: at least one for each knot of the graph, none if it has no cycle.
/// Each is a path along `needs` whose last node needs its first, which is its smallest.
pub fn cycles(graph: &impl Edges) -> Vec<Vec<u32>> {
    let mut search = CycleSearch {
        graph,
        mark: vec![Mark::New; graph.len()],
        knotted: vec![false; graph.len()],
        path: Vec::new(),
        found: Vec::new(),
    };
    for start in nodes(graph) {
        search.from(start);
    }
    search.found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    /// On the path; its place there.
    Open(usize),
    Over,
}

/// A depth-first search with the path as an explicit stack: node and its next edge.
struct CycleSearch<'g, G> {
    graph: &'g G,
    mark: Vec<Mark>,
    knotted: Vec<bool>,
    path: Vec<(u32, usize)>,
    found: Vec<Vec<u32>>,
}

impl<G: Edges> CycleSearch<'_, G> {
    fn from(&mut self, start: u32) {
        self.enter(start);
        while let Some((node, edge)) = self.path.last_mut() {
            let node = *node;
            let next = self.graph.needs(node).get(*edge).copied();
            *edge += 1;
            match next {
                None => {
                    self.path.pop();
                    self.set(node, Mark::Over);
                }
                Some(next) => match self.mark.get(next as usize).copied() {
                    Some(Mark::New) => self.enter(next),
                    Some(Mark::Open(place)) => self.close(place),
                    Some(Mark::Over) | None => {}
                },
            }
        }
    }

    fn enter(&mut self, node: u32) {
        if self.mark.get(node as usize) == Some(&Mark::New) {
            self.set(node, Mark::Open(self.path.len()));
            self.path.push((node, 0));
        }
    }

    fn set(&mut self, node: u32, mark: Mark) {
        if let Some(slot) = self.mark.get_mut(node as usize) {
            *slot = mark;
        }
    }

    /// The path from `place` on is a cycle.
    fn close(&mut self, place: usize) {
        let mut cycle: Vec<u32> = self.path.iter().skip(place).map(|(node, _)| *node).collect();
        if cycle.iter().any(|node| self.knotted.get(*node as usize) == Some(&true)) {
            return;
        }
        for node in &cycle {
            if let Some(knotted) = self.knotted.get_mut(*node as usize) {
                *knotted = true;
            }
        }
        let smallest = cycle.iter().enumerate().min_by_key(|(_, node)| **node);
        let smallest = smallest.map_or(0, |(place, _)| place);
        cycle.rotate_left(smallest);
        self.found.push(cycle);
    }
}

/// The nodes that nothing needs.
pub fn sinks(graph: &impl Edges) -> Vec<u32> {
    nodes(graph).filter(|node| graph.feeds(*node).is_empty()).collect()
}

/// The tasks whose outputs are the run's where the workflow has no `output`: those that nothing
/// needs, without fallbacks, whose outputs stand in for another's.
pub fn result_nodes(workflow: &Workflow) -> Vec<u32> {
    let mut sinks = sinks(workflow);
    sinks.retain(|node| !workflow.tasks.get(*node as usize).is_some_and(|task| task.is_fallback));
    sinks
}

/// Everything that waits for `node`, directly or not, in ascending order; without `node`.
pub fn descendants(graph: &impl Edges, node: u32) -> Vec<u32> {
    reachable(graph.len(), node, |node| graph.feeds(node))
}

/// Everything that `node` waits for, directly or not, in ascending order; without `node`.
pub fn ancestors(graph: &impl Edges, node: u32) -> Vec<u32> {
    reachable(graph.len(), node, |node| graph.needs(node))
}

/// Nodes on the longest chain: the least number of tasks that must run one after the other.
/// None if there is a cycle.
pub fn critical_path_len(graph: &impl Edges) -> Option<usize> {
    let mut length = vec![1usize; graph.len()];
    for node in topological_order(graph)? {
        let before = graph.needs(node).iter().filter_map(|need| length.get(*need as usize)).max();
        let here = 1 + before.copied().unwrap_or(0);
        if let Some(slot) = length.get_mut(node as usize) {
            *slot = here;
        }
    }
    Some(length.into_iter().max().unwrap_or(0))
}

fn reachable<'g>(len: usize, start: u32, next: impl Fn(u32) -> &'g [u32]) -> Vec<u32> {
    let mut seen = vec![false; len];
    let mut open = vec![start];
    while let Some(node) = open.pop() {
        for next in next(node) {
            if let Some(seen @ false) = seen.get_mut(*next as usize) {
                *seen = true;
                open.push(*next);
            }
        }
    }
    let found = seen.iter().enumerate().filter(|(_, seen)| **seen);
    found.map(|(node, _)| node as u32).filter(|node| *node != start).collect()
}

fn nodes(graph: &impl Edges) -> std::ops::Range<u32> {
    0..u32::try_from(graph.len()).unwrap_or(u32::MAX)
}
