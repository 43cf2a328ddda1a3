//! `cargo xtask sim`: forwards to the simulator, whose flags are its own.

use crate::place::Place;
use crate::shell::{self, Failed};

/// Builds the simulator and runs it with the given flags.
pub(crate) fn run(place: &Place, args: &[String]) -> Result<(), Failed> {
    let mut command = shell::command("cargo", &place.root);
    command.args(["run", "--quiet", "--package", "ark-os-sim", "--bin", "ark-os-sim", "--"]);
    command.args(args);
    shell::run(command)
}
