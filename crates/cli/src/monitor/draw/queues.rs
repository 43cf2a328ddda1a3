//! Who waits for which skill.

use ark_os_api::{Overview, QueueView};
use ratatui::Frame;
use ratatui::layout::Rect;

use super::brush::Brush;
use super::table::{Cell, List, count, faint, plain, short};
use crate::monitor::model::Model;
use crate::monitor::rows::chosen_at;
use crate::terminal::Tone;

fn waited(queue: &QueueView) -> Cell {
    queue.next_waited_ms.map_or_else(|| faint("·"), |ms| plain(short(ms)))
}

fn number(number: u64, tone: Tone) -> Cell {
    if number == 0 { faint("·") } else { (tone, count(number)) }
}

/// A skill's name, or that of a limit with its key.
fn name(queue: &QueueView) -> String {
    match queue.key.as_deref() {
        None => queue.skill.clone(),
        Some("") => format!("limit {}", queue.skill),
        Some(key) => format!("limit {} {key}", queue.skill),
    }
}

/// At its limit, a skill's tasks wait though agents are free.
fn running(queue: &QueueView) -> Cell {
    let is_full = queue.running_max.is_some_and(|max| queue.running >= max);
    number(u64::from(queue.running), if is_full { Tone::Warning } else { Tone::Plain })
}

fn limit(queue: &QueueView) -> Cell {
    queue.running_max.map_or_else(|| faint("none"), plain)
}

/// Those with somebody in line or at work, for the first screen.
pub(super) fn busiest(model: &Model, overview: &Overview, frame: &mut Frame<'_>, area: Rect) {
    let mut busy: Vec<&QueueView> =
        overview.queues.iter().filter(|it| it.ready > 0 || it.running > 0).collect();
    busy.sort_by_key(|it| (std::cmp::Reverse(it.ready), std::cmp::Reverse(it.running)));
    let list = List {
        title: " Queues ".to_owned(),
        head: &["skill", "ready", "running", "waits"],
        widths: &[0, -6, -7, -6],
        chosen: None,
        empty: "nobody waits for a skill",
    };
    let row = |at: usize| {
        let Some(it) = busy.get(at) else { return Vec::new() };
        vec![plain(name(it)), number(it.ready, Tone::Plain), running(it), waited(it)]
    };
    list.draw(Brush::new(model.look), busy.len(), row, (frame, area));
}

/// All of them.
pub(super) fn draw(model: &Model, overview: &Overview, frame: &mut Frame<'_>, area: Rect) {
    let skills = overview.queues.iter().filter(|it| it.key.is_none());
    let ready: u64 = skills.map(|it| it.ready).sum();
    let list = List {
        title: format!(
            " Queues by skill: {} ready, {} running ",
            count(ready),
            overview.fleet.busy
        ),
        head: &["skill", "class", "ready", "running", "limit", "next waits"],
        widths: &[0, 10, -7, -7, -6, -10],
        chosen: Some(chosen_at(model)),
        empty: "the fleet offers no skill",
    };
    let row = |at: usize| {
        let Some(it) = overview.queues.get(at) else { return Vec::new() };
        vec![
            plain(name(it)),
            faint(&it.class),
            number(it.ready, Tone::Plain),
            running(it),
            limit(it),
            waited(it),
        ]
    };
    list.draw(Brush::new(model.look), overview.queues.len(), row, (frame, area));
}
