//! What this machine has, found out by trying.

use super::cgroups::Cgroups;
use super::spawn;
use crate::error::{Kind, SandboxError};
use crate::job::{Exit, Finished};
use crate::kernel;
use crate::launcher::WHOLE_FROM;
use crate::machine::{Mechanism, Probe, Settings};
use crate::plan::{self, Found, Message, Order};

pub(crate) const LANDLOCK: &str = "Landlock";
const TRIAL: &str = "a whole jail";

/// Adds how a jail without a program went.
///
/// # Errors
///
/// What says nothing of the machine, such as a want of memory.
pub(super) fn add_trial(
    probe: &mut Probe,
    trial: Result<Finished, SandboxError>,
) -> Result<(), SandboxError> {
    let why = match trial {
        Ok(Finished { exit: Exit::Code(0), .. }) => None,
        Ok(Finished { exit, .. }) => Some(format!("a job without a program ended as {exit:?}")),
        Err(error) if error.kind() == Kind::Unavailable => Some(error.to_string()),
        // Without namespaces it cannot but fail, in whatever way.
        Err(error) if !probe.missing().is_empty() => Some(error.to_string()),
        Err(error) => return Err(error),
    };
    probe.mechanisms.push(Mechanism {
        name: TRIAL.to_owned(),
        present: why.is_none(),
        required: true,
        detail: why,
    });
    probe.available = probe.missing().is_empty();
    Ok(())
}

/// Tries what can be tried without a job.
pub(super) fn of_machine(settings: &Settings, cgroups: &Cgroups) -> Result<Probe, SandboxError> {
    let mut mechanisms: Vec<_> = found(settings)?.into_iter().map(mechanism).collect();
    mechanisms.push(seccomp());
    mechanisms.extend(cgroups.mechanisms());
    mechanisms.push(apparmor());
    let user = if rustix::process::geteuid().is_root() { "nobody" } else { "yourself" };
    Ok(Probe { available: false, user, mechanisms })
}

fn mechanism(found: Found) -> Mechanism {
    let is_landlock = found.name == LANDLOCK;
    let version = kernel::landlock_version().ok().filter(|_| is_landlock);
    let version = version.map(|version| match version < WHOLE_FROM {
        true => format!("interface {version}: a part of what {WHOLE_FROM} holds"),
        false => format!("interface {version}"),
    });
    Mechanism {
        present: found.missing.is_none(),
        required: !is_landlock,
        detail: found.missing.or(version),
        name: found.name,
    }
}

fn found(settings: &Settings) -> Result<Vec<Found>, SandboxError> {
    let mut launched = spawn::launch(settings, &Order::Probe, &[])?;
    let answer = plan::receive(&mut launched.control);
    let _ = launched.launcher.wait();
    match answer {
        Ok(Message::Probed(found)) => Ok(found),
        _ => Err(SandboxError::internal(format!(
            "start the launcher `{}`: it does not answer as one",
            settings.launcher.display()
        ))
        .with_hint("its `main` has to begin with `launcher_main_if_asked`")),
    }
}

fn seccomp() -> Mechanism {
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    let present = actions.is_ok_and(|actions| actions.split_whitespace().any(|it| it == "errno"));
    Mechanism { name: "seccomp".to_owned(), present, required: true, detail: None }
}

/// Reported only: a profile of AppArmor would have to be loaded by the machine's administrator.
fn apparmor() -> Mechanism {
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    let present = enabled.is_ok_and(|text| text.trim() == "Y");
    let detail = if present { "enabled; no profile of ours is loaded" } else { "not enabled" };
    Mechanism {
        name: "AppArmor".to_owned(),
        present,
        required: false,
        detail: Some(detail.to_owned()),
    }
}
