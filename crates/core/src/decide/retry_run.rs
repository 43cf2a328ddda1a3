//! `RetryRun`: a run that failed or was cancelled goes on from a task.

use std::collections::BTreeSet;

use super::draft::Draft;
use crate::error::{Kind, Rejected};
use crate::event::{Change, Event, Intake, RunEnd, SkipCause};
use crate::ids::{RunId, TaskRef};
use crate::limits::RUNS_LIVE_MAX;
use crate::plan::graph::descendants;
use crate::run::{Child, Phase, Run, Task, TaskState};
use crate::state::State;
use crate::text::Text;
use crate::time::Time;

pub(super) fn decide(
    state: &State,
    id: RunId,
    (task, reason): (Option<u32>, Text),
    now: Time,
) -> Result<Change, Rejected> {
    let sketch = state.sketch(id);
    let known = sketch.as_ref().or_else(|| state.runs.get(&id));
    let run = known.ok_or_else(|| super::run_control::not_found(id))?;
    check(state, run, now)?;
    let first = match task {
        // A fallback begins again with the task it stands in for.
        Some(node) if run.spec(node).is_some() => run.settles_for(node),
        Some(node) => {
            let message = format!("the run has no task {node}");
            return Err(Rejected::new(Kind::NotFound, "task_not_found", message));
        }
        None => first_unfinished(run),
    };
    let nodes = again(run, first);
    check_growth(run, &nodes)?;
    check_effects(state, run, task.map(|_| first), &nodes)?;
    let later = after(run, &nodes);
    let mut draft = Draft::new(state, &later, now);
    draft.push(Event::RunRetried {
        task: TaskRef::node(first),
        nodes: nodes.iter().copied().collect(),
        reason: Some(reason),
    });
    for node in &nodes {
        let ready = later.node(*node).is_some_and(|it| it.waits_on == 0);
        if ready && later.spec(*node).is_some_and(|spec| !spec.is_fallback) && !draft.ended {
            draft.open(*node);
        }
    }
    Ok(draft.finish())
}

fn check(state: &State, run: &Run, now: Time) -> Result<(), Rejected> {
    match run.phase {
        Phase::Ended(RunEnd::Failed | RunEnd::Cancelled) => {}
        Phase::Ended(RunEnd::Succeeded) => {
            return Err(Rejected::new(Kind::Conflict, "run_over", "the run succeeded"));
        }
        _ => {
            return Err(Rejected::new(Kind::Conflict, "run_not_over", "the run is not over")
                .hint("cancel it first, or unpark its task"));
        }
    }
    if run.parent.as_ref().is_some_and(|parent| !parent.is_detached) {
        let message = "the run is the child of another, which has heard of its end";
        return Err(Rejected::new(Kind::Conflict, "run_is_child", message)
            .hint("retry its parent: `ark-os get RUN` names it"));
    }
    if run.admission.is_none() {
        return Err(Rejected::new(Kind::Conflict, "run_not_begun", "the run never began")
            .hint("submit it again"));
    }
    if run.deadline.is_some_and(|deadline| deadline <= now) {
        return Err(Rejected::new(
            Kind::Conflict,
            "deadline_past",
            "the run's deadline has passed",
        )
        .hint("submit it again with another deadline"));
    }
    if state.intake == Intake::Draining {
        return Err(Rejected::new(Kind::Closed, "draining", "the instance is shutting down")
            .hint("retry it when it is back; what was done is kept"));
    }
    if state.live >= RUNS_LIVE_MAX {
        return Err(Rejected::new(Kind::Exhausted, "overloaded", "too many runs are under way")
            .hint("wait for some to end; what was done is kept"));
    }
    if !run.live_tasks(Task::is_in_doubt).is_empty() {
        return Err(Rejected::new(
            Kind::Conflict,
            "step_in_doubt",
            "a step of the run is in doubt",
        )
        .hint("resolve it first: `ark-os resolve STEP`"));
    }
    Ok(())
}

