//! Tasks under a limit by key: whether there is a place for the key, and room for one more.

use super::draft::Draft;
use crate::error::Failure;
use crate::event::Event;
use crate::ids::{SkillIx, TaskRef};
use crate::keyed_limit::LimitId;
use crate::limits::LIMIT_KEYS_MAX;
use crate::text::Text;
use crate::time::Time;

impl Draft<'_> {
    /// Whether there is a place for the key of a node that is about to be ready.
    pub(super) fn check_limit(&self, node: u32, key: Text) -> Result<(), Failure> {
        match self.run.limit_under(node, key) {
            Some(id) if !self.state.limits.has_place(&id) => {
                let message = format!("more than {LIMIT_KEYS_MAX} keys of limits are in use");
                Err(Failure::fatal("limit_keys_exhausted", message))
            }
            _ => Ok(()),
        }
    }

    /// Whether one more task of its key may begin, besides those of this decision.
    pub(super) fn has_limit_room(&self, task: TaskRef) -> bool {
        let Some(id) = self.run.limit_id(task.node) else { return true };
        let room = self.state.limits.find(&id).map_or(0, |limit| limit.room());
        self.begun_under(&id) < room
    }

    /// Until when its limit held up a task that begins now; none: it did not.
    pub(super) fn held_until(&self, task: TaskRef, skill: SkillIx) -> Option<Time> {
        let limit = self.state.limits.find(&self.run.limit_id(task.node)?)?;
        // Fresh children of a map stand in line as their node.
        let waiter = self.run.task(task).or_else(|| self.run.node(task.node))?;
        limit.held_until(skill, waiter.turn?, self.now)
    }

    fn begun_under(&self, id: &LimitId) -> usize {
        let is_of_it = |event: &&Event| match event {
            Event::AttemptStarted(it) => self.run.limit_id(it.task.node).as_ref() == Some(id),
            _ => false,
        };
        self.events.iter().filter(is_of_it).count()
    }
}
