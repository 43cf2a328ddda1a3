//! What a test of processes needs of this machine: other programs, the clock, short waits.

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
    std::env::var_os("ARK_OS_SWEEP_WIDE").is_some()
}

#[expect(clippy::disallowed_methods, reason = "a test must end, also when the node hangs")]
pub(crate) fn now() -> Instant {
    Instant::now()
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
