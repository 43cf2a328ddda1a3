//! Records of runs that wait on disk: read on a thread of their own, so that the loop never waits for
//! the disk.

use std::sync::mpsc::{Sender, channel};

use ark_os_core::ids::RunId;
use ark_os_store::Reader;

use crate::RuntimeError;
use crate::handle::Message;
use crate::kernel::record::read_accepted;
use crate::kernel::{Fetched, Input};
use crate::threads::spawn;

/// Runs given to the loop at one time: it hears of leases in between.
const PART: usize = 128;

/// Runs to read, each with the record that accepted it, in the order in which they are wanted.
type Job = Vec<(RunId, u64)>;

/// The thread, once there was something for it.
pub(crate) struct Fetcher {
    reader: Reader,
    to_loop: Sender<Message>,
    jobs: Option<Sender<Job>>,
}

impl Fetcher {
    pub(crate) fn new(reader: Reader, to_loop: Sender<Message>) -> Self {
        Fetcher { reader, to_loop, jobs: None }
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
        let (reader, to_loop) = (self.reader.clone(), self.to_loop.clone());
        spawn("ark-fetcher", move || {
            for job in jobs {
                let mut fetched = read_all(&reader, job);
                while !fetched.is_empty() {
                    let part = fetched.drain(..fetched.len().min(PART)).collect();
                    if to_loop.send(Message::One(Input::Fetched(part))).is_err() {
                        return;
                    }
                }
            }
        })?;
        Ok(tx)
    }
}

/// Reads in the order of the records, and gives back in the order that was asked for.
fn read_all(reader: &Reader, job: Job) -> Vec<Fetched> {
    let mut order: Vec<(usize, RunId, u64)> =
        job.into_iter().enumerate().map(|(at, (run, seq))| (at, run, seq)).collect();
    order.sort_unstable_by_key(|(_, _, seq)| *seq);
    let mut cursor = reader.lookup(order.first().map_or(1, |(_, _, seq)| *seq));
    let read =
        |(at, run, seq)| (at, Fetched { run, seq, accepted: read_accepted(&mut cursor, run, seq) });
    let mut fetched: Vec<(usize, Fetched)> = order.into_iter().map(read).collect();
    for (_, it) in &fetched {
        if let Err(failure) = &it.accepted {
            let (run, error) = (it.run.to_string(), &*failure.message);
            tracing::error!(
                run_id = run,
                seq = it.seq,
                error,
                "a run on disk cannot be read and fails"
            );
        }
    }
    fetched.sort_unstable_by_key(|(at, _)| *at);
    fetched.into_iter().map(|(_, it)| it).collect()
}
