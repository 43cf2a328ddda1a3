//! Lists: columns of fixed and one of free width, and the part of the rows that is in sight.

use std::ops::Range;

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Row, Table};

use super::brush::Brush;
use crate::terminal::{Tone, one_line};

/// A cell: its tone and its text.
pub(super) type Cell = (Tone, String);

/// A cell of plain text.
pub(super) fn plain(text: impl std::fmt::Display) -> Cell {
    (Tone::Plain, text.to_string())
}

/// A cell of text that matters less.
pub(super) fn faint(text: impl std::fmt::Display) -> Cell {
    (Tone::Faint, text.to_string())
}

/// A list with its head.
pub(super) struct List<'a> {
    pub(super) title: String,
    pub(super) head: &'a [&'a str],
    /// Characters of each column, negative where numbers stand at its right; 0: whatever is left.
    pub(super) widths: &'a [i16],
    /// The number of the chosen row; none: nothing can be chosen here.
    pub(super) chosen: Option<usize>,
    /// What stands in place of rows when there are none.
    pub(super) empty: &'a str,
}

/// The rows in sight: the chosen one is in their middle where there are more than fit.
pub(super) fn in_sight(len: usize, at: usize, height: usize) -> Range<usize> {
    let first = at.saturating_sub(height / 2).min(len.saturating_sub(height));
    first..len.min(first + height)
}

impl List<'_> {
    /// Paints `len` rows, of which only those in sight are made.
    pub(super) fn draw(
        self,
        brush: Brush,
        len: usize,
        row: impl Fn(usize) -> Vec<Cell>,
        (frame, area): (&mut Frame<'_>, Rect),
    ) {
        let block = brush.block(&self.title);
        let inside = block.inner(area);
        let height = usize::from(inside.height).saturating_sub(1);
        let sight = in_sight(len, self.chosen.unwrap_or(0), height);
        let rows = sight.map(|number| {
            let cells = row(number).into_iter().zip(self.widths).map(|((tone, text), width)| {
                let span = Span::styled(brush.text(&one_line(&text)), brush.style(tone));
                Text::from(aligned(Line::from(span), *width))
            });
            let row = Row::new(cells.collect::<Vec<_>>());
            if self.chosen == Some(number) { row.style(brush.chosen()) } else { row }
        });
        let mut rows: Vec<Row<'static>> = rows.collect();
        let widths: Vec<Constraint> = self
            .widths
            .iter()
            .map(|width| match width {
                0 => Constraint::Min(4),
                width => Constraint::Length(width.unsigned_abs()),
            })
            .collect();
        let is_empty = rows.is_empty();
        let head = self.head.iter().zip(self.widths);
        let head =
            Row::new(head.map(|(name, width)| aligned(brush.line(Tone::Faint, name), *width)));
        let table = Table::new(std::mem::take(&mut rows), widths).header(head).block(block);
        frame.render_widget(table, area);
        if is_empty && inside.height > 1 {
            let below = Rect { y: inside.y + 1, height: 1, ..inside };
            frame.render_widget(brush.line(Tone::Faint, self.empty), below);
        }
    }
}

fn aligned(line: Line<'static>, width: i16) -> Line<'static> {
    if width < 0 { line.right_aligned() } else { line }
}

/// An age or a duration in milliseconds, in at most six characters.
pub(super) fn short(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", ms / 60_000, ms % 60_000 / 1_000),
        3_600_000..86_400_000 => format!("{}h{:02}m", ms / 3_600_000, ms % 3_600_000 / 60_000),
        _ => format!("{}d{:02}h", ms / 86_400_000, ms % 86_400_000 / 3_600_000),
    }
}

/// A duration in microseconds; none: longer than was measured.
pub(super) fn micros(us: Option<u64>) -> String {
    match us {
        None => ">10s".to_owned(),
        Some(us @ 0..1_000) => format!("{us}us"),
        Some(us) if us % 1_000 == 0 => short(us / 1_000),
        Some(us) => format!("{}.{}ms", us / 1_000, us % 1_000 / 100),
    }
}

/// A count in at most six characters.
pub(super) fn count(number: u64) -> String {
    match number {
        0..100_000 => number.to_string(),
        100_000..1_000_000 => format!("{}k", number / 1_000),
        1_000_000..100_000_000 => {
            format!("{}.{}M", number / 1_000_000, number % 1_000_000 / 100_000)
        }
        _ => format!("{}M", number / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_row_is_in_sight() {
        for (len, at, height, sight) in [
            (0, 0, 5, 0..0),
            (3, 2, 5, 0..3),
            (10, 0, 5, 0..5),
            (10, 5, 5, 3..8),
            (10, 9, 5, 5..10),
            (10, 9, 0, 9..9),
        ] {
            assert_eq!(in_sight(len, at, height), sight, "{len} {at} {height}");
        }
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0, 999, 1_250, 61_000, 7_300_000, 90_000_000].map(short);
        assert_eq!(texts, ["0ms", "999ms", "1.2s", "1m01s", "2h01m", "1d01h"]);
        let texts = [Some(100), Some(2_500), Some(5_000), Some(10_000_000), None].map(micros);
        assert_eq!(texts, ["100us", "2.5ms", "5ms", "10.0s", ">10s"]);
        let texts = [7, 99_999, 123_456, 1_000_000, 123_456_789].map(count);
        assert_eq!(texts, ["7", "99999", "123k", "1.0M", "123M"]);
    }
}
