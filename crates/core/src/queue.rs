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
        let turn = self.draw_turn(priority, ready);
        self.insert(skill, turn, who);
        turn
    }

    /// The next turn, for somebody who does not stand in line yet.
    pub(crate) fn draw_turn(&mut self, priority: Priority, ready: Time) -> Turn {
        self.order += 1;
        Turn::new(priority, ready, self.order)
    }

    /// Puts a task in line that has its turn.
    pub(crate) fn insert(&mut self, skill: SkillIx, turn: Turn, who: Waiter) {
        if self.by_skill.entry(skill).or_default().insert(turn, who).is_none() {
            self.len += 1;
        }
        self.waiting.insert(skill);
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

    /// How many wait for a skill.
    pub fn waiting_for(&self, skill: SkillIx) -> usize {
        self.by_skill.get(&skill).map_or(0, BTreeMap::len)
    }

    /// Every skill that somebody waits or has waited for since the queue was last emptied.
    pub(crate) fn known_skills(&self) -> impl Iterator<Item = SkillIx> + Clone + '_ {
        self.by_skill.keys().copied()
    }

    /// The newest place in line that was given out.
    pub(crate) fn order(&self) -> u64 {
        self.order
    }

    /// The queue of these waiters; none where two have the same turn, one a turn that was never
    /// given out, or its skill no line.
    pub(crate) fn restored(
        order: u64,
        known: Vec<SkillIx>,
        waiters: Vec<(SkillIx, Turn, Waiter)>,
    ) -> Option<Self> {
        let len = waiters.len();
        let by_skill = known.into_iter().map(|skill| (skill, BTreeMap::new())).collect();
        let mut queue = ReadyQueue { by_skill, waiting: BTreeSet::new(), len, order };
        for (skill, turn, who) in waiters {
            if turn.order > order || queue.by_skill.get_mut(&skill)?.insert(turn, who).is_some() {
                return None;
            }
            queue.waiting.insert(skill);
        }
        Some(queue)
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
