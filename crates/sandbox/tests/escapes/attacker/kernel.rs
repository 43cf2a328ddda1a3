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
