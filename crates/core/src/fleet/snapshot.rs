//! The fleet in a snapshot: the rows, from which everything else is worked out.

use super::{Agent, Fleet, Skill, scope_of};
use crate::ids::{AgentIx, SkillIx};
use crate::limits::{AGENTS_MAX, COUNT_MAX};

/// What a snapshot keeps of a fleet.
#[derive(Default)]
pub(crate) struct FleetRows {
    /// Every skill this fleet or one before it has had, in their places.
    pub(crate) skills: Vec<Skill>,
    /// The agents whose rows are not as they began.
    pub(crate) agents: Vec<(AgentIx, Agent)>,
    pub(crate) idle_order: u64,
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
        fleet.idle_order = rows.idle_order;
        fleet.skills = rows.skills;
        for skill in &mut fleet.skills {
            skill.scope = scope_of(&skill.info);
        }
        for (ix, row) in rows.agents {
            let most = row.strikes.max(row.restarts).max(row.incarnation);
            if row.idle > rows.idle_order || most > COUNT_MAX {
                return None;
            }
            *fleet.agents.get_mut(ix.0 as usize)? = row;
        }
        for (agent, skill) in drawn {
            fleet.agents.get_mut(agent.0 as usize)?.busy += 1;
            fleet.skills.get_mut(skill.0 as usize)?.in_use += 1;
        }
        fleet.tally();
        Some(fleet)
    }
}
