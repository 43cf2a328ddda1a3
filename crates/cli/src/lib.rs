//! Wires: the command line of ARK-OS, as a library so that a binary with skills of its own is one
//! line long.
//!
//! [`main_with`] parses the command line and carries out one command; each command is a file in
//! `commands/`, whose doc comment is its help.

mod bench;
mod client;
mod commands;
mod config;
mod environment;
mod failure;
mod logs;
mod manifest_file;
mod node;
mod output;
mod progress;
mod session;
mod show;
mod submission;
mod terminal;
mod threads;
mod tokio_tasks;

use std::process::ExitCode;

use ark_os_runtime::Components;

/// Runs the command line of the process; an instance that it starts is made of these components.
#[must_use]
pub fn main_with(components: Components) -> ExitCode {
    let exit = commands::main(components);
    ExitCode::from(exit.code())
}
