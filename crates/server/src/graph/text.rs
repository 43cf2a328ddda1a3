//! Graphs as text: a tree of lines that fit a terminal.

use ark_os_api::{GraphNode, GraphView};
use ark_os_core::text::one_line;

use super::doing;
use super::tree::{ASCII, Line, UTF8, lines};

/// The least width that a line is made for.
const WIDTH_MIN: usize = 40;
/// Characters of a skill.
const SKILL_CHARS_MAX: usize = 24;

/// How a tree is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextStyle {
    /// Characters of a line.
    pub width: usize,
    /// Only ASCII, for terminals that have nothing else.
    pub ascii: bool,
}

impl Default for TextStyle {
    fn default() -> Self {
        TextStyle { width: 80, ascii: false }
    }
}

/// The whole graph: a head, a line a task, the critical path.
pub(super) fn render(graph: &GraphView, style: TextStyle) -> String {
    let style = TextStyle { width: style.width.max(WIDTH_MIN), ..style };
    let signs = if style.ascii { ASCII } else { UTF8 };
    let mut out = vec![head(graph)];
    let lines = lines(graph, signs);
    let name_width = lines.iter().map(|line| name_of(graph, line).chars().count()).max();
    let name_width = name_width.unwrap_or(0).min(style.width / 2);
    let skills = graph.nodes.iter().map(|node| doing(node).chars().count()).max();
    let skill_width = skills.unwrap_or(0).min(SKILL_CHARS_MAX);
    for line in &lines {
        let Some(node) = graph.nodes.get(line.node) else { continue };
        out.push(line_of(graph, line, node, (name_width, skill_width, style)));
        let indent = " ".repeat(line.prefix.chars().count() + 2);
        out.extend(node.when.as_ref().map(|when| format!("{indent}when {}", one_line(when))));
        if !line.also.is_empty() {
            out.push(format!("{indent}also after {}", line.also.join(", ")));
        }
    }
    if graph.nodes.len() > 1 {
        out.push(path(graph, style));
    }
    let mut text = String::new();
    for line in out {
        text.push_str(&fitted(&line, style));
        text.push('\n');
    }
    text
}

fn head(graph: &GraphView) -> String {
    let tasks = match graph.nodes.len() {
        1 => "1 task".to_owned(),
        many => format!("{many} tasks"),
    };
    let mut head = format!("{} {}: {tasks}", graph.workflow, graph.version);
    if let Some(state) = &graph.state {
        head.push_str(&format!(", {state}"));
    }
    if let Some(ms) = graph.duration_ms {
        head.push_str(&format!(" in {}", duration(ms)));
    }
    one_line(&head)
}

fn name_of(graph: &GraphView, line: &Line) -> String {
    let name = graph.nodes.get(line.node).map_or("", |node| node.name.as_str());
    format!("{}{name}", line.prefix)
}

fn line_of(
    graph: &GraphView,
    line: &Line,
    node: &GraphNode,
    (name_width, skill_width, style): (usize, usize, TextStyle),
) -> String {
    let star = if node.critical && graph.nodes.len() > 1 { '*' } else { ' ' };
    let name = shortened(&name_of(graph, line), name_width, style);
    let skill = shortened(&doing(node), skill_width, style);
    let kind = match (&*node.shape, &node.children, &node.fallback_for) {
        ("map", Some(children), _) => format!("map {}/{}", children.succeeded, children.total),
        (_, _, Some(primary)) => format!("fallback of {primary}"),
        ("task", _, _) => String::new(),
        (shape, _, _) => shape.to_owned(),
    };
    let parts = [Some(kind), words_of(node), took(node)];
    let parts: Vec<String> = parts.into_iter().flatten().filter(|it| !it.is_empty()).collect();
    let gap = name_width.saturating_sub(name.chars().count());
    format!("{star} {name}{}  {skill:<skill_width$}  {}", " ".repeat(gap), parts.join("  "))
}

fn path(graph: &GraphView, style: TextStyle) -> String {
    let arrow = if style.ascii { " -> " } else { " → " };
    let took = graph.critical_ms.map(|ms| format!(" ({})", duration(ms))).unwrap_or_default();
    format!("* critical path{took}: {}", graph.critical_path.join(arrow))
}

/// How a task stands, and after how many attempts where it took several.
pub(super) fn words_of(node: &GraphNode) -> Option<String> {
    let state = node.state.clone()?;
    Some(if node.attempts > 1 { format!("{state} ({} attempts)", node.attempts) } else { state })
}

/// How long a task took.
pub(super) fn took(node: &GraphNode) -> Option<String> {
    node.duration_ms.map(duration)
}

fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{}m{:02}s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

fn shortened(text: &str, width: usize, style: TextStyle) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let end = if style.ascii { "..." } else { "…" };
    let mut cut: String = text.chars().take(width.saturating_sub(end.chars().count())).collect();
    cut.push_str(end);
    cut
}

fn fitted(line: &str, style: TextStyle) -> String {
    let line = if style.ascii {
        line.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
    } else {
        line.to_owned()
    };
    shortened(line.trim_end(), style.width, style)
}
