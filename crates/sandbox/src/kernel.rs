//! The system calls that have no safe form elsewhere; the only unsafe code of the house.
//!
//! Each function is safe to call under the condition that it states; the launcher, which is a fresh
//! process of one thread, meets them all.

use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;

/// Who one is after a process was doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The process that was there before.
    Parent(Pid),
    /// The new one.
    Child,
}

/// New namespaces of every kind that confines.
pub(crate) const NAMESPACES: [(&str, u64); 7] = [
    ("user namespace", libc::CLONE_NEWUSER as u64),
    ("mount namespace", libc::CLONE_NEWNS as u64),
    ("process namespace", libc::CLONE_NEWPID as u64),
    ("network namespace", libc::CLONE_NEWNET as u64),
    ("ipc namespace", libc::CLONE_NEWIPC as u64),
    ("uts namespace", libc::CLONE_NEWUTS as u64),
    ("cgroup namespace", libc::CLONE_NEWCGROUP as u64),
];

/// Makes the child one of the caller's own parent.
pub(crate) const SIBLING: u64 = libc::CLONE_PARENT as u64;

/// Doubles the process, the child in new namespaces. The process has one thread.
pub(crate) fn clone(flags: u64) -> Result<Side, Errno> {
    let is_sibling = flags & SIBLING != 0;
    let args = libc::clone_args {
        flags,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: if is_sibling { 0 } else { libc::SIGCHLD as u64 },
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: no flag shares memory or a stack, so the child has a copy of everything, as after
    // `fork`; there is no other thread whose locks the copy could hold.
    let pid = unsafe {
        libc::syscall(libc::SYS_clone3, ptr::from_ref(&args), size_of::<libc::clone_args>())
    };
    side(pid)
}

/// Doubles the process. The process has one thread.
pub(crate) fn fork() -> Result<Side, Errno> {
    // SAFETY: as in `clone`: nothing is shared, and there is no other thread.
    let pid = unsafe { libc::fork() };
    side(pid.into())
}

fn side(pid: c_long) -> Result<Side, Errno> {
    if pid == 0 {
        return Ok(Side::Child);
    }
    let pid = c_int::try_from(checked(pid)?).ok().and_then(Pid::from_raw);
    pid.map(Side::Parent).ok_or(Errno::INVAL)
}

/// Attributes of a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// What is mounted below it has them too.
    pub(crate) below: bool,
    /// Nothing can be changed through it.
    pub(crate) read_only: bool,
    /// Devices on it can be opened.
    pub(crate) devices: bool,
    /// Programs on it can be executed.
    pub(crate) programs: bool,
}

/// Sets the attributes of a mount. No program on it lends its owner's identity, and nothing that is
/// mounted elsewhere later shows up here.
pub(crate) fn set_attributes(
    mount: impl AsFd,
    attributes: Attributes,
    owners: Option<&OwnedFd>,
) -> Result<(), Errno> {
    let mut set = libc::MOUNT_ATTR_NOSUID;
    if attributes.read_only {
        set |= libc::MOUNT_ATTR_RDONLY;
    }
    if !attributes.devices {
        set |= libc::MOUNT_ATTR_NODEV;
    }
    if !attributes.programs {
        set |= libc::MOUNT_ATTR_NOEXEC;
    }
    let mut userns_fd = 0;
    if let Some(owners) = owners {
        set |= libc::MOUNT_ATTR_IDMAP;
        userns_fd = u64::try_from(owners.as_raw_fd()).map_err(|_| Errno::BADF)?;
    }
    let mut flags = libc::AT_EMPTY_PATH;
    if attributes.below {
        flags |= libc::AT_RECURSIVE;
    }
    let propagation = libc::MS_PRIVATE;
    let attr = libc::mount_attr { attr_set: set, attr_clr: 0, propagation, userns_fd };
    // SAFETY: the path is a terminated empty string and `attr` lives through the call, with its
    // true size beside it; the kernel only reads both.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(&attr),
            size_of::<libc::mount_attr>(),
        )
    };
    checked(done).map(drop)
}

/// Marks every descriptor from this one on to be closed when another program is executed.
pub(crate) fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: marking takes no memory; no descriptor that somebody owns is closed by it.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    checked(done).map(drop)
}

/// Leaves the session keyring of the caller for a new, empty one.
pub(crate) fn leave_keyring() -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_long = 1;
    // SAFETY: a null name is allowed and means a keyring without one.
    let done = unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<c_char>())
    };
    checked(done).map(drop)
}

