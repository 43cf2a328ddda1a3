//! Runs and tasks as the state keeps them while they live.

use std::sync::Arc;

use crate::budget::{Account, Amounts};
use crate::error::Failure;
use crate::event::{Admission, ParkReason, PendingAdmission, RunEnd, SkipCause};
use crate::hash::Hash;
use crate::ids::{AgentIx, Fence, RunId, SkillIx, TaskRef};
use crate::layer::Layer;
use crate::payload::Payload;
use crate::plan::{EffectClass, OnFailure, Shape, TaskSpec, Workflow};
use crate::priority::{Priority, Turn};
use crate::step::Step;
use crate::text::Text;
use crate::time::Time;

/// One execution of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The tenant.
    pub namespace: Text,
    /// Its plan.
    pub workflow: Arc<Workflow>,
    /// What let it in; none while it waits for a layer.
    pub admission: Option<Arc<Admission>>,
    /// What it needs to be let in later.
    pub pending: Option<Box<PendingAdmission>>,
    /// The layer whose step it waits for.
    pub waits_for: Option<Layer>,
    /// Its input.
    pub input: Payload,
    /// How urgent it is.
    pub priority: Priority,
    /// When it must be over.
    pub deadline: Option<Time>,
    /// Its account; draws from the namespace's.
    pub account: Account,
    /// Seed of its jitter.
    pub seed: u64,
    /// Where it stands.
    pub phase: Phase,
    /// Whether nothing new starts.
    pub paused: bool,
    /// Whether nothing moves until somebody acts.
    pub parked: bool,
    /// Raised by every retry.
    pub generation: u32,
    /// Its nodes, in the plan's order.
    pub tasks: Vec<Task>,
    /// Nodes that are not over.
    pub open: u32,
    /// Tasks by state; a map counts its children instead of itself once it is expanded.
    pub counts: Counts,
    /// Digest of the newest proof of progress, which names the one before.
    pub proof: Hash,
    /// When it was accepted.
    pub accepted: Time,
    /// When it was over.
    pub ended: Option<Time>,
    /// Its output.
    pub output: Option<Payload>,
    /// Why it failed or was cancelled.
    pub failure: Option<Failure>,
}

/// Where a run stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Durable, not yet let through by every layer.
    Accepted,
    /// Its tasks are worked on.
    Running,
    /// Every task is over; the output is being put together.
    Gathering,
    /// Over.
    Ended(RunEnd),
}

/// The states of a run, as people see them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Durable, not begun.
    Accepted,
    /// Worked on.
    Running,
    /// Waits for a timer.
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

/// The states of a task.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for others.
    Pending,
    /// Its condition or list is being evaluated.
    Preparing,
    /// Waits for an agent.
    Ready,
    /// Worked on.
    Running,
    /// Waits for a timer.
    Waiting,
    /// Nothing more happens until somebody acts.
    Parked,
    /// Done.
    Succeeded,
    /// Not done.
    Failed,
    /// Stopped.
    Cancelled,
    /// Did not have to run.
    Skipped,
}

impl TaskState {
    /// Number of states.
    pub const COUNT: usize = 10;

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
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Where it stands.
    pub state: TaskState,
    /// Counted attempts of this generation.
    pub attempt: u32,
    /// Attempts lost to an agent's death.
    pub lost: u32,
    /// Raised by retry-from-task.
    pub generation: u32,
    /// Nodes it still waits for.
    pub waits_on: u32,
    /// Its place in the ready queue.
    pub turn: Option<Turn>,
    /// The attempt under way.
    pub active: Option<Box<Active>>,
    /// In state `waiting`: when it stands in line again.
    pub retry_at: Time,
    /// When it first became ready.
    pub ready_at: Time,
    /// Who worked on it last.
    pub last_agent: Option<AgentIx>,
    /// Its output.
    pub output: Option<Payload>,
    /// Why it failed.
    pub failure: Option<Box<Failure>>,
    /// Failures of earlier attempts.
    pub causes: Vec<Failure>,
    /// Recorded effects of this generation.
    pub steps: Vec<Step>,
    /// Partial proofs in a row without anything new.
    pub partials: u32,
    /// The newest declared checkpoint.
    pub checkpoint: Option<Hash>,
    /// Why it is parked.
    pub parked: Option<(ParkReason, Text)>,
    /// Why it was skipped.
    pub skipped: Option<SkipCause>,
    /// A map's children.
    pub fan: Option<Box<Fan>>,
}

