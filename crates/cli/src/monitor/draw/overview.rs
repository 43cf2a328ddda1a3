//! The first screen: a little of everything.

use ark_os_api::Overview;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

use super::{attention, fleet, queues, rates, runs};
use crate::monitor::model::Model;

/// Rows of the upper part: six layers with a frame.
const UPPER: u16 = 9;
/// Rows of the lower part on a small screen.
const LOWER: u16 = 5;

pub(super) fn draw(model: &Model, overview: &Overview, frame: &mut Frame<'_>, body: Rect) {
    let more = body.height.saturating_sub(21) / 3;
    let [upper, middle, lower] = Layout::vertical([
        Constraint::Length(UPPER),
        Constraint::Min(6),
        Constraint::Length(LOWER + more),
    ])
    .areas(body);
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(upper);
    fleet::layers(model, overview, frame, left);
    rates::small(model, overview, frame, right);
    runs::newest(model, overview, frame, middle);
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(lower);
    queues::busiest(model, overview, frame, left);
    attention::first(model, overview, frame, right);
}
