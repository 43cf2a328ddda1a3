//! Promises: wire types, error codes and exit codes.
//!
//! What a caller may rely on, and nothing else: requests refuse fields that they do not know,
//! answers may gain fields. [`codes`] is the one table of everything that can go wrong.

mod admin;
mod agent;
mod batch;
pub mod codes;
mod deployment;
mod diff;
mod event;
mod fleet;
mod graph;
mod health;
mod message;
mod metrics;
mod overview;
mod page;
mod problem;
mod run;
mod schedule;
mod supervision;
mod task;
mod time;
mod trace;
mod worker;
mod workflow;

pub use admin::{
    ConfigReload, ConfigView, Reason, Resolution, Retry, SettingDifference, SettingView, Shutdown,
    ShuttingDown,
};
pub use agent::{AgentView, Resources};
pub use batch::{BatchAnswer, BatchLine};
pub use codes::{Exit, Kind, Row};
pub use deployment::{
    CancelDeployment, Deploy, DeploymentView, DeploymentsView, NamedWorkflowView,
};
pub use diff::{DiffView, Fork, Forked, Origin, RunSide, TaskDiff, TaskSide, ValueChange};
pub use event::EventView;
pub use fleet::{FleetView, GroupView, LayerView, Scale, StackView};
pub use graph::{GraphEdge, GraphNode, GraphView, MapCounts};
pub use health::{Bare, Health, Lag, UnhealthyView};
pub use message::{
    CloudEvent, MailView, MailboxView, MessageAnswer, MessageAnswers, MessageSent, Subscription,
    TakenMessages, Topic,
};
pub use metrics::{Bucket, HistogramView, MetricsView, MinuteView};
pub use overview::{
    AttentionView, EscalationsOverview, FleetOverview, LayerOverview, LogLine, LogPage, Overview,
    QueueView, RateHistory, RateView, RatesView, RunsOverview, StackOverview, Standings,
};
pub use page::Page;
pub use problem::{ErrorPlace, PROBLEM_JSON, Problem};
pub use run::{
    AccountView, AmountsView, BlobView, Budget, Counts, FailureView, RunAccepted, RunSubmission,
    RunView,
};
pub use schedule::{
    CatchUp, Overlap, Prioritize, ScheduleStarted, ScheduleSubmission, ScheduleView,
    ScheduledRunView, SkippedView,
};
pub use supervision::{
    EscalationAnswer, EscalationView, Lift, MeasureRequest, MeasureView, PassedView, RungView,
    VoteView,
};
pub use task::{ParkedView, StepView, TaskSpec, TaskStatus, TaskSubmission, TaskView};
pub use time::Stamp;
pub use trace::{TraceRow, TraceView};
pub use worker::{
    ClaimAnswer, ClaimRequest, ClaimedTask, CompleteRequest, ExtendAnswer, ExtendRequest,
    FailRequest, FinishAnswer, HeldToken, LeaveAnswer, TokenAnswer, WORKER_SESSION, WorkFailure,
    WorkResult, WorkerRegistration, WorkerSession, WorkerSkill, WorkerView,
};
pub use workflow::{CheckpointView, ConsistencyView, LayerDecisionView, WorkflowView};

/// A JSON text that is passed on as it is.
pub type Json = Box<serde_json::value::RawValue>;

/// A value that is there, `null` too: where it is not, serde takes the default and does not ask.
fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Json>, D::Error> {
    serde::Deserialize::deserialize(from).map(Some)
}
