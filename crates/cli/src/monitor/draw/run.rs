//! One run: its head, and its graph, tasks, trace or events.

use ark_os_api::Counts;
use ark_os_server::graph::{GraphFormat, TextStyle};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::brush::Brush;
use super::table::{List, faint, in_sight, plain, short};
use crate::monitor::model::{Model, Part, RunBelow};
use crate::monitor::rows::chosen_at;
use crate::output::counted;
use crate::terminal::{Terminal, Tone, one_line, tone_of};
use crate::waterfall::Waterfall;

/// Rows of the head.
const HEAD: u16 = 4;

pub(super) fn draw(model: &Model, run: &RunBelow, frame: &mut Frame<'_>, area: Rect) {
    let brush = Brush::new(model.look);
    let [head, parts, body] =
        Layout::vertical([Constraint::Length(HEAD), Constraint::Length(1), Constraint::Min(3)])
            .areas(area);
    frame.render_widget(Paragraph::new(head_lines(model, run)), head);
    frame.render_widget(part_line(brush, run), parts);
    match run.part {
        Part::Tasks => tasks(model, run, frame, body),
        Part::Events => events(model, run, frame, body),
        Part::Graph | Part::Trace => lines(model, run, frame, body),
    }
}

fn head_lines(model: &Model, run: &RunBelow) -> Vec<Line<'static>> {
    let brush = Brush::new(model.look);
    let id = brush.span(Tone::Strong, &format!(" {} ", one_line(&run.id)));
    let Some(view) = &run.view else {
        let why = run.missing.as_deref().unwrap_or("asking …");
        return vec![Line::from(id), brush.line(Tone::Warning, &format!(" {}", one_line(why)))];
    };
    let tone = tone_of(&view.state);
    let now = model.overview.as_ref().map(|it| it.at).unwrap_or_default();
    let age = view.ended.unwrap_or(now).0.saturating_sub(view.accepted.0);
    let tasks = &view.tasks;
    let over = tasks.succeeded + tasks.failed + tasks.cancelled + tasks.skipped;
    let bar = brush.progress(u64::from(over), u64::from(tasks.total), 20);
    let layer = view.waits_for.as_deref().map(|it| format!(", waits for the layer {it}"));
    let mut lines = vec![
        Line::from(vec![
            id,
            brush.span(tone, &format!("{} {}", brush.mark(&view.state), view.state)),
            Span::raw(layer.unwrap_or_default()),
        ]),
        Line::raw(brush.text(&one_line(&format!(
            " {} {}, {} priority, {}, accepted {}",
            view.workflow,
            view.version,
            view.priority,
            short(age),
            view.accepted
        )))),
        Line::raw(format!(" {bar} {over}/{} tasks{}", tasks.total, in_words(tasks))),
    ];
    if let Some(failure) = &view.failure {
        let text = format!(" {}: {}", failure.code, failure.message);
        lines.push(brush.line(Tone::Bad, &one_line(&text)));
    }
    lines
}

/// What is not simply done or yet to come.
fn in_words(tasks: &Counts) -> String {
    let states = [
        ("running", tasks.running),
        ("ready", tasks.ready),
        ("waiting", tasks.waiting),
        ("parked", tasks.parked),
        ("failed", tasks.failed),
        ("cancelled", tasks.cancelled),
        ("skipped", tasks.skipped),
    ];
    let there = states.iter().filter(|(_, count)| *count > 0);
    there.map(|(name, count)| format!(", {count} {name}")).collect()
}

