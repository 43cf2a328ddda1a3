//! Commands: what somebody wants, in the imperative. `decide` answers each with events or a refusal.

use std::sync::Arc;

use crate::authority::{Grant, RevocationId};
use crate::budget::Amounts;
use crate::child_run::ParentRef;
use crate::deployment::DeployedSchedule;
use crate::error::Failure;
use crate::event::{
    InstanceStarted, Intake, Resolution, RunAccepted, RunForked, Standing, SubmissionKey,
    TaskReused,
};
use crate::fleet::SkillInfo;
use crate::fleet::spec::FleetSpec;
use crate::hash::Hash;
use crate::ids::{AgentIx, PtId, RunId, TaskId};
use crate::layer::Layer;
use crate::payload::Payload;
use crate::plan::{EffectClass, TaskSpec, Workflow};
use crate::priority::Priority;
use crate::schedule::ScheduleSpec;
use crate::settings_change::SettingsChanged;
use crate::step::{Finding, StepKey, StepOutcome};
use crate::supervision::MeasureKind;
use crate::text::Text;
use crate::time::Time;

/// What somebody wants. One file below `decide/` for each.
#[derive(Clone, Debug)]
pub enum Command {
    /// Begin after opening the journal.
    StartInstance(Box<InstanceStarted>),
    /// Take new runs, or drain.
    SetIntake {
        /// The new setting.
        intake: Intake,
        /// Why.
        reason: Text,
    },
    /// Take an agent out, or let it in again.
    SetAgent {
        /// Which.
        agent: AgentIx,
        /// Whether it takes part.
        online: bool,
        /// Why.
        reason: Text,
    },
    /// Give the profile part of the fleet another size.
    ScaleFleet {
        /// Its size.
        agents: u32,
        /// Why.
        reason: Text,
    },
    /// Change settings of the running instance.
    ChangeSettings(Box<SettingsChanged>),
    /// Put declared agents and named workflows in the place of those that are deployed.
    Deploy(Box<Deploy>),
    /// The checks of a deployment's new agents of one layer are over.
    ReportHealth {
        /// The deployment.
        version: u64,
        /// Echoed from the effect.
        layer: Option<Layer>,
        /// What they came to: when the deployment's schedules are due next, in their order; or why an
        /// agent is not healthy.
        result: Result<Vec<Option<Time>>, Text>,
    },
    /// Take back the deployment under way.
    CancelDeployment {
        /// Its number; none: whichever it is.
        version: Option<u64>,
        /// Why.
        reason: Text,
    },
    /// Make an authority and its descendants void.
    Revoke {
        /// The link of the chain.
        id: RevocationId,
        /// Why.
        reason: Text,
    },
    /// Say what was done about an escalation.
    ResolveEscalation {
        /// The escalation.
        id: u64,
        /// What.
        action: Text,
        /// Why.
        reason: Text,
    },
    /// Put an emergency measure in force.
    TakeMeasure {
        /// What it does.
        kind: MeasureKind,
        /// The seat of CECCA; none: a person.
        by: Option<AgentIx>,
        /// Why.
        reason: Text,
        /// How long, in milliseconds.
        lasts_ms: u64,
    },
    /// Lift a measure, or vote for it.
    LiftMeasure {
        /// The measure.
        id: u64,
        /// The seat of CECCA; none: a person.
        by: Option<AgentIx>,
        /// Why.
        reason: Text,
    },
    /// Accept a run.
    SubmitRun(Box<SubmitRun>),
    /// Put an interrupted run back to work; the loop sends one for each after a start.
    RecoverRun {
        /// The run.
        run: RunId,
    },
    /// Take a run into memory that waited on disk; nothing if it does not wait any more.
    LoadRun(Box<LoadRun>),
    /// Start what is ready and has an agent; admit what waited for a layer.
    Dispatch,
    /// Act on the earliest timer that is due.
    FireTimer,
    /// A condition or list was evaluated.
    FinishPreparation {
        /// The run.
        run: RunId,
        /// The node.
        node: u32,
        /// The task's generation when it was asked for.
        generation: u32,
        /// What came of it.
        result: Prepared,
    },
    /// The output of a run was put together.
    FinishGathering {
        /// The run.
        run: RunId,
        /// Echoed from the effect.
        generation: u32,
        /// The output.
        result: Result<Payload, Failure>,
    },
    /// An agent presents its result under its token.
    FinishAttempt(Box<FinishAttempt>),
    /// The host lost an attempt: its agent panicked, hung or died.
    LoseAttempt {
        /// The token.
        pt: PtId,
        /// How.
        reason: Failure,
    },
    /// Nobody has begun the attempt, and whoever was to do it cannot: others do, and it does not count.
    ReturnAttempt {
        /// The token.
        pt: PtId,
        /// Why.
        reason: Failure,
    },
    /// The attempt lives on.
    RenewLease {
        /// The token.
        pt: PtId,
        /// Who says so.
        agent: AgentIx,
    },
    /// A partial proof of progress.
    ReportProgress {
        /// The token.
        pt: PtId,
        /// Who presents it.
        agent: AgentIx,
        /// A checkpoint that it declares.
        checkpoint: Option<Hash>,
    },
    /// An attempt is about to try an external effect.
    IntendStep(Box<IntendStep>),
    /// The outcome of an intended step.
    SettleStep {
        /// The token.
        pt: PtId,
        /// The step.
        key: StepKey,
        /// What came of it.
        outcome: StepOutcome,
        /// What it cost.
        spent: Amounts,
    },
    /// What a probe answered about a step that an earlier attempt left open.
    ReportProbe {
        /// The token.
        pt: PtId,
        /// Who asked.
        agent: AgentIx,
        /// The step.
        key: StepKey,
        /// What was answered.
        finding: Finding,
    },
    /// Stop a run.
    CancelRun {
        /// The run.
        run: RunId,
        /// Why.
        reason: Text,
    },
    /// Start nothing more of a run.
    PauseRun {
        /// The run.
        run: RunId,
        /// Why.
        reason: Text,
    },
    /// Go on with a paused run.
    ResumeRun {
        /// The run.
        run: RunId,
        /// Why.
        reason: Text,
    },
    /// Make a run more or less urgent.
    PrioritizeRun {
        /// The run.
        run: RunId,
        /// How urgent it is from now on.
        priority: Priority,
        /// Why.
        reason: Text,
    },
    /// Accept a run that begins from a point of another one's history.
    ForkRun(Box<ForkRun>),
    /// Have a schedule, or another version of it.
    PutSchedule(Box<PutSchedule>),
    /// Pause a schedule, or let it go on.
    SetSchedule {
        /// Which.
        schedule: ScheduleName,
        /// Whether it does nothing.
        is_paused: bool,
        /// The next time by its pattern, where it goes on.
        next: Option<Time>,
        /// Why.
        reason: Text,
    },
    /// Have a schedule no more; its runs go on.
    RemoveSchedule {
        /// Which.
        schedule: ScheduleName,
        /// Why.
        reason: Text,
    },
    /// Begin a run of a schedule now, whatever its times.
    RunSchedule {
        /// Which.
        schedule: ScheduleName,
        /// The idempotency key of whoever asks.
        key: Option<SubmissionKey>,
    },
    /// Do what a schedule has to do now that it is due; the loop sends one for each.
    FireSchedule(FireSchedule),
    /// Run a task and its descendants again; none: the task that failed.
    RetryRun {
        /// The run.
        run: RunId,
        /// From here.
        task: Option<u32>,
        /// Why.
        reason: Text,
    },
    /// Put a parked task back to work.
    UnparkTask {
        /// The task.
        task: TaskId,
        /// Why.
        reason: Text,
    },
    /// Take a remote worker into the fleet; nothing if it is there just so.
    JoinAgent(Box<JoinAgent>),
    /// Let a remote worker go: it takes nothing more.
    LeaveAgent {
        /// Its name.
        name: Text,
        /// Why.
        reason: Text,
    },
    /// The host's word on how a remote worker stands, as far as it is heard of.
    MarkAgent {
        /// Its name.
        name: Text,
        /// Ready, suspect or offline.
        standing: Standing,
        /// Why.
        reason: Text,
    },
    /// Say what became of a step in doubt.
    ResolveStep {
        /// The run.
        run: RunId,
        /// The step.
        key: StepKey,
        /// What became of it.
        resolution: Resolution,
        /// Why.
        reason: Text,
    },
    /// Begin the child that a task has asked for; the loop sends it when the state has the errand.
    StartChild {
        /// The child.
        child: RunId,
    },
    /// Tell a task that its child is over; the same.
    SettleChild {
        /// The child.
        child: RunId,
    },
    /// Tell a run something that a task of it waits for, now or later.
    SendSignal(Box<SendSignal>),
}

