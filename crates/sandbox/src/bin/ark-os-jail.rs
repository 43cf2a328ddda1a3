//! The launcher as a program of its own; it does nothing when it is started by hand.

use std::process::ExitCode;

fn main() -> ExitCode {
    let code = ark_os_sandbox::launcher_main_if_asked();
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(2))
}
