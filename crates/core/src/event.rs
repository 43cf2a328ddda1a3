//! Events: what happened, in the past tense; the body of a journal record.
//!
//! The numbers are the format: they are never reused, and a field is never given another meaning.
//! New fields are optional, so that every released record stays readable.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::authority::{Authority, RevocationId};
use crate::budget::Amounts;
use crate::child_run::{ChildRun, ParentRef};
use crate::deployment::Deployment;
use crate::error::Failure;
use crate::fleet::SkillInfo;
use crate::hash::Hash;
use crate::ids::{AgentIx, RunId, SkillIx, TaskRef};
use crate::layer::Layer;
use crate::payload::Payload;
use crate::plan::Workflow;
use crate::priority::Priority;
use crate::rules::Mode;
use crate::settings_change::SettingsChanged;
use crate::step::{Finding, StepKey, StepOutcome};
use crate::text::Text;
use crate::time::Time;

mod flow;
mod fork;
mod joined;
mod origin;
mod schedule;
mod standing;
mod supervised;
mod task;

pub use flow::{ChildEnded, SignalReceived, TasksAdded};
pub use fork::{ReusedChildren, RunForked, TaskReused};
pub use joined::{AgentJoined, AgentLeft};
pub use origin::RunOrigin;
pub use schedule::{ScheduleFired, SchedulePut, ScheduleSkip, ScheduleSkipped, Trigger};
pub use standing::Standing;
pub use supervised::Supervised;
pub use task::{
    AttemptEnd, AttemptEnded, AttemptStarted, ParkReason, Resolution, SkipCause, StepIntended,
    TaskSucceeded,
};

