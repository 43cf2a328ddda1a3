//! Acts: the loop, the committer, timers, supervision and native agents.
//!
//! [`kernel`] is the loop's synchronous step, which the simulator links too; everything else here
//! is threads, sockets, clocks and files around it. [`Instance`] puts them together; the rest of
//! the program holds a [`Handle`].

pub mod agents;
pub mod calendar;
pub mod clock;
pub mod data;
pub mod deployment;
pub mod forks;
pub mod handle;
pub mod history;
pub mod instance;
pub mod keeper;
pub mod kernel;
pub mod messages;
pub mod metrics;
pub mod opening;
pub mod proofs;
pub mod remote;
pub mod schedules;
pub mod settings;
pub mod signals;
pub mod skills;
pub mod submission;
pub mod telemetry;

mod committer;
mod driver;
mod error;
mod follower;
mod plans;
mod reply;
mod run_ids;
mod sync;
mod threads;
mod workers;

pub use ark_os_store::journal::RecordPlace;
/// Queries over the views, for those who may not know the store.
pub use ark_os_store::views;
pub use error::RuntimeError;
pub use forks::{ForkPoint, ForkRequest, Forked};
pub use handle::{Handle, Outcome, Submitted};
pub use history::{Admitted, HistoryPage, RecordedEvents};
pub use instance::{Components, Instance};
pub use reply::Lines;
pub use schedules::ScheduleRequest;
pub use settings::Settings;
pub use signals::SignalRequest;
pub use submission::{PlanRequest, RunRequest, Start, TaskRequest};
