//! The newest lines of the log in memory, so that whoever watches the instance sees them without a
//! file: bounded in lines and bytes, the oldest make room.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ark_os_api::{LogLine, LogPage};
use serde_json::value::RawValue;

/// Lines kept: some minutes of a busy log.
const LINES_MAX: usize = 2_000;
/// Bytes kept: lines are some hundred bytes as a rule, and this bounds long ones.
const BYTES_MAX: usize = 1 << 20;

/// The newest log lines. Cheap to clone; all clones are one ring.
#[derive(Clone, Debug, Default)]
pub struct LogRing(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Box<str>>,
    bytes: usize,
    /// The number of the newest line.
    newest: u64,
}

/// Two are the same if they are one.
impl PartialEq for LogRing {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LogRing {}

impl LogRing {
    /// Adds a line: the text of one JSON object.
    pub fn push(&self, line: &str) {
        let mut kept = self.lock();
        kept.newest += 1;
        kept.bytes += line.len();
        kept.lines.push_back(line.into());
        while kept.lines.len() > LINES_MAX || kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.lines.pop_front() else { break };
            kept.bytes -= oldest.len();
        }
    }

    /// Lines after a number, at most `limit` of them: the newest where nobody says after which.
    pub(crate) fn page(&self, after: Option<u64>, limit: usize) -> LogPage {
        let kept = self.lock();
        let before = kept.newest - kept.lines.len() as u64;
        // A number of another start of the instance may lie ahead of what this one has.
        let after = after.filter(|after| *after <= kept.newest);
        let from = after.unwrap_or(kept.newest.saturating_sub(limit as u64)).max(before);
        let skip = usize::try_from(from - before).unwrap_or(usize::MAX);
        let lines = kept.lines.iter().skip(skip).take(limit);
        let items: Vec<LogLine> = (from + 1..)
            .zip(lines)
            .filter_map(|(number, line)| {
                let line = RawValue::from_string(line.to_string()).ok()?;
                Some(LogLine { number, line })
            })
            .collect();
        let next = items.last().map_or(from, |line| line.number);
        LogPage { items, next, lost: after.map_or(0, |after| from - after) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(page: &LogPage) -> Vec<u64> {
        page.items.iter().map(|line| line.number).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_was_and_is_told_what_it_missed() {
        let ring = LogRing::default();
        assert_eq!(ring.page(None, 10).next, 0);
        (1..=5).for_each(|n| ring.push(&format!("{{\"n\":{n}}}")));
        let newest = ring.page(None, 2);
        assert_eq!((numbers(&newest), newest.next, newest.lost), (vec![4, 5], 5, 0));
        assert_eq!(newest.items[0].line.get(), "{\"n\":4}");
        let page = ring.page(Some(1), 3);
        assert_eq!((numbers(&page), page.next), (vec![2, 3, 4], 4));
        assert_eq!(numbers(&ring.page(Some(5), 3)), [0_u64; 0]);
        (0..LINES_MAX as u64).for_each(|_| ring.push("{}"));
        let page = ring.page(Some(1), 1);
        assert_eq!((numbers(&page), page.lost), (vec![6], 4));
        // What was read from an instance before this one has no meaning here.
        assert_eq!(numbers(&ring.page(Some(9_999_999), 1)), [LINES_MAX as u64 + 5]);
    }

    #[test]
    fn long_lines_make_room_by_bytes() {
        let ring = LogRing::default();
        let long = format!("\"{}\"", "x".repeat(BYTES_MAX / 4));
        (0..10).for_each(|_| ring.push(&long));
        assert_eq!(numbers(&ring.page(Some(0), 100)), [8, 9, 10]);
    }
}
