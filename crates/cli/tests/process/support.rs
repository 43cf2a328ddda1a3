//! What a test of processes needs of this machine: other programs, the clock, short waits.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Between two looks at another process, which has no way to tell us.
const LOOK: Duration = Duration::from_millis(2);

#[expect(clippy::disallowed_methods, reason = "these tests are about processes")]
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

#[expect(clippy::disallowed_methods, reason = "who waits for a connection")]
pub(crate) fn background(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}

/// Whether everything is to be tried that there is, however long it takes.
#[expect(clippy::disallowed_methods, reason = "who starts the tests says so")]
pub(crate) fn is_wide() -> bool {
    std::env::var_os("SWEEP_WIDE").is_some()
}

/// A number that whoever starts the tests gives.
#[expect(clippy::disallowed_methods, reason = "who starts the tests says so")]
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

#[expect(clippy::disallowed_methods, reason = "a test must end, also when the node hangs")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Depth at which a control group is looked for: services and containers nest a few.
const GROUPS_DEPTH: usize = 6;

/// The control groups of jobs that this process has made.
pub(crate) fn groups_of(pid: i32) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut level = vec![PathBuf::from("/sys/fs/cgroup")];
    let name = format!("ark-os-jail-{pid}-");
    for _ in 0..GROUPS_DEPTH {
        let entries = level.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten();
        let dirs = entries.flatten().filter(|it| it.file_type().is_ok_and(|it| it.is_dir()));
        level = dirs.map(|it| it.path()).collect();
        let is_of = |it: &&PathBuf| {
            it.file_name().is_some_and(|it| it.to_string_lossy().starts_with(&name))
        };
        found.extend(level.iter().filter(is_of).cloned());
    }
    found
}

/// Whether a process is there that has not ended.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // What follows the name: one that nobody has waited for yet is a zombie.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Looks until there is something; none: not in time.
pub(crate) fn await_some<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if now().duration_since(begun) > patience {
            return None;
        }
        std::thread::park_timeout(LOOK);
    }
}
