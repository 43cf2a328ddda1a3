//! What was done about one row of failures before anybody is told: rungs as they happen, each with what
//! the work after it came to.

use minicbor::{Decode, Encode};

use super::{Remedy, Rung};
use crate::limits::RUNGS_MAX;
use crate::time::Time;

/// The remedies of one row of failures, oldest first. A success ends the row, and all of it is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Tried(#[n(0)] Vec<Rung>);

impl Tried {
    /// In order.
    pub fn rungs(&self) -> &[Rung] {
        &self.0
    }

    /// The runtime does something about a failure.
    pub(crate) fn apply(&mut self, remedy: Remedy, at: Time) {
        if self.0.len() >= RUNGS_MAX {
            self.0.remove(0);
        }
        self.0.push(Rung { remedy, by: None, at, check: None, healthy: None });
    }

    /// It failed again: what was done since the last time did not help.
    pub(crate) fn fail(&mut self, at: Time) {
        let open = self.0.iter_mut().filter(|rung| rung.healthy.is_none());
        open.for_each(|rung| (rung.check, rung.healthy) = (Some(at), Some(false)));
    }

    /// What was done last was stopped before anybody could say whether it helped.
    pub(crate) fn take_back(&mut self) {
        self.0.pop_if(|rung| rung.healthy.is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_rungs_are_remembered() {
        let mut tried = Tried::default();
        for at in 0..RUNGS_MAX as u64 + 5 {
            tried.apply(Remedy::Retry, Time(at));
            tried.fail(Time(at + 1));
        }
        assert_eq!((tried.0.len(), tried.0[0].at), (RUNGS_MAX, Time(5)));
        assert!(tried.0.iter().all(|rung| rung.healthy == Some(false)));
    }
}
