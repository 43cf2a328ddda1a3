//! The newest lines of the instance's log.

use ark_os_api::LogLine;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use serde_json::Value;

use super::brush::Brush;
use crate::monitor::model::Model;
use crate::output::field_text;
use crate::terminal::{Tone, one_line};

/// Fields that every line has and nobody reads here.
const LEFT_OUT: [&str; 7] = [
    "timestamp",
    "level",
    "message",
    "log.logger",
    "process.pid",
    "service.name",
    "service.version",
];

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let brush = Brush::new(model.look);
    let up = model.chosen.log_up;
    let title = match up {
        0 => " Log: as it comes ".to_owned(),
        up => format!(" Log: {up} lines up; End follows it "),
    };
    let block = brush.block(&title);
    let inside = block.inner(area);
    let end = model.logs.len().saturating_sub(up);
    let first = end.saturating_sub(usize::from(inside.height));
    let lines: Vec<Line<'static>> =
        model.logs.range(first..end).map(|line| line_of(brush, line)).collect();
    let text =
        if lines.is_empty() {
            Paragraph::new(brush.line(
                Tone::Faint,
                "no line yet; `--log-level` of the instance says which there are",
            ))
        } else {
            Paragraph::new(lines)
        };
    frame.render_widget(text.block(block), area);
}

fn line_of(brush: Brush, line: &LogLine) -> Line<'static> {
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(line.line.get()) else {
        return Line::raw(one_line(line.line.get()));
    };
    let mut rest = String::new();
    for (name, value) in &fields {
        if LEFT_OUT.contains(&name.as_str()) || value.is_null() {
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), one_line);
        rest.push_str(&format!(" {}={value}", one_line(name)));
    }
    let fields = Value::Object(fields);
    let level = field_text(&fields, "level");
    let tone = match level.as_str() {
        "error" => Tone::Bad,
        "warn" => Tone::Warning,
        "info" => Tone::Good,
        _ => Tone::Faint,
    };
    let at = field_text(&fields, "timestamp");
    Line::from(vec![
        brush.span(Tone::Faint, at.get(11..19).unwrap_or("")),
        brush.span(tone, &format!(" {:>5} ", level.to_uppercase())),
        Span::raw(brush.text(&field_text(&fields, "message"))),
        brush.span(Tone::Faint, &rest),
    ])
}
