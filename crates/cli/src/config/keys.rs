//! The keys of the configuration: name, variable, how a value is read and shown. A key is here
//! only if it has an effect; those that the format knows and this version does not are refused.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ark_os_core::limits::AGENTS_MAX;
use ark_os_core::manifest::parse_duration_ms;
use ark_os_core::rules::Mode;
use ark_os_runtime::messages::Overflow;

use super::Config;
use super::values;
use crate::failure::Finding;
use crate::logs::{LogFormat, check_level};

/// Progress tokens of one agent: more attempts than threads only wait.
const AGENT_CONCURRENCY_MAX: u32 = 1_000;
/// Attempts of the whole instance: what the loop's tables are made for.
const CONCURRENT_TASKS_MAX: u32 = 1_000_000;
/// Runs in memory: beyond it they would take gigabytes.
const RUNS_RESIDENT: u32 = 1_000_000;
/// Worker threads: beyond it the system only switches between them.
const WORKERS_MAX: usize = 1_024;
/// Waits at one time: each has a thread, and a call of a service two.
const EXTERNAL_MAX: usize = 8_192;
/// Space reserved for a journal segment: one batch must fit, and a disk should hold many.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(1 << 30);
/// Records of one batch: one sync must not take for ever.
const BATCH_RECORDS: std::ops::RangeInclusive<u32> = 1..=65_536;
/// Records between snapshots: few cost work beside the loop, many a slow start.
const SNAPSHOT_RECORDS: std::ops::RangeInclusive<u64> = 1_000..=100_000_000;
/// A shorter lease would end between two renewals of a busy machine; a longer one is a lost worker
/// that nobody looks for.
const LEASE: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(500)..=Duration::from_secs(3_600);
/// The same for workers that have nothing to do.
const HEARTBEAT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(500)..=Duration::from_secs(3_600);

/// Minutes that are told apart: an hour is little to look back on, and each day takes 150 KB of memory.
const METRICS_RETENTION: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(3_600)..=Duration::from_secs(90 * 24 * 3_600);
/// Who is not there for a minute should still see what was; beyond ten years nobody asks.
const ALERT_RETENTION: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(3_650 * 24 * 3_600);
/// Each look connects to every service that is declared; after an hour it says nothing of now.
const HEALTH_CHECK_INTERVAL: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3_600);

/// Messages of one mailbox: two, so that one place can be kept for what is urgent; many only take
/// memory, and hide that nobody reads them.
const MAILBOX_MESSAGES: std::ops::RangeInclusive<usize> = 2..=65_536;

/// What a TOML file must have for the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A string: words, durations, paths.
    Text,
    /// A whole number.
    Number,
    /// A list of strings; elsewhere with commas between them.
    List,
    /// A table; elsewhere `name=value` with commas between them.
    Table,
}

/// One key.
pub(super) struct Key {
    /// In the file: `system.mode`.
    pub(super) name: &'static str,
    /// In the environment.
    pub(super) variable: &'static str,
    /// In the file.
    pub(super) form: Form,
    /// What it is for.
    pub(super) about: &'static str,
    /// Reads a value; the error says what belongs there.
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    /// Shows the value, so that `set` reads it back.
    pub(super) show: fn(&Config) -> String,
}

