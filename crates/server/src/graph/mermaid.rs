//! Graphs as flowcharts of Mermaid.

use std::collections::BTreeMap;

use ark_os_api::{GraphNode, GraphView};

use super::doing;
use super::text::{took, words_of};

const CLASSES: &str = "  classDef succeeded fill:#d3f0d3,stroke:#2e7d32
  classDef failed fill:#f6c9c9,stroke:#b71c1c
  classDef moving fill:#cfe3f7,stroke:#1565c0
  classDef stuck fill:#f8e7b9,stroke:#9a6b00
  classDef skipped fill:#eeeeee,stroke:#888888
  classDef critical stroke-width:3px
";

/// The whole graph. Nodes are numbered, so that no name can mean something to Mermaid.
pub(super) fn render(graph: &GraphView) -> String {
    let mut out = String::from("flowchart LR\n");
    let numbers: BTreeMap<&str, usize> =
        graph.nodes.iter().enumerate().map(|(ix, node)| (node.name.as_str(), ix)).collect();
    for (ix, node) in graph.nodes.iter().enumerate() {
        let (open, close) = match &*node.shape {
            "map" => ("[[", "]]"),
            "reduce" => ("[/", "\\]"),
            _ => ("(", ")"),
        };
        let label = label(node);
        out.push_str(&format!("  t{ix}{open}\"{label}\"{close}\n"));
    }
    for edge in &graph.edges {
        let ends = (numbers.get(edge.from.as_str()), numbers.get(edge.to.as_str()));
        let (Some(from), Some(to)) = ends else { continue };
        let arrow = if edge.kind == "fallback" { "-. fallback .->" } else { "-->" };
        out.push_str(&format!("  t{from} {arrow} t{to}\n"));
    }
    out.push_str(CLASSES);
    for (ix, node) in graph.nodes.iter().enumerate() {
        if let Some(class) = class(node.state.as_deref()) {
            out.push_str(&format!("  class t{ix} {class}\n"));
        }
        if node.critical {
            out.push_str(&format!("  class t{ix} critical\n"));
        }
    }
    out
}

fn label(node: &GraphNode) -> String {
    let mut lines = vec![escaped(&node.name), escaped(&doing(node))];
    lines.extend(node.when.as_ref().map(|when| escaped(&format!("when {when}"))));
    let standing = [words_of(node), took(node)].into_iter().flatten().collect::<Vec<_>>();
    lines.extend((!standing.is_empty()).then(|| escaped(&standing.join(" "))));
    lines.join("<br/>")
}

/// Everything that Mermaid or the browser behind it could read as more than a letter becomes an
/// entity.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_alphanumeric() => out.push(c),
            ' ' | '.' | ',' | '-' | '_' | ':' | '/' | '(' | ')' | '=' | '+' | '*' => out.push(c),
            c if c.is_control() => out.push(' '),
            c => out.push_str(&format!("#{};", u32::from(c))),
        }
    }
    out
}

fn class(state: Option<&str>) -> Option<&'static str> {
    match state? {
        "succeeded" => Some("succeeded"),
        "failed" => Some("failed"),
        "running" | "ready" | "preparing" => Some("moving"),
        "parked" | "waiting" | "cancelled" => Some("stuck"),
        "skipped" => Some("skipped"),
        _ => None,
    }
}
