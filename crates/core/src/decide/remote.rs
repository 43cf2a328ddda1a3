//! `JoinAgent`, `LeaveAgent`, `MarkAgent`: remote workers come, go, and are not heard of. Names and
//! skills are either a worker's or what is deployed has them: whoever comes second is refused.

use std::collections::BTreeSet;

use super::agent::changed;
use super::scale::seats_exhausted;
use super::{nothing, of_instance};
use crate::command::JoinAgent;
use crate::error::{Kind, Rejected};
use crate::event::{AgentJoined, AgentLeft, Change, Event, Standing};
use crate::fleet::SkillInfo;
use crate::fleet::spec::{FleetSpec, GroupSpec};
use crate::ids::AgentIx;
use crate::limits::{GROUPS_KEPT_MAX, SEATS_MAX, SKILLS_KEPT_MAX};
use crate::state::State;
use crate::text::Text;
use crate::time::Time;

/// Why a worker is offline that was not heard of. Who is offline for another reason stays so until
/// whoever said it says otherwise.
pub const UNHEARD: &str = "the worker was not heard of for three intervals";

pub(super) fn join(state: &State, join: JoinAgent, now: Time) -> Result<Change, Rejected> {
    let fleet = &state.fleet;
    refuse_otherwise_declared(state, &join)?;
    if let Some((group, seat)) = fleet.declared_worker(&join.name) {
        return take_seat(state, join, (group.spec(), seat), now);
    }
    let known = fleet.joined(&join.name);
    if is_own_name(state, &join.name) {
        let message = format!("an agent is called `{}` already", join.name);
        return Err(Rejected::new(Kind::Conflict, "agent_name_taken", message)
            .hint("register the worker under another name"));
    }
    if let Some(own) = join.skills.iter().find(|skill| is_own_skill(state, &skill.name)) {
        let message = format!("agents of the instance have the skill `{}`", own.name);
        return Err(Rejected::new(Kind::Conflict, "skill_taken", message)
            .hint("offer it under a name of its own"));
    }
    let group = GroupSpec {
        name: join.name,
        layer: join.layer,
        count: 1,
        supervisor: None,
        skills: join.skills.iter().map(|skill| skill.name.clone()).collect(),
        concurrency: Some(join.concurrency),
        behaviour: None,
        workers: false,
    };
    let is_there = known.is_some_and(|(it, seat)| {
        let is_leaving = fleet.agent(seat).is_none_or(|row| row.standing.is_leaving());
        let is_same = |info| fleet.skills().any(|known| known == info);
        *it.spec() == group && !is_leaving && join.skills.iter().all(is_same)
    });
    if is_there {
        return Ok(nothing(now));
    }
    has_room_for(state, &join.skills)?;
    if fleet.len() >= SEATS_MAX || fleet.groups().len() >= GROUPS_KEPT_MAX {
        return Err(seats_exhausted());
    }
    let joined = AgentJoined { group, skills: join.skills };
    Ok(of_instance(vec![Event::AgentJoined(Box::new(joined))], now))
}

/// What a deployment says of a skill holds for everybody who offers it.
fn refuse_otherwise_declared(state: &State, join: &JoinAgent) -> Result<(), Rejected> {
    for skill in &join.skills {
        let Some(declared) = state.fleet.declared_skill(&skill.name) else { continue };
        if declared.class != skill.class {
            let (name, class) = (&skill.name, declared.class.as_str());
            let message = format!("the skill `{name}` is deployed with the effect `{class}`");
            return Err(Rejected::new(Kind::Conflict, "skill_taken", message)
                .hint("offer it with that effect, or deploy another one"));
        }
    }
    Ok(())
}

/// A worker registers under the name of a declared seat: its place, skills and supervisor are those of
/// the manifest.
fn take_seat(
    state: &State,
    join: JoinAgent,
    (declared, seat): (&GroupSpec, AgentIx),
    now: Time,
) -> Result<Change, Rejected> {
    let offered: BTreeSet<&Text> = join.skills.iter().map(|skill| &skill.name).collect();
    if offered != declared.skills.iter().collect() {
        let skills: Vec<&str> = declared.skills.iter().map(|name| &**name).collect();
        let message = format!("`{}` is declared with the skills {}", join.name, skills.join(", "));
        return Err(Rejected::new(Kind::Invalid, "worker_invalid", message)
            .hint("offer just these, or register under a name that is not declared"));
    }
    let most = declared.concurrency.unwrap_or(join.concurrency);
    let concurrency = join.concurrency.min(most);
    let fleet = &state.fleet;
    let has_left = fleet.agent(seat).is_none_or(|row| row.standing.is_leaving());
    if !has_left && !fleet.awaits_worker(seat) && fleet.taken_at_once(seat) == Some(concurrency) {
        return Ok(nothing(now));
    }
    let group = GroupSpec {
        name: join.name,
        count: 1,
        concurrency: Some(concurrency),
        behaviour: None,
        ..declared.clone()
    };
    let joined = AgentJoined { group, skills: join.skills };
    Ok(of_instance(vec![Event::AgentJoined(Box::new(joined))], now))
}

