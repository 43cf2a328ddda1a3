//! `StartChild` and `SettleChild`: a task's child begins, and the task hears of its end.
//!
//! Both are errands of the state. What they change removes the errand, so each is done once however
//! often it is tried.
//!
//! INVARIANT I11: what a child uses is reserved in the account of every run above it; of one that is
//! detached all that it may use is set aside when it begins.
//! INVARIANT I12: a child's authority is its parent's own.

use std::sync::Arc;

use super::draft::Draft;
use super::{nothing, submit_run};
use crate::authority::{Authority, Grant, RevocationId};
use crate::budget::Amounts;
use crate::child_run::{ChildRun, ParentRef, child_id};
use crate::command::SubmitRun;
use crate::error::{Failure, Rejected};
use crate::event::{Change, ChildEnded, Event, RunEnd};
use crate::ids::{RunId, TaskRef};
use crate::limits::CHILD_DEPTH_MAX;
use crate::payload::Payload;
use crate::plan::{ChildSpec, TaskSpec};
use crate::rules::Rules;
use crate::run::Run;
use crate::state::State;
use crate::time::Time;

impl Draft<'_> {
    /// A task asks for its child. It counts as moving.
    pub(super) fn request_child(&mut self, node: u32, spec: &ChildSpec, input: Payload) {
        let task = TaskRef::node(node);
        let depth = self.run.parent.as_ref().map_or(0, |parent| parent.depth) + 1;
        if depth > CHILD_DEPTH_MAX {
            let message = format!("there are {CHILD_DEPTH_MAX} runs above it already");
            return self.fail(task, Failure::fatal("child_too_deep", message));
        }
        let reserved = match spec.is_detached {
            true => set_aside(self.state.limit_of(self.run), self.run.spec(node)),
            false => Amounts::ZERO,
        };
        if let Err(failure) = self.check_run_budget(reserved) {
            return self.fail(task, failure);
        }
        let generation = self.run.node(node).map_or(0, |it| it.generation);
        let run = child_id(self.run.id, node, generation, self.now);
        let child = Box::new(ChildRun { run, input: Some(input), reserved, ended: None });
        self.push(Event::ChildRequested { task, child });
    }
}

/// What a detached child may use: its budget, and nothing of what the runs above it have a limit for
/// and it has no budget of. What has no limit is not set aside.
fn set_aside(above: Amounts, spec: Option<&TaskSpec>) -> Amounts {
    let budget = spec.map_or(Amounts::ZERO, |spec| spec.budget);
    budget.where_limited(above)
}

/// The most that a child may use, besides what the runs above it have left.
fn limit_of(above: Amounts, spec: &TaskSpec, child: &ChildSpec) -> Option<Amounts> {
    let own = spec.budget.or_unlimited();
    let limit = match child.is_detached {
        // Zero of it is zero, where those above have a limit.
        true => own.min(spec.budget.within(above)),
        false => own,
    };
    (limit != Amounts::UNLIMITED).then_some(limit)
}

pub(super) fn start(
    state: &State,
    rules: &dyn Rules,
    child: RunId,
    now: Time,
) -> Result<Change, Rejected> {
    let Some((parent, node)) = asked(state, child) else { return Ok(nothing(now)) };
    let refused = |failure: Failure| {
        let mut draft = Draft::new(state, parent, now);
        draft.fail(TaskRef::node(node), failure);
        Ok(draft.finish())
    };
    let Some(submission) = submission(state, parent, node, now) else {
        let message = "its plan or its authority cannot be read";
        return refused(Failure::fatal("child_refused", message));
    };
    submit_run::decide(state, rules, submission, now).or_else(|rejected| {
        // It may be begun in a moment: its parent was accepted, and waits.
        if rejected.is_passing() {
            return Err(rejected);
        }
        let cause = Failure::fatal(rejected.code(), rejected.to_string());
        let mut failure = Failure::fatal("child_refused", cause.message.to_string());
        failure.causes = vec![cause];
        refused(failure)
    })
}

