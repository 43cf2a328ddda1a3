//! The project's only task runner: `cargo xtask <task>`; the Makefile and CI forward to it.

mod bench;
mod check;
mod openapi;
mod place;
mod proofs;
mod shell;
mod sim;
mod tidy;

use std::process::ExitCode;

use place::Place;
use shell::{Failed, say};

const USAGE: &str = "\
cargo xtask <task>

  test     [--quick] [--step NAME]... [--list]   everything CI checks, in order, timed
  tidy                                           crate edges, headers, lengths, names, documents, licences
  openapi  [--check]                             write docs/openapi.json, or compare it with the code
  proofs   [--mutations N] [--seed S]            two verifiers of proof bundles on mutations of real ones
  sim      [--seeds N] [--seed S] ...            the simulator; its own flags follow
  bench    [--suite engine|scale|all]            release build and benches, one JSON document; `--kind journal`:
                                                 the journal alone; other flags go to `ark-os bench`";

fn main() -> ExitCode {
    let args = shell::arguments();
    let rest = args.get(1..).unwrap_or_default();
    let task = args.first().map(String::as_str);
    let place = match Place::here() {
        Ok(place) => place,
        Err(failed) => return report(Err(failed)),
    };
    match task {
        Some("test") => report(check::run(&place, rest)),
        Some("tidy") => report(tidy::run(&place)),
        Some("openapi") => report(openapi::run(&place, rest)),
        Some("proofs") => report(proofs::run(&place, rest)),
        Some("sim") => report(sim::run(&place, rest)),
        Some("bench") => report(bench::run(&place, rest)),
        Some("help" | "--help" | "-h") => {
            say(USAGE);
            ExitCode::SUCCESS
        }
        Some(unknown) => {
            say(&format!("no task `{unknown}`\n\n{USAGE}"));
            ExitCode::from(2)
        }
        None => {
            say(USAGE);
            ExitCode::from(2)
        }
    }
}

fn report(outcome: Result<(), Failed>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            say(&format!("xtask: {failed}"));
            ExitCode::FAILURE
        }
    }
}
