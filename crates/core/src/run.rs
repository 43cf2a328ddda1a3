//! Runs and tasks as the state keeps them while they live.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::budget::{Account, Amounts};
use crate::child_run::{ChildRun, ParentRef};
use crate::error::Failure;
use crate::event::{Admission, ParkReason, PendingAdmission, RunEnd, RunOrigin, SkipCause};
use crate::hash::Hash;
use crate::ids::{AgentIx, Fence, RunId, SkillIx, TaskRef};
use crate::layer::Layer;
use crate::payload::Payload;
use crate::plan::{EffectClass, OnFailure, Shape, TaskSpec, Workflow};
use crate::priority::{Priority, Turn};
use crate::state::snapshot::tables;
use crate::step::Step;
use crate::supervision::Tried;
use crate::text::Text;
use crate::time::Time;

mod encoding;
mod flow;
mod limit;
mod reuse;
mod summary;

pub(crate) use encoding::{Around, Holdings};
pub use flow::Signal;
pub use summary::RunSummary;

/// One execution of a plan.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map, context_bound = "AsMut<tables::Tables>")]
pub struct Run {
    /// Its id.
    #[n(0)]
    pub id: RunId,
    /// The tenant.
    #[n(1)]
    #[cbor(decode_with = "tables::namespace")]
    pub namespace: Text,
    /// Its plan.
    #[n(2)]
    #[cbor(with = "tables::workflow")]
    pub workflow: Arc<Workflow>,
    /// What let it in; none while it waits for a layer.
    #[n(3)]
    #[cbor(with = "tables::admission", has_nil)]
    pub admission: Option<Arc<Admission>>,
    /// What it needs to be let in later.
    #[n(4)]
    #[cbor(with = "tables::pending", has_nil)]
    pub pending: Option<Box<PendingAdmission>>,
    /// The layer whose step it waits for.
    #[n(5)]
    pub waits_for: Option<Layer>,
    /// Its input.
    #[n(6)]
    pub input: Payload,
    /// How urgent it is.
    #[n(7)]
    pub priority: Priority,
    /// When it must be over.
    #[n(8)]
    pub deadline: Option<Time>,
    /// Its account; draws from the namespace's.
    #[n(9)]
    pub account: Account,
    /// Seed of its jitter.
    #[n(10)]
    pub seed: u64,
    /// Where it stands.
    #[n(11)]
    pub phase: Phase,
    /// Whether nothing new starts.
    #[n(12)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub paused: bool,
    /// Whether nothing moves until somebody acts.
    #[n(13)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub parked: bool,
    /// Raised by every retry.
    #[n(14)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub generation: u32,
    /// Its nodes, in the plan's order.
    #[n(15)]
    #[cbor(with = "encoding::tasks")]
    pub tasks: Vec<Task>,
    /// Nodes that are not over.
    #[cbor(skip)]
    pub open: u32,
    /// Tasks by state; a map counts its children instead of itself once it is expanded.
    #[cbor(skip)]
    pub counts: Counts,
    /// Digest of the newest proof of progress, which names the one before.
    #[n(16)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub proof: Hash,
    /// When it was accepted.
    #[n(17)]
    pub accepted: Time,
    /// When it was over.
    #[n(18)]
    pub ended: Option<Time>,
    /// Its output.
    #[n(19)]
    pub output: Option<Payload>,
    /// Why it failed or was cancelled.
    #[n(20)]
    pub failure: Option<Failure>,
    /// Signals that no task has waited for yet, in the order in which they came.
    #[n(90)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub inbox: Vec<Signal>,
    /// Signals that came so far.
    #[n(91)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub signals: u64,
    /// The task whose child it is.
    #[n(92)]
    pub parent: Option<Box<ParentRef>>,
    /// How it came to be, where nobody submitted it.
    #[n(94)]
    pub origin: Option<Box<RunOrigin>>,
    /// Skills of the tasks that were added to its plan.
    #[n(93)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub added_skills: Vec<SkillIx>,
    /// The schedule that began it: one that is retried is a run of it again.
    #[n(95)]
    pub schedule: Option<u64>,
}

/// Where a run stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(flat)]
pub enum Phase {
    /// Durable, not yet let through by every layer.
    #[n(0)]
    Accepted,
    /// Its tasks are worked on.
    #[n(1)]
    Running,
    /// Every task is over; the output is being put together.
    #[n(2)]
    Gathering,
    /// Over.
    #[n(3)]
    Ended(#[n(0)] RunEnd),
}

/// The states of a run, as people see them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Durable, not begun.
    Accepted,
    /// Worked on.
    Running,
    /// Waits for a timer or a signal.
    Waiting,
    /// Paused by somebody.
    Paused,
    /// Nothing moves until somebody acts.
    Parked,
    /// Done.
    Succeeded,
    /// Not done.
    Failed,
    /// Stopped.
    Cancelled,
}

