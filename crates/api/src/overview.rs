//! The whole of an instance on one page: what somebody who watches it needs, in one request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{HistogramView, Json, RunView, Stamp};

/// An instance at a moment. Telemetry, not evidence.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// When it was looked at, by the instance's clock.
    pub at: Stamp,
    /// Version of the program.
    pub version: String,
    /// `autonomous`, `supervised` or `interactive`.
    pub mode: String,
    /// `ok`, `degraded` (a layer is empty, its step waits), `frozen` (an emergency measure keeps new runs
    /// out) or `draining`.
    pub status: String,
    /// Starts of an instance on this journal.
    pub epoch: u64,
    /// Newest durable record.
    pub journal: u64,
    /// Durable records that the lists of runs do not show yet.
    pub views_behind: u64,
    /// The fleet.
    pub fleet: FleetOverview,
    /// The runs of one namespace.
    pub runs: RunsOverview,
    /// A row for every skill on offer or waited for, by name; behind them those of limits, at most 100, with most
    /// in line first.
    pub queues: Vec<QueueView>,
    /// How much gets done, and how fast.
    pub rates: RatesView,
    /// What the fleet could not mend by itself and nobody has answered.
    #[serde(default)]
    pub escalations: EscalationsOverview,
    /// What somebody should look at, most urgent first; at most 100.
    pub attention: Vec<AttentionView>,
    /// How many more there are, as far as they were counted.
    #[serde(default)]
    pub attention_left_out: u64,
}

/// How much was escalated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EscalationsOverview {
    /// Open ones.
    pub open: u64,
    /// Those of them that wait for a person.
    pub human: u64,
    /// Not raised at once because too many were open.
    pub missed: u64,
}

/// The fleet by layer and stack; at most a second old.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetOverview {
    /// All agents.
    pub agents: u32,
    /// Progress tokens in use: attempts under way.
    pub busy: u32,
    /// Progress tokens in all.
    pub capacity: u32,
    /// The six layers, highest first.
    pub layers: Vec<LayerOverview>,
    /// The stacks, at most 1 000.
    pub stacks: Vec<StackOverview>,
    /// The highest layer that has nobody to do its step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_layer: Option<String>,
}

/// How many agents stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Standings {
    /// Can work.
    pub ready: u32,
    /// Will be back after a pause.
    pub restarting: u32,
    /// Another one takes the seat.
    pub replaced: u32,
    /// Taken out.
    pub offline: u32,
    /// Of a deployment that is under way.
    #[serde(default)]
    pub starting: u32,
    /// On their way out.
    #[serde(default)]
    pub draining: u32,
    /// Not heard of for too long.
    #[serde(default)]
    pub suspect: u32,
    /// Kept from work.
    #[serde(default)]
    pub quarantined: u32,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayerOverview {
    /// `cecca`, `board`, `executive`, `stack-chief`, `specialist` or `micro`.
    pub layer: String,
    /// Its agents; 0: the runtime holds its seat.
    pub agents: u32,
    /// How they stand.
    pub standings: Standings,
    /// Attempts under way.
    pub busy: u32,
}

/// One stack: its chief and those he supervises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StackOverview {
    /// Its number.
    pub stack: u32,
    /// Who leads it; absent: the runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chief: Option<String>,
    /// How the chief stands; absent: the runtime leads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chief_standing: Option<String>,
    /// Its specialists and micros.
    pub agents: u32,
    /// How they stand.
    pub standings: Standings,
    /// Progress tokens in use.
    pub busy: u32,
    /// Progress tokens in all.
    pub capacity: u32,
}

/// The runs of a namespace.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RunsOverview {
    /// The tenant.
    pub namespace: String,
    /// Runs of the whole instance that are not over.
    pub live: u64,
    /// Of those, the ones that wait on disk for a place in memory.
    pub on_disk: u64,
    /// Runs of the namespace by state; states without runs are left out.
    pub by_state: BTreeMap<String, u64>,
    /// At most 20: those that run, wait, are paused or parked, newest first; then the newest of the
    /// others. Without outputs.
    pub shown: Vec<RunView>,
}

/// Those who wait for a skill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueView {
    /// Its name; of a limit: the limit's.
    pub skill: String,
    /// What its work may do to the world; of a limit: `limit`.
    pub class: String,
    /// Of a limit: its key, empty where it has none. Absent: a skill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Of a limit: whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Of a limit with a rate: how many began in the last period, and how many may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateView>,
    /// Tasks in line; a map's children that have not begun count as one.
    pub ready: u64,
    /// Attempts under way.
    pub running: u32,
    /// Attempts at one time; absent: as many as the fleet can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_max: Option<u32>,
    /// How long the task whose turn is next has been in line. Among tasks of one priority that is the oldest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_waited_ms: Option<u64>,
    /// The run of that task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<String>,
}

/// How a rate stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RateView {
    /// How many began in the last period.
    pub begun: u32,
    /// How many may.
    pub count: u32,
    /// The period, in milliseconds.
    pub per_ms: u64,
    /// When the next of those in line may begin, as far as the period goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_in_ms: Option<u64>,
}

/// How much gets done, and how fast, measured by the instance once a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RatesView {
    /// What the numbers per second span: 10 s, less shortly after a start.
    pub window_ms: u64,
    /// Tasks that succeeded.
    pub tasks_per_s: f64,
    /// Attempts that ended without success.
    pub failures_per_s: f64,
    /// Runs accepted.
    pub accepted_per_s: f64,
    /// Runs that came to their end.
    pub runs_per_s: f64,
    /// Records of the journal.
    pub records_per_s: f64,
    /// How long attempts took, in the time of `history`.
    pub attempt: HistogramView,
    /// How long batches took to become durable, in the time of `history`.
    pub commit: HistogramView,
    /// One value a second, oldest first, at most the last 300 s.
    pub history: RateHistory,
    /// Numbers since the start of the instance.
    pub totals: BTreeMap<String, u64>,
}

/// One value a second, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RateHistory {
    /// Tasks that succeeded.
    pub tasks: Vec<u64>,
    /// Attempts that ended without success.
    pub failures: Vec<u64>,
    /// Runs that came to their end.
    pub runs: Vec<u64>,
}

/// Something that somebody should look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttentionView {
    /// `draining`, `layer_empty`, `measure_in_force`, `escalated`, `step_in_doubt`, `task_parked`, `run_parked`, `agent_offline`,
    /// `agent_restarting`, `agent_replaced`, `agent_struck` or `unhealthy`.
    pub kind: String,
    /// In words.
    pub text: String,
    /// The run that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The step's key: what `resolve` takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// The newest lines of the instance's log, as far as they are in memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// Oldest first.
    pub items: Vec<LogLine>,
    /// `after` of the next page: the number of the newest line that was looked at.
    pub next: u64,
    /// Lines between `after` and the first of these that are not in memory any more.
    pub lost: u64,
}

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Its number since the start of the instance, from 1.
    pub number: u64,
    /// The line as JSON logs have it: `timestamp`, `level`, `message` and more.
    #[schema(value_type = Object)]
    pub line: Json,
}
