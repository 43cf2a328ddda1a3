//! The first process of the job's namespaces: it makes the place, starts the program, reaps what
//! nobody else reaps, and takes all with it when it ends.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, set_dumpable_behavior, setsid, umask};
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::trees::{self, Piece};
use super::{INSIDE, Result, command, confine, failed, lacking, root, tell};
use crate::kernel;
use crate::plan::{Message, Plan};

/// Programs see this as the machine's name.
const HOSTNAME: &[u8] = b"jail";
/// What all of this user's processes share on the machine, of which the job's namespace gets a part: no
/// further namespaces, and enough to watch some files.
const SHARES: [(&str, &str); 3] = [
    ("/proc/sys/user/max_user_namespaces", "0"),
    ("/proc/sys/user/max_inotify_instances", "16"),
    ("/proc/sys/user/max_inotify_watches", "4096"),
];

/// The whole life of the first process.
pub(super) fn main(
    control: &mut UnixStream,
    plan: Plan,
    trees: Option<Vec<Piece>>,
    go: &OwnedFd,
) -> ! {
    // The launcher says so when the user of the namespace is mapped; its end means that it failed.
    match rustix::io::read(go, &mut [0]) {
        Ok(1) => {}
        _ => command::end(1),
    }
    let ended = prepared(&plan, trees).and_then(|()| {
        let signal = kernel::children_signal().map_err(failed("watch its children"))?;
        // Making the place takes a while, and whoever wanted it may be gone: a program that nobody
        // waits for must not begin what its caller may be about to do again.
        if has_gone(control)? {
            return Ok(None);
        }
        let program = command::start(&plan)?;
        drop(plan);
        supervise(control, &signal, program)
    });
    match ended {
        Ok(Some(message)) => tell(control, &message),
        Ok(None) => {}
        Err(refused) => tell(control, &Message::Refused(refused)),
    }
    sweep();
    command::end(0)
}

/// Makes the place and gives up everything that is not needed to start the program.
fn prepared(plan: &Plan, trees: Option<Vec<Piece>>) -> Result<()> {
    let is_root = trees.is_some();
    if is_root {
        let (user, group) = (Uid::from_raw(INSIDE), Gid::from_raw(INSIDE));
        set_thread_groups(&[]).map_err(failed("leave its groups"))?;
        set_thread_res_gid(group, group, group).map_err(failed("change its group"))?;
        set_thread_res_uid(user, user, user).map_err(failed("change its user"))?;
    }
    setsid().map_err(failed("leave the terminal"))?;
    umask(rustix::fs::Mode::from_raw_mode(0o022));
    rustix::system::sethostname(HOSTNAME).map_err(lacking("name its machine"))?;
    for (file, most) in SHARES {
        // The filter refuses namespaces too; a read-only /proc/sys is no reason to stop.
        let file = std::fs::OpenOptions::new().write(true).open(file);
        let _ = file.and_then(|mut file| file.write_all(most.as_bytes()));
    }
    let trees = match trees {
        Some(trees) => trees,
        None => trees::open(plan, is_root)?,
    };
    root::enter(&plan.bounds, trees)?;
    // The program cannot look at this process: neither at its memory nor at its executable.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed("hide itself"))?;
    kernel::leave_keyring().map_err(lacking("leave the session's keys"))?;
    kernel::close_on_exec_from(3).map_err(lacking("close its files"))?;
    confine::everything(plan)
}

/// Whether the caller has gone. It sends nothing after the plan: whatever there is to read is its end.
fn has_gone(control: &UnixStream) -> Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN)];
    match poll(&mut fds, Some(&Timespec::default())) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(failed("listen to its caller")(error)),
    }
}

/// Waits for the program's end, or for the caller's, in which case there is nobody to tell.
fn supervise(control: &UnixStream, signal: &OwnedFd, program: Pid) -> Result<Option<Message>> {
    loop {
        if let Some(message) = reaped(program)? {
            return Ok(Some(message));
        }
        let mut fds = [
            PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signal.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(failed("watch its children")(error)),
        }
        let [control, children] = fds;
        // The caller sends nothing after the plan: whatever there is to read is its end.
        if !control.revents().is_empty() {
            return Ok(None);
        }
        if !children.revents().is_empty() {
            let mut signals = [0; 4096];
            let _ = rustix::io::read(signal, &mut signals);
        }
    }
}

/// Reaps every process that has ended; tells if the program was one of them.
fn reaped(program: Pid) -> Result<Option<Message>> {
    let mut told = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == program => told = message(status).or(told),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(told),
            Err(error) => return Err(failed("wait for the program")(error)),
        }
    }
}

fn message(status: WaitStatus) -> Option<Message> {
    let exited = status.exit_status().map(|code| Message::Exited { code });
    exited.or_else(|| status.terminating_signal().map(|signal| Message::Signaled { signal }))
}

/// Ends everything else in the namespace, and waits until it has ended: as long as this process
/// lives its executable cannot be written to, not even by a job of the same user.
fn sweep() {
    kernel::kill_all_others();
    while !matches!(wait(WaitOptions::empty()), Err(Errno::CHILD)) {}
}
