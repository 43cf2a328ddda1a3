//! The committer: the one thread that writes. Appends a batch, syncs it, tells the loop, passes the
//! changes on to the views, and signs a checkpoint every second while there is work.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ark_os_store::{Batch, Journal, StoreError};

use crate::RuntimeError;
use crate::clock::Clock;
use crate::handle::Message;
use crate::kernel::record::Appended;
use crate::metrics::Metrics;
use crate::threads::spawn;

/// A signed checkpoint is never older than this while there is work.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// Parts of batches that the views may be behind before the committer waits for them.
const FOLLOW_QUEUE_MAX: usize = 64;
/// Changes of one part. Together they bound the changes that are durable and not yet shown, and what the views have
/// to catch up with at a start after a crash.
const FOLLOW_PART_MAX: usize = 1_024;
/// Bytes of one part, as its changes are written, but for the last of them: with [`FOLLOW_QUEUE_MAX`] they bound the
/// memory of what waits. Changes of ordinary size are no more than this; some carry half a megabyte of payloads.
const FOLLOW_PART_BYTES: usize = 1 << 20;

/// The loop's end of the committer.
pub(crate) struct Committer {
    tx: SyncSender<Order>,
    thread: std::thread::JoinHandle<Result<(), StoreError>>,
    note: Note,
}

/// What the loop wants of the committer. If the loop is gone without a word, nothing more is
/// written.
enum Order {
    /// Make this durable.
    Append(Vec<Appended>),
    /// Sign everything, and end.
    Close,
}

/// The newest checkpoint, as a signed note.
pub(crate) type Note = Arc<Mutex<Option<String>>>;

/// Changes that are durable, for the views.
pub(crate) type Followed = Vec<Appended>;

struct Writer {
    journal: Journal,
    work: Receiver<Order>,
    batch: Batch,
    to_loop: Sender<Message>,
    to_views: SyncSender<Followed>,
    metrics: Arc<Metrics>,
    clock: Clock,
    newest_note: Note,
    signed: Instant,
    dirty: bool,
}

