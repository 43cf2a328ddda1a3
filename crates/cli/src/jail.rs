//! The process's one jail, opened when something first needs it: trying out what the machine can
//! hold takes some milliseconds, which a command without such work need not spend.

use std::sync::OnceLock;

use ark_os_sandbox::{Jail, SandboxError, Settings};

/// The jail, or why this machine has none. Its launcher is this program itself, which is sound because
/// [`crate::main_with`] looks first whether it is asked to be one.
///
/// # Errors
/// The launcher cannot be started.
pub fn jail() -> Result<Jail, SandboxError> {
    static JAIL: OnceLock<Result<Jail, SandboxError>> = OnceLock::new();
    JAIL.get_or_init(|| Jail::open(Settings::default())).clone()
}
