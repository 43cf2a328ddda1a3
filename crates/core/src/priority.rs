//! Priorities, and how waiting raises them: aging never lifts work into `critical`.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::time::Time;

/// How urgent a run is, most urgent first.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    Encode,
    Decode,
    Serialize,
    Deserialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// Before everything; each pool keeps a progress token for it.
    #[n(0)]
    Emergency,
    /// Before everything but emergencies.
    #[n(1)]
    Critical,
    /// Ahead of normal work.
    #[n(2)]
    High,
    /// Where nobody asks.
    #[default]
    #[n(3)]
    Normal,
    /// After normal work.
    #[n(4)]
    Low,
    /// When nothing else waits.
    #[n(5)]
    Maintenance,
}

/// Where a ready task stands in line: smaller is sooner.
///
/// Emergency and critical work have bands of their own. The four others share one band, ordered by
/// the time they became ready plus a handicap, so old low work overtakes new high work in the end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Turn {
    #[n(0)]
    band: u8,
    #[n(1)]
    virtual_ms: u64,
    /// Order of becoming ready: first come, first served among equals.
    #[n(2)]
    pub order: u64,
}

impl Turn {
    /// The turn of a task of this priority that became ready at `ready`, as the `order`-th.
    pub fn new(priority: Priority, ready: Time, order: u64) -> Self {
        let (band, handicap_ms) = match priority {
            Priority::Emergency => (0, 0),
            Priority::Critical => (1, 0),
            Priority::High => (2, 0),
            Priority::Normal => (2, 30_000),
            Priority::Low => (2, 120_000),
            Priority::Maintenance => (2, 600_000),
        };
        Turn { band, virtual_ms: ready.0.saturating_add(handicap_ms), order }
    }

    /// Whether this is emergency work, which may use the token that each pool keeps back.
    pub fn is_emergency(self) -> bool {
        self.band == 0
    }
}

impl Priority {
    /// All of them, most urgent first.
    pub const ALL: [Priority; 6] = [
        Priority::Emergency,
        Priority::Critical,
        Priority::High,
        Priority::Normal,
        Priority::Low,
        Priority::Maintenance,
    ];

    /// The word of the vocabulary.
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Emergency => "emergency",
            Priority::Critical => "critical",
            Priority::High => "high",
            Priority::Normal => "normal",
            Priority::Low => "low",
            Priority::Maintenance => "maintenance",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_low_work_overtakes_new_high_work_but_never_critical() {
        let low = Turn::new(Priority::Low, Time(0), 0);
        assert!(Turn::new(Priority::High, Time(60_000), 1) < low);
        assert!(low < Turn::new(Priority::High, Time(121_000), 2));
        assert!(Turn::new(Priority::Critical, Time(u64::MAX), 3) < low);
    }
}
