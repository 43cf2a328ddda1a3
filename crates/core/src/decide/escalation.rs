//! `Tell`, `Escalation` (timers) and `ResolveEscalation`: who is told of a failure, what a seat does
//! about it by rule, and where it goes when nobody mends it.

use crate::error::{Kind, Rejected};
use crate::event::{Event, Standing, Supervised};
use crate::fleet::Fleet;
use crate::ids::AgentIx;
use crate::limits::{QUARANTINE_MS, QUARANTINE_PART, REMEDY_CHECK_MS};
use crate::run::TaskState;
use crate::state::State;
use crate::supervision::{Class, Closing, Concern, Desk, Escalation, Remedy, Rung};
use crate::text::Text;
use crate::time::Time;

/// How an escalation ended that nobody answered.
const CLEARED: &str = "cleared";

/// Something that its stack could not mend is told to who supervises it.
pub(super) fn raise(state: &State, concern: Concern, now: Time) -> Vec<Event> {
    let (class, message, by) = cause(state, concern);
    let to = above(&state.fleet, by);
    let mut escalation = Escalation {
        id: state.supervision.next_id(),
        concern,
        class,
        message,
        raised: now,
        by: by.map(|agent| state.fleet.name(agent).into()),
        deadline: deadline(&to, class, now),
        to,
        ladder: tried(state, concern, now),
        closing: None,
        passed: Vec::new(),
    };
    // What it is about was over before anybody was told.
    if is_over(state, &escalation) {
        escalation.ladder.clear();
        let over = resolved(escalation.id, CLEARED.into(), "what it is about is over", now);
        return vec![Supervised::EscalationRaised(escalation).into(), over];
    }
    let remedy = remedy(state, &escalation, &escalation.to, now);
    // What was done last has its chance, unless the seat does more at once.
    if let (Concern::Agent(agent), true) = (concern, remedy.is_empty())
        && let Some(last) = escalation.ladder.last_mut().filter(|it| it.healthy.is_none())
    {
        let back = state.backs.get(&agent).copied().unwrap_or(now);
        last.check = Some(back.max(now).plus(REMEDY_CHECK_MS));
    }
    let mut events = vec![Supervised::EscalationRaised(escalation).into()];
    events.extend(remedy);
    events
}

/// What was done before anybody is told, as it happened. A task is looked at once more.
fn tried(state: &State, concern: Concern, now: Time) -> Vec<Rung> {
    match concern {
        Concern::Agent(agent) => state.fleet.tried(agent).to_vec(),
        Concern::Task(run, task) => {
            let task = state.runs.get(&run).and_then(|run| run.task(task));
            let tried = task.and_then(|task| task.tried.as_deref());
            let mut ladder = tried.map_or_else(Vec::new, |tried| tried.rungs().to_vec());
            let (check, healthy) = (Some(now), Some(false));
            ladder.push(Rung { remedy: Remedy::Observe, by: None, at: now, check, healthy });
            ladder
        }
    }
}

/// Why it is escalated, in words, and on whose work.
fn cause(state: &State, concern: Concern) -> (Class, Text, Option<AgentIx>) {
    match concern {
        Concern::Agent(agent) => {
            let message = "it fails although it was restarted and replaced".into();
            (Class::AgentFailing, message, Some(agent))
        }
        Concern::Task(run, task) => {
            let it = state.runs.get(&run).and_then(|run| run.task(task));
            let parked = it.and_then(|it| it.parked.as_ref());
            let class = parked.map_or(Class::Stalled, |parked| parked.0.into());
            let message = parked.map_or_else(Text::default, |parked| parked.1.clone());
            (class, message, it.and_then(|it| it.last_agent))
        }
    }
}

/// Who supervises an agent. Where the runtime holds the seat it is a person's.
fn above(fleet: &Fleet, agent: Option<AgentIx>) -> Desk {
    let seat = agent.and_then(|agent| fleet.seat(agent));
    let above = seat.and_then(|seat| seat.supervisor);
    above.map_or(Desk::Human, |above| Desk::Seat(fleet.name(above).into()))
}

/// A person has no deadline: nobody is above.
fn deadline(to: &Desk, class: Class, now: Time) -> Time {
    match to {
        Desk::Seat(_) => now.plus(class.deadline_ms()),
        Desk::Human => Time::NEVER,
    }
}

/// What the seat does by rule, if it stands ready: about an agent that fails it is quarantined, unless
/// that would leave its work to nobody, or too many are out already.
fn remedy(state: &State, escalation: &Escalation, to: &Desk, now: Time) -> Vec<Event> {
    let (Desk::Seat(seat), Concern::Agent(agent)) = (to, escalation.concern) else {
        return Vec::new();
    };
    let fleet = &state.fleet;
    let is_tried = escalation.ladder.iter().any(|rung| rung.remedy == Remedy::Quarantine);
    let is_there = fleet.find(seat).is_some_and(|seat| is_ready(fleet, seat));
    if is_tried || !is_there || !may_be_spared(fleet, agent) {
        return Vec::new();
    }
    let rung = Rung {
        remedy: Remedy::Quarantine,
        by: Some(seat.clone()),
        at: now,
        check: Some(now.plus(REMEDY_CHECK_MS)),
        healthy: None,
    };
    let reason = Text::from(format!("escalation {}", escalation.id));
    let until = Some(now.plus(QUARANTINE_MS));
    vec![
        Supervised::RemedyApplied { id: escalation.id, rung }.into(),
        super::agent::changed(state, agent, Standing::Quarantined, reason, until),
    ]
}

