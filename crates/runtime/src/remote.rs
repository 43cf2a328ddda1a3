//! Remote workers: agents in any language, which pull their work.
//!
//! A worker is an agent of the fleet. What the core assigns to it waits on its desk until it claims
//! it; then the attempt is one recorded step, as with every other declared agent: its intent is durable
//! before the worker sees the task, its outcome before the task goes on. Who is heard of when is known
//! to this process alone; only a change of standing is recorded.
//!
//! INVARIANT I4: what a worker presents is looked at only under its own session and for a token in its
//! own hands; the core checks the fence once more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ark_os_core::Kind;
use ark_os_core::hash::Hash;
use ark_os_core::ids::{AgentIx, PtId};
use ark_os_core::layer::Layer;
use ark_os_core::plan::EffectClass;
use ark_os_core::text::Text;
use ark_os_core::time::Time;
use tokio::sync::Notify;

use crate::RuntimeError;
use crate::settings::Settings;
use crate::workers::Shop;

mod claim;
mod desk;
mod finish;
mod joining;
mod reply;
mod session;
mod sweep;

pub use claim::{CLAIM_TASKS_MAX, Claim, Claimed};
pub use desk::{Fate, Presence};
pub use finish::{Extension, Presented, Told, token};
pub use joining::{OfferedSkill, REMOTE_CONCURRENCY_MAX, Registration, Session};
pub(crate) use reply::RemoteReply;

use desk::Desk;

/// Workers known at one time: each is an agent, and most are idle.
pub const REMOTES_MAX: usize = 10_000;

/// How long workers may be silent, and hold a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The lease of a progress token.
    pub(crate) lease: Duration,
    /// A worker is expected to be heard of this often.
    pub(crate) heartbeat: Duration,
}

impl Terms {
    pub(crate) fn of(settings: &Settings) -> Self {
        Terms { lease: settings.lease, heartbeat: settings.heartbeat }
    }

    /// What is given to a worker and not claimed in this time is given to others: well before its
    /// lease ends, which would count against the task.
    fn claim_within(&self) -> Duration {
        self.lease / 2
    }
}

/// A skill that workers do.
#[derive(Debug, PartialEq)]
pub(crate) struct RemoteSkill {
    name: Text,
    class: EffectClass,
    /// JSON Schemas as texts.
    input_schema: String,
    output_schema: String,
}

/// A task for a worker.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) pt: PtId,
    pub(crate) agent: AgentIx,
    pub(crate) attempt: u32,
    pub(crate) skill: Arc<RemoteSkill>,
    /// JSON text, as the task has it.
    pub(crate) input: Arc<[u8]>,
    pub(crate) input_hash: Hash,
    /// The task's own schema of its output.
    pub(crate) output_schema: Option<Text>,
    /// When the attempt must be over.
    pub(crate) deadline: Time,
    /// Until when its token is held unless it is renewed.
    pub(crate) lease_until: Time,
    /// The record that started it.
    pub(crate) cause: u64,
}

/// A worker.
pub(crate) struct Worker {
    name: Text,
    layer: Layer,
    concurrency: u32,
    skills: BTreeMap<Text, Arc<RemoteSkill>>,
    labels: BTreeMap<String, String>,
    desk: Mutex<Desk>,
    /// Woken when something on the desk changes that somebody may wait for.
    changed: Notify,
    /// Whether no deployment has a seat for it any more: it goes when its hands are empty, and registers
    /// again if it likes.
    dismissed: AtomicBool,
    shop: Arc<Shop>,
    terms: Terms,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Worker {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a task on its desk; `false`: it takes none, and gives it back.
    fn assign(&self, work: Work) -> bool {
        let mut desk = self.desk();
        if desk.presence != Presence::Ready {
            self.decline(work.pt);
            return false;
        }
        desk.assign(Arc::new(work), self.shop.clock.instant());
        drop(desk);
        self.changed.notify_waiters();
        true
    }

    pub(crate) fn skill(&self, name: &str) -> Option<&Arc<RemoteSkill>> {
        self.skills.get(name)
    }

    /// An attempt is over, or taken away from it.
    pub(crate) fn close(&self, pt: PtId, fate: Fate) {
        self.desk().close(pt, fate);
        self.changed.notify_waiters();
    }

    fn now(&self) -> Instant {
        self.shop.clock.instant()
    }
}

/// A worker as others see it.
#[derive(Clone, Debug)]
pub struct RemoteView {
    /// Its name, which is its agent's.
    pub name: Text,
    /// Its layer.
    pub layer: Layer,
    /// How it stands.
    pub presence: Presence,
    /// What it offers.
    pub skills: Vec<Text>,
    /// Tasks at one time.
    pub concurrency: u32,
    /// Tasks in its hands.
    pub under_way: usize,
    /// Tasks that wait for its claim.
    pub queued: usize,
    /// Since it was last heard of.
    pub silent: Duration,
    /// Results of its session that counted.
    pub completed: u64,
    /// Tasks of its session that failed, or whose results were refused.
    pub failed: u64,
    /// For people.
    pub labels: BTreeMap<String, String>,
}

/// The workers of an instance.
pub struct Remotes {
    shop: Arc<Shop>,
    terms: Terms,
    workers: RwLock<BTreeMap<Text, Arc<Worker>>>,
    /// Skills that workers do or did: all who offer one mean the same by it.
    skills: Mutex<BTreeMap<Text, Arc<RemoteSkill>>>,
}

impl std::fmt::Debug for Remotes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remotes").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl Remotes {
    pub(crate) fn new(shop: Arc<Shop>, terms: Terms) -> Self {
        Remotes { shop, terms, workers: RwLock::default(), skills: Mutex::default() }
    }