/// A signal for a run.
#[derive(Clone, Debug)]
pub struct SendSignal {
    /// The run.
    pub run: RunId,
    /// The signal's name.
    pub name: Text,
    /// What it says, as the waits for it want it.
    pub payload: Payload,
    /// The sender's idempotency key.
    pub key: Option<SubmissionKey>,
}

/// A run that begins from a point of another one's history, which the caller has read.
#[derive(Clone, Debug)]
pub struct ForkRun {
    /// The run to be accepted.
    pub submission: SubmitRun,
    /// Where it comes from.
    pub forked: RunForked,
    /// The tasks that are as they were, each behind what it needs.
    pub reused: Vec<TaskReused>,
}

/// A schedule by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleName {
    /// The tenant.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
}

/// A schedule that somebody wants.
#[derive(Clone, Debug)]
pub struct PutSchedule {
    /// The tenant.
    pub namespace: Text,
    /// What it is to be.
    pub spec: Arc<ScheduleSpec>,
    /// Under whose authority its runs begin.
    pub grant: Arc<Grant>,
    /// Seed of its jitter and of the ids of its runs; one that is replaced keeps its own.
    pub seed: u64,
    /// The next time by its pattern, worked out by the caller; none: there is none.
    pub next: Option<Time>,
}

/// A schedule is due: which time is to be acted on, and when the next one is, worked out by the
/// caller. What cannot be is refused.
#[derive(Clone, Copy, Debug)]
pub struct FireSchedule {
    /// Its number.
    pub schedule: u64,
    /// A time by its pattern that has come.
    pub time: Time,
    /// The next one behind it; none: there is none.
    pub next: Option<Time>,
    /// Whether that time is acted on, or passes because it was missed.
    pub is_missed: bool,
}