impl Committer {
    pub(crate) fn start(
        journal: Journal,
        to_loop: Sender<Message>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Result<(Self, Receiver<Followed>), RuntimeError> {
        let (tx, work) = sync_channel(1);
        let (to_views, views) = sync_channel(FOLLOW_QUEUE_MAX);
        let signed = clock.instant();
        let batch = Batch::new(journal.next_seq());
        let first = journal.last_checkpoint();
        let first = (first.size() > 0).then(|| first.note().to_owned());
        let note: Note = Arc::new(Mutex::new(first));
        let newest_note = note.clone();
        let mut writer = Writer {
            journal,
            work,
            batch,
            to_loop,
            to_views,
            metrics,
            clock,
            newest_note,
            signed,
            dirty: false,
        };
        let thread = spawn("ark-committer", move || {
            if writer.run()? {
                writer.journal.close()?;
            }
            Ok(())
        })?;
        Ok((Committer { tx, thread, note }, views))
    }

    /// The newest checkpoint.
    pub(crate) fn note(&self) -> Note {
        self.note.clone()
    }

    /// Hands a batch over. The caller waits for the last one to be done before it gives another.
    pub(crate) fn commit(&self, changes: Vec<Appended>) -> Result<(), RuntimeError> {
        self.tx.send(Order::Append(changes)).map_err(|_| RuntimeError::closed())
    }

    /// Ends after the last batch, with a checkpoint over everything.
    pub(crate) fn close(self) -> Result<(), RuntimeError> {
        // A committer that is gone has failed, and says how.
        let _ = self.tx.send(Order::Close);
        self.abandon()
    }

    /// Ends after the last batch and writes nothing more, as a crash would.
    pub(crate) fn abandon(self) -> Result<(), RuntimeError> {
        drop(self.tx);
        self.thread.join().map_err(|_| RuntimeError::closed())?.map_err(RuntimeError::from)
    }
}

impl Writer {
    /// Whether it ends in good order.
    fn run(&mut self) -> Result<bool, StoreError> {
        loop {
            match self.next() {
                Ok(Order::Append(changes)) => self.commit(changes)?,
                Ok(Order::Close) => return Ok(true),
                Err(RecvTimeoutError::Timeout) => self.sign()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
            if self.clock.instant().duration_since(self.signed) >= CHECKPOINT_EVERY {
                self.sign()?;
            }
        }
    }

    /// The next batch; without unsigned records there is no reason to wake up before it.
    fn next(&mut self) -> Result<Order, RecvTimeoutError> {
        if !self.dirty {
            return self.work.recv().map_err(|_| RecvTimeoutError::Disconnected);
        }
        let age = self.clock.instant().duration_since(self.signed);
        self.work.recv_timeout(CHECKPOINT_EVERY.saturating_sub(age))
    }

    /// INVARIANT: a failed append is told before anything of the batch could be acknowledged.
    fn commit(&mut self, changes: Vec<Appended>) -> Result<(), StoreError> {
        let mut sized = Vec::with_capacity(changes.len());
        for change in changes {
            let bytes = self.encode(&change)?;
            sized.push((change, bytes));
        }
        self.append()?;
        // The loop or the views are gone only when the instance stops; the records are durable.
        let through = self.journal.next_seq() - 1;
        let _ = self.to_loop.send(Message::Committed { through });
        self.pass_on(sized);
        Ok(())
    }

    /// Puts a change into the batch, which is appended first if it is full: how many bytes it took.
    fn encode(&mut self, change: &Appended) -> Result<usize, StoreError> {
        let mut before = self.batch.bytes();
        let mut result = change.encode(&mut self.batch);
        let is_full = |error: &StoreError| error.kind() == ark_os_store::ErrorKind::Exhausted;
        if result.as_ref().is_err_and(is_full) && !self.batch.is_empty() {
            self.append()?;
            before = self.batch.bytes();
            result = change.encode(&mut self.batch);
        }
        result.inspect_err(|error| self.fail(error))?;
        Ok(self.batch.bytes().saturating_sub(before))
    }

    fn pass_on(&self, changes: Vec<(Appended, usize)>) {
        for part in parts(changes) {
            // Views that are gone have failed, and the loop knows.
            if self.to_views.send(part).is_err() {
                return;
            }
        }
    }

    fn append(&mut self) -> Result<(), StoreError> {
        let begun = self.clock.instant();
        let result = self.journal.append(&mut self.batch);
        let committed = result.inspect_err(|error| self.fail(error))?;
        let took = self.clock.instant().duration_since(begun);
        self.metrics.committed(&self.journal.stats(), committed.count, took);
        self.dirty = true;
        self.batch.reset(self.journal.next_seq());
        Ok(())
    }

    fn sign(&mut self) -> Result<(), StoreError> {
        self.signed = self.clock.instant();
        if self.dirty {
            self.dirty = false;
            let signed = self.journal.checkpoint().inspect_err(|error| self.fail(error))?;
            let note = Some(signed.note().to_owned());
            *self.newest_note.lock().unwrap_or_else(PoisonError::into_inner) = note;
        }
        Ok(())
    }

    fn fail(&self, error: &StoreError) {
        let kind = ark_os_core::Kind::Unavailable;
        let failed = RuntimeError::new(kind, "journal_failed", error.to_string()).with_hint(
            "free space or mend the disk, then start again; nothing acknowledged is lost",
        );
        // If the loop is gone, nobody acknowledges anything.
        let _ = self.to_loop.send(Message::Failed(failed));
    }
}

/// The line to the views has so many places: what takes one must not be as large as a batch may be.
fn parts<T>(changes: Vec<(T, usize)>) -> impl Iterator<Item = Vec<T>> {
    let mut rest = changes.into_iter();
    std::iter::from_fn(move || {
        let (mut part, mut room) = (Vec::new(), FOLLOW_PART_BYTES);
        while part.len() < FOLLOW_PART_MAX && room > 0 {
            let Some((change, bytes)) = rest.next() else { break };
            part.push(change);
            room = room.saturating_sub(bytes);
        }
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_batch_goes_to_the_views_in_parts_of_bounded_size() {
        let sizes =
            |count: usize| parts(vec![((), 99); count]).map(|it| it.len()).collect::<Vec<_>>();
        assert_eq!(sizes(0), [0; 0]);
        assert_eq!(sizes(3), [3]);
        assert_eq!(sizes(FOLLOW_PART_MAX), [FOLLOW_PART_MAX]);
        assert_eq!(sizes(2 * FOLLOW_PART_MAX + 1), [FOLLOW_PART_MAX, FOLLOW_PART_MAX, 1]);
    }

    #[test]
    fn large_changes_go_to_the_views_in_parts_of_bounded_bytes() {
        let half = FOLLOW_PART_BYTES / 2;
        let changes = vec![((), half), ((), half), ((), half - 1), ((), half), ((), half), ((), 9)];
        let sizes: Vec<usize> = parts(changes).map(|it| it.len()).collect();
        assert_eq!(sizes, [2, 3, 1]);
    }
}
