//! Raw system calls, and what the attacker knows of the world outside.

use std::ffi::CString;
use std::io;
use std::path::PathBuf;

/// What the test put up outside, for the attacker to reach.
pub(crate) struct Target {
    /// A file of the host that no mount shows; it holds [`Target::secret`].
    pub(crate) file: PathBuf,
    /// What the canary file holds.
    pub(crate) secret: String,
    /// A TCP and UDP port on the host's loopback.
    pub(crate) port: u16,
    /// A listening socket of the host in a directory that no mount shows.
    pub(crate) socket: PathBuf,
    /// The name of a listening abstract socket of the host.
    pub(crate) abstract_name: String,
    /// A process of the host.
    pub(crate) pid: i32,
    /// A System V shared memory key in use on the host.
    pub(crate) shm_key: i32,
    /// A directory inside that may be written, and is collected afterwards.
    pub(crate) out: PathBuf,
    /// A directory inside that may only be read.
    pub(crate) shown: PathBuf,
}

impl Target {
    pub(crate) fn from_environment() -> Self {
        let text = |name: &str| std::env::var(name).unwrap_or_default();
        Target {
            file: text("CANARY_FILE").into(),
            secret: text("CANARY_SECRET"),
            port: text("CANARY_PORT").parse().unwrap_or(1),
            socket: text("CANARY_SOCKET").into(),
            abstract_name: text("CANARY_ABSTRACT"),
            pid: text("CANARY_PID").parse().unwrap_or(1),
            shm_key: text("CANARY_SHM").parse().unwrap_or(0),
            out: text("CANARY_OUT").into(),
            shown: text("CANARY_SHOWN").into(),
        }
    }
}

/// A system call; pointers travel as numbers.
pub(crate) fn call(number: libc::c_long, args: &[usize]) -> io::Result<usize> {
    let arg = |i: usize| args.get(i).copied().unwrap_or(0);
    // SAFETY: the callers pass pointers to live, large enough memory of their own; this program
    // has nothing to lose.
    let answer = unsafe { libc::syscall(number, arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)) };
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}

/// A try that is one system call: getting an answer is getting out.
pub(crate) fn forbidden(what: &str, number: libc::c_long, args: &[usize]) -> super::Try {
    match call(number, args) {
        Ok(answer) => Ok(format!("{what} answered {answer}")),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

/// The address of a text for the kernel.
pub(crate) fn text(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

pub(crate) fn at(text: &CString) -> usize {
    text.as_ptr() as usize
}

/// What an I/O error means to a try.
pub(crate) fn refused<T>(what: &str) -> impl FnOnce(io::Error) -> Result<T, String> {
    let what = what.to_owned();
    move |error| Err(format!("{what}: {error}"))
}
