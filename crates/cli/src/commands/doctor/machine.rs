//! The machine: what the kernel offers. Nothing here is needed by native agents; it says what a
//! sandbox would find.

use super::{Check, Health};

/// Everything about the machine.
pub(super) fn checks() -> Vec<Check> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    vec![
        Check::new("machine", Health::Note, format!("{processors} processors, kernel {kernel}")),
        features(),
    ]
}

/// What confines processes.
fn features() -> Check {
    let modules = read("/sys/kernel/security/lsm").unwrap_or_default();
    let has_module = |name: &str| modules.split(',').any(|module| module == name);
    let namespaces = read("/proc/sys/user/max_user_namespaces");
    let features = [
        ("Landlock", has_module("landlock")),
        ("AppArmor", has_module("apparmor")),
        ("seccomp", read("/proc/sys/kernel/seccomp/actions_avail").is_some()),
        ("user namespaces", namespaces.is_some_and(|max| max != "0")),
        ("cgroup v2", read("/sys/fs/cgroup/cgroup.controllers").is_some()),
    ];
    let named = |there: bool| {
        let names: Vec<_> =
            features.iter().filter(|(_, is)| *is == there).map(|(name, _)| *name).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    let found = format!("has {}; lacks {}", named(true), named(false));
    Check::new("kernel features", Health::Note, found)
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}
