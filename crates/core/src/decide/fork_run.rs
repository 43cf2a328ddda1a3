//! `ForkRun`: a new run goes on from a point of another one's history. It is a submission of its own,
//! with its own authority, budget and fences; what was done before the point is not done again.
//!
//! A fork never waits on disk: what it reuses stands in its first record alone. Where there is no place for it, it is refused.

use std::collections::BTreeSet;

use super::draft::Draft;
use super::submit_run::{self, open_roots};
use crate::command::ForkRun;
use crate::error::{Kind, Rejected};
use crate::event::{Change, Event, RunAccepted, RunOrigin, SkipCause, TaskReused};
use crate::ids::TaskRef;
use crate::limits::MAP_CHILDREN_MAX;
use crate::plan::{Shape, Workflow};
use crate::rules::Rules;
use crate::run::Run;
use crate::state::State;
use crate::time::Time;

pub(super) fn decide(
    state: &State,
    rules: &dyn Rules,
    fork: ForkRun,
    now: Time,
) -> Result<Change, Rejected> {
    let ForkRun { submission, forked, reused } = fork;
    check(&submission.workflow, &reused)?;
    if !state.has_room(submission.priority) {
        let message = "there is no place in memory for a fork";
        return Err(Rejected::new(Kind::Exhausted, "overloaded", message)
            .hint("wait for some runs to end; a fork does not wait on disk as others do"));
    }
    let id = submission.run;
    let mut submitted = submit_run::entry(state, rules, submission, now)?;
    submitted.accepted.origin = Some(Box::new(RunOrigin::Fork {
        source: forked.source,
        at: forked.at,
        reused: reused.len() as u32,
        reason: forked.reason.clone(),
    }));
    let mut run =
        Run::accepted(id, submitted.namespace, submitted.workflow, &submitted.accepted, now);
    run.admission = submitted.admission;
    reused.iter().for_each(|it| run.reuse(it));
    let is_blocked = run.admission.is_none();
    let mut draft = Draft::new(state, &run, now);
    draft.events.extend(submitted.fresh.map(|fresh| Event::WorkflowAdmitted(Box::new(fresh))));
    draft.push(accepted(submitted.accepted));
    draft.push(Event::RunForked(Box::new(forked)));
    for it in reused {
        let node = it.node;
        draft.push(Event::TaskReused(Box::new(it)));
        let stand_ins = run.fallbacks_of(node);
        if !stand_ins.is_empty() {
            let tasks = stand_ins.iter().copied().map(TaskRef::node).collect();
            draft.push(Event::TasksSkipped { tasks, cause: SkipCause::NotNeeded });
            draft.over.extend(stand_ins);
        }
    }
    if is_blocked {
        draft.events.extend(state.fleet.empty_layer().map(|layer| Event::RunWaited { layer }));
    } else {
        open_roots(&mut draft);
    }
    Ok(draft.finish())
}

fn accepted(accepted: RunAccepted) -> Event {
    Event::RunAccepted(Box::new(accepted))
}

/// What is reused has to be a beginning of the plan: with each task everything that it needs.
fn check(workflow: &Workflow, reused: &[TaskReused]) -> Result<(), Rejected> {
    let invalid = |message: &str| Rejected::new(Kind::Invalid, "fork_invalid", message);
    let nodes: BTreeSet<u32> = reused.iter().map(|it| it.node).collect();
    if nodes.len() != reused.len() {
        return Err(invalid("a task would be reused twice"));
    }
    for it in reused {
        let spec = workflow.tasks.get(it.node as usize);
        let spec = spec.ok_or_else(|| invalid("a task would be reused that is not of the plan"))?;
        if spec.is_fallback || !spec.needs.iter().all(|need| nodes.contains(need)) {
            return Err(invalid("a task would be reused without what it needs"));
        }
        let children = it.children.as_ref().map(|children| children.outputs.len());
        let fits = match (&spec.shape, children) {
            (_, None) if it.output.is_none() => true,
            (Shape::Map(_), Some(count)) => count <= MAP_CHILDREN_MAX as usize,
            (Shape::Map(_), None) | (_, Some(_)) => false,
            (_, None) => true,
        };
        if !fits {
            return Err(invalid("a task would be reused in another form than the plan's"));
        }
    }
    Ok(())
}
