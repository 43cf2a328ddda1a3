//! Where skills find the jail. It is opened when there is an agent that needs it, or else when the
//! first skill does: trying out what the machine can hold takes some milliseconds, which an instance
//! without such work need not spend.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ark_os_sandbox::{Jail, Kind, SandboxError, Settings};

use super::SkillError;
use crate::clock::instant;

/// How long a machine without a jail is not looked at again: a look starts processes, and everybody who needs a
/// jail waits for it. It is looked at again because a want of memory or processes looks like a lack.
const LACK_KEPT: Duration = Duration::from_secs(30);

/// A jail, or none. Clones share one.
#[derive(Clone, Debug, Default)]
pub struct JailSource {
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    /// Once there is one. What failed in passing leaves none.
    jail: Mutex<Option<Known<Jail>>>,
}

/// What was opened, and whether to look again.
#[derive(Debug)]
struct Known<J> {
    jail: J,
    /// For one that can run nothing: until when that is believed.
    until: Option<Instant>,
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
        self.inner.as_ref().map(|inner| inner.opened())
    }
}

impl Inner {
    fn opened(&self) -> Result<Jail, SandboxError> {
        // Whoever waits here for another's look has its result, whether there is a jail or none.
        let mut known = self.jail.lock().unwrap_or_else(PoisonError::into_inner);
        known_or(&mut known, instant, || {
            let jail = Jail::open(self.settings.clone())?;
            let is_whole = jail.probe().available;
            if is_whole {
                let reaped = jail.reap();
                let (groups, processes) = (reaped.groups, reaped.processes);
                tracing::debug!(groups, processes, "what a crash left in the jail is gone");
            }
            Ok((jail, is_whole))
        })
    }
}

/// What is known, or what `open` gives and whether that is whole.
fn known_or<J: Clone, E>(
    known: &mut Option<Known<J>>,
    now: impl Fn() -> Instant,
    open: impl FnOnce() -> Result<(J, bool), E>,
) -> Result<J, E> {
    let is_believed = |it: &&mut Known<J>| it.until.is_none_or(|until| now() < until);
    if let Some(known) = known.as_mut().filter(is_believed) {
        return Ok(known.jail.clone());
    }
    let (jail, is_whole) = open()?;
    let until = (!is_whole).then(|| now() + LACK_KEPT);
    *known = Some(Known { jail: jail.clone(), until });
    Ok(jail)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_machine_without_a_jail_is_not_looked_at_again_for_each_attempt() {
        let time = Cell::new(instant());
        let looks = Cell::new(0);
        let mut known = None;
        let mut look = |found: Result<bool, &'static str>| {
            let opened = known_or(
                &mut known,
                || time.get(),
                || {
                    looks.set(looks.get() + 1);
                    found.map(|is_whole| (looks.get(), is_whole))
                },
            );
            (opened, looks.get())
        };
        // What fails in passing is tried again at once.
        assert_eq!(look(Err("no memory")), (Err("no memory"), 1));
        assert_eq!(look(Ok(false)), (Ok(2), 2));
        assert_eq!(look(Ok(false)), (Ok(2), 2), "it lacks what it lacked a moment ago");
        time.set(time.get() + LACK_KEPT);
        assert_eq!(look(Ok(true)), (Ok(3), 3));
        time.set(time.get() + 10 * LACK_KEPT);
        assert_eq!(look(Ok(false)), (Ok(3), 3), "one that can run something is kept");
    }

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
