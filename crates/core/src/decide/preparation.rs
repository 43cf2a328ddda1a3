//! `FinishPreparation` and `FinishGathering`: the runtime evaluated data that the core cannot read.

use super::draft::Draft;
use super::{nothing, of_run};
use crate::command::Prepared;
use crate::error::{Failure, Rejected};
use crate::event::{Change, Event, RunEnd, RunEnded};
use crate::ids::{RunId, TaskRef};
use crate::limits::MAP_CHILDREN_MAX;
use crate::payload::Payload;
use crate::run::{Phase, Run, TaskState};
use crate::state::State;
use crate::time::Time;

/// Which preparation is answered.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) run: RunId,
    pub(super) node: u32,
    pub(super) generation: u32,
}

pub(super) fn decide(
    state: &State,
    asked: Asked,
    result: Prepared,
    now: Time,
) -> Result<Change, Rejected> {
    let Some(run) = state.runs.get(&asked.run) else { return Ok(nothing(now)) };
    let current = run
        .node(asked.node)
        .is_some_and(|it| it.state == TaskState::Preparing && it.generation == asked.generation);
    if !current || run.is_over() {
        return Ok(nothing(now));
    }
    let task = TaskRef::node(asked.node);
    let mut draft = Draft::new(state, run, now);
    let (key, result) = match result {
        Prepared::Keyed(key, result) => (Some(key), *result),
        result => (None, result),
    };
    if let Some(key) = &key {
        draft.push(Event::TaskKeyed { task, key: key.clone() });
    }
    let begins = matches!(result, Prepared::Go | Prepared::List { .. });
    match draft.check_limit(asked.node, key.unwrap_or_default()) {
        Err(failure) if begins => draft.fail(task, failure),
        _ => answer(&mut draft, run, asked.node, result),
    }
    Ok(draft.finish())
}

fn answer(draft: &mut Draft<'_>, run: &Run, node: u32, result: Prepared) {
    let task = TaskRef::node(node);
    match result {
        Prepared::Go => draft.ready(task),
        Prepared::Until(until) => {
            if let Some(wait) = run.spec(node).and_then(|spec| spec.wait()) {
                draft.begin_wait(node, wait, Some(until));
            }
        }
        Prepared::Skip => draft.skip(node),
        // There is one key, and nothing nests it.
        Prepared::Keyed(..) => {}
        Prepared::Failed(failure) => draft.fail(task, failure),
        Prepared::Input(input) => {
            if let Some(child) = run.spec(node).and_then(|spec| spec.child()) {
                draft.request_child(node, child, input);
            }
        }
        Prepared::List { count, .. } if count > MAP_CHILDREN_MAX => {
            let message = format!("the list has {count} items, more than {MAP_CHILDREN_MAX}");
            draft.fail(task, Failure::fatal("map_too_large", message));
        }
        Prepared::List { count, list } => {
            draft.push(Event::MapExpanded { task, count, list });
            draft.moved += i64::from(count) - 1;
            if count == 0 {
                draft.map_done(node);
            }
        }
    }
}

pub(super) fn gathered(
    state: &State,
    id: RunId,
    generation: u32,
    result: Result<Payload, Failure>,
    now: Time,
) -> Result<Change, Rejected> {
    let Some(run) = state.runs.get(&id) else { return Ok(nothing(now)) };
    if run.phase != Phase::Gathering || run.generation != generation {
        return Ok(nothing(now));
    }
    let (end, output, failure) = match result {
        Ok(output) => (RunEnd::Succeeded, Some(output), None),
        Err(failure) => (RunEnd::Failed, None, Some(failure)),
    };
    let ended = RunEnded { end, output, failure, proof: Some(run.proof) };
    Ok(of_run(id, vec![Event::RunEnded(Box::new(ended))], now))
}
