//! Who stands above whom in a manifest: names, supervisors, layers, and how many there are.

use std::collections::{BTreeMap, BTreeSet};

use super::Manifest;
use super::findings::{Finding, Pointer, Report, code, shown};
use crate::agent::AgentSpec;
use crate::fleet::profile::parse_agent_name;
use crate::limits::{AGENTS_MAX, GROUPS_MAX};
use crate::text::Text;

/// Checks all agents and groups of a manifest together.
pub(super) fn check(
    agents: &[(AgentSpec, Pointer)],
    profile: Option<u32>,
    report: &mut Report<'_>,
) {
    let mut named: BTreeMap<&Text, &AgentSpec> = BTreeMap::new();
    for (agent, at) in agents.iter().filter(|(agent, _)| !agent.name.is_empty()) {
        if parse_agent_name(&agent.name).is_some() {
            let message =
                format!("`{}` is the name of an agent of the built-in profile", agent.name);
            report.add(&at.key("name"), code::INVALID_NAME, message);
        }
        if named.contains_key(&agent.name) {
            let message =
                format!("there is another agent or group `{}` before this one", agent.name);
            report.add(&at.key("name"), code::DUPLICATE_NAME, message);
            continue;
        }
        named.insert(&agent.name, agent);
    }
    for (agent, at) in agents {
        check_member_name(agent, at, &named, report);
        check_supervisor(agent, at, &named, report);
    }
    check_room(agents, profile, report);
}

/// What is wrong with a manifest where there is room for so many agents, and the built-in profile
/// has `profile` where the manifest does not say.
pub fn over_capacity(manifest: &Manifest, profile: u32, agents_max: u32) -> Option<Finding> {
    let declared: u64 = manifest.members().map(|(_, agent)| u64::from(agent.count)).sum();
    let profile = manifest.profile.unwrap_or(profile);
    let all = declared + u64::from(profile);
    (all > u64::from(agents_max)).then(|| Finding {
        pointer: String::new(),
        code: code::CAPACITY_EXCEEDED,
        message: format!(
            "{declared} declared agents and {profile} of the built-in profile are more than \
             {agents_max}"
        ),
        hint: Some("ask for fewer, or raise `system.max_agents`".to_owned()),
    })
}

/// The members of a group have names too.
fn check_member_name(
    agent: &AgentSpec,
    at: &Pointer,
    named: &BTreeMap<&Text, &AgentSpec>,
    report: &mut Report<'_>,
) {
    let Some((group, digits)) = agent.name.rsplit_once('-') else { return };
    let Some(group) = named.get(&Text::from(group)).filter(|group| group.count > 1) else { return };
    let is_member = digits.len() >= 5 && digits.parse::<u32>().is_ok_and(|it| it < group.count);
    if is_member {
        let message =
            format!("`{}` is the name of a member of the group `{}`", agent.name, group.name);
        report.add(&at.key("name"), code::DUPLICATE_NAME, message);
    }
}

/// Layers strictly above one another bound the depth to the number of layers, which is six.
fn check_supervisor(
    agent: &AgentSpec,
    at: &Pointer,
    named: &BTreeMap<&Text, &AgentSpec>,
    report: &mut Report<'_>,
) {
    let Some(name) = &agent.supervisor else { return };
    let at = at.key("supervisor");
    let Some(above) = named.get(name) else {
        let message = format!("there is no agent or group `{}` in this manifest", shown(name));
        let known = named.keys().map(|name| name.as_str());
        report.unknown(&at, code::UNKNOWN_AGENT, message, name, known);
        return;
    };
    if let Some(circle) = circle(agent, named) {
        let message = format!("`{}` is an ancestor of itself: {circle}", agent.name);
        report.add(&at, code::CYCLE, message);
        return;
    }
    if above.layer >= agent.layer {
        let message = format!(
            "`{name}` is of the layer `{}`, which is not above `{}`",
            above.layer, agent.layer
        );
        let hint = "authority goes down: a supervisor is of a strictly higher layer";
        report.add_hint(&at, code::LAYER_NOT_ABOVE, message, hint);
    }
}

/// The way from an agent up to itself, if there is one.
fn circle(agent: &AgentSpec, named: &BTreeMap<&Text, &AgentSpec>) -> Option<String> {
    const SHOWN_MAX: usize = 10;
    let mut path = vec![agent.name.as_str()];
    let mut seen: BTreeSet<&Text> = BTreeSet::new();
    let mut next = agent.supervisor.as_ref();
    while let Some(name) = next {
        path.push(name.as_str());
        if *name == agent.name {
            let more = if path.len() > SHOWN_MAX { " → …" } else { "" };
            path.truncate(SHOWN_MAX);
            return Some(format!("{}{more}", path.join(" → ")));
        }
        // A circle further up is a finding of those who are in it.
        if !seen.insert(name) {
            return None;
        }
        next = named.get(name).and_then(|above| above.supervisor.as_ref());
    }
    None
}

fn check_room(agents: &[(AgentSpec, Pointer)], profile: Option<u32>, report: &mut Report<'_>) {
    if agents.len() > GROUPS_MAX {
        let message = format!("{} agents and groups in all, at most {GROUPS_MAX}", agents.len());
        let hint = "make groups of agents that are alike";
        report.add_hint(&Pointer::root(), code::CAPACITY_EXCEEDED, message, hint);
    }
    let declared: u64 = agents.iter().map(|(agent, _)| u64::from(agent.count)).sum();
    let all = declared + u64::from(profile.unwrap_or(0));
    if all > u64::from(AGENTS_MAX) {
        let message = format!("{all} agents in all, at most {AGENTS_MAX}");
        report.add(&Pointer::root(), code::CAPACITY_EXCEEDED, message);
    }
}