impl RunState {
    /// All of them, by number. The views keep the numbers: a new one comes last.
    pub const ALL: [RunState; 8] = [
        RunState::Accepted,
        RunState::Running,
        RunState::Waiting,
        RunState::Paused,
        RunState::Parked,
        RunState::Succeeded,
        RunState::Failed,
        RunState::Cancelled,
    ];

    /// Whether nothing more happens to a run in this state by itself or by unparking it.
    pub fn is_over(self) -> bool {
        matches!(self, RunState::Succeeded | RunState::Failed | RunState::Cancelled)
    }
}

/// The states of a task.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for others.
    #[n(0)]
    Pending,
    /// Its condition or list is being evaluated.
    #[n(1)]
    Preparing,
    /// Waits for an agent.
    #[n(2)]
    Ready,
    /// Worked on.
    #[n(3)]
    Running,
    /// Waits for a timer or a signal.
    #[n(4)]
    Waiting,
    /// Nothing more happens until somebody acts.
    #[n(5)]
    Parked,
    /// Done.
    #[n(6)]
    Succeeded,
    /// Not done.
    #[n(7)]
    Failed,
    /// Stopped.
    #[n(8)]
    Cancelled,
    /// Did not have to run.
    #[n(9)]
    Skipped,
}

impl TaskState {
    /// All of them, by number.
    pub const ALL: [TaskState; 10] = [
        TaskState::Pending,
        TaskState::Preparing,
        TaskState::Ready,
        TaskState::Running,
        TaskState::Waiting,
        TaskState::Parked,
        TaskState::Succeeded,
        TaskState::Failed,
        TaskState::Cancelled,
        TaskState::Skipped,
    ];
    /// Number of states.
    pub const COUNT: usize = TaskState::ALL.len();

    /// Whether something still happens to the task by itself.
    pub fn is_moving(self) -> bool {
        use TaskState::{Preparing, Ready, Running, Waiting};
        matches!(self, Preparing | Ready | Running | Waiting)
    }

    /// Whether nothing more happens to the task in this generation.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled | TaskState::Skipped
        )
    }
}

/// How many tasks are in each state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts([u32; TaskState::COUNT]);

impl Counts {
    /// How many tasks are in this state.
    pub fn of(&self, state: TaskState) -> u32 {
        self.0.get(state as usize).copied().unwrap_or(0)
    }

    /// All tasks.
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    /// Tasks to which something still happens by itself.
    pub fn moving(&self) -> u32 {
        use TaskState::{Preparing, Ready, Running, Waiting};
        [Preparing, Ready, Running, Waiting].into_iter().map(|state| self.of(state)).sum()
    }

    pub(crate) fn add(&mut self, state: TaskState, count: u32) {
        if let Some(slot) = self.0.get_mut(state as usize) {
            *slot = slot.saturating_add(count);
        }
    }

    pub(crate) fn take(&mut self, state: TaskState, count: u32) {
        if let Some(slot) = self.0.get_mut(state as usize) {
            *slot = slot.saturating_sub(count);
        }
    }
}

