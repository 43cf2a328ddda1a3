//! The machine: what it is, and what it has to confine programs with.

use ark_os_sandbox::{Jail, Mechanism, Settings};

use super::{Check, Health};

/// What the machine is.
pub(super) fn checks() -> Vec<Check> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    let kernel = kernel.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned());
    vec![Check::new("machine", Health::Note, format!("{processors} processors, kernel {kernel}"))]
}

/// The sandbox plane, found out by making a jail.
pub(super) fn sandbox_plane() -> Check {
    const NAME: &str = "sandbox plane";
    let jail = match Jail::open(Settings::default()) {
        Ok(jail) => jail,
        Err(error) => return Check::new(NAME, Health::Less, format!("cannot be tried: {error}")),
    };
    let probe = jail.probe();
    if !probe.available {
        let missing = probe.missing().join("; ");
        let found = format!("programs cannot be jailed and are refused; missing: {missing}");
        return Check::new(NAME, Health::Less, found).hint("`ark-os sandbox probe` tells more");
    }
    // A profile of AppArmor would be one more wall; none is asked for.
    let absent: Vec<&Mechanism> =
        probe.mechanisms.iter().filter(|it| !it.present && it.name != "AppArmor").collect();
    let found = "programs run in a jail; nothing falls back to the bare host";
    if absent.is_empty() {
        return Check::new(NAME, Health::Good, found);
    }
    let names: Vec<&str> = absent.iter().map(|it| it.name.as_str()).collect();
    let found = format!("{found}; without {}", names.join(", "));
    let is_absent = |what: &str| names.iter().any(|name| name.starts_with(what));
    let mut hints = Vec::new();
    if is_absent("control group") {
        hints.push("without control groups limits hold for each process, not for a tree of them");
    }
    if is_absent("Landlock") {
        hints.push(
            "without Landlock (Linux 5.13, in the kernel's list of `lsm=`) mounts and the \
             system-call filter confine alone",
        );
    }
    let check = Check::new(NAME, Health::Less, found);
    if hints.is_empty() { check } else { check.hint(hints.join("; ")) }
}