fn is_ready(fleet: &Fleet, agent: AgentIx) -> bool {
    fleet.agent(agent).is_some_and(|row| row.standing == Standing::Ready)
}

/// Precondition and blast radius of a quarantine: it is not out already, somebody else of the layer, in the stack where there
/// is one, stands ready, and no more than a quarter of them are quarantined with it.
fn may_be_spared(fleet: &Fleet, agent: AgentIx) -> bool {
    let peers = peers(fleet, agent);
    let takes_part = |row: &crate::fleet::Agent| {
        let out = matches!(row.standing, Standing::Offline | Standing::Quarantined);
        !out && !row.standing.is_passing()
    };
    if !fleet.agent(agent).is_some_and(takes_part) {
        return false;
    }
    let standing = |ix: &&AgentIx| fleet.agent(**ix).map(|row| row.standing);
    let ready = peers.iter().filter(|ix| standing(ix) == Some(Standing::Ready)).count();
    let out = peers.iter().filter(|ix| standing(ix) == Some(Standing::Quarantined)).count();
    let most = ((peers.len() + 1) / QUARANTINE_PART).max(1);
    ready > 0 && out < most
}

/// Who can take over an agent's work: the others of its layer, in its stack where there is one.
fn peers(fleet: &Fleet, agent: AgentIx) -> Vec<AgentIx> {
    let (layer, stack) = (fleet.layer(agent), fleet.stack(agent));
    let same = |ix: &AgentIx| *ix != agent && (!layer.works() || fleet.stack(*ix) == stack);
    fleet.seats_in(layer).filter(same).collect()
}

/// Something is due about an escalation: its remedy is looked at, or its deadline has passed, or what
/// it is about is over.
pub(super) fn due(state: &State, id: u64, now: Time) -> Vec<Event> {
    let Some(escalation) = state.supervision.find(id).filter(|it| it.closing.is_none()) else {
        return Vec::new();
    };
    if let Some(rung) = escalation.unchecked().filter(|it| it.check.is_some_and(|at| at <= now)) {
        let healthy = helped(state, escalation, rung.remedy);
        let mut events = vec![Supervised::RemedyChecked { id, healthy }.into()];
        if healthy {
            let action = Text::from(rung.remedy.as_str());
            events.push(resolved(id, action, "by rule: looked at, and it helped", now));
        } else if escalation.to != Desk::Human {
            events.extend(pass(state, escalation, now));
        }
        return events;
    }
    if is_over(state, escalation) {
        return vec![resolved(id, CLEARED.into(), "what it is about is over", now)];
    }
    pass(state, escalation, now)
}

/// Whether the work goes on: without an agent that is quarantined, or else with it again.
fn helped(state: &State, escalation: &Escalation, remedy: Remedy) -> bool {
    let fleet = &state.fleet;
    match (escalation.concern, remedy) {
        (Concern::Agent(agent), Remedy::Quarantine) => {
            peers(fleet, agent).iter().any(|peer| is_ready(fleet, *peer))
        }
        (Concern::Agent(agent), _) => {
            is_ready(fleet, agent) && fleet.agent(agent).is_some_and(|row| !row.is_failing())
        }
        (Concern::Task(..), _) => is_over(state, escalation),
    }
}

/// Whether there is nothing left to see to.
fn is_over(state: &State, escalation: &Escalation) -> bool {
    match escalation.concern {
        Concern::Agent(agent) => state.fleet.agent(agent).is_none_or(|row| {
            row.standing.is_leaving() || row.standing == Standing::Ready && !row.is_failing()
        }),
        Concern::Task(run, task) => {
            let task = state.runs.get(&run).and_then(|run| run.task(task));
            task.is_none_or(|task| task.state != TaskState::Parked)
        }
    }
}

/// One layer up, where the same is tried if it was not possible before. A seat that is gone has nobody
/// above it but a person.
fn pass(state: &State, escalation: &Escalation, now: Time) -> Vec<Event> {
    let fleet = &state.fleet;
    let to = match &escalation.to {
        Desk::Seat(name) => fleet.find(name).map_or(Desk::Human, |seat| above(fleet, Some(seat))),
        Desk::Human => Desk::Human,
    };
    let deadline = deadline(&to, escalation.class, now);
    let remedy = remedy(state, escalation, &to, now);
    let mut events = vec![Supervised::EscalationPassed { id: escalation.id, to, deadline }.into()];
    events.extend(remedy);
    events
}

fn resolved(id: u64, action: Text, reason: &str, at: Time) -> Event {
    let closing = Closing { action, reason: reason.into(), at };
    Supervised::EscalationResolved { id, closing }.into()
}

/// A person, or a seat, says what was done.
pub(super) fn resolve(
    state: &State,
    id: u64,
    action: Text,
    reason: Text,
    now: Time,
) -> Result<Vec<Event>, Rejected> {
    let escalation = state.supervision.find(id).ok_or_else(|| {
        Rejected::new(Kind::NotFound, "escalation_not_found", "no such escalation")
            .hint("`ark-os escalations list` shows what there is")
    })?;
    // Who unparks or cancels ends it by that: the word that comes with it is kept.
    if escalation.closing.as_ref().is_some_and(|it| &*it.action != CLEARED) {
        return Err(Rejected::new(Kind::Conflict, "escalation_over", "the escalation is over"));
    }
    let closing = Closing { action, reason, at: now };
    Ok(vec![Supervised::EscalationResolved { id, closing }.into()])
}
