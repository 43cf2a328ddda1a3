//! `Deploy`, `ReportHealth` and `CancelDeployment`: declared agents and named workflows take the place
//! of those before.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::admission::allowed;
use super::{deployed_schedules, nothing, of_instance};
use crate::command::Deploy;
use crate::deployment::{DeployedSchedules, Deployment, NamedWorkflow, UnderWay};
use crate::error::{Kind, Rejected};
use crate::event::{Change, Event, InstanceStarted, Intake};
use crate::fleet::spec::GroupSpec;
use crate::layer::Layer;
use crate::limits::{
    AGENTS_MAX, DEPLOYMENT_BYTES_MAX, GROUPS_KEPT_MAX, REASON_BYTES_MAX, SEATS_MAX,
};
use crate::plan::{ChildSpec, Workflow};
use crate::rules::{Act, Question, Rules};
use crate::schedule::{Planned, Schedule};
use crate::state::State;
use crate::text::{Text, beginning};
use crate::time::Time;

/// The scope of the act, for the rules.
const SCOPE: &str = "fleet:deploy";
/// Names of one refusal; the rest is counted.
const NAMES_MAX: usize = 50;

pub(super) fn decide(
    state: &State,
    rules: &dyn Rules,
    deploy: Deploy,
    now: Time,
) -> Result<Change, Rejected> {
    if state.intake == Intake::Draining {
        return Err(Rejected::new(Kind::Closed, "draining", "the instance is shutting down")
            .hint("deploy again when it is back"));
    }
    is_next(state, &deploy)?;
    let authority = deploy.grant.authority();
    let act = Act::Operate { what: SCOPE };
    let verdict = rules.judge(&Question { act, authority, mode: state.mode() });
    allowed(&verdict)?;
    let deployment = Deployment {
        version: state.deployments.newest + 1,
        schedules: schedules_of(&deploy),
        profile: deploy.profile,
        manifest: deploy.manifest,
        fleet: deploy.fleet,
        workflows: deploy
            .workflows
            .into_iter()
            .map(|workflow| NamedWorkflow { workflow })
            .collect(),
        base: deploy.base,
        reason: deploy.reason,
        health_ms: deploy.health_ms,
        rules: verdict.rules,
    };
    if is_there(state, &deployment) {
        return Ok(nothing(now));
    }
    is_sound(state, &deployment)?;
    has_room(state, &deployment)?;
    deployed_schedules::refuse(state, &deployment)?;
    refuse_orphans(state, &deployment)?;
    refuse_lost_workflows(state, &deployment)?;
    Ok(of_instance(vec![Event::DeploymentStarted(Box::new(deployment))], now))
}

fn schedules_of(deploy: &Deploy) -> Option<DeployedSchedules> {
    let list = deploy.schedules.clone();
    let (namespace, authority) = (deploy.namespace.clone(), deploy.grant.authority().clone());
    (!list.is_empty()).then_some(DeployedSchedules { namespace, authority, list })
}

/// Whether nothing would be different, whatever people have done by hand since what is deployed was.
fn is_there(state: &State, deployment: &Deployment) -> bool {
    let is_same = match state.deployments.current() {
        Some(current) => current.is_same(deployment),
        None => deployment.is_bare(),
    };
    is_same
        && deployment.profile.is_none_or(|agents| agents == state.fleet.profile())
        && deployed_schedules::refuse(state, deployment).is_ok()
        && deployed_schedules::changes(state, deployment, &[]).is_empty()
}

/// Who is declared finds room beside the profile, and the profile has the size that it may have.
fn has_room(state: &State, deployment: &Deployment) -> Result<(), Rejected> {
    let profile = deployment.profile.unwrap_or(state.fleet.profile());
    let agents = deployment.fleet.agents();
    let max = super::scale::agents_max(state);
    if u64::from(profile) + agents > u64::from(max) {
        let message = format!("{agents} declared agents beside {profile} are more than {max}");
        return Err(Rejected::new(Kind::Invalid, "agents_out_of_range", message)
            .hint("declare fewer, or raise `system.max_agents`: `ark-os config reload`"));
    }
    Ok(())
}

/// One at a time, and each on top of the one that its author has seen.
fn is_next(state: &State, deploy: &Deploy) -> Result<(), Rejected> {
    if let Some(under_way) = state.deployments.under_way() {
        let message = format!("deployment {} is under way", under_way.deployment.version);
        return Err(Rejected::new(Kind::Conflict, "deployment_under_way", message)
            .hint("wait until it is over, or cancel it"));
    }
    let version = state.deployments.version();
    match deploy.expected {
        Some(expected) if expected != version => {
            let message = format!("version {version} is deployed, not {expected}");
            Err(Rejected::new(Kind::Conflict, "deployment_outdated", message)
                .hint("look at what is deployed now, and deploy on top of that"))
        }
        _ => Ok(()),
    }
}

