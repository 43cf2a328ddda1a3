//! Which rows somebody wants, and from where on.

use std::fmt;

use ark_os_core::ids::{RunId, TaskId, TaskRef};
use ark_os_core::plan::Workflow;

/// The deepest rows: what is inside an attempt.
pub(crate) const DEPTH_MAX: u32 = 4;

/// Which rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Rows of this depth and above.
    pub(crate) depth: u32,
    /// Whether every child of a map has rows of its own.
    pub(crate) expand: bool,
    /// Only rows of this task (and the children of this map).
    pub(crate) task: Option<TaskRef>,
}

impl Wanted {
    /// Whether somebody wants a row.
    pub(super) fn wants(&self, depth: u32, task: Option<TaskRef>) -> bool {
        let is_it = match (self.task, task) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(asked), Some(task)) => {
                asked.node == task.node && (asked.child.is_none() || asked.child == task.child)
            }
        };
        let is_folded = task.is_some_and(|task| task.child.is_some())
            && !self.expand
            && self.task.is_none_or(|asked| asked.child.is_none());
        depth <= self.depth && is_it && !is_folded
    }
}

/// The task that somebody means: its id, its name in the plan, or `map[17]`.
pub(crate) fn task_named(run: RunId, plan: Option<&Workflow>, text: &str) -> Option<TaskRef> {
    if let Some(id) = TaskId::parse(text) {
        return (id.run == run).then_some(id.task);
    }
    let plan = plan?;
    let (name, child) = match text.strip_suffix(']').and_then(|it| it.split_once('[')) {
        Some((name, child)) => (name, Some(child.parse::<u32>().ok()?)),
        None => (text, None),
    };
    Some(TaskRef { node: plan.node(name)?, child })
}

/// Up to where somebody has seen the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) seq: u64,
    /// The event inside the record and the row of the event; none: all of the record.
    pub(crate) inside: Option<(u64, u64)>,
}

impl Cursor {
    /// Reads `17.1.0` or `17`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|part| part.parse::<u64>().ok());
        let cursor = match (numbers.next()?, numbers.next(), numbers.next()) {
            (Some(seq), None, None) => Cursor { seq, inside: None },
            (Some(seq), Some(index), Some(row)) => Cursor { seq, inside: Some((index?, row?)) },
            _ => return None,
        };
        numbers.next().is_none().then_some(cursor)
    }

    /// Whether a row stands behind it.
    pub(super) fn is_before(self, seq: u64, index: u64, row: u64) -> bool {
        let seen = self.inside.unwrap_or((u64::MAX, u64::MAX));
        (seq, (index, row)) > (self.seq, seen)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.inside {
            Some((index, row)) => write!(f, "{}.{index}.{row}", self.seq),
            None => write!(f, "{}", self.seq),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_and_stand_between_rows() {
        for text in ["17", "17.1.0", "0"] {
            assert_eq!(Cursor::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "17.1", "17.1.0.2", "x", "17.x.1", "-1"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
        let seen = Cursor::parse("17.1.0").unwrap();
        assert!(seen.is_before(17, 1, 1) && seen.is_before(17, 2, 0) && seen.is_before(18, 0, 0));
        assert!(!seen.is_before(17, 1, 0) && !seen.is_before(17, 0, 9));
        assert!(!Cursor::parse("17").unwrap().is_before(17, 9, 9));
        assert!(Cursor::default().is_before(1, 0, 0));
    }

    #[test]
    fn children_are_folded_unless_they_are_asked_for() {
        let all = Wanted { depth: DEPTH_MAX, expand: false, task: None };
        let (map, child) = (TaskRef::node(1), TaskRef::child(1, 7));
        assert!(all.wants(2, Some(map)) && !all.wants(2, Some(child)) && all.wants(1, None));
        assert!(Wanted { expand: true, ..all }.wants(2, Some(child)));
        let one = Wanted { task: Some(child), ..all };
        assert!(one.wants(4, Some(child)) && !one.wants(2, Some(TaskRef::child(1, 8))));
        assert!(!one.wants(2, Some(map)) && !one.wants(1, None));
        assert!(!Wanted { depth: 1, ..all }.wants(2, Some(map)));
    }
}