    /// The worker with this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Worker>> {
        self.workers.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// A deployment is over: workers of whom the fleet knows nothing any more go.
    pub(crate) fn dismiss(&self, is_dismissed: impl Fn(&str) -> bool) {
        for worker in self.all() {
            let leaves = worker.desk().presence == Presence::Leaving;
            if !leaves && is_dismissed(&worker.name) {
                worker.dismissed.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Puts a task on a worker's desk; `false`: it takes none, or another session has its place, and
    /// the task is given back. Nobody takes its place meanwhile: what is told of the older one is told
    /// before anything of the newer one.
    pub(crate) fn assign(&self, worker: &Arc<Worker>, work: Work) -> bool {
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        if !workers.get(&worker.name).is_some_and(|known| Arc::ptr_eq(known, worker)) {
            worker.give_back(vec![work.pt], "another process is the worker");
            return false;
        }
        worker.assign(work)
    }

    fn all(&self) -> Vec<Arc<Worker>> {
        self.workers.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// How often silence is looked for; none: there is nobody to be silent.
    pub(crate) fn sweep_every(&self) -> Option<Duration> {
        let is_empty = self.workers.read().unwrap_or_else(PoisonError::into_inner).is_empty();
        (!is_empty).then(|| (self.terms.lease / 8).min(self.terms.heartbeat / 4).max(SWEEP_MIN))
    }

    /// The worker whose session this is; hearing of it counts.
    fn of_session(&self, name: &str, session: &str) -> Result<Arc<Worker>, RuntimeError> {
        let worker = self.find(name).ok_or_else(|| unknown(name))?;
        let is_its = session::is_same(session, &worker.desk().session);
        if !is_its {
            return Err(fenced(name));
        }
        self.hear(&worker);
        Ok(worker)
    }

    /// Workers after this name, in the order of their names.
    pub fn list(&self, after: Option<&str>, limit: usize) -> Vec<RemoteView> {
        let now = self.shop.clock.instant();
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let range = workers.range::<str, _>((from, std::ops::Bound::Unbounded));
        range.take(limit).map(|(_, worker)| view(worker, now)).collect()
    }

    /// One worker.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn show(&self, name: &str) -> Result<RemoteView, RuntimeError> {
        let worker = self.find(name).ok_or_else(|| unknown(name))?;
        Ok(view(&worker, self.shop.clock.instant()))
    }
}

/// The shortest pause between two looks for silence.
const SWEEP_MIN: Duration = Duration::from_millis(20);

fn view(worker: &Worker, now: Instant) -> RemoteView {
    let desk = worker.desk();
    RemoteView {
        name: worker.name.clone(),
        layer: worker.layer,
        presence: desk.presence,
        skills: worker.skills.keys().cloned().collect(),
        concurrency: worker.concurrency,
        under_way: desk.under_way(),
        queued: desk.queued(),
        silent: now.saturating_duration_since(desk.seen),
        completed: desk.completed,
        failed: desk.failed,
        labels: worker.labels.clone(),
    }
}

fn unknown(name: &str) -> RuntimeError {
    let message = format!("find the worker `{}`", ark_os_core::text::beginning(name, 100));
    RuntimeError::new(Kind::NotFound, "worker_not_found", message)
        .with_hint("register it again: `POST /api/v1/workers`")
}

fn fenced(name: &str) -> RuntimeError {
    let message = format!("act as the worker `{name}`: the session is not its newest");
    RuntimeError::new(Kind::Conflict, "worker_fenced", message)
        .with_hint("another process has registered under this name; use a name of its own")
}
