//! Counters of the server's own: requests by class of their answer.

use std::sync::atomic::{AtomicU64, Ordering};

/// Requests answered, by the first digit of their status, and lines of batches.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    classes: [AtomicU64; 5],
    lines: AtomicU64,
    connections: AtomicU64,
}

impl Counters {
    pub(crate) fn answered(&self, status: u16) {
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(count) = self.classes.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn lines(&self, more: u64) {
        self.lines.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Answers by class: (1, …) for 1xx to (5, …).
    pub(crate) fn by_class(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        (1u16..).zip(&self.classes).map(|(class, count)| (class, count.load(Ordering::Relaxed)))
    }

    pub(crate) fn line_count(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    pub(crate) fn connection_count(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}
