//! Declared agents that call services, against a real server on the loopback that does what a test
//! says: it counts by key, refuses, hangs, breaks off, and echoes what it should not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    reason = "tests"
)]

#[path = "agents/calls.rs"]
mod calls;
#[path = "agents/deployments.rs"]
mod deployments;
#[path = "agents/joining.rs"]
mod joining;
#[path = "agents/probes.rs"]
mod probes;
#[path = "agents/server.rs"]
mod server;
#[path = "agents/world.rs"]
mod world;