/// A descriptor that is readable whenever a child ended; the signal itself is held back.
pub(crate) fn children_signal() -> Result<OwnedFd, Errno> {
    let set = signal_set(&[libc::SIGCHLD])?;
    mask_signals(&set)?;
    // SAFETY: `set` is a whole signal set; -1 asks for a new descriptor.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    let fd = c_int::try_from(checked(fd.into())?).map_err(|_| Errno::BADF)?;
    // SAFETY: the call above made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sees to it that children which have ended can be waited for, also where whoever started this
/// process ignores them.
pub(crate) fn keep_ended_children() -> Result<(), Errno> {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is set; `now` is a whole, writable structure.
    let done = unsafe { libc::sigaction(libc::SIGCHLD, ptr::null(), now.as_mut_ptr()) };
    checked(done.into())?;
    // SAFETY: the structure was zero, which is a valid value of it, before the kernel wrote it.
    let now = unsafe { now.assume_init() };
    if now.sa_sigaction != libc::SIG_IGN && now.sa_flags & libc::SA_NOCLDWAIT == 0 {
        return Ok(());
    }
    // SAFETY: the default action is no function of ours.
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    if before == libc::SIG_ERR { Err(last()) } else { Ok(()) }
}

/// As signals are for a program that was started by hand: none held back, none ignored.
pub(crate) fn reset_signals() -> Result<(), Errno> {
    mask_signals(&signal_set(&[])?)?;
    // SAFETY: the default action is no function of ours. The runtime ignores this signal at its
    // start, which another program would inherit.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    if before == libc::SIG_ERR { Err(last()) } else { Ok(()) }
}

/// Kills every other process of the namespace, if this is its first process; anywhere else it would
/// be every process of the machine, and nothing is done.
pub(crate) fn kill_all_others() {
    if !rustix::process::getpid().is_init() {
        return;
    }
    // SAFETY: takes no memory. That there is nobody left to kill is no error.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

fn signal_set(signals: &[c_int]) -> Result<libc::sigset_t, Errno> {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: the pointer is that of a whole, writable signal set.
    let done = unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    checked(done.into())?;
    // SAFETY: the call above has written all of it.
    let mut set: libc::sigset_t = unsafe { set.assume_init() };
    for signal in signals {
        // SAFETY: `set` is a whole signal set.
        let done = unsafe { libc::sigaddset(&raw mut set, *signal) };
        checked(done.into())?;
    }
    Ok(set)
}

fn mask_signals(set: &libc::sigset_t) -> Result<(), Errno> {
    // SAFETY: `set` is a whole signal set; the old one is not asked for.
    let done = unsafe { libc::sigprocmask(libc::SIG_SETMASK, ptr::from_ref(set), ptr::null_mut()) };
    checked(done.into()).map(drop)
}

/// Executes a program in place of this one; comes back only if that fails.
pub(crate) fn execute(program: &CString, argv: &[CString], env: &[CString]) -> Errno {
    let terminated = |words: &[CString]| -> Vec<*const c_char> {
        words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect()
    };
    let (argv, env) = (terminated(argv), terminated(env));
    // SAFETY: both lists end with a null pointer, every other entry is a terminated string, and
    // all of them live until the call either fails or replaces the process.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    last()
}

/// What a process and its children used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) cpu: Duration,
    /// Of the largest of them.
    pub(crate) memory_peak: u64,
}

/// Waits for a child and says what it and its children used.
pub(crate) fn wait_for(child: Pid) -> Result<Used, Errno> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: `usage` is a whole, writable structure; the status is not asked for.
        let done = unsafe {
            libc::wait4(child.as_raw_nonzero().get(), ptr::null_mut(), 0, usage.as_mut_ptr())
        };
        match checked(done.into()) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    // SAFETY: the structure is plain numbers that were zero before the kernel wrote them.
    let usage = unsafe { usage.assume_init() };
    let kib = u64::try_from(usage.ru_maxrss).unwrap_or(0);
    Ok(Used {
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        memory_peak: kib.saturating_mul(1024),
    })
}

fn duration(time: libc::timeval) -> Duration {
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0)) + Duration::from_micros(micros)
}

/// The version of Landlock's interface that the kernel offers.
pub(crate) fn landlock_version() -> Result<u32, Errno> {
    const LANDLOCK_CREATE_RULESET_VERSION: c_int = 1;
    // SAFETY: with this flag the kernel reads no attributes, and demands a null pointer.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::null::<c_void>(),
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    Ok(u32::try_from(checked(version)?).unwrap_or(0))
}

fn checked(answer: c_long) -> Result<c_long, Errno> {
    if answer == -1 { Err(last()) } else { Ok(answer) }
}

fn last() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
