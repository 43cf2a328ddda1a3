//! The keeper's thread: looks once a second whether something is to be done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ark_os_core::State;

use super::{Keeper, Made};
use crate::RuntimeError;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::threads::{spawn, stand_back};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A snapshot is made after this long even if there were few records, so that nothing old has to be kept for them.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(600);
/// How often it extends the tiles, without which proofs read more of the journal, and looks for segments to archive,
/// which come of age by the day.
const ARCHIVE_EVERY: Duration = Duration::from_secs(60);
/// How long it moves segments before it looks whether something else is to be done: to another file system that
/// takes long, and a start is to replay no more than it has to meanwhile.
const ARCHIVE_TURN: Duration = Duration::from_secs(5);
/// What failed is tried again after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The loop's end of the keeper.
pub(crate) struct KeeperThread {
    stop: Arc<AtomicBool>,
    /// Dropped, it wakes the thread.
    wake: Sender<()>,
    thread: JoinHandle<Keeper>,
    metrics: Arc<Metrics>,
}

/// What the thread owns.
struct Watch {
    keeper: Keeper,
    clock: Clock,
    metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
    snapshot_records: u64,
    snapshot_at: Instant,
    archive_at: Instant,
    /// Nothing is tried before, because something failed.
    again_at: Instant,
}

impl KeeperThread {
    pub(crate) fn start(
        keeper: Keeper,
        clock: Clock,
        metrics: Arc<Metrics>,
        snapshot_records: u64,
    ) -> Result<Self, RuntimeError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (wake, woken) = channel();
        metrics.snapshot_position.set(keeper.size());
        let now = clock.instant();
        let mut watch = Watch {
            keeper,
            clock,
            metrics: metrics.clone(),
            stop: stop.clone(),
            snapshot_records,
            snapshot_at: now + SNAPSHOT_EVERY,
            archive_at: now + LOOK_EVERY,
            again_at: now,
        };
        let thread = spawn("ark-keeper", move || {
            stand_back();
            watch.run(&woken);
            watch.keeper
        })?;
        Ok(KeeperThread { stop, wake, thread, metrics })
    }

    /// Ends the thread; a snapshot that is being made is given up.
    pub(crate) fn stop(self) -> Option<Keeper> {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.wake);
        // One that panicked keeps nothing any more.
        self.thread.join().ok()
    }

    /// Ends the thread and writes down the state of a loop that stopped in good order, so that the next start has
    /// nothing to replay.
    pub(crate) fn finish(self, state: &State) {
        let metrics = self.metrics.clone();
        let Some(mut keeper) = self.stop() else { return };
        match keeper.finish(state) {
            Ok(made) => made.iter().for_each(|made| note(&metrics, made)),
            Err(error) => {
                metrics.keeper_failures.inc();
                tracing::warn!(error = %error, "the snapshot of the stop was not written; the next start replays more");
            }
        }
    }
}

fn note(metrics: &Metrics, made: &Made) {
    metrics.snapshots.inc();
    metrics.snapshot_position.set(made.size);
    metrics.snapshot_bytes.set(made.bytes);
    tracing::info!(records = made.size, bytes = made.bytes, "snapshot written");
}

impl Watch {
    fn run(&mut self, woken: &Receiver<()>) {
        while woken.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            self.look();
        }
    }

    fn look(&mut self) {
        let now = self.clock.instant();
        if now < self.again_at {
            return;
        }
        if let Err(error) = self.snapshot(now).and_then(|()| self.archive(now)) {
            self.again_at = now + AGAIN_AFTER;
            self.metrics.keeper_failures.inc();
            tracing::warn!(error = %error, "the keeper failed and tries again in a minute; the journal is whole");
        }
    }

    fn snapshot(&mut self, now: Instant) -> Result<(), RuntimeError> {
        let lag = self.keeper.lag();
        if lag == 0 || (lag < self.snapshot_records && now < self.snapshot_at) {
            return Ok(());
        }
        self.snapshot_at = now + SNAPSHOT_EVERY;
        let stop = &self.stop;
        let made = self.keeper.snapshot(&|| !stop.load(Ordering::Relaxed))?;
        made.iter().for_each(|made| note(&self.metrics, made));
        Ok(())
    }

    fn archive(&mut self, now: Instant) -> Result<(), RuntimeError> {
        if now < self.archive_at || self.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.archive_at = now + ARCHIVE_EVERY;
        // Before segments may be taken away: their hashes stay.
        let stop = &self.stop;
        self.keeper.tiles(&|| !stop.load(Ordering::Relaxed))?;
        let until = self.clock.instant() + ARCHIVE_TURN;
        let has_time = || self.clock.instant() < until;
        let go_on = || !stop.load(Ordering::Relaxed) && has_time();
        let moved = self.keeper.archive(self.clock.now(), &go_on)?;
        if !has_time() {
            // There may be more, and a snapshot may be due before.
            self.archive_at = now + LOOK_EVERY;
        }
        if moved > 0 {
            self.metrics.segments_archived.add(moved);
            tracing::info!(segments = moved, "segments archived");
        }
        Ok(())
    }
}
