//! `LoseAttempt`, `RenewLease`, `ReportProgress`, and the check of a token that all of them make.

use super::draft::Draft;
use super::outcome::restart;
use super::{of_instance, of_run};
use crate::error::{Failure, Kind, Rejected};
use crate::event::{AttemptEnd, Change, Event, ParkReason};
use crate::hash::Hash;
use crate::ids::{AgentIx, PtId};
use crate::limits::{STALL_PARTIALS_MAX, STRIKES_MAX};
use crate::run::Run;
use crate::state::State;
use crate::time::Time;

/// Whether a token is what it is presented as.
pub(super) enum Claim<'a> {
    /// The presenter holds it.
    Held(&'a Run),
    /// It does not: the agent is struck, nothing else changes.
    Struck(Change),
}

/// Checks a token: the run lives, the fence is the task's, and it is the presenter's own.
///
/// INVARIANT I4: work under an old fence, or under another's token, changes nothing of the run.
pub(super) fn claim(
    state: &State,
    pt: PtId,
    agent: AgentIx,
    now: Time,
) -> Result<Claim<'_>, Rejected> {
    let run = state.runs.get(&pt.run);
    let active = run.and_then(|run| run.task(pt.task)).and_then(|task| task.active.as_ref());
    let reason = match (run, active) {
        (Some(run), Some(active)) if active.fence == pt.fence => {
            if active.agent == agent {
                return Ok(Claim::Held(run));
            }
            "presented another agent's token"
        }
        _ => "presented a stale token",
    };
    if state.fleet.agent(agent).is_none() {
        return Err(Rejected::new(Kind::NotFound, "agent_not_found", "no such agent"));
    }
    Ok(Claim::Struck(strike(state, agent, reason, now)))
}

fn strike(state: &State, agent: AgentIx, reason: &str, now: Time) -> Change {
    let mut events = vec![super::agent::struck(state, agent, reason)];
    if state.fleet.agent(agent).is_some_and(|row| row.strikes + 1 >= STRIKES_MAX) {
        events.extend(restart(state, agent, reason, now));
    }
    of_instance(events, now)
}

/// The host's own word: no agent is struck for it, but the one that failed is restarted.
pub(super) fn lose(
    state: &State,
    pt: PtId,
    reason: Failure,
    now: Time,
) -> Result<Change, Rejected> {
    let (run, agent) = held(state, pt)?;
    let mut draft = Draft::new(state, run, now);
    draft.restart_agent(agent, &reason.code);
    draft.end_attempt(pt.task, AttemptEnd::Lost, reason);
    Ok(draft.finish())
}

/// The same for an attempt that nobody has begun: it is nobody's fault, and does not count.
pub(super) fn give_back(
    state: &State,
    pt: PtId,
    reason: Failure,
    now: Time,
) -> Result<Change, Rejected> {
    let (run, _) = held(state, pt)?;
    let mut draft = Draft::new(state, run, now);
    draft.end_attempt(pt.task, AttemptEnd::Interrupted, reason);
    Ok(draft.finish())
}

/// The run of a token that is in use, and who holds it.
fn held(state: &State, pt: PtId) -> Result<(&Run, AgentIx), Rejected> {
    let held = state.runs.get(&pt.run).and_then(|run| {
        let active = run.task(pt.task)?.active.as_ref()?;
        (active.fence == pt.fence).then_some((run, active.agent))
    });
    held.ok_or_else(|| {
        Rejected::new(Kind::Conflict, "stale_fence", "the token is not in use any more")
    })
}

pub(super) fn renew(
    state: &State,
    pt: PtId,
    agent: AgentIx,
    now: Time,
) -> Result<Change, Rejected> {
    match claim(state, pt, agent, now)? {
        Claim::Struck(change) => Ok(change),
        Claim::Held(run) => {
            let renewed = Event::LeaseRenewed { task: pt.task, until: now.plus(state.lease_ms()) };
            Ok(of_run(run.id, vec![renewed], now))
        }
    }
}

/// A partial proof; too many in a row without anything new, and the task is parked.
pub(super) fn report(
    state: &State,
    pt: PtId,
    agent: AgentIx,
    checkpoint: Option<Hash>,
    now: Time,
) -> Result<Change, Rejected> {
    let run = match claim(state, pt, agent, now)? {
        Claim::Struck(change) => return Ok(change),
        Claim::Held(run) => run,
    };
    let mut draft = Draft::new(state, run, now);
    draft.push(Event::ProgressMade { task: pt.task, checkpoint });
    let Some(it) = run.task(pt.task) else { return Ok(super::nothing(now)) };
    let is_new = checkpoint.is_some() && checkpoint != it.checkpoint;
    if !is_new && it.partials + 1 >= STALL_PARTIALS_MAX {
        draft.park(pt.task, ParkReason::Stalled, "partial proofs without any progress");
    }
    Ok(draft.finish())
}
