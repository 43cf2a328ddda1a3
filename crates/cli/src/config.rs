//! Settings of an instance, layered: command line over environment over file over default, and
//! where each value came from. What is unknown, invalid or not built yet stops the start.

mod file;
mod keys;
mod values;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ark_os_core::budget::Amounts;
use ark_os_core::limits::AGENTS_MAX;
use ark_os_core::rules::Mode;
use ark_os_runtime::Settings;
use ark_os_runtime::messages::{MAILBOX, MailboxRule};

use crate::environment::Environment;
use crate::failure::{Failure, Finding};
use crate::logs::LogFormat;
use crate::node::absolute;
use crate::output::counted;
use keys::{KEYS, Key};

/// The port of an instance, where nobody asks for another.
const PORT: u16 = 7341;
/// The configuration file that is read without being named, in the user's directory.
const FILE: &str = "config.toml";
/// Variables of ours that are no settings of an instance.
const OTHER_VARIABLES: [&str; 3] = ["ARK_OS_CONFIG", "ARK_OS_ENDPOINT", "ARK_OS_TOKEN"];

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) mode: Mode,
    pub(crate) agents: u32,
    pub(crate) agents_max: u32,
    pub(crate) data_dir: PathBuf,
    pub(crate) drain_timeout: Duration,
    pub(crate) manifests: Vec<PathBuf>,
    /// Scopes of whoever holds the instance's token; none: those that it is built with.
    pub(crate) operator_scopes: Vec<String>,
    pub(crate) listen: SocketAddr,
    pub(crate) hosts: Vec<String>,
    pub(crate) log_level: String,
    pub(crate) log_format: LogFormat,
    pub(crate) log_file: Option<PathBuf>,
    pub(crate) metrics_retention: Duration,
    pub(crate) alert_retention: Duration,
    pub(crate) health_check_interval: Duration,
    pub(crate) concurrent_tasks_max: u32,
    pub(crate) runs_resident_max: u32,
    pub(crate) task_timeout: Duration,
    pub(crate) lease: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) agent_concurrency: u32,
    pub(crate) skill_concurrency: BTreeMap<String, u32>,
    pub(crate) workers: usize,
    pub(crate) external_concurrency: usize,
    pub(crate) segment_bytes: u64,
    pub(crate) batch_records_max: u32,
    pub(crate) snapshot_records: u64,
    pub(crate) archive_dir: Option<PathBuf>,
    /// 0: no limit.
    pub(crate) live_bytes_max: u64,
    pub(crate) mailbox: MailboxRule,
    pub(crate) audit_retention: Duration,
    pub(crate) namespace_budget: Amounts,
}

