//! The `ark-os` binary: the command line with the built-in skills, and a jail for those that need one.

use std::process::ExitCode;

use ark_os_runtime::Components;
use ark_os_runtime::skills::{JailSource, SkillSet};
use ark_os_sandbox::Settings;

// Attempts allocate on many threads at once; this allocator is built for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    use_small_pages();
    ark_os::main_with(components)
}

/// Huge pages cost an idle instance half as much memory again, and make nothing faster here
/// (`docs/benchmarks.md`).
fn use_small_pages() {
    #[cfg(target_os = "linux")]
    // A kernel without the choice has no huge pages to give.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// The launcher of the jail is this program itself: `main_with` looks first whether it is asked to be.
fn components() -> Components {
    let jail = JailSource::with(Settings::default());
    Components { skills: SkillSet::builtin_with(&jail), ..Components::builtin() }
}
