//! Paints the model. Pure: the same model gives the same screen; nothing here decides.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Wrap};

use super::model::{Below, Dialog, Link, Model, Pane};
use crate::terminal::{Tone, one_line};

mod agents;
mod attention;
mod brush;
mod escalations;
mod fleet;
mod log;
mod overview;
mod queues;
mod rates;
mod run;
mod runs;
mod table;

use brush::Brush;

pub(crate) use run::run_lines;

/// The smallest screen that everything fits; below it the panes are cut.
pub(crate) const COLUMNS_MIN: u16 = 80;
/// See [`COLUMNS_MIN`].
pub(crate) const ROWS_MIN: u16 = 24;

/// What the keys do, for the help: at most 21 lines of 76 characters.
const HELP: [(&str, &str); 19] = [
    ("1 … 7, Tab, ← →", "the panes; inside a run its graph, tasks, trace, events"),
    ("↑ ↓ j k", "another row; PageUp, PageDown, Home, End for many"),
    ("Enter", "into the row: layer or stack, agent, what it works on, run"),
    ("Esc, Backspace", "back"),
    ("e", "the open escalations: to whom, until when, what was tried"),
    ("/", "search runs by id or workflow"),
    ("f", "in Runs: all, live, parked, failed, cancelled, succeeded"),
    ("", ""),
    ("p", "pause the run        (each asks for a reason"),
    ("r", "resume it             and is recorded with it)"),
    ("c", "cancel it"),
    ("t", "retry it from what failed"),
    ("u", "unpark the task: in Attention, a run's tasks, or by `e`"),
    ("", ""),
    ("Ctrl-L", "paint the screen anew"),
    ("q, Ctrl-C", "leave; the instance goes on"),
    ("", ""),
    ("", "A step in doubt is resolved by `ark-os resolve STEP`."),
    ("", "Rates span 10 s, latencies and curves the last 5 minutes."),
];

/// The whole screen.
pub(crate) fn draw(model: &Model, frame: &mut Frame<'_>) {
    let [head, tabs, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let brush = Brush::new(model.look);
    frame.render_widget(head_line(model, brush, head.width), head);
    frame.render_widget(tab_line(model, brush), tabs);
    match (model.below.last(), &model.overview) {
        (_, None) => frame.render_widget(nothing_yet(model, brush), body),
        (Some(Below::Agents { of, agents, .. }), _) => {
            agents::list(model, (of, agents.as_deref()), frame, body);
        }
        (Some(Below::Agent { id, view, tasks, .. }), _) => {
            agents::one(model, (id, view.as_deref(), tasks), frame, body);
        }
        (Some(Below::Escalations { items, is_cut, .. }), _) => {
            escalations::draw(model, (items.as_deref(), *is_cut), frame, body);
        }
        (Some(Below::Run(run)), _) => run::draw(model, run, frame, body),
        (None, Some(overview)) => match model.pane {
            Pane::Overview => overview::draw(model, overview, frame, body),
            Pane::Fleet => fleet::draw(model, overview, frame, body),
            Pane::Runs => runs::draw(model, frame, body),
            Pane::Queues => queues::draw(model, overview, frame, body),
            Pane::Rates => rates::draw(model, overview, frame, body),
            Pane::Attention => attention::draw(model, overview, frame, body),
            Pane::Log => log::draw(model, frame, body),
        },
    }
    frame.render_widget(foot_line(model, brush), foot);
    match &model.dialog {
        Some(Dialog::Help) => help(brush, frame, body),
        Some(Dialog::Confirm(action)) => {
            let lines = vec![
                Line::from(vec![
                    Span::raw(format!("{} ", action.verb.word())),
                    brush.span(Tone::Strong, &action.target),
                ]),
                brush.line(Tone::Faint, action.verb.meaning()),
                Line::raw(""),
                Line::from(vec![
                    Span::raw("why: "),
                    Span::raw(one_line(&action.reason)),
                    brush.span(Tone::Strong, "_"),
                ]),
                Line::raw(""),
                brush.line(Tone::Faint, "Enter: do it and record why    Esc: leave it as it is"),
            ];
            over(brush, " Sure? ", lines, frame, body);
        }
        Some(Dialog::Search { .. }) | None => {}
    }
}

/// Who is looked at, and how it is.
fn head_line(model: &Model, brush: Brush, width: u16) -> Line<'static> {
    let mut spans = vec![
        brush.span(Tone::Strong, " ark-os "),
        Span::raw(format!("{}  ", one_line(&model.endpoint))),
    ];
    if let Some(overview) = &model.overview {
        spans.push(Span::raw(format!("{} mode  ", one_line(&overview.mode))));
    }
    let (tone, text) = match (&model.link, model.late_ms(), &model.overview) {
        (Link::Connecting, ..) => (Tone::Faint, "connecting …".to_owned()),
        (Link::Lost { since_ms, .. }, ..) => {
            let seconds = model.now_ms.saturating_sub(*since_ms) / 1_000;
            (Tone::Bad, format!("{} reconnecting, lost for {seconds} s", brush.mark("failed")))
        }
        (Link::Up, Some(late), _) => {
            (Tone::Warning, format!("{} no answer for {} s", brush.mark("waiting"), late / 1_000))
        }
        (Link::Up, None, Some(overview)) => {
            let (tone, mark) = match overview.status.as_str() {
                "ok" => (Tone::Good, "ready"),
                "frozen" => (Tone::Bad, "paused"),
                _ => (Tone::Warning, "parked"),
            };
            (tone, format!("{} {}", brush.mark(mark), one_line(&overview.status)))
        }
        (Link::Up, None, None) => (Tone::Faint, String::new()),
    };
    spans.push(brush.span(tone, &text));
    if let Some(overview) = &model.overview {
        // The instance's own time, so that a stopped clock is seen as such.
        let at = overview.at.to_string();
        let clock = format!("{} {}Z ", at.get(..10).unwrap_or(""), at.get(11..19).unwrap_or(""));
        let used: usize = spans.iter().map(Span::width).sum();
        let gap = usize::from(width).saturating_sub(used + clock.len());
        if gap > 0 {
            spans.push(Span::raw(" ".repeat(gap)));
            spans.push(brush.span(Tone::Faint, &clock));
        }
    }
    Line::from(spans)
}

