//! State: what the journal says, folded up. Changed by `apply` alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::authority::RevocationId;
use crate::backlog::Backlog;
use crate::budget::{Account, Amounts};
use crate::child_run::Errand;
use crate::deployment::Deployments;
use crate::error::{Kind, Rejected};
use crate::event::{Admission, InstanceStarted, Intake, SubmissionKey};
use crate::fleet::Fleet;
use crate::hash::Hash;
use crate::ids::{AgentIx, Fence, RunId};
use crate::keyed_limit::KeyedLimits;
use crate::limits::LEASE_MS;
use crate::plan::Workflow;
use crate::priority::Priority;
use crate::queue::ReadyQueue;
use crate::rules::Mode;
use crate::run::Run;
use crate::schedule::Schedules;
use crate::supervision::Supervision;
use crate::text::Text;
use crate::time::Time;
use crate::timers::Timers;

mod apply;
mod apply_backlog;
mod apply_child;
mod apply_deployment;
mod apply_run;
mod apply_schedule;
mod apply_step;
mod apply_supervision;
mod apply_task;
mod apply_wait;
mod digest;
mod family;
mod room;
pub mod snapshot;

/// What every attempt reserves besides what its task declares.
pub(crate) const ATTEMPT_COST: Amounts = Amounts { calls: 1, ..Amounts::ZERO };

/// Everything the core knows. Equal journals give equal states.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) now: Time,
    /// Records applied: the sequence number of the newest.
    pub(crate) changes: u64,
    /// Starts of the instance.
    pub(crate) epoch: u64,
    pub(crate) fences: u64,
    pub(crate) instance: Option<Box<InstanceStarted>>,
    pub(crate) intake: Intake,
    pub(crate) fleet: Fleet,
    pub(crate) deployments: Deployments,
    pub(crate) queue: ReadyQueue,
    pub(crate) timers: Timers,
    pub(crate) limits: KeyedLimits,
    /// When agents that failed are back.
    pub(crate) backs: BTreeMap<AgentIx, Time>,
    /// Looked up by id, never iterated without sorting.
    pub(crate) runs: FxHashMap<RunId, Run>,
    /// Runs that are not over, those on disk included.
    pub(crate) live: usize,
    /// Of those in memory, the ones to which something happens, by priority.
    pub(crate) active: [usize; Priority::ALL.len()],
    /// Runs that wait on disk.
    pub(crate) backlog: Backlog,
    /// Runs that ended without success, oldest first; kept for `retry`.
    pub(crate) ended: VecDeque<RunId>,
    /// Runs that wait for a layer.
    pub(crate) blocked: BTreeSet<RunId>,
    /// Runs in flight when the instance started, not yet recovered.
    pub(crate) interrupted: BTreeSet<RunId>,
    pub(crate) admissions: BTreeMap<u64, Arc<Admission>>,
    /// What each admission is for → its number.
    pub(crate) admitted: BTreeMap<Hash, u64>,
    pub(crate) admission_count: u64,
    pub(crate) accounts: BTreeMap<Text, Account>,
    pub(crate) keys: Keys,
    pub(crate) revoked: BTreeSet<RevocationId>,
    pub(crate) schedules: Schedules,
    /// The children that tasks wait for, each with its parent and node.
    pub(crate) children: BTreeMap<RunId, (RunId, u32)>,
    /// Those of them that wait on disk.
    pub(crate) children_on_disk: BTreeSet<RunId>,
    /// What runs still have to tell each other.
    pub(crate) errands: BTreeSet<Errand>,
    /// What those on disk are told when they are read, and whom a paused run has to begin.
    pub(crate) errands_later: BTreeSet<Errand>,
    /// What was escalated, and the measures in force.
    pub(crate) supervision: Supervision,
}

/// Idempotency keys and what they were used for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Keys {
    pub(crate) used: BTreeMap<(Text, Text), (RunId, Hash)>,
    pub(crate) by_age: VecDeque<(Time, (Text, Text))>,
}

impl Keys {
    /// A key was used for this; time never goes back, so they stand in the order of their age.
    pub(crate) fn note(&mut self, at: Time, name: (Text, Text), used: (RunId, Hash)) {
        self.used.insert(name.clone(), used);
        self.by_age.push_back((at, name));
    }
}

impl Default for State {
    fn default() -> Self {
        State {
            now: Time::default(),
            changes: 0,
            epoch: 0,
            fences: 0,
            instance: None,
            intake: Intake::Open,
            fleet: Fleet::new(1, &[], 1, None),
            deployments: Deployments::default(),
            queue: ReadyQueue::default(),
            timers: Timers::default(),
            limits: KeyedLimits::default(),
            backs: BTreeMap::new(),
            runs: FxHashMap::default(),
            live: 0,
            active: [0; Priority::ALL.len()],
            backlog: Backlog::default(),
            ended: VecDeque::new(),
            blocked: BTreeSet::new(),
            interrupted: BTreeSet::new(),
            admissions: BTreeMap::new(),
            admitted: BTreeMap::new(),
            admission_count: 0,
            accounts: BTreeMap::new(),
            keys: Keys::default(),
            revoked: BTreeSet::new(),
            schedules: Schedules::default(),
            children: BTreeMap::new(),
            children_on_disk: BTreeSet::new(),
            errands: BTreeSet::new(),
            errands_later: BTreeSet::new(),
            supervision: Supervision::default(),
        }
    }
}

