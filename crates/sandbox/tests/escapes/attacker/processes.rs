//! Ways out by processes: those of the host, namespaces, capabilities, descriptors.

use std::fs;

use crate::system::{Target, call, forbidden};
use crate::{Try, Way};

pub(crate) const WAYS: &[Way] = &[
    Way { name: "kill-host-process", attempt: |target| kill("the canary's pid", target.pid) },
    Way { name: "kill-everybody", attempt: kill_everybody },
    Way { name: "kill-parent-group", attempt: |_| kill("the group of the parent", 0 - parent()) },
    Way { name: "see-host-process", attempt: see },
    Way {
        name: "ptrace-1",
        attempt: |_| forbidden("ptrace", libc::SYS_ptrace, &[libc::PTRACE_SEIZE as usize, 1, 0, 0]),
    },
    Way {
        name: "ptrace-host-process",
        attempt: |target| {
            forbidden(
                "ptrace",
                libc::SYS_ptrace,
                &[libc::PTRACE_SEIZE as usize, target.pid as usize, 0, 0],
            )
        },
    },
    Way { name: "read-memory-of-1", attempt: read_memory },
    Way { name: "proc-mem-of-1", attempt: proc_mem },
    Way { name: "pidfd-take-descriptor", attempt: pidfd },
    Way { name: "kcmp", attempt: |_| forbidden("kcmp", libc::SYS_kcmp, &[1, 1, 0, 0, 0]) },
    Way {
        name: "unshare-user",
        attempt: |_| forbidden("unshare", libc::SYS_unshare, &[libc::CLONE_NEWUSER as usize]),
    },
    Way {
        name: "unshare-network",
        attempt: |_| forbidden("unshare", libc::SYS_unshare, &[libc::CLONE_NEWNET as usize]),
    },
    Way { name: "clone-user", attempt: clone_user },
    Way { name: "clone3-user", attempt: clone3_user },
    Way { name: "enter-namespace-of-1", attempt: enter },
    Way { name: "become-root", attempt: become_root },
    Way {
        name: "become-anybody",
        attempt: |_| forbidden("setresuid", libc::SYS_setresuid, &[1, 1, 1]),
    },
    Way { name: "drop-groups", attempt: |_| forbidden("setgroups", libc::SYS_setgroups, &[0, 0]) },
    Way { name: "take-capabilities", attempt: take_capabilities },
    Way { name: "hold-capabilities", attempt: hold_capabilities },
    Way { name: "allow-new-privileges", attempt: new_privileges },
    Way { name: "run-set-uid-program", attempt: run_set_uid },
    Way { name: "inherited-descriptors", attempt: descriptors },
    Way { name: "type-into-terminal", attempt: terminal },
    Way {
        name: "raise-priority",
        attempt: |_| forbidden("setpriority", libc::SYS_setpriority, &[0, 0, (-19_isize) as usize]),
    },
    Way { name: "raise-limits", attempt: raise_limits },
    Way { name: "limits-of-1", attempt: limits_of_first },
    Way { name: "table-of-locks-of-1", attempt: locks_of_first },
    Way { name: "real-time-scheduling", attempt: real_time },
    Way { name: "shared-memory-of-the-host", attempt: shared_memory },
    Way { name: "inherited-environment", attempt: environment },
];

fn parent() -> i32 {
    call(libc::SYS_getppid, &[]).map_or(1, |pid| pid as i32)
}

fn kill(whom: &str, pid: i32) -> Try {
    forbidden(
        &format!("SIGKILL to {whom}"),
        libc::SYS_kill,
        &[pid as isize as usize, libc::SIGKILL as usize],
    )
}

/// Everybody inside may die; the test looks at who lives outside.
fn kill_everybody(_: &Target) -> Try {
    let sent = call(libc::SYS_kill, &[(-1_isize) as usize, libc::SIGTERM as usize]);
    Err(format!("kill -1: {sent:?}; the test counts who lives"))
}

