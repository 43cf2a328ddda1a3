//! The real binary, as a process: killed at its mutating system calls, with a disk that fails or is
//! full, and told to end while it works. What it accepted is never lost, and no effect happens
//! twice.
//!
//! The node is `examples/counting_node.rs`, or the program as it is delivered with the agents of a
//! manifest; `strace` kills it, lets its disk fail, or holds it until it is killed. `SWEEP_WIDE=1`
//! tries more places of what declared agents do. Remote workers are processes of `python3` and `node`; the soak
//! takes `SOAK_SECONDS` and `SOAK_SEED`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

#[path = "process/client.rs"]
mod client;
#[path = "process/crew.rs"]
mod crew;
#[path = "process/declared.rs"]
mod declared;
#[path = "process/disk.rs"]
mod disk;
#[path = "process/effects.rs"]
mod effects;
#[path = "process/ending.rs"]
mod ending;
#[path = "process/held.rs"]
mod held;
#[path = "process/node.rs"]
mod node;
#[path = "process/points.rs"]
mod points;
#[path = "process/relay.rs"]
mod relay;
#[path = "process/script.rs"]
mod script;
#[path = "process/service.rs"]
mod service;
#[path = "process/sink.rs"]
mod sink;
#[path = "process/soak.rs"]
mod soak;
#[path = "process/support.rs"]
mod support;
#[path = "process/sweep.rs"]
mod sweep;
#[path = "process/work.rs"]
mod work;
#[path = "process/workers.rs"]
mod workers;
