//! Wires: the command line of ARK-OS, as a library so that a binary with skills of its own is one
//! line long.
//!
//! [`main_with`] parses the command line and carries out one command; each command is a file in
//! `commands/`, whose doc comment is its help.

mod agents;
mod bench;
mod bounded;
mod client;
mod commands;
mod compat;
mod config;
mod conformance;
mod environment;
mod failure;
mod fleet_manifest;
mod hints;
mod logs;
mod manifest_file;
mod monitor;
mod node;
mod output;
mod progress;
mod schedule_file;
mod session;
mod show;
mod simulation;
mod submission;
mod terminal;
mod threads;
mod tokio_tasks;
mod waterfall;

use std::process::ExitCode;

use ark_os_runtime::Components;

/// Runs the command line of the process; an instance that it starts is made of these components.
///
/// The process may also have been started to be the launcher of a jailed program, which it is before
/// anything else: a launcher must have no threads.
#[must_use]
pub fn main_with(components: impl FnOnce() -> Components) -> ExitCode {
    if let Some(code) = ark_os_sandbox::launcher_main_if_asked() {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let exit = commands::main(components());
    ExitCode::from(exit.code())
}
