//! What the history of a run does not say: which of its tasks a limit holds up at this moment.

use std::collections::{BTreeMap, BTreeSet};

use ark_os_core::State;
use ark_os_core::ids::{RunId, TaskRef};
use ark_os_core::run::{Child, Run};
use ark_os_core::time::Time;
use ark_os_runtime::kernel::Kernel;

/// Tasks that are looked for at most: more rows are not shown, and nobody reads more names.
const HELD_MAX: usize = 500;

/// How a run stands now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    pub(crate) now: Time,
    /// Tasks that their limit holds up; of a map's fresh children the map.
    pub(crate) held: BTreeSet<TaskRef>,
}

impl Live {
    /// Looks at a run.
    pub(crate) fn of(kernel: &Kernel, run: RunId) -> Self {
        let state = kernel.state();
        let held = state.run(run).map(|run| held(run, state)).unwrap_or_default();
        Live { now: state.now(), held: held.into_keys().collect() }
    }
}

/// Tasks that their limit holds up, each with it.
fn held(run: &Run, state: &State) -> BTreeMap<TaskRef, String> {
    let mut found = BTreeMap::new();
    for (node, task) in (0u32..).zip(&run.tasks) {
        let limit = run.limit_id(node).and_then(|id| state.limits().find(&id));
        if limit.is_none_or(|limit| limit.held() == 0) {
            continue;
        }
        let fan = task.fan.iter().flat_map(|fan| &fan.children);
        let children = (0u32..).zip(fan).filter(|(_, child)| matches!(child, Child::Live(_)));
        let tasks = children.map(|(child, _)| TaskRef::child(node, child));
        let all = std::iter::once(TaskRef::node(node)).chain(tasks);
        let all = all.filter_map(|task| Some((task, held_by(run, state, task)?)));
        found.extend(all.take(HELD_MAX.saturating_sub(found.len())));
    }
    found
}

/// The limit that a task waits for although an agent may be free.
pub(crate) fn held_by(run: &Run, state: &State, task: TaskRef) -> Option<String> {
    let turn = run.task(task)?.turn?;
    let id = run.limit_id(task.node)?;
    let is_held = state.limits().find(&id)?.is_held(run.skill(task.node)?, turn);
    is_held.then(|| format!("limit {} {}", id.name, id.key).trim_end().to_owned())
}

/// The limits that tasks of a run wait for, each once.
pub(crate) fn limits_of(kernel: &Kernel, run: RunId) -> Vec<String> {
    let state = kernel.state();
    let Some(run) = state.run(run) else { return Vec::new() };
    let names: BTreeSet<String> = held(run, state).into_values().collect();
    names.into_iter().collect()
}
