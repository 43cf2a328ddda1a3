//! Graphs in the language of Graphviz.

use ark_os_api::{GraphNode, GraphView};

use super::doing;
use super::text::{took, words_of};

/// The whole graph as one `digraph`.
pub(super) fn render(graph: &GraphView) -> String {
    let mut out = format!("digraph {} {{\n", quoted(&graph.workflow));
    out.push_str("  rankdir=LR;\n");
    out.push_str("  node [shape=box, style=\"rounded,filled\", fillcolor=white];\n");
    for node in &graph.nodes {
        out.push_str(&format!(
            "  {} [label={}, fillcolor={}{}{}];\n",
            quoted(&node.name),
            quoted(&label(node)),
            quoted(colour(node.state.as_deref())),
            if node.critical { ", penwidth=2.5" } else { "" },
            match &*node.shape {
                "map" => ", shape=box3d",
                "reduce" => ", shape=invhouse",
                _ => "",
            }
        ));
    }
    let critical: Vec<(&str, &str)> = graph
        .critical_path
        .iter()
        .zip(graph.critical_path.iter().skip(1))
        .map(|(from, to)| (from.as_str(), to.as_str()))
        .collect();
    for edge in &graph.edges {
        let mut attributes = Vec::new();
        if edge.kind == "fallback" {
            attributes.push("style=dashed, label=\"fallback\"");
        }
        if critical.contains(&(&edge.from, &edge.to)) {
            attributes.push("penwidth=2.5");
        }
        let attributes = match attributes.is_empty() {
            true => String::new(),
            false => format!(" [{}]", attributes.join(", ")),
        };
        let (from, to) = (quoted(&edge.from), quoted(&edge.to));
        out.push_str(&format!("  {from} -> {to}{attributes};\n"));
    }
    out.push_str("}\n");
    out
}

fn label(node: &GraphNode) -> String {
    let mut lines = vec![node.name.clone(), doing(node)];
    lines.extend(node.when.as_ref().map(|when| format!("when {when}")));
    let standing = [words_of(node), took(node)].into_iter().flatten().collect::<Vec<_>>();
    lines.extend((!standing.is_empty()).then(|| standing.join(" ")));
    lines.join("\n")
}

/// A quoted string: only quotes and backslashes mean something in it; lines end with `\n`.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn colour(state: Option<&str>) -> &'static str {
    match state {
        Some("succeeded") => "#d3f0d3",
        Some("failed") => "#f6c9c9",
        Some("running" | "ready" | "preparing") => "#cfe3f7",
        Some("parked" | "waiting" | "cancelled") => "#f8e7b9",
        Some("skipped") => "#eeeeee",
        _ => "#ffffff",
    }
}
