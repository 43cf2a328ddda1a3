//! The views' thread: durable changes go into the tables; the loop is told how far they are, or that
//! they follow no more.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use ark_os_core::Kind;
use ark_os_core::fleet::profile::FleetPlan;
use ark_os_store::views::{Followed as Row, Follower};
use tokio::sync::watch;

use crate::RuntimeError;
use crate::committer::Followed;
use crate::handle::Message;
use crate::kernel::Input;
use crate::kernel::record::Appended;
use crate::metrics::Metrics;
use crate::telemetry;
use crate::threads::spawn;

/// Parts of batches put into the tables in one transaction.
const MERGE_MAX: usize = 32;

/// Starts the thread; it ends when the committer does.
pub(crate) fn start(
    mut follower: Follower,
    changes: Receiver<Followed>,
    to_loop: Sender<Message>,
    viewed: watch::Sender<u64>,
    metrics: Arc<Metrics>,
    fleet: FleetPlan,
) -> Result<std::thread::JoinHandle<()>, RuntimeError> {
    spawn("ark-views", move || {
        while let Ok(first) = changes.recv() {
            let mut batch = first;
            for more in changes.try_iter().take(MERGE_MAX) {
                batch.extend(more);
            }
            let Some(through) = batch.last().map(|last| last.seq) else { continue };
            if let Err(error) = follow(&mut follower, &batch) {
                // Without views nothing that is over could ever be forgotten, nor found: fail-stop.
                // A loop that is gone has stopped.
                let _ = to_loop.send(Message::Failed(failed(&error)));
                return;
            }
            // Told here and not by the loop, which must not wait for whoever reads the log.
            for appended in &batch {
                telemetry::observe(&appended.change, |agent| fleet.name(agent));
            }
            metrics.views_position.set(through);
            // Without the loop or watchers there is nobody to tell.
            let _ = to_loop.send(Message::One(Input::Viewed { through }));
            viewed.send_replace(through);
        }
        if let Err(error) = follower.close() {
            tracing::warn!(error = %error, "views were not closed cleanly and may be rebuilt");
        }
    })
}

/// Why the instance stops when the views do not follow. The journal is whole.
fn failed(error: &RuntimeError) -> RuntimeError {
    let message = format!("keep the views up with the journal: {error}");
    RuntimeError::new(Kind::Unavailable, "views_failed", message)
        .with_hint("free space, or run `ark-os views rebuild`; then start again")
}

/// Puts changes into the tables in one transaction.
pub(crate) fn follow(follower: &mut Follower, batch: &[Appended]) -> Result<(), RuntimeError> {
    let rows: Vec<Row<'_>> = batch
        .iter()
        .map(|it| Row {
            seq: it.seq,
            at: it.change.at,
            run: it.change.run,
            events: &it.change.events,
        })
        .collect();
    follower.follow(&rows).map_err(RuntimeError::from)
}
