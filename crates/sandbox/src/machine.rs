//! What is said of a machine: how a jail is opened on it, what it has, how it would hold a profile.

use std::path::PathBuf;

use serde::Serialize;

use crate::profile::Strength;

/// How a jail is opened.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The executable that is started as the launcher: one whose `main` begins with
    /// [`launcher_main_if_asked`]. The default is this process's own.
    pub launcher: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { launcher: PathBuf::from("/proc/self/exe") }
    }
}

/// How a profile is held on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The limit of memory.
    pub memory: Strength,
    /// The limits of the processor, its time and its share.
    pub cpu: Strength,
    /// Thousandths of a processor that the job can really use: more than the profile says where no
    /// control group can divide a processor and the job only stays on whole ones.
    pub cpu_milli: u32,
    /// The limit of processes.
    pub processes: Strength,
    /// Whether Landlock stands behind the mounts with every right that is known here; an older kernel has
    /// some of them only.
    pub landlock: bool,
}

/// One thing that confines, or counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mechanism {
    /// What it is.
    pub name: String,
    /// Whether it is there.
    pub present: bool,
    /// Whether nothing runs without it.
    pub required: bool,
    /// More about it; why it is missing, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What this machine has and lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// Whether jobs can be run at all.
    pub available: bool,
    /// Who jobs are outside: `nobody` if this process is root, else `yourself`.
    pub user: &'static str,
    /// Everything that was tried.
    pub mechanisms: Vec<Mechanism>,
}

impl Probe {
    /// Whether something is there.
    pub fn has(&self, name: &str) -> bool {
        self.mechanisms.iter().any(|mechanism| mechanism.name == name && mechanism.present)
    }

    /// What is missing without which nothing runs.
    pub fn missing(&self) -> Vec<String> {
        let missing = self.mechanisms.iter().filter(|it| it.required && !it.present);
        missing
            .map(|it| match &it.detail {
                Some(why) => format!("{}: {why}", it.name),
                None => it.name.clone(),
            })
            .collect()
    }
}

/// What was removed of what crashed instances left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reaped {
    /// Groups that are gone.
    pub groups: usize,
    /// Processes that were still in them and were ended.
    pub processes: usize,
    /// Groups that cannot be removed yet; the kernel may need a while after a kill.
    pub kept: usize,
}