/// All keys, in the order in which they are shown.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "system.mode",
        variable: "ARK_OS_MODE",
        form: Form::Text,
        about: "how risky steps are treated: autonomous, supervised or interactive",
        set: |config, text| put(&mut config.mode, mode(text)),
        show: |config| config.mode.to_string(),
    },
    Key {
        name: "system.initial_agent_count",
        variable: "ARK_OS_AGENT_COUNT",
        form: Form::Number,
        about: "agents of the fleet",
        set: |config, text| put(&mut config.agents, whole(text, 1..=AGENTS_MAX)),
        show: |config| config.agents.to_string(),
    },
    Key {
        name: "system.max_agents",
        variable: "ARK_OS_MAX_AGENTS",
        form: Form::Number,
        about: "agents that a fleet may have at most, also by `scale`",
        set: |config, text| put(&mut config.agents_max, whole(text, 1..=AGENTS_MAX)),
        show: |config| config.agents_max.to_string(),
    },
    Key {
        name: "system.data_dir",
        variable: "ARK_OS_DATA_DIR",
        form: Form::Text,
        about: "where journal, blobs, views and keys lie",
        set: |config, text| put(&mut config.data_dir, path(text)),
        show: |config| config.data_dir.display().to_string(),
    },
    Key {
        name: "system.drain_timeout",
        variable: "ARK_OS_DRAIN_TIMEOUT",
        form: Form::Text,
        about: "how long a stop waits for what runs",
        set: |config, text| put(&mut config.drain_timeout, duration(text)),
        show: |config| shown(config.drain_timeout),
    },
    Key {
        name: "system.manifests",
        variable: "ARK_OS_MANIFESTS",
        form: Form::List,
        about: "manifest files whose agents the fleet has, besides the built-in skills",
        set: |config, text| put(&mut config.manifests, values::paths(text)),
        show: |config| values::shown_paths(&config.manifests),
    },
    Key {
        name: "security.operator_scopes",
        variable: "ARK_OS_OPERATOR_SCOPES",
        form: Form::List,
        about: "scopes of whoever holds the instance's token; none: `*`, without `effect:effectful`",
        set: |config, text| put(&mut config.operator_scopes, values::scopes(text)),
        show: |config| config.operator_scopes.join(","),
    },
    Key {
        name: "security.audit_retention",
        variable: "ARK_OS_AUDIT_RETENTION",
        form: Form::Text,
        about: "age at which segments that nothing needs are archived; nothing is deleted",
        set: |config, text| put(&mut config.audit_retention, duration(text)),
        show: |config| shown(config.audit_retention),
    },
    Key {
        name: "server.listen",
        variable: "ARK_OS_LISTEN",
        form: Form::Text,
        about: "address of the API; port 0 takes a free one",
        set: |config, text| {
            let rule = "write it like `127.0.0.1:7341`; port 0 takes a free one";
            put(&mut config.listen, text.parse().map_err(|_| rule.to_owned()))
        },
        show: |config| config.listen.to_string(),
    },
    Key {
        name: "server.hosts",
        variable: "ARK_OS_HOSTS",
        form: Form::List,
        about: "names besides the loopback's and the listening address under which callers reach the API",
        set: |config, text| put(&mut config.hosts, values::hosts(text)),
        show: |config| config.hosts.join(","),
    },
    Key {
        name: "monitoring.log_level",
        variable: "ARK_OS_LOG_LEVEL",
        form: Form::Text,
        about: "error, warn, info, debug, trace or off, also by module: `info,ark_os_runtime=debug`",
        set: |config, text| put(&mut config.log_level, check_level(text)),
        show: |config| config.log_level.clone(),
    },
    Key {
        name: "monitoring.log_format",
        variable: "ARK_OS_LOG_FORMAT",
        form: Form::Text,
        about: "json, human, or auto: human on a terminal, else JSON",
        set: |config, text| put(&mut config.log_format, LogFormat::from_str(text)),
        show: |config| config.log_format.to_string(),
    },
    Key {
        name: "monitoring.log_file",
        variable: "ARK_OS_LOG_FILE",
        form: Form::Text,
        about: "file that log lines are appended to; empty: standard error",
        set: |config, text| {
            config.log_file = (!text.is_empty()).then(|| PathBuf::from(text));
            Ok(())
        },
        show: |config| {
            config.log_file.as_ref().map(|it| it.display().to_string()).unwrap_or_default()
        },
    },
    Key {
        name: "monitoring.metrics_retention",
        variable: "ARK_OS_METRICS_RETENTION",
        form: Form::Text,
        about: "how long the numbers of each minute are kept in memory: `GET /api/v1/metrics/history`",
        set: |config, text| put(&mut config.metrics_retention, within(text, METRICS_RETENTION)),
        show: |config| shown(config.metrics_retention),
    },
    Key {
        name: "monitoring.alert_retention",
        variable: "ARK_OS_ALERT_RETENTION",
        form: Form::Text,
        about: "how long an escalation that is over is shown",
        set: |config, text| put(&mut config.alert_retention, within(text, ALERT_RETENTION)),
        show: |config| shown(config.alert_retention),
    },
    Key {
        name: "monitoring.health_check_interval",
        variable: "ARK_OS_HEALTH_CHECK_INTERVAL",
        form: Form::Text,
        about: "how often programs and services of agents are looked at: `GET /api/v1/health`",
        set: |config, text| {
            put(&mut config.health_check_interval, within(text, HEALTH_CHECK_INTERVAL))
        },
        show: |config| shown(config.health_check_interval),
    },
    Key {
        name: "performance.max_concurrent_tasks",
        variable: "ARK_OS_MAX_CONCURRENT_TASKS",
        form: Form::Number,
        about: "attempts under way in the whole instance",
        set: |config, text| {
            put(&mut config.concurrent_tasks_max, whole(text, 1..=CONCURRENT_TASKS_MAX))
        },
        show: |config| config.concurrent_tasks_max.to_string(),
    },
    Key {
        name: "performance.runs_resident",
        variable: "ARK_OS_RUNS_RESIDENT",
        form: Form::Number,
        about: "runs in memory to which something happens; more wait on disk",
        set: |config, text| put(&mut config.runs_resident_max, whole(text, 1..=RUNS_RESIDENT)),
        show: |config| config.runs_resident_max.to_string(),
    },
    Key {
        name: "performance.agent_concurrency",
        variable: "ARK_OS_AGENT_CONCURRENCY",
        form: Form::Number,
        about: "attempts under way by one agent",
        set: |config, text| {
            put(&mut config.agent_concurrency, whole(text, 1..=AGENT_CONCURRENCY_MAX))
        },
        show: |config| config.agent_concurrency.to_string(),
    },
    Key {
        name: "performance.skill_concurrency",
        variable: "ARK_OS_SKILL_CONCURRENCY",
        form: Form::Table,
        about: "attempts under way of one skill, by its name: `audit.chunk=8`",
        set: |config, text| {
            let limits = values::limits(text, 1..=CONCURRENT_TASKS_MAX);
            put(&mut config.skill_concurrency, limits)
        },
        show: |config| values::shown_limits(&config.skill_concurrency),
    },
    Key {
        name: "performance.task_timeout",
        variable: "ARK_OS_TASK_TIMEOUT",
        form: Form::Text,
        about: "time for one attempt where its task does not say",
        set: |config, text| put(&mut config.task_timeout, duration(text)),
        show: |config| shown(config.task_timeout),
    },
    Key {
        name: "performance.lease",
        variable: "ARK_OS_LEASE",
        form: Form::Text,
        about: "how long a task is held by who does not renew it; remote workers are told",
        set: |config, text| put(&mut config.lease, within(text, LEASE)),
        show: |config| shown(config.lease),
    },
    Key {
        name: "performance.heartbeat_interval",
        variable: "ARK_OS_HEARTBEAT_INTERVAL",
        form: Form::Text,
        about: "how often a remote worker is to be heard of: suspect after two, offline after three",
        set: |config, text| put(&mut config.heartbeat, within(text, HEARTBEAT)),
        show: |config| shown(config.heartbeat),
    },
    Key {
        name: "performance.workers",
        variable: "ARK_OS_WORKERS",
        form: Form::Number,
        about: "threads that native agents work on; 0: one a processor, at least two",
        set: |config, text| put(&mut config.workers, whole(text, 0..=WORKERS_MAX)),
        show: |config| config.workers.to_string(),
    },
    Key {
        name: "performance.external_concurrency",
        variable: "ARK_OS_EXTERNAL_CONCURRENCY",
        form: Form::Number,
        about: "attempts at one time that wait for a command or a service",
        set: |config, text| put(&mut config.external_concurrency, whole(text, 1..=EXTERNAL_MAX)),
        show: |config| config.external_concurrency.to_string(),
    },
    Key {
        name: "store.segment_bytes",
        variable: "ARK_OS_STORE_SEGMENT_BYTES",
        form: Form::Number,
        about: "space reserved for one segment of the journal",
        set: |config, text| put(&mut config.segment_bytes, whole(text, SEGMENT_BYTES)),
        show: |config| config.segment_bytes.to_string(),
    },
    Key {
        name: "store.batch_records",
        variable: "ARK_OS_STORE_BATCH_RECORDS",
        form: Form::Number,
        about: "records of one batch of the journal, at most",
        set: |config, text| put(&mut config.batch_records_max, whole(text, BATCH_RECORDS)),
        show: |config| config.batch_records_max.to_string(),
    },
    Key {
        name: "store.snapshot_records",
        variable: "ARK_OS_STORE_SNAPSHOT_RECORDS",
        form: Form::Number,
        about: "records after which a new snapshot is made: what a start replays at most, about",
        set: |config, text| put(&mut config.snapshot_records, whole(text, SNAPSHOT_RECORDS)),
        show: |config| config.snapshot_records.to_string(),
    },
    Key {
        name: "store.archive_dir",
        variable: "ARK_OS_STORE_ARCHIVE_DIR",
        form: Form::Text,
        about: "where archived segments go; empty: `archive` in the data directory",
        set: |config, text| {
            config.archive_dir = (!text.is_empty()).then(|| PathBuf::from(text));
            Ok(())
        },
        show: |config| {
            config.archive_dir.as_ref().map(|it| it.display().to_string()).unwrap_or_default()
        },
    },
    Key {
        name: "store.live_bytes_max",
        variable: "ARK_OS_STORE_LIVE_BYTES_MAX",
        form: Form::Number,
        about: "bytes of segments beyond which the oldest are archived early; 0: no limit",
        set: |config, text| put(&mut config.live_bytes_max, whole(text, 0..=u64::MAX)),
        show: |config| config.live_bytes_max.to_string(),
    },
    Key {
        name: "bus.mailbox_messages",
        variable: "ARK_OS_BUS_MAILBOX_MESSAGES",
        form: Form::Number,
        about: "messages that an agent's mailbox holds",
        set: |config, text| put(&mut config.mailbox.messages_max, whole(text, MAILBOX_MESSAGES)),
        show: |config| config.mailbox.messages_max.to_string(),
    },
    Key {
        name: "bus.overflow",
        variable: "ARK_OS_BUS_OVERFLOW",
        form: Form::Text,
        about: "what becomes of a message that does not fit: push-back, drop-oldest or drop-newest",
        set: |config, text| {
            let found = Overflow::ALL.into_iter().find(|it| it.as_str() == text);
            let rule = "use push-back, drop-oldest or drop-newest";
            put(&mut config.mailbox.overflow, found.ok_or_else(|| rule.to_owned()))
        },
        show: |config| config.mailbox.overflow.as_str().to_owned(),
    },
    Key {
        name: "budget.namespace",
        variable: "ARK_OS_NAMESPACE_BUDGET",
        form: Form::Table,
        about: "what all runs of one namespace may use up together: `calls=1000000,cost=5usd`",
        set: |config, text| put(&mut config.namespace_budget, values::amounts(text)),
        show: |config| values::shown_amounts(&config.namespace_budget),
    },
];

