//! How much gets done, and how fast.

use ark_os_api::{HistogramView, Overview};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Sparkline};

use super::brush::Brush;
use super::table::{List, count, faint, micros, plain};
use crate::monitor::model::Model;
use crate::terminal::{Tone, one_line};

fn per_second(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}") } else { count(rate as u64) }
}

fn quantiles(name: &str, it: &HistogramView) -> String {
    if it.count == 0 {
        return format!("{name:<7} nothing yet");
    }
    let [p50, p95, p99] = [it.p50_us, it.p95_us, it.p99_us].map(micros);
    format!("{name:<7} p50 {p50} p95 {p95} p99 {p99}")
}

/// The last values of a history as a curve, one character a second, the newest at the right.
fn curve(model: &Model, values: &[u64], frame: &mut Frame<'_>, area: Rect) {
    let brush = Brush::new(model.look);
    let width = usize::from(area.width);
    let from = values.len().saturating_sub(width);
    let newest = values.get(from..).unwrap_or_default();
    let mut data = vec![0; width - newest.len()];
    data.extend_from_slice(newest);
    let curve =
        Sparkline::default().data(data).bar_set(brush.bars()).style(brush.style(Tone::Good));
    frame.render_widget(curve, area);
}

/// The numbers of the first screen.
pub(super) fn small(model: &Model, overview: &Overview, frame: &mut Frame<'_>, area: Rect) {
    let brush = Brush::new(model.look);
    let rates = &overview.rates;
    let block = brush.block(" Rates ");
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let [text, curve_area] =
        Layout::vertical([Constraint::Length(4), Constraint::Min(1)]).areas(inside);
    let lines = vec![
        Line::raw(format!(
            "tasks/s {:<8} failures/s {}",
            per_second(rates.tasks_per_s),
            per_second(rates.failures_per_s)
        )),
        Line::raw(format!(
            "runs/s  {:<8} accepted/s {}",
            per_second(rates.runs_per_s),
            per_second(rates.accepted_per_s)
        )),
        Line::raw(quantiles("attempt", &rates.attempt)),
        Line::raw(quantiles("commit", &rates.commit)),
    ];
    frame.render_widget(Paragraph::new(lines), text);
    curve(model, &rates.history.tasks, frame, curve_area);
}

/// Everything that is counted.
pub(super) fn draw(model: &Model, overview: &Overview, frame: &mut Frame<'_>, area: Rect) {
    let brush = Brush::new(model.look);
    let rates = &overview.rates;
    let [upper, lower] = Layout::vertical([Constraint::Length(10), Constraint::Min(4)]).areas(area);
    let columns = Layout::horizontal([
        Constraint::Percentage(34),
        Constraint::Percentage(33),
        Constraint::Percentage(33),
    ]);
    let history = &rates.history;
    let curves = [
        ("tasks/s", rates.tasks_per_s, &history.tasks),
        ("runs/s", rates.runs_per_s, &history.runs),
        ("failures/s", rates.failures_per_s, &history.failures),
    ];
    let areas: [Rect; 3] = columns.areas(upper);
    for ((name, rate, values), area) in curves.into_iter().zip(areas) {
        let most = values.iter().max().copied().unwrap_or(0);
        let title = format!(" {name} {}, most {} ", per_second(rate), count(most));
        let block = brush.block(&title);
        let inside = block.inner(area);
        frame.render_widget(block, area);
        curve(model, values, frame, inside);
    }
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(60), Constraint::Percentage(40)]).areas(lower);
    latencies(model, overview, frame, left);
    totals(model, overview, frame, right);
}

fn latencies(model: &Model, overview: &Overview, frame: &mut Frame<'_>, area: Rect) {
    let rates = &overview.rates;
    let list = List {
        title: " Latencies of the last 5 minutes ".to_owned(),
        head: &["", "count", "mean", "p50", "p95", "p99"],
        widths: &[7, -6, -7, -7, -7, -7],
        chosen: None,
        empty: "",
    };
    let rows = [("attempt", &rates.attempt), ("commit", &rates.commit)];
    let row = |at: usize| {
        let Some((name, it)) = rows.get(at) else { return Vec::new() };
        let mean = it.sum_us.checked_div(it.count);
        let shown = |us: Option<u64>| match it.count {
            0 => faint("·"),
            _ => plain(micros(us)),
        };
        vec![
            plain(name),
            plain(count(it.count)),
            mean.map_or_else(|| faint("·"), |us| plain(micros(Some(us)))),
            shown(it.p50_us),
            shown(it.p95_us),
            shown(it.p99_us),
        ]
    };
    list.draw(Brush::new(model.look), rows.len(), row, (frame, area));
}

fn totals(model: &Model, overview: &Overview, frame: &mut Frame<'_>, area: Rect) {
    let totals: Vec<(&String, &u64)> = overview.rates.totals.iter().collect();
    let list = List {
        title: " Since the start ".to_owned(),
        head: &["", ""],
        widths: &[0, -8],
        chosen: None,
        empty: "",
    };
    let row = |at: usize| {
        let Some((name, value)) = totals.get(at) else { return Vec::new() };
        let name = name.strip_prefix("ark_os_").unwrap_or(name).replace('_', " ");
        vec![plain(one_line(&name)), plain(count(**value))]
    };
    list.draw(Brush::new(model.look), totals.len(), row, (frame, area));
}
