//! Two runs compared.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

use crate::Json;
use crate::run::AmountsView;

/// Two runs compared, task by task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DiffView {
    /// Whether workflow, input, states and outputs are the same. Attempts, durations and costs are
    /// told, and may differ.
    pub same: bool,
    /// One of them.
    pub a: RunSide,
    /// The other.
    pub b: RunSide,
    /// Where the inputs differ.
    pub input: Vec<ValueChange>,
    /// Where the outputs differ.
    pub output: Vec<ValueChange>,
    /// Tasks that differ, in the order of the plan of `a`, then those of `b` alone.
    pub tasks: Vec<TaskDiff>,
    /// Tasks that are the same.
    pub same_tasks: u32,
    /// Tasks that differ and are not shown.
    pub more_tasks: u32,
    /// Whether places are left out where values differ: there are too many, or they are too large for
    /// one answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// One of two runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunSide {
    /// The run.
    pub run: String,
    /// Name of its workflow.
    pub workflow: String,
    /// Version of its workflow, the author's.
    pub version: String,
    /// SHA-256 of its workflow.
    pub workflow_hash: String,
    /// Where it stands.
    pub state: String,
    /// From its acceptance to its end, where it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Attempts of all its tasks.
    pub attempts: u32,
    /// What its attempts used.
    pub spent: AmountsView,
    /// The run that it was forked from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<String>,
}

/// A task of two runs that is not the same in both.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskDiff {
    /// Its name in the plan; of a map's child also its number, such as `pages.3`.
    pub name: String,
    /// In the first run; absent: it has no such task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<TaskSide>,
    /// In the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<TaskSide>,
    /// Where the outputs differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<ValueChange>,
}

/// A task in one of two runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskSide {
    /// Where it stands.
    pub state: String,
    /// Attempts, those lost to an agent's death included.
    pub attempts: u32,
    /// From when it was ready to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// What its attempts used.
    pub spent: AmountsView,
    /// Whether it is as it was in the run's source, and did not run again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
}

/// A place where two JSON values differ.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ValueChange {
    /// JSON Pointer; empty: the whole.
    pub path: String,
    /// The value there; absent: there is none, and `null` is a value. One of more than 16 KiB is told
    /// by the digest and the length of its JSON text: `{"blob": "sha256:…", "bytes": 20000}`.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub a: Option<Json>,
    /// The value of the other.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub b: Option<Json>,
}

/// A fork to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"task": "report", "input": {"depth": 2}, "reason": "try deeper"}))]
pub struct Fork {
    /// After this event of the run's history: its id such as `123.4`, or the number of its record.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "123")]
    pub at: Option<String>,
    /// Instead of `at`: before this task began, by name or number; what does not depend on it is
    /// reused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Another input; tasks that look at the run's input run anew if it is not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub input: Option<Json>,
    /// Another workflow, a manifest with just one, or the name of one that is deployed; tasks of the
    /// same name and definition are reused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = workflow_or_name)]
    pub workflow: Option<Json>,
    /// Other skills: tasks that need the first need the second instead, and run anew.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub skills: std::collections::BTreeMap<String, String>,
    /// Another priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Time for the whole of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// What the fork may use up; as much as its source might where nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<crate::run::Budget>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What may stand for a workflow.
fn workflow_or_name() -> Object {
    let types = SchemaType::from_iter([Type::Object, Type::String, Type::Null]);
    let about = "Another workflow, a manifest with just one, or the name of one that is deployed; tasks of \
                 the same name and definition are reused.";
    ObjectBuilder::new().schema_type(types).description(Some(about)).build()
}

/// A run that was forked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Forked {
    /// The new run.
    pub run: String,
    /// Whether its idempotency key had been used for the same request before.
    #[serde(default)]
    pub existing: bool,
    /// Where it comes from.
    pub forked_from: String,
    /// Names of the tasks that are as they were.
    pub reused: Vec<String>,
    /// Names of the tasks that run anew.
    pub anew: Vec<String>,
}

/// How a run came to be.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A schedule began it.
    Schedule {
        /// Its name.
        name: String,
        /// The time by the pattern that it is for.
        time: crate::Stamp,
        /// `due`, `queued` or `manual`.
        trigger: String,
    },
    /// It was forked.
    Fork {
        /// The run that it was forked from.
        run: String,
        /// The newest record of that run that was looked at.
        at: u64,
        /// Tasks that are as they were.
        reused: u32,
        /// Why.
        reason: String,
    },
}
