//! What operators ask for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Json;

/// Why somebody does it; recorded.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"reason": "bad input"}))]
pub struct Reason {
    /// At most 1 000 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A run that is to go on from a task.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"task": "report"}))]
pub struct Retry {
    /// Name or number of the task in the plan; absent: the one that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a step in doubt: exactly one of the three.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"happened": {"id": 17}, "reason": "found in the sink"}))]
pub struct Resolution {
    /// It happened, with this result.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub happened: Option<Json>,
    /// `true`: it did not happen and may be tried again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub not_happened: bool,
    /// `true`: nobody can tell; the task fails.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub give_up: bool,
    /// Why.
    pub reason: String,
}

/// How to shut down.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"drain_timeout": "30s"}))]
pub struct Shutdown {
    /// How long work under way may take to come to its end, such as `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_timeout: Option<String>,
    /// Do not wait; what is under way goes on at the next start.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub now: bool,
}

/// What a running instance is configured with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigView {
    /// Every key, in the order of the documentation.
    pub values: Vec<SettingView>,
    /// Why the configuration could not be read as it is written now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// One setting of a running instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettingView {
    /// Its key: `system.mode`.
    pub key: String,
    /// Its value as text.
    pub value: String,
    /// Where it came from: `default`, a file with line and column, a variable or an option.
    pub origin: String,
    /// Whether it can change while the instance runs.
    pub live: bool,
    /// What is written now, where that is another value: it waits for a restart, or where the key is
    /// `live` for a reload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
    /// Where that is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_at: Option<String>,
}

/// What became of the configuration when it was read again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigReload {
    /// What is different now.
    pub changed: Vec<SettingDifference>,
    /// What needs a restart, and stays as it was.
    pub refused: Vec<SettingDifference>,
}

/// A setting that is written otherwise than the instance has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettingDifference {
    /// Its key.
    pub key: String,
    /// What the instance had.
    pub from: String,
    /// What is written.
    pub to: String,
    /// Where that is written.
    pub origin: String,
    /// Why it was refused: `needs a restart`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The instance is about to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShuttingDown {
    /// Always `stopping`.
    pub status: String,
}
