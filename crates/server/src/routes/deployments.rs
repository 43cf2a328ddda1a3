//! `/deployments`: declared agents and named workflows, put in the place of those before.

use std::path::PathBuf;

use ark_os_api::{
    CancelDeployment, Deploy, DeploymentView, DeploymentsView, NamedWorkflowView, Problem,
};
use ark_os_core::Command;
use ark_os_core::deployment::{Deployment, Deployments, PastDeployment, UnderWay};
use ark_os_runtime::deployment::DeployRequest;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};

use super::{json, json_bytes, reason};
use crate::context::Context;
use crate::given::{Given, GivenOrDefault};
use crate::problems::{Answered, Refusal};
use crate::query::{Waiting, read};
use crate::refused::NoDeployment;
use crate::{amounts, line, words};

/// Begins a deployment: its new agents are checked layer by layer, then everything changes at once, or
/// nothing does.
#[utoipa::path(
    post, path = "/api/v1/deployments", tag = "fleet",
    params(Waiting),
    request_body(content = Deploy),
    responses(
        (status = 200, description = "It is over in the time of `?wait`, or changes nothing", body = DeploymentView),
        (status = 202, description = "It is durably begun", body = DeploymentView),
        (status = 400, description = "`manifest_invalid`, `fleet_invalid`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`deployment_under_way`, `deployment_outdated`, `skill_orphaned`, `workflow_orphaned`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn deploy(
    State(context): State<Context>,
    uri: Uri,
    Given(deploy): Given<Deploy>,
) -> Answered {
    let patience = read::<Waiting>(&uri)?.patience()?;
    let timeout = deploy.health_timeout.as_deref();
    let request = DeployRequest {
        manifest: line::value(&deploy.manifest, "/manifest")?,
        base: deploy.base.map(base).transpose()?,
        namespace: context.namespace().clone(),
        expected: deploy.expected_version,
        health_timeout: timeout.map(|it| amounts::duration(it, "/health_timeout")).transpose()?,
        reason: reason(deploy.reason.as_deref())?,
    };
    let placed = |error| Refusal::from(error).places(|it| format!("/manifest{it}"));
    if deploy.dry_run {
        let would_change = context.handle().would_deploy(request).await.map_err(placed)?;
        return Ok(json(StatusCode::OK, &looked_at(&context, would_change).await?));
    }
    let begun = context.handle().deploy(request).await.map_err(placed)?;
    let over = match patience {
        _ if !begun.is_new => true,
        Some(patience) => context.handle().deployment_over(begun.version, patience).await?,
        None => false,
    };
    let status = if over { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(json(status, &look_up(&context, begun.version).await?))
}

/// What is not absolute would mean the directory that the instance happens to be in.
fn base(text: String) -> Result<PathBuf, Refusal> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        return Ok(path);
    }
    let message = "it is an absolute path";
    Err(Refusal::new("request_invalid", format!("accept `/base`: {message}")).at("/base", message))
}

/// What is deployed, what is about to be, and what became of the last ones.
#[utoipa::path(
    get, path = "/api/v1/deployments", tag = "fleet",
    responses((status = 200, description = "Newest first", body = DeploymentsView)),
)]
pub(super) async fn list_deployments(State(context): State<Context>) -> Answered {
    let view = context.handle().read(|kernel| all(kernel.state().deployments())).await?;
    Ok(json(StatusCode::OK, &view))
}

/// One deployment of the last ones.
#[utoipa::path(
    get, path = "/api/v1/deployments/{version}", tag = "fleet",
    params(("version" = u64, Path, description = "Its version")),
    responses(
        (status = 200, description = "The deployment", body = DeploymentView),
        NoDeployment,
    ),
)]
pub(super) async fn show_deployment(
    State(context): State<Context>,
    Path(version): Path<String>,
) -> Answered {
    let version = version.parse().map_err(|_| not_found())?;
    Ok(json(StatusCode::OK, &look_up(&context, version).await?))
}

/// The manifest that is deployed.
#[utoipa::path(
    get, path = "/api/v1/deployments/current/manifest", tag = "fleet",
    responses(
        (status = 200, description = "The manifest", body = serde_json::Value),
        NoDeployment,
    ),
)]
pub(super) async fn fetch_manifest(State(context): State<Context>) -> Answered {
    let manifest = context
        .handle()
        .read(|kernel| kernel.state().deployments().current().map(|it| it.manifest.clone()));
    let manifest = manifest.await?.ok_or_else(not_found)?;
    let text = context.handle().load(&manifest)?;
    Ok(json_bytes(StatusCode::OK, text.to_vec()))
}