fn part_line(brush: Brush, run: &RunBelow) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    for part in Part::ALL {
        let style = if part == run.part { brush.chosen() } else { brush.style(Tone::Faint) };
        let name = part.name();
        let text = if part == run.part { format!("[{name}]") } else { format!(" {name} ") };
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

/// The lines of a part that is only read.
pub(crate) fn run_lines(model: &Model, run: &RunBelow) -> Vec<String> {
    let width = usize::from(model.size.0.saturating_sub(2));
    match run.part {
        Part::Graph => {
            let Some(graph) = &run.graph else { return vec!["asking …".to_owned()] };
            let style = TextStyle { width, ascii: !model.look.utf8 };
            GraphFormat::Text(style).render(graph).lines().map(str::to_owned).collect()
        }
        Part::Trace => trace_lines(model, run, width),
        Part::Tasks | Part::Events => Vec::new(),
    }
}

fn trace_lines(model: &Model, run: &RunBelow, width: usize) -> Vec<String> {
    let ended = run.view.as_ref().and_then(|it| Some(it.ended?.0.saturating_sub(it.accepted.0)));
    let mut waterfall = Waterfall::new(Terminal::plain(width, model.look.utf8), ended);
    let mut lines = Vec::new();
    {
        let mut keep = |line: &str| {
            lines.push(line.to_owned());
            Ok(())
        };
        for row in &run.trace {
            // Keeping a line cannot fail.
            let _ = waterfall.add(row.clone(), &mut keep);
        }
        let _ = waterfall.finish(&mut keep);
    }
    if run.trace_cut {
        lines.push(format!("more: ark-os trace {}", run.id));
    }
    lines
}

fn lines(model: &Model, run: &RunBelow, frame: &mut Frame<'_>, area: Rect) {
    let brush = Brush::new(model.look);
    let all = run_lines(model, run);
    let block = brush.block("");
    let inside = block.inner(area);
    let at = chosen_at(model);
    let sight = in_sight(all.len(), at, usize::from(inside.height));
    let lines: Vec<Line<'static>> = all
        .get(sight.clone())
        .unwrap_or_default()
        .iter()
        .zip(sight)
        .map(|(line, number)| {
            let line = Line::raw(brush.text(&one_line(line)));
            if number == at { line.style(brush.style(Tone::Strong)) } else { line }
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn tasks(model: &Model, run: &RunBelow, frame: &mut Frame<'_>, area: Rect) {
    let brush = Brush::new(model.look);
    let list = List {
        title: format!(" {} ", counted(run.tasks.len(), "task")),
        head: &["", "task", "skill", "state", "attempt", "agent", "steps", "what"],
        widths: &[1, 16, 14, 9, -7, 17, -5, 0],
        chosen: (!run.tasks.is_empty()).then(|| chosen_at(model)),
        empty: "asking …",
    };
    let row = |at: usize| {
        let Some(it) = run.tasks.get(at) else { return Vec::new() };
        let tone = tone_of(&it.state);
        let doubt = it.steps.iter().find(|step| step.state == "in_doubt");
        let what = match (doubt, &it.parked, &it.failure, &it.skipped) {
            (Some(step), ..) => format!("in doubt: {} ({})", step.tool, step.key),
            (_, Some(parked), ..) => format!("{}: {}", parked.reason, parked.message),
            (_, _, Some(failure), _) => format!("{}: {}", failure.code, failure.message),
            (.., Some(skipped)) => skipped.clone(),
            _ => it.children.map(|all| format!("map of {all}")).unwrap_or_default(),
        };
        let number = it.id.rsplit_once('_').map_or("", |(_, number)| number);
        let name = it.name.as_deref().unwrap_or_default();
        vec![
            (tone, brush.mark(&it.state).to_owned()),
            plain(if number.contains('.') { format!("{name} {number}") } else { name.to_owned() }),
            faint(it.skill.as_deref().unwrap_or_default()),
            (tone, it.state.clone()),
            plain(it.attempt),
            faint(it.agent.as_deref().unwrap_or_default()),
            plain(it.steps.len() + it.steps_left_out as usize),
            plain(what),
        ]
    };
    list.draw(brush, run.tasks.len(), row, (frame, area));
}

fn events(model: &Model, run: &RunBelow, frame: &mut Frame<'_>, area: Rect) {
    let list = List {
        title: format!(" {}, newest first ", counted(run.events.len(), "event")),
        head: &["event", "at", "what"],
        widths: &[10, 12, 0],
        chosen: (!run.events.is_empty()).then(|| chosen_at(model)),
        empty: "asking …",
    };
    let row = |at: usize| {
        let Some(it) = run.events.get(at) else { return Vec::new() };
        vec![faint(&it.id), faint(it.at.get(11..23).unwrap_or("")), plain(&it.text)]
    };
    list.draw(Brush::new(model.look), run.events.len(), row, (frame, area));
}
