//! The launcher: this executable, started again for one job. A fresh process with one thread, no
//! environment and nothing of the caller's memory, which may therefore be doubled safely.

mod command;
mod confine;
mod first;
mod landlocked;
mod owners;
mod probing;
mod root;
mod targets;
mod trees;

pub use targets::check_target;

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use rustix::thread::{CapabilitySet, capabilities};

use crate::error::Kind;
use crate::kernel::{self, NAMESPACES, SIBLING, Side};
use crate::plan::{self, LAUNCHER_NAME, Message, Order, Plan, Refused};

/// The job's user and group inside, whoever they are outside.
const INSIDE: u32 = 1000;
/// Whom root becomes: nobody, on every system; an ordinary user stays who they are.
const NOBODY: u32 = 65534;

pub(crate) use landlocked::WHOLE_FROM;

type Result<T> = std::result::Result<T, Refused>;

/// The launcher's whole work, if this process was started to be it.
pub(crate) fn main_if_asked() -> Option<i32> {
    #[expect(clippy::disallowed_methods, reason = "the launcher is known by its name")]
    let name = std::env::args_os().next()?;
    if name != LAUNCHER_NAME {
        return None;
    }
    // Without the socket there is nobody to tell; whoever started it by hand sees the code.
    let Ok(control) = std::io::stdin().as_fd().try_clone_to_owned() else { return Some(2) };
    let mut control = UnixStream::from(control);
    Some(match carried_out(&mut control) {
        Ok(()) => 0,
        Err(refused) => {
            tell(&mut control, &Message::Refused(refused));
            1
        }
    })
}

/// A caller that does not listen any more has gone, and the job goes with it.
fn tell(control: &mut UnixStream, message: &Message) {
    let _ = plan::send(control, message);
}

fn carried_out(control: &mut UnixStream) -> Result<()> {
    kernel::keep_ended_children().map_err(failed("wait for its children"))?;
    let order = plan::receive(control).map_err(failed("read the plan"))?;
    match order {
        Order::Probe => {
            tell(control, &Message::Probed(probing::everything()));
            Ok(())
        }
        Order::Run(plan) => launch(control, *plan),
    }
}

fn launch(control: &mut UnixStream, plan: Plan) -> Result<()> {
    let stdin = standard_input(control, plan.stdin_bytes)?;
    rustix::stdio::dup2_stdin(&stdin).map_err(failed("give it its standard input"))?;
    drop(stdin);
    for file in &plan.join {
        let file = Path::new(OsStr::from_bytes(file));
        fs::write(file, "0").map_err(failed("join its control group"))?;
    }
    // What root mounts for a job is opened by root, before it becomes nobody. An ordinary user
    // can mount only in the new namespaces, and can reach there what they can reach here.
    let is_root = is_privileged()?;
    let trees = if is_root { Some(trees::open(&plan, is_root)?) } else { None };
    let (go, may_go) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("make a pipe"))?;
    let flags = NAMESPACES.iter().fold(SIBLING, |all, (_, flag)| all | flag);
    match kernel::clone(flags).map_err(no_namespaces)? {
        Side::Child => {
            drop(may_go);
            first::main(control, plan, trees, &go);
        }
        Side::Parent(pid) => {
            let caller = rustix::process::geteuid().as_raw();
            let group = rustix::process::getegid().as_raw();
            let outside = if is_root { (NOBODY, NOBODY) } else { (caller, group) };
            map_ids(pid, (INSIDE, INSIDE), outside, is_root)?;
            tell(control, &Message::Made { pid: pid.as_raw_nonzero().get() });
            rustix::io::write(&may_go, b"!").map_err(failed("start the first process"))?;
            Ok(())
        }
    }
}

/// Whether it may do all that is done as root. Root without these is confined itself, and its job
/// would keep root's identity: that is refused.
fn is_privileged() -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::SETUID | CapabilitySet::SETGID;
    let held = capabilities(None).map_err(failed("read its capabilities"))?.effective;
    if held.contains(needed) {
        return Ok(true);
    }
    Err(Refused::new(
        Kind::Unavailable,
        "run as root without CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID: run it as an ordinary user",
    ))
}

/// The bytes that follow the plan, as a file that nobody can change.
fn standard_input(control: &mut UnixStream, bytes: u64) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create("stdin", flags).map_err(failed("keep its input"))?;
    let mut file = fs::File::from(file);
    let copied = std::io::copy(&mut control.take(bytes), &mut file);
    if copied.map_err(failed("read its input"))? != bytes {
        return Err(Refused::new(Kind::Internal, "read its input: the caller has gone"));
    }
    std::io::Seek::rewind(&mut file).map_err(failed("keep its input"))?;
    let seals = SealFlags::SEAL | SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK;
    rustix::fs::fcntl_add_seals(&file, seals).map_err(failed("keep its input"))?;
    Ok(file.into())
}

/// Says who the ids of a new user namespace are outside.
fn map_ids(pid: Pid, inside: (u32, u32), outside: (u32, u32), is_root: bool) -> Result<()> {
    let write = |name: &str, text: String| {
        let path = format!("/proc/{}/{name}", pid.as_raw_nonzero());
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        file.write_all(text.as_bytes())
    };
    // An ordinary user may map a group only after giving up to change groups.
    let denied = if is_root { Ok(()) } else { write("setgroups", "deny".to_owned()) };
    denied
        .and_then(|()| write("gid_map", format!("{} {} 1", inside.1, outside.1)))
        .and_then(|()| write("uid_map", format!("{} {} 1", inside.0, outside.0)))
        .map_err(|error| {
            Refused::new(Kind::Unavailable, format!("map its user in the user namespace: {error}"))
        })
}

fn no_namespaces(error: Errno) -> Refused {
    let kind = match error {
        Errno::AGAIN | Errno::NOMEM => Kind::Internal,
        _ => Kind::Unavailable,
    };
    Refused::new(kind, format!("make the namespaces: {error}"))
}

/// Turns an error into why the job could not be set up.
fn failed<E: fmt::Display>(what: &'static str) -> impl Fn(E) -> Refused {
    move |error| Refused::new(Kind::Internal, format!("{what}: {error}"))
}

/// The same where the machine lacks something.
fn lacking<E: fmt::Display>(what: &'static str) -> impl Fn(E) -> Refused {
    move |error| Refused::new(Kind::Unavailable, format!("{what}: {error}"))
}
