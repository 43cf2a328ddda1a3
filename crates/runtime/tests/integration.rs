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
#[path = "integration/effects.rs"]
mod effects;
#[path = "integration/fail_stop.rs"]
mod fail_stop;
#[path = "integration/faulty_files.rs"]
mod faulty_files;
#[path = "integration/models.rs"]
mod models;
#[path = "integration/stopping.rs"]
mod stopping;
#[path = "integration/sync.rs"]
mod sync;
#[path = "integration/world.rs"]
mod world;