/// One node of a run, or one child of a map.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Task {
    /// Where it stands.
    #[n(0)]
    pub state: TaskState,
    /// Counted attempts of this generation.
    #[n(1)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub attempt: u32,
    /// Attempts lost to an agent's death.
    #[n(2)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub lost: u32,
    /// Raised by retry-from-task.
    #[n(3)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub generation: u32,
    /// Nodes it still waits for.
    #[n(4)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub waits_on: u32,
    /// Its place in the ready queue.
    #[n(5)]
    pub turn: Option<Turn>,
    /// The attempt under way.
    #[n(6)]
    pub active: Option<Box<Active>>,
    /// In state `waiting`: when it stands in line again, or its wait is over.
    #[n(7)]
    #[cbor(with = "crate::time::never", has_nil)]
    pub retry_at: Time,
    /// When it first became ready.
    #[n(8)]
    #[cbor(with = "crate::time::never", has_nil)]
    pub ready_at: Time,
    /// Who worked on it last.
    #[n(9)]
    pub last_agent: Option<AgentIx>,
    /// Its output.
    #[n(10)]
    pub output: Option<Payload>,
    /// Why it failed.
    #[n(11)]
    pub failure: Option<Box<Failure>>,
    /// Failures of earlier attempts.
    #[n(12)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub causes: Vec<Failure>,
    /// Recorded effects of this generation.
    #[n(13)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub steps: Vec<Step>,
    /// Partial proofs in a row without anything new.
    #[n(14)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub partials: u32,
    /// The newest declared checkpoint.
    #[n(15)]
    pub checkpoint: Option<Hash>,
    /// Why it is parked.
    #[n(16)]
    pub parked: Option<(ParkReason, Text)>,
    /// Why it was skipped.
    #[n(17)]
    pub skipped: Option<SkipCause>,
    /// A map's children.
    #[cbor(skip)]
    pub fan: Option<Box<Fan>>,
    /// The run that it asked for, in this generation.
    #[n(90)]
    pub child: Option<Box<ChildRun>>,
    /// The key that its limit counts it under, in this generation.
    #[n(80)]
    pub key: Option<Text>,
    /// What was done about the failures of its attempts, since somebody unparked it if anybody did; none:
    /// nothing.
    #[n(110)]
    pub tried: Option<Box<Tried>>,
    /// Whether it was parked while too much was escalated, and nobody was told yet.
    #[n(111)]
    #[cbor(skip_if = "crate::shared::is_default", default)]
    pub(crate) untold: bool,
}

/// An attempt under way: the state's side of a progress token.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Active {
    /// Who works.
    #[n(0)]
    pub agent: AgentIx,
    /// Under which fence.
    #[n(1)]
    pub fence: Fence,
    /// Since when.
    #[n(2)]
    pub started: Time,
    /// Until when without renewal.
    #[n(3)]
    pub lease: Time,
    /// Until when at the latest.
    #[n(4)]
    pub timeout: Time,
    /// When its timer fires.
    #[n(5)]
    pub timer: Time,
    /// Reserved for it in the accounts; its steps have reservations of their own.
    #[n(6)]
    pub reserved: Amounts,
    /// What it may do to the world.
    #[n(7)]
    pub class: EffectClass,
    /// The start of the instance in which the token was drawn.
    #[n(8)]
    pub epoch: u64,
}

/// The children of a map.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Fan {
    /// The list.
    #[n(0)]
    pub list: Payload,
    /// The first child that has not started yet.
    #[n(1)]
    #[cbor(skip_if = "crate::shared::is_default")]
    pub next: u32,
    /// Children at work.
    #[cbor(skip)]
    pub running: u32,
    /// Children done.
    #[cbor(skip)]
    pub succeeded: u32,
    /// Children that failed for good.
    #[cbor(skip)]
    pub failed: u32,
    /// All children.
    #[n(2)]
    pub children: Vec<Child>,
}