/// The parent and the node of a child that is asked for and not there.
fn asked(state: &State, child: RunId) -> Option<(&Run, u32)> {
    let (parent, node) = state.children.get(&child)?;
    let parent = state.runs.get(parent)?;
    let is_there = state.runs.contains_key(&child) || state.backlog.contains(child);
    let waits = parent.node(*node)?.awaited_child()?.run == child;
    (waits && !is_there).then_some((parent, *node))
}

fn submission(state: &State, parent: &Run, node: u32, now: Time) -> Option<SubmitRun> {
    let (spec, task) = (parent.spec(node)?, parent.node(node)?);
    let child = spec.child()?;
    let asked = task.awaited_child()?;
    let workflow = child.workflow()?;
    let caller = parent.admission.as_ref()?.caller.as_ref()?;
    let own = spec.deadline_ms.map(|ms| task.ready_at.plus(ms));
    let depth = parent.parent.as_ref().map_or(0, |parent| parent.depth) + 1;
    Some(SubmitRun {
        start_at: None,
        run: asked.run,
        namespace: parent.namespace.clone(),
        grant: Arc::new(Grant::new(lent(caller, child))),
        workflow,
        input: asked.input.clone()?,
        priority: parent.priority,
        deadline: parent.deadline.into_iter().chain(own).min().map(|at| at.max(now.plus(1))),
        budget: limit_of(state.limit_of(parent), spec, child),
        seed: asked.run.0 as u64,
        key: None,
        parent: Some(Box::new(ParentRef {
            run: parent.id,
            node,
            depth,
            is_detached: child.is_detached,
        })),
    })
}

/// The same link for all children of one workflow under one authority: they share an admission.
fn lent(caller: &Authority, child: &ChildSpec) -> Authority {
    let mut parts: Vec<&[u8]> = vec![b"child", &child.hash.0];
    parts.extend(caller.chain().last().map(|id| &id.0[..]));
    caller.lent(RevocationId::derive(&parts))
}

pub(super) fn settle(state: &State, child: RunId, now: Time) -> Result<Change, Rejected> {
    let over = state.runs.get(&child).filter(|run| run.is_over());
    let waits =
        state.children.get(&child).and_then(|(id, node)| Some((state.runs.get(id)?, *node)));
    let (Some(over), Some((parent, node))) = (over, waits) else { return Ok(nothing(now)) };
    let task = TaskRef::node(node);
    let reserved = parent.node(node).and_then(|it| it.child.as_ref()).map(|it| it.reserved);
    let end = over.end().unwrap_or(RunEnd::Failed);
    let mut draft = Draft::new(state, parent, now);
    let output = match end {
        RunEnd::Succeeded => Some(over.output.clone().unwrap_or_else(Payload::null)),
        RunEnd::Failed | RunEnd::Cancelled => None,
    };
    // With what its steps in doubt hold: nobody gives that back to the parent later.
    let spent = over.account.used().min(reserved.unwrap_or_default());
    draft.push(Event::ChildEnded(Box::new(ChildEnded { task, run: child, end, output, spent })));
    if end == RunEnd::Succeeded {
        draft.after_success(task);
    } else {
        draft.fail(task, failure_of(over, end));
    }
    Ok(draft.finish())
}

fn failure_of(over: &Run, end: RunEnd) -> Failure {
    let code = if end == RunEnd::Cancelled { "child_cancelled" } else { "child_failed" };
    let why = over.failure.as_ref().map_or("", |failure| &failure.message);
    let mut failure = Failure::fatal(code, format!("the child run `{}`: {why}", over.id));
    // One level: causes of causes would nest as deep as runs do.
    let cause = over.failure.clone().map(|cause| Failure { causes: Vec::new(), ..cause });
    failure.causes = cause.into_iter().collect();
    failure
}