/// Effects that may not be repeated, and happened or may have, are so only in a task that somebody
/// named, and in what depends on it: a new generation has new keys.
fn check_effects(
    state: &State,
    run: &Run,
    named: Option<u32>,
    nodes: &BTreeSet<u32>,
) -> Result<(), Rejected> {
    let meant: BTreeSet<u32> = match named {
        Some(node) => descendants(&*run.workflow, node).into_iter().chain([node]).collect(),
        None => BTreeSet::new(),
    };
    let repeats = |node: &u32| Some((*node, repeated(state, run, *node)?));
    let Some((node, effect)) = nodes.difference(&meant).find_map(repeats) else {
        return Ok(());
    };
    let name = run.spec(node).map_or("", |spec| &*spec.name);
    let message = format!("the task `{name}` would repeat {effect}");
    Err(Rejected::new(Kind::Conflict, "effect_happened", message).hint(
        "name the task to have its effects again (`--task`), or submit what is left as another run",
    ))
}

/// A task that has added others would add them again.
fn check_growth(run: &Run, nodes: &BTreeSet<u32>) -> Result<(), Rejected> {
    let adder =
        run.workflow.tasks.iter().filter_map(|it| it.added_by).find(|it| nodes.contains(it));
    let Some(adder) = adder else { return Ok(()) };
    let name = run.spec(adder).map_or("", |spec| &*spec.name);
    let message = format!("the task `{name}` has added tasks to the run, and would again");
    Err(Rejected::new(Kind::Conflict, "run_grown", message)
        .hint("retry from a task behind it (`--task`), or submit the run again"))
}

/// What a task would repeat that may not be repeated.
fn repeated(state: &State, run: &Run, node: u32) -> Option<&'static str> {
    let task = run.node(node)?;
    if let Some(child) = &task.child {
        return repeated_by(state.runs.get(&child.run));
    }
    let children = task.fan.as_ref().map_or(&[][..], |fan| &fan.children);
    // Of a child that succeeded its steps are forgotten; what it was allowed to do is not.
    let skill = run.skill(node).and_then(|skill| state.fleet.skill_info(skill));
    let may_have = skill.is_some_and(|info| !info.class.is_repeatable());
    let of_child = |child: &Child| match child {
        Child::Fresh => Some(false),
        Child::Live(task) => task.has_happened(),
        Child::Done(_) => Some(may_have),
    };
    let happened = || children.iter().map(of_child).chain([task.has_happened()]);
    if happened().any(|it| it == Some(true)) {
        return Some("an effect that happened");
    }
    happened()
        .any(|it| it.is_none())
        .then_some("an effect of which nobody knows whether it happened")
}

/// What another child would repeat that the first one may have done.
fn repeated_by(child: Option<&Run>) -> Option<&'static str> {
    const UNKNOWN: &str = "an effect of a child run of which nobody knows whether it happened";
    let Some(child) = child else { return Some(UNKNOWN) };
    let below = |task: &Task| task.child.is_some();
    let happened = |task: &Task| task.has_happened() != Some(false);
    if !child.live_tasks(below).is_empty() {
        return Some(UNKNOWN);
    }
    (!child.live_tasks(happened).is_empty())
        .then_some("an effect of a child run that happened, or may have")
}

fn first_unfinished(run: &Run) -> u32 {
    let states = [TaskState::Failed, TaskState::Cancelled, TaskState::Skipped];
    let first = |state: TaskState| (0u32..).zip(&run.tasks).find(|(_, it)| it.state == state);
    states.into_iter().find_map(first).map_or(0, |(node, _)| node)
}

/// The task, what depends on it, and everything that had not come to its own end.
fn again(run: &Run, first: u32) -> BTreeSet<u32> {
    let mut nodes: BTreeSet<u32> = descendants(&*run.workflow, first).into_iter().collect();
    nodes.insert(first);
    for (node, it) in (0u32..).zip(&run.tasks) {
        let finished = it.state == TaskState::Succeeded
            || it.skipped == Some(SkipCause::Condition)
            || it.skipped == Some(SkipCause::NotNeeded);
        if !finished {
            nodes.extend(descendants(&*run.workflow, node));
            nodes.insert(node);
        }
    }
    let stand_ins: Vec<u32> = nodes.iter().flat_map(|node| run.fallbacks_of(*node)).collect();
    nodes.extend(stand_ins);
    nodes
}

/// The run as it will be when the event is applied: what the rest of the decision rests on.
fn after(run: &Run, nodes: &BTreeSet<u32>) -> Run {
    let mut later = run.clone();
    let list: Vec<u32> = nodes.iter().copied().collect();
    later.begin_again(&list);
    later
}
