//! Settings that changed while the instance runs: what becomes of the limits that the state knows, and who
//! changed what, for the record.

use minicbor::{Decode, Encode};

use crate::budget::Amounts;
use crate::text::Text;

/// Settings of a running instance changed.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct SettingsChanged {
    /// Who changed them.
    #[n(0)]
    pub by: Text,
    /// Why.
    #[n(1)]
    pub reason: Text,
    /// Each of them; a value that is a secret is not among them.
    #[n(2)]
    pub changes: Vec<SettingChange>,
    /// What of it the state knows.
    #[n(3)]
    pub limits: LiveLimits,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, serde::Serialize)]
#[cbor(map)]
pub struct SettingChange {
    /// Its key: `monitoring.log_level`.
    #[n(0)]
    pub key: Text,
    /// Its value before.
    #[n(1)]
    pub from: Text,
    /// Its value now.
    #[n(2)]
    pub to: Text,
}

/// Limits of the instance that may change while it runs; none: it stays.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
#[cbor(map)]
pub struct LiveLimits {
    /// The most agents that the profile is scaled to.
    #[n(0)]
    pub agents_max: Option<u32>,
    /// Attempts of the whole instance at one time.
    #[n(1)]
    pub concurrent_tasks_max: Option<u32>,
    /// Runs in memory to which something happens.
    #[n(2)]
    pub runs_resident_max: Option<u32>,
    /// Time for one attempt where the task does not say, in milliseconds: of attempts that begin from now on.
    #[n(3)]
    pub task_timeout_ms: Option<u64>,
    /// The account of each namespace that has no other limit: a raised one holds at once, for an account
    /// never sinks.
    #[n(4)]
    pub namespace_budget: Option<Amounts>,
}
