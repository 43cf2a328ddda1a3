//! Deployments as callers see them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Json, Stamp};

/// Declared agents and named workflows, to take the place of those that are deployed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "manifest": {"workflows": [{"name": "hello", "tasks": [{"name": "say", "skill": "echo"}]}]},
    "expected_version": 3, "reason": "a new greeting"
}))]
pub struct Deploy {
    /// The manifest.
    #[schema(value_type = serde_json::Value)]
    pub manifest: Json,
    /// The directory on the instance's machine at which relative paths of the manifest begin; absent: `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The version that was seen deployed, 0 for none; absent: whatever is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
    /// Time for the health checks of all layers, such as `60s`, which it is where nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_timeout: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only look whether it would be refused, and change nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Which deployment to take back, and why.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"version": 4, "reason": "the wrong file"}))]
pub struct CancelDeployment {
    /// Its version; absent: whichever is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentView {
    /// Its version: higher with each, also where one is rolled back.
    pub version: u64,
    /// `deploying`, `deployed`, `replaced` or `rolled_back`; `would_change` or `unchanged` of one that was only
    /// looked at, with the version that is deployed.
    pub state: String,
    /// Digest of its manifest.
    pub manifest: String,
    /// Why it was made.
    pub reason: String,
    /// Why it was rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Stamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Stamp>,
    /// The layer whose new agents are checked now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checking: Option<String>,
    /// Layers whose new agents were found healthy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub healthy: Vec<String>,
    /// Its groups, where it is under way or deployed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Its workflows, where it is under way or deployed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workflows: Vec<NamedWorkflowView>,
}

/// A workflow that is run by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamedWorkflowView {
    /// Its name.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// Digest of its plan.
    pub hash: String,
}

/// What is deployed, what is about to be, and what was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentsView {
    /// Version of what is deployed; 0: nothing.
    pub version: u64,
    /// The last ones, newest first; the one under way is the first.
    pub deployments: Vec<DeploymentView>,
}
