//! A run's history, page by page in bounded memory, and what its records refer to.

use std::ops::ControlFlow;

use ark_os_core::event::Admission;
use ark_os_core::fleet::profile::FleetPlan;
use ark_os_core::ids::RunId;
use ark_os_core::{Change, Event, Kind};
use ark_os_store::Reader;
use ark_os_store::journal::{Cursor, RecordPlace};

use crate::RuntimeError;
use crate::handle::Handle;
use crate::kernel::record;

/// Records that one page of a run's history holds.
pub const EVENTS_PAGE_MAX: usize = 1_000;
/// Bytes of records that one page holds, and at least one record: events carry payloads up to
/// 16 KiB, so that a thousand of them could be a hundred times this.
pub const HISTORY_BYTES_MAX: usize = 4 << 20;
/// Records of other runs that are passed over on the way to the next one. The journal's index has
/// a mark every 64 records: beyond that, beginning at a mark is nearer.
const PASSED_MAX: u64 = 64;

/// One record of a run's history.
#[derive(Clone, Debug)]
pub struct RecordedEvents {
    /// Sequence number of the record: the cursor.
    pub seq: u64,
    /// Sequence of the record that caused it; 0: none.
    pub cause: u64,
    /// Where it stands on the disk.
    pub place: RecordPlace,
    /// What it changed.
    pub change: Change,
}

/// A part of a run's history.
#[derive(Clone, Debug, Default)]
pub struct HistoryPage {
    /// In order.
    pub records: Vec<RecordedEvents>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

/// A workflow version that was let in, with the record that says so.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Sequence number of the record.
    pub seq: u64,
    /// When it was decided.
    pub at: ark_os_core::time::Time,
    /// What was decided.
    pub admission: Box<Admission>,
}

impl Handle {
    /// A page of a run's history after a record, oldest first: at most `limit` records and about
    /// [`HISTORY_BYTES_MAX`].
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn history(
        &self,
        run: RunId,
        after: u64,
        limit: usize,
    ) -> Result<HistoryPage, RuntimeError> {
        let limit = limit.clamp(1, EVENTS_PAGE_MAX);
        let numbers = self.shared.queries.records_of(run, after, limit + 1)?;
        let mut reading = Reading::new(&self.shared.reader);
        let mut page = HistoryPage { more: numbers.len() > limit, ..HistoryPage::default() };
        for seq in numbers.iter().take(limit) {
            if reading.bytes >= HISTORY_BYTES_MAX {
                page.more = true;
                break;
            }
            page.records.push(reading.read(*seq)?);
        }
        Ok(page)
    }

    /// Goes over a run's history after a record, oldest first, one record in memory at a time,
    /// until `visit` breaks off.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn replay(
        &self,
        run: RunId,
        after: u64,
        visit: &mut dyn FnMut(RecordedEvents) -> ControlFlow<()>,
    ) -> Result<(), RuntimeError> {
        let mut reading = Reading::new(&self.shared.reader);
        let mut after = after;
        loop {
            let numbers = self.shared.queries.records_of(run, after, EVENTS_PAGE_MAX)?;
            let Some(last) = numbers.last() else { return Ok(()) };
            after = *last;
            for seq in numbers {
                if visit(reading.read(seq)?).is_break() {
                    return Ok(());
                }
            }
        }
    }

    /// Reads records by their numbers, which ascend.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn records(
        &self,
        numbers: &[u64],
        visit: &mut dyn FnMut(RecordedEvents),
    ) -> Result<(), RuntimeError> {
        let mut reading = Reading::new(&self.shared.reader);
        numbers.iter().try_for_each(|seq| {
            visit(reading.read(*seq)?);
            Ok(())
        })
    }

    /// The admission of this number, from the record that has it; none: there is none.
    ///
    /// # Errors
    /// The views or the record cannot be read.
    pub fn admission(&self, number: u64) -> Result<Option<Admitted>, RuntimeError> {
        let Some(row) = self.shared.queries.admission(number)? else { return Ok(None) };
        let recorded = Reading::new(&self.shared.reader).read(row.seq)?;
        let at = recorded.change.at;
        Ok(recorded.change.events.into_iter().find_map(|event| match event {
            Event::WorkflowAdmitted(admission) if admission.id == number => {
                Some(Admitted { seq: row.seq, at, admission })
            }
            _ => None,
        }))
    }

    /// The fleets that records `from..=to` speak of, each with the first record that speaks of it.
    ///
    /// # Errors
    /// The views cannot be read.
    pub fn fleets(&self, from: u64, to: u64) -> Result<Vec<(u64, FleetPlan)>, RuntimeError> {
        let starts = self.shared.queries.instances(from, to)?;
        Ok(starts.into_iter().map(|(seq, agents)| (seq, FleetPlan::for_agents(agents))).collect())
    }
}

/// Reads single records; those that stand near each other in one go.
struct Reading<'a> {
    reader: &'a Reader,
    cursor: Option<Cursor>,
    /// Bytes of the records so far.
    bytes: usize,
}

impl<'a> Reading<'a> {
    fn new(reader: &'a Reader) -> Self {
        Reading { reader, cursor: None, bytes: 0 }
    }

    fn read(&mut self, seq: u64) -> Result<RecordedEvents, RuntimeError> {
        let near = |cursor: &Cursor| (seq.saturating_sub(PASSED_MAX)..=seq).contains(&cursor.seq());
        let reader = self.reader;
        let cursor = match self.cursor.take().filter(near) {
            Some(cursor) => self.cursor.insert(cursor),
            None => self.cursor.insert(reader.lookup(seq)),
        };
        loop {
            let (cause, change) = match cursor.next()? {
                Some(record) if record.seq == seq => {
                    self.bytes = self.bytes.saturating_add(record.bytes.len());
                    (record.header.cause, record::decode(&record)?)
                }
                Some(_) => continue,
                None => {
                    let message = format!("find record {seq} of a history");
                    return Err(RuntimeError::new(Kind::NotFound, "store_not_found", message));
                }
            };
            return Ok(RecordedEvents { seq, cause, place: cursor.place(), change });
        }
    }
}