/// What is deployed, and what is about to be.
fn declared(state: &State) -> impl Iterator<Item = &FleetSpec> {
    let deployments = &state.deployments;
    let under_way = deployments.under_way().map(|it| &it.deployment.fleet);
    deployments.current().map(|it| &it.fleet).into_iter().chain(under_way)
}

/// Whether an agent that is no remote worker has this name, or is about to have it.
fn is_own_name(state: &State, name: &str) -> bool {
    let fleet = &state.fleet;
    let is_here = |ix: &AgentIx| {
        let row = fleet.agent(*ix);
        !fleet.is_joined(*ix) && row.is_some_and(|row| row.standing != Standing::Retired)
    };
    fleet.find(name).is_some_and(|ix| is_here(&ix))
        || declared(state).any(|spec| !spec.named([name]).is_empty())
}

/// Whether the instance itself has this skill, or agents that are deployed and no workers have or are
/// about to have it.
fn is_own_skill(state: &State, name: &str) -> bool {
    let is_its = |spec: &FleetSpec| own_skills(spec).any(|skill| **skill == *name);
    state.fleet.is_of_instance(name) || declared(state).any(is_its)
}

/// The skills of a declared fleet that agents have who are no remote workers.
fn own_skills(spec: &FleetSpec) -> impl Iterator<Item = &Text> {
    spec.groups.iter().filter(|group| !group.workers).flat_map(|group| &group.skills)
}

/// What of a declared fleet is a remote worker's whom nobody declared, in words.
pub(super) fn taken_by(state: &State, spec: &FleetSpec) -> Vec<String> {
    let workers = state.fleet.undeclared_among(&spec.groups).into_iter();
    let brought = state.fleet.skills_of_workers();
    let names = workers.map(|name| format!("a remote worker is called `{name}`"));
    let skills: BTreeSet<&Text> = own_skills(spec).filter(|name| brought.contains(name)).collect();
    let skills = skills.into_iter();
    names.chain(skills.map(|name| format!("a remote worker offers the skill `{name}`"))).collect()
}

/// Skills keep their places for ever.
pub(super) fn has_room_for(state: &State, skills: &[SkillInfo]) -> Result<(), Rejected> {
    let fleet = &state.fleet;
    if fleet.skills_had() + fleet.fresh_skills(skills) > SKILLS_KEPT_MAX {
        let message = format!("the fleet has had {SKILLS_KEPT_MAX} different skills");
        return Err(Rejected::new(Kind::Exhausted, "too_many_skills", message)
            .hint("name skills by what is done, and leave numbers and dates to the input"));
    }
    Ok(())
}

pub(super) fn leave(state: &State, name: Text, reason: Text, now: Time) -> Change {
    let seat = state.fleet.remote(&name).and_then(|(_, seat)| state.fleet.agent(seat));
    match seat.is_some_and(|row| !row.standing.is_leaving()) {
        true => of_instance(vec![Event::AgentLeft(AgentLeft { name, reason })], now),
        false => nothing(now),
    }
}

pub(super) fn mark(
    state: &State,
    name: &str,
    (standing, reason): (Standing, Text),
    now: Time,
) -> Change {
    let fleet = &state.fleet;
    let Some((_, seat)) = fleet.remote(name) else { return nothing(now) };
    let Some(row) = fleet.agent(seat) else { return nothing(now) };
    let is_unheard = || fleet.reason(seat).is_some_and(|reason| &**reason == UNHEARD);
    let may = match (row.standing, standing) {
        (Standing::Suspect, Standing::Ready) => true,
        (Standing::Offline, Standing::Ready) => is_unheard(),
        (Standing::Ready | Standing::Restarting | Standing::Replaced, Standing::Suspect) => true,
        (Standing::Offline | Standing::Quarantined, Standing::Offline) => false,
        (before, Standing::Offline) => !before.is_passing(),
        _ => false,
    };
    match may {
        true => of_instance(vec![changed(state, seat, standing, reason, None)], now),
        false => nothing(now),
    }
}