fn tab_line(model: &Model, brush: Brush) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    for (number, pane) in (1..).zip(Pane::ALL) {
        let urgent = model
            .overview
            .as_ref()
            .map_or(0, |it| it.attention.len() as u64 + it.attention_left_out);
        let text = match pane {
            Pane::Attention if urgent > 0 => format!("{number} {} !{urgent}", pane.name()),
            _ => format!("{number} {}", pane.name()),
        };
        let style = match (pane == model.pane, pane) {
            (true, _) => brush.chosen(),
            (false, Pane::Attention) if urgent > 0 => brush.style(Tone::Warning),
            (false, _) => brush.style(Tone::Faint),
        };
        // Brackets for who sees neither colour nor inverse text.
        let text = if pane == model.pane { format!("[{text}]") } else { format!(" {text} ") };
        spans.push(Span::styled(text, style));
    }
    Line::from(spans)
}

fn foot_line(model: &Model, brush: Brush) -> Line<'static> {
    if let Some(Dialog::Search { .. }) = model.dialog {
        return Line::from(vec![
            brush.span(Tone::Strong, " search: "),
            Span::raw(one_line(&model.search)),
            brush.span(Tone::Strong, "_"),
            brush.span(Tone::Faint, "   Enter: keep it   Esc: leave it"),
        ]);
    }
    if let Link::Lost { why, .. } = &model.link {
        return brush.line(Tone::Bad, &format!(" {}", one_line(why)));
    }
    if let Some(notice) = &model.notice {
        let tone = if notice.is_bad { Tone::Warning } else { Tone::Good };
        return brush.line(tone, &format!(" {}", one_line(&notice.text)));
    }
    let keys = match (model.below.last(), model.pane) {
        (Some(Below::Run(_)), _) => {
            " Tab part  p pause  r resume  c cancel  t retry  u unpark  Esc back  ? help"
        }
        (Some(Below::Escalations { .. }), _) => {
            " Enter into it  c cancel its run  u unpark its task  Esc back  ? help  q quit"
        }
        (Some(_), _) => " Enter into it  e escalations  Esc back  ? help  q quit",
        (None, Pane::Overview | Pane::Attention) => {
            " Enter into it  p pause  r resume  c cancel  t retry  u unpark  ? help  q quit"
        }
        (None, Pane::Runs) => {
            " Enter into it  f filter  / search  p r c t: pause resume cancel retry  ? help"
        }
        (None, Pane::Fleet | Pane::Queues) => {
            " Enter into it  e escalations  / search runs  ? help  q quit"
        }
        (None, Pane::Rates) => " e escalations  / search runs  ? help  q quit",
        (None, Pane::Log) => " PageUp older lines  End follow  e escalations  ? help  q quit",
    };
    brush.line(Tone::Faint, keys)
}

fn nothing_yet(model: &Model, brush: Brush) -> Paragraph<'static> {
    let text = match &model.link {
        Link::Lost { why, .. } => {
            format!("\n  {}\n\n  It is tried again and again.", one_line(why))
        }
        _ => "\n  Connecting …".to_owned(),
    };
    Paragraph::new(text).style(brush.style(Tone::Faint)).wrap(Wrap { trim: false })
}

fn help(brush: Brush, frame: &mut Frame<'_>, body: Rect) {
    let lines = HELP
        .iter()
        .map(|(keys, what)| {
            Line::from(vec![brush.span(Tone::Strong, &format!("{keys:<16}")), Span::raw(*what)])
        })
        .collect();
    over(brush, " Keys ", lines, frame, body);
}

/// A box in the middle, over what was there.
fn over(brush: Brush, title: &str, lines: Vec<Line<'static>>, frame: &mut Frame<'_>, body: Rect) {
    let wide = lines.iter().map(Line::width).max().unwrap_or(0) + 4;
    let width = u16::try_from(wide).unwrap_or(u16::MAX).clamp(40, 100).min(body.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(body.height);
    let area = Rect {
        x: body.x + (body.width - width) / 2,
        y: body.y + (body.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, area);
    let lines: Vec<Line<'static>> = lines.into_iter().map(|line| brush.plain(line)).collect();
    frame.render_widget(Paragraph::new(lines).block(brush.block(title)), area);
}