/// What a command changed, and in a record also what followed from it at once: all of one run or of
/// none.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The run they belong to; none: the instance's own.
    pub run: Option<RunId>,
    /// When it was decided.
    pub at: Time,
    /// In order.
    pub events: Vec<Event>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub enum Event {
    /// A process opened the journal; the fleet begins anew, what was in flight is interrupted.
    #[n(0)]
    InstanceStarted(#[n(0)] Box<InstanceStarted>),
    /// Whether new runs are taken.
    #[n(1)]
    IntakeChanged {
        /// The new setting.
        #[n(0)]
        intake: Intake,
        /// Why.
        #[n(1)]
        reason: Text,
    },
    /// An agent's standing changed.
    #[n(2)]
    AgentChanged {
        /// Which.
        #[n(0)]
        agent: AgentIx,
        /// Its new standing.
        #[n(1)]
        standing: Standing,
        /// Why.
        #[n(2)]
        reason: Text,
        /// For a restart: when it is back.
        #[n(3)]
        until: Option<Time>,
        /// Its name, where that does not follow from the make-up at the start.
        #[n(60)]
        name: Option<Text>,
    },
    /// An agent presented work that was refused.
    #[n(3)]
    AgentStruck {
        /// Which.
        #[n(0)]
        agent: AgentIx,
        /// What it did.
        #[n(1)]
        reason: Text,
        /// Its name, where that does not follow from the make-up at the start.
        #[n(60)]
        name: Option<Text>,
    },
    /// A workflow version was let in, layer by layer; runs refer to it by number.
    #[n(4)]
    WorkflowAdmitted(#[n(0)] Box<Admission>),
    /// An authority and all that descend from it are void.
    #[n(5)]
    AuthorityRevoked {
        /// The link of the chain.
        #[n(0)]
        id: RevocationId,
        /// Why.
        #[n(1)]
        reason: Text,
    },
    /// A run was accepted.
    #[n(10)]
    RunAccepted(#[n(0)] Box<RunAccepted>),
    /// The run waits because nobody holds this layer's step.
    #[n(11)]
    RunWaited {
        /// The layer.
        #[n(0)]
        layer: Layer,
    },
    /// Every layer above the workers has let the run through; again where a restart brought other
    /// rules or another mode.
    #[n(12)]
    RunStarted {
        /// The admission it runs under.
        #[n(0)]
        admission: u64,
    },
    /// After an instance start: the run's ready tasks and timers stand in line again.
    #[n(13)]
    RunRecovered,
    /// Nothing starts until it is resumed.
    #[n(14)]
    RunPaused {
        /// Why.
        #[n(0)]
        reason: Text,
    },
    /// It goes on.
    #[n(15)]
    RunResumed {
        /// Why.
        #[n(0)]
        reason: Option<Text>,
    },
    /// Nothing more happens until somebody unparks, resolves, retries or cancels.
    #[n(16)]
    RunParked,
    /// The run is over.
    #[n(17)]
    RunEnded(#[n(0)] Box<RunEnded>),
    /// A run that was over goes on from this task.
    #[n(18)]
    RunRetried {
        /// The task.
        #[n(0)]
        task: TaskRef,
        /// It and its descendants, all of which begin again in a new generation.
        #[n(1)]
        nodes: Vec<u32>,
        /// Why.
        #[n(2)]
        reason: Option<Text>,
    },
    /// Every task is over; the runtime is asked to put the output together.
    #[n(19)]
    RunGathering,
    /// The runtime is asked to evaluate the task's condition or list.
    #[n(20)]
    TaskPreparing {
        /// The task.
        #[n(0)]
        task: TaskRef,
    },
    /// A map's list is known.
    #[n(21)]
    MapExpanded {
        /// The map.
        #[n(0)]
        task: TaskRef,
        /// How many children.
        #[n(1)]
        count: u32,
        /// SHA-256 of the list's text.
        #[n(2)]
        list: Payload,
    },
    /// The task stands in line for an agent.
    #[n(22)]
    TaskReady {
        /// The task.
        #[n(0)]
        task: TaskRef,
    },
    /// An agent drew the task's progress token.
    #[n(23)]
    AttemptStarted(#[n(0)] AttemptStarted),
    /// The attempt lives on.
    #[n(24)]
    LeaseRenewed {
        /// The task.
        #[n(0)]
        task: TaskRef,
        /// The new end.
        #[n(1)]
        until: Time,
    },
    /// A partial proof of progress.
    #[n(25)]
    ProgressMade {
        /// The task.
        #[n(0)]
        task: TaskRef,
        /// Whether something new came of it: a checkpoint the agent declares.
        #[n(1)]
        checkpoint: Option<Hash>,
    },
    /// An attempt ended without success.
    #[n(26)]
    AttemptEnded(#[n(0)] Box<AttemptEnded>),
    /// The task is done; the proof was accepted.
    #[n(27)]
    TaskSucceeded(#[n(0)] Box<TaskSucceeded>),
    /// The task failed for good.
    #[n(28)]
    TaskFailed {
        /// The task.
        #[n(0)]
        task: TaskRef,
        /// Why, with the causes of all attempts.
        #[n(1)]
        failure: Failure,
    },
    /// These tasks will not run.
    #[n(29)]
    TasksSkipped {
        /// The tasks.
        #[n(0)]
        tasks: Vec<TaskRef>,
        /// Why.
        #[n(1)]
        cause: SkipCause,
    },
    /// These tasks were stopped, with the attempts they had; steps in doubt are `unknown` now.
    #[n(30)]
    TasksCancelled {
        /// The tasks.
        #[n(0)]
        tasks: Vec<TaskRef>,
    },
    /// Nothing more happens to the task until somebody decides.
    #[n(31)]
    TaskParked {
        /// The task.
        #[n(0)]
        task: TaskRef,
        /// Why.
        #[n(1)]
        reason: ParkReason,
        /// In words.
        #[n(2)]
        message: Text,
    },
    /// A parked task stands in line again.
    #[n(32)]
    TaskUnparked {
        /// The task.
        #[n(0)]
        task: TaskRef,
        /// Why; none: its step was resolved, and that event says why.
        #[n(1)]
        reason: Option<Text>,
    },
    /// All children of a map are over and few enough failed.
    #[n(33)]
    MapDone {
        /// The map.
        #[n(0)]
        task: TaskRef,
    },
    /// An external effect is about to be tried.
    #[n(40)]
    StepIntended(#[n(0)] Box<StepIntended>),
    /// Its outcome is known.
    #[n(41)]
    StepSettled {
        /// The task.
        #[n(0)]
        task: TaskRef,
        /// The step.
        #[n(1)]
        key: StepKey,
        /// What came of it.
        #[n(2)]
        outcome: StepOutcome,
        /// What it cost.
        #[n(3)]
        spent: Amounts,
    },
    /// A crash left it open whether the effect happened.
    #[n(42)]
    StepInDoubt {
        /// The task.
        #[n(0)]
        task: TaskRef,
        /// The step.
        #[n(1)]
        key: StepKey,
    },
    /// A person said what became of a step in doubt.
    #[n(43)]
    StepResolved {
        /// The task.
        #[n(0)]
        task: TaskRef,
        /// The step.
        #[n(1)]
        key: StepKey,
        /// What they said.
        #[n(2)]
        resolution: Resolution,
        /// Why.
        #[n(3)]
        reason: Text,
    },
    /// The profile part of the fleet got another size: agents were added, or those that are too many
    /// leave when their work is done.
    #[n(60)]
    FleetScaled {
        /// Its size.
        #[n(0)]
        agents: u32,
        /// Why.
        #[n(1)]
        reason: Text,
    },
    /// A deployment began: its new agents start, and take no work yet.
    #[n(61)]
    DeploymentStarted(#[n(0)] Box<Deployment>),
    /// The new agents of a layer are healthy.
    #[n(62)]
    LayerDeployed {
        /// The deployment.
        #[n(0)]
        version: u64,
        /// The layer.
        #[n(1)]
        layer: Layer,
        /// The layer that is checked next; none: it was the last.
        #[n(2)]
        next: Option<Layer>,
    },
    /// Its agents and workflows took the place of those before.
    #[n(63)]
    DeploymentFinished {
        /// The deployment.
        #[n(0)]
        version: u64,
    },
    /// Everything is as it was before.
    #[n(64)]
    DeploymentRolledBack {
        /// The deployment.
        #[n(0)]
        version: u64,
        /// Why.
        #[n(1)]
        reason: Text,
    },
    /// A remote worker joined the fleet, is back, or offers something else.
    #[n(70)]
    AgentJoined(#[n(0)] Box<AgentJoined>),
    /// A remote worker leaves: it takes nothing more.
    #[n(71)]
    AgentLeft(#[n(0)] AgentLeft),
    /// Settings changed while the instance runs.
    #[n(112)]
    SettingsChanged(#[n(0)] Box<SettingsChanged>),
    /// A run that waited on disk is in memory, and goes on as if it had always been.
    #[n(50)]
    RunLoaded {
        /// As it was accepted, under the admission that it has now; none: its record cannot be read
        /// any more, and it ends.
        #[n(0)]
        accepted: Option<Box<RunAccepted>>,
    },
    /// A schedule is there, or another version of it.
    #[n(80)]
    SchedulePut(#[n(0)] Box<SchedulePut>),
    /// A schedule is paused, or goes on.
    #[n(81)]
    ScheduleChanged {
        /// Its number.
        #[n(0)]
        schedule: u64,
        /// Whether it does nothing.
        #[n(1)]
        is_paused: bool,
        /// The next time by its pattern.
        #[n(2)]
        next: Option<Time>,
        /// Why.
        #[n(3)]
        reason: Text,
    },
    /// A schedule is gone; its runs go on.
    #[n(82)]
    ScheduleRemoved {
        /// Its number.
        #[n(0)]
        schedule: u64,
        /// Why.
        #[n(1)]
        reason: Text,
    },
    /// The run that is accepted in the same record is a schedule's, for one of its times.
    #[n(83)]
    ScheduleFired(#[n(0)] ScheduleFired),
    /// A time of a schedule passed without a run.
    #[n(84)]
    ScheduleSkipped(#[n(0)] Box<ScheduleSkipped>),
    /// A time of a schedule waits for a run of it to be over.
    #[n(85)]
    ScheduleQueued {
        /// Its number.
        #[n(0)]
        schedule: u64,
        /// The time by its pattern.
        #[n(1)]
        time: Time,
        /// The next one.
        #[n(2)]
        next: Option<Time>,
    },
    /// How urgent the run is was changed.
    #[n(100)]
    RunPrioritized {
        /// How urgent it is now.
        #[n(0)]
        priority: Priority,
        /// Why.
        #[n(1)]
        reason: Text,
    },
    /// The run that is accepted in the same record begins from a point of another one's history.
    #[n(101)]
    RunForked(#[n(0)] Box<RunForked>),
    /// A task is as it was in the run's source.
    #[n(102)]
    TaskReused(#[n(0)] Box<TaskReused>),
    /// Something was escalated, or seen to; or an emergency measure begins or ends.
    #[n(110)]
    Supervised(#[n(0)] Box<Supervised>),
    /// The key that a task's limit counts it under is known.
    #[n(103)]
    TaskKeyed {
        /// The task.
        #[n(0)]
        task: TaskRef,
        /// What its template gave.
        #[n(1)]
        key: Text,
    },
    /// Time has passed for a key: beginnings of a period ago do not count any more.
    #[n(86)]
    LimitEased {
        /// The key's number.
        #[n(0)]
        limit: u64,
    },
    /// The next attempt asked whether a step that was left open happened.
    #[n(44)]
    StepProbed {
        /// The task.
        #[n(0)]
        task: TaskRef,
        /// The step.
        #[n(1)]
        key: StepKey,
        /// What was answered.
        #[n(2)]
        finding: Finding,
    },
    /// A task that nobody works on waits from now on.
    #[n(90)]
    TaskWaiting {
        /// The task.
        #[n(0)]
        task: TaskRef,
        /// Until when at the latest; none: as long as it takes.
        #[n(1)]
        until: Option<Time>,
    },
    /// A signal came. It is kept until a task waits for it.
    #[n(91)]
    SignalReceived(#[n(0)] Box<SignalReceived>),
    /// What a task waited for is there.
    #[n(92)]
    WaitEnded {
        /// The task.
        #[n(0)]
        task: TaskRef,
        /// Its output: the payload of the signal, else `null`.
        #[n(1)]
        output: Payload,
        /// The number of the signal, which is used up; none: the time is up.
        #[n(2)]
        signal: Option<u64>,
    },
    /// A task asks for a run of its own and waits for it.
    #[n(93)]
    ChildRequested {
        /// The task.
        #[n(0)]
        task: TaskRef,
        /// What it is asked for.
        #[n(1)]
        child: Box<ChildRun>,
    },
    /// The run that a task waited for is over. Where it failed, the task's failure follows.
    #[n(94)]
    ChildEnded(#[n(0)] Box<ChildEnded>),
    /// The output of a task brings more tasks; its success follows.
    #[n(95)]
    TasksAdded(#[n(0)] Box<TasksAdded>),
}

/// The instance's make-up at its start.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct InstanceStarted {
    /// Version of the program.
    #[n(0)]
    pub version: Text,
    /// How risky steps are treated.
    #[n(1)]
    pub mode: Mode,
    /// Size of the fleet.
    #[n(2)]
    pub agents: u32,
    /// The skills that the fleet's workers offer.
    #[n(3)]
    pub skills: Vec<SkillInfo>,
    /// Tasks of one agent at one time.
    #[n(4)]
    pub agent_concurrency: u32,
    /// Attempts of the whole instance at one time.
    #[n(5)]
    pub concurrent_tasks_max: u32,
    /// Time for one attempt where the task does not say, in milliseconds.
    #[n(6)]
    pub task_timeout_ms: u64,
    /// Digest of the rules in force.
    #[n(7)]
    pub rules: Hash,
    /// The account of each namespace that has no other limit.
    #[n(8)]
    pub namespace_budget: Amounts,
    /// The lease of a progress token, in milliseconds; none: `LEASE_MS`.
    #[n(9)]
    pub lease_ms: Option<u64>,
    /// Runs in memory to which something happens; none: `RUNS_RESIDENT_MAX`.
    #[n(16)]
    pub runs_resident_max: Option<u32>,
    /// The most agents that the profile is scaled to; none: `AGENTS_MAX`.
    #[n(60)]
    pub agents_max: Option<u32>,
    /// Declared groups that could not be set up, each with the reason: their agents are offline.
    #[n(61)]
    pub broken: Option<Vec<BrokenGroup>>,
}

impl InstanceStarted {
    /// A small instance in which everything may be, with these agents and skills.
    pub fn small(agents: u32, skills: Vec<SkillInfo>) -> Self {
        InstanceStarted {
            version: Text::default(),
            mode: Mode::Autonomous,
            agents,
            skills,
            agent_concurrency: 2,
            concurrent_tasks_max: 10,
            task_timeout_ms: 1_000_000,
            rules: Hash::ZERO,
            namespace_budget: Amounts::UNLIMITED,
            lease_ms: None,
            runs_resident_max: None,
            agents_max: None,
            broken: None,
        }
    }
}

/// A declared group that could not be set up at a start.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct BrokenGroup {
    /// Its name.
    #[n(0)]
    pub group: Text,
    /// Why.
    #[n(1)]
    pub reason: Text,
}

/// Whether new runs are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum Intake {
    /// Yes.
    #[default]
    #[n(0)]
    Open,
    /// No: the instance is draining before it stops; nothing new starts either.
    #[n(1)]
    Draining,
}

/// A workflow version with the decisions that let it in, under one authority.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct Admission {
    /// Its number; runs refer to it.
    #[n(0)]
    pub id: u64,
    /// The tenant.
    #[n(1)]
    pub namespace: Text,
    /// The plan.
    #[n(2)]
    #[cbor(with = "crate::shared")]
    pub workflow: Arc<Workflow>,
    /// The skill of each task.
    #[n(3)]
    pub skills: Vec<SkillIx>,
    /// One decision a layer, highest first.
    #[n(4)]
    pub decisions: Vec<LayerDecision>,
    /// The authority of each layer on the way down, CECCA's first; the last one is the workers'.
    #[n(5)]
    pub authorities: Vec<Authority>,
    /// Digest of the rules that decided.
    #[n(6)]
    pub rules: Hash,
    /// Digest of (namespace, workflow, caller's authority): what may use this admission.
    #[n(7)]
    pub subject: Hash,
    /// How risky steps were treated when it was decided.
    #[n(8)]
    pub mode: Option<Mode>,
    /// The submitter's authority, under which it is decided again when the rules have changed.
    #[n(9)]
    pub caller: Option<Authority>,
}

/// One layer's decision about a workflow version.
#[derive(Clone, Debug, PartialEq, Encode, Decode, serde::Serialize)]
#[cbor(map)]
pub struct LayerDecision {
    /// The layer.
    #[n(0)]
    pub layer: Layer,
    /// Who decided; `runtime` where it holds the layer's seat.
    #[n(1)]
    pub agent: Text,
    /// The rules that decided.
    #[n(2)]
    pub rules: Vec<Text>,
    /// What they decided on, in short.
    #[n(3)]
    pub inputs: Text,
}

/// A run as it was accepted.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct RunAccepted {
    /// The admission it falls under, once there is one.
    #[n(0)]
    pub admission: Option<u64>,
    /// The plan, where no admission carries it yet.
    #[n(1)]
    pub pending: Option<Box<PendingAdmission>>,
    /// Its input.
    #[n(2)]
    pub input: Payload,
    /// How urgent it is.
    #[n(3)]
    pub priority: Priority,
    /// When it must be over.
    #[n(4)]
    pub deadline: Option<Time>,
    /// Its account.
    #[n(5)]
    pub budget: Option<Amounts>,
    /// Seed of its jitter and tie-breaks.
    #[n(6)]
    pub seed: u64,
    /// The submitter's key.
    #[n(7)]
    pub key: Option<SubmissionKey>,
    /// Whether it waits on disk until `RunLoaded`; none: no.
    #[n(12)]
    pub waits: Option<bool>,
    /// It does not begin before then; none: it may at once.
    #[n(80)]
    pub start_at: Option<Time>,
    /// The task whose child it is.
    #[n(90)]
    pub parent: Option<Box<ParentRef>>,
    /// How it came to be, where nobody submitted it. Older versions left it out.
    #[n(104)]
    pub origin: Option<Box<RunOrigin>>,
}

/// What a run needs to be admitted later, when a layer above the workers is empty now.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct PendingAdmission {
    /// The tenant.
    #[n(0)]
    pub namespace: Text,
    /// The plan.
    #[n(1)]
    #[cbor(with = "crate::shared")]
    pub workflow: Arc<Workflow>,
    /// The submitter's authority.
    #[n(2)]
    pub authority: Authority,
}

/// An idempotency key with the digest of what it was first used for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SubmissionKey {
    /// The key.
    #[n(0)]
    pub key: Text,
    /// Digest of the request.
    #[n(1)]
    pub request: Hash,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct RunEnded {
    /// In which state.
    #[n(0)]
    pub end: RunEnd,
    /// Its output; none: that of the plan's only sink.
    #[n(1)]
    pub output: Option<Payload>,
    /// Why it failed or was cancelled.
    #[n(2)]
    pub failure: Option<Failure>,
    /// Head of the chain of its proofs of progress: none of them can be left out of its history
    /// unseen. None: an older version wrote it.
    #[n(3)]
    pub proof: Option<Hash>,
}

/// The states in which a run can be over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// Done.
    #[n(0)]
    Succeeded,
    /// Not done.
    #[n(1)]
    Failed,
    /// Stopped.
    #[n(2)]
    Cancelled,
}
