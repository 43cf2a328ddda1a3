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
/// Parts that wait for the next thread; with those in hand a few thousand records are in memory.
const PARTS_MAX: usize = 4;
/// Records that the views take in one transaction while they catch up.
const CATCH_UP: usize = 4_096;

type Part = Vec<Appended>;

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
    let mut part = Vec::with_capacity(PART_RECORDS);
    while let Some(record) = recovered.next()? {
        let (seq, cause, namespace) = (record.seq, record.header.cause, record.header.namespace);
        part.push(Appended { seq, cause, namespace: namespace.into(), change: decode(&record)? });
        if part.len() >= PART_RECORDS {
            let full = std::mem::replace(&mut part, Vec::with_capacity(PART_RECORDS));
            if tx.send(full).is_err() {
                return Ok(());
            }
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
        for it in &part {
            if it.seq > state.changes() {
                // What they asked for was done before the crash, or is asked again by the recovery.
                state.apply(&it.change, &mut effects);
                effects.clear();
            }
        }
        part.retain(|it| it.seq > position);
        if !part.is_empty() && rows.send(part).is_err() {
            return;
        }
    }
}

fn catch_up(follower: &mut Follower, parts: &Receiver<Part>) -> Result<(), RuntimeError> {
    let mut behind = Vec::new();
    for mut part in parts {
        behind.append(&mut part);
        if behind.len() >= CATCH_UP {
            follower::follow(follower, &behind)?;
            behind.clear();
        }
    }
    if behind.is_empty() { Ok(()) } else { follower::follow(follower, &behind) }
}

#[cfg(test)]
mod tests {
    use ark_os_core::Change;
    use ark_os_core::time::Time;

    use super::*;

    fn part(seqs: std::ops::RangeInclusive<u64>) -> Part {
        let change = Change { run: None, at: Time(1), events: Vec::new() };
        seqs.map(|seq| Appended {
            seq,
            cause: 0,
            namespace: Default::default(),
            change: change.clone(),
        })
        .collect()
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
        let seqs: Vec<u64> = rows.into_iter().flatten().map(|it| it.seq).collect();
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
