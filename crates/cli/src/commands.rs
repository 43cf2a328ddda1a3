//! The command line: global options and the list of commands. Each command is a file below.

mod backup;
mod bench;
mod cancel;
mod compat;
mod completions;
mod config;
mod deploy;
mod diff;
mod doctor;
mod emergency;
mod escalations;
mod fork;
mod get;
mod graph;
mod ledger;
mod list;
mod logs;
mod man;
mod message;
mod monitor;
mod noa;
mod openapi;
mod orchestrator_sim;
mod pause;
mod prioritize;
mod resolve;
mod restore;
mod resume;
mod retry;
mod run;
mod sandbox;
mod scale;
mod schedule;
mod shutdown;
mod signal;
mod sim;
mod start;
mod submit;
mod trace;
mod unpark;
mod views;
mod workers;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ark_os_api::{Exit, Json};
use ark_os_runtime::Components;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use serde::Serialize;
use serde_json::Value;

use crate::bounded::read_bounded;
use crate::client::{Reach, segment};
use crate::environment::{Environment, arguments};
use crate::failure::Failure;
use crate::output::{Output, field_text};
use crate::session::Session;
use crate::terminal::Terminal;

/// What the exit code says; the table of `api` is its source.
const EXIT_CODES: &str = "\
Exit codes:
  0  done                      4  denied
  1  the work failed           5  refused by the present state (conflict, limit, not found)
  2  bad usage                 6  verification failed
  3  cannot reach the instance 7  waiting or parked: somebody has to act

The instance is found by --endpoint (with --token-file or ARK_OS_TOKEN), else --data-dir, else
ARK_OS_ENDPOINT, else the data directory's own record of it.";

/// Runs workflows durably on a fleet of agents.
#[derive(Debug, Parser)]
#[command(name = "ark-os", version, after_help = EXIT_CODES, max_term_width = 100)]
#[command(propagate_version = false, disable_help_subcommand = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Print JSON, errors too
    #[arg(long, global = true)]
    json: bool,
    /// Data directory [default: the user's state directory]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address of a running instance
    #[arg(long, global = true, value_name = "URL")]
    endpoint: Option<String>,
    /// File with that instance's token
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Start(start::Start),
    Run(run::Run),
    Submit(submit::Submit),
    Get(get::Get),
    List(list::List),
    Cancel(cancel::Cancel),
    Pause(pause::Pause),
    Resume(resume::Resume),
    Retry(retry::Retry),
    Fork(fork::Fork),
    Diff(diff::Diff),
    Prioritize(prioritize::Prioritize),
    Schedule(schedule::Schedule),
    Unpark(unpark::Unpark),
    Resolve(resolve::Resolve),
    Signal(signal::Signal),
    Scale(scale::Scale),
    Deploy(deploy::Deploy),
    Escalations(escalations::Escalations),
    Emergency(emergency::Emergency),
    Logs(logs::Logs),
    Message(message::Message),
    Trace(trace::Trace),
    Graph(graph::Graph),
    Monitor(monitor::Monitor),
    Shutdown(shutdown::Shutdown),
    Doctor(doctor::Doctor),
    Config(config::Config),
    Ledger(ledger::Ledger),
    Views(views::Views),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Noa(noa::Noa),
    Workers(workers::Workers),
    Sandbox(sandbox::Sandbox),
    OrchestratorSim(orchestrator_sim::OrchestratorSim),
    Sim(sim::Sim),
    Compat(compat::Compat),
    Bench(bench::Bench),
    Completions(completions::Completions),
    Man(man::Man),
    Openapi(openapi::Openapi),
}