fn is_sound(state: &State, deployment: &Deployment) -> Result<(), Rejected> {
    let spec = &deployment.fleet;
    let mut faults = spec.faults();
    let of_fleet: BTreeSet<&str> = spec.skills.iter().map(|it| &*it.name).collect();
    faults.extend(super::remote::taken_by(state, spec));
    for group in &spec.groups {
        let unknown =
            |name: &&Text| !of_fleet.contains(&***name) && !state.fleet.is_of_instance(name);
        faults.extend(group.skills.iter().filter(unknown).map(|name| {
            format!("`{}` offers the skill `{name}`, which is not described", group.name)
        }));
    }
    let mut names = BTreeSet::new();
    for it in &deployment.workflows {
        if !names.insert(&it.workflow.name) {
            faults.push(format!("the workflow `{}` is there twice", it.workflow.name));
        }
    }
    if !faults.is_empty() {
        return Err(Rejected::new(Kind::Invalid, "fleet_invalid", listed(&faults))
            .hint("mend the manifest; nothing was changed"));
    }
    // Writing into memory cannot fail.
    let bytes = minicbor::to_vec(deployment).map_or(usize::MAX, |bytes| bytes.len());
    if bytes > DEPLOYMENT_BYTES_MAX {
        let message = format!("it takes {bytes} bytes, more than {DEPLOYMENT_BYTES_MAX}");
        return Err(Rejected::new(Kind::Exhausted, "deployment_too_large", message)
            .hint("deploy fewer or smaller workflows"));
    }
    // At most every seat of the profile is a new one.
    let profile = deployment.profile.filter(|agents| *agents != state.fleet.profile());
    let seats = u64::from(state.fleet.len()) + spec.agents() + u64::from(profile.unwrap_or(0));
    if seats > u64::from(SEATS_MAX)
        || state.fleet.groups().len() + spec.groups.len() > GROUPS_KEPT_MAX
    {
        return Err(super::scale::seats_exhausted());
    }
    super::remote::has_room_for(state, &spec.skills)
}

/// A schedule that somebody made by hand keeps the workflow that it names.
fn refuse_lost_workflows(state: &State, deployment: &Deployment) -> Result<(), Rejected> {
    let is_there = |name: &Text| state.deployments.workflow(name).is_some();
    let is_kept = |name: &Text| deployment.workflows.iter().any(|it| it.workflow.name == *name);
    let lost = |it: &Schedule| match &it.spec.workflow {
        Planned::Named(name) if !it.deployed && is_there(name) && !is_kept(name) => {
            Some(format!("`{}` runs `{name}`", it.spec.name))
        }
        _ => None,
    };
    let lost: Vec<String> = state.schedules.iter().filter_map(lost).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let message = format!("schedules would lose their workflow: {}", listed(&lost));
    Err(Rejected::new(Kind::Conflict, "workflow_orphaned", message)
        .hint("keep the workflow, or remove the schedule first; nothing was changed"))
}

/// Whoever needs a skill keeps somebody who offers it.
fn refuse_orphans(state: &State, deployment: &Deployment) -> Result<(), Rejected> {
    let orphans = orphans(state, deployment);
    if orphans.is_empty() {
        return Ok(());
    }
    Err(Rejected::new(Kind::Conflict, "skill_orphaned", orphaned(&orphans)).hint(
        "keep an agent that offers it, or wait until nothing needs it any more; nothing was changed",
    ))
}

fn orphaned(orphans: &BTreeSet<Text>) -> String {
    let names: Vec<String> = orphans.iter().map(|name| format!("`{name}`")).collect();
    format!("nobody would offer the skills that are needed: {}", listed(&names))
}

fn listed(of: &[String]) -> String {
    let more = of.len().saturating_sub(NAMES_MAX);
    let first: Vec<&str> = of.iter().take(NAMES_MAX).map(String::as_str).collect();
    match more {
        0 => first.join("; "),
        more => format!("{}; and {more} more", first.join("; ")),
    }
}

/// The skills that nobody would offer and that somebody needs: runs that are not over, schedules, and
/// the workflows of the deployment, which are those of schedules that name one.
fn orphans(state: &State, deployment: &Deployment) -> BTreeSet<Text> {
    let (fleet, groups) = (&state.fleet, &deployment.fleet.groups);
    let offers = |groups: &mut dyn Iterator<Item = &GroupSpec>| -> BTreeSet<Text> {
        groups.flat_map(|group| group.skills.iter().cloned()).collect()
    };
    let offered = offers(&mut groups.iter());
    // A skill that somebody needs now does not go to workers of whom nobody was ever seen.
    let by_others = offers(&mut groups.iter().filter(|group| !group.workers));
    let is_waited_for = |name: &str| fleet.declared_skill(name).is_some() || fleet.is_brought(name);
    let of_schedules = state.schedules.iter().filter_map(|it| match &it.spec.workflow {
        Planned::Inline(workflow) => Some(workflow),
        Planned::Named(_) => None,
    });
    let needed_now = of_schedules.chain(state.workflows_in_flight()).map(|it| (it.clone(), true));
    let of_deployment = deployment.workflows.iter().map(|it| (it.workflow.clone(), false));
    let mut orphans = BTreeSet::new();
    // The last are looked at first, with what they run.
    let mut workflows: Vec<(Arc<Workflow>, bool)> = of_deployment.chain(needed_now).collect();
    let mut seen = BTreeSet::new();
    while let Some((workflow, is_now)) = workflows.pop() {
        for task in &workflow.tasks {
            let child = task.child().filter(|child| seen.insert((child.hash, is_now)));
            workflows.extend(child.and_then(ChildSpec::workflow).map(|it| (it, is_now)));
            let name = &*task.skill;
            let is_offered = by_others.contains(name)
                || (offered.contains(name) && (!is_now || is_waited_for(name)))
                || fleet.is_of_instance(name)
                || fleet.is_brought(name);
            if task.is_work() && !is_offered {
                orphans.insert(task.skill.clone());
            }
        }
    }
    orphans
}

