//! What supervision records: escalations and emergency measures.

use minicbor::{Decode, Encode};

use super::Event;
use crate::supervision::{Closing, Desk, Escalation, Measure, Rung, Vote};
use crate::text::Text;
use crate::time::Time;

/// What happened about an escalation or a measure.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(map)]
pub enum Supervised {
    /// A failure that its stack did not mend was told to who supervises.
    #[n(0)]
    EscalationRaised(#[n(0)] Escalation),
    /// Nobody saw to it in time: it went one layer up, and at last to a person.
    #[n(1)]
    EscalationPassed {
        /// The escalation.
        #[n(0)]
        id: u64,
        /// Who is to see to it now.
        #[n(1)]
        to: Desk,
        /// Until when.
        #[n(2)]
        deadline: Time,
    },
    /// A seat did something about it by rule.
    #[n(2)]
    RemedyApplied {
        /// The escalation.
        #[n(0)]
        id: u64,
        /// What.
        #[n(1)]
        rung: Rung,
    },
    /// It was looked at whether that helped.
    #[n(3)]
    RemedyChecked {
        /// The escalation.
        #[n(0)]
        id: u64,
        /// Whether it did.
        #[n(1)]
        healthy: bool,
    },
    /// It is over.
    #[n(4)]
    EscalationResolved {
        /// The escalation.
        #[n(0)]
        id: u64,
        /// What was done, and why.
        #[n(1)]
        closing: Closing,
    },
    /// An emergency measure is in force.
    #[n(5)]
    MeasureTaken(#[n(0)] Measure),
    /// A seat of CECCA wants it lifted.
    #[n(6)]
    MeasureVoted {
        /// The measure.
        #[n(0)]
        id: u64,
        /// Its vote.
        #[n(1)]
        vote: Vote,
    },
    /// It is over, and what it did is undone.
    #[n(7)]
    MeasureEnded {
        /// The measure.
        #[n(0)]
        id: u64,
        /// Why.
        #[n(1)]
        reason: Text,
    },
}

impl From<Supervised> for Event {
    fn from(event: Supervised) -> Self {
        Event::Supervised(Box::new(event))
    }
}