impl State {
    /// The newest moment that a change carried.
    pub fn now(&self) -> Time {
        self.now
    }

    /// How many records were applied.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How many times an instance has started on this journal.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The instance's make-up, once it has started.
    pub fn instance(&self) -> Option<&InstanceStarted> {
        self.instance.as_deref()
    }

    /// Escalations, and emergency measures.
    pub fn supervision(&self) -> &Supervision {
        &self.supervision
    }

    /// How risky steps are treated.
    pub fn mode(&self) -> Mode {
        let declared = || self.instance.as_ref().map_or(Mode::default(), |instance| instance.mode);
        self.supervision.mode().unwrap_or_else(declared)
    }

    /// Whether new runs are taken.
    pub fn intake(&self) -> Intake {
        self.intake
    }

    /// The fleet.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// What is deployed, what is about to be, and what was.
    pub fn deployments(&self) -> &Deployments {
        &self.deployments
    }

    /// The workflows of runs that are not over, those on disk included; some more than once.
    pub fn workflows_in_flight(&self) -> impl Iterator<Item = &Arc<Workflow>> + '_ {
        let mut seen = BTreeSet::new();
        let in_memory = self.runs.values().filter(|run| !run.is_over()).map(|run| &run.workflow);
        let on_disk = self.backlog.shelved().map(|(_, under)| under.workflow());
        in_memory.chain(on_disk).filter(move |workflow| seen.insert(Arc::as_ptr(workflow)))
    }

    /// Who waits for an agent.
    pub fn queue(&self) -> &ReadyQueue {
        &self.queue
    }

    /// What is due when.
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// How the keys of limits stand.
    pub fn limits(&self) -> &KeyedLimits {
        &self.limits
    }

    /// A run in memory: one that lives, or that ended without success a while ago.
    pub fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id)
    }

    /// Runs that wait on disk.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// A run that waits on disk, as far as memory knows it: not its input, its budget and its seed.
    pub fn sketch(&self, id: RunId) -> Option<Run> {
        let waiting = self.backlog.find(id)?;
        let under = self.backlog.under(waiting)?;
        Some(Run::loaded(waiting, under, None, None))
    }

    /// Schedules, and what is due when.
    pub fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    /// Ids of all runs in memory, in order.
    pub fn run_ids(&self) -> Vec<RunId> {
        let mut ids: Vec<RunId> = self.runs.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Runs that are not over, those on disk included.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Runs that were in flight at the start and are not back at work yet.
    pub fn interrupted(&self) -> Option<RunId> {
        self.interrupted.first().copied()
    }

    /// Whether a run was in flight at the start and is not back at work yet.
    pub fn is_interrupted(&self, run: RunId) -> bool {
        self.interrupted.contains(&run)
    }

    /// Whether a run waits for a layer.
    pub fn has_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// The run that an idempotency key was used for, with the digest of the request.
    pub fn submission(&self, namespace: &Text, key: &Text) -> Option<(RunId, Hash)> {
        self.keys.used.get(&(namespace.clone(), key.clone())).copied()
    }

    /// The run that the same request was answered with before, under the same idempotency key.
    ///
    /// # Errors
    /// The key was used for another request.
    pub fn repeated(
        &self,
        namespace: &Text,
        key: &SubmissionKey,
    ) -> Result<Option<RunId>, Rejected> {
        match self.submission(namespace, &key.key) {
            None => Ok(None),
            Some((run, request)) if request == key.request => Ok(Some(run)),
            Some(_) => Err(Rejected::new(
                Kind::Conflict,
                "key_reused",
                "the idempotency key was used for another request",
            )
            .hint("use a new key for a new request")),
        }
    }

    /// Namespaces and their accounts.
    pub fn accounts(&self) -> impl Iterator<Item = (&Text, &Account)> + '_ {
        self.accounts.iter()
    }

    /// Admissions of this instance start, oldest first.
    pub fn admissions(&self) -> impl Iterator<Item = &Arc<Admission>> + '_ {
        self.admissions.values()
    }

    pub(crate) fn next_fence(&self, more: usize) -> Fence {
        Fence(self.fences + 1 + more as u64)
    }

    pub(crate) fn namespace_budget(&self) -> Amounts {
        self.instance.as_ref().map_or(Amounts::UNLIMITED, |instance| instance.namespace_budget)
    }

    /// Time for one attempt where its task does not say.
    pub(crate) fn task_timeout_ms(&self) -> u64 {
        self.instance.as_ref().map_or(u64::MAX, |instance| instance.task_timeout_ms)
    }

    /// The lease of a progress token.
    pub(crate) fn lease_ms(&self) -> u64 {
        self.instance.as_ref().and_then(|instance| instance.lease_ms).unwrap_or(LEASE_MS)
    }

    pub(crate) fn concurrent_tasks_max(&self) -> u32 {
        self.instance.as_ref().map_or(u32::MAX, |instance| instance.concurrent_tasks_max)
    }
}
