//! A change as a journal record, and back.

use ark_os_core::effect::Effect;
use ark_os_core::error::Failure;
use ark_os_core::event::RunAccepted;
use ark_os_core::ids::RunId;
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use ark_os_core::{Change, Event, State};
use ark_os_store::journal::Cursor;
use ark_os_store::{Batch, Record, RecordHeader, StoreError};

/// Namespace of the records that belong to no run.
const INSTANCE: &str = "";

/// Events of a record that was joined from several changes: each may carry an inline payload, and a
/// reader holds a record in memory.
const JOINED_EVENTS_MAX: usize = 32;

/// A change on its way into the journal.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Its sequence number.
    pub seq: u64,
    /// The record whose effect led to it; 0: none.
    pub cause: u64,
    /// The tenant of its run; empty: the instance's own.
    pub namespace: Text,
    /// What changed.
    pub change: Change,
}

impl Appended {
    /// Whether a change that this one led to, or nothing in particular, becomes part of its record:
    /// a short run is one record from end to end.
    pub(super) fn takes(&self, change: &Change, cause: u64) -> bool {
        let events = &self.change.events;
        // Proof bundles of other runs carry the whole record that lets their workflow in.
        let lets_in = |event: &Event| matches!(event, Event::WorkflowAdmitted(_));
        let mut both = events.iter().chain(&change.events);
        self.change.run.is_some()
            && self.change.run == change.run
            && self.change.at == change.at
            && (cause == 0 || cause == self.seq)
            && events.len() + change.events.len() <= JOINED_EVENTS_MAX
            && !both.any(lets_in)
    }

    /// Appends it to a batch.
    ///
    /// # Errors
    /// The batch is full, or the record is larger than a record may be.
    pub fn encode(&self, batch: &mut Batch) -> Result<u64, StoreError> {
        let header = RecordHeader {
            namespace: &self.namespace,
            run: self.change.run.map(RunId::to_bytes),
            cause: self.cause,
            time_ms: self.change.at.0,
            ..RecordHeader::default()
        };
        batch.push(&header, |out| {
            // Writing into a Vec cannot fail.
            let _ = minicbor::encode(&self.change.events, out);
        })
    }
}

/// Reads a record back.
///
/// # Errors
/// The body is not a list of events that this version knows.
pub fn decode(record: &Record<'_>) -> Result<Change, StoreError> {
    let events: Vec<Event> = minicbor::decode(record.body).map_err(|error| {
        if error.is_unknown_variant() {
            return StoreError::newer(format!("read an event of record {}", record.seq));
        }
        StoreError::new(
            ark_os_store::ErrorKind::Corrupt,
            format!("read the events of record {}: {error}", record.seq),
        )
    })?;
    let run = record.header.run.map(RunId::from_bytes);
    Ok(Change { run, at: Time(record.header.time_ms), events })
}

/// Why a run's record was not read.
#[derive(Debug)]
pub enum Unread {
    /// It may be read later: there was no file handle or no memory, or the device did not answer.
    Yet(StoreError),
    /// The disk has lost it: the run fails with this.
    Ever(Failure),
}

impl Unread {
    /// Nobody tries again.
    pub fn given_up(self) -> Failure {
        match self {
            Unread::Yet(error) => unreadable(&error),
            Unread::Ever(failure) => failure,
        }
    }
}

fn unreadable(why: &dyn std::fmt::Display) -> Failure {
    Failure::fatal("record_unreadable", why.to_string())
}

/// Reads how a run was accepted, by the record that says so. The journal was checked when it was
/// opened: what is not as it was then is read once more, and then the disk has lost it.
///
/// # Errors
/// The record cannot be read now, or never; or it says nothing of the kind.
pub fn read_accepted(cursor: &mut Cursor, run: RunId, seq: u64) -> Result<RunAccepted, Unread> {
    use ark_os_store::ErrorKind::{Archived, Exhausted, Unavailable};
    let mut read = || -> Result<Option<RunAccepted>, StoreError> {
        cursor.seek(seq)?;
        let Some(record) = cursor.next()? else { return Ok(None) };
        let change = decode(&record)?;
        let of_run = change.events.into_iter().filter(|_| change.run == Some(run));
        Ok(of_run.into_iter().find_map(|event| match event {
            Event::RunAccepted(accepted) => Some(*accepted),
            _ => None,
        }))
    };
    match read().or_else(|_| read()) {
        Ok(Some(accepted)) => Ok(accepted),
        Ok(None) => {
            let other = format!("record {seq} does not accept the run");
            Err(Unread::Ever(unreadable(&other)))
        }
        Err(error) if matches!(error.kind(), Unavailable | Exhausted | Archived) => {
            Err(Unread::Yet(error))
        }
        Err(error) => Err(Unread::Ever(unreadable(&error))),
    }
}

/// The tenant of the run that a change is about. A run that the change ended has left the state;
/// its announcement still names it.
pub(super) fn namespace_of(state: &State, change: &Change, effects: &[Effect]) -> Text {
    let Some(run) = change.run else { return Text::from(INSTANCE) };
    if let Some(run) = state.run(run) {
        return run.namespace.clone();
    }
    if let Some(namespace) = state.backlog().namespace(run) {
        return namespace.clone();
    }
    let announced = effects.iter().find_map(|effect| match effect {
        Effect::AnnounceRun { summary } => Some(summary.namespace.clone()),
        _ => None,
    });
    announced.unwrap_or_else(|| Text::from(INSTANCE))
}
