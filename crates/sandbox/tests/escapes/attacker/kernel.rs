//! Ways out by the kernel's rarer doors.

use crate::system::{Target, at, call, forbidden, text};
use crate::{Try, Way};

pub(crate) const WAYS: &[Way] = &[
    Way {
        name: "keyctl",
        attempt: |_| forbidden("keyctl", libc::SYS_keyctl, &[0, (-3_isize) as usize, 1, 0, 0]),
    },
    Way { name: "add-key", attempt: add_key },
    Way { name: "request-key", attempt: request_key },
    Way { name: "bpf", attempt: bpf },
    Way { name: "perf", attempt: perf },
    Way { name: "io-uring", attempt: io_uring },
    Way { name: "userfaultfd", attempt: |_| forbidden("userfaultfd", libc::SYS_userfaultfd, &[0]) },
    Way {
        name: "userfaultfd-user-mode",
        attempt: |_| forbidden("userfaultfd", libc::SYS_userfaultfd, &[1]),
    },
    Way {
        name: "load-module",
        attempt: |_| forbidden("init_module", libc::SYS_init_module, &[0, 0, 0]),
    },
    Way {
        name: "load-module-file",
        attempt: |_| forbidden("finit_module", libc::SYS_finit_module, &[0, 0, 0]),
    },
    Way { name: "unload-module", attempt: unload_module },
    Way {
        name: "kexec",
        attempt: |_| forbidden("kexec_load", libc::SYS_kexec_load, &[0, 0, 0, 0]),
    },
    Way { name: "reboot", attempt: reboot },
    Way { name: "swap-on", attempt: swap_on },
    Way { name: "set-host-name", attempt: set_host_name },
    Way { name: "set-clock", attempt: set_clock },
    Way { name: "adjust-clock", attempt: adjust_clock },
    Way {
        name: "read-kernel-ring",
        attempt: |_| forbidden("syslog", libc::SYS_syslog, &[10, 0, 0]),
    },
    Way { name: "accounting", attempt: |_| forbidden("acct", libc::SYS_acct, &[0]) },
    Way {
        name: "quota",
        attempt: |_| forbidden("quotactl", libc::SYS_quotactl, &[0x0080_0001_usize << 8, 0, 0, 0]),
    },
    Way {
        name: "watch-everything",
        attempt: |_| forbidden("fanotify_init", libc::SYS_fanotify_init, &[0, 0]),
    },
    Way {
        name: "move-pages-of-1",
        attempt: |_| forbidden("migrate_pages", libc::SYS_migrate_pages, &[1, 0, 0, 0]),
    },
    Way {
        name: "personality",
        attempt: |_| forbidden("personality", libc::SYS_personality, &[0x0008]),
    },
    Way { name: "lookup-cookie", attempt: |_| forbidden("lookup_dcookie", 212, &[0, 0, 0]) },
    Way { name: "memory-without-a-map", attempt: |_| forbidden("memfd_secret", 447, &[0]) },
    Way { name: "huge-pages", attempt: huge_pages },
    Way { name: "huge-file", attempt: huge_file },
    Way { name: "sync-the-host", attempt: |_| forbidden("sync", libc::SYS_sync, &[]) },
    Way { name: "sync-a-file-system", attempt: |_| forbidden("syncfs", libc::SYS_syncfs, &[1]) },
    Way { name: "all-watches-of-the-user", attempt: watches },
    Way { name: "asynchronous-io", attempt: asynchronous },
    Way {
        name: "give-pages-to-a-pipe",
        attempt: |_| forbidden("vmsplice", libc::SYS_vmsplice, &[1, 0, 0, 0]),
    },
    Way { name: "message-queue", attempt: |_| forbidden("msgget", libc::SYS_msgget, &[0, 0o1600]) },
    Way { name: "semaphores", attempt: |_| forbidden("semget", libc::SYS_semget, &[0, 1, 0o1600]) },
    Way { name: "posix-queue", attempt: posix_queue },
    Way {
        name: "memory-policy",
        attempt: |_| forbidden("set_mempolicy", libc::SYS_set_mempolicy, &[0, 0, 0]),
    },
    Way {
        name: "advise-another",
        attempt: |_| forbidden("process_madvise", libc::SYS_process_madvise, &[0, 0, 0, 20, 0]),
    },
    Way {
        name: "landlock-of-its-own",
        attempt: |_| forbidden("landlock", libc::SYS_landlock_create_ruleset, &[0, 0, 1]),
    },
    Way { name: "list-mounts", attempt: |_| forbidden("listmount", 458, &[0, 0, 0, 0]) },
    Way { name: "swap-off", attempt: swap_off },
    Way {
        name: "raise-io-priority",
        attempt: |_| forbidden("ioprio_set", libc::SYS_ioprio_set, &[1, 0, 0x2000]),
    },
    #[cfg(target_arch = "x86_64")]
    Way { name: "io-ports", attempt: |_| forbidden("iopl", libc::SYS_iopl, &[3]) },
    #[cfg(target_arch = "x86_64")]
    Way {
        name: "io-port-range",
        attempt: |_| forbidden("ioperm", libc::SYS_ioperm, &[0x70, 2, 1]),
    },
    #[cfg(target_arch = "x86_64")]
    Way {
        name: "segment-table",
        attempt: |_| forbidden("modify_ldt", libc::SYS_modify_ldt, &[1, 0, 0]),
    },
    #[cfg(target_arch = "x86_64")]
    Way { name: "x32-call", attempt: super::network::x32_socket },
    #[cfg(target_arch = "x86_64")]
    Way { name: "32-bit-call", attempt: thirty_two_bit_socket },
];

