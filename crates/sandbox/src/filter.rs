//! System-call filters: data files of this crate, compiled for the machine when a jail is opened.

use std::sync::OnceLock;

use seccompiler::{BpfProgram, TargetArch, compile_from_json, sock_filter};
use serde_json::Value;

use crate::error::SandboxError;
use crate::profile::Filter;

/// What is let through on every machine.
const DEFAULT: &str = include_str!("../filters/default.json");
/// What only this kind of machine has besides.
const DEFAULT_X86_64: &str = include_str!("../filters/default.x86_64.json");
/// What is answered as if the kernel did not have it, so that libraries take another way.
const ABSENT: &str = include_str!("../filters/absent.json");
/// What is refused where no control group counts memory.
const NO_SHARED_MEMORY: &str = include_str!("../filters/no_shared_memory.json");

/// The one filter in each file.
const KEY: &str = "jail";

/// Compiled filters as bytes, in the order in which they are set: the last one set must let the
/// others be set before it.
#[derive(Clone, Debug)]
pub(crate) struct Filters {
    absent: Vec<u8>,
    no_shared_memory: Vec<u8>,
    default: Vec<u8>,
}

impl Filters {
    /// The filters for this machine; compiled once.
    pub(crate) fn of_this_machine() -> Result<&'static Filters, SandboxError> {
        static FILTERS: OnceLock<Result<Filters, SandboxError>> = OnceLock::new();
        let filters = FILTERS.get_or_init(|| {
            let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|_| {
                SandboxError::unavailable(format!(
                    "there is no system-call filter for `{}`",
                    std::env::consts::ARCH
                ))
            })?;
            Filters::compile(arch)
        });
        filters.as_ref().map_err(Clone::clone)
    }

    fn compile(arch: TargetArch) -> Result<Filters, SandboxError> {
        let default = match arch {
            TargetArch::x86_64 => joined(&[DEFAULT, DEFAULT_X86_64]),
            _ => joined(&[DEFAULT]),
        };
        Ok(Filters {
            absent: compiled(ABSENT, arch)?,
            no_shared_memory: compiled(NO_SHARED_MEMORY, arch)?,
            default: compiled(&default.ok_or_else(|| broken("not the expected shape"))?, arch)?,
        })
    }

    /// What is to be set for a profile.
    pub(crate) fn chosen(&self, filter: Filter, counts_shared_memory: bool) -> Vec<&[u8]> {
        let Filter::Default = filter;
        let mut chosen = vec![self.absent.as_slice()];
        if !counts_shared_memory {
            chosen.push(&self.no_shared_memory);
        }
        chosen.push(&self.default);
        chosen
    }
}

/// One filter with the entries of all the files.
fn joined(files: &[&str]) -> Option<String> {
    let mut files = files.iter().map(|text| serde_json::from_str::<Value>(text).ok());
    let mut first = files.next()??;
    for file in files {
        let more = file?.pointer(&format!("/{KEY}/filter"))?.as_array()?.clone();
        first.pointer_mut(&format!("/{KEY}/filter"))?.as_array_mut()?.extend(more);
    }
    Some(first.to_string())
}

fn compiled(json: &str, arch: TargetArch) -> Result<Vec<u8>, SandboxError> {
    let mut programs =
        compile_from_json(json.as_bytes(), arch).map_err(|error| broken(&error.to_string()))?;
    let program = programs.remove(KEY).ok_or_else(|| broken("without its one filter"))?;
    Ok(encode(&program))
}

fn broken(what: &str) -> SandboxError {
    SandboxError::internal(format!("a system-call filter is broken: {what}"))
}

fn encode(program: &BpfProgram) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for step in program {
        bytes.extend(step.code.to_le_bytes());
        bytes.extend([step.jt, step.jf]);
        bytes.extend(step.k.to_le_bytes());
    }
    bytes
}

/// The program that [`Filters`] has as bytes.
pub(crate) fn decode(bytes: &[u8]) -> BpfProgram {
    let (steps, _) = bytes.as_chunks::<8>();
    let step = |[c0, c1, jt, jf, k0, k1, k2, k3]: &[u8; 8]| sock_filter {
        code: u16::from_le_bytes([*c0, *c1]),
        jt: *jt,
        jf: *jf,
        k: u32::from_le_bytes([*k0, *k1, *k2, *k3]),
    };
    steps.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no list has.
    const NEVER: &[&str] = &[
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "pidfd_getfd",
        "kcmp",
        "bpf",
        "mount",
        "umount2",
        "perf_event_open",
        "io_uring_setup",
        "io_uring_enter",
        "userfaultfd",
        "keyctl",
        "add_key",
        "request_key",
        "unshare",
        "setns",
        "pivot_root",
        "chroot",
        "open_tree",
        "move_mount",
        "fsopen",
        "fsmount",
        "mount_setattr",
        "open_by_handle_at",
        "name_to_handle_at",
        "kexec_load",
        "init_module",
        "finit_module",
        "reboot",
        "swapon",
        "syslog",
        "acct",
        "quotactl",
        "iopl",
        "ioperm",
        "modify_ldt",
        "socket",
        "connect",
        "bind",
        "listen",
        "accept",
        "accept4",
        "shmget",
        "msgget",
        "semget",
        "mq_open",
        "sched_setaffinity",
        "seccomp",
        "fanotify_init",
        "lookup_dcookie",
        "vmsplice",
        "move_pages",
        "migrate_pages",
        "settimeofday",
        "clock_settime",
        "adjtimex",
        "sethostname",
        "setdomainname",
        "sync",
        "syncfs",
        // What is sent with a message is in nobody's table of files, where it would be counted.
        "sendmsg",
        "sendmmsg",
        "memfd_secret",
        "remap_file_pages",
        "io_setup",
        "io_submit",
        "process_madvise",
        "process_mrelease",
        "sched_setattr",
        "sched_setscheduler",
        "ioprio_set",
        "set_mempolicy",
        "mbind",
        "listmount",
        "statmount",
        "quotactl_fd",
        "swapoff",
    ];

    #[test]
    fn filters_compile_for_every_kind_of_machine_and_fit_the_kernel() {
        for arch in [TargetArch::x86_64, TargetArch::aarch64] {
            let filters = Filters::compile(arch).unwrap();
            for bytes in filters.chosen(Filter::Default, false) {
                // BPF_MAXINSNS of the kernel.
                assert!(!bytes.is_empty() && bytes.len() / 8 <= 4096, "{arch:?}");
                assert_eq!(encode(&decode(bytes)), bytes);
            }
        }
    }

    #[test]
    fn what_opens_a_way_out_is_in_no_list() {
        let listed = joined(&[DEFAULT, DEFAULT_X86_64]).unwrap();
        for call in NEVER {
            assert!(!listed.contains(&format!("\"{call}\"")), "{call}");
        }
    }
}