/// An attempt under way: the state's side of a progress token.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// Who works.
    pub agent: AgentIx,
    /// Under which fence.
    pub fence: Fence,
    /// Since when.
    pub started: Time,
    /// Until when without renewal.
    pub lease: Time,
    /// Until when at the latest.
    pub timeout: Time,
    /// When its timer fires.
    pub timer: Time,
    /// Reserved for it in the accounts; its steps have reservations of their own.
    pub reserved: Amounts,
    /// What it may do to the world.
    pub class: EffectClass,
    /// The start of the instance in which the token was drawn.
    pub epoch: u64,
}

/// The children of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Fan {
    /// The list.
    pub list: Payload,
    /// The first child that has not started yet.
    pub next: u32,
    /// Children at work.
    pub running: u32,
    /// Children done.
    pub succeeded: u32,
    /// Children that failed for good.
    pub failed: u32,
    /// All children.
    pub children: Vec<Child>,
}

/// A map's child: compact until it starts and after it is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Child {
    /// Not started.
    Fresh,
    /// Started and not done, or failed.
    Live(Box<Task>),
    /// Done, with this output.
    Done(Payload),
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
        }
    }

    /// Whether a step of it is in doubt.
    pub fn is_in_doubt(&self) -> bool {
        self.steps.iter().any(|step| step.standing == crate::step::StepStanding::InDoubt)
    }
}

impl Run {
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

    /// What the plan says about a node.
    pub fn spec(&self, node: u32) -> Option<&TaskSpec> {
        self.workflow.tasks.get(node as usize)
    }

    /// The skill of a node.
    pub fn skill(&self, node: u32) -> Option<SkillIx> {
        self.admission.as_ref()?.skills.get(node as usize).copied()
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

    /// Whether the run's output is simply that of its only sink.
    pub fn ends_with_sink(&self) -> bool {
        self.workflow.output.is_none()
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

    /// What is told about it to whoever asks.
    pub fn summary(&self) -> RunSummary {
        RunSummary {
            id: self.id,
            namespace: self.namespace.clone(),
            workflow: self.workflow.name.clone(),
            version: self.workflow.version.clone(),
            workflow_hash: self.workflow.hash,
            state: self.state(),
            waits_for: self.waits_for,
            priority: self.priority,
            accepted: self.accepted,
            ended: self.ended,
            deadline: self.deadline,
            counts: self.counts,
            account: self.account,
            proof: self.proof,
            output: self.output.clone(),
            failure: self.failure.clone(),
        }
    }
}

/// What is told about a run to whoever asks.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    /// Its id.
    pub id: RunId,
    /// The tenant.
    pub namespace: Text,
    /// Name of its workflow.
    pub workflow: Text,
    /// Version of its workflow, the author's.
    pub version: Text,
    /// Digest of its workflow.
    pub workflow_hash: Hash,
    /// Where it stands.
    pub state: RunState,
    /// The layer whose step it waits for.
    pub waits_for: Option<Layer>,
    /// How urgent it is.
    pub priority: Priority,
    /// When it was accepted.
    pub accepted: Time,
    /// When it was over.
    pub ended: Option<Time>,
    /// When it must be over.
    pub deadline: Option<Time>,
    /// Its tasks by state.
    pub counts: Counts,
    /// Its account.
    pub account: Account,
    /// Head of its chain of proofs.
    pub proof: Hash,
    /// Its output.
    pub output: Option<Payload>,
    /// Why it failed or was cancelled.
    pub failure: Option<Failure>,
}