impl Config {
    /// What holds where nobody says anything.
    pub(crate) fn defaults(environment: &Environment) -> Self {
        let settings = Settings::new(environment.state_dir.clone());
        Config {
            mode: settings.mode,
            agents: settings.agents,
            agents_max: AGENTS_MAX,
            data_dir: settings.data_dir,
            drain_timeout: Duration::from_secs(30),
            manifests: Vec::new(),
            operator_scopes: Vec::new(),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT),
            hosts: Vec::new(),
            log_level: "info".to_owned(),
            log_format: LogFormat::Auto,
            log_file: None,
            metrics_retention: Duration::from_secs(7 * 24 * 3_600),
            alert_retention: Duration::from_secs(30 * 24 * 3_600),
            health_check_interval: Duration::from_secs(30),
            concurrent_tasks_max: settings.concurrent_tasks_max,
            runs_resident_max: settings.runs_resident_max,
            task_timeout: settings.task_timeout,
            lease: settings.lease,
            heartbeat: settings.heartbeat,
            agent_concurrency: settings.agent_concurrency,
            skill_concurrency: settings.skill_concurrency,
            workers: settings.workers,
            external_concurrency: settings.external_concurrency,
            segment_bytes: settings.segment_bytes,
            batch_records_max: settings.batch_records_max,
            snapshot_records: settings.snapshot_records,
            archive_dir: settings.archive_dir,
            live_bytes_max: 0,
            mailbox: MAILBOX,
            audit_retention: settings.audit_retention,
            namespace_budget: settings.namespace_budget,
        }
    }

    /// Paths as they are from everywhere, so that messages and records say which one is meant.
    pub(crate) fn make_absolute(&mut self) {
        self.data_dir = absolute(&self.data_dir);
        self.archive_dir = self.archive_dir.as_deref().map(absolute);
    }

    /// As the settings of the runtime.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            agents: self.agents,
            agents_max: self.agents_max,
            mode: self.mode,
            agent_concurrency: self.agent_concurrency,
            skill_concurrency: self.skill_concurrency.clone(),
            concurrent_tasks_max: self.concurrent_tasks_max,
            runs_resident_max: self.runs_resident_max,
            task_timeout: self.task_timeout,
            lease: self.lease,
            heartbeat: self.heartbeat,
            segment_bytes: self.segment_bytes,
            batch_records_max: self.batch_records_max,
            snapshot_records: self.snapshot_records,
            archive_dir: self.archive_dir.clone(),
            live_bytes_max: match self.live_bytes_max {
                0 => u64::MAX,
                bytes => bytes,
            },
            audit_retention: self.audit_retention,
            mailbox: self.mailbox,
            namespace_budget: self.namespace_budget,
            workers: self.workers,
            external_concurrency: self.external_concurrency,
            ..Settings::new(self.data_dir.clone())
        }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// A file, with line and column.
    File(String),
    /// An environment variable.
    Variable(&'static str),
    /// The command line.
    Option(&'static str),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(place) => f.write_str(place),
            Origin::Variable(name) => f.write_str(name),
            Origin::Option(name) => f.write_str(name),
        }
    }
}

/// One value with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its key: `system.mode`.
    pub(crate) key: &'static str,
    /// Its variable.
    pub(crate) variable: &'static str,
    /// Its value as text.
    pub(crate) value: String,
    /// Who said so.
    pub(crate) origin: Origin,
    /// What it is for.
    pub(crate) about: &'static str,
}

/// A configuration with the origin of each value.
#[derive(Clone, Debug)]
pub(crate) struct Layered {
    /// The values.
    pub(crate) config: Config,
    /// In the order of the documentation.
    pub(crate) entries: Vec<Entry>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

/// A value of the command line.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// The key it sets.
    pub(crate) key: &'static str,
    /// The option it was given with.
    pub(crate) option: &'static str,
    /// As it was written.
    pub(crate) value: String,
}

/// Every key with its variable.
pub(crate) fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYS.iter().map(|key| (key.name, key.variable))
}

/// Keys whose value may change while an instance runs: everything that reads it then has one place to
/// look at. All others are built into threads, files and sockets at the start.
const LIVE: [&str; 7] = [
    "system.max_agents",
    "system.drain_timeout",
    "monitoring.log_level",
    "performance.max_concurrent_tasks",
    "performance.runs_resident",
    "performance.task_timeout",
    "budget.namespace",
];

/// Whether a key may change while an instance runs.
pub(crate) fn is_live(key: &str) -> bool {
    LIVE.contains(&key)
}

/// Puts the layers together.
///
/// # Errors
/// Every unknown key and invalid value, each with its place.
pub(crate) fn load(
    environment: &Environment,
    file: Option<&Path>,
    given: &[Given],
) -> Result<Layered, Failure> {
    let mut layers = Layers::new(environment);
    let file = layers.read_file(environment, file)?;
    layers.read_environment(environment);
    for value in given {
        layers.set_by_name(value.key, Origin::Option(value.option), &value.value);
    }
    layers.check();
    layers.finish(file)
}

struct Layers {
    config: Config,
    origins: Vec<Origin>,
    findings: Vec<Finding>,
}

impl Layers {
    fn new(environment: &Environment) -> Self {
        Layers {
            config: Config::defaults(environment),
            origins: vec![Origin::Default; KEYS.len()],
            findings: Vec::new(),
        }
    }

