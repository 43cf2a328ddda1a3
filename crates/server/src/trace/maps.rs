//! The one row of a map whose children are folded.

use ark_os_api::TraceRow;
use ark_os_core::ids::TaskRef;
use serde_json::json;

use super::open::{OpenMap, idle_ms};
use super::rows::{Making, details, field};
use crate::words;

impl Making<'_> {
    /// The row of a map that is over, after those of its children that were not.
    pub(super) fn map_closed(
        &mut self,
        task: TaskRef,
        map: &OpenMap,
        state: &str,
        text: Option<&str>,
    ) -> TraceRow {
        let below = TaskRef::child(task.node, 0)..=TaskRef::child(task.node, u32::MAX);
        let open: Vec<TaskRef> = self.tracer.tasks.range(below).map(|(task, _)| *task).collect();
        for child in open {
            self.stopped(child, "cancelled", "its map is over");
        }
        let mut row = self.span("map", 2, map.began);
        row.idle_ms = Some(idle_ms(map.began, map.worked, self.now().at));
        tell_map(map, &mut row);
        row.state = Some(state.to_owned());
        if let Some(text) = text {
            row.text = Some(format!("{text}; {}", row.text.unwrap_or_default()));
        }
        row
    }
}

/// What is known of a map so far.
pub(super) fn tell_map(map: &OpenMap, row: &mut TraceRow) {
    let mut text = format!("{} of {} done", map.succeeded, map.total);
    if map.failed > 0 {
        text.push_str(&format!(", {} failed", map.failed));
    }
    row.text = Some(text);
    row.spent = Some(words::amounts(map.spent, 0));
    row.details = details([
        field(
            "children",
            json!({ "total": map.total, "succeeded": map.succeeded, "failed": map.failed }),
        ),
        field("attempts", map.attempts),
    ]);
    row.details.extend(
        map.spread()
            .map(|[min, p50, max]| field("micros", json!({ "min": min, "p50": p50, "max": max }))),
    );
}
