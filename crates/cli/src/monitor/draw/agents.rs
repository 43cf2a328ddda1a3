//! The agents of a layer or stack, and one agent with what it works on.

use ark_os_api::{AgentView, Stamp, TaskView};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::brush::Brush;
use super::table::{List, faint, plain, short};
use crate::monitor::model::{AgentsOf, Model};
use crate::monitor::rows::chosen_at;
use crate::output::counted;
use crate::terminal::{Tone, one_line};

fn tone(standing: &str) -> Tone {
    match standing {
        "ready" => Tone::Good,
        "offline" => Tone::Bad,
        _ => Tone::Warning,
    }
}

/// The agents of a layer or stack.
pub(super) fn list(
    model: &Model,
    (of, agents): (&AgentsOf, Option<&[AgentView]>),
    frame: &mut Frame<'_>,
    area: Rect,
) {
    let brush = Brush::new(model.look);
    let which = match of {
        AgentsOf::Layer(layer) => format!("of the layer {layer}"),
        AgentsOf::Stack(stack) => format!("of stack {stack}"),
    };
    let known = agents.unwrap_or_default();
    let list = List {
        title: format!(" {} {which} ", counted(known.len(), "agent")),
        head: &["", "agent", "standing", "busy", "strikes", "restarts", "seat", "supervisor"],
        widths: &[1, 0, 11, -6, -7, -8, -4, 18],
        chosen: (!known.is_empty()).then(|| chosen_at(model)),
        empty: if agents.is_none() { "asking …" } else { "none: the runtime holds the seat" },
    };
    let row = |at: usize| {
        let Some(it) = known.get(at) else { return Vec::new() };
        let tone = tone(&it.standing);
        let busy = match it.concurrency {
            0 => faint("·"),
            most => plain(format!("{}/{most}", it.busy)),
        };
        vec![
            (tone, brush.mark(&it.standing).to_owned()),
            plain(&it.id),
            (tone, it.standing.clone()),
            busy,
            plain(it.strikes),
            plain(it.restarts),
            plain(it.incarnation + 1),
            faint(it.supervisor.as_deref().unwrap_or("the runtime")),
        ]
    };
    list.draw(brush, known.len(), row, (frame, area));
}

/// One agent.
pub(super) fn one(
    model: &Model,
    (id, view, tasks): (&str, Option<&AgentView>, &[TaskView]),
    frame: &mut Frame<'_>,
    area: Rect,
) {
    let brush = Brush::new(model.look);
    let [upper, lower] = Layout::vertical([Constraint::Length(6), Constraint::Min(3)]).areas(area);
    let lines = view.map_or_else(|| vec![Line::raw("asking …")], |it| about(brush, it));
    let head = Paragraph::new(lines).block(brush.block(&format!(" {} ", one_line(id))));
    frame.render_widget(head, upper);
    let list = List {
        title: format!(" Works on {} ", tasks.len()),
        head: &["", "task", "skill", "attempt", "since", "run"],
        widths: &[1, 0, 16, -7, -7, 30],
        chosen: (!tasks.is_empty()).then(|| chosen_at(model)),
        empty: "nothing just now",
    };
    let now = model.overview.as_ref().map(|it| it.at).unwrap_or_default();
    let row = |at: usize| {
        let Some(it) = tasks.get(at) else { return Vec::new() };
        let since = |started: Stamp| short(now.0.saturating_sub(started.0));
        vec![
            plain(brush.mark(&it.state)),
            plain(it.name.as_deref().unwrap_or(&it.id)),
            plain(it.skill.as_deref().unwrap_or_default()),
            plain(it.attempt),
            plain(it.started.map(since).unwrap_or_default()),
            faint(&it.run),
        ]
    };
    list.draw(brush, tasks.len(), row, (frame, lower));
}

fn about(brush: Brush, it: &AgentView) -> Vec<Line<'static>> {
    let standing = format!("{} {}", brush.mark(&it.standing), it.standing);
    let stack = it.stack.map(|stack| format!(", stack {stack}")).unwrap_or_default();
    let supervisor = it.supervisor.as_deref().unwrap_or("nobody, or the runtime");
    let resources = &it.resources;
    vec![
        Line::from(brush.span(tone(&it.standing), &standing)),
        Line::raw(
            brush.text(&one_line(&format!("{}{stack}, supervised by {supervisor}", it.layer))),
        ),
        Line::raw(format!(
            "{} of {} attempts under way, {} strikes, {} restarts in a row, {} before it in its seat",
            it.busy, it.concurrency, it.strikes, it.restarts, it.incarnation
        )),
        Line::raw(format!(
            "{}.{:02} cores, {} MB of memory, {} MB of disk, {} Mbit/s",
            resources.cpu_millicores / 1_000,
            resources.cpu_millicores % 1_000 / 10,
            resources.memory_mb,
            resources.disk_mb,
            resources.network_mbps
        )),
    ]
}
