//! Where skills find the jail. It is opened when there is an agent that needs it, or else when the
//! first skill does: trying out what the machine can hold takes some milliseconds, which an instance
//! without such work need not spend.

use std::sync::{Arc, Mutex, PoisonError};

use ark_os_sandbox::{Jail, Kind, SandboxError, Settings};

use super::SkillError;

/// A jail, or none. Clones share one.
#[derive(Clone, Debug, Default)]
pub struct JailSource {
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    /// Once there is one that can run something: what is missing may be missing for a moment only, for
    /// want of memory or processes.
    jail: Mutex<Option<Jail>>,
}

impl JailSource {
    /// No jail: what needs one says so.
    pub fn none() -> Self {
        Self::default()
    }

    /// A jail opened so. The launcher it names must be one: see
    /// [`ark_os_sandbox::launcher_main_if_asked`].
    pub fn with(settings: Settings) -> Self {
        Self { inner: Some(Arc::new(Inner { settings, jail: Mutex::default() })) }
    }

    /// Opens it before anything needs it, so that what an instance left behind in it that was
    /// killed has ended before anything goes on. A machine without a jail is told of by whoever
    /// needs one.
    pub(crate) fn clear(&self) {
        let _ = self.opened();
    }

    /// The jail, or why there is none, as a fragment fit after "there is no sandbox: ".
    pub(super) fn open(&self) -> Result<Jail, String> {
        match self.opened() {
            None => Err("this instance has none".to_owned()),
            Some(opened) => opened.map_err(|error| error.to_string()),
        }
    }

    /// The jail for work that cannot be done without.
    pub(crate) fn demand(&self) -> Result<Jail, SkillError> {
        match self.opened() {
            None => {
                let message = "run a command: this instance has no sandbox";
                Err(SkillError::permanent("sandbox_unavailable", message))
            }
            Some(Ok(jail)) => Ok(jail),
            Some(Err(error)) => {
                let message = format!("run a command: {error}");
                let told = match error.kind() {
                    Kind::Internal => SkillError::retryable(error.code(), message),
                    _ => SkillError::permanent(error.code(), message),
                };
                Err(error.hint().into_iter().fold(told, SkillError::with_hint))
            }
        }
    }

    fn opened(&self) -> Option<Result<Jail, SandboxError>> {
        let inner = self.inner.as_ref()?;
        let mut known = inner.jail.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(jail) = &*known {
            return Some(Ok(jail.clone()));
        }
        let opened = Jail::open(inner.settings.clone());
        if let Ok(jail) = &opened
            && jail.probe().available
        {
            let reaped = jail.reap();
            let (groups, processes) = (reaped.groups, reaped.processes);
            tracing::debug!(groups, processes, "what a crash left in the jail is gone");
            *known = Some(jail.clone());
        }
        Some(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jail_that_could_not_be_opened_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let launcher = dir.path().join("launcher");
        let jail = JailSource::with(Settings { launcher: launcher.clone() });
        let first = jail.demand().unwrap_err();
        assert_eq!((first.code(), first.is_retryable()), ("sandbox_failed", true));
        std::os::unix::fs::symlink("/bin/true", &launcher).unwrap();
        let second = jail.demand().unwrap_err();
        assert_ne!(first.message(), second.message(), "the launcher is there now, and is none");
    }
}