/// What the checks of a layer came to.
pub(super) fn report(
    state: &State,
    version: u64,
    layer: Option<Layer>,
    result: Result<Vec<Option<Time>>, Text>,
    now: Time,
) -> Change {
    let Some(under_way) = awaited(state, version).filter(|it| it.layer == layer) else {
        return nothing(now);
    };
    let due = match result {
        Ok(due) => due,
        Err(reason) => return roll_back(version, &reason, now),
    };
    let mut events = Vec::new();
    if let Some(layer) = layer {
        let next = state.fleet.next_starting(Some(layer));
        events.push(Event::LayerDeployed { version, layer, next });
        if next.is_some() {
            return of_instance(events, now);
        }
    }
    // Runs that came meanwhile may need what was about to go.
    let orphans = orphans(state, &under_way.deployment);
    if !orphans.is_empty() {
        return roll_back(version, &orphaned(&orphans), now);
    }
    // So may somebody have scaled, or put schedules.
    let deployment = &under_way.deployment;
    let refused = has_room(state, deployment)
        .and_then(|()| deployed_schedules::refuse(state, deployment))
        .and_then(|()| refuse_lost_workflows(state, deployment));
    if let Err(rejected) = refused {
        return roll_back(version, &rejected.to_string(), now);
    }
    let profile = deployment.profile.filter(|agents| *agents != state.fleet.profile());
    let reason = || Text::from(format!("deployment {version}"));
    events.extend(profile.map(|agents| Event::FleetScaled { agents, reason: reason() }));
    events.push(Event::DeploymentFinished { version });
    events.extend(deployed_schedules::changes(state, deployment, &due));
    of_instance(events, now)
}

/// An instance that starts has the profile of its settings; what is deployed may want another.
pub(super) fn profile_at_start(state: &State, started: &InstanceStarted) -> Option<Event> {
    let deployed = state.deployments.current()?;
    let wanted = deployed.profile.unwrap_or(started.agents);
    let max = started.agents_max.unwrap_or(AGENTS_MAX).min(AGENTS_MAX);
    // Settings may have been lowered since; nobody can go on without an agent. A deployment that was
    // under way takes no room: it is rolled back at a start.
    let agents = wanted.min(super::scale::beside(max, deployed.fleet.agents())).max(1);
    let reason = || Text::from(format!("deployment {}", state.deployments.version()));
    (agents != started.agents).then(|| Event::FleetScaled { agents, reason: reason() })
}

fn awaited(state: &State, version: u64) -> Option<&UnderWay> {
    state.deployments.under_way().filter(|it| it.deployment.version == version)
}

/// An operator wants it no more.
pub(super) fn cancel(
    state: &State,
    version: Option<u64>,
    reason: &str,
    now: Time,
) -> Result<Change, Rejected> {
    let under_way = state.deployments.under_way().map(|it| it.deployment.version);
    let is_meant = |under_way: &u64| version.is_none_or(|version| version == *under_way);
    match under_way.filter(is_meant) {
        Some(version) => Ok(roll_back(version, &format!("cancelled: {reason}"), now)),
        None => {
            let message = "no such deployment is under way";
            Err(Rejected::new(Kind::NotFound, "deployment_not_found", message)
                .hint("one that is finished is undone by deploying the manifest before it"))
        }
    }
}

/// Its time is up.
pub(super) fn expire(state: &State, version: u64, now: Time) -> Change {
    match awaited(state, version) {
        Some(_) => roll_back(version, "its agents were not healthy in time", now),
        None => nothing(now),
    }
}

fn roll_back(version: u64, reason: &str, now: Time) -> Change {
    of_instance(vec![rolled_back(version, reason)], now)
}

fn rolled_back(version: u64, reason: &str) -> Event {
    let reason = beginning(reason, REASON_BYTES_MAX / 4).into();
    Event::DeploymentRolledBack { version, reason }
}

/// What a restart cut off is taken back: nobody knows how far its checks were.
pub(super) fn interrupted(state: &State) -> Option<Event> {
    let under_way = state.deployments.under_way()?;
    Some(rolled_back(under_way.deployment.version, "the instance was restarted meanwhile"))
}