/// A deployment to be made.
#[derive(Clone, Debug)]
pub struct Deploy {
    /// The version that its author has seen deployed, 0 for none; none: whatever it is.
    pub expected: Option<u64>,
    /// The manifest in its canonical form, stored.
    pub manifest: Payload,
    /// Its agents.
    pub fleet: FleetSpec,
    /// Its workflows, validated.
    pub workflows: Vec<Arc<Workflow>>,
    /// The directory that its relative paths begin at.
    pub base: Option<Text>,
    /// Agents of the built-in profile; none: as many as there are.
    pub profile: Option<u32>,
    /// The tenant of its schedules.
    pub namespace: Text,
    /// Its schedules.
    pub schedules: Vec<DeployedSchedule>,
    /// The time for the health checks of all layers, in milliseconds.
    pub health_ms: u64,
    /// Why.
    pub reason: Text,
    /// The author's.
    pub grant: Arc<Grant>,
}

/// A run to be accepted.
#[derive(Clone, Debug)]
pub struct SubmitRun {
    /// Its id, drawn by the caller.
    pub run: RunId,
    /// The tenant.
    pub namespace: Text,
    /// Its plan, validated.
    pub workflow: Arc<Workflow>,
    /// Its input, validated.
    pub input: Payload,
    /// The submitter's.
    pub grant: Arc<Grant>,
    /// How urgent it is.
    pub priority: Priority,
    /// When it must be over.
    pub deadline: Option<Time>,
    /// It does not begin before then; none: at once.
    pub start_at: Option<Time>,
    /// Its account.
    pub budget: Option<Amounts>,
    /// Seed of its jitter and tie-breaks.
    pub seed: u64,
    /// The submitter's idempotency key.
    pub key: Option<SubmissionKey>,
    /// The task whose child it is.
    pub parent: Option<Box<ParentRef>>,
}

