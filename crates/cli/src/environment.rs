//! The environment of the process, read in this one place: everything else gets it as data.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// What begins every variable of ours.
const PREFIX: &str = "ARK_OS_";
/// Name of our directories below the user's.
const DIRECTORY: &str = "ark-os";

/// The process's command line.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the arguments")]
pub(crate) fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// A variable by its name, such as one that a manifest names for a secret; none: not set, or no text.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The variables that matter here, and where the user keeps things.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// Every `ARK_OS_…` variable that is set and not empty.
    pub(crate) ours: BTreeMap<String, String>,
    /// Names of `ARK_OS_…` variables whose value is no text.
    pub(crate) unreadable: Vec<String>,
    /// The directory for state that outlives a restart.
    pub(crate) state_dir: PathBuf,
    /// The directory for configuration.
    pub(crate) config_dir: PathBuf,
    /// Whether colour is not wanted (`NO_COLOR` is set, or the terminal is a dumb one).
    pub(crate) no_colour: bool,
    /// Whether text beyond ASCII can be shown, as the locale says.
    pub(crate) is_utf8: bool,
}

impl Environment {
    /// Reads the process's own.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub(crate) fn of_process() -> Self {
        let mut environment = Environment::default();
        let mut others = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            if !name.starts_with(PREFIX) {
                others.insert(name, value);
                continue;
            }
            match value.into_string() {
                // An empty variable is one that is not set, as for a shell's `VAR= command`.
                Ok(value) if value.is_empty() => {}
                Ok(value) => {
                    environment.ours.insert(name, value);
                }
                Err(_) => environment.unreadable.push(name),
            }
        }
        // The XDG rules: a relative path there is to be ignored.
        let directory = |name: &str, below_home: &str| {
            let set = others.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
            let home = || others.get("HOME").map(|home| PathBuf::from(home).join(below_home));
            set.or_else(home).unwrap_or_default().join(DIRECTORY)
        };
        environment.state_dir = directory("XDG_STATE_HOME", ".local/state");
        environment.config_dir = directory("XDG_CONFIG_HOME", ".config");
        let is_set = |name: &str| others.get(name).is_some_and(|value| !value.is_empty());
        environment.no_colour =
            is_set("NO_COLOR") || others.get("TERM").is_some_and(|it| it == "dumb");
        // The first one that is set decides, as POSIX has it.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(|name| others.get(name).filter(|value| !value.is_empty())?.to_str());
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        environment.is_utf8 = locale.contains("utf-8") || locale.contains("utf8");
        environment
    }

    /// The value of one of our variables.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.ours.get(name).map(String::as_str)
    }
}
