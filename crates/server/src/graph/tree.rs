//! A graph as a tree: each task below one of those that it waits for.

use std::collections::BTreeMap;

use ark_os_api::GraphView;

/// Characters of a prefix; what is deeper begins again at the left, behind a mark.
const PREFIX_CHARS_MAX: usize = 24;

/// The signs that a tree is drawn with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs {
    /// In front of a branch that is not the last one.
    pub(super) branch: &'static str,
    /// In front of the last one.
    pub(super) last: &'static str,
    /// In front of the only one: it stands below, not beside.
    pub(super) only: &'static str,
    /// Below a branch that is not the last one.
    pub(super) along: &'static str,
    /// Below the last one.
    pub(super) blank: &'static str,
    /// Where the prefix was cut.
    pub(super) cut: &'static str,
}

pub(super) const UTF8: Signs =
    Signs {
        branch: "├─ ", last: "└─ ", only: "↓ ", along: "│  ", blank: "   ", cut: "» "
    };
pub(super) const ASCII: Signs =
    Signs { branch: "|- ", last: "`- ", only: "v ", along: "|  ", blank: "   ", cut: "> " };

/// A line of the tree.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) node: usize,
    pub(super) prefix: String,
    /// What it waits for besides the task above it.
    pub(super) also: Vec<String>,
}

/// A node whose turn comes, with what stands before it.
struct Turn {
    node: usize,
    /// What stands before its sign.
    before: String,
    sign: &'static str,
    /// What stands before the signs of what is below it.
    below: String,
}

/// The lines, each task once.
pub(super) fn lines(graph: &GraphView, signs: Signs) -> Vec<Line> {
    let (children, parents) = tree(graph);
    let roots = (0..graph.nodes.len()).filter(|node| !parents.contains_key(node));
    let root = |node| Turn { node, before: String::new(), sign: "", below: String::new() };
    // Nothing here recurses: a plan may be one long chain.
    let mut open: Vec<Turn> = roots.map(root).collect();
    open.reverse();
    let mut lines = Vec::with_capacity(graph.nodes.len());
    while let Some(turn) = open.pop() {
        let below = children.get(&turn.node).map_or(&[][..], Vec::as_slice);
        for (place, child) in below.iter().enumerate().rev() {
            let is_last = place + 1 == below.len();
            let before = cut(turn.below.clone(), signs);
            let (sign, more) = match (below.len(), is_last) {
                (1, _) => (signs.only, ""),
                (_, true) => (signs.last, signs.blank),
                (_, false) => (signs.branch, signs.along),
            };
            let below = format!("{before}{more}");
            open.push(Turn { node: *child, before, sign, below });
        }
        let above = parents.get(&turn.node).and_then(|node| graph.nodes.get(*node));
        lines.push(Line {
            node: turn.node,
            prefix: format!("{}{}", turn.before, turn.sign),
            also: also(graph, turn.node, above.map(|node| node.name.as_str())),
        });
    }
    lines
}

fn cut(prefix: String, signs: Signs) -> String {
    if prefix.chars().count() <= PREFIX_CHARS_MAX {
        return prefix;
    }
    signs.cut.to_owned()
}

type Children = BTreeMap<usize, Vec<usize>>;
type Parents = BTreeMap<usize, usize>;

/// Each task stands below the deepest one that it waits for, of those the critical one.
fn tree(graph: &GraphView) -> (Children, Parents) {
    let numbers: BTreeMap<&str, usize> =
        graph.nodes.iter().enumerate().map(|(ix, node)| (node.name.as_str(), ix)).collect();
    let mut parents = Parents::new();
    for edge in &graph.edges {
        let ends = (numbers.get(edge.from.as_str()), numbers.get(edge.to.as_str()));
        let (Some(from), Some(to)) = ends else { continue };
        let rank = |ix: &usize| {
            graph.nodes.get(*ix).map(|node| (node.level, node.critical, std::cmp::Reverse(*ix)))
        };
        let known = parents.get(to);
        if known.is_none_or(|known| rank(known) < rank(from)) {
            parents.insert(*to, *from);
        }
    }
    let mut children = Children::new();
    for (child, parent) in &parents {
        children.entry(*parent).or_default().push(*child);
    }
    (children, parents)
}

fn also(graph: &GraphView, node: usize, above: Option<&str>) -> Vec<String> {
    // A fallback needs only what its task needs.
    let node = graph.nodes.get(node).filter(|node| node.fallback_for.is_none());
    let name = node.map(|node| node.name.as_str());
    let edges = graph.edges.iter().filter(|edge| Some(edge.to.as_str()) == name);
    let others = edges.filter(|edge| Some(edge.from.as_str()) != above && edge.kind == "needs");
    others.map(|edge| edge.from.clone()).collect()
}
