//! The ready queue: for each skill the tasks that wait for an agent, in the order of their turns.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{RunId, SkillIx, TaskRef};
use crate::priority::{Priority, Turn};
use crate::time::Time;

/// Who waits: a task, or a map's node, which stands for its next fresh child.
pub type Waiter = (RunId, TaskRef);

/// Tasks that wait for an agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadyQueue {
    by_skill: BTreeMap<SkillIx, BTreeMap<Turn, Waiter>>,
    waiting: BTreeSet<SkillIx>,
    len: usize,
    order: u64,
}

impl ReadyQueue {
    /// Puts a task in line and tells its turn.
    pub fn push(&mut self, skill: SkillIx, priority: Priority, ready: Time, who: Waiter) -> Turn {
        self.order += 1;
        let turn = Turn::new(priority, ready, self.order);
        self.by_skill.entry(skill).or_default().insert(turn, who);
        self.waiting.insert(skill);
        self.len += 1;
        turn
    }

    /// Takes a task out of line.
    pub fn remove(&mut self, skill: SkillIx, turn: Turn) {
        let Some(line) = self.by_skill.get_mut(&skill) else { return };
        if line.remove(&turn).is_some() {
            self.len -= 1;
        }
        if line.is_empty() {
            self.waiting.remove(&skill);
        }
    }

    /// Whether nobody waits for this skill.
    pub fn is_free(&self, skill: SkillIx) -> bool {
        !self.waiting.contains(&skill)
    }

    /// Skills that somebody waits for.
    pub fn skills(&self) -> impl Iterator<Item = SkillIx> + '_ {
        self.waiting.iter().copied()
    }

    /// Who waits for a skill, soonest first.
    pub fn line(&self, skill: SkillIx) -> impl Iterator<Item = (Turn, Waiter)> + '_ {
        self.by_skill.get(&skill).into_iter().flatten().map(|(turn, who)| (*turn, *who))
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets everybody who waits.
    pub fn clear(&mut self) {
        self.by_skill.clear();
        self.waiting.clear();
        self.len = 0;
    }
}
