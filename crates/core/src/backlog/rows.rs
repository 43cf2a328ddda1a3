//! The backlog in a snapshot: its runs as rows; lines and deadlines follow from them.

use minicbor::{Decode, Encode};

use super::{Accepted, Backlog, Under};
use crate::ids::RunId;
use crate::priority::Priority;
use crate::time::Time;

/// A run that waits.
#[derive(Clone, Copy, Debug, Encode, Decode)]
pub(crate) struct Row {
    #[n(0)]
    run: RunId,
    #[n(1)]
    seq: u64,
    #[n(2)]
    accepted: Time,
    #[n(3)]
    deadline: Option<Time>,
    #[n(4)]
    priority: Priority,
    /// The place of its shelf in the order of labels.
    #[n(5)]
    shelf: u32,
    /// From when on it stands in line, where that is not since it was accepted.
    #[n(6)]
    start: Option<Time>,
}

impl Backlog {
    /// Everybody who waits, by run.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> + Clone + '_ {
        let places: Vec<u32> = self.shelved().map(|(number, _)| number).collect();
        let mut by_number: Vec<(u32, u32)> = places.into_iter().zip(0u32..).collect();
        by_number.sort_unstable();
        self.pages.iter().map(move |it| {
            let at = by_number.binary_search_by_key(&it.shelf, |(number, _)| *number);
            let place = at.ok().and_then(|at| by_number.get(at)).map_or(0, |(_, place)| *place);
            Row {
                run: it.run,
                seq: it.seq,
                accepted: it.accepted,
                deadline: Some(it.deadline).filter(|at| *at != Time::NEVER),
                priority: it.priority,
                shelf: place,
                start: Some(self.ready(it)).filter(|ready| *ready != it.accepted),
            }
        })
    }

    /// The backlog of these rows, as of a state with so many changes at that time. Says what is wrong
    /// with rows that no journal gives.
    pub(crate) fn restored(
        shelves: &[Under],
        mut rows: Vec<Row>,
        (newest, now): (u64, Time),
    ) -> Result<Backlog, &'static str> {
        let mut backlog = Backlog::default();
        rows.sort_unstable_by_key(|row| row.seq);
        let mut before = (0, Time::default());
        for row in &rows {
            // One record accepts one run, and time never goes back.
            if row.seq <= before.0 || row.seq > newest || row.accepted < before.1 {
                return Err("runs that wait on disk are not in the order of their records");
            }
            before = (row.seq, row.accepted);
        }
        if before.1 > now {
            return Err("a run waits on disk that was not accepted yet");
        }
        for row in &rows {
            let under = shelves.get(row.shelf as usize).ok_or("a shelf is missing")?;
            let accepted = Accepted {
                run: row.run,
                seq: row.seq,
                at: row.accepted,
                deadline: row.deadline,
                priority: row.priority,
                start: row.start,
            };
            backlog.put(&accepted, under.clone());
        }
        if backlog.len() != rows.len() {
            return Err("a run waits on disk twice");
        }
        match backlog.shelves() == shelves.len() {
            true => Ok(backlog),
            false => Err("a shelf is empty, or there twice"),
        }
    }
}
