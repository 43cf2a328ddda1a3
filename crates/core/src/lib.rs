//! Decides: the pure, deterministic heart of ARK-OS.
//!
//! No I/O, clock, randomness, floats or hash order in here: `decide` turns a command into events,
//! `State::apply` folds events into state, and replaying the journal gives the same state again.
//!
//! Read in this order: [`command`], [`event`], [`decide`], [`state`].

pub mod agent;
pub mod authority;
pub mod backlog;
pub mod budget;
pub mod child_run;
pub mod command;
pub mod decide;
pub mod deployment;
pub mod effect;
pub mod error;
pub mod event;
pub mod event_numbers;
pub mod fleet;
pub mod hash;
pub mod ids;
pub mod keyed_limit;
pub mod layer;
pub mod limits;
pub mod manifest;
pub mod payload;
pub mod plan;
pub mod priority;
pub mod progress;
pub mod queue;
pub mod rules;
pub mod run;
pub mod schedule;
pub mod settings_change;
mod shared;
pub mod state;
pub mod step;
pub mod supervision;
pub mod text;
pub mod time;
pub mod timers;

pub use command::Command;
pub use decide::decide;
pub use error::{Kind, Rejected};
pub use event::{Change, Event};
pub use state::State;
