//! Deployments that somebody asks for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ark_os_core::command::Deploy;
use ark_os_core::hash::Hash;
use ark_os_core::limits::HEALTH_MS;
use ark_os_core::manifest::rooted;
use ark_os_core::text::Text;
use ark_os_core::{Command, Kind};
use serde_json::Value;

use super::Blueprint;
use crate::RuntimeError;
use crate::data::Catalogue;
use crate::handle::{Handle, Shared};
use crate::threads;

/// The longest time for the health checks of a deployment.
const HEALTH_MAX: Duration = Duration::from_secs(3_600);

/// A deployment that somebody asks for.
#[derive(Clone, Debug)]
pub struct DeployRequest {
    /// The manifest.
    pub manifest: Value,
    /// The directory that its relative paths begin at; none: `/`.
    pub base: Option<PathBuf>,
    /// The tenant of its schedules.
    pub namespace: Text,
    /// The version that was seen deployed, 0 for none; none: whatever is.
    pub expected: Option<u64>,
    /// Time for the health checks of all layers; none: `HEALTH_MS`.
    pub health_timeout: Option<Duration>,
    /// Why.
    pub reason: Text,
}

/// A deployment that was durably begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// Its version.
    pub version: u64,
    /// Whether it changes anything; if not, it is the one that is there.
    pub is_new: bool,
}

impl Handle {
    /// Begins a deployment; returns when that is durable. Its agents are checked layer by layer; see
    /// [`Handle::deployment_over`].
    ///
    /// # Errors
    /// The manifest is wrong (with every place), or the deployment is refused.
    pub async fn deploy(&self, request: DeployRequest) -> Result<Deployed, RuntimeError> {
        let shared = self.shared.clone();
        let deploy = threads::aside(move || prepare(&shared, request)).await??;
        let manifest = deploy.manifest.hash();
        let before = self.read(|kernel| kernel.state().deployments().version()).await?;
        self.command(Command::Deploy(Box::new(deploy))).await?;
        self.read(move |kernel| begun(kernel.state(), manifest, before)).await
    }

    /// Looks at what would be begun, and begins nothing; whether it would change anything. Its agents'
    /// health is not looked at.
    ///
    /// # Errors
    /// The manifest is wrong (with every place), or the deployment would be refused.
    pub async fn would_deploy(&self, request: DeployRequest) -> Result<bool, RuntimeError> {
        let shared = self.shared.clone();
        let deploy = threads::aside(move || prepare(&shared, request)).await??;
        let verdict = self.read(|kernel| kernel.ask(Command::Deploy(Box::new(deploy))));
        Ok(!verdict.await??.events.is_empty())
    }

    /// Waits until a deployment is over, at most `patience`; whether it is.
    ///
    /// # Errors
    /// The instance is gone.
    pub async fn deployment_over(
        &self,
        version: u64,
        patience: Duration,
    ) -> Result<bool, RuntimeError> {
        let mut viewed = self.viewed();
        let over = async {
            loop {
                let is_over = move |state: &ark_os_core::State| {
                    let under_way = state.deployments().under_way();
                    under_way.is_none_or(|it| it.deployment.version != version)
                };
                if self.read(move |kernel| is_over(kernel.state())).await? {
                    return Ok(true);
                }
                // Every step of a deployment is a record, and every record reaches the views.
                if viewed.changed().await.is_err() {
                    return Err(RuntimeError::closed());
                }
            }
        };
        tokio::time::timeout(patience, over).await.unwrap_or(Ok(false))
    }
}

/// The newest deployment of this manifest.
fn begun(state: &ark_os_core::State, manifest: Hash, before: u64) -> Deployed {
    let deployments = state.deployments();
    let under_way = deployments.under_way().map(|it| &it.deployment);
    let under_way = under_way.filter(|it| it.manifest.hash() == manifest).map(|it| it.version);
    let current = deployments.current().filter(|it| it.manifest.hash() == manifest);
    let past = deployments.past().rev().find(|it| it.manifest == manifest).map(|it| it.version);
    let version = under_way.or(current.map(|it| it.version)).or(past).unwrap_or(before);
    Deployed { version, is_new: version != before }
}

fn prepare(shared: &Shared, request: DeployRequest) -> Result<Deploy, RuntimeError> {
    let health = request.health_timeout.unwrap_or(Duration::from_millis(HEALTH_MS));
    if health.is_zero() || health > HEALTH_MAX {
        let message = "deploy: the time for health checks is not between a moment and an hour";
        return Err(RuntimeError::new(Kind::Invalid, "request_invalid", message));
    }
    let base = request.base.as_deref().unwrap_or(Path::new("/"));
    let (skills, plans) = (&shared.skills, &shared.submissions.plans);
    let catalogue = plans.with_offered(Catalogue::new(skills));
    // What is kept means the same wherever it is read again.
    let value = rooted(request.manifest, &base.to_string_lossy());
    let blueprint = Blueprint::of(&value, base, (skills, &catalogue))?;
    agrees_with_workers(&blueprint, shared)?;
    let Blueprint { fleet, workflows, profile, schedules, .. } = blueprint;
    let schedules = super::schedules::prepare(&schedules, &workflows, &shared.submissions)?;
    let text = value.to_string().into_bytes();
    let manifest = shared.submissions.payloads.save(text).map_err(|error| {
        RuntimeError::new(Kind::Unavailable, "blob_not_stored", error.to_string())
    })?;
    Ok(Deploy {
        expected: request.expected,
        manifest,
        fleet,
        workflows,
        base: request.base.map(|base| base.display().to_string().into()),
        profile,
        namespace: request.namespace,
        schedules,
        health_ms: u64::try_from(health.as_millis()).unwrap_or(HEALTH_MS),
        reason: request.reason,
        grant: shared.submissions.grant.clone(),
    })
}

/// Workers that are registered mean the same by a skill as the manifest.
fn agrees_with_workers(blueprint: &Blueprint, shared: &Shared) -> Result<(), RuntimeError> {
    let declared = blueprint.of_workers();
    let otherwise = declared
        .iter()
        .filter(|(name, shape)| shared.remotes.shape(name).is_some_and(|other| other != **shape));
    let names: Vec<String> = otherwise.map(|(name, _)| format!("`{name}`")).collect();
    if names.is_empty() {
        return Ok(());
    }
    let message = format!("deploy: remote workers offer {} in another way", names.join(", "));
    Err(RuntimeError::new(Kind::Conflict, "skill_taken", message).with_hint(
        "describe it with their effect and schemas, or let them leave first; nothing was changed",
    ))
}
