//! Log lines: JSON for programs, short text for people on a terminal. Telemetry, not evidence.
//!
//! Every JSON line has `timestamp`, `level`, `message`, `agent_id`, `task_id` and `trace_id` (null
//! where there is none), the other names follow the Elastic Common Schema.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use ark_os_runtime::clock::Clock;
use ark_os_server::LogRing;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::config::Config;
use crate::failure::Failure;
use crate::terminal::{Terminal, Tone, one_line, painted};

/// Bytes of one text in a log line; a payload that got into one must not fill the disk.
const FIELD_BYTES_MAX: usize = 4_096;
/// The level of the process's log.
static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();
/// Fields that every line has.
const ALWAYS: [&str; 3] = ["agent_id", "task_id", "trace_id"];

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Human on a terminal, else JSON.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// One short line for people.
    Human,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Auto => "auto",
            LogFormat::Json => "json",
            LogFormat::Human => "human",
        })
    }
}

impl std::str::FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(LogFormat::Auto),
            "json" => Ok(LogFormat::Json),
            "human" => Ok(LogFormat::Human),
            _ => Err("use auto, json or human".to_owned()),
        }
    }
}

/// A level, or levels by module.
pub(crate) fn check_level(text: &str) -> Result<String, String> {
    let rule = "use error, warn, info, debug, trace or off, or `info,ark_os_runtime=debug`";
    // A lone word that is no level would be taken for the name of a module, and silence the rest.
    let is_known = |part: &str| {
        part.contains(['=', '['])
            || ["error", "warn", "info", "debug", "trace", "off"]
                .contains(&part.to_ascii_lowercase().as_str())
    };
    if text.is_empty() || !text.split(',').all(is_known) {
        return Err(rule.to_owned());
    }
    EnvFilter::builder().parse(text).map(|_| text.to_owned()).map_err(|_| rule.to_owned())
}

/// Sends the log lines of this process where the configuration says; the newest are also in memory.
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn start(config: &Config, terminal: Terminal) -> Result<LogRing, Failure> {
    let target = match &config.log_file {
        Some(path) => Target::File(Mutex::new(open(path)?)),
        None => Target::Stderr,
    };
    let on_terminal = terminal.is_live() && config.log_file.is_none();
    let human = match config.log_format {
        LogFormat::Auto => on_terminal,
        LogFormat::Json => false,
        LogFormat::Human => true,
    };
    let colour = on_terminal && terminal.has_colour_err();
    let ring = LogRing::default();
    let lines = Lines { target, human, colour, clock: Clock::new(), ring: ring.clone() };
    let filter = EnvFilter::builder().parse_lossy(&config.log_level);
    let (filter, level) = reload::Layer::new(filter);
    let subscriber = Registry::default().with(lines.with_filter(filter));
    // A second start within one process keeps the first one's log.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        // The subscriber is the process's, and so is its level.
        let _ = LEVEL.set(level);
    }
    Ok(ring)
}

/// From now on lines are logged at another level, or at others by module.
pub(crate) fn set_level(level: &str) {
    let filter = EnvFilter::builder().parse_lossy(level);
    // Without a subscriber there are no lines.
    let _ = LEVEL.get().map(|level| level.reload(filter));
}

fn open(path: &Path) -> Result<File, Failure> {
    // Owner only: log lines name what people work on.
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    file.map_err(|error| {
        let message = format!("cannot open the log file `{}`: {error}", path.display());
        Failure::usage(message).with_hint("set `monitoring.log_file` to a file that can be written")
    })
}

enum Target {
    Stderr,
    File(Mutex<File>),
}

/// The layer that writes lines.
struct Lines {
    target: Target,
    human: bool,
    colour: bool,
    clock: Clock,
    ring: LogRing,
}

impl Lines {
    fn write(&self, mut line: String) {
        line.push('\n');
        // A log that cannot be written must not stop the work; the journal is the record.
        let _ = match &self.target {
            Target::Stderr => std::io::stderr().lock().write_all(line.as_bytes()),
            Target::File(file) => {
                file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
            }
        };
    }

    fn timestamp(&self) -> String {
        let ms = i64::try_from(self.clock.now().0).unwrap_or(i64::MAX);
        let at = Timestamp::from_millisecond(ms).unwrap_or_default();
        format!("{at:.3}")
    }
}

