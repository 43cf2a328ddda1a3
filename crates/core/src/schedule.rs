//! Schedules: runs that begin by the calendar. `core` has neither a clock nor time zones: when a
//! schedule is next due is worked out by the runtime and comes in with the command.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::budget::Amounts;
use crate::payload::Payload;
use crate::plan::Workflow;
use crate::priority::Priority;
use crate::text::Text;

mod book;

pub use book::{LastRun, LastSkip, Schedule, Schedules};

/// A schedule as somebody wants it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct ScheduleSpec {
    /// Its name in its namespace: 1-100 of `[A-Za-z0-9_-]`.
    #[n(0)]
    pub name: Text,
    /// When: a cron pattern of five fields, or six with seconds first.
    #[n(1)]
    pub cron: Text,
    /// The time zone in which the pattern is read, such as `Europe/Berlin`.
    #[n(2)]
    pub zone: Text,
    /// What becomes of times that passed while nobody could act on them.
    #[n(3)]
    pub catch_up: CatchUp,
    /// What happens when it is due and a run of it is not over.
    #[n(4)]
    pub overlap: Overlap,
    /// What it runs.
    #[n(5)]
    pub workflow: Planned,
    /// The input of each run.
    #[n(6)]
    pub input: Payload,
    /// How urgent its runs are.
    #[n(7)]
    pub priority: Priority,
    /// The account of each run.
    #[n(8)]
    pub budget: Option<Amounts>,
    /// Time for the whole of each run, in milliseconds.
    #[n(9)]
    pub deadline_ms: Option<u64>,
    /// Each run begins up to so many milliseconds late, by a draw of its own.
    #[n(10)]
    pub jitter_ms: Option<u64>,
    /// Whether it does nothing until it is resumed.
    #[n(11)]
    pub is_paused: bool,
}

impl ScheduleSpec {
    /// A schedule in UTC with an empty input, and every rule as it is where nobody says.
    pub fn new(name: Text, cron: &str, workflow: Planned) -> Self {
        ScheduleSpec {
            name,
            cron: cron.into(),
            zone: "UTC".into(),
            catch_up: CatchUp::default(),
            overlap: Overlap::default(),
            workflow,
            input: Payload::inline(&b"{}"[..]),
            priority: Priority::default(),
            budget: None,
            deadline_ms: None,
            jitter_ms: None,
            is_paused: false,
        }
    }
}

/// What a schedule runs.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Planned {
    /// A deployed workflow, in the version that is live when it is due.
    #[n(0)]
    Named(#[n(0)] Text),
    /// This one.
    #[n(1)]
    Inline(
        #[n(0)]
        #[cbor(with = "crate::shared")]
        Arc<Workflow>,
    ),
}

impl Planned {
    /// The name of the workflow.
    pub fn name(&self) -> &Text {
        match self {
            Planned::Named(name) => name,
            Planned::Inline(workflow) => &workflow.name,
        }
    }
}

/// What becomes of times that passed while nobody could act on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// Nothing: only times no older than [`crate::limits::SCHEDULE_LATE_MS_MAX`] still count.
    #[n(0)]
    Skip,
    /// One run for all of them.
    #[default]
    #[n(1)]
    One,
    /// A run for each, for the newest so many.
    #[n(2)]
    All {
        /// How many: 1 to [`crate::limits::SCHEDULE_CATCH_UP_MAX`].
        #[n(0)]
        max: u32,
    },
}

/// What happens when a schedule is due and a run of it is not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Another run begins beside it.
    #[n(0)]
    Allow,
    /// Nothing; it is recorded that it was due.
    #[default]
    #[n(1)]
    Skip,
    /// The next one begins when that run is over.
    #[n(2)]
    Queue,
    /// That run is cancelled, and the next one begins.
    #[n(3)]
    CancelPrevious,
}
