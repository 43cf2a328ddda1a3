//! The `ark-os` binary: the command line with the built-in skills, and a jail for those that need one.

use std::process::ExitCode;

use ark_os_runtime::Components;
use ark_os_runtime::skills::SkillSet;

// Attempts allocate on many threads at once; this allocator is built for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ark_os::main_with(components)
}

fn components() -> Components {
    Components { skills: SkillSet::builtin_with(Some(ark_os::jail)), ..Components::builtin() }
}
