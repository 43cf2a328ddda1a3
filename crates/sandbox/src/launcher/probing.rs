//! What this machine has: each namespace tried by itself, so that what is missing can be named.

use rustix::process::{WaitOptions, waitpid};

use super::command;
use crate::kernel::{self, NAMESPACES, Side};
use crate::plan::Found;

/// Tries everything that can be tried without a job.
pub(super) fn everything() -> Vec<Found> {
    let user = NAMESPACES.first().map_or(0, |(_, flag)| *flag);
    let mut found: Vec<Found> =
        NAMESPACES.iter().map(|(name, flag)| one(name, user | flag)).collect();
    found.push(Found {
        name: super::super::jail::LANDLOCK.to_owned(),
        missing: kernel::landlock_version().err().map(|error| error.to_string()),
    });
    found
}

fn one(name: &str, flags: u64) -> Found {
    let missing = match kernel::clone(flags) {
        Err(error) => Some(error.to_string()),
        Ok(Side::Child) => command::end(0),
        Ok(Side::Parent(pid)) => {
            waitpid(Some(pid), WaitOptions::empty()).err().map(|error| error.to_string())
        }
    };
    Found { name: name.to_owned(), missing }
}
