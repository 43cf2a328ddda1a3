//! Where skills find the jail. It is opened when there is an agent that needs it, or else when the
//! first skill does: trying out what the machine can hold takes some milliseconds, which an instance
//! without such work need not spend.

use std::sync::{Arc, OnceLock};

use ark_os_sandbox::{Jail, SandboxError, Settings};

use super::SkillError;

/// A jail, or none. Clones share one.
#[derive(Clone, Debug, Default)]
pub struct JailSource {
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    jail: OnceLock<Result<Jail, SandboxError>>,
}

impl JailSource {
    /// No jail: what needs one says so.
    pub fn none() -> Self {
        Self::default()
    }

    /// A jail opened so. The launcher it names must be one: see
    /// [`ark_os_sandbox::launcher_main_if_asked`].
    pub fn with(settings: Settings) -> Self {
        Self { inner: Some(Arc::new(Inner { settings, jail: OnceLock::new() })) }
    }

    /// Opens it before anything needs it, so that what an instance left behind in it that was
    /// killed has ended before anything goes on. A machine without a jail is told of by whoever
    /// needs one.
    pub(crate) fn clear(&self) {
        let _ = self.opened();
    }

    /// The jail, or why there is none, as a fragment fit after "there is no sandbox: ".
    pub(super) fn open(&self) -> Result<&Jail, String> {
        match self.opened() {
            None => Err("this instance has none".to_owned()),
            Some(opened) => opened.as_ref().map_err(ToString::to_string),
        }
    }

    /// The jail for work that cannot be done without.
    pub(crate) fn demand(&self) -> Result<&Jail, SkillError> {
        match self.opened() {
            None => {
                let message = "run a command: this instance has no sandbox";
                Err(SkillError::permanent("sandbox_unavailable", message))
            }
            Some(Ok(jail)) => Ok(jail),
            Some(Err(error)) => {
                let message = format!("run a command: {error}");
                let told = SkillError::permanent(error.code(), message);
                Err(error.hint().into_iter().fold(told, SkillError::with_hint))
            }
        }
    }

    fn opened(&self) -> Option<&Result<Jail, SandboxError>> {
        let inner = self.inner.as_ref()?;
        Some(inner.jail.get_or_init(|| {
            let jail = Jail::open(inner.settings.clone())?;
            let reaped = jail.reap();
            let (groups, processes) = (reaped.groups, reaped.processes);
            tracing::debug!(groups, processes, "what a crash left in the jail is gone");
            Ok(jail)
        }))
    }
}
