//! Instances with agents that misbehave, effects on the world, disks that fail, and models of the
//! state that threads share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "integration/agents.rs"]
mod agents;
#[path = "integration/backlog.rs"]
mod backlog;
#[path = "integration/bare_calls.rs"]
mod bare_calls;
#[path = "integration/bare_loop.rs"]
mod bare_loop;
#[path = "integration/blobs.rs"]
mod blobs;
#[path = "integration/effects.rs"]
mod effects;
#[path = "integration/fail_stop.rs"]
mod fail_stop;
#[path = "integration/faulty_files.rs"]
mod faulty_files;
#[path = "integration/hanging.rs"]
mod hanging;
#[path = "integration/joining.rs"]
mod joining;
#[path = "integration/keeping.rs"]
mod keeping;
#[path = "integration/killing.rs"]
mod killing;
#[path = "integration/limits.rs"]
mod limits;
#[path = "integration/long_requests.rs"]
mod long_requests;
#[path = "integration/messages.rs"]
mod messages;
#[path = "integration/models.rs"]
mod models;
#[path = "integration/proofs.rs"]
mod proofs;
#[path = "integration/restoring.rs"]
mod restoring;
#[path = "integration/retention.rs"]
mod retention;
#[path = "integration/stalling.rs"]
mod stalling;
#[path = "integration/stopping.rs"]
mod stopping;
#[path = "integration/sync.rs"]
mod sync;
#[path = "integration/views.rs"]
mod views;
#[path = "integration/waiting.rs"]
mod waiting;
#[path = "integration/world.rs"]
mod world;
