//! The server over real loopback HTTP, before a real instance in a directory of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "tests"
)]

mod integration {
    mod archived;
    mod batch;
    mod borders;
    mod children;
    mod events;
    mod explained;
    mod forks;
    mod hostile;
    mod keyed_limits;
    mod messages;
    mod routes;
    mod schedules;
    mod signals;
    mod supervision;
    pub(crate) mod support;
    mod watching;
    mod workers;
    mod workflows;
}