/// A map's child: compact until it starts and after it is done.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(flat)]
pub enum Child {
    /// Not started.
    #[n(0)]
    Fresh,
    /// Started and not done, or failed.
    #[n(1)]
    Live(#[n(0)] Box<Task>),
    /// Done, with this output.
    #[n(2)]
    Done(#[n(0)] Payload),
}

impl Fan {
    /// Number of children.
    pub fn total(&self) -> u32 {
        self.children.len() as u32
    }

    /// Whether every child is over.
    pub fn is_over(&self) -> bool {
        self.succeeded + self.failed == self.total()
    }

    /// Whether another fresh child may start under this limit (0: none but the pools').
    pub fn may_start(&self, parallel_max: u32, more: u32) -> bool {
        self.next + more < self.total() && (parallel_max == 0 || self.running + more < parallel_max)
    }
}

impl Task {
    /// A task that waits for `waits_on` others.
    pub fn new(waits_on: u32, generation: u32) -> Self {
        Task {
            state: TaskState::Pending,
            attempt: 0,
            lost: 0,
            generation,
            waits_on,
            turn: None,
            active: None,
            retry_at: Time::NEVER,
            ready_at: Time::NEVER,
            last_agent: None,
            output: None,
            failure: None,
            causes: Vec::new(),
            steps: Vec::new(),
            partials: 0,
            checkpoint: None,
            parked: None,
            skipped: None,
            fan: None,
            child: None,
            key: None,
            tried: None,
            untold: false,
        }
    }

    /// The child that it waits for.
    pub fn awaited_child(&self) -> Option<&ChildRun> {
        let waits = self.state == TaskState::Waiting;
        self.child.as_deref().filter(|child| waits && child.ended.is_none())
    }

    /// Whether a step of this class is open.
    pub fn has_open(&self, class: EffectClass) -> bool {
        let open = crate::step::StepStanding::Open;
        self.steps.iter().any(|step| step.class == class && step.standing == open)
    }

    /// Whether it has had an effect that may not be repeated. None: nobody knows.
    pub fn has_happened(&self) -> Option<bool> {
        let bound = || self.steps.iter().filter(|step| !step.class.is_repeatable());
        if bound().any(|step| step.happened() == Some(true)) {
            return Some(true);
        }
        bound().all(|step| step.happened().is_some()).then_some(false)
    }

    /// Whether a step of it is in doubt.
    pub fn is_in_doubt(&self) -> bool {
        self.steps.iter().any(|step| step.standing == crate::step::StepStanding::InDoubt)
    }
}

impl Run {
    /// Whether it is not all there: it waits on disk.
    fn is_sketch(&self) -> bool {
        self.phase == Phase::Accepted && self.pending.is_none()
    }

    /// The state as people see it.
    pub fn state(&self) -> RunState {
        match self.phase {
            Phase::Ended(RunEnd::Succeeded) => RunState::Succeeded,
            Phase::Ended(RunEnd::Failed) => RunState::Failed,
            Phase::Ended(RunEnd::Cancelled) => RunState::Cancelled,
            _ if self.paused => RunState::Paused,
            _ if self.parked => RunState::Parked,
            Phase::Accepted => RunState::Accepted,
            Phase::Gathering => RunState::Running,
            Phase::Running => {
                let waiting = self.counts.of(TaskState::Waiting);
                if waiting > 0 && waiting == self.counts.moving() {
                    RunState::Waiting
                } else {
                    RunState::Running
                }
            }
        }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    /// How it ended, if it is over.
    pub fn end(&self) -> Option<RunEnd> {
        match self.phase {
            Phase::Ended(end) => Some(end),
            Phase::Accepted | Phase::Running | Phase::Gathering => None,
        }
    }

    /// Whether something happens to it, or could if others were out of its way: it is not over, and
    /// waits neither for a timer nor for somebody's word.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.state(), RunState::Accepted | RunState::Running)
    }

    /// What the plan says about a node.
    pub fn spec(&self, node: u32) -> Option<&TaskSpec> {
        self.workflow.tasks.get(node as usize)
    }

    /// The skill of a node; none: it was not let in, or nobody works on it.
    pub fn skill(&self, node: u32) -> Option<SkillIx> {
        let own = &self.admission.as_ref()?.skills;
        let added = (node as usize).checked_sub(own.len());
        let skill = own.get(node as usize).or_else(|| self.added_skills.get(added?)).copied();
        skill.filter(|skill| *skill != SkillIx::NONE)
    }

    /// A node.
    pub fn node(&self, node: u32) -> Option<&Task> {
        self.tasks.get(node as usize)
    }

    /// A node or a live child.
    pub fn task(&self, task: TaskRef) -> Option<&Task> {
        let node = self.node(task.node)?;
        let Some(child) = task.child else { return Some(node) };
        match node.fan.as_ref()?.children.get(child as usize)? {
            Child::Live(task) => Some(task),
            Child::Fresh | Child::Done(_) => None,
        }
    }

    /// The same, to be changed.
    pub(crate) fn task_mut(&mut self, task: TaskRef) -> Option<&mut Task> {
        let node = self.tasks.get_mut(task.node as usize)?;
        let Some(child) = task.child else { return Some(node) };
        match node.fan.as_mut()?.children.get_mut(child as usize)? {
            Child::Live(task) => Some(task),
            Child::Fresh | Child::Done(_) => None,
        }
    }

    /// Tasks with an attempt under way, children included.
    pub fn active_tasks(&self) -> Vec<TaskRef> {
        self.live_tasks(|task| task.active.is_some())
    }

    /// Nodes and live children that `keep` holds of, in order.
    pub fn live_tasks(&self, keep: impl Fn(&Task) -> bool) -> Vec<TaskRef> {
        let mut found = Vec::new();
        for (node, task) in (0u32..).zip(&self.tasks) {
            if keep(task) {
                found.push(TaskRef::node(node));
            }
            let Some(fan) = &task.fan else { continue };
            for (ix, child) in (0u32..).zip(&fan.children) {
                if matches!(child, Child::Live(task) if keep(task)) {
                    found.push(TaskRef::child(node, ix));
                }
            }
        }
        found
    }

    /// The only node that nothing depends on, if there is just one.
    pub fn sole_sink(&self) -> Option<u32> {
        let mut sinks = (0u32..)
            .zip(&self.workflow.tasks)
            .filter(|(_, task)| task.feeds.is_empty() && !task.is_fallback);
        let (node, _) = sinks.next()?;
        if sinks.next().is_some() { None } else { Some(node) }
    }

    /// Whether the run's output is simply that of its only sink. One whose plan grew says it apart:
    /// whoever knows the version alone does not know its sink.
    pub fn ends_with_sink(&self) -> bool {
        self.workflow.output.is_none()
            && self.added_skills.is_empty()
            && self.sole_sink().is_some_and(|node| {
                let plain =
                    self.spec(node).is_some_and(|spec| !matches!(spec.shape, Shape::Map(_)));
                plain && self.node(node).is_some_and(|task| task.failure.is_none())
            })
    }

    /// The node that this one stands in for when it fails.
    pub fn stands_in_for(&self, node: u32) -> Option<u32> {
        if !self.spec(node)?.is_fallback {
            return None;
        }
        (0u32..)
            .zip(&self.workflow.tasks)
            .find(|(_, spec)| spec.on_failure == OnFailure::Fallback(node))
            .map(|(primary, _)| primary)
    }

    /// The node for which this one settles: itself, or the one at the head of the line of
    /// fallbacks that it belongs to. What others depend on is that one.
    pub fn settles_for(&self, node: u32) -> u32 {
        // A line of fallbacks is no longer than the plan, even one that no manifest lets through.
        let up = std::iter::successors(Some(node), |it| self.stands_in_for(*it));
        up.take(self.tasks.len().max(1)).last().unwrap_or(node)
    }

    /// The line of fallbacks behind a node, next first.
    pub fn fallbacks_of(&self, node: u32) -> Vec<u32> {
        let down = std::iter::successors(self.fallback_of(node), |it| self.fallback_of(*it));
        down.take(self.tasks.len()).collect()
    }

    /// How many more children of a map may be at work at one time.
    pub fn map_room(&self, node: u32) -> u32 {
        let running = self.node(node).and_then(|it| it.fan.as_ref()).map_or(0, |fan| fan.running);
        match self.spec(node).map(|spec| &spec.shape) {
            Some(Shape::Map(map)) if map.parallel_max > 0 => {
                map.parallel_max.saturating_sub(running)
            }
            _ => u32::MAX,
        }
    }

    /// What is reserved for steps that are open or in doubt.
    pub(crate) fn reserved_by_steps(&self) -> Amounts {
        let mut sum = Amounts::ZERO;
        let mut add = |task: &Task| {
            task.steps.iter().for_each(|step| sum = sum.plus(step.reserved));
        };
        for task in &self.tasks {
            add(task);
            for child in task.fan.iter().flat_map(|fan| &fan.children) {
                if let Child::Live(task) = child {
                    add(task);
                }
            }
        }
        sum
    }

    /// The node that stands in for this one when it fails.
    pub fn fallback_of(&self, node: u32) -> Option<u32> {
        match self.spec(node)?.on_failure {
            OnFailure::Fallback(stand_in) => Some(stand_in),
            OnFailure::Fail | OnFailure::Continue => None,
        }
    }

    /// Tasks at a node to which something still happens by itself.
    pub fn moving_at(&self, node: u32) -> u32 {
        let Some(task) = self.node(node) else { return 0 };
        let Some(fan) = &task.fan else { return u32::from(task.state.is_moving()) };
        let moving = |child: &&Child| match child {
            Child::Fresh => !task.state.is_over(),
            Child::Live(task) => task.state.is_moving(),
            Child::Done(_) => false,
        };
        fan.children.iter().filter(moving).count() as u32
    }

    /// These nodes begin again in a new generation; they wait for what else begins again.
    pub(crate) fn begin_again(&mut self, nodes: &[u32]) {
        self.phase = Phase::Running;
        self.generation += 1;
        self.ended = None;
        self.failure = None;
        self.output = None;
        self.parked = false;
        for node in nodes {
            let waits_on = self.spec(*node).map_or(0, |spec| {
                spec.needs.iter().filter(|need| nodes.contains(need)).count() as u32
            });
            let Some(task) = self.tasks.get_mut(*node as usize) else { continue };
            let was_over = task.state.is_over();
            match &task.fan {
                None => self.counts.take(task.state, 1),
                Some(fan) => fan.children.iter().for_each(|child| match child {
                    Child::Fresh => self.counts.take(TaskState::Skipped, 1),
                    Child::Live(task) => self.counts.take(task.state, 1),
                    Child::Done(_) => self.counts.take(TaskState::Succeeded, 1),
                }),
            }
            *task = Task::new(waits_on, task.generation + 1);
            self.counts.add(TaskState::Pending, 1);
            self.open += u32::from(was_over);
        }
    }
}
