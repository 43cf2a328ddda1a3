//! The open escalations: what each is about, who is to see to it until when, and what was tried.

use ark_os_api::{EscalationView, RungView, Stamp};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::brush::Brush;
use super::table::{Cell, List, faint, plain, short};
use crate::monitor::model::Model;
use crate::monitor::rows::chosen_at;
use crate::show::resolve;
use crate::terminal::{Tone, one_line};

/// Rows of the lower part: its frame, three lines, and what was tried.
const LOWER_MIN: u16 = 10;
/// Characters of the end of a task's id by which a narrow list tells tasks apart.
const TASK_END: usize = 14;
/// On a wide screen an id is shown whole.
const WIDE: u16 = 110;

/// All of them, with the ladder of the chosen one.
pub(super) fn draw(
    model: &Model,
    (items, is_cut): (Option<&[EscalationView]>, bool),
    frame: &mut Frame<'_>,
    area: Rect,
) {
    let brush = Brush::new(model.look);
    let lower = LOWER_MIN.max(area.height / 2);
    let [upper, lower] =
        Layout::vertical([Constraint::Min(4), Constraint::Length(lower)]).areas(area);
    let known = items.unwrap_or_default();
    let now = model.overview.as_ref().map(|it| it.at).unwrap_or_default();
    let is_wide = area.width >= WIDE;
    let chosen = chosen_at(model);
    let more = if is_cut { "; the oldest, there are more" } else { "" };
    let list = List {
        title: format!(" Escalations: {} open{more} ", known.len()),
        head: &["", "no", "class", "about", "to", "left"],
        widths: &[1, -5, 13, 0, 18, -7],
        chosen: (!known.is_empty()).then_some(chosen),
        empty: if items.is_none() { "asking …" } else { "nothing was escalated" },
    };
    let row = |at: usize| known.get(at).map_or_else(Vec::new, |it| row(brush, it, now, is_wide));
    list.draw(brush, known.len(), row, (frame, upper));
    let Some(it) = known.get(chosen) else { return };
    let block = brush.block(&format!(" Escalation {} ", it.id));
    let room = usize::from(block.inner(lower).height);
    frame.render_widget(Paragraph::new(about(brush, it, room)).block(block), lower);
}

fn row(brush: Brush, it: &EscalationView, now: Stamp, is_wide: bool) -> Vec<Cell> {
    let tone = if it.to == "human" { Tone::Bad } else { Tone::Warning };
    let mark = if it.agent.is_some() { "failed" } else { "parked" };
    let left = |deadline: Stamp| short(deadline.0.saturating_sub(now.0));
    let whom = match (&it.task, &it.agent) {
        (Some(task), _) if is_wide => task.clone(),
        (Some(task), _) => format!("task …{}", end_of(task)),
        (None, agent) => agent.clone().unwrap_or_default(),
    };
    vec![
        (tone, brush.mark(mark).to_owned()),
        plain(it.id),
        plain(it.class.replace('_', " ")),
        plain(whom),
        (tone, it.to.clone()),
        it.deadline.map_or_else(|| faint("·"), |deadline| plain(left(deadline))),
    ]
}

/// The end of an id: the beginnings are alike.
fn end_of(id: &str) -> &str {
    id.len().checked_sub(TASK_END).and_then(|from| id.get(from..)).unwrap_or(id)
}

/// One in words, with the newest of what was tried.
fn about(brush: Brush, it: &EscalationView, room: usize) -> Vec<Line<'static>> {
    let line = |text: String| Line::raw(brush.text(&one_line(&text)));
    let by = it.by.as_ref().map(|by| format!(" on the work of {by}")).unwrap_or_default();
    let answer = |actions: &str| {
        format!("ark-os escalations answer {} --action dismiss|{actions} --reason WHY", it.id)
    };
    let answer = match (&it.task, it.class.as_str()) {
        (Some(task), "in_doubt") => resolve(task),
        (Some(_), _) => answer("unpark|cancel"),
        (None, _) => answer("release|offline"),
    };
    let mut lines = vec![
        line(it.message.clone()),
        line(format!("raised {}{by}", clock(it.raised))),
        brush.line(Tone::Faint, &one_line(&answer)),
    ];
    let fits = room.saturating_sub(lines.len());
    let older = it.ladder.len().saturating_sub(fits);
    lines.extend(it.ladder.iter().skip(older).map(|rung| rung_line(brush, rung)));
    lines
}

fn rung_line(brush: Brush, rung: &RungView) -> Line<'static> {
    let (tone, helped) = match rung.healthy {
        Some(true) => (Tone::Good, "it helped"),
        Some(false) => (Tone::Warning, "it did not help"),
        None => (Tone::Plain, "not looked at"),
    };
    let by = rung.by.as_deref().unwrap_or("the runtime");
    let text = format!("{}  {:<10} by {by}: {helped}", clock(rung.at), rung.remedy);
    brush.line(tone, &one_line(&text))
}

/// The time of day.
fn clock(at: Stamp) -> String {
    at.to_string().get(11..19).unwrap_or_default().to_owned()
}
