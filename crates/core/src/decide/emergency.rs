//! `TakeMeasure`, `LiftMeasure` and the end of a measure: the emergency powers of CECCA.
//!
//! Stopping needs one seat of CECCA or a person; lifting before the end needs the majority of its
//! seats, or a person. A seat that the runtime holds is the person's.

use crate::error::{Kind, Rejected};
use crate::event::{Event, Standing, Supervised};
use crate::ids::AgentIx;
use crate::layer::Layer;
use crate::limits::{MEASURE_MS_MAX, MEASURES_MAX};
use crate::state::State;
use crate::supervision::{Measure, MeasureKind, Vote};
use crate::text::Text;
use crate::time::Time;

/// What somebody wants to be in force.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) kind: MeasureKind,
    pub(super) by: Option<AgentIx>,
    pub(super) reason: Text,
    pub(super) lasts_ms: u64,
}

pub(super) fn take(state: &State, wanted: Wanted, now: Time) -> Result<Vec<Event>, Rejected> {
    let Wanted { kind, by, reason, lasts_ms } = wanted;
    let by = seat_of_cecca(state, by)?;
    if lasts_ms == 0 || lasts_ms > MEASURE_MS_MAX {
        let message = "the measure has no end, or none within 30 days";
        return Err(Rejected::new(Kind::Invalid, "measure_invalid", message)
            .hint("give it an end; it can be taken again"));
    }
    if let (Some(_), MeasureKind::Mode(mode)) = (&by, &kind)
        && *mode < state.mode()
    {
        let message = "a seat makes the mode stricter, not milder";
        return Err(Rejected::new(Kind::Denied, "layer_exceeded", message)
            .hint("a person may; or lift the measure that makes it strict"));
    }
    if state.supervision.measures().any(|it| it.kind == kind) {
        return Err(Rejected::new(Kind::Conflict, "measure_in_force", "it is in force already")
            .hint("`ark-os emergency list` shows until when; lift it first"));
    }
    if state.supervision.measures().count() >= MEASURES_MAX {
        return Err(Rejected::new(Kind::Exhausted, "measures_exhausted", "too many are in force")
            .hint("lift some; `ark-os emergency list` shows them"));
    }
    if let MeasureKind::Quarantine(name) = &kind {
        let fleet = &state.fleet;
        let is_here = |ix: &AgentIx| fleet.agent(*ix).is_some_and(|it| !it.standing.is_leaving());
        if !fleet.called(name).iter().any(is_here) {
            let message = "no such agent or group in the fleet";
            return Err(Rejected::new(Kind::NotFound, "agent_not_found", message)
                .hint("`ark-os list agents` shows who is there"));
        }
    }
    let id = state.supervision.next_id();
    let (until, votes) = (now.plus(lasts_ms), Vec::new());
    let measure = Measure { id, kind, by, reason, since: now, until, votes };
    Ok(vec![Supervised::MeasureTaken(measure).into()])
}

/// A seat's vote, or a person's word, for an earlier end.
pub(super) fn lift(
    state: &State,
    id: u64,
    by: Option<AgentIx>,
    reason: Text,
) -> Result<Vec<Event>, Rejected> {
    let measure = state.supervision.measure(id).ok_or_else(|| {
        Rejected::new(Kind::NotFound, "measure_not_found", "no such measure is in force")
            .hint("`ark-os emergency list` shows those that are")
    })?;
    let ended = |reason: Text| Event::from(Supervised::MeasureEnded { id, reason });
    let Some(seat) = seat_of_cecca(state, by)? else { return Ok(vec![ended(reason)]) };
    // Those who voted and have left since do not count any more.
    let seats: Vec<Text> = seats(state).map(|ix| state.fleet.name(ix).into()).collect();
    let others = measure.votes.iter().map(|vote| &vote.seat);
    let others = others.filter(|it| **it != seat && seats.contains(it)).count();
    let vote = Vote { seat, reason };
    let mut events = vec![Supervised::MeasureVoted { id, vote }.into()];
    // The majority of all seats, whoever is there to vote.
    if (others + 1) * 2 > seats.len() {
        events.push(ended("the majority of CECCA lifted it".into()));
    }
    Ok(events)
}

/// A measure's time is over.
pub(super) fn expire(state: &State, id: u64) -> Vec<Event> {
    if state.supervision.measure(id).is_none() {
        return Vec::new();
    }
    vec![Supervised::MeasureEnded { id, reason: "its time is over".into() }.into()]
}

/// CECCA's seats, but for those who leave.
fn seats(state: &State) -> impl Iterator<Item = AgentIx> + '_ {
    let stays = |ix: &AgentIx| state.fleet.agent(*ix).is_some_and(|it| !it.standing.is_leaving());
    state.fleet.seats_in(Layer::Cecca).filter(stays)
}

/// The name of a seat of CECCA that stands ready; none: a person. One that does not has its part in the
/// majority all the same.
fn seat_of_cecca(state: &State, by: Option<AgentIx>) -> Result<Option<Text>, Rejected> {
    let Some(by) = by else { return Ok(None) };
    if !seats(state).any(|seat| seat == by) {
        let message = "only CECCA takes and lifts measures";
        return Err(Rejected::new(Kind::Denied, "layer_exceeded", message)
            .hint("name a seat of CECCA, or none to do it as a person"));
    }
    let standing = state.fleet.agent(by).map(|row| row.standing);
    if standing != Some(Standing::Ready) {
        return Err(Rejected::new(
            Kind::Conflict,
            "seat_not_ready",
            "the seat does not stand ready",
        )
        .hint("`ark-os list agents` shows why; name another seat, or none to do it as a person"));
    }
    Ok(Some(state.fleet.name(by).into()))
}
