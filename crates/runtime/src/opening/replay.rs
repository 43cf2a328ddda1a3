//! Replaying what no snapshot covers: one thread reads and decodes, this one applies to the state, a third puts rows
//! into the views. A start waits for the slowest of the three and not for their sum.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::ScopedJoinHandle;

use ark_os_core::State;
use ark_os_store::Recovered;
use ark_os_store::views::Follower;

use crate::RuntimeError;
use crate::follower;
use crate::kernel::record::{Appended, decode};
use crate::threads::spawn_within;

/// Records handed on at one time: enough that handing on costs nothing beside them.
const PART_RECORDS: usize = 1_024;
/// Bytes of records handed on at one time, but for the last record of a part: as many of ordinary size are
/// fewer bytes, and as many that carry their payloads with them would be half a gigabyte.
const PART_BYTES: usize = 2 << 20;
/// Parts that wait for the next thread; with those in hand a few thousand records are in memory.
const PARTS_MAX: usize = 4;
/// Records that the views take in one transaction while they catch up.
const CATCH_UP: usize = 4_096;
/// Bytes of records that they take so.
const CATCH_UP_BYTES: usize = 8 << 20;

/// Records on their way from one thread to the next.
#[derive(Default)]
struct Part {
    records: Vec<Appended>,
    /// As long as they are in the journal.
    bytes: usize,
}

impl Part {
    fn add(&mut self, record: Appended, bytes: usize) {
        self.records.push(record);
        self.bytes += bytes;
    }

    fn is_full(&self) -> bool {
        self.records.len() >= PART_RECORDS || self.bytes >= PART_BYTES
    }
}

/// The records behind the snapshot make the state, those behind the views the views.
pub(super) fn replay(
    recovered: Recovered,
    state: &mut State,
    follower: &mut Follower,
) -> Result<(), RuntimeError> {
    let position = follower.position();
    std::thread::scope(|scope| {
        let (tx, parts) = sync_channel(PARTS_MAX);
        let (rows_tx, rows) = sync_channel(PARTS_MAX);
        let reading = spawn_within(scope, "ark-replay-read", move || read(recovered, &tx))?;
        let viewing = spawn_within(scope, "ark-replay-views", move || catch_up(follower, &rows))?;
        apply(state, position, &parts, &rows_tx);
        // Whoever failed has ended; nobody waits for somebody who is gone.
        drop((parts, rows_tx));
        ended(viewing).and(ended(reading))
    })
}

fn ended(thread: ScopedJoinHandle<'_, Result<(), RuntimeError>>) -> Result<(), RuntimeError> {
    // One that panicked has told why.
    thread.join().unwrap_or_else(|_| Err(RuntimeError::closed()))
}

fn read(mut recovered: Recovered, tx: &SyncSender<Part>) -> Result<(), RuntimeError> {
    let mut part = Part::default();
    while let Some(record) = recovered.next()? {
        let (seq, cause, namespace) = (record.seq, record.header.cause, record.header.namespace);
        let change = decode(&record)?;
        part.add(Appended { seq, cause, namespace: namespace.into(), change }, record.bytes.len());
        if part.is_full() && tx.send(std::mem::take(&mut part)).is_err() {
            return Ok(());
        }
    }
    // The views failed, and say how.
    let _ = tx.send(part);
    Ok(())
}

/// Until there are no more parts, or the views take none.
fn apply(state: &mut State, position: u64, parts: &Receiver<Part>, rows: &SyncSender<Part>) {
    let mut effects = Vec::new();
    for mut part in parts {
        for it in &part.records {
            if it.seq > state.changes() {
                // What they asked for was done before the crash, or is asked again by the recovery.
                state.apply(&it.change, &mut effects);
                effects.clear();
            }
        }
        part.records.retain(|it| it.seq > position);
        if !part.records.is_empty() && rows.send(part).is_err() {
            return;
        }
    }
}

fn catch_up(follower: &mut Follower, parts: &Receiver<Part>) -> Result<(), RuntimeError> {
    let mut behind = Part::default();
    for mut part in parts {
        behind.records.append(&mut part.records);
        behind.bytes += part.bytes;
        if behind.records.len() >= CATCH_UP || behind.bytes >= CATCH_UP_BYTES {
            follower::follow(follower, &behind.records)?;
            behind = Part::default();
        }
    }
    if behind.records.is_empty() { Ok(()) } else { follower::follow(follower, &behind.records) }
}

#[cfg(test)]
mod tests {
    use ark_os_core::Change;
    use ark_os_core::time::Time;

    use super::*;

    fn part(seqs: std::ops::RangeInclusive<u64>) -> Part {
        let change = Change { run: None, at: Time(1), events: Vec::new() };
        let mut part = Part::default();
        for seq in seqs {
            let namespace = Default::default();
            part.add(Appended { seq, cause: 0, namespace, change: change.clone() }, 40);
        }
        part
    }

    #[test]
    fn a_part_is_full_by_its_bytes_or_its_records() {
        let mut small = part(1..=PART_RECORDS as u64 - 1);
        assert!(!small.is_full());
        small.records.append(&mut part(1..=1).records);
        assert!(small.is_full());
        let mut large = part(1..=2);
        large.bytes += PART_BYTES / 2;
        assert!(!large.is_full());
        large.bytes += PART_BYTES / 2;
        assert!(large.is_full(), "a few records that carry much are a part");
    }

    #[test]
    fn the_state_and_the_views_each_take_what_they_have_not() {
        let (tx, parts) = sync_channel(2);
        let (rows_tx, rows) = sync_channel(2);
        tx.send(part(1..=4)).unwrap();
        tx.send(part(5..=6)).unwrap();
        drop(tx);
        let mut state = State::default();
        apply(&mut state, 2, &parts, &rows_tx);
        drop(rows_tx);
        assert_eq!(state.changes(), 6);
        let seqs: Vec<u64> = rows.into_iter().flat_map(|it| it.records).map(|it| it.seq).collect();
        assert_eq!(seqs, [3, 4, 5, 6]);
    }

    #[test]
    fn nobody_waits_for_views_that_have_failed() {
        let (tx, parts) = sync_channel(1);
        let (rows_tx, rows) = sync_channel(0);
        drop(rows);
        tx.send(part(1..=1)).unwrap();
        apply(&mut State::default(), 0, &parts, &rows_tx);
        drop(parts);
        assert!(tx.send(part(2..=2)).is_err());
    }
}
