//! The attacker: one program that tries to get out of the jail it runs in, one way a run.
//!
//! `escapes list` names the ways, `escapes try NAME` tries one. It says `refused: …` and ends with
//! 0, or `ESCAPED: …` and ends with 42. What it aims at stands in the environment (see [`Target`]):
//! canaries that the test put up outside. The test runs every way outside too, where that does no
//! harm, so that a way that could never work is found out.

#![expect(
    unsafe_code,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "an attacker keeps no rules of the house; it is a part of the tests"
)]

use std::process::ExitCode;

mod bombs;
mod files;
mod kernel;
mod network;
mod processes;
mod system;

use system::Target;

/// What came of a try: how it got out, or what held it.
pub(crate) type Try = Result<String, String>;

/// One way out.
pub(crate) struct Way {
    /// Its name.
    pub(crate) name: &'static str,
    /// Tries it.
    pub(crate) attempt: fn(&Target) -> Try,
}

/// The status of a try that got out.
const ESCAPED: u8 = 42;

fn ways() -> impl Iterator<Item = &'static Way> {
    network::WAYS
        .iter()
        .chain(files::WAYS)
        .chain(processes::WAYS)
        .chain(kernel::WAYS)
        .chain(bombs::WAYS)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["list"] => {
            ways().for_each(|way| println!("{}", way.name));
            ExitCode::SUCCESS
        }
        ["try", name] => match ways().find(|way| way.name == *name) {
            Some(way) => report((way.attempt)(&Target::from_environment())),
            None => ExitCode::from(2),
        },
        _ => ExitCode::from(2),
    }
}

fn report(outcome: Try) -> ExitCode {
    match outcome {
        Ok(how) => {
            println!("ESCAPED: {how}");
            ExitCode::from(ESCAPED)
        }
        Err(why) => {
            println!("refused: {why}");
            ExitCode::SUCCESS
        }
    }
}
