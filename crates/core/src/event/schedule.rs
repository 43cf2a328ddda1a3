//! What happened to schedules.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::authority::Authority;
use crate::error::Failure;
use crate::schedule::ScheduleSpec;
use crate::text::Text;
use crate::time::Time;

/// A schedule as it was put.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct SchedulePut {
    /// Its number: a new one, or that of the schedule it replaces.
    #[n(0)]
    pub schedule: u64,
    /// The tenant.
    #[n(1)]
    pub namespace: Text,
    /// What somebody wants.
    #[n(2)]
    #[cbor(with = "crate::shared")]
    pub spec: Arc<ScheduleSpec>,
    /// Under whose authority its runs begin.
    #[n(3)]
    pub authority: Authority,
    /// Seed of its jitter and of the ids of its runs.
    #[n(4)]
    pub seed: u64,
    /// The next time by its pattern.
    #[n(5)]
    pub next: Option<Time>,
    /// Whether it is a part of what is deployed.
    #[n(6)]
    #[cbor(skip_if = "crate::shared::is_default", default)]
    pub deployed: bool,
}

/// A schedule began a run.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct ScheduleFired {
    /// Its number.
    #[n(0)]
    pub schedule: u64,
    /// Its name.
    #[n(1)]
    pub name: Text,
    /// The time by its pattern that the run is for.
    #[n(2)]
    pub time: Time,
    /// What made it begin.
    #[n(3)]
    pub trigger: Trigger,
    /// The next time by its pattern.
    #[n(4)]
    pub next: Option<Time>,
    /// The run is for all times missed since this one.
    #[n(5)]
    pub since: Option<Time>,
}

/// What made a schedule begin a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, serde::Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Its time has come.
    #[n(0)]
    Due,
    /// Its time had come, and the run before is over now.
    #[n(1)]
    Queued,
    /// Somebody asked for it.
    #[n(2)]
    Manual,
}

/// A time of a schedule passed without a run.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct ScheduleSkipped {
    /// Its number.
    #[n(0)]
    pub schedule: u64,
    /// The time by its pattern; the newest of them where several were missed.
    #[n(1)]
    pub time: Time,
    /// The next one.
    #[n(2)]
    pub next: Option<Time>,
    /// Why.
    #[n(3)]
    pub cause: ScheduleSkip,
    /// All times since this one passed.
    #[n(4)]
    pub since: Option<Time>,
    /// Whether it stood in the schedule's queue; none: it was due.
    #[n(5)]
    pub queued: Option<bool>,
}

/// Why a time of a schedule passed without a run.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleSkip {
    /// A run of it was not over.
    #[n(0)]
    Overlap,
    /// Too many of its times wait.
    #[n(1)]
    QueueFull,
    /// It passed while nobody could act on it, and is not made up for.
    #[n(2)]
    Missed,
    /// The run was refused.
    #[n(3)]
    Refused(#[n(0)] Failure),
}