/// A run whose record was read.
#[derive(Clone, Debug)]
pub struct LoadRun {
    /// The run.
    pub run: RunId,
    /// What its record says, or why it cannot be read.
    pub accepted: Result<RunAccepted, Failure>,
    /// What somebody wanted of it meanwhile; it comes before anything begins.
    pub verb: Option<LoadVerb>,
}

/// What people do to a run that waits on disk.
#[derive(Clone, Debug)]
pub enum LoadVerb {
    /// Stop it.
    Cancel(Text),
    /// Start nothing of it.
    Pause(Text),
}

/// What became of a preparation.
#[derive(Clone, Debug)]
pub enum Prepared {
    /// The condition holds and there is no list.
    Go,
    /// The condition does not hold.
    Skip,
    /// The condition holds, and the task waits until then.
    Until(Time),
    /// The condition holds, and this is the input of the task's child.
    Input(Payload),
    /// The list of a map.
    List {
        /// Its length.
        count: u32,
        /// Its text.
        list: Payload,
    },
    /// The key that the task's limit counts it under, and what else there is to say.
    Keyed(Text, Box<Prepared>),
    /// It could not be evaluated.
    Failed(Failure),
}

/// A result under a token.
#[derive(Clone, Debug)]
pub struct FinishAttempt {
    /// The token.
    pub pt: PtId,
    /// Who presents it.
    pub agent: AgentIx,
    /// The result.
    pub outcome: AttemptOutcome,
    /// SHA-256 of the input that the host handed out.
    pub input: Hash,
    /// What it used.
    pub spent: Amounts,
    /// How long it worked, in microseconds, by the host's clock.
    pub micros: u64,
}

/// What an attempt came to.
#[derive(Clone, Debug)]
pub enum AttemptOutcome {
    /// It is done; the host validated the output.
    Succeeded {
        /// The output.
        output: Payload,
        /// Blobs that it names.
        blobs: Vec<Hash>,
    },
    /// It is done, and brings more tasks; the host validated both.
    Expanded {
        /// The output.
        output: Payload,
        /// Blobs that it names.
        blobs: Vec<Hash>,
        /// The tasks, as [`crate::manifest::parse_added`] gives them.
        tasks: Vec<TaskSpec>,
        /// How many tasks the plan had that they were made for: the first of them has this number.
        base: u32,
    },
    /// The agent says that it failed.
    Failed(Failure),
    /// The host refused the output: not the schema's, too large.
    Refused(Failure),
}

/// A step about to be tried.
#[derive(Clone, Debug)]
pub struct IntendStep {
    /// The token.
    pub pt: PtId,
    /// Who asks.
    pub agent: AgentIx,
    /// Its number in this attempt, from 0.
    pub number: u32,
    /// What is called.
    pub tool: Text,
    /// Digest of the canonical arguments.
    pub arguments: Hash,
    /// What recovery may do.
    pub class: EffectClass,
    /// The most it may cost.
    pub reserve: Amounts,
}

/// A remote worker that joins.
#[derive(Clone, Debug)]
pub struct JoinAgent {
    /// Its name.
    pub name: Text,
    /// Its layer.
    pub layer: Layer,
    /// Tasks at one time.
    pub concurrency: u32,
    /// What it offers.
    pub skills: Vec<SkillInfo>,
}
