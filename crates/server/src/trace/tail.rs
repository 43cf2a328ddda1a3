//! What has begun and not ended where the history ends for now.

use ark_os_api::TraceRow;
use ark_os_core::ids::TaskRef;

use super::maps::tell_map;
use super::open::{Began, OpenTask, idle_ms};
use super::steps::tell_step;
use super::{Live, Tracer};
use crate::events::AgentNames;
use crate::words;

/// Rows of it at most: beyond it nobody looks at each.
const OPEN_SHOWN_MAX: usize = 500;

impl Tracer {
    /// Rows without an end, of a run that is not over.
    pub(super) fn open_rows(&self, names: &AgentNames, live: &Live) -> Vec<TraceRow> {
        let mut rows = Vec::new();
        if self.is_over {
            return rows;
        }
        for (node, map) in &self.maps {
            let mut row = self.unended("map", 2, map.began);
            row.idle_ms = Some(idle_ms(map.began, map.worked, live.now));
            tell_map(map, &mut row);
            let task = TaskRef::node(*node);
            self.give(&mut rows, task, row);
            self.held_up(&mut rows, task, map.began, live);
        }
        for (task, open) in &self.tasks {
            self.open_task(&mut rows, *task, open, (names, live));
            if rows.len() >= OPEN_SHOWN_MAX {
                break;
            }
        }
        rows.truncate(OPEN_SHOWN_MAX);
        rows
    }

    fn open_task(
        &self,
        rows: &mut Vec<TraceRow>,
        task: TaskRef,
        open: &OpenTask,
        (names, live): (&AgentNames, &Live),
    ) {
        let mut row = self.unended("task", 2, open.began);
        row.idle_ms = Some(idle_ms(open.began, open.worked, live.now));
        row.spent = Some(words::amounts(open.spent, 0));
        self.give(rows, task, row);
        if let Some(began) = open.preparing {
            self.give(rows, task, self.unended("preparing", 3, began));
        }
        self.held_up(rows, task, open.queued, live);
        if let Some(attempt) = &open.attempt {
            let mut row = self.unended("attempt", 3, attempt.began);
            self.tell_attempt(attempt, names, &mut row);
            self.give(rows, task, row);
        }
        for step in &open.steps {
            let mut row = self.unended("step", 4, step.began);
            tell_step(step, &mut row);
            self.give(rows, task, row);
        }
    }

    /// The wait of a task that its limit holds up now.
    fn held_up(&self, rows: &mut Vec<TraceRow>, task: TaskRef, since: Began, live: &Live) {
        if !live.held.contains(&task) {
            return;
        }
        let mut row = self.unended("waiting", 3, since);
        row.idle_ms = Some(idle_ms(since, None, live.now));
        self.tell_limit(task.node, &mut row);
        self.give(rows, task, row);
    }

    fn unended(&self, kind: &str, depth: u32, began: Began) -> TraceRow {
        TraceRow {
            id: format!("{}", began.seq),
            kind: kind.to_owned(),
            depth,
            seq: began.seq,
            began_seq: Some(began.seq),
            at: words::stamp(began.at),
            offset_ms: began.at.0.saturating_sub(self.start.0),
            state: Some("open".to_owned()),
            ..TraceRow::default()
        }
    }

    fn give(&self, rows: &mut Vec<TraceRow>, task: TaskRef, row: TraceRow) {
        if self.wanted.wants(row.depth, Some(task)) {
            rows.push(self.named(task, row));
        }
    }
}