    fn read_file(
        &mut self,
        environment: &Environment,
        named: Option<&Path>,
    ) -> Result<Option<PathBuf>, Failure> {
        let named = named.or(environment.value("ARK_OS_CONFIG").map(Path::new));
        let path = match named {
            Some(path) => path.to_path_buf(),
            None => {
                let path = environment.config_dir.join(FILE);
                if !path.is_file() {
                    return Ok(None);
                }
                path
            }
        };
        let values = file::read(&path)?;
        self.findings.extend(values.findings);
        for value in values.values {
            self.set(value.key, Origin::File(value.place), &value.text);
        }
        // So far all of them are of this file: in the order of its lines.
        self.findings.sort_by_key(|finding| position(finding.place.as_deref()));
        Ok(Some(path))
    }

    fn read_environment(&mut self, environment: &Environment) {
        for (name, value) in &environment.ours {
            if OTHER_VARIABLES.contains(&name.as_str()) {
                continue;
            }
            match KEYS.iter().position(|key| key.variable == name) {
                Some(index) => {
                    let variable = KEYS.get(index).map_or("", |key| key.variable);
                    self.set(index, Origin::Variable(variable), value);
                }
                None => self.findings.push(keys::unknown_variable(name)),
            }
        }
        for name in &environment.unreadable {
            self.findings.push(Finding::at(name.clone(), "the value is not UTF-8"));
        }
    }

    fn set_by_name(&mut self, name: &str, origin: Origin, text: &str) {
        if let Some(index) = KEYS.iter().position(|key| key.name == name) {
            self.set(index, origin, text);
        }
    }

    fn set(&mut self, index: usize, origin: Origin, text: &str) {
        let Some(key) = KEYS.get(index) else { return };
        if let Err(rule) = (key.set)(&mut self.config, text) {
            let message = format!("`{text}` is no value for `{}`", key.name);
            self.findings.push(Finding::at(origin.to_string(), message).hint(rule));
            return;
        }
        if let Some(slot) = self.origins.get_mut(index) {
            *slot = origin;
        }
    }

    /// What holds between values.
    fn check(&mut self) {
        let Config { agents, agents_max, .. } = self.config;
        if agents > agents_max {
            let place = self.origin_of("system.initial_agent_count");
            let message =
                format!("{agents} agents are more than `system.max_agents` ({agents_max})");
            let raise = "ask for fewer, or raise `system.max_agents`";
            self.findings.push(Finding::at(place, message).hint(raise));
        }
        let listen = self.config.listen;
        // Under which name such an address is reached is known to nobody here; without one, every
        // request from outside would be refused.
        if listen.ip().to_canonical().is_unspecified() && self.config.hosts.is_empty() {
            let place = self.origin_of("server.listen");
            let message = format!("`{listen}` listens everywhere, under no name");
            let name = "name the hosts that callers use with --host, `server.hosts` or \
                        ARK_OS_HOSTS, or listen on one address";
            self.findings.push(Finding::at(place, message).hint(name));
        }
    }

    fn origin_of(&self, name: &str) -> String {
        let index = KEYS.iter().position(|key| key.name == name);
        let origin = index.and_then(|index| self.origins.get(index));
        origin.unwrap_or(&Origin::Default).to_string()
    }

    fn finish(self, file: Option<PathBuf>) -> Result<Layered, Failure> {
        if !self.findings.is_empty() {
            let values = counted(self.findings.len(), "value");
            let message = format!("the configuration has {values} that cannot be used");
            return Err(Failure::usage(message).with_findings(self.findings));
        }
        let entry = |(key, origin): (&Key, Origin)| Entry {
            key: key.name,
            variable: key.variable,
            value: (key.show)(&self.config),
            origin,
            about: key.about,
        };
        let entries = KEYS.iter().zip(self.origins).map(entry).collect();
        Ok(Layered { config: self.config, entries, file })
    }
}

