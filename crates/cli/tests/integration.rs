//! The binary as people and programs use it: help, configuration, files, runs, the ledger, exit codes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "helpers of tests may fail loudly, and start what they test"
)]

#[path = "integration/agents.rs"]
mod agents;
#[path = "integration/audit.rs"]
mod audit;
#[path = "integration/backup.rs"]
mod backup;
#[path = "integration/compat.rs"]
mod compat;
#[path = "integration/config.rs"]
mod config;
#[path = "integration/deploy.rs"]
mod deploy;
#[path = "integration/explained.rs"]
mod explained;
#[path = "integration/help.rs"]
mod help;
#[path = "integration/instance.rs"]
mod instance;
#[path = "integration/ledger.rs"]
mod ledger;
#[path = "integration/messages.rs"]
mod messages;
#[path = "integration/monitor.rs"]
mod monitor;
#[path = "integration/noa.rs"]
mod noa;
#[path = "integration/reload.rs"]
mod reload;
#[path = "integration/runs.rs"]
mod runs;
#[path = "integration/sandbox.rs"]
mod sandbox;
#[path = "integration/schedules.rs"]
mod schedules;
#[path = "integration/sim.rs"]
mod sim;
#[path = "integration/supervision.rs"]
mod supervision;
#[path = "integration/support.rs"]
mod support;
#[path = "integration/upgrade.rs"]
mod upgrade;
#[path = "integration/workflows.rs"]
mod workflows;
