//! Records of runs that wait on disk: read on a thread of their own, so that the loop never waits for
//! the disk.
//!
//! An accepted run does not fail because the process was short of file handles for a moment: what cannot be
//! read now is tried again for a while. The loop hears of every try, so that the others do not wait for it, nor
//! does whoever wants nothing that has to be read.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use ark_os_core::error::Failure;
use ark_os_core::ids::RunId;
use ark_os_store::{Reader, StoreError};

use crate::RuntimeError;
use crate::clock::Clock;
use crate::handle::Message;
use crate::kernel::record::{Unread, read_accepted};
use crate::kernel::{Fetched, Input};
use crate::threads::spawn;

/// Runs given to the loop at one time: it hears of leases in between.
const PART: usize = 128;
/// What cannot be read is tried again after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often one record is tried: two minutes, in which a shortage passes or an archive is mounted again, and
/// after which whoever waits for the run should be told.
const TRIES_MAX: u32 = 120;

/// Runs to read, each with the record that accepted it, in the order in which they are wanted.
type Job = Vec<(RunId, u64)>;

/// The thread, once there was something for it.
pub(crate) struct Fetcher {
    reader: Reader,
    to_loop: Sender<Message>,
    clock: Clock,
    jobs: Option<Sender<Job>>,
}

impl Fetcher {
    pub(crate) fn new(reader: Reader, to_loop: Sender<Message>, clock: Clock) -> Self {
        Fetcher { reader, to_loop, clock, jobs: None }
    }

    /// Reads runs in turn; they come as messages.
    pub(super) fn fetch(&mut self, runs: Job) -> Result<(), RuntimeError> {
        let jobs = match self.jobs.take() {
            Some(jobs) => jobs,
            None => self.hire()?,
        };
        jobs.send(runs).map_err(|_| RuntimeError::closed())?;
        self.jobs = Some(jobs);
        Ok(())
    }

    fn hire(&self) -> Result<Sender<Job>, RuntimeError> {
        let (tx, jobs) = channel::<Job>();
        let (reader, to_loop, clock) = (self.reader.clone(), self.to_loop.clone(), self.clock);
        spawn("ark-fetcher", move || {
            let again_at = clock.instant();
            let mut desk = Desk { reader, to_loop, clock, again: Vec::new(), again_at };
            while let Some(job) = desk.next(&jobs) {
                if desk.read(job).is_err() {
                    return;
                }
            }
        })?;
        Ok(tx)
    }
}

/// What the loop is told of a run that is tried again.
fn not_yet(why: &StoreError) -> Failure {
    Failure::retryable("record_unreadable", why.to_string())
}

/// A run that is to be read, and how often that was tried.
#[derive(Clone, Copy)]
struct Wanted {
    run: RunId,
    seq: u64,
    tries: u32,
}

/// What the thread owns.
struct Desk {
    reader: Reader,
    to_loop: Sender<Message>,
    clock: Clock,
    /// What could not be read: about as many as the loop sets aside and calls in at one time.
    again: Vec<Wanted>,
    again_at: Instant,
}

impl Desk {
    /// What to read next; none: nobody wants anything any more.
    fn next(&mut self, jobs: &Receiver<Job>) -> Option<Vec<Wanted>> {
        let left = self.again_at.saturating_duration_since(self.clock.instant());
        let next = match self.again.is_empty() {
            true => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false if left.is_zero() => Err(RecvTimeoutError::Timeout),
            false => jobs.recv_timeout(left),
        };
        match next {
            Ok(job) => {
                Some(job.into_iter().map(|(run, seq)| Wanted { run, seq, tries: 0 }).collect())
            }
            Err(RecvTimeoutError::Timeout) => Some(std::mem::take(&mut self.again)),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Reads in the order of the records, and gives to the loop in the order that was asked for. An error: the
    /// loop is gone.
    fn read(&mut self, wanted: Vec<Wanted>) -> Result<(), RuntimeError> {
        let mut order: Vec<(usize, Wanted)> = wanted.into_iter().enumerate().collect();
        order.sort_unstable_by_key(|(_, it)| it.seq);
        let mut cursor = self.reader.lookup(order.first().map_or(1, |(_, it)| it.seq));
        let mut fetched: Vec<(usize, Fetched)> = Vec::with_capacity(order.len());
        let mut first = None;
        for (at, Wanted { run, seq, tries }) in order {
            let accepted = match read_accepted(&mut cursor, run, seq) {
                Err(Unread::Yet(error)) if tries + 1 < TRIES_MAX => {
                    self.again.push(Wanted { run, seq, tries: tries + 1 });
                    let accepted = Err(not_yet(&error));
                    first.get_or_insert(error);
                    accepted
                }
                read => read.map_err(Unread::given_up),
            };
            fetched.push((at, Fetched { run, seq, accepted }));
        }
        if let Some(error) = first {
            // Whoever failed before does not wait longer because others do now.
            let now = self.clock.instant();
            if self.again_at <= now {
                self.again_at = now + AGAIN_AFTER;
            }
            let runs = self.again.len();
            tracing::warn!(runs, error = %error, "runs on disk cannot be read now and wait on");
        }
        fetched.sort_unstable_by_key(|(at, _)| *at);
        self.give(fetched.into_iter().map(|(_, it)| it).collect())
    }

    fn give(&self, mut fetched: Vec<Fetched>) -> Result<(), RuntimeError> {
        for it in &fetched {
            if let Err(failure) = &it.accepted
                && !it.is_tried_again()
            {
                let (run, error) = (it.run.to_string(), &*failure.message);
                tracing::error!(
                    run_id = run,
                    seq = it.seq,
                    error,
                    "a run on disk cannot be read and fails, unless it was stopped meanwhile"
                );
            }
        }
        while !fetched.is_empty() {
            let part = fetched.drain(..fetched.len().min(PART)).collect();
            let part = Message::One(Input::Fetched(part));
            self.to_loop.send(part).map_err(|_| RuntimeError::closed())?;
        }
        Ok(())
    }
}
