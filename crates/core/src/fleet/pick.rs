//! Who starts a task: an agent of a group that offers its skill, or of the profile.

use super::{EMERGENCY_RESERVE, Fleet, Skill};
use crate::event::Standing;
use crate::ids::{AgentIx, SkillIx, StackIx};
use crate::layer::Layer;
use crate::plan::EffectClass;

/// What is asked of the fleet when a task is to start.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// The skill.
    pub skill: SkillIx,
    /// Whether it may use the token that each pool keeps back.
    pub emergency: bool,
    /// Who failed at it before: taken only if there is nobody else.
    pub avoid: Option<AgentIx>,
}

impl Fleet {
    /// Who could start such a task now, counting those that `taken` in the same decision.
    pub fn pick(&self, want: Want, taken: &[AgentIx]) -> Option<AgentIx> {
        let skill = self.skills.get(want.skill.0 as usize).filter(|skill| skill.is_offered())?;
        let taken_here = taken.len() as u32;
        if skill.most().is_some_and(|max| skill.in_use + taken_here >= max) {
            return None;
        }
        if !skill.offered || !skill.groups.is_empty() {
            return self.pick_declared(skill, want, taken);
        }
        let (owner, benches) = match skill.info.class {
            EffectClass::Pure => (Layer::Micro, [1, 0]),
            _ => (Layer::Specialist, [0, 1]),
        };
        // The other workers help out, but they do not take a missing layer's place.
        if self.ready_in(owner) == 0 && !self.is_held(owner) {
            return None;
        }
        let search = |avoid: Option<AgentIx>| {
            benches.into_iter().find_map(|bench| self.search(bench, want.emergency, avoid, taken))
        };
        search(want.avoid).or_else(|| want.avoid.and_then(|_| search(None)))
    }

    fn search(
        &self,
        bench: usize,
        emergency: bool,
        avoid: Option<AgentIx>,
        taken: &[AgentIx],
    ) -> Option<AgentIx> {
        let reserve = if emergency { 0 } else { EMERGENCY_RESERVE };
        for (rank, ix) in &self.by_free {
            let free = u32::MAX - rank;
            if free <= reserve {
                return None;
            }
            let here = self.taken_in(*ix, taken);
            let Some(stack) = self.stacks.get(ix.0 as usize) else { continue };
            // A token for emergencies is worth nothing without an agent who has room for it.
            let left = free.min(stack.room);
            if left <= reserve + here || !self.is_supervised(*ix) {
                continue;
            }
            let idle = stack.idle.get(bench);
            let mut idle = idle.into_iter().flatten().map(|(_, agent)| *agent);
            let found = idle.find(|agent| Some(*agent) != avoid && self.has_room(*agent, taken));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Of the groups that offer a skill, whoever has been idle longest. Together they keep a token
    /// for emergencies like a pool, unless they have only one.
    fn pick_declared(&self, skill: &Skill, want: Want, taken: &[AgentIx]) -> Option<AgentIx> {
        let groups = || skill.groups.iter().filter_map(|ix| self.groups.get(*ix as usize));
        let tokens: u32 = groups().map(|group| group.bench.tokens).sum();
        let room: u32 = groups().map(|group| group.bench.room).sum();
        let is_theirs = |agent: &&AgentIx| {
            let group = self.added(**agent).and_then(|seat| seat.group);
            group.is_some_and(|group| skill.groups.contains(&group))
        };
        let taken_here = taken.iter().filter(is_theirs).count() as u32;
        if room <= reserve(want.emergency, tokens) + taken_here {
            return None;
        }
        let search = |avoid: Option<AgentIx>| {
            let first = groups().filter_map(|group| {
                let mut idle = group.bench.idle.iter();
                idle.find(|(_, agent)| {
                    Some(*agent) != avoid
                        && self.has_room(*agent, taken)
                        && self.has_token(*agent, want.emergency, taken)
                })
            });
            first.min().map(|(_, agent)| *agent)
        };
        search(want.avoid).or_else(|| want.avoid.and_then(|_| search(None)))
    }

    /// Whether the pool of an agent's stack has a token for it, and somebody to route the work.
    fn has_token(&self, agent: AgentIx, emergency: bool, taken: &[AgentIx]) -> bool {
        let Some(ix) = self.stack(agent) else { return false };
        let Some(stack) = self.stacks.get(ix.0 as usize) else { return false };
        let free = stack.capacity.saturating_sub(stack.in_use);
        free > reserve(emergency, stack.capacity) + self.taken_in(ix, taken)
            && self.is_supervised(ix)
    }

    fn has_room(&self, agent: AgentIx, taken: &[AgentIx]) -> bool {
        let more = taken.iter().filter(|other| **other == agent).count() as u32;
        let busy = self.agent(agent).map_or(u32::MAX, |row| row.busy);
        busy.saturating_add(more) < self.at_once(agent)
    }

    fn taken_in(&self, stack: StackIx, taken: &[AgentIx]) -> u32 {
        taken.iter().filter(|agent| self.stack(**agent) == Some(stack)).count() as u32
    }

    /// Routing is the chief's step: without one, the stack's work waits.
    fn is_supervised(&self, stack: StackIx) -> bool {
        match self.leader(stack) {
            None => true,
            Some(leader) => self.agent(leader).is_some_and(|row| row.standing == Standing::Ready),
        }
    }
}

/// What so many tokens keep back for emergencies.
fn reserve(emergency: bool, tokens: u32) -> u32 {
    if emergency || tokens <= EMERGENCY_RESERVE { 0 } else { EMERGENCY_RESERVE }
}
