//! Entries in the order of their runs, in pages: as small as a list, and none is copied whole when
//! it grows.

use std::collections::BTreeMap;

use super::Waiting;
use crate::ids::RunId;

/// Entries of one page, 12 KiB: moving half of one takes less than a microsecond.
const PAGE_MAX: usize = 256;

/// All entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    /// By a bound below each page's runs. INVARIANT: a page's runs are at least its own bound and
    /// less than the next one's; no page is empty.
    pages: BTreeMap<RunId, Vec<Waiting>>,
    len: usize,
}

impl Pages {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> + Clone + '_ {
        self.pages.values().flatten()
    }

    pub(super) fn find(&self, run: RunId) -> Option<&Waiting> {
        let (_, page) = self.pages.range(..=run).next_back()?;
        page.binary_search_by_key(&run, |it| it.run).ok().and_then(|at| page.get(at))
    }

    /// Changes an entry, all but its run.
    pub(super) fn change(&mut self, run: RunId, change: impl FnOnce(&mut Waiting)) {
        let Some((_, page)) = self.pages.range_mut(..=run).next_back() else { return };
        let at = page.binary_search_by_key(&run, |it| it.run).ok();
        if let Some(waiting) = at.and_then(|at| page.get_mut(at)) {
            change(waiting);
        }
    }

    /// Adds an entry; its run is not there yet.
    pub(super) fn insert(&mut self, waiting: Waiting) {
        self.len += 1;
        let run = waiting.run;
        let Some((_, page)) = self.pages.range_mut(..=run).next_back() else {
            return self.begin(waiting);
        };
        let at = page.partition_point(|it| it.run < run);
        if page.len() < PAGE_MAX {
            return page.insert(at, waiting);
        }
        // Ids come nearly in order: a page that is full at its end stays full.
        if at == page.len() {
            return self.begin(waiting);
        }
        let mut upper = Vec::with_capacity(PAGE_MAX);
        upper.extend(page.drain(PAGE_MAX / 2..));
        let half = if at <= page.len() { &mut *page } else { &mut upper };
        let at = half.partition_point(|it| it.run < run);
        half.insert(at, waiting);
        if let Some(first) = upper.first() {
            self.pages.insert(first.run, upper);
        }
    }

    fn begin(&mut self, waiting: Waiting) {
        let mut page = Vec::with_capacity(PAGE_MAX);
        page.push(waiting);
        self.pages.insert(waiting.run, page);
    }

    pub(super) fn remove(&mut self, run: RunId) -> Option<Waiting> {
        let (bound, page) = self.pages.range_mut(..=run).next_back()?;
        let at = page.binary_search_by_key(&run, |it| it.run).ok()?;
        let waiting = page.remove(at);
        self.len -= 1;
        let bound = *bound;
        if page.is_empty() {
            self.pages.remove(&bound);
        } else if page.len() < page.capacity() / 4 {
            page.shrink_to(page.capacity() / 2);
        }
        Some(waiting)
    }
}
