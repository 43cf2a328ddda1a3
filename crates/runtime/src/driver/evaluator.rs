//! Conditions, lists and outputs over much data: evaluated on a thread of their own, so that the loop
//! goes on hearing of leases and answering. Over little data it is quicker on the loop's thread.

use std::sync::mpsc::{Sender, channel};

use ark_os_core::payload::Payload;
use ark_os_core::run::Run;

use crate::RuntimeError;
use crate::handle::Message;
use crate::kernel::Input;
use crate::reply::Reply;
use crate::threads::spawn;

/// Children of a map whose results are much data together.
const CHILDREN_FEW: u32 = 1_000;

/// Work whose answer goes to the loop.
type Job = Box<dyn FnOnce() -> Input<Reply> + Send>;

/// The thread, once there was something for it.
pub(super) struct Evaluator {
    to_loop: Sender<Message>,
    jobs: Option<Sender<Job>>,
}

impl Evaluator {
    pub(super) fn new(to_loop: Sender<Message>) -> Self {
        Evaluator { to_loop, jobs: None }
    }

    /// Does a job in turn; its answer comes as a message.
    pub(super) fn evaluate(&mut self, job: Job) -> Result<(), RuntimeError> {
        let jobs = match self.jobs.take() {
            Some(jobs) => jobs,
            None => self.hire()?,
        };
        jobs.send(job).map_err(|_| RuntimeError::closed())?;
        self.jobs = Some(jobs);
        Ok(())
    }

    fn hire(&self) -> Result<Sender<Job>, RuntimeError> {
        let (tx, jobs) = channel::<Job>();
        let to_loop = self.to_loop.clone();
        spawn("ark-evaluator", move || {
            for job in jobs {
                if to_loop.send(Message::One(job())).is_err() {
                    return;
                }
            }
        })?;
        Ok(tx)
    }
}

/// Whether looking at a run's data may take long.
pub(super) fn is_heavy(run: &Run) -> bool {
    let is_blob = |payload: &Payload| matches!(payload, Payload::Blob { .. });
    is_blob(&run.input)
        || run.tasks.iter().any(|task| {
            task.output.as_ref().is_some_and(is_blob)
                || task.fan.as_ref().is_some_and(|fan| fan.total() > CHILDREN_FEW)
        })
}
