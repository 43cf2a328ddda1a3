//! Real programs in real jails, as root and as an ordinary user: what they can do, what they cannot,
//! and what ends them.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "helpers of tests may fail loudly, and start what they test"
)]

#[path = "integration/apart.rs"]
mod apart;
#[path = "integration/limits.rs"]
mod limits;
#[path = "integration/mounts.rs"]
mod mounts;
#[path = "integration/programs.rs"]
mod programs;
#[path = "integration/support.rs"]
mod support;
