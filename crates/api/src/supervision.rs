//! Escalations and emergency measures.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Stamp;

/// A failure that its stack did not mend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": 7, "state": "open", "class": "stalled", "task": "task_01J7XS6B3V8Q2N4C5D6E7F8G9H_2",
    "message": "the same call with the same result, again and again",
    "raised": "2026-01-31T12:00:00.000Z", "by": "specialist-00003", "to": "stack-chief-00003",
    "deadline": "2026-01-31T12:01:00.000Z", "ladder": [{"remedy": "observe",
    "at": "2026-01-31T12:00:00.000Z", "check": "2026-01-31T12:00:00.000Z", "healthy": false}]
}))]
pub struct EscalationView {
    /// Its number.
    pub id: u64,
    /// `open` or `closed`.
    pub state: String,
    /// `stalled`, `in_doubt`, `poison` or `agent_failing`.
    pub class: String,
    /// The task that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The agent that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What happened, in words.
    pub message: String,
    /// When it was raised.
    #[schema(value_type = String, format = DateTime)]
    pub raised: Stamp,
    /// The agent on whose work it was raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Who is to see to it: an agent, or `human`.
    pub to: String,
    /// Until when; then it goes one layer up. Absent: a person is to see to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Stamp>,
    /// Who did not see to it in time, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed: Vec<PassedView>,
    /// What was tried, in order.
    pub ladder: Vec<RungView>,
    /// What was done about it: a person's word, or by rule the remedy that helped, or `cleared`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed: Option<Stamp>,
}

/// A seat that did not see to an escalation in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PassedView {
    /// The seat.
    pub by: String,
    /// When it went on from there.
    #[schema(value_type = String, format = DateTime)]
    pub at: Stamp,
}

/// A remedy that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RungView {
    /// `observe`, `retry`, `reroute`, `throttle`, `restart`, `replace` or `quarantine`.
    pub remedy: String,
    /// The seat that tried it; absent: the runtime, before anybody was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Stamp,
    /// When it is, or was, looked at whether it helped; absent: when the work after it ends, or not at
    /// all where the next remedy came first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub check: Option<Stamp>,
    /// Whether it helped; absent: not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
}

/// What is to be done about an escalation.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"action": "unpark", "reason": "the service is back"}))]
pub struct EscalationAnswer {
    /// `dismiss`: nothing more is to be done. `unpark` or `cancel`: its task, or the task's run.
    /// `release` or `offline`: its agent.
    #[schema(pattern = "^(dismiss|unpark|cancel|release|offline)$")]
    pub action: String,
    /// Why; recorded.
    pub reason: String,
}

/// An emergency measure in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": 8, "measure": "freeze", "reason": "the bill explodes",
    "since": "2026-01-31T12:00:00.000Z", "until": "2026-01-31T13:00:00.000Z", "votes": []
}))]
pub struct MeasureView {
    /// Its number.
    pub id: u64,
    /// `freeze`, `quarantine` or `mode`.
    pub measure: String,
    /// The agent, or group of agents, that is quarantined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The mode that is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The seat of CECCA that took it; absent: a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    pub reason: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Stamp,
    /// Until when; then what it did is undone.
    #[schema(value_type = String, format = DateTime)]
    pub until: Stamp,
    /// Seats that want it lifted.
    pub votes: Vec<VoteView>,
}

/// A seat's word for lifting a measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VoteView {
    /// The seat.
    pub seat: String,
    /// Why.
    pub reason: String,
}

/// A measure that somebody wants in force.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"measure": "freeze", "reason": "the bill explodes", "for": "1h"}))]
pub struct MeasureRequest {
    /// `freeze`: no new run is taken. `quarantine`: an agent, or a group, gets no work. `mode`: another mode.
    #[schema(pattern = "^(freeze|quarantine|mode)$")]
    pub measure: String,
    /// The agent, or declared group of agents, to quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The mode: `autonomous`, `supervised` or `interactive`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Why; recorded.
    pub reason: String,
    /// How long: `30m`, `1h`; at most 30 days.
    #[serde(rename = "for")]
    pub lasts: String,
    /// The seat of CECCA that takes it; absent: a person.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub seat: Option<String>,
}

/// A word for lifting a measure before its end.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the bill is paid"}))]
pub struct Lift {
    /// Why; recorded.
    pub reason: String,
    /// The seat of CECCA that votes; absent: a person, whose word is enough.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub seat: Option<String>,
}