/// Keys of the format whose mechanism is not built: name and variable.
const LATER: [(&str, &str); 2] = [
    ("security.token_duration", "ARK_OS_TOKEN_DURATION"),
    ("security.enable_compliance_monitoring", "ARK_OS_ENABLE_COMPLIANCE_MONITORING"),
];

/// Sections of the format that are not built as a whole.
const LATER_SECTIONS: [&str; 3] = ["models", "sandbox", "learning"];

/// What to say about a key that cannot be set.
pub(super) fn unknown_key(place: String, name: &str) -> Finding {
    let section = name.split_once('.').map_or(name, |(section, _)| section);
    if LATER.iter().any(|(key, _)| *key == name) || LATER_SECTIONS.contains(&section) {
        let message = format!("`{name}` is not supported by this version");
        return Finding::at(place, message).hint("remove it: it would have no effect");
    }
    let finding = Finding::at(place, format!("unknown key `{name}`"));
    let inside = format!("{section}.");
    let known: Vec<_> = KEYS.iter().filter_map(|key| key.name.strip_prefix(&inside)).collect();
    if known.is_empty() {
        let mut sections: Vec<_> =
            KEYS.iter().filter_map(|key| Some(key.name.split_once('.')?.0)).collect();
        sections.dedup();
        return finding.hint(format!("there are the sections {}", listed(&sections)));
    }
    finding.hint(format!("section `{section}` has {}", listed(&known)))
}

