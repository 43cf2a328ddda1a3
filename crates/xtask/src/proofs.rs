//! `cargo xtask proofs`: holds the two verifiers of proof bundles against each other.

use std::path::PathBuf;

use crate::check;
use crate::place::Place;
use crate::shell::{self, Failed};

/// Builds the program that mutates bundles and runs it with the given flags.
pub(crate) fn run(place: &Place, args: &[String]) -> Result<(), Failed> {
    let mut build = shell::command("cargo", &place.root);
    build.args(["build", "--quiet", "--package", "ark-os-testkit", "--bin", "ark-os-proofs"]);
    shell::run(build)?;
    run_built(place, check::python(place), args)
}

/// Runs it as it was built, on this Python.
pub(crate) fn run_built(
    place: &Place,
    python: Option<PathBuf>,
    args: &[String],
) -> Result<(), Failed> {
    let python = python.ok_or_else(|| {
        Failed::new(
            "there is no Python 3 with `cryptography`: `cargo xtask test --step setup`".into(),
        )
    })?;
    let mut command = shell::command(place.debug_binary("ark-os-proofs"), &place.root);
    command.arg("--python").arg(python).args(args);
    shell::run(command)
}