fn see(target: &Target) -> Try {
    let own = std::process::id();
    let seen = fs::read_dir("/proc").map_err(|error| error.to_string())?;
    let pids: Vec<u32> =
        seen.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok()).collect();
    let line = format!("/proc/{}/cmdline", target.pid);
    let is_canary = fs::read_to_string(line).is_ok_and(|it| it.contains(&target.secret));
    if is_canary || pids.len() > 4 {
        return Ok(format!("sees {} processes", pids.len()));
    }
    Err(format!("sees {pids:?}, being {own}"))
}

fn read_memory(_: &Target) -> Try {
    let mut here = [0_u8; 8];
    let local = [here.as_mut_ptr() as usize, here.len()];
    let remote = [0x40_0000_usize, here.len()];
    match call(
        libc::SYS_process_vm_readv,
        &[1, local.as_ptr() as usize, 1, remote.as_ptr() as usize, 1, 0],
    ) {
        Ok(bytes) => Ok(format!("read {bytes} bytes of process 1")),
        // EFAULT means that only the address was wrong.
        Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Ok("may read process 1".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn proc_mem(_: &Target) -> Try {
    match fs::OpenOptions::new().read(true).write(true).open("/proc/1/mem") {
        Ok(_) => Ok("opened the memory of process 1".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn pidfd(_: &Target) -> Try {
    let fd = call(libc::SYS_pidfd_open, &[1, 0]).map_err(|error| format!("pidfd_open: {error}"))?;
    forbidden("pidfd_getfd", libc::SYS_pidfd_getfd, &[fd, 0, 0])
}

fn clone_user(_: &Target) -> Try {
    let flags = (libc::CLONE_NEWUSER | libc::SIGCHLD) as usize;
    match call(libc::SYS_clone, &[flags, 0, 0, 0, 0]) {
        Ok(0) => std::process::exit(0),
        Ok(pid) => Ok(format!("process {pid} has a user namespace of its own")),
        Err(error) => Err(format!("clone: {error}")),
    }
}

fn clone3_user(_: &Target) -> Try {
    let mut args = [0_u64; 11];
    args[0] = libc::CLONE_NEWUSER as u64;
    args[4] = libc::SIGCHLD as u64;
    match call(libc::SYS_clone3, &[args.as_ptr() as usize, size_of_val(&args)]) {
        Ok(0) => std::process::exit(0),
        Ok(pid) => Ok(format!("process {pid} has a user namespace of its own")),
        Err(error) => Err(format!("clone3: {error}")),
    }
}

fn enter(target: &Target) -> Try {
    let mut last = String::from("no namespace can be opened");
    for pid in [1, target.pid] {
        for kind in ["mnt", "net", "user", "pid"] {
            let Ok(file) = fs::File::open(format!("/proc/{pid}/ns/{kind}")) else { continue };
            let fd = std::os::fd::AsRawFd::as_raw_fd(&file) as usize;
            match call(libc::SYS_setns, &[fd, 0]) {
                Ok(_) => return Ok(format!("entered the {kind} namespace of {pid}")),
                Err(error) => last = format!("setns: {error}"),
            }
        }
    }
    Err(last)
}

/// Root of a namespace that maps nobody is nothing; being given capabilities is.
fn become_root(_: &Target) -> Try {
    let was = call(libc::SYS_geteuid, &[]).unwrap_or(0);
    match call(libc::SYS_setuid, &[0]) {
        Ok(_) if was != 0 => Ok("became root".into()),
        Ok(_) => hold_capabilities(&Target::from_environment()),
        Err(error) => Err(error.to_string()),
    }
}

fn take_capabilities(_: &Target) -> Try {
    let header: [u32; 2] = [0x2008_0522, 0];
    let sets = [u32::MAX; 6];
    forbidden("capset", libc::SYS_capset, &[header.as_ptr() as usize, sets.as_ptr() as usize])
}

fn hold_capabilities(_: &Target) -> Try {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let held: Vec<&str> = status
        .lines()
        .filter(|line| line.starts_with("Cap"))
        .filter(|line| {
            line.split_whitespace().nth(1).is_some_and(|set| set.bytes().any(|digit| digit != b'0'))
        })
        .collect();
    if held.is_empty() {
        Err("holds none, and none can be had".into())
    } else {
        Ok(held.join(", "))
    }
}

fn new_privileges(_: &Target) -> Try {
    forbidden("prctl", libc::SYS_prctl, &[libc::PR_SET_NO_NEW_PRIVS as usize, 0, 0, 0, 0]).or_else(
        |_| match call(libc::SYS_prctl, &[libc::PR_GET_NO_NEW_PRIVS as usize, 0, 0, 0, 0]) {
            Ok(1) => Err("no_new_privs is set and stays".into()),
            other => Ok(format!("no_new_privs is {other:?}")),
        },
    )
}

fn run_set_uid(_: &Target) -> Try {
    let mut last = String::from("no set-uid program");
    for program in ["/usr/bin/su", "/usr/bin/mount", "/usr/bin/passwd", "/usr/bin/newgrp"] {
        let asked = std::process::Command::new(program).arg("--version").output();
        if let Ok(output) = asked {
            last = format!("{program} ended with {}", output.status);
        }
    }
    // It may run, but as nobody else: the effective uid of a child stays what it was.
    let shown = std::process::Command::new("/usr/bin/id").arg("-u").output();
    match shown {
        Ok(output)
            if output.stdout.trim_ascii() == b"0"
                && call(libc::SYS_geteuid, &[]).unwrap_or(0) != 0 =>
        {
            Ok("a child is root".into())
        }
        _ => Err(last),
    }
}

/// Anything above standard error that is no descriptor of the listing itself.
fn descriptors(_: &Target) -> Try {
    let open: Vec<usize> = (3..4_096)
        .filter(|fd| call(libc::SYS_fcntl, &[*fd, libc::F_GETFD as usize]).is_ok())
        .collect();
    if open.is_empty() {
        Err("none above 2".into())
    } else {
        Ok(format!("holds the descriptors {open:?}"))
    }
}

fn terminal(_: &Target) -> Try {
    match fs::OpenOptions::new().read(true).write(true).open("/dev/tty") {
        Ok(_) => Ok("has a controlling terminal".into()),
        Err(error) => {
            let byte = b'x';
            forbidden(
                "TIOCSTI",
                libc::SYS_ioctl,
                &[0, libc::TIOCSTI as usize, &raw const byte as usize],
            )
            .map_err(|why| format!("{error}; {why}"))
        }
    }
}

fn raise_limits(_: &Target) -> Try {
    let wanted = [1_u64 << 40, 1_u64 << 40];
    for limit in [libc::RLIMIT_NOFILE, libc::RLIMIT_NPROC, libc::RLIMIT_FSIZE, libc::RLIMIT_CORE] {
        let args = [0, limit as usize, wanted.as_ptr() as usize, 0];
        if call(libc::SYS_prlimit64, &args).is_ok() {
            return Ok(format!("raised the limit {limit}"));
        }
    }
    Err("no hard limit can be raised".into())
}

/// The first process takes all others with it, and whoever runs the job thinks the jail has failed.
fn limits_of_first(_: &Target) -> Try {
    let none = [0_u64, 0];
    let args = [1, libc::RLIMIT_CPU as usize, none.as_ptr() as usize, 0];
    forbidden("prlimit of process 1", libc::SYS_prlimit64, &args)
}

fn locks_of_first(_: &Target) -> Try {
    let (mut head, mut length) = (0_usize, 0_usize);
    let args = [1, &raw mut head as usize, &raw mut length as usize];
    forbidden("get_robust_list of process 1", libc::SYS_get_robust_list, &args)
}

fn real_time(_: &Target) -> Try {
    let priority: i32 = 50;
    forbidden(
        "sched_setscheduler",
        libc::SYS_sched_setscheduler,
        &[0, libc::SCHED_FIFO as usize, &raw const priority as usize],
    )
}

fn shared_memory(target: &Target) -> Try {
    forbidden("shmget", libc::SYS_shmget, &[target.shm_key as usize, 0, 0])
}

/// The host's environment often holds secrets.
fn environment(_: &Target) -> Try {
    let known = ["CANARY_", "PATH", "LANG", "HOME", "TMPDIR"];
    let others: Vec<String> = std::env::vars()
        .map(|(name, _)| name)
        .filter(|name| !known.iter().any(|known| name.starts_with(known)))
        .collect();
    if others.is_empty() {
        Err("nothing but what was given".into())
    } else {
        Ok(format!("inherited {others:?}"))
    }
}
