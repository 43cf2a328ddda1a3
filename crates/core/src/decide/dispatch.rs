//! `Dispatch`: give ready tasks to free agents, soonest turn first; let in what waited for a layer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::admission::{Subject, admitted};
use super::draft::{Draft, NotStarted};
use super::{nothing, of_run};
use crate::authority::Grant;
use crate::error::Rejected;
use crate::event::{Change, Event};
use crate::fleet::Want;
use crate::ids::{SkillIx, TaskRef};
use crate::limits::DISPATCH_MAX;
use crate::priority::Turn;
use crate::queue::Waiter;
use crate::rules::Rules;
use crate::run::Run;
use crate::state::State;
use crate::time::Time;

pub(super) fn decide(state: &State, rules: &dyn Rules, now: Time) -> Result<Change, Rejected> {
    if let Some(change) = let_in(state, rules, now) {
        return Ok(change);
    }
    let Some((skill, (id, _))) = soonest(state) else { return Ok(nothing(now)) };
    let Some(run) = state.runs.get(&id) else { return Ok(nothing(now)) };
    let mut draft = Draft::new(state, run, now);
    for (_, (other, task)) in startable(state, skill) {
        if other != id || !start_all(&mut draft, task) {
            break;
        }
    }
    if draft.events.is_empty() { Ok(nothing(now)) } else { Ok(draft.finish()) }
}

/// Who waits for a skill, soonest first, without those who wait for others of their own: children
/// of a map that is at its limit, and work whose budget is reserved for what is under way. Nobody
/// else waits for them: where one of them stands first under a limit by key, those behind it there
/// stand in for it.
fn startable(state: &State, skill: SkillIx) -> impl Iterator<Item = (Turn, Waiter)> + '_ {
    let mut line = state.queue.line(skill).peekable();
    let mut stand_ins = StandIns::default();
    let mut held = None;
    std::iter::from_fn(move || {
        loop {
            let sooner = stand_ins.pop_before(line.peek().map(|(turn, _)| *turn));
            let (turn, (id, task)) = sooner.or_else(|| line.next())?;
            let Some(run) = state.runs.get(&id) else { continue };
            // A map's children stand behind each other: one look for all of them.
            let key = Some((id, task.node, task.child.is_some()));
            if held != key && !waits_for_its_own(state, run, task) {
                return Some((turn, (id, task)));
            }
            held = key;
            stand_ins.replace(state, run, (skill, turn, task));
        }
    })
}

fn waits_for_its_own(state: &State, run: &Run, task: TaskRef) -> bool {
    task.child.is_some() && run.map_room(task.node) == 0
        || Draft::new(state, run, state.now).waits_for_budget(task.node)
}

/// Those who may begin under a key because somebody before them there does not want to now. The
/// key's line is looked at no further than such people stand in it.
#[derive(Default)]
struct StandIns {
    waiting: BTreeMap<Turn, Waiter>,
    /// How far each key's line was looked at.
    seen: BTreeMap<u64, Turn>,
}

impl StandIns {
    /// The soonest of them, if it comes before this turn.
    fn pop_before(&mut self, turn: Option<Turn>) -> Option<(Turn, Waiter)> {
        let first = self.waiting.first_entry()?;
        turn.is_none_or(|turn| *first.key() < turn).then(|| first.remove_entry())
    }

    /// Somebody is passed over: the next of those that its key holds may begin in its place.
    fn replace(&mut self, state: &State, run: &Run, (skill, turn, task): (SkillIx, Turn, TaskRef)) {
        let limit = run.limit_id(task.node).and_then(|id| state.limits.find(&id));
        let Some(limit) = limit else { return };
        let seen = self.seen.entry(limit.number()).or_insert(turn);
        if let Some((next, who)) = limit.held_after(skill, turn.max(*seen)) {
            *seen = next;
            self.waiting.insert(next, who);
        }
    }
}

/// The head of a line for which somebody is free, with the soonest turn of all such heads.
pub(super) fn soonest(state: &State) -> Option<(SkillIx, Waiter)> {
    let mut best: Option<(Turn, SkillIx, Waiter)> = None;
    for skill in state.queue.skills() {
        let Some((turn, who)) = startable(state, skill).next() else { continue };
        if best.is_some_and(|(sooner, ..)| sooner < turn) {
            continue;
        }
        let want = Want { skill, emergency: turn.is_emergency(), avoid: None };
        if state.fleet.pick(want, &[]).is_some() {
            best = Some((turn, skill, who));
        }
    }
    best.map(|(_, skill, who)| (skill, who))
}

/// Starts a task, or as many fresh children of a map as there is room for; whether to go on.
fn start_all(draft: &mut Draft<'_>, task: TaskRef) -> bool {
    let run = draft.run;
    let fan = match task.child {
        Some(_) => None,
        None => run.node(task.node).and_then(|it| it.fan.as_ref()),
    };
    let room = run.map_room(task.node);
    let has_room = |draft: &Draft<'_>| room == u32::MAX || draft.started_at(task.node) < room;
    let Some(fan) = fan else {
        return (task.child.is_some() && !has_room(draft)) || start_one(draft, task);
    };
    for child in fan.next..fan.total() {
        if !has_room(draft) {
            break;
        }
        if !start_one(draft, TaskRef::child(task.node, child)) {
            return false;
        }
    }
    true
}

fn start_one(draft: &mut Draft<'_>, task: TaskRef) -> bool {
    if draft.started() >= DISPATCH_MAX || draft.ended {
        return false;
    }
    match draft.start(task) {
        Ok(started) => {
            draft.push(Event::AttemptStarted(started));
            true
        }
        Err(NotStarted::Later) => false,
        Err(NotStarted::Never(failure)) => {
            // What may not start has no attempt to retry; for a map, no other child may either.
            draft.moved -= i64::from(draft.run.moving_at(task.node));
            draft.fail_node(task.node, failure);
            false
        }
    }
}

/// A run that waited for a layer is admitted when every layer is there.
fn let_in(state: &State, rules: &dyn Rules, now: Time) -> Option<Change> {
    if state.fleet.empty_layer().is_some() || state.intake == crate::event::Intake::Draining {
        return None;
    }
    let run = state.blocked.iter().find_map(|id| state.runs.get(id).filter(|run| !run.paused))?;
    let pending = run.pending.as_ref()?;
    let grant = Grant::new(pending.authority.clone());
    let subject =
        Subject { namespace: &pending.namespace, workflow: &pending.workflow, grant: &grant };
    Some(match admitted(state, rules, &subject, now) {
        Ok(admission) => begin(state, run, admission, now),
        Err(rejected) => refuse(state, run, &rejected, now),
    })
}

fn begin(
    state: &State,
    run: &Run,
    (admission, fresh): (Arc<crate::event::Admission>, Option<crate::event::Admission>),
    now: Time,
) -> Change {
    let id = admission.id;
    let begun =
        Run { admission: Some(admission), phase: crate::run::Phase::Running, ..run.clone() };
    let mut draft = Draft::new(state, &begun, now);
    if let Some(fresh) = fresh {
        draft.push(Event::WorkflowAdmitted(Box::new(fresh)));
    }
    draft.push(Event::RunStarted { admission: id });
    super::submit_run::open_roots(&mut draft);
    draft.finish()
}

fn refuse(state: &State, run: &Run, rejected: &Rejected, now: Time) -> Change {
    let mut draft = Draft::new(state, run, now);
    draft.refuse(rejected);
    of_run(run.id, draft.events, now)
}
