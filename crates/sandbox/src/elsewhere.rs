//! The jail where there is none: everything is refused, nothing runs.

use crate::error::SandboxError;
use crate::job::{Finished, Job};
use crate::machine::{Held, Mechanism, Probe, Reaped, Settings};
use crate::profile::Profile;

/// Refuses jobs: this system has nothing to confine them with.
#[derive(Clone, Debug)]
pub struct Jail {
    probe: Probe,
}

impl Jail {
    /// Says that there is nothing.
    ///
    /// # Errors
    ///
    /// None; what is missing is told by [`Jail::probe`] and by each refusal.
    pub fn open(_settings: Settings) -> Result<Jail, SandboxError> {
        let linux = Mechanism {
            name: "Linux".to_owned(),
            present: false,
            required: true,
            detail: Some(format!("this is {}", std::env::consts::OS)),
        };
        Ok(Jail { probe: Probe { available: false, user: "nobody", mechanisms: vec![linux] } })
    }

    /// What is missing.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Refuses.
    ///
    /// # Errors
    ///
    /// Always: `sandbox_invalid` for a profile that nothing could hold, else `sandbox_unavailable`.
    pub fn check(&self, profile: &Profile) -> Result<Held, SandboxError> {
        profile.validate()?;
        Err(SandboxError::unavailable("confine a process: jails need Linux"))
    }

    /// Refuses.
    ///
    /// # Errors
    ///
    /// Always: `sandbox_invalid` for a job that nothing could run, else `sandbox_unavailable`.
    pub fn run(&self, job: &Job, _is_stopped: &dyn Fn() -> bool) -> Result<Finished, SandboxError> {
        job.validate()?;
        let held = self.check(&job.profile)?;
        Err(SandboxError::internal(format!("confine a process with {held:?}")))
    }

    /// Nothing was left behind.
    pub fn reap(&self) -> Reaped {
        Reaped::default()
    }
}

/// Nothing is in the way of a target where nothing is mounted.
///
/// # Errors
///
/// None.
pub fn check_target(_target: &std::path::Path, _is_dir: bool) -> Result<(), SandboxError> {
    Ok(())
}

/// Nobody is started to be a launcher here.
pub fn launcher_main_if_asked() -> Option<i32> {
    None
}
