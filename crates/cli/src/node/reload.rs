//! The configuration of a running node: shown, and read again from where the start read it.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ark_os_api::{ConfigReload, ConfigView, SettingDifference, SettingView};
use ark_os_core::Command;
use ark_os_core::settings_change::{LiveLimits, SettingChange, SettingsChanged};
use ark_os_core::text::Text;
use ark_os_runtime::Handle;
use ark_os_server::LiveSettings;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use crate::config::{Config, Entry, Given, Layered, is_live, load};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::logs;
use crate::node::absolute;
use crate::tokio_tasks::aside;

/// How long somebody waits for the file to be read: a few kilobytes take milliseconds, a mount whose server is
/// gone takes for ever.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// The codes of a reading that took longer, and of one that found something wrong.
const LATE: &str = "not_ready";
const WRONG: &str = "settings_invalid";
/// Why a change is refused.
const NEEDS_RESTART: &str = "needs a restart";

/// From where a start read its configuration.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The variables of the process.
    pub(crate) environment: Environment,
    /// The file that was named.
    pub(crate) file: Option<PathBuf>,
    /// The options of the command line.
    pub(crate) given: Vec<Given>,
}

/// What a node is configured with now; a cheap clone.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    source: Source,
    now: Arc<Mutex<Layered>>,
    /// One reading at a time: the second finds what the first has made, and no more than one thread hangs in
    /// a file that never comes.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Whether a hang-up asks for that; where there is a terminal, it is the terminal's end.
    pub(crate) is_service: bool,
}

impl Source {
    /// The configuration as it is written at this moment.
    pub(crate) fn read(&self) -> Result<Layered, Failure> {
        let mut layered = load(&self.environment, self.file.as_deref(), &self.given)?;
        layered.config.make_absolute();
        Ok(layered)
    }

    /// The configuration as a running instance reads it again.
    fn read_again(&self) -> Result<Layered, Failure> {
        let is_pipe =
            |file: &&Path| std::fs::metadata(file).is_ok_and(|it| it.file_type().is_fifo());
        // Whoever opened one would wait for somebody to write into it again.
        if let Some(pipe) = self.named().filter(is_pipe).map(absolute) {
            let message = format!("`{}` is a pipe, which is read at a start alone", pipe.display());
            let hint = "nothing was changed; put a TOML file there, then `ark-os config reload`";
            return Err(Failure::new(WRONG, message).with_hint(hint));
        }
        self.read().map_err(|failure| self.unread(failure))
    }

    /// The file that somebody named.
    fn named(&self) -> Option<&Path> {
        self.file.as_deref().or(self.environment.value("ARK_OS_CONFIG").map(Path::new))
    }

    /// Why a reload has read nothing, and how to look for what is wrong.
    fn unread(&self, failure: Failure) -> Failure {
        let named = self.named().map(|file| format!(" --config {}", absolute(file).display()));
        failure.under_code(WRONG).with_hint(format!(
            "nothing was changed; look with `ark-os config show{}`, then `ark-os config reload`",
            named.unwrap_or_default()
        ))
    }
}

