//! Draws the rows of a table as bars, as SVG inside the page. Colours come from the page's style, so
//! the chart follows light and dark; it has a title and says in words what it shows.

use std::fmt::Write;

use super::html::{escaped, short};
use super::page::{Cell, Chart};

/// Bars of one chart: the rest is in the table beside it.
const BARS_MAX: usize = 15;
/// Letters of a name beside a bar; the end of a path says more than its begin.
const NAME_CHARS_MAX: usize = 30;
const WIDTH: u64 = 640;
const BAR_LEFT: u64 = 220;
const BAR_WIDTH_MAX: u64 = 330;
const ROW_HEIGHT: u64 = 22;

/// The chart with this number on its page; `None` where there is nothing to draw.
pub(super) fn bars(chart: &Chart, rows: &[Vec<Cell>], number: usize) -> Option<String> {
    let bars: Vec<(String, &Cell)> = rows
        .iter()
        .filter_map(|row| Some((row.first()?.shown(), row.get(chart.column)?)))
        .filter(|(_, cell)| cell.value() > 0)
        .take(BARS_MAX)
        .collect();
    let largest = bars.iter().map(|(_, cell)| cell.value()).max()?;
    let height = ROW_HEIGHT * bars.len() as u64;
    let title = escaped(chart.title);
    let said: Vec<String> = bars.iter().map(|(name, cell)| spoken(name, cell)).collect();
    let mut svg = format!(
        "<svg role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         aria-labelledby=\"c{number}t c{number}d\"><title id=\"c{number}t\">{title}</title>\
         <desc id=\"c{number}d\">Bars: {}.</desc>",
        said.join("; ")
    );
    for (index, (name, cell)) in (0_u64..).zip(&bars) {
        let top = index * ROW_HEIGHT;
        let middle = top + ROW_HEIGHT / 2 + 4;
        // At least a pixel: what is there is seen.
        let width = u128::from(cell.value()) * u128::from(BAR_WIDTH_MAX) / u128::from(largest);
        let width = u64::try_from(width).unwrap_or(BAR_WIDTH_MAX).max(1);
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{middle}\" class=\"l\">{}</text>\
             <rect x=\"{BAR_LEFT}\" y=\"{}\" width=\"{width}\" height=\"{}\"></rect>\
             <text x=\"{}\" y=\"{middle}\">{}</text>",
            BAR_LEFT - 8,
            escaped(&end_of(name)),
            top + 3,
            ROW_HEIGHT - 6,
            BAR_LEFT + width + 6,
            escaped(&cell.shown()),
        );
    }
    svg.push_str("</svg>");
    Some(svg)
}

fn spoken(name: &str, cell: &Cell) -> String {
    escaped(&format!("{} {}", short(name, 3 * NAME_CHARS_MAX), cell.shown()))
}

/// The last letters of a name.
fn end_of(name: &str) -> String {
    let count = name.chars().count();
    if count <= NAME_CHARS_MAX {
        return name.to_owned();
    }
    let end: String = name.chars().skip(count - NAME_CHARS_MAX + 1).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_share_and_never_invisible() {
        let row = |name: &str, n| vec![Cell::foreign(name), Cell::Number(n)];
        let rows = [row("all", u64::MAX), row("half", u64::MAX / 2), row("one", 1), row("none", 0)];
        let svg = bars(&Chart { title: "T", column: 1 }, &rows, 3).unwrap();
        let widths: Vec<&str> = svg
            .match_indices("<rect x=\"220\"")
            .map(|(at, _)| svg[at..].split("width=\"").nth(1).unwrap().split('"').next().unwrap())
            .collect();
        assert_eq!(widths, ["330", "164", "1"]);
        assert!(svg.contains("<title id=\"c3t\">T</title>"));
        assert!(bars(&Chart { title: "T", column: 1 }, &[row("none", 0)], 0).is_none());
    }
}