/// Line and column at the end of a place.
fn position(place: Option<&str>) -> Option<(usize, usize)> {
    let (rest, column) = place?.rsplit_once(':')?;
    let (_, line) = rest.rsplit_once(':')?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let pairs = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Environment {
            ours: pairs.collect(),
            state_dir: "/state/ark-os".into(),
            config_dir: "/nowhere/ark-os".into(),
            ..Environment::default()
        }
    }

    fn value<'a>(layered: &'a Layered, key: &str) -> (&'a str, String) {
        let entry = layered.entries.iter().find(|entry| entry.key == key).unwrap();
        (&entry.value, entry.origin.to_string())
    }

    #[test]
    fn the_command_line_beats_the_environment_beats_the_file_beats_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ark.toml");
        std::fs::write(
            &path,
            "[system]\nmode = \"autonomous\"\ninitial_agent_count = 10\nmax_agents = 500\n",
        )
        .unwrap();
        let environment =
            environment(&[("ARK_OS_AGENT_COUNT", "20"), ("ARK_OS_MAX_AGENTS", "600")]);
        let given =
            [Given { key: "system.initial_agent_count", option: "--agents", value: "30".into() }];
        let layered = load(&environment, Some(&path), &given).unwrap();
        let place = |line| format!("{}:{line}", path.display());
        assert_eq!(value(&layered, "system.mode"), ("autonomous", place("2:8")));
        assert_eq!(value(&layered, "system.max_agents"), ("600", "ARK_OS_MAX_AGENTS".into()));
        assert_eq!(value(&layered, "system.initial_agent_count"), ("30", "--agents".into()));
        assert_eq!(value(&layered, "performance.task_timeout"), ("5m", "default".into()));
        assert_eq!(layered.config.agents, 30);
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ark.toml");
        let text = "[system]\nmood = 1\nmode = \"idle\"\n[security]\ntoken_duration = \"24h\"\n\
                    [performance]\ntask_timeout = 5\n[colour]\nx = 1\n";
        std::fs::write(&path, text).unwrap();
        let environment =
            environment(&[("ARK_OS_AGENTCOUNT", "3"), ("ARK_OS_TOKEN_DURATION", "1h")]);
        let failure = load(&environment, Some(&path), &[]).unwrap_err();
        let lines: Vec<String> = failure.lines().into_iter().map(|(_, line)| line).collect();
        let text = lines.join("\n").replace(&path.display().to_string(), "F");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_production_profile_says_how_long_things_are_kept_and_how_often_they_are_looked_at() {
        let profile = Path::new(env!("CARGO_MANIFEST_DIR"));
        let profile = profile.join("../../configs/production/system.toml");
        let layered = load(&environment(&[]), Some(&profile), &[]).unwrap();
        for (key, said) in [
            ("monitoring.metrics_retention", "7d"),
            ("monitoring.alert_retention", "30d"),
            ("monitoring.health_check_interval", "30s"),
        ] {
            let (shown, origin) = value(&layered, key);
            assert!(shown == said && origin.contains("system.toml:"), "{key} {shown} {origin}");
        }
        for (variable, wrong) in [
            ("ARK_OS_METRICS_RETENTION", "59m"),
            ("ARK_OS_METRICS_RETENTION", "91d"),
            ("ARK_OS_ALERT_RETENTION", "59s"),
            ("ARK_OS_HEALTH_CHECK_INTERVAL", "2h"),
            ("ARK_OS_HEALTH_CHECK_INTERVAL", "often"),
        ] {
            assert!(load(&environment(&[(variable, wrong)]), None, &[]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_default_reads_back_as_itself() {
        let environment = environment(&[]);
        let config = Config::defaults(&environment);
        for key in KEYS {
            let mut other = config.clone();
            assert_eq!((key.set)(&mut other, &(key.show)(&config)), Ok(()), "{}", key.name);
            assert_eq!(other, config, "{}", key.name);
        }
    }
}
