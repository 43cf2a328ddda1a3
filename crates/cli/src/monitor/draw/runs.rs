//! Lists of runs with their progress.

use ark_os_api::{Overview, RunView, Stamp};
use ratatui::Frame;
use ratatui::layout::Rect;

use super::brush::Brush;
use super::table::{Cell, List, count, faint, in_sight, plain, short};
use crate::monitor::model::{Filter, Model};
use crate::monitor::rows::chosen_at;
use crate::terminal::{Tone, tone_of};

const HEAD: [&str; 7] = ["", "run", "workflow", "state", "progress", "age", "priority"];
const WIDTHS: [i16; 7] = [1, 12, 0, 9, 18, -6, 11];
/// On a wide screen a run's id is shown whole.
const WIDE: u16 = 110;
const WIDTHS_WIDE: [i16; 7] = [1, 30, 0, 9, 24, -6, 11];

/// The id of a run as a list has it: its end tells runs apart, their beginnings are alike.
fn shortened(id: &str, is_wide: bool) -> String {
    let end = id.len().checked_sub(10).and_then(|from| id.get(from..));
    match end {
        Some(end) if !is_wide => format!("…{end}"),
        _ => id.to_owned(),
    }
}

fn row(brush: Brush, run: &RunView, now: Stamp, is_wide: bool) -> Vec<Cell> {
    let tasks = &run.tasks;
    let over = tasks.succeeded + tasks.failed + tasks.cancelled + tasks.skipped;
    let (bar, room) = if is_wide { (12, 11) } else { (7, 10) };
    let (over, total) = (u64::from(over), u64::from(tasks.total));
    let progress = format!(
        "{} {:<room$}",
        brush.progress(over, total, bar),
        format!("{}/{}", count(over), count(total))
    );
    let age = run.ended.unwrap_or(now).0.saturating_sub(run.accepted.0);
    let tone = tone_of(&run.state);
    let priority = match run.priority.as_str() {
        "emergency" | "critical" => (Tone::Warning, run.priority.clone()),
        "normal" => faint("normal"),
        _ => plain(&run.priority),
    };
    vec![
        (tone, brush.mark(&run.state).to_owned()),
        plain(shortened(&run.id, is_wide)),
        plain(&run.workflow),
        (tone, run.state.clone()),
        plain(progress),
        plain(short(age)),
        priority,
    ]
}

fn draw_list(
    model: &Model,
    (title, runs, empty): (String, &[&RunView], &str),
    frame: &mut Frame<'_>,
    area: Rect,
) {
    let brush = Brush::new(model.look);
    let now = model.overview.as_ref().map(|it| it.at).unwrap_or_default();
    let is_wide = area.width >= WIDE;
    let list = List {
        title,
        head: &HEAD,
        widths: if is_wide { &WIDTHS_WIDE } else { &WIDTHS },
        chosen: (!runs.is_empty()).then(|| chosen_at(model)),
        empty,
    };
    let cells = |at: usize| runs.get(at).map_or_else(Vec::new, |run| row(brush, run, now, is_wide));
    list.draw(brush, runs.len(), cells, (frame, area));
}

/// The runs of the first screen.
pub(super) fn newest(model: &Model, overview: &Overview, frame: &mut Frame<'_>, area: Rect) {
    let runs: Vec<&RunView> = overview.runs.shown.iter().collect();
    let told = format!(" {}: {} ", whose(model), in_words(overview));
    draw_list(model, (told, &runs, "no runs yet: `ark-os submit FILE`"), frame, area);
}

fn whose(model: &Model) -> String {
    match model.namespace.as_str() {
        "default" => "Runs".to_owned(),
        other => format!("Runs of {other}"),
    }
}

/// How many runs are in which state.
fn in_words(overview: &Overview) -> String {
    let by_state = &overview.runs.by_state;
    let order =
        ["running", "waiting", "paused", "parked", "accepted", "failed", "cancelled", "succeeded"];
    let mut words: Vec<String> = order
        .iter()
        .filter_map(|state| Some(format!("{} {state}", count(*by_state.get(*state)?))))
        .collect();
    if overview.runs.on_disk > 0 {
        words.push(format!("{} on disk", count(overview.runs.on_disk)));
    }
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// The whole list.
pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let runs = model.listed();
    let mut title = format!(" {}: {}", whose(model), model.filter.name());
    if !model.search.is_empty() {
        title.push_str(&format!(", with `{}`", model.search));
    }
    let known = model.runs.as_ref().map_or(0, Vec::len);
    let at = in_sight(runs.len(), chosen_at(model), usize::from(area.height.saturating_sub(3)));
    if runs.len() > at.len() {
        title.push_str(&format!(", {} to {} of {}", at.start + 1, at.end, runs.len()));
    }
    if model.runs_cut {
        title.push_str(&format!(" (of the newest {known})"));
    }
    title.push(' ');
    let empty = match (&model.runs, model.filter, model.search.is_empty()) {
        (None, ..) => "asking …",
        (Some(_), Filter::All, true) => "no runs yet: `ark-os submit FILE`",
        _ => "none; f: another filter, Esc: no search",
    };
    draw_list(model, (title, &runs, empty), frame, area);
}
