//! The fleet in a snapshot: the rows, from which everything else is worked out.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::groups::Group;
use super::seats::Added;
use super::{Agent, Fleet, Skill, Stack, scope_of};
use crate::event::Standing;
use crate::ids::{AgentIx, SkillIx};
use crate::limits::{AGENTS_MAX, COUNT_MAX, GROUP_CONCURRENCY_MAX, GROUPS_KEPT_MAX, SEATS_MAX};
use crate::supervision::Tried;
use crate::text::Text;

/// What a snapshot keeps of a fleet.
#[derive(Default)]
pub(crate) struct FleetRows {
    /// Every skill this fleet or one before it has had, in their places.
    pub(crate) skills: Vec<Skill>,
    /// The agents whose rows are not as they began.
    pub(crate) agents: Vec<(AgentIx, Agent)>,
    pub(crate) idle_order: u64,
    pub(crate) shape: FleetShape,
}

/// What became of the profile since the start; nothing where nothing did.
#[derive(Default, Encode, Decode)]
#[cbor(map)]
pub(crate) struct FleetShape {
    #[n(0)]
    profile: Option<u32>,
    #[n(1)]
    added: Vec<Added>,
    #[n(2)]
    groups: Vec<Group>,
    /// The leader of each stack.
    #[n(3)]
    leaders: Vec<Option<AgentIx>>,
    #[n(4)]
    reasons: BTreeMap<AgentIx, Text>,
    #[n(5)]
    #[cbor(skip_if = "crate::shared::is_default", default)]
    tried: BTreeMap<AgentIx, Tried>,
}

impl Fleet {
    /// The skill table, places that are no longer on offer included.
    pub(crate) fn skill_table(&self) -> &[Skill] {
        &self.skills
    }

    /// Agents whose rows are not as they began, but for the attempts that they have under way.
    pub(crate) fn worn_rows(&self) -> impl Iterator<Item = (AgentIx, &Agent)> + Clone {
        let rows = (0u32..).map(AgentIx).zip(&self.agents);
        rows.filter(|(ix, row)| Agent { busy: row.busy, ..Agent::fresh(*ix) } != **row)
    }

    /// The order of becoming idle: the newest number given out.
    pub(crate) fn idle_order(&self) -> u64 {
        self.idle_order
    }

    /// What became of it since the start.
    pub(crate) fn shape(&self) -> FleetShape {
        let is_as_begun = self.profile == self.plan.agents() && self.added.is_empty();
        let leaders = self.stacks.iter().map(|stack| stack.leader);
        FleetShape {
            profile: (!is_as_begun).then_some(self.profile),
            added: self.added.clone(),
            groups: self.groups.clone(),
            leaders: if is_as_begun { Vec::new() } else { leaders.collect() },
            reasons: self.reasons.clone(),
            tried: self.tried.clone(),
        }
    }

    /// The fleet of these rows and of the tokens drawn; none where they contradict each other.
    pub(crate) fn restored(
        agents: u32,
        concurrency: u32,
        rows: FleetRows,
        drawn: &[(AgentIx, SkillIx)],
    ) -> Option<Fleet> {
        if agents > AGENTS_MAX || agents.checked_mul(concurrency.max(2)).is_none() {
            return None;
        }
        let mut fleet = Fleet::new(agents, &[], concurrency, None);
        fleet.reshape(rows.shape)?;
        fleet.idle_order = rows.idle_order;
        fleet.skills = rows.skills;
        for skill in &mut fleet.skills {
            skill.scope = scope_of(&skill.info);
        }
        for (ix, row) in rows.agents {
            let most = [row.strikes, row.restarts, row.incarnation, row.replaced].into_iter().max();
            if row.idle > rows.idle_order || most > Some(COUNT_MAX) {
                return None;
            }
            *fleet.agents.get_mut(ix.0 as usize)? = row;
        }
        for (agent, skill) in drawn {
            fleet.agents.get_mut(agent.0 as usize)?.busy += 1;
            fleet.skills.get_mut(skill.0 as usize)?.in_use += 1;
        }
        let cannot_be = |row: &Agent| match row.standing {
            Standing::Draining => row.busy == 0,
            standing => row.busy > 0 && !standing.has_tokens(),
        };
        if fleet.agents.iter().any(cannot_be) {
            return None;
        }
        fleet.offer();
        fleet.tally();
        Some(fleet)
    }

    /// Makes it what it has become since the start; none where that cannot be.
    fn reshape(&mut self, shape: FleetShape) -> Option<()> {
        let FleetShape { profile, added, groups, leaders, reasons, tried } = shape;
        let concurrency = |group: &Group| group.spec().concurrency.unwrap_or(1);
        let seats = self.len().checked_add(u32::try_from(added.len()).ok()?)?;
        if seats > SEATS_MAX
            || groups.len() > GROUPS_KEPT_MAX
            || leaders.len() > self.stacks.len() + seats as usize
            || groups.iter().any(|group| concurrency(group) > GROUP_CONCURRENCY_MAX)
            || profile.is_some_and(|profile| profile == 0 || profile > AGENTS_MAX)
        {
            return None;
        }
        let is_seat = |ix: &AgentIx| ix.0 < seats;
        if !leaders.iter().flatten().chain(reasons.keys()).chain(tried.keys()).all(is_seat) {
            return None;
        }
        if leaders.len() >= self.stacks.len() {
            let stack = |leader| Stack { leader, ..Stack::default() };
            self.stacks = leaders.into_iter().map(stack).collect();
        } else if !leaders.is_empty() {
            return None;
        }
        let is_sound = |seat: &Added| {
            seat.stack.is_none_or(|stack| (stack.0 as usize) < self.stacks.len())
                && seat.stack.is_some() == !matches!(seat.layer.rank(), 0..=2)
                && seat.supervisor.as_ref().is_none_or(is_seat)
                && seat.group.is_none_or(|group| (group as usize) < groups.len())
                && seat.concurrency.unwrap_or(1) <= GROUP_CONCURRENCY_MAX
        };
        if !added.iter().all(is_sound) {
            return None;
        }
        self.agents.extend((self.len()..seats).map(AgentIx).map(Agent::fresh));
        self.profile = profile.unwrap_or(self.profile);
        (self.added, self.groups) = (added, groups);
        (self.reasons, self.tried) = (reasons, tried);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_with_a_row_of_an_agent_at_the_brink_is_refused() {
        let restored = |replaced| {
            let ix = AgentIx(3);
            let row = Agent { replaced, ..Agent::fresh(ix) };
            let rows = FleetRows { agents: vec![(ix, row)], idle_order: 8, ..FleetRows::default() };
            Fleet::restored(8, 2, rows, &[])
        };
        assert!(restored(COUNT_MAX).is_some());
        assert!(restored(COUNT_MAX + 1).is_none());
    }
}