impl Running {
    /// A node begins with what was read.
    pub(crate) fn new(source: Source, layered: Layered, is_service: bool) -> Self {
        let now = Arc::new(Mutex::new(layered));
        Running { source, now, turn: Arc::default(), is_service }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Layered) -> T) -> T {
        look(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long a stop waits for what runs.
    pub(super) fn drain_timeout(&self) -> Duration {
        self.with(|now| now.config.drain_timeout)
    }

    /// For the routes of the API.
    pub(super) fn live(&self, handle: Handle) -> LiveSettings {
        let (shown, reloaded) = (self.clone(), self.clone());
        LiveSettings {
            show: Arc::new(move || {
                let running = shown.clone();
                Box::pin(async move { running.view().await })
            }),
            reload: Arc::new(move |reason| {
                let (running, handle) = (reloaded.clone(), handle.clone());
                Box::pin(async move {
                    let done = running.reload(&handle, "operator", &reason).await;
                    done.map_err(|failure| failure.into_problem())
                })
            }),
        }
    }

    /// The configuration as it is written now, read on a thread of its own, and the turn in which it was.
    async fn written(&self) -> Result<(Layered, OwnedMutexGuard<()>), Failure> {
        let reading = async {
            // The thread has the turn: who gives up waiting does not let a second thread in.
            let (source, turn) = (self.source.clone(), self.turn.clone().lock_owned().await);
            aside(move || source.read_again().map(|layered| (layered, turn))).await
        };
        timeout(READ_PATIENCE, reading).await.unwrap_or_else(|_| {
            let seconds = READ_PATIENCE.as_secs();
            let message = format!("the configuration was not read within {seconds} seconds");
            Err(Failure::new(LATE, message).with_hint(
                "look whether its file's disk answers, and whether another reload is under way",
            ))
        })
    }

    async fn view(&self) -> ConfigView {
        let (written, fault) = match self.written().await {
            Ok((layered, _turn)) => (layered.entries, None),
            Err(failure) => (Vec::new(), Some(failure.message().to_owned())),
        };
        let of_entry = |entry: &Entry| {
            let other = written.iter().find(|it| it.key == entry.key && it.value != entry.value);
            SettingView {
                key: entry.key.to_owned(),
                value: entry.value.clone(),
                origin: entry.origin.to_string(),
                live: is_live(entry.key),
                written: other.map(|it| it.value.clone()),
                written_at: other.map(|it| it.origin.to_string()),
            }
        };
        ConfigView { values: self.with(|now| now.entries.iter().map(of_entry).collect()), fault }
    }

    /// Reads the configuration again, and changes what can be changed.
    ///
    /// # Errors
    /// It is wrong, with every place, and nothing is changed; or the change could not be recorded.
    pub(super) async fn reload(
        &self,
        handle: &Handle,
        by: &str,
        reason: &str,
    ) -> Result<ConfigReload, Failure> {
        let (written, _turn) = self.written().await?;
        let before = self.with(|now| now.clone());
        let mut found = ConfigReload::default();
        for (was, is) in before.entries.iter().zip(&written.entries) {
            if was.value == is.value {
                continue;
            }
            let mut difference = SettingDifference {
                key: is.key.to_owned(),
                from: was.value.clone(),
                to: is.value.clone(),
                origin: is.origin.to_string(),
                reason: None,
            };
            if is_live(is.key) {
                found.changed.push(difference);
            } else {
                difference.reason = Some(NEEDS_RESTART.to_owned());
                found.refused.push(difference);
            }
        }
        if !found.changed.is_empty() {
            let text = |text: &str| Text::from(text);
            let changes = found.changed.iter().map(|it| SettingChange {
                key: text(&it.key),
                from: text(&it.from),
                to: text(&it.to),
            });
            let changed = SettingsChanged {
                by: text(by),
                reason: text(reason),
                changes: changes.collect(),
                limits: limits(&before.config, &written.config),
            };
            handle.command(Command::ChangeSettings(Box::new(changed))).await?;
            if before.config.log_level != written.config.log_level {
                logs::set_level(&written.config.log_level);
            }
        }
        self.with(|now| take_over(now, written));
        tell(&found, by);
        Ok(found)
    }
}

/// What of a change the state of the instance knows.
fn limits(before: &Config, now: &Config) -> LiveLimits {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let is_other = before.namespace_budget != now.namespace_budget;
    LiveLimits {
        agents_max: (before.agents_max != now.agents_max).then_some(now.agents_max),
        concurrent_tasks_max: (before.concurrent_tasks_max != now.concurrent_tasks_max)
            .then_some(now.concurrent_tasks_max),
        runs_resident_max: (before.runs_resident_max != now.runs_resident_max)
            .then_some(now.runs_resident_max),
        task_timeout_ms: (before.task_timeout != now.task_timeout)
            .then_some(millis(now.task_timeout)),
        namespace_budget: is_other.then_some(now.namespace_budget),
    }
}

/// What can change has the new value; where a value is the same, it may come from somewhere else.
fn take_over(now: &mut Layered, written: Layered) {
    for (old, new) in now.entries.iter_mut().zip(written.entries) {
        if is_live(old.key) || old.value == new.value {
            *old = new;
        }
    }
    let (config, new) = (&mut now.config, written.config);
    config.agents_max = new.agents_max;
    config.drain_timeout = new.drain_timeout;
    config.log_level = new.log_level;
    config.concurrent_tasks_max = new.concurrent_tasks_max;
    config.runs_resident_max = new.runs_resident_max;
    config.task_timeout = new.task_timeout;
    config.namespace_budget = new.namespace_budget;
}

fn tell(found: &ConfigReload, by: &str) {
    for it in &found.changed {
        tracing::info!(key = it.key, from = it.from, to = it.to, by, "a setting changed");
    }
    for it in &found.refused {
        tracing::warn!(key = it.key, to = it.to, by, "a changed setting needs a restart");
    }
}