/// Fields of a span, kept with it.
struct SpanFields(Map<String, Value>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::span::Id,
        context: Context<'_, S>,
    ) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields.0));
        }
    }

    fn on_record(
        &self,
        id: &tracing::span::Id,
        values: &tracing::span::Record<'_>,
        context: Context<'_, S>,
    ) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(SpanFields(kept)) = span.extensions_mut().get_mut::<SpanFields>() {
            kept.extend(fields.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        if let Some(scope) = context.event_scope(event) {
            for span in scope.from_root() {
                if let Some(SpanFields(kept)) = span.extensions().get::<SpanFields>() {
                    fields.0.extend(kept.clone());
                }
            }
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        let timestamp = self.timestamp();
        let human = self
            .human
            .then(|| human_line(&timestamp, *metadata.level(), fields.0.clone(), self.colour));
        let json = json_line(&timestamp, metadata, fields.0);
        self.ring.push(&json);
        self.write(human.unwrap_or(json));
    }
}

fn json_line(
    timestamp: &str,
    metadata: &tracing::Metadata<'_>,
    fields: Map<String, Value>,
) -> String {
    let mut line = Map::new();
    for name in ALWAYS {
        line.insert(name.to_owned(), Value::Null);
    }
    line.insert("message".to_owned(), json!(""));
    line.extend(fields);
    line.insert("timestamp".to_owned(), json!(timestamp));
    line.insert("level".to_owned(), json!(metadata.level().as_str().to_ascii_lowercase()));
    line.insert("log.logger".to_owned(), json!(metadata.target()));
    line.insert("process.pid".to_owned(), json!(std::process::id()));
    line.insert("service.name".to_owned(), json!("ark-os"));
    line.insert("service.version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
    Value::Object(line).to_string()
}

fn human_line(
    timestamp: &str,
    level: tracing::Level,
    mut fields: Map<String, Value>,
    colour: bool,
) -> String {
    let tone = match level {
        tracing::Level::ERROR => Tone::Bad,
        tracing::Level::WARN => Tone::Warning,
        tracing::Level::INFO => Tone::Good,
        _ => Tone::Faint,
    };
    let message = fields.remove("message");
    let message = message.as_ref().and_then(Value::as_str).unwrap_or_default();
    let clock = timestamp.get(11..19).unwrap_or(timestamp);
    let clock = painted(colour, Tone::Faint, clock);
    let level = painted(colour, tone, &format!("{level:>5}"));
    let mut line = format!("{clock} {level} {}", one_line(message));
    for (name, value) in fields {
        let value = match value {
            Value::String(text) => one_line(&text),
            other => other.to_string(),
        };
        let _ = write!(line, " {}", painted(colour, Tone::Faint, &format!("{name}={value}")));
    }
    line
}

/// Collects the fields of an event or a span.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

fn cut(mut text: String) -> String {
    if text.len() > FIELD_BYTES_MAX {
        let end = (0..=FIELD_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(cut(format!("{value:?}"))));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(cut(value.to_owned())));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_json_line_has_the_promised_fields() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let target = Target::File(Mutex::new(open(&path).unwrap()));
        let ring = LogRing::default();
        let lines = Lines { target, human: false, colour: false, clock: Clock::new(), ring };
        let subscriber = Registry::default().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("attempt", agent_id = "micro-00001", task_id = "task_x");
            let _inside = span.enter();
            tracing::warn!(attempts = 3_u64, "attempt lost");
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let line: Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["agent_id"], "micro-00001");
        assert_eq!(line["task_id"], "task_x");
        assert_eq!(line["trace_id"], Value::Null);
        assert!(line.as_object().unwrap().contains_key("trace_id"));
        assert_eq!((&line["level"], &line["message"]), (&json!("warn"), &json!("attempt lost")));
        assert_eq!(line["attempts"], 3);
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    }

    #[test]
    fn a_level_is_a_level_and_not_the_name_of_a_module() {
        for good in ["info", "WARN", "off", "info,ark_os_runtime=debug"] {
            assert!(check_level(good).is_ok(), "{good}");
        }
        for bad in ["", "loud", "info,verbose", "ark_os=loud"] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let text = cut("é".repeat(FIELD_BYTES_MAX));
        assert!(text.len() <= FIELD_BYTES_MAX + '…'.len_utf8());
    }
}
