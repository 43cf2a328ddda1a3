//! A digest of the whole state, to compare a replayed state with the one that was live.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::State;
use crate::hash::Hash;

/// Feeds a text form into SHA-256 without keeping it.
struct Feed(Sha256);

impl Write for Feed {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

impl State {
    /// SHA-256 over everything in the state, runs in order of their ids. Equal for a live state
    /// and for the replay of its journal by the same program.
    pub fn digest(&self) -> Hash {
        let mut feed = Feed(Sha256::new());
        // Writing into the digest cannot fail.
        let _ = write!(
            feed,
            "{:?}{}{}{}{:?}{:?}{:?}{:?}{:?}{:?}{:?}",
            self.now,
            self.changes,
            self.epoch,
            self.fences,
            self.instance,
            self.intake,
            self.fleet,
            self.deployments,
            self.queue,
            self.timers,
            self.backs,
        );
        let _ = write!(
            feed,
            "{}{:?}{:?}{:?}{:?}{:?}{:?}{:?}{}{:?}{:?}{:?}{:?}{:?}",
            self.live,
            self.active,
            self.backlog,
            self.ended,
            self.blocked,
            self.interrupted,
            self.admissions,
            self.admitted,
            self.admission_count,
            self.accounts,
            self.keys,
            self.revoked,
            self.schedules,
            self.supervision,
        );
        let _ = write!(feed, "{:?}{:?}{:?}", self.children, self.all_errands(), self.limits);
        for id in self.run_ids() {
            let _ = write!(feed, "{:?}", self.run(id));
        }
        Hash(feed.0.finalize().into())
    }
}