/// Takes back the deployment under way: everything is as it was before.
#[utoipa::path(
    post, path = "/api/v1/deployments/cancel", tag = "fleet",
    request_body(content = CancelDeployment, description = "May be left out"),
    responses(
        (status = 200, description = "What became of the last ones", body = DeploymentsView),
        NoDeployment,
    ),
)]
pub(super) async fn cancel_deployment(
    State(context): State<Context>,
    GivenOrDefault(given): GivenOrDefault<CancelDeployment>,
) -> Answered {
    let reason = reason(given.reason.as_deref())?;
    let command = Command::CancelDeployment { version: given.version, reason };
    context.handle().command(command).await?;
    list_deployments(State(context)).await
}

async fn looked_at(context: &Context, would_change: bool) -> Result<DeploymentView, Refusal> {
    let version = context.handle().read(|kernel| kernel.state().deployments().version()).await?;
    let state = if would_change { "would_change" } else { "unchanged" };
    Ok(DeploymentView { version, state: state.to_owned(), ..DeploymentView::default() })
}

/// The running fleet as a manifest: what is deployed, with what was changed of it by hand since. To deploy it
/// changes nothing.
#[utoipa::path(
    get, path = "/api/v1/fleet/manifest", tag = "fleet",
    responses((status = 200, description = "The manifest", body = serde_json::Value)),
)]
pub(super) async fn export_fleet(State(context): State<Context>) -> Answered {
    let manifest = context.handle().fleet_manifest().await?;
    Ok(json(StatusCode::OK, &manifest))
}

async fn look_up(context: &Context, version: u64) -> Result<DeploymentView, Refusal> {
    let view = context.handle().read(|kernel| all(kernel.state().deployments())).await?;
    view.deployments.into_iter().find(|it| it.version == version).ok_or_else(not_found)
}

fn not_found() -> Refusal {
    Refusal::new(
        "deployment_not_found",
        "no such deployment is under way, deployed or of the last ones",
    )
    .hint("`GET /api/v1/deployments` lists them")
}

fn all(deployments: &Deployments) -> DeploymentsView {
    let current = deployments.current();
    let mut list: Vec<DeploymentView> =
        deployments.under_way().map(of_under_way).into_iter().collect();
    let version = deployments.version();
    let mut past: Vec<DeploymentView> =
        deployments.past().rev().map(|it| of_past(it, version)).collect();
    if let Some(current) = current {
        match past.iter_mut().find(|it| it.version == version) {
            Some(view) => tell(view, current),
            // So many were rolled back since that it is not among the last ones.
            None => {
                let mut view = DeploymentView {
                    version,
                    state: "deployed".to_owned(),
                    reason: current.reason.to_string(),
                    ..DeploymentView::default()
                };
                tell(&mut view, current);
                past.push(view);
            }
        }
    }
    list.extend(past);
    DeploymentsView { version, deployments: list }
}

fn of_under_way(it: &UnderWay) -> DeploymentView {
    let mut view = DeploymentView {
        version: it.deployment.version,
        state: "deploying".to_owned(),
        reason: it.deployment.reason.to_string(),
        began: Some(words::stamp(it.began)),
        checking: it.layer.map(|layer| layer.to_string()),
        healthy: it.healthy.iter().map(|layer| layer.to_string()).collect(),
        ..DeploymentView::default()
    };
    tell(&mut view, &it.deployment);
    view
}

fn of_past(it: &PastDeployment, current: u64) -> DeploymentView {
    let state = match &it.rolled_back {
        Some(_) => "rolled_back",
        None if it.version == current => "deployed",
        None => "replaced",
    };
    DeploymentView {
        version: it.version,
        state: state.to_owned(),
        manifest: format!("sha256:{}", it.manifest),
        reason: it.reason.to_string(),
        rolled_back: it.rolled_back.as_ref().map(ToString::to_string),
        began: Some(words::stamp(it.began)),
        ended: Some(words::stamp(it.ended)),
        ..DeploymentView::default()
    }
}

fn tell(view: &mut DeploymentView, it: &Deployment) {
    view.manifest = format!("sha256:{}", it.manifest.hash());
    view.groups = it.fleet.groups.iter().map(|group| group.name.to_string()).collect();
    let workflow = |it: &ark_os_core::deployment::NamedWorkflow| NamedWorkflowView {
        name: it.workflow.name.to_string(),
        version: it.workflow.version.to_string(),
        hash: it.workflow.hash.to_string(),
    };
    view.workflows = it.workflows.iter().map(workflow).collect();
}
