//! Limits by key: what the journal says began under each, held against what the plans' authors wrote.

use ark_os_core::State;
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::keyed_limit::LimitId;

use super::Checker;
use super::model::Model;
use crate::plans::{KeyLimit, key_limit};
use crate::violation::{Check, ensure};

impl Model {
    /// What a task is counted under, and how many may be.
    fn limit_of(&self, id: RunId, task: TaskRef) -> Option<(LimitId, KeyLimit)> {
        let run = self.run(id)?;
        let spec = run.workflow.tasks.get(task.node as usize)?.limit.as_ref()?;
        let name = spec.name.clone();
        let limit = key_limit(&name).unwrap_or_else(|| KeyLimit::from(&**spec));
        let key = run.task(TaskRef::node(task.node)).and_then(|it| it.key.clone());
        let id = LimitId { namespace: run.namespace.clone(), name, key: key.unwrap_or_default() };
        Some((id, limit))
    }

    /// How many are worked on under a limit.
    fn at_work(&self, limit: &LimitId) -> u32 {
        let runs = self.runs.iter();
        let held = runs.flat_map(|(id, run)| {
            let held = run.tasks.iter().filter(|(_, it)| it.token.is_some());
            held.map(|(task, _)| (*id, *task))
        });
        let is_of_it = |(id, task): &(RunId, TaskRef)| {
            self.limit_of(*id, *task).is_some_and(|(other, _)| other == *limit)
        };
        held.filter(is_of_it).count() as u32
    }

    /// Under a limit no more are worked on at one time, and no more begin in any period, than its
    /// author wrote; called when one more has begun.
    pub(super) fn begin_under_limit(&mut self, id: RunId, task: TaskRef) -> Check {
        let Some((limit, said)) = self.limit_of(id, task) else { return Ok(()) };
        let at_work = self.at_work(&limit);
        ensure(said.at_once.is_none_or(|most| at_work <= most), "limit", || {
            format!("{at_work} are worked on under {limit:?}, which says {said:?}")
        })?;
        let Some((count, per_ms)) = said.rate else { return Ok(()) };
        let now = self.at;
        let starts = self.starts.entry(limit).or_default();
        starts.retain(|start| start.plus(per_ms) > now);
        starts.push(now);
        let begun = starts.len();
        ensure(begun <= count as usize, "limit", || {
            format!("{begun} began in a period of {per_ms} ms: {starts:?}")
        })
    }
}

impl Checker {
    /// What the state counts is what the journal says, and nobody waits for a key that has room.
    pub(super) fn check_limits(&self, state: &State) -> Check {
        for (id, limit) in state.limits().iter() {
            let at_work = self.model.at_work(id);
            ensure(limit.in_use() == at_work, "limit", || {
                format!("{id:?} counts {} at work, there are {at_work}", limit.in_use())
            })?;
            ensure(limit.held() == 0 || limit.offered() >= limit.room(), "limit", || {
                format!("{id:?} keeps somebody out and has room: {limit:?}")
            })?;
        }
        Ok(())
    }
}
