//! The `ark-os` binary: the command line with the built-in skills.

use std::process::ExitCode;

// Attempts allocate on many threads at once; this allocator is built for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ark_os::main_with(ark_os_runtime::Components::builtin)
}
