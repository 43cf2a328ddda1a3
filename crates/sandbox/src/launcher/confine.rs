//! Giving up: limits, capabilities, the way back to any of them, and most system calls.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, CpuSet, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, sched_setaffinity,
    set_capabilities, set_capabilities_secure_bits, set_no_new_privs,
};

use super::{Result, failed, lacking, landlocked};
use crate::error::Kind;
use crate::filter;
use crate::plan::{Bounds, Plan, Refused};

/// Locked memory: enough for a key or two, too little to hurt.
const LOCKED_BYTES: u64 = 64 * 1024;
/// The stack of a program that was started by hand.
const STACK_BYTES: u64 = 8 * 1024 * 1024;
/// Addresses of a process, in parts of its memory: a second net for what is counted as something else. Many
/// runtimes reserve far more than they use.
const ADDRESSES_PER_MEMORY: u64 = 16;
/// No process gets less than this to reserve.
const ADDRESSES_MIN: u64 = 4 * 1024 * 1024 * 1024;
/// Signals that wait for a process.
const SIGNALS: u64 = 1024;
/// This process and the program's: what is allowed comes on top of the first.
const FIRST: u64 = 1;
/// The kernel has 41 and will never have more than its sets have bits.
const CAPABILITIES: u32 = 64;

/// All of it, in the order in which each step still can be taken.
pub(super) fn everything(plan: &Plan) -> Result<()> {
    stay_on(&plan.processors)?;
    limit(&plan.bounds)?;
    set_no_new_privs(true).map_err(lacking("give up new privileges"))?;
    if plan.landlock {
        landlocked::restrict(plan)?;
    }
    drop_capabilities()?;
    for bytes in &plan.filters {
        seccompiler::apply_filter(&filter::decode(bytes)).map_err(|error| {
            Refused::new(Kind::Unavailable, format!("set its system-call filter: {error}"))
        })?;
    }
    Ok(())
}

/// Keeps to these processors; the filter refuses to leave them.
fn stay_on(processors: &[u32]) -> Result<()> {
    if processors.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for number in processors.iter().filter_map(|number| usize::try_from(*number).ok()) {
        if number < CpuSet::MAX_CPU {
            set.set(number);
        }
    }
    sched_setaffinity(None, &set).map_err(lacking("stay on its processors"))
}

fn limit(bounds: &Bounds) -> Result<()> {
    let mut limits = vec![
        (Resource::Core, 0),
        (Resource::Cpu, bounds.cpu_seconds),
        (Resource::Fsize, bounds.file_bytes),
        (Resource::Nofile, bounds.open_files),
        (Resource::Nproc, bounds.processes.saturating_add(FIRST)),
        (Resource::Memlock, LOCKED_BYTES),
        (Resource::Stack, STACK_BYTES),
        (Resource::Sigpending, SIGNALS),
        (Resource::Msgqueue, 0),
        (Resource::Nice, 0),
        (Resource::Rtprio, 0),
    ];
    if let Some(bytes) = bounds.memory_bytes {
        let addresses = bytes.saturating_mul(ADDRESSES_PER_MEMORY).max(ADDRESSES_MIN);
        limits.extend([(Resource::Data, bytes), (Resource::As, addresses)]);
    }
    for (resource, value) in limits {
        // A second more before the kernel stops to ask: whoever caught the signal may say why.
        let grace = u64::from(resource == Resource::Cpu);
        let ceiling = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let maximum = value.saturating_add(grace).min(ceiling);
        let limit = Rlimit { current: Some(value.min(maximum)), maximum: Some(maximum) };
        setrlimit(resource, limit).map_err(failed("limit it"))?;
    }
    Ok(())
}

/// Drops every capability from every set, and the ways to gain one: being root, executing, changing
/// the user.
fn drop_capabilities() -> Result<()> {
    let dropping = failed("drop its capabilities");
    clear_ambient_capability_set().map_err(&dropping)?;
    for number in 0..CAPABILITIES {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if capability_is_in_bounding_set(one).unwrap_or(false) {
            remove_capability_from_bounding_set(one).map_err(&dropping)?;
        }
    }
    let locked = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    set_capabilities_secure_bits(locked).map_err(&dropping)?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).map_err(&dropping)
}