fn add_key(_: &Target) -> Try {
    let (kind, name) = (text("user"), text("escaped"));
    forbidden(
        "add_key",
        libc::SYS_add_key,
        &[at(&kind), at(&name), at(&name), 7, (-3_isize) as usize],
    )
}

fn request_key(_: &Target) -> Try {
    let (kind, name) = (text("user"), text("escaped"));
    match call(libc::SYS_request_key, &[at(&kind), at(&name), 0, 0]) {
        Ok(key) => Ok(format!("found the key {key}")),
        // ENOKEY: the rings were searched.
        Err(error) if error.raw_os_error() == Some(libc::ENOKEY) => {
            Ok("may search key rings".into())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// From the machine's pool, which may be empty: only the refusal to ask is one.
fn huge_pages(_: &Target) -> Try {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB;
    let args = [0, 2 << 20, 3, flags as usize, usize::MAX, 0];
    match call(libc::SYS_mmap, &args) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Err(error.to_string()),
        other => Ok(format!("may ask for huge pages: {other:?}")),
    }
}

fn huge_file(_: &Target) -> Try {
    let name = text("huge");
    let args = [at(&name), libc::MFD_HUGETLB as usize];
    match call(libc::SYS_memfd_create, &args) {
        // Without a control group no such file is made at all.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOMEM)) => {
            Err(error.to_string())
        }
        other => Ok(format!("may ask for huge pages: {other:?}")),
    }
}

/// All processes of a user share these, whatever jail they are in.
fn watches(_: &Target) -> Try {
    let made = (0..200).take_while(|_| call(libc::SYS_inotify_init1, &[0]).is_ok()).count();
    if made > 16 { Ok(format!("made {made}")) } else { Err(format!("stopped at {made}")) }
}

fn asynchronous(_: &Target) -> Try {
    let context = 0_usize;
    forbidden("io_setup", libc::SYS_io_setup, &[1, &raw const context as usize])
}

fn posix_queue(_: &Target) -> Try {
    let name = text("escaped");
    let flags = (libc::O_CREAT | libc::O_RDWR) as usize;
    forbidden("mq_open", libc::SYS_mq_open, &[at(&name), flags, 0o600, 0])
}

fn swap_off(_: &Target) -> Try {
    let path = text("/tmp");
    match call(libc::SYS_swapoff, &[at(&path)]) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok("may swap".into()),
        Err(error) => Err(error.to_string()),
        Ok(_) => Ok("swaps no more".into()),
    }
}

fn bpf(_: &Target) -> Try {
    // BPF_MAP_CREATE of an array with one entry.
    let attributes: [u32; 18] = [2, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    forbidden("bpf", libc::SYS_bpf, &[0, attributes.as_ptr() as usize, size_of_val(&attributes)])
}

fn perf(_: &Target) -> Try {
    let mut attributes = [0_u32; 32];
    attributes[0] = 1; // software event
    attributes[1] = size_of_val(&attributes) as u32;
    forbidden(
        "perf_event_open",
        libc::SYS_perf_event_open,
        &[attributes.as_ptr() as usize, 0, usize::MAX, usize::MAX, 0],
    )
}

fn io_uring(_: &Target) -> Try {
    let parameters = [0_u32; 30];
    forbidden("io_uring_setup", libc::SYS_io_uring_setup, &[1, parameters.as_ptr() as usize])
}

fn unload_module(_: &Target) -> Try {
    let name = text("no_such_module");
    match call(libc::SYS_delete_module, &[at(&name), 0]) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok("may unload modules".into()),
        Err(error) => Err(error.to_string()),
        Ok(_) => Ok("unloaded a module".into()),
    }
}

/// Turns Ctrl-Alt-Del on or off, nothing worse, where it is allowed.
fn reboot(_: &Target) -> Try {
    forbidden("reboot", libc::SYS_reboot, &[0xfee1_dead, 672_274_793, 0, 0])
}

fn swap_on(_: &Target) -> Try {
    let path = text("/tmp");
    match call(libc::SYS_swapon, &[at(&path), 0]) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok("may swap".into()),
        Err(error) => Err(error.to_string()),
        Ok(_) => Ok("swaps".into()),
    }
}

fn set_host_name(_: &Target) -> Try {
    let name = text("escaped");
    forbidden("sethostname", libc::SYS_sethostname, &[at(&name), 7])
}

fn set_clock(_: &Target) -> Try {
    let mut now = [0_u64; 2];
    let _ = call(libc::SYS_clock_gettime, &[0, now.as_mut_ptr() as usize]);
    forbidden("clock_settime", libc::SYS_clock_settime, &[0, now.as_ptr() as usize])
}

fn adjust_clock(_: &Target) -> Try {
    let mut change = [0_u64; 64];
    change[0] = 0x4000; // ADJ_TICK
    change[11] = 10_000;
    forbidden("adjtimex", libc::SYS_adjtimex, &[change.as_mut_ptr() as usize])
}

/// The i386 entry: socketcall's number there is another call in 64 bits.
#[cfg(target_arch = "x86_64")]
fn thirty_two_bit_socket(_: &Target) -> Try {
    let answer: i32;
    // SAFETY: `socket` of the 32-bit table (359) touches no memory; the registers it changes are
    // named. Where the entry is shut the process dies of it, which is a refusal too.
    unsafe {
        std::arch::asm!(
            "push rbx",
            "mov ebx, 2",
            "int 0x80",
            "pop rbx",
            inout("eax") 359 => answer,
            in("ecx") 1,
            in("edx") 0,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    if answer >= 0 {
        Ok(format!("a socket by the 32-bit entry: {answer}"))
    } else {
        Err(format!("error {}", -answer))
    }
}