/// What to say about a variable that sets nothing.
pub(super) fn unknown_variable(name: &str) -> Finding {
    if LATER.iter().any(|(_, variable)| *variable == name) {
        return Finding::at(name, "not supported by this version")
            .hint("unset it: it would have no effect");
    }
    Finding::at(name, "unknown variable")
        .hint("unset it; `ark-os config show` names those that there are")
}

fn listed(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

fn put<T>(slot: &mut T, value: Result<T, String>) -> Result<(), String> {
    *slot = value?;
    Ok(())
}

fn mode(text: &str) -> Result<Mode, String> {
    let modes = [Mode::Autonomous, Mode::Supervised, Mode::Interactive];
    let found = modes.into_iter().find(|mode| mode.as_str() == text);
    found.ok_or_else(|| "use autonomous, supervised or interactive".to_owned())
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("name a directory".to_owned()) } else { Ok(PathBuf::from(text)) }
}

pub(super) fn whole<T>(text: &str, range: std::ops::RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| is_digits && range.contains(number));
    number.ok_or_else(|| format!("use a whole number from {} to {}", range.start(), range.end()))
}

/// A duration above zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let found = parse_duration_ms(text).filter(|ms| *ms > 0).map(Duration::from_millis);
    found.ok_or_else(|| "write it like `30s`, `5m` or `1h30m`".to_owned())
}

/// A duration of some range.
fn within(text: &str, range: std::ops::RangeInclusive<Duration>) -> Result<Duration, String> {
    let found = duration(text)?;
    if range.contains(&found) {
        return Ok(found);
    }
    Err(format!("it is `{}` to `{}`", shown(*range.start()), shown(*range.end())))
}

pub(super) fn shown(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut text = String::new();
    for (unit, ms) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
    {
        let count = rest / ms;
        rest %= ms;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}
