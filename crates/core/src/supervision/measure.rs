//! Emergency measures of CECCA: each with a reason and an end.

use minicbor::{Decode, Encode};

use super::Supervision;
use crate::rules::Mode;
use crate::text::Text;
use crate::time::Time;

/// What a measure does.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(flat)]
pub enum MeasureKind {
    /// No new run is taken; what was accepted goes on.
    #[n(0)]
    Freeze,
    /// The agent, or the members of the declared group, of this name get no work.
    #[n(1)]
    Quarantine(#[n(0)] Text),
    /// Another mode is in force.
    #[n(2)]
    Mode(#[n(0)] Mode),
}

/// A seat's word for lifting a measure before its end.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Vote {
    /// The seat.
    #[n(0)]
    pub seat: Text,
    /// Why.
    #[n(1)]
    pub reason: Text,
}

/// A measure in force.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Measure {
    /// Its number; escalations and measures are counted together.
    #[n(0)]
    pub id: u64,
    /// What it does.
    #[n(1)]
    pub kind: MeasureKind,
    /// The seat of CECCA that took it; none: a person.
    #[n(2)]
    pub by: Option<Text>,
    /// Why.
    #[n(3)]
    pub reason: Text,
    /// Since when.
    #[n(4)]
    pub since: Time,
    /// Until when.
    #[n(5)]
    pub until: Time,
    /// Seats that want it lifted.
    #[n(6)]
    pub votes: Vec<Vote>,
}

impl Supervision {
    /// The measures in force, oldest first.
    pub fn measures(&self) -> impl Iterator<Item = &Measure> + '_ {
        self.measures.values()
    }

    /// The measure of this number.
    pub fn measure(&self, id: u64) -> Option<&Measure> {
        self.measures.get(&id)
    }

    /// The measure that keeps new runs out.
    pub fn freeze(&self) -> Option<&Measure> {
        self.measures.values().find(|it| it.kind == MeasureKind::Freeze)
    }

    /// The mode that measures put in force: the strictest, so that no seat undoes by a measure of its
    /// own what only the majority may lift.
    pub fn mode(&self) -> Option<Mode> {
        let modes = self.measures.values().filter_map(|it| match it.kind {
            MeasureKind::Mode(mode) => Some(mode),
            _ => None,
        });
        modes.max()
    }

    /// Names of agents and groups that a measure keeps from work, each with the reason.
    pub fn kept_out(&self) -> impl Iterator<Item = (&Text, &Text)> + '_ {
        self.measures.values().filter_map(|it| match &it.kind {
            MeasureKind::Quarantine(name) => Some((name, &it.reason)),
            _ => None,
        })
    }

    pub(crate) fn take(&mut self, measure: &Measure) {
        self.count = self.count.max(measure.id);
        self.measures.insert(measure.id, measure.clone());
    }

    pub(crate) fn vote(&mut self, id: u64, vote: &Vote) {
        let Some(measure) = self.measures.get_mut(&id) else { return };
        measure.votes.retain(|other| other.seat != vote.seat);
        measure.votes.push(vote.clone());
    }

    pub(crate) fn end(&mut self, id: u64) -> Option<Measure> {
        self.measures.remove(&id)
    }
}
