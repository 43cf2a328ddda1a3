//! The keeper's thread: looks once a second whether something is to be done. It leaves the processor to others, but
//! for snapshots that fall behind: what no snapshot covers is what the next start has to replay.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ark_os_core::State;
use ark_os_store::Reader;

use super::{Keeper, Made};
use crate::RuntimeError;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::threads::spawn;

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
/// So many times as long as it worked it rests, while nothing is urgent: it takes a quarter of a processor.
const RESTS: u32 = 3;
/// One rest, at most: the next look at whether it has become urgent.
const REST_MAX: Duration = Duration::from_millis(50);
/// So many times the records of a snapshot may be behind one before it does not rest any more.
const URGENT_TIMES: u64 = 2;
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
    /// What failed is not tried before.
    snapshot_again_at: Instant,
    /// An archive that is not mounted is no reason for the next start to replay more.
    archive_again_at: Instant,
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
            snapshot_again_at: now,
            archive_again_at: now,
        };
        let thread = spawn("ark-keeper", move || {
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
        let mut wait = LOOK_EVERY;
        while woken.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            // While it made a snapshot, enough for the next one may have come.
            wait = if self.look(woken) { Duration::ZERO } else { LOOK_EVERY };
        }
    }

    /// Does what is to be done; whether to look again at once.
    fn look(&mut self, woken: &Receiver<()>) -> bool {
        let now = self.clock.instant();
        let mut made = false;
        if now >= self.snapshot_again_at {
            match self.snapshot(now, woken) {
                Ok(done) => made = done,
                Err(error) => self.snapshot_again_at = self.failed(now, &error),
            }
        }
        if now >= self.archive_again_at
            && let Err(error) = self.archive(now, woken)
        {
            self.archive_again_at = self.failed(now, &error);
        }
        made
    }

    /// Tells of a failure; when to try again.
    fn failed(&self, now: Instant, error: &RuntimeError) -> Instant {
        self.metrics.keeper_failures.inc();
        tracing::warn!(error = %error, "the keeper failed and tries again in a minute; the journal is whole");
        now + AGAIN_AFTER
    }

    /// How to go about something long.
    fn pace<'a>(&self, woken: &'a Receiver<()>) -> Pace<'a> {
        Pace {
            stop: self.stop.clone(),
            woken,
            clock: self.clock,
            since: Cell::new(self.clock.instant()),
            reader: self.keeper.reader().clone(),
            urgent_from: self.keeper.size() + URGENT_TIMES * self.snapshot_records,
        }
    }

    fn snapshot(&mut self, now: Instant, woken: &Receiver<()>) -> Result<bool, RuntimeError> {
        let lag = self.keeper.lag();
        if lag == 0 || (lag < self.snapshot_records && now < self.snapshot_at) {
            return Ok(false);
        }
        self.snapshot_at = now + SNAPSHOT_EVERY;
        let pace = self.pace(woken);
        let made = self.keeper.snapshot(&|| pace.go_on())?;
        made.iter().for_each(|made| note(&self.metrics, made));
        Ok(made.is_some())
    }

    fn archive(&mut self, now: Instant, woken: &Receiver<()>) -> Result<(), RuntimeError> {
        if now < self.archive_at || self.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.archive_at = now + ARCHIVE_EVERY;
        // Before segments may be taken away: their hashes stay. A snapshot that is wanted goes first.
        let pace = self.pace(woken);
        let until = self.clock.instant() + ARCHIVE_TURN;
        let go_on = || pace.go_on() && !pace.is_urgent();
        let has_time = || self.clock.instant() < until;
        self.keeper.tiles(&go_on)?;
        let may_copy = || !self.stop.load(Ordering::Relaxed);
        let at = self.clock.now();
        let moved = self.keeper.archive_while(at, &|| go_on() && has_time(), &may_copy)?;
        if !has_time() || pace.is_urgent() {
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

/// Rests now and then, unless it has become urgent.
struct Pace<'a> {
    stop: Arc<AtomicBool>,
    woken: &'a Receiver<()>,
    clock: Clock,
    /// When the last rest ended.
    since: Cell<Instant>,
    reader: Reader,
    /// How many signed records make it urgent.
    urgent_from: u64,
}

impl Pace<'_> {
    /// Whether to go on, after a rest.
    fn go_on(&self) -> bool {
        let worked = self.clock.instant().duration_since(self.since.get());
        if let Some(rest) = rest(worked, self.is_urgent()) {
            // Whoever wakes it stops it.
            let _ = self.woken.recv_timeout(rest);
        }
        self.since.set(self.clock.instant());
        !self.stop.load(Ordering::Relaxed)
    }

    /// Whether so many records wait for their snapshot that it comes before everything else.
    fn is_urgent(&self) -> bool {
        self.reader.anchor().is_some_and(|anchor| anchor.size() >= self.urgent_from)
    }
}

/// How long to rest after work.
fn rest(worked: Duration, is_urgent: bool) -> Option<Duration> {
    (!is_urgent).then(|| (worked * RESTS).min(REST_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_has_fallen_behind_is_made_without_rests() {
        let worked = Duration::from_millis(4);
        assert_eq!(rest(worked, false), Some(worked * RESTS));
        assert_eq!(rest(Duration::from_secs(4), false), Some(REST_MAX));
        assert_eq!(rest(worked, true), None);
    }
}