impl Command {
    fn carry_out(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Command::Start(command) => command.carry_out(session),
            Command::Run(command) => command.carry_out(session),
            Command::Submit(command) => command.carry_out(session),
            Command::Get(command) => command.carry_out(session),
            Command::List(command) => command.carry_out(session),
            Command::Cancel(command) => command.carry_out(session),
            Command::Pause(command) => command.carry_out(session),
            Command::Resume(command) => command.carry_out(session),
            Command::Retry(command) => command.carry_out(session),
            Command::Fork(command) => command.carry_out(session),
            Command::Diff(command) => command.carry_out(session),
            Command::Prioritize(command) => command.carry_out(session),
            Command::Schedule(command) => command.carry_out(session),
            Command::Unpark(command) => command.carry_out(session),
            Command::Resolve(command) => command.carry_out(session),
            Command::Signal(command) => command.carry_out(session),
            Command::Scale(command) => command.carry_out(session),
            Command::Deploy(command) => command.carry_out(session),
            Command::Escalations(command) => command.carry_out(session),
            Command::Emergency(command) => command.carry_out(session),
            Command::Logs(command) => command.carry_out(session),
            Command::Message(command) => command.carry_out(session),
            Command::Trace(command) => command.carry_out(session),
            Command::Graph(command) => command.carry_out(session),
            Command::Monitor(command) => command.carry_out(session),
            Command::Shutdown(command) => command.carry_out(session),
            Command::Doctor(command) => command.carry_out(session),
            Command::Config(command) => command.carry_out(session),
            Command::Ledger(command) => command.carry_out(session),
            Command::Views(command) => command.carry_out(session),
            Command::Backup(command) => command.carry_out(session),
            Command::Restore(command) => command.carry_out(session),
            Command::Noa(command) => command.carry_out(session),
            Command::Workers(command) => command.carry_out(session),
            Command::Sandbox(command) => command.carry_out(session),
            Command::OrchestratorSim(command) => command.carry_out(session),
            Command::Sim(command) => command.carry_out(session),
            Command::Compat(command) => command.carry_out(session),
            Command::Bench(command) => command.carry_out(session),
            Command::Completions(command) => command.carry_out(session),
            Command::Man(command) => command.carry_out(session),
            Command::Openapi(command) => command.carry_out(session),
        }
    }
}

/// Asks for a change of a run, and tells how the run stands.
fn change_run(
    session: &Session,
    run: &str,
    verb: &str,
    body: &impl Serialize,
) -> Result<Exit, Failure> {
    change(session, &format!("/runs/{}/{verb}", segment(run)), body)
}

/// Asks for a change, and tells how what was changed stands.
fn change(session: &Session, path: &str, body: &impl Serialize) -> Result<Exit, Failure> {
    let client = session.client()?;
    let answer: Json = client.post(path, body, None)?;
    session.output.answer(&answer, |_| {
        let value: Value = serde_json::from_str(answer.get()).unwrap_or_default();
        vec![format!("{} {}", field_text(&value, "id"), field_text(&value, "state"))]
    })?;
    Ok(Exit::Done)
}

/// Largest JSON that is read from a file for one option: a larger one is an input of a run.
const JSON_BYTES_MAX: u64 = 16 << 20;

/// The JSON of an option: as it stands, or that of the file after an `@`.
fn json_given(text: &str, what: &str) -> Result<Json, Failure> {
    let read = match text.strip_prefix('@') {
        None => text.to_owned(),
        Some(path) => read_bounded(Path::new(path), JSON_BYTES_MAX)
            .map_err(|error| Failure::usage(format!("cannot read `{path}`: {error}")))?,
    };
    serde_json::from_str(&read)
        .map_err(|error| Failure::usage(format!("the {what} is no JSON: {error}")))
}

/// The command line as clap knows it, for completions and manual pages.
fn definition() -> clap::Command {
    Cli::command()
}

/// Parses the process's command line and does what it says.
pub(crate) fn main(components: Components) -> Exit {
    let environment = Environment::of_process();
    let terminal = Terminal::of_process(&environment);
    let arguments = arguments();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return bad_usage(&error, &arguments, terminal),
    };
    let Cli { global, command } = cli;
    let session = Session {
        output: Output::new(global.json, terminal),
        environment,
        reach: Reach {
            endpoint: global.endpoint,
            token_file: global.token_file,
            data_dir: global.data_dir,
        },
        components,
    };
    match command.carry_out(&session) {
        Ok(exit) => exit,
        Err(failure) if failure.is_closed_output() => Exit::Done,
        Err(failure) => {
            session.output.failure(&failure);
            failure.exit()
        }
    }
}

fn bad_usage(error: &clap::Error, arguments: &[OsString], terminal: Terminal) -> Exit {
    let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let wants_json = arguments.iter().take_while(|it| *it != "--").any(|it| it == "--json");
    if !wants_json || is_answer {
        // Help that nobody reads is no failure.
        let _ = error.print();
        return if is_answer { Exit::Done } else { Exit::Usage };
    }
    let text = error.render().to_string();
    let message = text.strip_prefix("error: ").unwrap_or(&text);
    let message = message.lines().next().unwrap_or("bad usage");
    Output::new(true, terminal).failure(&Failure::usage(message).with_hint("see --help"));
    Exit::Usage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
    }
}
