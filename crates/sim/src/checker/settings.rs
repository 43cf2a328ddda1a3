//! Settings that change while the instance runs: what was acknowledged holds for whatever begins afterwards,
//! until the next start.

use ark_os_core::State;
use ark_os_core::event::InstanceStarted;
use ark_os_core::settings_change::LiveLimits;

use super::Checker;
use super::model::Model;
use crate::violation::{Check, ensure};

/// The limits in force, as the journal has them.
#[derive(Debug, Default)]
pub(super) struct Settings {
    force: LiveLimits,
    /// What changed since the start, with the record of each change.
    changes: Vec<(LiveLimits, u64)>,
}

impl Settings {
    pub(super) fn start(&mut self, started: &InstanceStarted) {
        self.changes.clear();
        self.force = LiveLimits {
            agents_max: started.agents_max,
            concurrent_tasks_max: Some(started.concurrent_tasks_max),
            runs_resident_max: started.runs_resident_max,
            task_timeout_ms: Some(started.task_timeout_ms),
            namespace_budget: Some(started.namespace_budget),
        };
    }

    pub(super) fn change(&mut self, limits: &LiveLimits, seq: u64) {
        self.changes.push((limits.clone(), seq));
        let before = std::mem::take(&mut self.force);
        self.force = LiveLimits {
            agents_max: limits.agents_max.or(before.agents_max),
            concurrent_tasks_max: limits.concurrent_tasks_max.or(before.concurrent_tasks_max),
            runs_resident_max: limits.runs_resident_max.or(before.runs_resident_max),
            task_timeout_ms: limits.task_timeout_ms.or(before.task_timeout_ms),
            namespace_budget: limits.namespace_budget.or(before.namespace_budget),
        };
    }

    /// The profile is given another size.
    pub(super) fn scale(&self, agents: u32) -> Check {
        let most = self.force.agents_max;
        ensure(most.is_none_or(|most| agents <= most), "I24", || {
            format!("the fleet gets {agents} agents, at most {most:?}")
        })
    }
}

impl Model {
    /// INVARIANT I24: one more attempt begins, and the instance takes as many.
    pub(super) fn begin_under_settings(&self) -> Check {
        let at_work: u32 = self.in_use.values().sum();
        let most = self.settings.force.concurrent_tasks_max;
        ensure(most.is_none_or(|most| at_work <= most), "I24", || {
            format!("{at_work} attempts are at work, the last began, and at most {most:?} may be")
        })
    }
}

impl Checker {
    /// A change of settings is acknowledged.
    pub(crate) fn settings_changed(&self, limits: &LiveLimits) -> Check {
        let mut changes = self.model.settings.changes.iter();
        let seq = changes.find(|(known, _)| known == limits).map(|(_, seq)| *seq);
        ensure(seq.is_some(), "I24", || format!("{limits:?} were acknowledged and do not hold"))?;
        self.is_durable(seq, || format!("{limits:?}"))
    }

    /// What the state keeps to is what the journal says.
    pub(super) fn check_settings(&self, state: &State) -> Check {
        let Some(it) = state.instance() else { return Ok(()) };
        let here = LiveLimits {
            agents_max: it.agents_max,
            concurrent_tasks_max: Some(it.concurrent_tasks_max),
            runs_resident_max: it.runs_resident_max,
            task_timeout_ms: Some(it.task_timeout_ms),
            namespace_budget: Some(it.namespace_budget),
        };
        let force = &self.model.settings.force;
        ensure(here == *force, "I24", || format!("{here:?} hold, by the journal {force:?}"))
    }
}
