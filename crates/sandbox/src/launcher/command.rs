//! Starting the program itself.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use minicbor::bytes::ByteVec;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use super::{Result, failed};
use crate::error::Kind;
use crate::kernel::{self, Side};
use crate::plan::{Plan, Refused};

/// Ends this process without unwinding through what is a copy of another's stack.
#[expect(
    clippy::disallowed_methods,
    reason = "a doubled process must not return into its twin's main"
)]
pub(super) fn end(code: i32) -> ! {
    std::process::exit(code)
}

/// Starts the program; comes back when it is executed.
pub(super) fn start(plan: &Plan) -> Result<Pid> {
    let argv = strings(&plan.argv)?;
    let env = strings(&plan.env)?;
    let candidates = candidates(&plan.argv, &plan.path)?;
    let (told, tell) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("make a pipe"))?;
    match kernel::fork().map_err(failed("start the program"))? {
        Side::Child => {
            drop(told);
            // A plan without a program comes back without an error, and ends well.
            if let Err((step, error)) = become_program(plan, &candidates, &argv, &env) {
                let mut bytes = vec![step];
                bytes.extend(error.raw_os_error().to_be_bytes());
                let _ = rustix::io::write(&tell, &bytes);
            }
            end(0)
        }
        Side::Parent(pid) => {
            drop(tell);
            let mut bytes = [0; 5];
            match rustix::io::read(&told, &mut bytes) {
                Ok(0) => Ok(pid),
                Ok(_) => Err(refused(plan, bytes)),
                Err(error) => Err(failed("start the program")(error)),
            }
        }
    }
}

// What did not work, in one byte on the pipe.
const WORKDIR: u8 = 1;
const EXECUTE: u8 = 2;
const SIGNALS: u8 = 3;

/// Comes back only if something did not work, or if there is no program.
fn become_program(
    plan: &Plan,
    candidates: &[CString],
    argv: &[CString],
    env: &[CString],
) -> std::result::Result<(), (u8, Errno)> {
    rustix::process::setsid().map_err(|error| (SIGNALS, error))?;
    kernel::reset_signals().map_err(|error| (SIGNALS, error))?;
    let workdir = Path::new(OsStr::from_bytes(&plan.workdir));
    rustix::process::chdir(workdir).map_err(|error| (WORKDIR, error))?;
    let mut worst = Errno::NOENT;
    for program in candidates {
        match kernel::execute(program, argv, env) {
            Errno::NOENT | Errno::NOTDIR => {}
            // Another directory may have one that can be executed.
            Errno::ACCESS => worst = Errno::ACCESS,
            error => return Err((EXECUTE, error)),
        }
    }
    if argv.is_empty() { Ok(()) } else { Err((EXECUTE, worst)) }
}

fn refused(plan: &Plan, [step, number @ ..]: [u8; 5]) -> Refused {
    let error = Errno::from_raw_os_error(i32::from_be_bytes(number));
    let shown = |bytes: &ByteVec| Path::new(OsStr::from_bytes(bytes)).display().to_string();
    match step {
        WORKDIR => {
            Refused::new(Kind::Invalid, format!("start in `{}`: {error}", shown(&plan.workdir)))
        }
        EXECUTE => {
            let kind = match error {
                Errno::AGAIN | Errno::NOMEM | Errno::MFILE => Kind::Internal,
                Errno::TOOBIG => Kind::Invalid,
                _ => Kind::NotFound,
            };
            let program = plan.argv.first().map(shown).unwrap_or_default();
            Refused::new(kind, format!("execute `{program}` in the jail: {error}"))
        }
        _ => Refused::new(Kind::Internal, format!("start the program: {error}")),
    }
}

/// Where the program may be.
fn candidates(argv: &[ByteVec], path: &[u8]) -> Result<Vec<CString>> {
    let Some(program) = argv.first() else { return Ok(Vec::new()) };
    if program.contains(&b'/') {
        return strings(std::slice::from_ref(program));
    }
    let dirs = path.split(|byte| *byte == b':').filter(|dir| !dir.is_empty());
    let files: Vec<ByteVec> = dirs.map(|dir| [dir, b"/", program].concat().into()).collect();
    strings(&files)
}

fn strings(words: &[ByteVec]) -> Result<Vec<CString>> {
    words
        .iter()
        .map(|word| CString::new(word.to_vec()))
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| Refused::new(Kind::Invalid, "a word of the command contains a null byte"))
}
